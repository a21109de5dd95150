from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from agent_memory import EncodingError
from agent_memory.compression.codes import Codes, Uncoded
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import ContentsCodec
from agent_memory.testing.samples import an_entry
from agent_memory.values.contents import pack
from agent_memory.values.sealing import SEAL_BYTES, sealed, unsealed

RANDOM = random.Random(5)
SHORT = {f"f{place}": RANDOM.gauss(0, 1) for place in range(15)}
CONTENTS = [{}, {"a": 1}, SHORT, {"text": "x" * 400, **SHORT}, {str(key): key for key in range(20)}]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("contents", CONTENTS)
def test_no_flipped_bit_of_stored_contents_is_taken_for_another_value(
    contents: dict[str, object], level: int
) -> None:
    codec = ContentsCodec()
    entry = an_entry(contents=contents, compression_level=level)
    stored = codec.encode(entry)
    reported = 0
    for bit in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = codec.decode(bytes(flipped), entry.step_number)
        except EncodingError:
            reported += 1
        else:
            # Some bits of a zstd frame's head say nothing about what it holds.
            assert pack(found) == pack(contents)
    assert reported >= 8 * len(stored) - 8


class _One:
    """The code of version 1."""

    def __init__(self, code: bytes) -> None:
        self._code = code

    def code(self, version: int) -> bytes | None:
        return self._code if version == 1 else None


def test_coded_contents_tell_flipped_bits_of_themselves_and_of_what_they_are_read_with() -> None:
    numbers = np.random.default_rng(5)
    vectors = numbers.standard_normal((600, 8)).astype(np.float32)
    states = [
        {"a": float(row[0] + row[1]), "b": RANDOM.choice("xyz"), "c": n, "d": float(row[2])}
        for n, row in enumerate(vectors)
    ]
    codes = Codes(_One(to_bytes(fit_code(states[:500], range(500), vectors=vectors[:500]))))
    codes.use(1)
    missed = flipped = 0
    for step in range(500, 540):
        vector = vectors[step]
        coded = codes.encode(Uncoded(states[step], step, 2, vector, 1))
        assert coded is not None
        stored = coded.stored
        right = codes.decode(stored, step, vector)
        damaged = [(one, step, vector) for one in _flipped(stored)]
        beside = [np.frombuffer(one, np.float32) for one in _flipped(vector.tobytes())]
        damaged += [(stored, step, one) for one in beside]
        damaged += [(stored, step ^ 1 << bit, vector) for bit in range(20)]
        for one in damaged:
            flipped += 1
            with suppress(EncodingError):
                missed += codes.decode(*one) != right
    assert flipped > 10_000
    assert missed < flipped / 500


def _flipped(stored: bytes) -> Iterator[bytes]:
    # All but the first byte's, which name another version.
    for bit in range(8, 8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.parametrize("contents", CONTENTS)
def test_what_was_stored_without_a_checksum_stays_readable(contents: dict[str, object]) -> None:
    packed = pack(contents)
    assert ContentsCodec().decode(packed, 0) == contents
    assert len(sealed(packed)) == len(packed) + SEAL_BYTES
    assert unsealed(sealed(packed)) == packed


@pytest.mark.parametrize("stored", [b"\x90", b"\x91\xa1a\x01", b"\xdc\x00", b"\xdd"])
def test_what_is_cut_off_is_told(stored: bytes) -> None:
    with pytest.raises(EncodingError):
        ContentsCodec().decode(stored, 0)
