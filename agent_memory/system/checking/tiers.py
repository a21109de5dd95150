"""Checks a tier in Redis: its keys, its entries, their places in indexes, and who is listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_memory.errors import CommandRefused, EncodingError
from agent_memory.models.redis import encode_id, hash_to_entry, index_places, step_of
from agent_memory.models.redis_attributes import spelled_attributes
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.inspection import (
    ORDERS,
    Examined,
    FoundKey,
    Owner,
    TierInspection,
)
from agent_memory.repositories.redis.mending import TierMending
from agent_memory.repositories.redis.scripts import ATTRIBUTES
from agent_memory.system.checking.cross_tier import CrossTierChecks
from agent_memory.system.checking.job import Job
from agent_memory.system.checking.validation import Validator
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier

_REPAIR = "agent-memory check --repair"


@dataclass(frozen=True, slots=True)
class _Validated:
    """An entry that was looked at, and what is wrong with it."""

    examined: Examined
    entry: MemoryEntry | None
    faults: tuple[tuple[Kind, str], ...]


class TierCheck:
    """Checks one tier.

    Args:
        job: The check it belongs to.
        validator: Validates vectors.
        cross_tier_checks: Looks for the same entries in other tiers.
        repository: The tier.
        inspection: The tier, beneath.
    """

    def __init__(
        self,
        job: Job,
        validator: Validator,
        cross_tier_checks: CrossTierChecks,
        repository: MemoryRepository,
        inspection: TierInspection,
    ) -> None:
        self._job = job
        self._validator = validator
        self._cross_tier_checks = cross_tier_checks
        self._repository = repository
        self._inspection = inspection
        self._mending = TierMending(inspection)
        self._tier = repository.tier
        self._blocked: set[str] = set()
        self._learn_declared()

    def run(self) -> None:
        """Look at all of it."""
        owners = self._check_keys()
        self._check_entries()
        self._check_indexes()
        self._check_registry(owners)
        self._check_declared()

    # -- keys ---------------------------------------------------------------------------------

    def _check_keys(self) -> set[Owner]:
        owners: set[Owner] = set()
        for batch in self._inspection.scan():
            self._job.looked(f"{self._tier.name} keys", len(batch))
            for key in batch:
                if key.owner is not None:
                    owners.add(key.owner)
                self._check_key(key)
        return owners

    def _check_key(self, key: FoundKey) -> None:
        add, place = self._job.findings.add, f"{self._tier.name}, key {key.name!r}"
        if not key.expected:
            add(
                Kind.KEY,
                place,
                "nobody knows such a key in this namespace",
                "if nobody needs it, send the server: DEL with this key",
            )
        elif key.kind != key.expected:
            means = f"is a {key.kind} where a {key.expected} is needed"
            done = self._set_key_aside(key, place, means)
            if not done and key.owner is not None:
                self._blocked.add(key.owner.prefix)
            add(Kind.KEY, place, means, _REPAIR, repaired=done)
        if key.expires:
            if self._job.repair:
                self._inspection.channel.call("PERSIST", key.name)
            means = "would expire, and entries would be lost unmoved"
            add(Kind.KEY, place, means, _REPAIR, repaired=self._job.repair)

    def _set_key_aside(self, key: FoundKey, place: str, why: str) -> bool:
        channel = self._inspection.channel
        dumped = channel.call("DUMP", key.name) if self._job.repair else None
        if dumped is None or not self._job.keep(place, why, {"dump": dumped}):
            return False
        channel.call("DEL", key.name)
        return True

    # -- entries ------------------------------------------------------------------------------

    def _entry_ids(self) -> Iterator[dict[Owner, list[str]]]:
        for batch in self._inspection.scan():
            found: defaultdict[Owner, list[str]] = defaultdict(list)
            for key in batch:
                if (
                    key.owner is not None
                    and key.expected == key.kind == "hash"
                    and key.owner.prefix not in self._blocked
                ):
                    found[key.owner].append(key.rest)
            yield found

    def _check_entries(self) -> None:
        for batch in self._entry_ids():
            for owner, ids in batch.items():
                self._on_owner(owner, lambda owner=owner, ids=ids: self._check_owner(owner, ids))  # type: ignore[misc]

    def _on_owner(self, owner: Owner, look: Callable[[], None]) -> None:
        try:
            look()
        except CommandRefused as error:
            # A key of it was replaced by one of another type since its keys were looked at.
            self._job.findings.unfinished.append(f"{_whose(self._tier, owner)}: {error}")

    def _check_owner(self, owner: Owner, ids: Sequence[str]) -> None:
        examined = self._inspection.examine(owner, ids)
        self._job.looked(f"{self._tier.name} entries", len(examined))
        validated = self._validated(examined)
        suspects = [one.examined.memory_id for one in validated if one.faults]
        if suspects:
            # Attributes may have been declared, and a vector been encoded anew, meanwhile.
            self._learn_declared()
            for one in self._validated(self._inspection.examine(owner, suspects)):
                if one.faults:
                    self._tell(one)
        sound = [one.entry for one in validated if one.entry is not None]
        self._cross_tier_checks.look(self._tier, sound)

    def _validated(self, examined: Sequence[Examined]) -> list[_Validated]:
        entries: list[MemoryEntry | None] = []
        faults: list[list[tuple[Kind, str]]] = []
        for one in examined:
            try:
                entry = self._read(one.fields)
                whose = EntryKey(one.owner.run_id, one.owner.agent_id, one.memory_id)
                wrong = (
                    [] if entry.key == whose else [(Kind.UNREADABLE, f"it says it is {entry.key}")]
                )
            except EncodingError as error:
                entry = None
                lacking = self._validator.lacks_code(one.fields.get(b"contents"))
                wrong = [] if lacking else [(Kind.UNREADABLE, str(error))]
            entries.append(entry if not wrong else None)
            faults.append(wrong)
        there = [place for place, entry in enumerate(entries) if entry is not None]
        vectors = self._validator.vectors([e for e in entries if e is not None])
        for place, why in vectors.items():
            faults[there[place]].append((Kind.VECTOR, why))
        validated = []
        for one, entry, wrong in zip(examined, entries, faults, strict=True):
            more = () if entry is None else self._faults(one, entry)
            validated.append(_Validated(one, entry, (*wrong, *more)))
        return validated

    def _read(self, fields: Mapping[bytes, bytes]) -> MemoryEntry:
        contents = self._validator.codec.decode(fields.get(b"contents", b""), step_of(fields))
        return hash_to_entry(fields, contents)

    def _faults(self, one: Examined, entry: MemoryEntry) -> Iterator[tuple[Kind, str]]:
        if self._tier is Tier.STM and entry.compression_level != 0:
            yield Kind.LEVEL, f"compression level {entry.compression_level} in place of 0"
        wanted = index_places(entry)
        for name in sorted({*wanted, *one.places}):
            found, right = one.places.get(name), wanted.get(name)
            if found != right:
                yield Kind.INDEX, f"{name}: {_score(found)} in place of {_score(right)}"
        if not self._attributes_fit(one, entry):
            yield Kind.ATTRIBUTES, "declared attributes are not those of its contents"
        for told in one.attributes:
            right = entry.timestamp if told.score == "-" else float(told.score)
            if told.stored != told.value or not told.place or float(told.place) != right:
                yield Kind.ATTRIBUTES, f"{told.index}: {told.place or 'missing'}"

    def _attributes_fit(self, one: Examined, entry: MemoryEntry) -> bool:
        stored = _spelled(one.fields.get(b"attributes", b"").decode("ascii", "replace"))
        needed = _spelled(spelled_attributes(entry.contents, self._complete))
        possible = _spelled(spelled_attributes(entry.contents, self._declared))
        return needed <= stored <= possible

    # -- telling and mending ------------------------------------------------------------------

    def _tell(self, one: _Validated) -> None:
        place = f"{_whose(self._tier, one.examined.owner)}, entry {one.examined.memory_id}"
        add = self._job.findings.add
        if one.entry is None:
            self._tell_unreadable(one.examined, place, one.faults[0][1])
            return
        mended = self._job.repair and self._mend(one, one.entry, place)
        for kind, why in one.faults:
            add(kind, place, why, _REPAIR, repaired=mended)

    def _mend(self, one: _Validated, entry: MemoryEntry, place: str) -> bool:
        kinds = {kind for kind, _ in one.faults}
        examined, now = one.examined, self._job.resources.clock()
        if Kind.LEVEL in kinds:
            if not self._mending.set_fields(examined, {"compression_level": "0"}, now):
                return False
            # By its right level its vector may be as wide as it should.
            return all(
                again.entry is not None
                and (not again.faults or self._mend(again, again.entry, place))
                for again in self._validated(
                    self._inspection.examine(examined.owner, [examined.memory_id])
                )
            )
        if Kind.VECTOR in kinds:
            self._renew_vector(examined, entry, place, dict(one.faults)[Kind.VECTOR])
        if Kind.ATTRIBUTES in kinds:
            spelled = spelled_attributes(entry.contents, self._declared)
            self._inspection.channel.run(
                ATTRIBUTES,
                [([examined.owner.prefix, "", ""], [entry.memory_id, entry.revision, spelled])],
            )
        seen = self._inspection.examine(examined.owner, [examined.memory_id])
        if kinds & {Kind.INDEX, Kind.ATTRIBUTES}:
            self._mending.reindex(examined.owner, seen, now)
            seen = self._inspection.examine(examined.owner, [examined.memory_id])
        return not any(again.faults for again in self._validated(seen))

    def _renew_vector(self, examined: Examined, entry: MemoryEntry, place: str, why: str) -> bool:
        if not self._job.keep(place, why, _as_text_keys(examined.fields)):
            return False
        made = self._validator.with_new_vector(entry)
        return made is not None and self._repository.encodings.reembed([made]) == [True]

    def _tell_unreadable(self, examined: Examined, place: str, why: str) -> None:
        add = self._job.findings.add
        bare = {k: v for k, v in examined.fields.items() if k != b"embedding"}
        entry = self._readable(bare, examined)
        if entry is not None:
            done = self._job.repair and self._renew_vector(examined, entry, place, why)
            add(Kind.VECTOR, place, why, _REPAIR, repaired=done)
            return
        restored = self._restored(examined)
        if self._readable({**examined.fields, **restored}, examined) is not None:
            done = self._job.keep(place, why, _as_text_keys(examined.fields)) and (
                self._mending.set_fields(
                    examined,
                    {name.decode(): value for name, value in restored.items()},
                    self._job.resources.clock(),
                )
            )
            if done:
                self._reindex_again(examined)
            add(Kind.UNREADABLE, place, f"{why}; its key and indexes tell", _REPAIR, repaired=done)
            return
        done = self._job.keep(place, why, _as_text_keys(examined.fields)) and (
            self._mending.take_out(examined, self._job.resources.clock())
        )
        told = f"{why}; its bytes are in {self._job.aside}" if done else why
        add(Kind.UNREADABLE, place, told, f"{_REPAIR}, which sets it aside", repaired=done)

    def _reindex_again(self, examined: Examined) -> None:
        seen = self._inspection.examine(examined.owner, [examined.memory_id])
        self._mending.reindex(examined.owner, seen, self._job.resources.clock())

    def _readable(self, fields: Mapping[bytes, bytes], one: Examined) -> MemoryEntry | None:
        try:
            entry = self._read(fields)
        except EncodingError:
            return None
        whose = EntryKey(one.owner.run_id, one.owner.agent_id, one.memory_id)
        return entry if entry.key == whose else None

    def _restored(self, one: Examined) -> dict[bytes, bytes]:
        """What key and indexes say of an entry. Nothing of one that no index knows."""
        if not one.places:
            return {}
        told = {
            b"memory_id": one.memory_id.encode(),
            b"run_id": encode_id(one.owner.run_id).encode(),
            b"agent_id": encode_id(one.owner.agent_id).encode(),
        }
        for name, field in ORDERS.items():
            if name in one.places:
                score = one.places[name]
                value = repr(int(score)) if field == "step_number" else repr(score)
                told[field.encode()] = value.encode()
        types = [name.removeprefix("type:") for name in one.places if name.startswith("type:")]
        if len(types) == 1:
            told[b"memory_type"] = types[0].encode()
        return told

    # -- indexes and lists --------------------------------------------------------------------

    def _check_indexes(self) -> None:
        for batch in self._inspection.scan():
            for key in batch:
                if key.owner is not None and key.expected == key.kind == "zset":
                    owner, index = key.owner, key.rest
                    if owner.prefix not in self._blocked:
                        self._check_index(owner, index)

    def _check_index(self, owner: Owner, index: str) -> None:
        strays = self._inspection.strays(owner, index, remove=self._job.repair)
        self._job.looked(f"{self._tier.name} indexes", 1)
        for memory_id in strays:
            place = f"{_whose(self._tier, owner)}, index {index}, entry {memory_id}"
            self._job.findings.add(
                Kind.ORPHAN,
                place,
                "there is no entry that belongs there",
                _REPAIR,
                repaired=self._job.repair,
            )

    def _check_registry(self, owners: set[Owner]) -> None:
        agents: defaultdict[str, set[str]] = defaultdict(set)
        for owner in owners:
            agents[encode_id(owner.run_id)].add(encode_id(owner.agent_id))
        try:
            for run, listed in self._inspection.listed().items():
                agents[run] |= {*listed}
            for run, names in sorted(agents.items()):
                self._check_run(run, sorted(names))
        except CommandRefused as error:
            self._job.findings.unfinished.append(f"{self._tier.name}, lists of agents: {error}")

    def _check_run(self, run: str, agents: Sequence[str]) -> None:
        now, repair = self._job.resources.clock(), self._job.repair
        self._job.looked(f"{self._tier.name} agents", len(agents))
        for agent, fault in self._inspection.registry(run, agents, now, mend=repair):
            what = f"agent {agent} of run {run}" if agent else f"run {run}"
            means = {
                "unlisted": "has entries and is not listed: counts and upkeep pass it by",
                "empty": "is listed and has no entries",
                "log": "a log of changes is left of it, and no entry",
            }[fault]
            kind = Kind.INDEX if fault == "unlisted" else Kind.ORPHAN
            self._job.findings.add(
                kind, f"{self._tier.name}, {what}", means, _REPAIR, repaired=repair
            )

    def _check_declared(self) -> None:
        self._learn_declared()
        missing = sorted({*self._declared} - {*self._complete})
        if not missing:
            return
        if self._job.repair:
            self._repository.upkeep.declare_attributes()
        self._job.findings.add(
            Kind.ATTRIBUTES,
            f"{self._tier.name}, attributes {', '.join(missing)}",
            "declared, and not every entry is indexed by them yet; questions by them are slow",
            _REPAIR,
            repaired=self._job.repair,
        )

    def _learn_declared(self) -> None:
        channel, namespace = self._inspection.channel, self._inspection.namespace
        declared = DeclaredAttributes(channel, namespace, ())
        try:
            self._declared: tuple[str, ...] = declared.all_paths()
            complete = declared.complete(channel.call(*declared.completeness))
        except CommandRefused:
            # Of a wrong type, which is told with the keys.
            self._declared, complete = (), set[str]()
        self._complete = tuple(path for path in self._declared if path in complete)


def _whose(tier: Tier, owner: Owner) -> str:
    return f"{tier.name}, run {owner.run_id!r}, agent {owner.agent_id!r}"


def _spelled(attributes: str) -> set[tuple[str, ...]]:
    words = attributes.split()
    return {tuple(words[first : first + 4]) for first in range(0, len(words), 4)}


def _score(score: float | None) -> str:
    return "missing" if score is None else repr(score)


def _as_text_keys(fields: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {name.decode("utf-8", "backslashreplace"): value for name, value in fields.items()}
