"""How small contents become, how fast, and that every number is within its bound."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import zstandard

from agent_memory.coding.code import ContentsCode
from agent_memory.coding.fitted import fit_code
from agent_memory.coding.lanes import decode_many, encode_many
from agent_memory.contents import pack
from agent_memory.errors import EncodingError
from agent_memory.fitting_contents import fit_contents
from benchmarks.measuring import Figure
from benchmarks.traces import Trace, traces

TARGETS = {
    "HalfCheetah-v5": 13.0,
    "Ant-v5": 21.0,
    "Sugarscape traders": 11.0,
    "BoidFlockers": 5.0,
}
"""Bytes an entry at level 2, everything included that decoding needs."""

ENCODED, DECODED = 25_000, 40_000  # entries a second, one core
ALONE = 100e-6  # seconds


def figures() -> Iterator[Figure]:
    """Measure each trace that can be made here, on its latest fifth."""
    for trace in traces():
        yield from _figures(trace)


def _figures(trace: Trace) -> Iterator[Figure]:
    first = len(trace.contents) * 4 // 5
    code = fit_code(trace.contents[:first], trace.steps[:first])
    unseen, steps = trace.contents[first:], trace.steps[first:]
    coded = [one or b"" for one in encode_many(code, unseen, steps, 2)]
    size = 1 + sum(map(len, coded)) / len(coded)
    _, report = fit_contents(trace.contents, trace.steps, {})
    yield Figure(
        f"{trace.name}: bytes an entry of level-2 contents at 1 %",
        f"{TARGETS[trace.name]:g} or less",
        f"{size:.1f}",
        size <= TARGETS[trace.name] and report.inside == 1.0,
        f"entropy {entropy(code, unseen, steps):.1f}; level 1 {report.level_1_bytes:.1f}; "
        f"inside the bound {report.inside:.3f}; {_baselines(trace.contents[:first], unseen)}",
    )
    encode = _rate(lambda: encode_many(code, unseen, steps, 2), len(unseen))
    decode = _rate(lambda: decode_many(code, coded, steps), len(unseen))
    few = list(zip(unseen, steps, strict=True))[:500]
    alone = 1 / _rate(lambda: [code.encode(*one, 2) for one in few], len(few))
    yield Figure(
        f"{trace.name}: contents coded and read in batches, one core",
        f"{ENCODED:,} and {DECODED:,}/s or more",
        f"{encode:,.0f} and {decode:,.0f}/s",
        encode >= ENCODED and decode >= DECODED,
        f"one alone {alone * 1e6:.0f} us (target {ALONE * 1e6:.0f})",
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
    """How many a second, the best of three: other work on the machine only takes away."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return count / best
