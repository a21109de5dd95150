"""Draws entries of all tiers at random, in proportion to their importance or to a value of theirs.

What is drawn from is kept in this process (``repositories.importances``), and each tier is asked
what has changed since: so that a draw costs what it reads, and not what there is to draw from.
Entries are drawn in the order of agents and ids, wherever they are: the same seed draws the same.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EntryConflict, InvalidEntry
from agent_memory.repositories.importances import Importances
from agent_memory.repositories.querying import agents_of
from agent_memory.retrieval.recall import fetch
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.attributes import checked_path
from agent_memory.values.checks import checked_number
from agent_memory.values.entry import EntryKey
from agent_memory.values.forking import after_fork
from agent_memory.values.paths import value_at
from agent_memory.values.query import Hit
from agent_memory.values.recently_used import RecentlyUsed
from agent_memory.values.sample import Sample
from agent_memory.values.scalars import is_number, plain

MAX_BYTES = 512 * 1024**2
"""How many bytes of what is drawn from a process keeps, beside those of the tiers."""

_ATTEMPTS = 16
_READ_AT_ONCE = 500
_MOST_DRAWN = 100_000  # entries whose agents are known without looking
_ENTRY_BYTES = 33 + 4 * 8
_BARE = 2_000


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn by.

    Attributes:
        by: "importance", "uniform", or the path of a number in contents.
        alpha: The power that it is raised to; 0 draws each as often.
        steps: First and last step, both included; None: any.
    """

    by: str
    alpha: float
    steps: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check what the weights are made of."""
        if self.path is not None:
            object.__setattr__(self, "by", checked_path(self.by))

    @property
    def path(self) -> str | None:
        """The path of a number in contents, where one is drawn by."""
        return None if self.by in ("importance", "uniform") else self.by


def checked_power(name: str, value: object) -> float:
    """Return a power of weights: a finite number of 0 or more.

    Raises:
        InvalidEntry: It is none.
    """
    power = checked_number(name, value)
    if not (math.isfinite(power) and power >= 0.0):
        raise InvalidEntry(f"{name}: a finite number of 0 or more is needed, not {power}")
    return power


class Sampler:
    """Draws from the entries of all tiers. Threads may share it.

    Args:
        tiers: The tiers as questions see them, richest first.
    """

    def __init__(self, tiers: Sequence[TierReader]) -> None:
        self._tiers = tiers
        self._kept: RecentlyUsed[tuple[str, str], _Agent] = RecentlyUsed(
            lambda _: _Agent(), MAX_BYTES
        )
        self._drawn_of: dict[tuple[str, str], set[str]] = {}

    def sample(
        self,
        run_id: str,
        agents: Sequence[str] | None,
        count: int,
        draw: Draw,
        beta: float,
        rng: np.random.Generator,
    ) -> Sample:
        """Draw entries; see ``AgentMemorySystem.sample``.

        Args:
            run_id: The run.
            agents: The agents; None: all of the run.
            count: How many draws.
            draw: What is drawn by.
            beta: The power of the weights that make up for it.
            rng: The source of chance.

        Raises:
            InvalidEntry: The weights of all that could be drawn are 0.
            StoreUnavailable: A tier does not answer.
            EntryConflict: What was drawn was forgotten before it could be read, over and over.
        """
        state = rng.bit_generator.state
        for _ in range(_ATTEMPTS):
            rng.bit_generator.state = state
            urns = self._urns(run_id, agents, draw)
            drawn = _drawn(urns, count, draw, rng)
            if drawn is None:
                return Sample((), np.zeros(0), np.zeros(0))
            found = self._read(urns, drawn, run_id)
            if found is not None:
                least = min(urn.least for urn in urns.values() if urn.total > 0.0)
                with np.errstate(over="ignore"):  # of what is that much likelier nothing is left
                    weights = (drawn.weights / least) ** -beta
                return Sample(tuple(found), drawn.weights / drawn.total, weights)
        raise EntryConflict("sample: what was drawn was forgotten each time; call again")

    def owners_of(self, run_id: str, memory_ids: Sequence[str]) -> dict[str, list[str]]:
        """The agents that have an entry of each of some ids; of what was drawn lately its own."""
        owners = {
            it: sorted(self._drawn_of[run_id, it])
            for it in memory_ids
            if (run_id, it) in self._drawn_of
        }
        memory_ids = [it for it in memory_ids if it not in owners]
        if not memory_ids:
            return owners
        names = np.array([it.encode() for it in memory_ids], "S32")
        for agent_id, parts in self._parts(run_id, None).items():
            there = np.zeros(len(names), bool)
            for part in parts:
                if part is not None:
                    there |= part.places_of(names)[1]
            for place in np.flatnonzero(there).tolist():
                owners.setdefault(memory_ids[place], []).append(agent_id)
        return owners

    def _parts(self, run_id: str, agents: Sequence[str] | None) -> dict[str, _Parts]:
        """What each tier has of each agent; from the top down, as entries move."""
        named = agents_of(self._tiers, run_id) if agents is None else sorted(set(agents))
        tiers = [tier.importances_of(run_id, named) for tier in self._tiers]
        parts = {agent: tuple(tier.get(agent) for tier in tiers) for agent in named}
        return {agent: those for agent, those in parts.items() if any(map(_is_some, those))}

    def _urns(self, run_id: str, agents: Sequence[str] | None, draw: Draw) -> dict[str, _Urn]:
        urns = {}
        for agent_id, parts in self._parts(run_id, agents).items():
            kept = self._kept.of((run_id, agent_id))
            urns[agent_id] = kept.urn(
                parts, draw, lambda keys: self._values(keys, draw.by), (run_id, agent_id)
            )
        self._kept.make_room()
        return urns

    def _values(self, keys: Sequence[EntryKey], path: str) -> dict[bytes, float]:
        """The numbers at a path of some entries; NaN where there is none."""
        found: dict[bytes, float] = {}
        for first in range(0, len(keys), _READ_AT_ONCE):
            for hit in fetch(self._tiers, keys[first : first + _READ_AT_ONCE]):
                value = plain(value_at(hit.entry.contents, path))
                number = float(value) if is_number(value) else math.nan
                found[hit.entry.memory_id.encode()] = number
        return found

    def _read(self, urns: Mapping[str, _Urn], drawn: _Drawn, run_id: str) -> list[Hit] | None:
        """The entries that were drawn; None where one of them is gone."""
        names, every = [*urns], [*urns.values()]
        firsts = np.cumsum([0, *(len(urn.ids) for urn in every)])
        _, where, drawn_of = np.unique(
            firsts[drawn.owners] + drawn.places, return_index=True, return_inverse=True
        )
        keys: list[EntryKey] = []  # of what is drawn several times one
        by_tier: dict[int, list[EntryKey]] = {}
        places = zip(drawn.owners[where].tolist(), drawn.places[where].tolist(), strict=True)
        for owner, place in places:
            urn = every[owner]
            key = EntryKey(run_id, names[owner], urn.ids[place].decode())
            keys.append(key)
            by_tier.setdefault(int(urn.tiers[place]), []).append(key)
        found = {
            entry.key: Hit(entry, tier.tier)
            for place, tier in enumerate(self._tiers)
            if place in by_tier
            for entry in tier.get_many(by_tier[place])
        }
        moved = [key for key in keys if key not in found]
        found |= {hit.entry.key: hit for hit in fetch(self._tiers, moved)} if moved else {}
        if not all(key in found for key in moved):
            return None
        if len(self._drawn_of) > _MOST_DRAWN:
            self._drawn_of = {}
        for key in found:
            self._drawn_of.setdefault((run_id, key.memory_id), set()).add(key.agent_id)
        hits = [found[key] for key in keys]
        return [hits[place] for place in drawn_of.tolist()]


_Parts = tuple[Importances | None, ...]
_Read = Callable[[Sequence[EntryKey]], dict[bytes, float]]


def _is_some(part: Importances | None) -> bool:
    return part is not None and len(part.ids) > 0


class _Urn(NamedTuple):
    """What one agent's entries are drawn from.

    Attributes:
        ids: The memory ids, ascending, of shape (n,).
        tiers: Of each the richest tier, of shape (n,).
        weights: Of each, of shape (n,).
        sums: Of the weights up to each, of shape (n,).
        least: The least weight but 0; infinite where there is none.
        asked: How many entries are of the steps that are asked for.
    """

    ids: NDArray[np.bytes_]
    tiers: NDArray[np.int8]
    weights: NDArray[np.float64]
    sums: NDArray[np.float64]
    least: float
    asked: int

    @property
    def total(self) -> float:
        """Of all weights."""
        return float(self.sums[-1]) if len(self.sums) else 0.0


class _Drawn(NamedTuple):
    """What was drawn: of each draw the agent's number, the place in its urn, and the weight."""

    owners: NDArray[np.intp]
    places: NDArray[np.intp]
    weights: NDArray[np.float64]
    total: float


