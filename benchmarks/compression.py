"""How small contents become, how fast, and that every number is within its bound."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.structure import leaf_paths, take_apart
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import CompressionEngine
from agent_memory.compression.rows import MARK_BYTES
from agent_memory.config import AutoencoderConfig
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import train
from agent_memory.errors import EncodingError
from agent_memory.values.contents import pack
from benchmarks.measuring import Figure, in_own_process, pace, tell
from benchmarks.traces import Trace, traces

TARGETS = {
    "HalfCheetah-v5": 13.0,
    "Ant-v5": 21.0,
    "Sugarscape traders": 11.0,
    "BoidFlockers": 5.0,
}
"""Bytes an entry at level 2, everything included that decoding needs."""

ENCODED, DECODED = 25_000, 40_000  # entries a second of processor time, one core
ALONE = 100e-6  # seconds of it


class Sizes(NamedTuple):
    """Bytes an entry of contents that were not learned from."""

    name: str
    level_2: float
    """Beside their vectors, with the mark of the version and the checksum."""
    alone: float
    """The same without what vectors tell."""
    level_1: float
    inside: float
    """The share of values within their bounds, exact where they have none."""
    values: int
    """How many were compared at each level."""


class Coded(NamedTuple):
    """A trace's latest fifth, beside the vectors that a memory would keep."""

    name: str
    code: ContentsCode
    learned: Sequence[Mapping[str, Any]]
    unseen: Sequence[Mapping[str, Any]]
    steps: Sequence[int]
    vectors: NDArray[np.float32]
    """Of shape (n, 32), as they rest."""


def figures() -> Iterator[Figure]:
    """Measure in a process of its own."""
    return in_own_process("benchmarks.compression")


def _measured() -> Iterator[Figure]:
    missing = {*TARGETS}
    for trace in traces():
        missing.discard(trace.name)
        coded = prepared(trace)
        yield _size(coded)
        yield _speed(coded)
    for name in sorted(missing):
        note = "needs gymnasium[mujoco]: make bench"
        yield Figure(f"{name}: contents", f"{TARGETS[name]:g} bytes", "left out", True, note)


def prepared(trace: Trace) -> Coded:
    """Fit an encoder without a network, and a code of contents, to the first four fifths."""
    first = len(trace.contents) * 4 // 5
    plan = replace(Plan.of(AutoencoderConfig()), network=False)
    encoder = train(trace.contents[:first], plan).encoder
    vectors = CompressionEngine().resting(encoder, trace.contents)
    code = fit_code(trace.contents[:first], trace.steps[:first], vectors=vectors[:first])
    unseen, steps = trace.contents[first:], trace.steps[first:]
    return Coded(trace.name, code, trace.contents[:first], unseen, steps, vectors[first:])


def sizes(of: Coded) -> Sizes:
    """Code contents at both levels; every entry is decoded and compared with the original."""
    code, unseen, steps = of.code, of.unseen, of.steps
    beside, alone, finer = (
        encode_many(code, unseen, steps, level, vectors)
        for level, vectors in ((2, of.vectors), (2, None), (1, None))
    )
    inside = [
        _inside(code, unseen, decode_many(code, [one or b"" for one in coded], steps, vectors))
        for coded, vectors in ((beside, of.vectors), (alone, None), (finer, None))
    ]
    # Beside, alone, level 1.
    each = [MARK_BYTES + sum(len(one or b"") for one in coded) / len(coded)
            for coded in (beside, alone, finer)]  # fmt: skip
    within = [one for all_of_them in inside for one in all_of_them]
    share = sum(within) / len(within)
    return Sizes(of.name, each[0], each[1], each[2], share, len(inside[0]))


def _inside(
    code: ContentsCode,
    contents: Sequence[Mapping[str, Any]],
    found: Sequence[tuple[dict[str, Any], int, int] | EncodingError],
) -> list[bool]:
    within: list[bool] = []
    for original, one in zip(contents, found, strict=True):
        if isinstance(one, EncodingError):
            raise one
        decoded, shape, level = one
        bounds = code.bounds(shape, level)
        before, after = take_apart(original, code.whole), take_apart(decoded, code.whole)
        assert before is not None
        assert after is not None
        assert before[0] == after[0]
        for path, was, is_now in zip(leaf_paths(before[0]), before[1], after[1], strict=True):
            within.append(bool(was == is_now or abs(was - is_now) <= bounds[path]))
    return within


