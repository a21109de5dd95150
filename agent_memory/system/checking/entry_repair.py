"""Reports what is wrong with entries of a Redis tier, and mends what can be mended."""

from __future__ import annotations

from collections.abc import Mapping

from agent_memory.models.redis import encode_id
from agent_memory.models.redis_attributes import spelled_attributes
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis.inspection import ORDERS, Examined, TierInspection
from agent_memory.repositories.redis.mending import TierMending
from agent_memory.repositories.redis.scripts import ATTRIBUTES
from agent_memory.system.checking.entries import EntryValidation, Validated
from agent_memory.system.checking.job import REPAIR, UPGRADE, Job
from agent_memory.system.checking.validation import Validator
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import MemoryEntry


class EntryRepair:
    """Mends entries of one Redis tier, if that is asked for, and reports each fault.

    Args:
        job: The check it belongs to.
        validator: Makes vectors.
        validation: Validates entries again once they are mended.
        repository: The tier.
        inspection: The tier, beneath.
    """

    def __init__(
        self,
        job: Job,
        validator: Validator,
        validation: EntryValidation,
        repository: MemoryRepository,
        inspection: TierInspection,
    ) -> None:
        self._job = job
        self._validator = validator
        self._validation = validation
        self._repository = repository
        self._inspection = inspection
        self._mending = TierMending(inspection)

    def report(self, one: Validated, place: str) -> None:
        """Report the faults of an entry, and mend them if that is asked for."""
        if one.faults[0][0] is Kind.NEWER:
            self._job.findings.add(Kind.NEWER, place, one.faults[0][1], UPGRADE)
            return
        if one.entry is None:
            self._report_unreadable(one.examined, place, one.faults[0][1])
            return
        mended = self._job.repair and self._mend(one, one.entry, place)
        for kind, why in one.faults:
            self._job.findings.add(kind, place, why, REPAIR, repaired=mended)

    # -- entries that can be read -------------------------------------------------------------

    def _mend(self, one: Validated, entry: MemoryEntry, place: str) -> bool:
        kinds = {kind for kind, _ in one.faults}
        examined = one.examined
        if Kind.LEVEL in kinds:
            return self._mend_level(examined, place)
        if Kind.VECTOR in kinds:
            self._renew_vector(examined, entry, place, dict(one.faults)[Kind.VECTOR])
        if Kind.ATTRIBUTES in kinds:
            self._renew_attributes(examined, entry)
        if kinds & {Kind.INDEX, Kind.ATTRIBUTES}:
            self._reindex(examined)
        again = self._validation.examine(examined.owner, [examined.memory_id])
        return not any(found.faults for found in again)

    def _mend_level(self, examined: Examined, place: str) -> bool:
        now = self._job.clock()
        if not self._mending.set_fields(examined, {"compression_level": "0"}, now):
            return False
        # By its right level its vector may be as wide as it should.
        return all(
            again.entry is not None and (not again.faults or self._mend(again, again.entry, place))
            for again in self._validation.examine(examined.owner, [examined.memory_id])
        )

    def _renew_vector(self, examined: Examined, entry: MemoryEntry, place: str, why: str) -> bool:
        if not self._job.keep(place, why, _as_text_keys(examined.fields)):
            return False
        made = self._validator.with_new_vector(entry)
        return made is not None and self._repository.encodings.reembed([made]) == [True]

    def _renew_attributes(self, examined: Examined, entry: MemoryEntry) -> None:
        spelled = spelled_attributes(entry.contents, self._validation.declared)
        self._inspection.channel.run(
            ATTRIBUTES,
            [([examined.owner.prefix, "", ""], [entry.memory_id, entry.revision, spelled])],
        )

    def _reindex(self, examined: Examined) -> None:
        seen = self._inspection.examine(examined.owner, [examined.memory_id])
        self._mending.reindex(examined.owner, seen, self._job.clock())

    # -- entries that cannot be read ----------------------------------------------------------

    def _report_unreadable(self, examined: Examined, place: str, why: str) -> None:
        add = self._job.findings.add
        without_vector = {k: v for k, v in examined.fields.items() if k != b"embedding"}
        entry = self._validation.readable(without_vector, examined)
        if entry is not None:
            done = self._job.repair and self._renew_vector(examined, entry, place, why)
            add(Kind.VECTOR, place, why, REPAIR, repaired=done)
            return
        restored = _restored(examined)
        if self._validation.readable({**examined.fields, **restored}, examined) is not None:
            done = self._restore(examined, restored, place, why)
            add(Kind.UNREADABLE, place, f"{why}; its key and indexes tell", REPAIR, repaired=done)
            return
        done = self._quarantine(examined, place, why)
        report = f"{why}; its bytes are in {self._job.quarantine_place}" if done else why
        add(Kind.UNREADABLE, place, report, f"{REPAIR}, which quarantines it", repaired=done)

    def _restore(
        self, examined: Examined, restored: Mapping[bytes, bytes], place: str, why: str
    ) -> bool:
        """Set the fields that the key and the indexes tell."""
        if not self._job.keep(place, why, _as_text_keys(examined.fields)):
            return False
        fields = {name.decode(): value for name, value in restored.items()}
        if not self._mending.set_fields(examined, fields, self._job.clock()):
            return False
        self._reindex(examined)
        return True

    def _quarantine(self, examined: Examined, place: str, why: str) -> bool:
        return self._job.keep(place, why, _as_text_keys(examined.fields)) and (
            self._mending.take_out(examined, self._job.clock())
        )


def _restored(one: Examined) -> dict[bytes, bytes]:
    """What key and indexes say of an entry. Nothing of one that no index knows."""
    if not one.places:
        return {}
    found = {
        b"memory_id": one.memory_id.encode(),
        b"run_id": encode_id(one.owner.run_id).encode(),
        b"agent_id": encode_id(one.owner.agent_id).encode(),
    }
    for name, field in ORDERS.items():
        if name in one.places:
            score = one.places[name]
            value = repr(int(score)) if field == "step_number" else repr(score)
            found[field.encode()] = value.encode()
    types = [name.removeprefix("type:") for name in one.places if name.startswith("type:")]
    if len(types) == 1:
        found[b"memory_type"] = types[0].encode()
    return found


def _as_text_keys(fields: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {name.decode("utf-8", "backslashreplace"): value for name, value in fields.items()}
