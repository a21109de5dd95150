"""Coded contents in the layouts that they had before theirs of today, and which rows have one.

For some hours of development the rows of a code had no checksum, and then one that was not over the
code. Nothing in such a row says so. A message without a checksum ends as the coder does, and a row
of today does not: of 60 rows each, none was read as one of the others. But of damaged rows of today
a few in a hundred would be. So the rows of a version are read in an earlier layout only if some of
them cannot be read in that of today, and most of those can in the earlier one.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum

from agent_memory.compression.rows import Stored, Vector, VersionCode
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodedContents, is_with_values, unmarked

Rows = Callable[[int], Iterable[Stored]]
"""Gives some stored rows of a version, the earliest first."""

_FEWEST = 4  # rows in an earlier layout, of which one is believed
_DAMAGED = 3  # times as many as those that can be read in no layout


class _Layout(Enum):
    """What follows the mark of the version."""

    MESSAGE = "a message alone"
    SUM_OF_MESSAGE = "a message, and a byte of its checksum with step and vector"


class EarlierRows:
    """Reads rows of versions that have some in an earlier layout."""

    def __init__(self) -> None:
        self._places: list[Rows] = []
        self._known: dict[int, _Layout | None] = {}

    def look_in(self, rows: Rows) -> None:
        """Have rows looked at there too, to see which layout those of a version have."""
        self._places.append(rows)

    def read(self, code: VersionCode, stored: Stored) -> CodedContents | None:
        """The contents of a row that cannot be read in the layout of today.

        Args:
            code: The code of the version that it names.
            stored: The row.

        Returns:
            None: it is damaged, as far as anybody can tell.
        """
        if is_with_values(stored.contents):
            return None
        if code.version not in self._known:
            self._known[code.version] = self._found(code)
        layout = self._known[code.version]
        return None if layout is None else _read(code, stored, layout)

    def _found(self, code: VersionCode) -> _Layout | None:
        """The layout that most of the rows have which are not in that of today."""
        for rows in self._places:
            others = [row for row in rows(code.version) if not _is_read(code, row)]
            counts = Counter(_layout_of(code, row) for row in others)
            damaged = counts.pop(None, 0)
            for layout, count in counts.most_common(1):
                if layout is not None and count >= max(_FEWEST, _DAMAGED * damaged):
                    return layout
        return None


def _is_read(code: VersionCode, stored: Stored) -> bool:
    try:
        code.decode(stored, len(stored.contents))
    except EncodingError:
        return is_with_values(stored.contents)
    return True


def _layout_of(code: VersionCode, stored: Stored) -> _Layout | None:
    return next((layout for layout in _Layout if _read(code, stored, layout) is not None), None)


def _read(code: VersionCode, stored: Stored, layout: _Layout) -> CodedContents | None:
    try:
        _, rest = unmarked(stored.contents)
        message = rest if layout is _Layout.MESSAGE else rest[:-1]
        head = code.code.head(message)
        if layout is _Layout.SUM_OF_MESSAGE:
            beside = stored.vector if head.is_beside_vector else None
            if rest[-1:] != _sum_of(message, stored.step, beside):
                return None
        contents = code.code.read(head, stored.step, stored.vector)
    except EncodingError:
        return None
    bounds = code.code.bounds(head.place, head.level)
    beside_vector = head.is_beside_vector
    return CodedContents(contents, code.version, head.level, bounds, beside_vector=beside_vector)


def _sum_of(message: bytes, step: int, vector: Vector | None) -> bytes:
    crc = zlib.crc32(b"%d" % step, zlib.crc32(message))
    if vector is not None:
        crc = zlib.crc32(vector.astype("<f4", copy=False).tobytes(), crc)
    return bytes([crc & 0xFF])
