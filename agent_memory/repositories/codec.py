"""What a repository asks of compression: contents to bytes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodedContents, is_coded
from agent_memory.values.contents import pack
from agent_memory.values.entry import MemoryEntry


class Codec(Protocol):
    """Turns contents into the bytes of a tier and back."""

    def encode(self, entry: MemoryEntry) -> bytes:
        """Encode an entry's contents at its compression level."""

    def encode_many(self, entries: Sequence[MemoryEntry]) -> list[bytes]:
        """The same for many."""

    def decode(
        self, encoded: bytes, step: int, vector: NDArray[np.float32] | None = None
    ) -> dict[str, Any]:
        """Give back contents of a step, beside whose vector they were coded.

        Raises:
            EncodingError: The bytes are damaged.
        """

    def decode_many(
        self,
        encoded: Sequence[bytes],
        steps: Sequence[int],
        vectors: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[dict[str, Any] | EncodingError]:
        """Give back many contents; in place of those that are damaged their errors."""

    def values_at(
        self,
        path: str,
        encoded: Sequence[bytes],
        steps: Sequence[int],
        vectors: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> Sequence[ValueRead | EncodingError]:
        """The values at a path of many contents; in place of those damaged their errors."""


class ValueRead(Protocol):
    """The value at a path of contents."""

    @property
    def value(self) -> Any:
        """``ABSENT`` where contents have none."""

    @property
    def bounds(self) -> Mapping[str, float] | None:
        """The bounds of the contents that their code tells."""


def is_kept(codec: Codec, stored: bytes | None, entry: MemoryEntry) -> bool:
    """Whether contents that are stored exactly are those of an entry which was changed otherwise.

    They stay as they are then: a pin or another importance is no reason to be coded with a bound.
    """
    if stored is None or is_coded(stored) or isinstance(entry.contents, CodedContents):
        return False
    try:
        return pack(codec.decode(stored, entry.step_number)) == pack(entry.contents)
    except EncodingError:
        return False


def is_replacement(stored: MemoryEntry, entry: MemoryEntry) -> bool:
    """Whether a stored entry is what replacing it by a changed one gives.

    Retrievals are counted whatever is replaced, so they are those of the stored entry.
    """
    return stored == replace(
        entry,
        revision=entry.revision + 1,
        retrieval_count=stored.retrieval_count,
        last_access_time=stored.last_access_time,
    )
