"""Whose something is that was quarantined: by what is left of its fields, its key and its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from agent_memory.models.redis import decode_id

_QUOTED = r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_OF_AN_AGENT = re.compile(rf"run {_QUOTED}, agent {_QUOTED}")
_ENTRY = re.compile(r"entry ([0-9a-f]{32})\b")
_IN_KEY = re.compile(r"\{(\w+)/(\w+)\}:([0-9a-f]{32})?")


@dataclass(frozen=True, slots=True)
class Owners:
    """The agents and entries that something may have belonged to; damage may make them differ.

    Attributes:
        agents: Runs, and agents in them.
        memory_ids: The ids.
    """

    agents: frozenset[tuple[str, str]]
    memory_ids: frozenset[str]

    @property
    def are_unknown(self) -> bool:
        """Whether nothing tells whose it is."""
        return not self.agents

    def include(self, run_id: str, agents: frozenset[str] | None) -> bool:
        """Whether it may be of one of these agents of a run; None: of any of them."""
        return any(
            run == run_id and (agents is None or agent in agents) for run, agent in self.agents
        )


def owners_of(place: str, stored: Mapping[str, Any]) -> Owners:
    """Whose something is that was quarantined.

    Args:
        place: Where it was.
        stored: What was stored of it.
    """
    named = [*_named(stored), *_placed(place)]
    return Owners(
        frozenset((run, agent) for run, agent, _ in named if run is not None and agent is not None),
        frozenset(memory_id for _, _, memory_id in named if memory_id is not None),
    )


_Named = tuple[str | None, str | None, str | None]


def _named(stored: Mapping[str, Any]) -> Iterator[_Named]:
    fields = stored
    if isinstance(waiting := stored.get("entry"), bytes):
        try:
            unpacked = msgpack.unpackb(waiting)
        except (ValueError, msgpack.UnpackException):
            return
        fields = unpacked if isinstance(unpacked, dict) else {}
    run, agent, memory = (_text(fields.get(name)) for name in ("run_id", "agent_id", "memory_id"))
    yield run, agent, memory


def _placed(place: str) -> Iterator[_Named]:
    entry = _ENTRY.search(place)
    memory_id = entry and entry[1]
    found = _OF_AN_AGENT.search(place)
    if found is not None:
        yield ast.literal_eval(found[1]), ast.literal_eval(found[2]), memory_id
    for run, agent, ending in _IN_KEY.findall(place):
        try:
            yield decode_id(run.encode()), decode_id(agent.encode()), ending or memory_id
        except (ValueError, UnicodeDecodeError):
            continue


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
