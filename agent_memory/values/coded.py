"""Contents that a fitted code has coded: how they are recognised, and the bounds they bring.

Stored contents begin with the version of their code, or with 0x00, the number of a further format
and then the version; what ``contents.pack`` made begins with 0x80 or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_memory.errors import EncodingError
from agent_memory.values.formats import newer
from agent_memory.values.frozen import FrozenDict

CODED_FROM, CODED_BELOW = 0x02, 0x80
"""The first byte of contents that a fitted code has coded; ``pack`` begins with 0x80 or more."""

_SHORT = CODED_BELOW - 1 - CODED_FROM  # versions below this fit in the first byte
_SHORT_MARKS = range(CODED_FROM, CODED_BELOW - 1)
_LONG = bytes([CODED_BELOW - 1])  # stands before a version of eight bytes
FURTHER = 0x00
"""The first byte of contents in a format whose number follows, and then the version of a code."""
WITH_VALUES = 1
"""The number of the format in which values that a code has no choice for lie beside its message."""
_WITH_VALUES = bytes([FURTHER, WITH_VALUES])
NEWEST_FURTHER = WITH_VALUES
"""The newest of these numbers that is read."""
CODED_MARK = 2 + 9
"""How many bytes tell the format and the version of a code at most."""


class CodeBounds(FrozenDict[str, float]):
    """Bounds that a fitted code tells, by path: they were checked when it was read.

    All entries of a code share them.
    """

    __slots__ = ()


class CodedContents(dict[str, Any]):
    """Contents that a fitted code gave back: a dict that knows how far its numbers may be off.

    Made of items alone, as ``dataclasses.asdict`` makes it, it is a plain dict.

    Attributes:
        version: Whose code it was.
        level: The level they were coded at: 1 or 2.
        bounds: By path, how far a number may be from the original; others are exact.
        beside_vector: Whether a part was coded relative to the vector that rests beside them, which
            therefore is of the same version.
    """

    __slots__ = ("beside_vector", "bounds", "level", "version")

    def __new__(cls, contents: Any = (), *more: Any, **options: Any) -> Any:
        """Make a plain dict of items that come with nothing that a code knows."""
        return super().__new__(cls) if more or options else dict(contents)

    def __init__(
        self,
        contents: Mapping[str, Any],
        version: int,
        level: int,
        bounds: CodeBounds,
        *,
        beside_vector: bool = False,
    ) -> None:
        super().__init__(contents)
        self.version = version
        self.level = level
        self.bounds = bounds
        self.beside_vector = beside_vector

    def __reduce__(self) -> tuple[Any, ...]:
        known = self.version, self.level, self.bounds, self.beside_vector
        return _coded_contents, (dict(self), *known)


def _coded_contents(
    contents: dict[str, Any], version: int, level: int, bounds: CodeBounds, beside_vector: bool
) -> CodedContents:
    return CodedContents(contents, version, level, bounds, beside_vector=beside_vector)


def is_coded(stored: bytes) -> bool:
    """Whether stored contents were coded by a fitted code, which knows their bounds."""
    return bool(stored) and (CODED_FROM <= stored[0] < CODED_BELOW or is_with_values(stored))


def is_with_values(stored: bytes) -> bool:
    """Whether they are coded, with values beside the message of the code."""
    return stored[:2] == _WITH_VALUES


def check_further(stored: bytes) -> None:
    """See that stored contents are not in a further format that this version does not know.

    Raises:
        NewerFormat: They are.
    """
    if stored[:1] == bytes([FURTHER]) and stored[1:2] > bytes([NEWEST_FURTHER]):
        raise newer("the coding of stored contents", stored[1], NEWEST_FURTHER)


def marked(version: int, coded: bytes, *, with_values: bool = False) -> bytes:
    """Contents as they are stored that the code of a version has coded.

    Args:
        version: The version.
        coded: What its code made of them.
        with_values: Whether there are values beside its message.
    """
    return (bytes([FURTHER, WITH_VALUES]) if with_values else b"") + mark_of(version) + coded


def mark_of(version: int) -> bytes:
    """What names a version in stored contents."""
    return bytes([CODED_FROM + version]) if version < _SHORT else _LONG + version.to_bytes(8, "big")


def unmarked(stored: bytes) -> tuple[int, bytes]:
    """The version whose code stored contents name, and the rest.

    Raises:
        EncodingError: Only their beginning is there.
    """
    first = stored[0] if stored else 0
    if first in _SHORT_MARKS:  # nearly all are, and this is asked of every row
        return first - CODED_FROM, stored[1:]
    begin = 2 if is_with_values(stored) else 0
    end = begin + (9 if stored[begin : begin + 1] == _LONG else 1)
    if len(stored) < end:
        raise EncodingError("stored contents cannot be read (only their beginning is there)")
    mark = stored[begin:end]
    version = mark[0] - CODED_FROM if len(mark) == 1 else int.from_bytes(mark[1:], "big")
    return version, stored[end:]


def version_of(stored: bytes) -> int:
    """The version whose code stored contents name; see ``unmarked``."""
    first = stored[0] if stored else 0
    return first - CODED_FROM if first in _SHORT_MARKS else unmarked(stored)[0]


def code_named_by(stored: bytes) -> int | None:
    """The version whose code stored contents, or their first bytes, name.

    Returns:
        None: they are exact, or too short to tell.
    """
    if not is_coded(stored):
        return None
    try:
        return version_of(stored)
    except EncodingError:
        return None


def bounds_of(contents: object, stored: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """The bounds of contents that were read: their code's, or those stored beside them."""
    return contents.bounds or None if isinstance(contents, CodedContents) else stored
