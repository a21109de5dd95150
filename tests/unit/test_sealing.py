from __future__ import annotations

import random

import pytest

from agent_memory import EncodingError
from agent_memory.compression import ContentsCodec
from agent_memory.contents import pack
from agent_memory.sealing import SEAL_BYTES, sealed, unsealed
from agent_memory.testing.samples import an_entry

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
    told = 0
    for bit in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = codec.decode(bytes(flipped), entry.step_number)
        except EncodingError:
            told += 1
        else:
            # Some bits of a zstd frame's head say nothing about what it holds.
            assert pack(found) == pack(contents)
    assert told >= 8 * len(stored) - 8


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
