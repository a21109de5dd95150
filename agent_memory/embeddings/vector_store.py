"""Exact search among vectors by cosine similarity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.framing import DAMAGES, framed, read, unframed, write
from agent_memory.embeddings.ranking import as_units, nearest
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry
from agent_memory.values.checks import as_row
from agent_memory.values.file_names import checked_path
from agent_memory.values.interruptions import raise_if_interrupted

MAX_BYTES = 4 * 1024**3
"""The largest file that is loaded."""

MAGIC = b"AMVEC\x00\x00\x01"
"""What a file begins with; the last byte is the number of its format."""
_FIRST_ROOM = 64  # rows


class VectorStore:
    """Vectors by id. To be used by one thread at a time.

    Args:
        dim: Numbers in each vector.

    Raises:
        InvalidEntry: It is not above 0.

    Examples:
        >>> import numpy as np
        >>> from agent_memory import VectorStore
        >>> store = VectorStore(3)
        >>> store.add(["a", "b"], np.eye(3, dtype=np.float32)[:2])
        >>> len(store)
        2
    """

    def __init__(self, dim: int) -> None:
        if type(dim) is not int or dim < 1:
            raise InvalidEntry(f"dim: a whole number above 0 is needed, not {dim!r}")
        self.dim = dim
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._units = np.empty((_FIRST_ROOM, dim), np.float32)  # of length 1, or all zeros

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, vector_id: object) -> bool:
        return vector_id in self._places

    def add(self, ids: Iterable[str], vectors: NDArray[Any] | Sequence[Sequence[float]]) -> None:
        """Add vectors, or replace those whose ids are there; all of them or none.

        Args:
            ids: Texts.
            vectors: Finite numbers of shape (n, dim), one row for each id; of an id that is
                given twice the last counts.

        Raises:
            InvalidEntry: Width, number or content of the rows is wrong, or an id is no text.

        Examples:
            >>> store.add(["c"], np.ones((1, 3), np.float32))
            >>> len(store)
            3
        """
        units = self._as_units(vectors)
        given: list[object] = [] if isinstance(ids, str) else [*ids]
        names = [one for one in given if isinstance(one, str)]
        if isinstance(ids, str) or len(names) < len(given):
            raise InvalidEntry("ids: a list of texts is needed")
        if len(names) != len(units):
            raise InvalidEntry(f"ids: {len(names)} for {len(units)} vectors")
        self._make_room(len(self) + len(names))
        for vector_id in names:
            if vector_id not in self._places:
                self._places[vector_id] = len(self._ids)
                self._ids.append(vector_id)
        latest = {vector_id: row for row, vector_id in enumerate(names)}
        places = [self._places[vector_id] for vector_id in latest]
        self._units[places] = units[list(latest.values())]

    def remove(self, ids: Iterable[str]) -> None:
        """Remove vectors; ids that are not there are passed over.

        Examples:
            >>> store.remove(["c"])
            >>> len(store)
            2
        """
        for vector_id in [ids] if isinstance(ids, str) else ids:
            place = self._places.pop(vector_id, None)
            if place is None:
                continue
            last = self._ids.pop()
            if place < len(self._ids):  # the last one moves into the gap
                self._ids[place] = last
                self._places[last] = place
                self._units[place] = self._units[len(self._ids)]

    def search(
        self,
        vector: NDArray[Any] | Sequence[float],
        k: int = 10,
        among: Iterable[str] | None = None,
    ) -> list[tuple[str, float]]:
        """Find the vectors of the greatest cosine similarity; exact.

        Args:
            vector: Finite numbers of shape (dim,).
            k: How many at most, above 0.
            among: Look only at these ids; those that are not there are passed over.

        Returns:
            Ids and similarities from -1 to 1, the greatest first, equal ones by id. A vector of
            zeros is as like as 0 to any other.

        Raises:
            InvalidEntry: The vector is of another width, or ``k`` is not above 0.

        Examples:
            >>> [name for name, _ in store.search([1.0, 0.2, 0.0], k=2)]
            ['a', 'b']
        """
        number: object = k
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise InvalidEntry(f"k: a whole number above 0 is needed, not {k!r}")
        query = self._as_units([vector])[0]
        ranked = nearest(self._units[: len(self)], query, self._ids, int(k), self._places_of(among))
        return [(self._ids[place], similarity) for place, similarity in ranked]

    def save(self, path: str | Path) -> None:
        """Write all vectors, as of length 1, to a file.

        Raises:
            ConfigError: It cannot be written.

        Examples:
            >>> store.save("vectors.npz")
        """
        head = {"dim": self.dim, "ids": self._ids}
        body = self._units[: len(self)].astype("<f4", copy=False).tobytes()
        write(checked_path(path), framed(MAGIC, head, body))

    def load(self, path: str | Path) -> Self:
        """Hold what a file holds, in place of what was here.

        Returns:
            This store.

        Raises:
            ConfigError: There is no such file, or its vectors are of another width.
            EncodingError: It is damaged, too large, or made by a newer version; the store is as
                it was.

        Examples:
            >>> len(VectorStore(3).load("vectors.npz"))
            2
        """
        head, body = unframed(MAGIC, read(checked_path(path), MAX_BYTES), "vector store")
        if head.get("dim") != self.dim:
            raise ConfigError(f"{path}: vectors of {head.get('dim')!r:.20} numbers, not {self.dim}")
        loaded = VectorStore(self.dim)
        try:
            ids = head["ids"]
            loaded.add(ids, np.frombuffer(body, "<f4").reshape(len(ids), self.dim))
        except DAMAGES as error:
            raise_if_interrupted(error)
            raise EncodingError(f"{path}: cannot be read ({error!r:.200})") from error
        self._ids, self._places, self._units = loaded._ids, loaded._places, loaded._units
        return self

    def _places_of(self, among: Iterable[str] | None) -> NDArray[np.intp] | None:
        if among is None:
            return None
        wanted = {among} if isinstance(among, str) else dict.fromkeys(among)
        return np.array([self._places[one] for one in wanted if one in self._places], np.intp)

    def _as_units(self, vectors: object) -> NDArray[np.float32]:
        try:
            if isinstance(vectors, (list, tuple)):
                vectors = [as_row(row, np.float64) for row in vectors]
            rows = np.asarray(vectors, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidEntry(
                f"vectors: numbers of shape (n, dim) are needed ({error})"
            ) from error
        if rows.size == 0 and len(rows) == 0:
            return np.empty((0, self.dim), np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise InvalidEntry(f"vectors: {self.dim} numbers each are needed, not {rows.shape}")
        if not np.isfinite(rows).all():
            raise InvalidEntry("vectors: a number is NaN or infinite")
        return as_units(rows)

    def _make_room(self, rows: int) -> None:
        if rows > len(self._units):
            grown = np.empty((max(rows, 2 * len(self._units)), self.dim), np.float32)
            grown[: len(self)] = self._units[: len(self)]
            self._units = grown
