"""A space of vectors that a model of the user's own makes, as a version of the encoder.

It is registered beside the versions of the encoder, with the model's name and how many numbers its
vectors have, and takes part in all that versions do: entries name it, rows of long-term memory hold
its vectors with a byte a number, backups carry it. Its vectors keep their width in every tier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.framing import DAMAGES, framed, unframed
from agent_memory.embeddings.ranking import as_unit, as_units
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry, MemoryStoreError
from agent_memory.values.embedder import Embedder, checked_dim, checked_space

MAGIC = b"AMOWN\x00\x00\x01"
"""What its artifact begins with; the last byte is the number of its format."""
KIND = "own"
"""Of its row among the versions of the encoder."""


@dataclass(frozen=True, eq=False)
class OwnSpace:
    """A space of own vectors; an ``Encoder`` where its model is at hand.

    Attributes:
        name: What the model is called.
        dim: How many numbers its vectors have, in every tier.
        embedder: The model, if this process has it.
    """

    name: str
    dim: int
    embedder: Embedder | None = field(default=None, repr=False)

    @property
    def widths(self) -> Widths:
        """Of the vectors of the tiers: the same in each."""
        return Widths(self.dim, self.dim, self.dim)

    @property
    def keeps_bias(self) -> bool:
        """Whether the first number of a long-term vector is a constant: no."""
        return False

    def bias(self, width: int) -> float:  # noqa: ARG002 - as the other versions are asked
        """What is to be put before vectors to compare them: nothing."""
        return 0.0

    def encode(self, states: Iterable[object]) -> NDArray[np.float32]:
        """The vectors that the model makes of states, of shape (n, dim).

        Raises:
            ConfigError: This process has no such model.
            EmbedderError: The model fails.
            InvalidEntry: A state has no text.
        """
        made = self.encode_some([*states])
        if not made:
            return np.zeros((0, self.dim), np.float32)
        there = [vector for vector in made if vector is not None]
        if len(there) < len(made):
            raise InvalidEntry(f"a state has no text for the embedder {self.name!r}")
        return np.stack(there)

    def encode_one(self, state: object) -> NDArray[np.float32]:
        """The vector that the model makes of one state, of shape (dim,)."""
        vector: NDArray[np.float32] = self.encode([state])[0]
        return vector

    def encode_some(self, states: Sequence[Any]) -> list[NDArray[np.float32] | None]:
        """The vectors that the model makes of states; None for those that have no text."""
        model = self.required_embedder()
        inputs = model.inputs(states, _by_place)
        places = [place for place, one in enumerate(inputs) if one is not None]
        made: list[NDArray[np.float32] | None] = [None] * len(states)
        if places:
            rows = model.vectors([inputs[at] for at in places], lambda at: _by_place(places[at]))
            for place, row in zip(places, rows, strict=True):
                made[place] = row
        return made

    def required_embedder(self) -> Embedder:
        """The model.

        Raises:
            ConfigError: This process does not have it.
        """
        if self.embedder is None:
            raise ConfigError(
                f"the vectors of {self.name!r} are made by a model that this memory was not opened "
                f'with: MemoryConfig(embedder=Embedder(model, name="{self.name}"))'
            )
        return self.embedder.held_to(self.dim)

    def carry(self, vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Give vectors as they are: a lower tier's are as wide.

        Raises:
            InvalidEntry: They are of another width.
        """
        given = np.asarray(vectors, np.float32)
        self.widths.steps(given.shape[-1], width)
        return given

    def similarity(self, state: object, others: Sequence[object]) -> NDArray[np.float32]:
        """The cosines of a state's vector and others', of shape (n,)."""
        rows = self.encode([state, *others])
        cosines: NDArray[np.float32] = as_units(rows[1:]) @ as_unit(rows[0])
        return cosines

    def to_bytes(self) -> bytes:
        """Write name and dim as an artifact."""
        return framed(MAGIC, {"name": self.name, "dim": self.dim}, b"")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read what ``to_bytes`` wrote.

        Raises:
            EncodingError: It is damaged, or made by a newer version.
        """
        head, _ = unframed(MAGIC, raw, "own vectors")
        try:
            return cls(checked_space(head["name"]), checked_dim(head["dim"]))
        except (*DAMAGES, MemoryStoreError) as error:
            raise EncodingError(f"own vectors: cannot be read ({error!r:.200})") from error


def is_own(raw: bytes) -> bool:
    """Whether an artifact is that of a space of own vectors."""
    return raw[: len(MAGIC) - 1] == MAGIC[:-1]


def _by_place(place: int) -> str:
    return f"the state at place {place}"
