"""How fast states are encoded on one core, how long training takes, and what recall they have."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from agent_memory.embeddings.encoder import Encoder, FittedEncoder
from agent_memory.embeddings.held_out import neighbour_recall
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import Training, train
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths
from agent_memory.integrations.sugarscape import Sugarscape
from benchmarks.measuring import Figure, in_own_process, seconds, tell
from benchmarks.traces import gymnasium_traces

STATES = 20_000
SINGLE = 2_000
ROUNDS = 7
MOST_SECONDS = 60


def figures() -> Iterator[Figure]:
    """Measure in a process of its own."""
    return in_own_process("benchmarks.encoding")


def _measured() -> Iterator[Figure]:
    traders = _traders()
    states = (traders * (STATES // len(traders) + 1))[:STATES]
    learned, training = _training()
    yield _recall(traders)
    yield _batched("version 0", VersionZero(), states)
    yield _batched("a fitted version", train(traders).encoder, states)
    yield _batched("the network, 20 features", learned, _bent_states())
    yield _single("version 0", VersionZero(), states)
    yield _single("the network, 20 features", learned, _bent_states())
    yield training
    yield from _of_robots()


def _traders() -> list[dict[str, Any]]:
    run = Sugarscape(200, seed=1)
    return [moment.state for _ in range(40) for moment in run.step() if moment.state is not None]


def _bent_states() -> list[dict[str, Any]]:
    """States of 20 features, two of them texts of many values, which fit no 31 columns."""
    random = np.random.default_rng(0)
    paths = random.normal(size=(STATES, 5)) * 0.4
    for step in range(1, STATES):  # a walk that stays near its middle
        paths[step] += paths[step - 1] * 0.9
    waves = np.sin(paths @ random.normal(size=(5, 18)) + random.uniform(-3, 3, 18))
    texts = (np.abs(paths[:, :2]) * 5).astype(int) % 30
    return [
        {f"f{key:02d}": float(value) for key, value in enumerate(row)}
        | {"place": f"p{place}", "mood": f"m{mood}"}
        for row, (place, mood) in zip(waves, texts, strict=True)
    ]


def _recall(states: list[dict[str, Any]]) -> Figure:
    encoder = VersionZero()
    vectors, truth = encoder.encode(states), encoder.scaled(states)
    recalls = [neighbour_recall(truth, encoder.carry(vectors, width)) for width in encoder.widths]
    return Figure(
        "recall@10 of version 0 on trader states",
        "0.90 or more at 384",
        f"{recalls[0]:.2f}",
        recalls[0] >= 0.9,
        f"{recalls[1]:.2f} at 128, {recalls[2]:.2f} at 32; {len(states):,} states",
    )


def _batched(name: str, encoder: Encoder, states: list[dict[str, Any]]) -> Figure:
    encoder.encode(states[:1000])
    rates = [len(states) / seconds(lambda: encoder.encode(states)) for _ in range(ROUNDS)]
    rate = statistics.median(rates)
    return Figure(
        f"states encoded a second in batches, one core, {name}",
        "20,000 or more",
        f"{rate:,.0f}",
        rate >= 20_000,
        f"{min(rates):,.0f} to {max(rates):,.0f} over the rounds",
    )


def _single(name: str, encoder: Encoder, states: list[dict[str, Any]]) -> Figure:
    few = states[:SINGLE]
    times = [
        seconds(lambda: [encoder.encode_one(state) for state in few]) / SINGLE * 1e6
        for _ in range(ROUNDS)
    ]
    return Figure(
        f"a single state encoded, {name}",
        "100 us or less",
        f"{statistics.median(times):.0f} us",
        statistics.median(times) <= 100,
        f"{min(times):.0f} to {max(times):.0f} us over the rounds",
    )


def _training() -> tuple[FittedEncoder, Figure]:
    trainings: list[Training] = []
    states = _bent_states()
    before = time.process_time()
    trainings.append(train(states, Plan()))
    took = time.process_time() - before  # of one core, however busy the machine is
    report = trainings[0].report
    narrow = report.levels[-1]
    assert narrow.learned is not None
    assert trainings[0].encoder.weights.coder
    return trainings[0].encoder, Figure(
        f"training on {STATES:,} states of 20 features, one core",
        "60 s or less",
        f"{took:.0f} s",
        took <= 60,
        f"at 32: R2 {narrow.learned.r2:.3f} and recall@10 {narrow.learned.recall:.3f}, "
        f"PCA {narrow.pca.r2:.3f} and {narrow.pca.recall:.3f}; kept: {report.kept}",
    )


def _of_robots() -> Iterator[Figure]:
    """The code of what robots of Gymnasium feel, each number a field of its own."""
    robots = (
        ("Ant-v5", "32 numbers", 32, (0.95, 0.82)),
        ("HalfCheetah-v5", "12 numbers", 12, (0.95, 0.68)),
    )
    seen = {trace.name: [*map(_named, trace.contents)] for trace in gymnasium_traces()}
    for name, width, ltm_dim, (r2, recall) in robots:
        what = f"code of {name} states, {width}, int8"
        target = f"R2 {r2} and recall@10 {recall} or more"
        if name not in seen:
            why = "gymnasium[mujoco] is not installed"
            yield Figure(what, target, "left out", True, why)
            continue
        plan = Plan(Widths(ltm=ltm_dim))
        trainings: list[Training] = []
        before = time.process_time()
        trainings.append(train(seen[name], plan))
        took = time.process_time() - before  # of one core, however busy the machine is
        narrow = trainings[0].report.levels[-1]
        kept = narrow.learned if trainings[0].report.kept == "learned" else narrow.pca
        assert kept is not None
        yield Figure(
            what,
            target,
            f"{kept.r2:.3f} and {kept.recall:.3f}",
            kept.r2 >= r2 and kept.recall >= recall and took <= MOST_SECONDS,
            f"NRMSE {kept.nrmse:.3f}; PCA {narrow.pca.r2:.3f} and {narrow.pca.recall:.3f}; "
            f"trained and measured in {took:.0f} s of {MOST_SECONDS} s on one core",
        )


def _named(contents: dict[str, Any]) -> dict[str, Any]:
    numbers = {f"o{place:03d}": value for place, value in enumerate(contents["observation"])}
    return {**numbers, "reward": contents["reward"], "done": contents["done"]}


if __name__ == "__main__":
    tell(_measured())
