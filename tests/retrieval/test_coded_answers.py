"""Questions to entries that a trained code has coded: the answers of a reference that has the same.

Demoted entries differ from what was stored by their error bounds. So the reference holds them as
they are read one by one, and every other way to read them must give the same.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from agent_memory import ALL_RUNS, AgentMemorySystem, MemoryEntry, Order, Query, Tier
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing.questions import random_entries, random_query
from agent_memory.values.conditions import between, near_point
from tests.engines import usually_on
from tests.memories import Opener, any_path
from tests.retrieval.test_pages import pages

# Older than any age: what leaves a tier does so for its number alone.
_LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 3, "ttl": 2 * 10**9},
    "im_config": {"memory_limit": 3, "ttl": 2 * 10**9},
}
_CONDITIONS: tuple[dict[Any, Any], ...] = (
    {"heat": between(0.0, 0.5)},
    {"heat": between(None, 0.0), "mood": "calm"},
    {"home.at": (1, 2)},
    {("heat", "home.at[0]"): near_point((0.0, 1.0), 0.8)},
)


def _demoted(memory: AgentMemorySystem, rng: random.Random) -> list[MemoryEntry]:
    """Entries of several runs and agents, of which most have moved down and are coded."""
    entries = [
        replace(entry, contents={**entry.contents, "heat": rng.gauss(0.0, 1.0)})
        for entry in random_entries(rng, 150)
    ]
    memory.train_encoder([entry.contents for entry in entries], epochs=1)
    memory.stm.add_many(entries)
    memory.maintain()
    return entries


@any_path
@usually_on("embedded", "tcp and postgresql")
def test_coded_entries_answer_as_the_reference_that_has_the_same(open_memory: Opener) -> None:
    rng = random.Random(8)
    memory = open_memory(**_LIMITS)
    stored = {entry.key: entry for entry in _demoted(memory, rng)}
    assert memory.ltm.encodings.code_versions()
    reference = InMemoryRepository()
    for key, entry in stored.items():
        hit = memory.run(key.run_id).fetch(key.agent_id, key.memory_id, touch=False)
        assert hit is not None
        reference.add(hit.entry)
        bound = (hit.entry.error_bounds or {}).get("heat", 0.0)
        assert abs(hit.entry.contents["heat"] - entry.contents["heat"]) <= bound * (1 + 1e-9)
        assert hit.entry.contents["mood" if "mood" in entry.contents else "home"] == (
            entry.contents.get("mood", entry.contents["home"])
        )
    assert {hit.tier for hit in memory.recall(run_id=ALL_RUNS, touch=False)} == {*Tier}
    for number in range(24):
        query = random_query(rng)
        if number % 2:
            query = replace(query, attributes=rng.choice(_CONDITIONS))
        expected = reference.find(query)
        assert [hit.entry for hit in memory.recall(query, touch=False)] == expected, query
        assert memory.count(query) == memory.explain(query).found == len(expected), query
        if number % 4 == 0:
            whole = replace(query, limit=7)
            found = [hit.entry for page in pages(memory, whole) for hit in page]
            assert found == reference.find(replace(query, limit=None)), query


@usually_on("embedded")
def test_coded_entries_are_sampled_and_followed_as_the_reference_has_them(
    open_memory: Opener,
) -> None:
    rng = random.Random(9)
    memory = open_memory(**_LIMITS)
    _demoted(memory, rng)
    held = {
        hit.entry.key: hit.entry
        for hit in memory.recall(Query(run_id="run"), touch=False)
        if hit.entry.contents["heat"] > 0.0
    }
    batch = memory.sample(200, by="heat", alpha=1.0, seed=2, run_id="run")
    total = sum(entry.contents["heat"] for entry in held.values())
    for hit, chance in zip(batch.hits, batch.probabilities, strict=True):
        assert hit.entry == held[hit.entry.key]
        assert abs(chance * total / hit.entry.contents["heat"] - 1.0) < 1e-9
    history = memory.history("ant", "heat", run_id="run", memory_type=None)
    hits = memory.recall(agent_id="ant", run_id="run", order=Order.STEP, touch=False)
    assert history.values.tolist() == [hit.entry.contents["heat"] for hit in hits]
    assert history.steps.tolist() == [hit.entry.step_number for hit in hits]
