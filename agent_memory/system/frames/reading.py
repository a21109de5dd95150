"""Reads stored entries a page at a time, each once, from the richest tier that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from agent_memory.repositories.querying import agents_of, run_of
from agent_memory.retrieval.recall import recall
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Hit, Order, Query

PAGE = 10_000
"""How many entries are read at once."""

_RANGES = {Order.STEP: ("steps", "step_number"), Order.OLDEST: ("times", "timestamp")}
_END = {"steps": MAX_STEP, "times": inf}


def queries_of_runs(tiers: Sequence[TierReader], runs: Iterable[str]) -> Iterator[Query]:
    """A query for each agent of some runs, run by run, each by step."""
    for run_id in dict.fromkeys(runs):
        for agent_id in agents_of(tiers, run_id):
            yield Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)


def chunks(tiers: Sequence[TierReader], queries: Iterable[Query]) -> Iterator[list[Hit]]:
    """What answers some queries, in lists of about ``PAGE``, each of one run.

    Args:
        tiers: The tiers as questions see them, richest first.
        queries: What is asked, each naming its run. Those of one run follow each other.
    """
    held: list[Hit] = []
    run_id: str | None = None
    for query in _by_run(tiers, queries):
        if held and (len(held) >= PAGE or run_of(query) != run_id):
            yield held
            held = []
        run_id = run_of(query)
        for page in _pages(tiers, query):
            if held and len(held) + len(page) > PAGE:
                yield held
                held = []
            held = held + page if held else page
    if held:
        yield held


def _by_run(tiers: Sequence[TierReader], queries: Iterable[Query]) -> Iterator[Query]:
    """The queries, those of several runs run by run."""
    for query in queries:
        runs = query.runs
        if runs is None:
            runs = tuple(sorted({run_id for tier in tiers for run_id in tier.runs()}))
        for run_id in runs:
            yield replace(query, run_id=run_id)


def _pages(tiers: Sequence[TierReader], query: Query) -> Iterator[list[Hit]]:
    """What answers a query; a page begins where the last one ended, whatever moves meanwhile."""
    if query.limit is not None or query.sorting not in _RANGES:
        yield recall(tiers, query)
        return
    name, of = _RANGES[query.sorting]
    seen: set[EntryKey] = set()
    size = PAGE
    while True:
        found = recall(tiers, replace(query, limit=size))
        page = [hit for hit in found if hit.entry.key not in seen] if seen else found
        if page:
            yield page
        if len(found) < size:
            return
        last = getattr(found[-1].entry, of)
        seen = {hit.entry.key for hit in found if getattr(hit.entry, of) == last}
        # More entries of one step than a page holds.
        size = max(PAGE, 2 * len(seen))
        bounds = getattr(query, name)
        rest: dict[str, Any] = {name: (last, _END[name] if bounds is None else bounds[1])}
        query = replace(query, **rest)