class _Agent:
    """What is kept of one agent: its entries over all tiers, and what they were drawn by."""

    def __init__(self) -> None:
        self.size = _BARE
        self._parts: _Parts = ()
        self._merged = _merged(())
        self._urns: dict[Draw, _Urn] = {}
        self._values: dict[str, dict[bytes, float]] = {}
        self._unlock()
        after_fork(self._unlock)

    def urn(
        self,
        parts: _Parts,
        draw: Draw,
        values: _Read,
        owner: tuple[str, str],
    ) -> _Urn:
        """What to draw from; made again only where something has changed."""
        with self._lock:
            if not _same(parts, self._parts):
                self._merged = _merged(parts)
                self._parts, self._urns = parts, {}
            if draw not in self._urns:
                if len(self._urns) >= 4:
                    self._urns.clear()
                self._urns[draw] = self._made(draw, values, owner)
            kept = len(self._merged.ids) * (1 + len(self._urns))
            listed = sum(map(len, self._values.values()))
            self.size = _BARE + _ENTRY_BYTES * kept + 120 * listed
            return self._urns[draw]

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def _made(
        self,
        draw: Draw,
        values: _Read,
        owner: tuple[str, str],
    ) -> _Urn:
        merged = self._merged
        if draw.by == "uniform":
            raw = np.ones(len(merged.ids))
        elif draw.by == "importance":
            raw = merged.importance
        else:
            raw = self._at_path(draw.by, values, owner)
        asked = np.ones(len(raw), bool)
        if draw.steps is not None:
            asked = (merged.steps >= draw.steps[0]) & (merged.steps <= draw.steps[1])
        usable = np.isfinite(raw) & (raw >= 0.0) & asked
        with np.errstate(over="ignore"):  # sums that are no number are refused
            weights = np.where(usable, np.where(usable, raw, 0.0) ** draw.alpha, 0.0)
            sums = np.cumsum(weights)
        positive = weights[weights > 0.0]
        least = float(positive.min()) if len(positive) else math.inf
        return _Urn(merged.ids, merged.tiers, weights, sums, least, int(np.count_nonzero(asked)))

    def _at_path(
        self,
        path: str,
        values: _Read,
        owner: tuple[str, str],
    ) -> NDArray[np.float64]:
        """The numbers at a path; of entries that were not seen before they are read."""
        known = self._values.setdefault(path, {})
        ids = self._merged.ids.tolist()
        new = [EntryKey(*owner, it.decode()) for it in ids if it not in known]
        known |= values(new) if new else {}
        return np.array([known.get(it, math.nan) for it in ids], np.float64)


