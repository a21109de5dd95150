"""What entries are compared by: their contents, with numbers that vectors give better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent_memory.compression.codes import Codes
from agent_memory.compression.fitted.finer import Rounded, finer
from agent_memory.embeddings.comparable import Value, Wide, comparable
from agent_memory.errors import EncodingError
from agent_memory.repositories.following import Stored
from agent_memory.values.coded import CodedContents


def compared(codes: Codes, stored: Sequence[Stored]) -> list[dict[str, Value]]:
    """What entries are compared by, by path; nothing of those that cannot be read.

    A number that a code has rounded is the sum of two: as it was rounded, and how far from that its
    vector says it was.

    Args:
        codes: The codes that have rounded contents.
        stored: The entries.
    """
    found = [{} if one.contents is None else comparable(one.contents).values for one in stored]
    for place, numbers in _finer(codes, stored).items():
        values = found[place]
        for path, number in numbers.items():
            rounded = values.get(path)
            if isinstance(rounded, float):
                values[path] = Wide(rounded, number - rounded)
    return found


def _finer(codes: Codes, stored: Sequence[Stored]) -> dict[int, Mapping[str, float]]:
    """The numbers that are known better from vectors, by the places of entries."""
    groups: dict[int, dict[int, Rounded]] = {}
    for place, one in enumerate(stored):
        contents = one.contents
        if not isinstance(contents, CodedContents) or one.vector is None:
            continue
        if contents.beside_vector and contents.bounds:
            groups.setdefault(contents.version, {})[place] = Rounded(contents, one.vector)
    found: dict[int, Mapping[str, float]] = {}
    for version, some in groups.items():
        try:
            better = finer(codes.code(version), [*some.values()])
        except EncodingError:  # it has just read them, and may be removed by now
            continue
        found |= zip(some, better, strict=True)
    return found
