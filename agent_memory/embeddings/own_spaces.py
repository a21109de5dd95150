"""The spaces of own vectors that a memory knows, and the one that this process has a model for.

    vector=, or the embedder's vector of the contents -> the version of the space -> the entry

A space is registered when the first vector of it is stored, under the name of its model; vectors
given without a name belong to the embedder's space, or where there is no embedder to "own".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import ConfigError, EmbedderError, EntryConflict, InvalidEntry
from agent_memory.values.embedder import ENCODER, LEAST_DIM, MOST_DIM, Embedder, Which
from agent_memory.values.vector import Vector

UNNAMED = "own"
"""The space of vectors that were given without a name, in a memory without an embedder."""


class SpaceSource(Protocol):
    """Where spaces are registered, among the versions of the encoder."""

    def named(self, name: str) -> int | None:
        """The version of a name; None if there is none."""


class OwnVector(NamedTuple):
    """A vector of the user's own, and the version that stands for its space."""

    numbers: NDArray[np.float32]
    version: int


class OwnSpaces:
    """Makes and takes own vectors. Threads may share it.

    Args:
        registry: The versions of the encoder, spaces among them.
        source: Where their names are.
        embedder: The model of this process; None: it has none.
        register: Registers a space, and gives its version.
    """

    def __init__(
        self,
        registry: EncoderRegistry,
        source: SpaceSource,
        embedder: Embedder | None,
        register: Callable[[OwnSpace], int],
    ) -> None:
        self._registry = registry
        self._source = source
        self._register = register
        self._known: dict[str, int] = {}
        self.embedder = embedder

    @property
    def name(self) -> str:
        """The space of vectors that are given without one."""
        return UNNAMED if self.embedder is None else self.embedder.name

    def find(self, name: str) -> tuple[int, OwnSpace] | None:
        """A space and its version; None if it is not registered.

        Raises:
            InvalidEntry: A version of the encoder has that name.
            EncodingError: What is registered is damaged.
            StoreUnavailable: Long-term memory does not answer.
        """
        version = self._known.get(name)
        if version is None:
            version = self._source.named(name)
        if version is None:
            return None
        space = self._registry.required(version)
        if not isinstance(space, OwnSpace):
            raise InvalidEntry(
                f"{name!r} is version {version} of the encoder, and no space of own vectors: "
                "name the embedder otherwise"
            )
        self._known[name] = version
        return version, space

    def check(self) -> None:
        """See that the embedder makes vectors as wide as those of its name that are stored.

        Raises:
            ConfigError: It does not.
            StoreUnavailable: Long-term memory does not answer.
        """
        if self.embedder is None:
            return
        try:
            found = self.find(self.embedder.name)
        except InvalidEntry as error:
            raise ConfigError(f"embedder: {error}") from error
        if found is not None and self.embedder.dim not in (None, found[1].dim):
            raise ConfigError(
                f"embedder: {self.embedder!r} makes vectors of {self.embedder.dim} numbers, and "
                f"this memory holds vectors of {found[1].dim} under that name: open it with the "
                "model that made them, or give the other one a name of its own"
            )

    def given(self, vector: object) -> OwnVector:
        """Take a vector that was given with an entry.

        Args:
            vector: A list or array of numbers, or a ``Vector``, which may name its space.

        Raises:
            InvalidEntry: It is none, or of another width than those of its space.
            StoreReadOnly: Its space is not registered, and the memory was opened read-only.
        """
        checked = vector if isinstance(vector, Vector) else Vector(vector)  # type: ignore[arg-type]  # checked there
        if checked.space == ENCODER:
            raise InvalidEntry("vector: the encoder's own are made by the encoder: leave it out")
        name = self.name if checked.space is None else checked.space
        return OwnVector(checked.numbers, self._settled(name, len(checked)))

    def embedded(self, states: Sequence[Mapping[str, Any]], which: Which) -> list[OwnVector | None]:
        """The embedder's vectors of states; None of those that have no text, or without one.

        Args:
            states: The states.
            which: Names a state by its place, for messages.

        Raises:
            EmbedderError: The embedder fails; nothing is registered.
        """
        model = self.embedder
        if model is None:
            return [None] * len(states)
        inputs = model.inputs(states, which)
        places = [place for place, one in enumerate(inputs) if one is not None]
        made: list[OwnVector | None] = [None] * len(states)
        if places:
            asked = [inputs[place] for place in places]
            rows = model.vectors(asked, lambda at: which(places[at]))
            version = self._settled_by_model(model, rows.shape[1])
            for place, row in zip(places, rows, strict=True):
                made[place] = OwnVector(row, version)
        return made

    def of_text(self, text: str) -> Vector:
        """The embedder's vector of a text that is asked about.

        Raises:
            InvalidEntry: This process has no embedder.
            EmbedderError: It fails.
        """
        model = self.embedder
        if model is None:
            raise InvalidEntry(
                f"near: {text!r:.80} is not a UUID; to ask near a text, open the memory with "
                "the model that made its vectors: MemoryConfig(embedder=...)"
            )
        (row,) = model.vectors([text], lambda _: f"the text {text!r:.80}")
        return Vector(row, space=model.name)

    def _settled_by_model(self, model: Embedder, dim: int) -> int:
        try:
            return self._settled(model.name, dim)
        except InvalidEntry as error:
            raise EmbedderError(f"{model!r}: {error}; nothing was stored") from error

    def _settled(self, name: str, dim: int) -> int:
        """The version of a space, registered if it is not."""
        if not LEAST_DIM <= dim <= MOST_DIM:
            raise InvalidEntry(
                f"vector: {dim} numbers; from {LEAST_DIM} to {MOST_DIM:,} can be stored"
            )
        found = self.find(name) or self._registered(name, dim)
        if found[1].dim != dim:
            raise InvalidEntry(
                f"vector: {dim} numbers; those of {name!r} in this memory have {found[1].dim}: "
                'give another model\'s a name of their own: Vector(numbers, space="...")'
            )
        return found[0]

    def _registered(self, name: str, dim: int) -> tuple[int, OwnSpace]:
        try:
            version = self._register(OwnSpace(name, dim))
        except EntryConflict:
            # Another process has just registered it.
            found = self.find(name)
            if found is None:
                raise
            return found
        space = self._registry.sought(version)
        self._known[name] = version
        if not isinstance(space, OwnSpace):  # as registered above
            raise TypeError(f"version {version} is no space of own vectors")
        return version, space
