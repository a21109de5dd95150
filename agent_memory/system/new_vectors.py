"""Makes the vectors of new entries: those that are given, the embedder's, and the encoder's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.own_spaces import OwnSpaces, OwnVector
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import InvalidEntry
from agent_memory.values.contents import pack
from agent_memory.values.embedder import Which
from agent_memory.values.extent import TooDeep, TooMuch
from agent_memory.values.quoting import quoted

# What is raised where contents are too large or too deep to be read whole.
_LIMITS = (TooDeep, TooMuch, RecursionError, MemoryError)


class MadeVectors(NamedTuple):
    """Vectors of entries, each with the version that made it, and whether all are finite."""

    pairs: list[tuple[NDArray[np.float32] | None, int]]
    are_finite: bool


@dataclass(frozen=True)
class NewVectors:
    """Makes the vectors of new entries. Threads may share it.

    Attributes:
        encoders: Make vectors with the version in use.
        spaces: Take vectors that are given, and make those of the user's own model.
    """

    encoders: EncoderRegistry
    spaces: OwnSpaces

    def one(
        self, contents: Mapping[str, Any], vector: object, agent_id: str, step: int
    ) -> tuple[NDArray[np.float32] | None, int]:
        """The vector of an entry, and the version that made it.

        Raises:
            InvalidEntry: The vector that was given is none of its space.
            EmbedderError: The embedder fails.
        """
        own = None
        if vector is not None:
            own = self.spaces.given(vector)
        elif self.spaces.embedder is not None:
            (own,) = self.spaces.embedded([contents], lambda _: entry_of(agent_id, step))
        if own is not None:
            return own
        current = self.encoders.current
        return _vector(current.encoder, contents), current.version

    def many(
        self,
        contents: Sequence[Mapping[str, Any]],
        given: Sequence[OwnVector | None],
        which: Which,
    ) -> MadeVectors:
        """The vectors of entries, with one call of the embedder and one of the encoder.

        Args:
            contents: Of the entries.
            given: The vectors that were given with them.
            which: Names an entry by its place, for messages.

        Raises:
            EmbedderError: The embedder fails.
        """
        own = [*given]
        if self.spaces.embedder is not None:
            lacking = [place for place, one in enumerate(given) if one is None]
            made = self.spaces.embedded(
                [contents[place] for place in lacking], lambda at: which(lacking[at])
            )
            for place, one in zip(lacking, made, strict=True):
                own[place] = one
        current = self.encoders.current
        left = [held for held, one in zip(contents, own, strict=True) if one is None]
        vectors, are_finite = _vectors(current.encoder, left)
        rest = iter(vectors)
        pairs = [(next(rest), current.version) if one is None else one for one in own]
        return MadeVectors(pairs, are_finite)


def entry_of(agent_id: str, step: int) -> str:
    """The name of an entry that is being made, for messages."""
    return f"the entry of agent {quoted(agent_id)} at step {step}"


def _vector(encoder: Encoder, contents: Mapping[str, Any]) -> NDArray[np.float32] | None:
    try:
        return encoder.encode_one(contents)
    except InvalidEntry as error:
        _raise_what_came_between(error, [contents])
        # What cannot be encoded cannot be stored, and storing it will name the path.
        return None


def _vectors(
    encoder: Encoder, states: Sequence[Mapping[str, Any]]
) -> tuple[list[NDArray[np.float32] | None], bool]:
    """The vectors of states, and whether they are known to be finite."""
    try:
        rows = encoder.encode(states)
    except InvalidEntry as error:
        _raise_what_came_between(error, states)
        return [_vector(encoder, state) for state in states], False
    return [*rows], bool(np.isfinite(rows).all())


def _raise_what_came_between(error: InvalidEntry, states: Sequence[Mapping[str, Any]]) -> None:
    """Raise what a signal's handler raised, if that reads as a fault of a value's own code."""
    fault = error.__cause__
    if fault is None or isinstance(fault, _LIMITS):
        return
    if all(map(_can_be_stored, states)):
        raise fault from None


def _can_be_stored(contents: Mapping[str, Any]) -> bool:
    try:
        pack(contents)
    except InvalidEntry:
        return False
    return True
