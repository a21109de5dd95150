"""The runs of a memory: begun with parameters and a seed, resumed, replaced, and listed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent_memory.errors import InvalidEntry, RunConflict
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.system.forgetting import Forgetting
from agent_memory.system.frames.json_text import from_json, to_json
from agent_memory.system.grouping import GroupStatistics, grouped
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.values.contents import pack, plain_contents
from agent_memory.values.quoting import quoted
from agent_memory.values.run import (
    FAILED,
    FINISHED,
    FORGOTTEN,
    RUNNING,
    Ending,
    Existing,
    RunRecord,
    RunSummary,
    checked_existing,
    checked_parent,
    checked_seed,
)

_WIDEST = 8  # bytes of a number of NumPy that Python has too
_NOTHING = GroupStatistics({}, 0, 0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run is to be begun.

    Attributes:
        record: What to record of it.
        exists: What becomes of it if it is there already.
        compared: Which fields were given, and so must be as they are recorded.
    """

    record: RunRecord
    exists: Existing
    compared: tuple[str, ...]


def beginning(
    run_id: str,
    parameters: object,
    seed: object,
    parent: object,
    fork_step: object,
    exists: object,
    max_bytes: int,
) -> Beginning | None:
    """How a run is to be begun; None if nothing is said of it.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    name, step = checked_parent(run_id, parent, fork_step)
    record = RunRecord(
        run_id, name, step, checked_seed(seed), _checked_parameters(parameters, max_bytes)
    )
    given = tuple(
        field
        for field in ("parent", "fork_step", "seed", "parameters")
        if getattr(record, field) is not None
    )
    if exists is None and not given:
        return None
    return Beginning(record, checked_existing("resume" if exists is None else exists), given)


class Runs:
    """The runs of an opened memory.

    Args:
        records: Where they are recorded.
        tiers: The repositories, richest tier first.
        intake: Where entries wait for short-term memory.
        forgetting: Forgets those that are replaced.
    """

    def __init__(
        self,
        records: RunRecords,
        tiers: Tiers,
        intake: Intake,
        forgetting: Forgetting,
    ) -> None:
        self._records = records
        self._tiers = tiers
        self._intake = intake
        self._forgetting = forgetting

    def begin(self, wanted: Beginning) -> None:
        """Begin a run, or go on with it.

        Raises:
            InvalidEntry: There is no such parent.
            RunConflict: The run is there, and is to be refused, or was begun with other values.
            RunHasForks: It is to be replaced, and other runs were forked from it.
            StoreUnavailable: A store does not answer.
        """
        record = wanted.record
        if record.parent is not None and not self._is_there(record.parent):
            raise InvalidEntry(f"parent: there is no run {quoted(record.parent)}")
        if wanted.exists == "replace":
            self._forgetting.forget(None, record.run_id, None, None, scrub=False)
        elif wanted.exists == "refuse" and self._is_there(record.run_id):
            raise RunConflict(
                f"run {quoted(record.run_id)} is there already, and nothing was stored: name "
                'another run, or say exists="resume" or exists="replace"'
            )
        recorded, is_new = self._records.begin(record, add_seed=wanted.exists == "resume")
        if not is_new:
            _refuse_others(wanted, recorded)
            if recorded.status in (FINISHED, FAILED):
                self._records.set_status(record.run_id, RUNNING)

    def end(self, run_id: str, how: Ending) -> None:
        """Record how a run ended.

        Raises:
            InvalidEntry: There is no such end, or nobody recorded that the run began.
            StoreUnavailable: Long-term memory does not answer.
        """
        if how not in ("finished", "failed"):
            raise InvalidEntry(f'status: "finished" or "failed" is needed, not {quoted(how)}')
        if not self._records.set_status(run_id, how):
            raise InvalidEntry(
                f"run {quoted(run_id)} was begun without a record: begin it with "
                "run(name, parameters=...)"
            )

    def summaries(self) -> list[RunSummary]:
        """All runs that have entries or were recorded, by name.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        held = grouped(self._tiers, "", "run")
        records = {record.run_id: record for record in self._records.all()}
        return [
            _summary(name, held.get(name), records.get(name))
            for name in sorted({*held, *(name for name, one in records.items() if _is_begun(one))})
        ]

    def _is_there(self, run_id: str) -> bool:
        record = self._records.get(run_id)
        return (
            (record is not None and _is_begun(record))
            or any(tier.agents(run_id) for tier in self._tiers)
            or any(entry.run_id == run_id for _, entry in self._intake.spooled())
        )


def _is_begun(record: RunRecord) -> bool:
    return record.parameters is not None


def _refuse_others(wanted: Beginning, recorded: RunRecord) -> None:
    if wanted.exists != "resume":
        raise RunConflict(
            f"another process has begun run {quoted(recorded.run_id)} meanwhile; nothing was stored"
        )
    for field in wanted.compared:
        given, there = getattr(wanted.record, field), getattr(recorded, field)
        if _text(given) != _text(there):
            raise RunConflict(
                f"{field}: run {quoted(recorded.run_id)} was begun with {quoted(there, 200)}, and "
                f"is resumed with {quoted(given, 200)}; nothing was stored: name another run, or "
                'say exists="replace"'
            )


def _text(value: Any) -> str:
    # 1, 1.0 and True are equal to Python, and different parameters.
    return json.dumps(value, sort_keys=True)


def _summary(name: str, held: GroupStatistics | None, record: RunRecord | None) -> RunSummary:
    record = RunRecord(name, created_at=0.0) if record is None else record
    counts = _NOTHING if held is None else held
    return RunSummary(
        run_id=name,
        parent=record.parent,
        seed=record.seed,
        parameters=from_json(json.dumps(record.parameters or {})),
        # What is stored of it after it was forgotten belongs to it.
        status=RUNNING if record.status == FORGOTTEN else record.status,
        agents=counts.agents,
        first_step=None if held is None else held.first_step,
        last_step=None if held is None else held.last_step,
        entries=counts.entries,
        created_at=record.created_at or None,
        fork_step=record.fork_step,
    )


def _checked_parameters(parameters: object, max_bytes: int) -> dict[str, Any] | None:
    """Parameters as JSON values, from which ``from_json`` gives them back.

    NumPy's numbers, as sweeps have them, become Python's.

    Raises:
        InvalidEntry: They are no dict by text, or hold what cannot be stored.
    """
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping) or not all(type(key) is str for key in parameters):
        raise InvalidEntry(f"parameters: a dict by name is needed, not {quoted(parameters)}")
    try:
        plain = plain_contents(parameters, max_bytes)
        pack(plain, max_bytes=max_bytes)
    except InvalidEntry as error:
        raise InvalidEntry(str(error).replace("contents", "parameters", 1)) from error
    as_json: dict[str, Any] = json.loads(to_json({name: _bare(it) for name, it in plain.items()}))
    return as_json


def _bare(value: Any) -> Any:
    """A value in which numbers of NumPy are Python's."""
    if isinstance(value, dict):
        return {name: _bare(it) for name, it in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_bare(it) for it in value)
    is_number = isinstance(value, np.generic) and value.dtype.kind in "biuf"
    return value.item() if is_number and value.dtype.itemsize <= _WIDEST else value
