"""Similarity is true without training: on numbers of any offset and scale, in every tier."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory import AgentMemorySystem, InvalidEntry, Order, Query, Tier, Vector
from tests import engines
from tests.exact_similarity import exact_scores
from tests.fuzzing import examples

State = dict[str, Any]
World = Callable[[int], State]

STATES = 150
START = dt.datetime(2024, 3, 1)  # noqa: DTZ001 - a time without a zone
JOBS = ("smith", "baker", None)
LIMITS = {"stm_config": {"memory_limit": 40}, "im_config": {"memory_limit": 50}}


def _grid(x: float, y: float, step: float) -> World:
    return lambda at: {"x": x + step * at, "y": y + step * (at * 37 % STATES)}


KINDS: dict[str, World] = {
    "metres": _grid(446_000.0, 5_763_000.0, 10.0),
    "degrees": _grid(52.5, 13.4, 1e-4),
    "rates": _grid(1e-4, 2e-4, 1e-6),
    "tiny": _grid(0.0, 0.0, 1e-12),
    "large": _grid(1e15, -1e15, 8.0),
    "offset": _grid(1e9, -1e9, 1.0 / 128),
    "seconds": lambda at: {"seconds": 1.7e9 + 60 * at, "shift": at % 3},
    "money": lambda at: {"cash": Decimal(1_000_000 + 37 * at) / 100, "debt": 9_950 + at * 37 % 150},
    "head counts": lambda at: {"alive": 1_000_000 + at, "ill": 20_000 + at * 37 % STATES},
    "a cell beside traits": lambda at: {"cell": 500 + at * 37 % STATES}
    | {f"trait_{place}": place / 17 for place in range(18)},
    "beyond 2**53": lambda at: {"n": 2**60 + at, "m": at * 37 % STATES},
    "nested": lambda at: {"home": {"at": (446_000 + at, 5e6 + at * 37 % STATES)}, "m": at % 2},
    "array": lambda at: {"position": np.array([446_000 + at, 5e6 + at * 37 % STATES])},
    "times": lambda at: {"at": START + dt.timedelta(seconds=at), "n": at * 37 % STATES},
    "missing": lambda at: {"x": at if at % 3 else None, "y": 1e6 + at * 37 % STATES},
    "mixed": lambda at: {"x": 1e9 + at, "calm": at % 2 == 0, "job": JOBS[at % 3]},
    "nanoseconds": lambda at: {"at": np.datetime64("2024-03-01", "ns") + np.timedelta64(at, "ns")},
}  # fmt: skip


def fill(memory: AgentMemorySystem, kind: str) -> list[State]:
    states = [KINDS[kind](at) for at in range(STATES)]
    for step, state in enumerate(states):
        assert memory.store_agent_state(kind, state, step)
    return states


def check(memory: AgentMemorySystem, kind: str, states: list[State], every: int = 10) -> None:
    """The own state comes first, and the ten best are the nearest ten."""
    own_first = right = 0
    asked = range(0, STATES, every)
    for own in asked:
        hits = memory.recall(Query(agent_id=kind, limit=10), near=states[own], touch=False)
        scores = exact_scores(_plain(states[own]), [*map(_plain, states)])
        least = sorted(scores, reverse=True)[9]
        own_first += hits[0].entry.step_number == own and hits[0].score == 1.0
        right += sum(scores[hit.entry.step_number] >= least - 1e-9 for hit in hits)
        assert hits[1].score is not None
        assert hits[1].score < 1.0
    assert own_first == len(asked)
    assert right >= 0.95 * 10 * len(asked)


def _plain(state: State) -> State:
    """Times and large numbers as numbers from somewhere near them on."""
    epoch = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - a time without a zone
    plain: State = {}
    for key, value in state.items():
        if isinstance(value, dt.datetime):
            plain[key] = (value - epoch).total_seconds()
        elif isinstance(value, np.datetime64):
            plain[key] = int(
                np.timedelta64(value - np.datetime64("2024-03-01", "ns"), "ns").astype(int)
            )
        elif isinstance(value, int) and value > 2**53:
            plain[key] = value - 2**60
        else:
            plain[key] = value
    return plain


# What is compared is read by the same scripts on every Redis engine.
@engines.usually_on("tcp and postgresql")
def test_the_nearest_are_found_on_every_engine_in_all_tiers_before_and_after_training(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    memory = open_memory(**LIMITS)
    filled = {kind: fill(memory, kind) for kind in KINDS}
    memory.maintain()
    tiers = {
        hit.tier
        for hit in memory.recall(Query(agent_id="metres"), near=filled["metres"][5], touch=False)
    }
    assert tiers == set(Tier)
    for kind, states in filled.items():
        check(memory, kind, states, every=30)
    memory.train_encoder(network=False)
    for kind, states in filled.items():
        check(memory, kind, states, every=50)
    memory.encoders.reencode()
    for kind, states in filled.items():
        check(memory, kind, states, every=50)


@engines.usually_on("fakeredis", "tcp and postgresql")
def test_what_a_code_has_rounded_is_found_by_what_was_stored(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    """Rounding hides no memory behind its neighbours, and no exact one behind rounded ones."""
    memory = open_memory(**LIMITS)
    random = np.random.default_rng(1)
    states = [
        {"x": 446_000.0 + 3_000.0 * x, "place": (5e6 + y, 3), "walks": y > 0.5}
        for x, y in random.uniform(size=(2 * STATES, 2)).tolist()
    ]
    # Each second one is a few steps from the one before, which rounding does not tell apart.
    states[1::2] = [state | {"x": state["x"] + 40.0} for state in states[::2]]
    for step, state in enumerate(states[:STATES]):
        memory.store_agent_state("walker", state, step)
    memory.maintain()
    memory.train_encoder(states, network=False)
    for step, state in enumerate(states[STATES:], STATES):
        memory.store_agent_state("walker", state, step)
    memory.maintain()
    columns = np.array([[one["x"], one["place"][0], one["walks"]] for one in states])
    columns /= columns.std(axis=0)
    rounded = before_training = right = 0
    nearer: list[bool] = []
    for step in range(0, 2 * STATES, 6):
        hits = memory.recall(Query(agent_id="walker", limit=10), near=states[step], touch=False)
        (own,) = [hit for hit in hits if hit.entry.step_number == step]
        assert own.score == 1.0
        far = np.square(columns - columns[step]).sum(axis=1)
        right += sum(far[hit.entry.step_number] <= np.sort(far)[9] for hit in hits)
        if own.entry.error_bounds:
            rounded += own.tier is Tier.LTM
            before_training += step < STATES
        # Though the code rounds others to the same numbers: its vectors tell them apart.
        assert hits[0] is own
        near_it = memory.recall(Query(agent_id="walker", limit=1), near=own.entry, touch=False)
        assert near_it == [own]
        # The same of a part of it, as an observation is.
        part = {"place": states[step]["place"]}
        parts = memory.recall(Query(agent_id="walker", limit=20), near=part, touch=False)
        assert {hit.entry.step_number: hit.score for hit in parts}[step] == 1.0
        # Of two that were rounded to what this would be rounded to, the nearer comes first.
        between = states[step] | {"x": states[step]["x"] + 12.0}
        both = memory.recall(Query(agent_id="walker", limit=2), near=between, touch=False)
        if {hit.score for hit in both} == {1.0}:
            nearer.append(both[0].entry.step_number == step)
    # Of a path that was not rounded, all that have the same are equal: the newest comes first.
    walking = memory.recall(Query(agent_id="walker"), near={"walks": True}, touch=False)
    newest = [step for step in reversed(range(2 * STATES)) if states[step]["walks"]]
    assert [hit.entry.step_number for hit in walking if hit.score == 1.0] == newest
    assert len(nearer) >= 8
    assert sum(nearer) >= 0.75 * len(nearer)  # by vectors of a byte a number
    assert right >= 0.97 * 10 * 50  # fewer by contents alone, without what vectors know
    assert rounded >= 10
    assert before_training >= 10  # stored before it, and rounded after it


@pytest.fixture(scope="module")
def fake() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem({"engine": "fake"} | LIMITS) as memory:
        yield memory


_PATHS = st.tuples(
    st.floats(-15, 15),  # the logarithm of the scale
    st.sampled_from([0.0, 1.0, 1e3, 1e9]),  # the offset, in scales
    st.sampled_from(["number", "integer", "truth", "choice", "sometimes", "vector"]),
)


@given(st.lists(_PATHS, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=examples(15))
def test_the_nearest_are_found_in_any_world(
    fake: AgentMemorySystem, paths: list[tuple[float, float, str]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    states = [_drawn(random, paths) for _ in range(120)]
    agent = uuid.uuid4().hex  # the same example may be tried again
    for step, state in enumerate(states):
        fake.store_agent_state(agent, state, step)
    for own in range(0, 120, 30):
        hits = fake.recall(Query(agent_id=agent, limit=10), near=states[own], touch=False)
        scores = exact_scores(states[own], states)
        least = sorted(scores, reverse=True)[9]
        assert hits[0].score == 1.0
        assert scores[hits[0].entry.step_number] == 1.0
        assert sum(scores[hit.entry.step_number] >= least - 1e-6 for hit in hits) >= 9
        best = sorted(scores, reverse=True)[:10]
        assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-3)


def _drawn(random: np.random.Generator, paths: list[tuple[float, float, str]]) -> State:
    state: State = {}
    for place, (logarithm, offset, kind) in enumerate(paths):
        scale = 10.0**logarithm
        number = float(scale * (offset + random.uniform()))
        if kind == "sometimes" and random.uniform() < 0.3:
            continue
        state[f"p{place}"] = {
            "integer": int(random.integers(2**31)),
            "truth": bool(random.integers(2)),
            "choice": "abc"[random.integers(3)],
            "vector": [number, float(random.uniform())],
        }.get(kind, number)
    return state


def test_another_process_gives_the_same_scores(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    memory = open_memory(**LIMITS)
    if memory.config.engine == "fake":
        pytest.skip("it is in one process alone")
    states = fill(memory, "mixed")
    query = Query(agent_id="mixed", limit=20)
    # What it keeps has grown with every question; another one reads it at once.
    for at in range(0, STATES, 30):
        memory.recall(query, near=states[at])
    mine = [(hit.entry.memory_id, hit.score) for hit in memory.recall(query, near=states[7])]
    other = open_memory(**LIMITS, vector_cache_bytes=1)
    theirs = [(hit.entry.memory_id, hit.score) for hit in other.recall(query, near=states[7])]
    assert mine == theirs


def test_what_others_change_is_heeded_at_once(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    reader, writer = open_memory(**LIMITS), open_memory(**LIMITS, vector_cache_bytes=1)
    if reader.config.engine == "fake":
        pytest.skip("it is in one process alone")
    states = fill(writer, "metres")
    query = Query(agent_id="metres", limit=1)
    assert reader.recall(query, near=states[3])[0].entry.step_number == 3
    writer.forget(
        "metres", query=None, memory_id=reader.recall(query, near=states[3])[0].entry.memory_id
    )
    assert reader.recall(query, near=states[3])[0].score < 1.0  # type: ignore[operator]
    writer.store_agent_state("metres", states[3] | {"z": 1}, 3)
    found = reader.recall(query, near=states[3] | {"z": 1})[0]
    assert (found.score, found.entry.contents["z"]) == (1.0, 1)


def test_among_equals_the_newest_come_first_or_what_the_order_says(fake: AgentMemorySystem) -> None:
    for step in (3, 1, 2):
        fake.store_agent_state("twin", {"x": 1e9, "n": 0}, step, priority=step / 10)

    def asked(order: Order | None) -> list[int]:
        hits = fake.recall(Query(agent_id="twin", order=order), near={"x": 1e9})
        return [hit.entry.step_number for hit in hits]

    assert asked(None) == [2, 1, 3]
    assert asked(Order.OLDEST) == [3, 1, 2]
    assert asked(Order.STEP) == [1, 2, 3]
    assert asked(Order.IMPORTANCE) == [3, 2, 1]


@pytest.mark.parametrize("factor", [1e30, 1e-30, 3e4])
def test_a_factor_changes_nothing_of_what_is_near_a_vector(
    fake: AgentMemorySystem, factor: float
) -> None:
    if not fake.recall(Query(agent_id="scaled", limit=1)):
        for step in range(30):
            fake.store_agent_state("scaled", {"x": step * 0.3, "y": step * step % 7}, step)
    vector = fake.recall(Query(agent_id="scaled", steps=(20, 20)))[0].entry.embedding
    query = Query(agent_id="scaled", limit=5)
    assert vector is not None
    plain = fake.recall(query, near=Vector(vector))
    scaled = fake.recall(query, near=Vector((vector * np.float64(factor)).tolist()))
    assert [hit.entry for hit in scaled] == [hit.entry for hit in plain]
    assert [hit.score for hit in scaled] == pytest.approx([hit.score for hit in plain], abs=1e-6)


@pytest.mark.parametrize("count", [384, 128, 32, 100, 2_000])
def test_an_observation_is_no_vector_however_many_numbers_it_has(
    fake: AgentMemorySystem, count: int
) -> None:
    agent = f"observer of {count}"
    rows = np.random.default_rng(count).uniform(size=(12, count)).round(3)
    for step, row in enumerate(rows.tolist()):
        fake.store_agent_state(agent, {"observation": row, "reward": 1.0}, step)
    for given_as in (rows.tolist(), rows, [*map(tuple, rows.tolist())]):
        for step in (0, 7):
            hit = fake.recall(Query(agent_id=agent, limit=1), near=given_as[step])[0]
            assert (hit.entry.step_number, hit.score) == (step, 1.0)


def test_a_list_that_several_paths_may_mean_is_refused(fake: AgentMemorySystem) -> None:
    fake.store_agent_state("two lists", {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}, 0)
    with pytest.raises(InvalidEntry, match="under a, b"):
        fake.recall(Query(agent_id="two lists"), near=[1.0, 2.0, 3.0])
    with pytest.raises(InvalidEntry, match="no state holds a list of 4"):
        fake.recall(Query(agent_id="two lists"), near=[1.0, 2.0, 3.0, 4.0])
    with pytest.raises(InvalidEntry, match="near: a list of numbers is needed"):
        fake.recall(Query(agent_id="two lists"), near=[[1.0, 2.0], [3.0]])


def test_a_bare_vector_is_deprecated(fake: AgentMemorySystem) -> None:
    fake.store_agent_state("bare", {"x": 1.0}, 0)
    vector = fake.recall(Query(agent_id="bare"))[0].entry.embedding
    with pytest.warns(DeprecationWarning, match=r"near=Vector\(numbers\)") as told:
        (hit,) = fake.recall(Query(agent_id="bare"), near=vector)
    assert told[0].filename == __file__  # shown in a script, where Python shows no other's
    assert hit.score == pytest.approx(1.0, abs=1e-6)


def test_texts_and_bytes_are_compared_over_their_whole_length(fake: AgentMemorySystem) -> None:
    opening = "You are a trader on a market of twenty stalls. " * 6
    stories = [f"{opening}It is day {day}, and {'rain ' * day}falls." for day in range(12)]
    others = ["A text about something else, of no trader and of no market at all." * 5]
    screens = [bytes(100) + bytes([place]) * 28 for place in range(12)]
    for step, (story, screen) in enumerate(
        zip(stories + others, [*screens, b"\xff" * 128], strict=True)
    ):
        fake.store_agent_state("reader", {"prompt": story, "ram": screen}, step)
    for step in range(12):
        best, second, *_, last = fake.recall(
            Query(agent_id="reader"), near={"prompt": stories[step]}
        )
        assert (best.entry.step_number, best.score) == (step, 1.0)
        assert second.score < 0.9999  # type: ignore[operator]
        assert last.entry.step_number == 12
        best, second, *_ = fake.recall(Query(agent_id="reader"), near={"ram": screens[step]})
        assert best.entry.contents["ram"] == screens[step]
        assert second.score < 0.9999  # type: ignore[operator]


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2024, 3, 1),  # noqa: DTZ001 - a time without a zone
        dt.datetime(2024, 3, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5))),
        dt.date(2024, 3, 1),
        *(
            np.datetime64("2024-03-01").astype(f"M8[{unit}]")
            for unit in ("ns", "us", "s", "D", "M")
        ),
    ],
)
def test_the_same_instant_is_the_same_whatever_its_type(
    fake: AgentMemorySystem, moment: Any
) -> None:
    agent = f"clock {type(moment)} {moment!r}"
    day = np.timedelta64(1, "D")
    for step in range(20):
        fake.store_agent_state(
            agent, {"at": np.datetime64("2024-02-25T00", "us") + step * day}, step
        )
    (hit,) = fake.recall(Query(agent_id=agent, limit=1), near={"at": moment})
    assert (hit.entry.step_number, hit.score) == (5, 1.0)


ODD: dict[str, World] = {
    "not numbers": lambda at: {"x": math.nan if at % 5 == 0 else float(at), "v": _signals(at)},
    "another type": lambda at: {"x": float(at) if at < 50 else f"cell-{at}", "y": at % 10},
    "another unit": lambda at: {"x": (5_000 + 3.0 * at) / (1 if at < 50 else 1_000), "y": at % 7},
    "a late move": lambda at: {"x": 5e6 + max(at - 80, 0), "n": 1},
    "outliers": lambda at: {"x": {30: 1e300, 31: -1e300}.get(at, 100.0 + at), "y": at % 5},
    "nothing in common": lambda at: {"a": at} if at % 2 else {"b": -at},
    "an empty one": lambda at: {} if at == 20 else {"x": at},
}


def _signals(at: int) -> Any:
    return np.array([at, math.nan if at % 3 == 0 else 2.0 * at, math.inf if at % 7 == 0 else 1.0])


@engines.usually_on("embedded")
def test_odd_input_is_put_in_an_order_before_and_after_training(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    memory = open_memory(stm_config={"memory_limit": 25}, im_config={"memory_limit": 25})
    states = {kind: [world(at) for at in range(100)] for kind, world in ODD.items()}
    wide = np.random.default_rng(0).normal(1e6, 1.0, (5, 5_000)).tolist()
    states["wide"] = [{f"k{place}": value for place, value in enumerate(row)} for row in wide]

    def found(kind: str, near: State, count: int = 3) -> list[int]:
        hits = memory.recall(Query(agent_id=kind, limit=count), near=near, touch=False)
        assert all(0.0 <= hit.score <= 1.0 for hit in hits if hit.score is not None)
        return [hit.entry.step_number for hit in hits]

    for kind, seen in states.items():
        for step, state in enumerate(seen):
            memory.store_agent_state(kind, state, step)
    memory.maintain()
    for trained in (False, True):
        if trained:
            memory.train_encoder(network=False)
        for kind, seen in states.items():
            for at in range(0, len(seen), 4):
                same = [step for step, state in enumerate(seen) if repr(state) == repr(seen[at])]
                assert found(kind, seen[at])[0] == max(same), (kind, at)
        assert {*found("another type", {"x": 12.0})} == {11, 12, 13}
        assert found("another type", {"x": "cell-70"})[0] == 70
        assert {*found("another unit", {"x": 5.21})} == {69, 70, 71}
        assert {*found("another unit", {"x": 5_060.0})} == {19, 20, 21}
        assert {*found("a late move", {"x": 5e6 + 10})} == {89, 90, 91}
        assert {*found("outliers", {"x": 150.0})} == {49, 50, 51}
        assert found("outliers", {"x": 1e301}, 1) == [30]
        assert {*found("nothing in common", {"a": 51})} == {49, 51, 53}
        assert found("an empty one", {}) == [20, 99, 98]
        # Those with the fewest further paths come first, then the newest.
        assert found("an empty one", {"elsewhere": 1.0}) == [20, 99, 98]
    assert memory.check().sound


BAD: dict[str, State] = {
    "not a number": {"x": math.nan, "y": 5.0},
    "infinite": {"x": math.inf, "y": 5.0},
    "below": {"x": -math.inf, "y": 5.0},
    "an outlier": {"x": 1e300, "y": 5.0},
    "a text": {"x": "lost", "y": 5.0},
    "missing": {"x": None, "y": 5.0},
}


@pytest.mark.parametrize("what", BAD)
def test_one_odd_value_leaves_the_order_of_the_others(fake: AgentMemorySystem, what: str) -> None:
    agent = f"odd: {what}"
    for step in range(60):
        state = BAD[what] if step == 30 else {"x": float(step), "y": float(step % 10)}
        fake.store_agent_state(agent, state, step)
    found = fake.recall(Query(agent_id=agent, limit=3), near={"x": 12.0, "y": 2.0}, touch=False)
    assert found[0].entry.step_number == 12
    assert {hit.entry.step_number for hit in found} == {11, 12, 13}
    (own, *others) = fake.recall(Query(agent_id=agent, limit=8), near=BAD[what], touch=False)
    assert (own.entry.step_number, own.score) == (30, 1.0)
    # The other field decides.
    assert {hit.entry.contents["y"] for hit in others[:5]} == {5.0}


@pytest.mark.parametrize("big", [10**200, -(10**300)], ids=["positive", "negative"])
def test_a_whole_number_beyond_all_others_leaves_the_order_of_the_others(
    fake: AgentMemorySystem, big: int
) -> None:
    agent = f"{math.log2(abs(big)):.0f}"
    for step in range(30):
        fake.store_agent_state(agent, {"x": big if step == 9 else step, "y": step / 3}, step)
    for asked, step in (({"x": 4, "y": 4 / 3}, 4), ({"x": big, "y": 3.0}, 9)):
        found = fake.recall(agent_id=agent, near=asked, limit=2)
        assert [hit.entry.step_number for hit in found] == [step, step + 1]


def test_a_path_that_never_changed_and_then_moves_is_told_apart(fake: AgentMemorySystem) -> None:
    for step in range(200):
        moved = max(step - 180, 0)
        fake.store_agent_state("late mover", {"x": 5e6 + moved, "n": 1}, step)
    for moved in (0, 1, 7, 19):
        best = fake.recall(Query(agent_id="late mover", limit=1), near={"x": 5e6 + moved, "n": 1})[
            0
        ]
        assert best.entry.contents["x"] == 5e6 + moved
        assert best.score == 1.0


def test_a_question_of_one_path_is_answered_by_that_path(fake: AgentMemorySystem) -> None:
    for step in range(50):
        fake.store_agent_state("part", {"x": 1e6 + step, "y": -step, "mood": "ab"[step % 2]}, step)
    fake.store_agent_action("part", {"action_type": "rest"}, 50)
    hits = fake.recall(Query(agent_id="part", limit=51), near={"x": 1e6 + 20})
    assert [hit.entry.step_number for hit in hits][:3] in ([20, 21, 19], [20, 19, 21])
    assert hits[0].score == 1.0
    assert (hits[-1].entry.step_number, hits[-1].score) == (50, 0.0)  # it shares no path
    nothing = fake.recall(Query(agent_id="part", limit=2), near={})
    assert [(hit.entry.step_number, hit.score) for hit in nothing] == [(50, 0.0), (49, 0.0)]


def test_states_of_5000_paths_are_compared(fake: AgentMemorySystem) -> None:
    rows = np.random.default_rng(0).normal(1e6, 1.0, (12, 5_000))
    states = [{f"k{place}": value for place, value in enumerate(row)} for row in rows.tolist()]
    for step, state in enumerate(states):
        fake.store_agent_state("wide", state, step)
    best, second = fake.recall(Query(agent_id="wide", limit=2), near=states[4])
    assert (best.entry.step_number, best.score) == (4, 1.0)
    assert second.score < 0.6  # type: ignore[operator]