def _size(of: Coded) -> Figure:
    found = sizes(of)
    return Figure(
        f"{of.name}: bytes an entry of level-2 contents at 1 %, beside its vector",
        f"{TARGETS[of.name]:g} or less",
        f"{found.level_2:.1f}",
        found.level_2 <= TARGETS[of.name] and found.inside == 1.0,
        f"without what the vector tells {found.alone:.1f} (entropy of single fields "
        f"{entropy(of.code, of.unseen, of.steps):.1f}); level 1 {found.level_1:.1f}; inside the "
        f"bound {found.inside:.3f}; {_baselines(of.learned, of.unseen)}",
    )


def _speed(of: Coded) -> Figure:
    code, unseen, steps, vectors = of.code, of.unseen, of.steps, of.vectors
    coded = [one or b"" for one in encode_many(code, unseen, steps, 2, vectors)]
    few = list(zip(unseen, steps, vectors, coded, strict=True))[:500]
    before = pace()
    encode = _rate(lambda: encode_many(code, unseen, steps, 2, vectors), len(unseen))
    decode = _rate(lambda: decode_many(code, coded, steps, vectors), len(unseen))
    alone = 1 / _rate(
        lambda: [code.encode(one, step, 2, vector) for one, step, vector, _ in few], len(few)
    )
    back = 1 / _rate(
        lambda: [code.decode(message, step, vector) for _, step, vector, message in few], len(few)
    )
    slower = (before + pace()) / 2
    met = encode * slower >= ENCODED and decode * slower >= DECODED and alone <= ALONE * slower
    return Figure(
        f"{of.name}: contents coded and read in batches, a second of one core",
        f"{ENCODED:,} and {DECODED:,} or more; one alone {ALONE * 1e6:.0f} us",
        f"{encode:,.0f} and {decode:,.0f}; {alone * 1e6:.0f} us",
        met,
        f"one alone is read in {back * 1e6:.0f} us; the core took {slower:.2f} times its usual "
        "time for other work meanwhile, which is allowed for",
    )


def entropy(
    code: ContentsCode, contents: Sequence[Mapping[str, Any]], steps: Sequence[int]
) -> float:
    """What independent fields need at least, in bytes: the entropy of what each decodes to."""
    coded = [one or b"" for one in encode_many(code, contents, steps, 2)]
    found = decode_many(code, coded, steps)
    columns: dict[int, dict[bytes, int]] = {}
    for one in found:
        if isinstance(one, EncodingError):
            raise one
        for place, leaf in enumerate(_leaves(one[0])):
            counts = columns.setdefault(place, {})
            packed = pack({"": leaf})
            counts[packed] = counts.get(packed, 0) + 1
    bits = 0.0
    for counts in columns.values():
        shares = np.array([*counts.values()]) / sum(counts.values())
        bits -= float((shares * np.log2(shares)).sum())
    return bits / 8


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _baselines(learned: Sequence[Mapping[str, Any]], unseen: Sequence[Mapping[str, Any]]) -> str:
    as_json = [json.dumps(one, default=_plain).encode() for one in unseen]
    sample: list[bytes | bytearray | memoryview[int]] = [
        json.dumps(one, default=_plain).encode() for one in learned[::4]
    ]
    dictionary = zstandard.train_dictionary(64 * 1024, sample)
    plain, trained = (
        zstandard.ZstdCompressor(level=19),
        zstandard.ZstdCompressor(level=19, dict_data=dictionary),
    )
    few = as_json[::20]
    sizes = {
        "JSON": sum(map(len, as_json)) / len(as_json),
        "zstd-19": sum(len(plain.compress(one)) for one in few) / len(few),
        "with a dictionary": sum(len(trained.compress(one)) for one in few) / len(few),
    }
    return ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())


def _plain(value: Any) -> Any:
    return value.item()


def _rate(work: Callable[[], object], count: int) -> float:
    """How many a second of the processor's time: what others do on the machine is not counted."""
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return count / best


if __name__ == "__main__":
    tell(_measured())
