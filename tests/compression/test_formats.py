"""Codes and rows of every format that was ever stored are read, and later ones are refused."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from agent_memory.compression.codes import Codes
from agent_memory.compression.fitted.artifact import from_bytes, to_bytes
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import ContentsCodec
from agent_memory.compression.rows import Stored
from agent_memory.errors import EncodingError
from agent_memory.testing import an_entry
from agent_memory.values.coded import CodedContents, is_coded, is_with_values, marked, unmarked
from agent_memory.values.contents import packed_apart, unpack

ASSETS = Path(__file__).parent / "assets"
FORMATS = (1, 2)
"""The numbers of the formats of codes; each has an asset, made when it was the newest."""


class Row(NamedTuple):
    """Contents as they were stored, and what they were read as."""

    step: int
    level: int
    vector: NDArray[np.float32] | None
    stored: bytes
    original: dict[str, Any]
    back: bytes


class Kept:
    """A code of a format, and rows of it."""

    def __init__(self, number: int) -> None:
        kept = msgpack.unpackb((ASSETS / f"code_{number}.msgpack").read_bytes())
        self.raw: bytes = kept["code"]
        self.version: int = kept["version"]
        self.rows = [
            Row(step, level, None if beside is None else np.frombuffer(beside, np.float32),
                stored, unpack(original), back)
            for step, level, beside, stored, original, back in kept["rows"]
        ]  # fmt: skip

    def code(self, version: int) -> bytes | None:
        return self.raw if version == self.version else None

    def codec(self) -> ContentsCodec:
        codes = Codes(self)
        codes.use(self.version)
        return ContentsCodec(codes=codes, beside_vectors=True)


@pytest.mark.parametrize("number", FORMATS)
def test_rows_of_every_format_are_read_as_they_were(number: int) -> None:
    kept = Kept(number)
    codec = kept.codec()
    assert kept.raw[:8] == b"amcode\0" + bytes([number])
    for row in kept.rows:
        found = codec.decode(row.stored, row.step, row.vector)
        assert packed_apart(found) == row.back
        assert not isinstance(found, CodedContents) or found.level == row.level
    together = codec.decode_many(
        [row.stored for row in kept.rows],
        [row.step for row in kept.rows],
        [row.vector for row in kept.rows],
    )
    assert [packed_apart(dict(one)) for one in together if isinstance(one, dict)] == [
        row.back for row in kept.rows
    ]


def test_the_assets_hold_every_kind_of_row() -> None:
    first = {row.stored[0] for row in Kept(2).rows if not is_coded(row.stored)}
    assert 0x01 in first
    assert any(mark >= 0x90 for mark in first)
    coded = [row.stored for row in Kept(2).rows if is_coded(row.stored)]
    assert {is_with_values(one) for one in coded} == {False, True}


@pytest.mark.parametrize("number", FORMATS)
def test_what_a_later_code_stores_keeps_the_numbers_of_every_format(number: int) -> None:
    kept = Kept(number)
    earlier = kept.codec()
    learned = [row.original for row in kept.rows if row.level == 1 and "x" in row.original]

    class Both:
        def code(self, version: int) -> bytes | None:
            return later if version == kept.version + 1 else kept.code(version)

    later = to_bytes(fit_code(learned, parent=from_bytes(kept.raw)))
    codes = Codes(Both())
    codes.use(kept.version + 1)
    codec = ContentsCodec(codes=codes, beside_vectors=True)
    for row in kept.rows:
        found = earlier.decode(row.stored, row.step, row.vector)
        entry = an_entry(
            step_number=row.step, compression_level=row.level, contents=found, embedding=row.vector,
            encoder_version=None if row.vector is None else kept.version,
        )  # fmt: skip
        again = codec.decode(codec.encode(entry), row.step, row.vector)
        bounds = getattr(found, "bounds", {})
        if bounds:
            assert packed_apart(again) == row.back


def _early(kept: Kept, *, summed: bool) -> list[Row]:
    """Rows of a code as they were stored before their checksum was over the code."""
    rows = [row for row in kept.rows if is_coded(row.stored) and not is_with_values(row.stored)]
    return [row._replace(stored=_early_bytes(kept, row, summed=summed)) for row in rows]


def _early_bytes(kept: Kept, row: Row, *, summed: bool) -> bytes:
    version, rest = unmarked(row.stored)
    message = rest[:-1]
    reported = zlib.crc32(b"%d" % row.step, zlib.crc32(message))
    if row.vector is not None and from_bytes(kept.raw).head(message).is_beside_vector:
        reported = zlib.crc32(row.vector.astype("<f4").tobytes(), reported)
    return marked(version, message + (bytes([reported & 0xFF]) if summed else b""))


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("number", FORMATS)
def test_rows_from_before_their_checksum_was_as_it_is_are_read(number: int, summed: bool) -> None:
    kept = Kept(number)
    early = _early(kept, summed=summed)
    codes = Codes(kept)
    codes.look_in(lambda _: [Stored(row.stored, row.step, row.vector) for row in early])
    for row in early:
        assert packed_apart(dict(codes.decode(row.stored, row.step, row.vector))) == row.back
        with pytest.raises(EncodingError):
            Codes(kept).decode(row.stored, row.step, row.vector)


@pytest.mark.parametrize("number", FORMATS)
def test_damaged_rows_of_today_are_not_taken_for_earlier_ones(number: int) -> None:
    kept = Kept(number)
    whole = [row for row in kept.rows if is_coded(row.stored)]
    damaged = [
        row._replace(stored=row.stored[:2] + bytes([row.stored[2] ^ bit]) + row.stored[3:])
        for row in whole
        for bit in (1, 16, 128)
    ]
    together, alone = Codes(kept), Codes(kept)
    stored = [Stored(row.stored, row.step, row.vector) for row in (*whole, *damaged)]
    together.look_in(lambda _: stored)
    taken = [_is_read(together, row) for row in damaged]
    assert taken == [_is_read(alone, row) for row in damaged]
    assert sum(taken) <= len(taken) // 50


def _is_read(codes: Codes, row: Row) -> bool:
    try:
        codes.decode(row.stored, row.step, row.vector)
    except EncodingError:
        return False
    return True


@pytest.mark.parametrize("number", [0, FORMATS[-1] + 1, 255])
def test_codes_of_later_formats_are_refused(number: int) -> None:
    raw = Kept(FORMATS[-1]).raw
    with pytest.raises(EncodingError, match="code of contents"):
        from_bytes(raw[:7] + bytes([number]) + raw[8:])
