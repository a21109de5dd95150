"""What is recorded of a run, as the text of a cell of an exported file, and back."""

from __future__ import annotations

import json
from typing import Any

from agent_memory.errors import EncodingError, MemoryStoreError
from agent_memory.system.frames.json_text import from_json
from agent_memory.values.run import (
    FAILED,
    FINISHED,
    RUNNING,
    RunRecord,
    checked_parent,
    checked_seed,
)

_DAMAGED = TypeError, ValueError, AttributeError, KeyError, RecursionError, MemoryStoreError


def run_cell(record: RunRecord) -> str:
    """The record of a run that was begun, but for its name and when that was.

    The same run on two machines has the same text.
    """
    # As text: readers of JSON lose the digits of large numbers.
    seed = None if record.seed is None else str(record.seed)
    values = {
        "parameters": record.parameters,
        "seed": seed,
        "status": record.status,
        "parent": record.parent,
        "fork_step": record.fork_step,
    }
    return json.dumps({name: one for name, one in values.items() if one is not None})


def run_of_cell(run_id: str, cell: object) -> RunRecord:
    """The record of a run that a cell tells.

    Raises:
        EncodingError: The cell tells none.
    """
    try:
        values: Any = json.loads(cell, parse_constant=_refuse)  # type: ignore[arg-type]  # no text
        parent, fork_step = checked_parent(run_id, values.get("parent"), values.get("fork_step"))
        record = RunRecord(
            run_id,
            parent,
            fork_step,
            checked_seed(values.get("seed")),
            values["parameters"],
            values["status"],
        )
        # Where they could be stored and not read, nobody could list the runs any more.
        from_json(json.dumps(record.parameters, ensure_ascii=False).encode().decode())
    except _DAMAGED as error:
        raise EncodingError(f"its record of the run cannot be read ({error!r})") from error
    is_known = record.status in (RUNNING, FINISHED, FAILED)
    if not is_known or not isinstance(record.parameters, dict):
        raise EncodingError("its record of the run has no status or no parameters that there are")
    return record


def _refuse(number: str) -> None:
    """Refuse what no database takes for JSON; ``to_json`` spells such numbers as objects."""
    raise ValueError(f"{number} is no JSON")


def has_same_beginning(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records say that a run was begun with the same."""
    first, second = ({**json.loads(run_cell(each)), "status": ""} for each in (one, other))
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