class _Merged(NamedTuple):
    """The entries of an agent over all tiers, each once."""

    ids: NDArray[np.bytes_]
    importance: NDArray[np.float64]
    steps: NDArray[np.int64]
    tiers: NDArray[np.int8]


def _merged(parts: _Parts) -> _Merged:
    given = [(place, part) for place, part in enumerate(parts) if part is not None]
    if not given:
        return _Merged(np.zeros(0, "S32"), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int8))
    ids = np.concatenate([part.ids for _, part in given])
    tiers = np.concatenate([np.full(len(part.ids), place, np.int8) for place, part in given])
    importance = np.concatenate([part.importance for _, part in given])
    steps = np.concatenate([part.steps for _, part in given])
    if len(given) > 1:
        # A stable sort: of an entry in two tiers the richer one's comes first.
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        first = np.ones(len(ids), bool)
        first[1:] = ids[1:] != ids[:-1]
        order, ids = order[first], ids[first]
        tiers, importance, steps = tiers[order], importance[order], steps[order]
    return _Merged(ids, importance, steps, tiers)


def _same(one: _Parts, other: _Parts) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _drawn(
    urns: Mapping[str, _Urn], count: int, draw: Draw, rng: np.random.Generator
) -> _Drawn | None:
    """Draw from urns; None where there is nothing to draw from, or nothing is wanted."""
    every = [*urns.values()]
    if not any(urn.asked for urn in every) or not count:
        return None
    with np.errstate(over="ignore"):
        ends = np.cumsum([urn.total for urn in every])
    total = float(ends[-1])
    if not (total > 0.0 and math.isfinite(total)):
        raise InvalidEntry(
            f"sample: by {draw.by!r}, alpha {draw.alpha}: the weights of all that could be drawn "
            "are 0, or their sum is no number"
        )
    chances = rng.random(count) * total
    last = int(np.flatnonzero(np.diff(ends, prepend=0.0) > 0.0)[-1])
    owners = np.searchsorted(ends, chances, side="right").clip(max=last)
    places = np.zeros(count, np.intp)
    weights = np.zeros(count)
    order = np.argsort(owners, kind="stable")
    drawn_of, firsts = np.unique(owners[order], return_index=True)
    for owner, of_owner in zip(drawn_of.tolist(), np.split(order, firsts[1:]), strict=True):
        urn = every[owner]
        within = chances[of_owner] - (ends[owner - 1] if owner else 0.0)
        found = np.searchsorted(urn.sums, within, side="right")
        positive = int(np.searchsorted(urn.sums, urn.total, side="left"))
        places[of_owner] = found.clip(max=positive)
        weights[of_owner] = urn.weights[places[of_owner]]
    return _Drawn(owners, places, weights, total)
