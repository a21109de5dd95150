"""Checks a tier in Redis: its keys, its entries, its indexes, and the lists of its agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from agent_memory.errors import CommandRefused
from agent_memory.models.redis import encode_id
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis.inspection import FoundKey, Owner, TierInspection
from agent_memory.system.checking.cross_tier import CrossTierChecks
from agent_memory.system.checking.entries import EntryValidation
from agent_memory.system.checking.entry_repair import EntryRepair
from agent_memory.system.checking.job import REPAIR, Job
from agent_memory.system.checking.validation import Validator
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import Tier

_REGISTRY_FAULTS = {
    "unlisted": "has entries and is not listed: counts and upkeep pass it by",
    "empty": "is listed and has no entries",
    "log": "a log of changes is left of it, and no entry",
}


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
        self._cross_tier_checks = cross_tier_checks
        self._repository = repository
        self._inspection = inspection
        self._tier = repository.tier
        self._validation = EntryValidation(self._tier, inspection, validator)
        self._repair = EntryRepair(job, validator, self._validation, repository, inspection)
        self._blocked: set[str] = set()

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
            done = self._quarantine_key(key, place, means)
            if not done and key.owner is not None:
                self._blocked.add(key.owner.prefix)
            add(Kind.KEY, place, means, REPAIR, repaired=done)
        if key.expires:
            if self._job.repair:
                self._inspection.channel.call("PERSIST", key.name)
            means = "would expire, and entries would be lost unmoved"
            add(Kind.KEY, place, means, REPAIR, repaired=self._job.repair)

    def _quarantine_key(self, key: FoundKey, place: str, why: str) -> bool:
        channel = self._inspection.channel
        dumped = channel.call("DUMP", key.name) if self._job.repair else None
        if dumped is None or not self._job.keep(place, why, {"dump": dumped}):
            return False
        channel.call("DEL", key.name)
        return True

    # -- entries ------------------------------------------------------------------------------

    def _check_entries(self) -> None:
        for batch in self._entry_ids():
            for owner, ids in batch.items():
                try:
                    self._check_owner(owner, ids)
                except CommandRefused as error:
                    # A key of it was replaced by one of another type since its keys were checked.
                    self._job.findings.unfinished.append(f"{_whose(self._tier, owner)}: {error}")

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

    def _check_owner(self, owner: Owner, ids: Sequence[str]) -> None:
        examined = self._inspection.examine(owner, ids)
        self._job.looked(f"{self._tier.name} entries", len(examined))
        validated = self._validation.validate(examined)
        suspects = [one.examined.memory_id for one in validated if one.faults]
        if suspects:
            # Attributes may have been declared, and a vector been re-encoded, meanwhile.
            self._validation.learn_declared()
            for one in self._validation.examine(owner, suspects):
                if one.faults:
                    place = f"{_whose(self._tier, owner)}, entry {one.examined.memory_id}"
                    self._repair.report(one, place)
        readable = [one.entry for one in validated if one.entry is not None]
        self._cross_tier_checks.look(self._tier, readable)

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
                REPAIR,
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
        now, repair = self._job.clock(), self._job.repair
        self._job.looked(f"{self._tier.name} agents", len(agents))
        for agent, fault in self._inspection.registry(run, agents, now, mend=repair):
            what = f"agent {agent} of run {run}" if agent else f"run {run}"
            kind = Kind.INDEX if fault == "unlisted" else Kind.ORPHAN
            self._job.findings.add(
                kind,
                f"{self._tier.name}, {what}",
                _REGISTRY_FAULTS[fault],
                REPAIR,
                repaired=repair,
            )

    def _check_declared(self) -> None:
        self._validation.learn_declared()
        missing = sorted({*self._validation.declared} - {*self._validation.complete})
        if not missing:
            return
        if self._job.repair:
            self._repository.upkeep.declare_attributes()
        self._job.findings.add(
            Kind.ATTRIBUTES,
            f"{self._tier.name}, attributes {', '.join(missing)}",
            "declared, and not every entry is indexed by them yet; questions by them are slow",
            REPAIR,
            repaired=self._job.repair,
        )


def _whose(tier: Tier, owner: Owner) -> str:
    return f"{tier.name}, run {owner.run_id!r}, agent {owner.agent_id!r}"
