"""The values that pictures are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, EntryNotFound, InvalidEntry, Tier
from agent_memory.system.pictures.records import Point
from agent_memory.system.pictures.sampling import evenly, peaks
from tests.system.pictures.lives import AGENT, MARKUP, STEPS, live, opened


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with opened(tmp_path) as memory:
        live(memory)
        yield memory


def test_a_life_is_all_that_an_agent_remembers_in_the_order_of_steps(
    memory: AgentMemorySystem,
) -> None:
    life = memory.plot.data.life(AGENT)
    assert [moment.step for moment in life.moments] == [*range(STEPS), STEPS - 1]
    assert {moment.tier for moment in life.moments} == {*Tier}
    assert (life.sampled.shown, life.sampled.total, life.sampled.note) == (61, 61, "")
    with pytest.raises(EntryNotFound, match=r"agent 'nobody' of run 'default' has no entries"):
        memory.plot.data.life("nobody")


def test_much_is_sampled_evenly_and_says_so(memory: AgentMemorySystem) -> None:
    life = memory.plot.data.life(AGENT, most=20)
    steps = [moment.step for moment in life.moments]
    assert len(steps) == 20
    assert max(later - step for step, later in pairwise(steps)) <= 5
    assert life.sampled.note == "20 of 61 entries are shown, an even sample"
    held = memory.plot.data.occupancy(AGENT, most=20)
    assert sum(each.entries for each in held.held) == 20
    assert held.sampled.note


def test_of_many_agents_whole_lives_are_counted(memory: AgentMemorySystem) -> None:
    for place in range(30):
        for step in range(10):
            memory.store_agent_state(f"bee-{place}", {"food": step}, step)
    held = memory.plot.data.occupancy(most=100)
    assert held.agents.total == 31
    assert held.agents.shown < 10
    assert held.sampled.total == 361
    assert sum(each.entries for each in held.held) == held.sampled.shown
    assert 0 < held.sampled.shown <= 100
    everything = memory.plot.data.occupancy()
    assert sum(each.entries for each in everything.held) == 361
    assert everything.agents.note == everything.sampled.note == ""


def test_an_agent_that_alone_is_too_much_is_sampled(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        live(memory)
        held = memory.plot.data.occupancy(most=10)
    assert (held.agents.shown, held.sampled.shown, held.sampled.total) == (1, 10, 61)


def test_lines_are_the_numbers_that_most_entries_have(memory: AgentMemorySystem) -> None:
    data = memory.plot.data
    lines = {line.path: line for line in data.lines(data.life(AGENT)).lines}
    assert [*lines] == ["food", "at[0]", "at[1]", "odd", r"home.a\.b"]
    odd = [point.value for point in lines["odd"].points[:4]]
    assert math.isnan(odd[0])
    assert odd[1:] == [math.inf, -math.inf, 1.0]
    assert lines["at[0]"].sampled.total == STEPS
    assert data.lines(data.life(AGENT), ["mood"]).lines[0].points == ()
    with pytest.raises(InvalidEntry):
        data.lines(data.life(AGENT), [""])


def test_ten_thousand_attributes_are_not_all_drawn(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.store_agent_state("wide", {f"a{place}": place for place in range(10_000)}, 0)
        found = memory.plot.data.lines(memory.plot.data.life("wide"))
    assert len(found.lines) == 6
    assert len(found.more) == 9_994


def test_no_peak_of_a_line_is_lost() -> None:
    points = [Point(step, 0.0, 0.0, Tier.STM) for step in range(10_000)]
    points[7_777] = Point(7_777, 5.0, 0.0, Tier.STM)
    points[50] = Point(50, math.nan, 0.0, Tier.STM)
    kept = peaks(points, 100)
    assert len(kept) <= 100
    assert points[7_777] in kept
    assert any(math.isnan(point.value) for point in kept)
    assert [point.step for point in kept] == sorted(point.step for point in kept)
    assert evenly(range(10), 4) == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("state", "position", "found"),
    [
        ({"at": (3, 4)}, None, ("at[0]", "at[1]", True)),
        ({"body": {"Pos": [3.0, 4.0, 9.0]}}, None, ("body.Pos[0]", "body.Pos[1]", True)),
        ({"y": 4, "x": 3}, None, ("x", "y", True)),
        ({"col": 3, "row": 4, "at": "home"}, None, ("col", "row", True)),
        ({"where": [3, 4]}, "where", ("where[0]", "where[1]", False)),
        ({"a": {"b": 3}, "c": 4}, ("a.b", "c"), ("a.b", "c", False)),
    ],
)
def test_a_position_is_guessed_by_its_name_or_declared(
    tmp_path: Path, state: dict[str, Any], position: Any, found: tuple[str, str, bool]
) -> None:
    with opened(tmp_path) as memory:
        memory.store_agent_state("ant", state, 5)
        memory.store_agent_state("ghost", {"x": math.nan, "y": 1.0}, 5)
        world = memory.plot.data.world(7, position)
    assert world.position is not None
    assert (world.position.x, world.position.y, world.position.is_guessed) == found
    assert [(at.agent_id, at.x, at.y, at.step) for at in world.places] == [("ant", 3.0, 4.0, 5)]


def test_a_world_without_positions_is_empty(memory: AgentMemorySystem) -> None:
    run = memory.run("plain")
    run.store_agent_state("ant", {"mood": "calm", "x": 1.0}, 0)
    world = run.plot.data.world(0)
    assert (world.position, world.places) == (None, ())
    with pytest.raises(InvalidEntry, match="position: 3: give the path of two numbers"):
        run.plot.data.world(0, 3)  # type: ignore[arg-type]


def test_a_moment_has_what_is_around_it_and_what_is_like_it(memory: AgentMemorySystem) -> None:
    life = memory.plot.data.life(AGENT)
    chosen = life.hits[30]
    detail = memory.plot.data.moment(AGENT, chosen.entry.memory_id)
    assert detail.hit == chosen
    assert [hit.entry.step_number for hit in detail.window] == [*range(25, 36)]
    assert chosen.entry.memory_id not in {hit.entry.memory_id for hit in detail.neighbours}
    assert len(detail.neighbours) == 6
    assert all(hit.score is not None for hit in detail.neighbours)
    assert detail.hit.entry.contents[MARKUP] == MARKUP
    with pytest.raises(EntryNotFound):
        memory.plot.data.moment(AGENT, "0" * 32)


def test_pictures_count_no_retrieval_and_work_read_only(tmp_path: Path) -> None:
    config = {"engine": "embedded", "path": tmp_path / "memory"}
    with AgentMemorySystem(config) as live_run:
        live(live_run, "ant")
        with AgentMemorySystem.open(tmp_path / "memory", read_only=True) as memory:
            life = memory.plot.data.life("ant")
            memory.plot.data.moment("ant", life.hits[3].entry.memory_id)
            memory.plot.data.world(STEPS)
            [run] = memory.plot.data.runs()
            [agent] = memory.plot.data.agents()
        assert (run.agents, sum(run.entries), agent.total, agent.last_step) == (1, 61, 61, 59)
        after = live_run.recall(agent_id="ant", touch=False)
        assert {hit.entry.retrieval_count for hit in after} == {0}


def test_births_deaths_and_pins_are_marked_and_no_sample_loses_them(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.store_agent_action("ant", {"event": "born", "class": "Ant"}, 3)
        for step in range(4, 80):
            memory.store_agent_state("ant", {"event": "born"}, step)
        memory.store_agent_action("ant", {"event": "eats"}, 80)
        memory.store_agent_action("ant", {"event": "died", "class": "Ant"}, 81)
        memory.maintain()
        [pinned] = memory.recall(agent_id="ant", steps=(41, 41))
        memory.pin("ant", pinned.entry.memory_id)
        data = memory.plot.data
        for most in (10_000, 12):
            life = data.life("ant", most)
            marked = [
                (it.step, it.event or "pinned") for it in life.moments if it.event or it.pinned
            ]
            assert marked == [(3, "born"), (41, "pinned"), (81, "died")]
            assert len(life.moments) == min(most, 79)
        spec = memory.plot.timeline("ant").to_dict()
    assert "▼ pinned, ▶ born, ✕ died" in spec["title"]["subtitle"]
    assert "born at step 3 and died at step 81" in spec["description"]


def test_the_totals_are_those_of_all_runs(memory: AgentMemorySystem) -> None:
    runs = memory.plot.data.runs()
    sums = tuple(sum(run.entries[tier] for run in runs) for tier in Tier)
    assert memory.plot.data.totals() == sums
