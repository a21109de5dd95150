"""A model of the user's own that makes vectors: what it is called, asked and allowed to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import ConfigError, EmbedderError, InvalidEntry
from agent_memory.values.identity import checked_encoder_name
from agent_memory.values.paths import ABSENT, check_syntax, value_at
from agent_memory.values.quoting import quoted

LEAST_DIM, MOST_DIM = 2, 4_096
"""How many numbers a vector of a user's own may have."""

ENCODER = "encoder"
"""The name that stands for the vectors of the memory's own encoder."""

Model = Callable[[list[Any]], Any]
"""Texts or states to vectors of shape (n, dim)."""


class Embedder:
    """A model of your own: ``MemoryConfig(embedder=Embedder(model.encode, name="minilm"))``.

    It is called with a list of n states (dicts), or with a list of n texts, and answers with finite
    numbers of shape (n, dim): an array, or nested lists. Nothing in it changes; it compares equal
    to one of the same model, name, dim and text.

    Args:
        model: The callable.
        name: Under which its vectors are kept, and found again after the memory was closed: other
            weights need another name. None: the callable's ``name`` or ``__name__``.
        dim: How many numbers its vectors have, 2 to 4,096. None: as many as the first has.
        text: Where the text of a state is, for models that take texts alone: a path in it
            (``"said"``, ``"notes[0]"``), or a function of the state. States that have no text
            there (None) get no vector of the model. None: states are given as they are.

    Raises:
        ConfigError: One of these has no meaning, or the callable has no name.

    Examples:
        >>> import numpy as np
        >>> from agent_memory import Embedder
        >>> def lengths(texts):
        ...     return np.array([[len(text), 1.0] for text in texts])
        >>> Embedder(lengths, text="said")
        Embedder('lengths', text='said')
    """

    __slots__ = ("dim", "model", "name", "text")

    model: Model
    name: str
    dim: int | None
    text: str | Callable[[Mapping[str, Any]], Any] | None

    def __init__(
        self,
        model: Model,
        *,
        name: str | None = None,
        dim: int | None = None,
        text: str | Callable[[Mapping[str, Any]], Any] | None = None,
    ) -> None:
        if not callable(model):
            raise ConfigError(f"embedder: a callable is needed, not {quoted(model)}")
        put = super().__setattr__
        put("model", model)
        put("name", _checked_name(_name_of(model) if name is None else name))
        put("dim", None if dim is None else checked_dim(dim))
        if isinstance(text, str):
            try:
                check_syntax(text)
            except InvalidEntry as error:
                raise ConfigError(f"embedder: text: {error}") from None
        elif text is not None and not callable(text):
            raise ConfigError(f"embedder: text: a path or a function is needed, not {quoted(text)}")
        put("text", text)

    @classmethod
    def of(cls, given: object) -> Embedder | None:
        """The embedder that a configuration names: one, a callable, or None."""
        return given if given is None or isinstance(given, Embedder) else cls(given)  # type: ignore[arg-type]  # checked there

    def inputs(self, states: Sequence[Mapping[str, Any]], which: Which) -> list[Any]:
        """What the model is given of states; None of those that have no text.

        Args:
            states: The states.
            which: Names a state by its place, for messages.

        Raises:
            EmbedderError: The function for texts fails, or what is there is no text.
        """
        if self.text is None:
            return [*states]
        return [self._text_of(state, place, which) for place, state in enumerate(states)]

    def vectors(self, inputs: list[Any], which: Which) -> NDArray[np.float32]:
        """The vectors of texts or states, float32 of shape (n, dim).

        Args:
            inputs: What the model is given.
            which: Names one by its place, for messages.

        Raises:
            EmbedderError: The model raises, or what it gives is not finite numbers of that shape.
        """
        try:
            given = self.model(inputs)
        except Exception as error:
            raise self._blamed(inputs, which, error) from error
        return self._checked(given, len(inputs), which)

    def held_to(self, dim: int) -> Self:
        """The same embedder, whose vectors must have so many numbers."""
        if self.dim is not None:
            return self
        return type(self)(self.model, name=self.name, dim=dim, text=self.text)

    def _text_of(self, state: Mapping[str, Any], place: int, which: Which) -> str | None:
        if isinstance(self.text, str):
            found = value_at(state, self.text)
            found = None if found is ABSENT else found
        else:
            try:
                found = self.text(state)  # type: ignore[misc]  # asked by ``inputs``
            except Exception as error:
                raise EmbedderError(
                    f"{self!r}: its function for texts fails for {which(place)}: {_said(error)}; "
                    "nothing was stored"
                ) from error
        if found is not None and not isinstance(found, str):
            raise EmbedderError(
                f"{self!r}: the text of {which(place)} is no text but {quoted(found)}; "
                "nothing was stored"
            )
        return found

    def _blamed(self, inputs: list[Any], which: Which, error: Exception) -> EmbedderError:
        """What the model raised, with the name of the first input that it fails for alone."""
        place = 0 if len(inputs) == 1 else self._first_refused(inputs)
        one = f"{len(inputs)} together, of which it takes each" if place is None else which(place)
        return EmbedderError(f"{self!r} fails for {one}: {_said(error)}; nothing was stored")

    def _first_refused(self, inputs: list[Any]) -> int | None:
        for place, one in enumerate(inputs):
            try:
                self.model([one])
            except Exception:  # noqa: BLE001  # whatever it raises: what it raised first is kept
                return place
        return None

    def _checked(self, given: Any, count: int, which: Which) -> NDArray[np.float32]:
        try:
            with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and refused
                rows = _numbers(given)
        except Exception as error:
            raise EmbedderError(
                f"{self!r} gives no numbers of shape ({count}, dim) but {type(given).__name__} "
                f"({_said(error)}); nothing was stored"
            ) from error
        if rows.ndim != 2 or len(rows) != count:
            raise EmbedderError(
                f"{self!r} gives numbers of shape {rows.shape} for {count}: ({count}, dim) is "
                "needed; nothing was stored"
            )
        dim = rows.shape[1]
        if dim != self.dim if self.dim else not LEAST_DIM <= dim <= MOST_DIM:
            wanted = self.dim or f"from {LEAST_DIM} to {MOST_DIM:,}"
            raise EmbedderError(
                f"{self!r} gives vectors of {dim} numbers: {wanted} are needed; nothing was stored"
            )
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise EmbedderError(
                f"{self!r} gives NaN or infinite numbers for {which(int(np.argmin(finite)))}; "
                "nothing was stored"
            )
        return rows

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an embedder is not changed: make another one ({name})")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Embedder) and self._key() == other._key()

    def __hash__(self) -> int:
        # Not of the model, which may have no hash.
        return hash((self.name, self.dim))

    def _key(self) -> tuple[object, ...]:
        return self.model, self.name, self.dim, self.text

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what the callables are pickled by: functions by their names.

        Raises:
            ConfigError: One is a function that has no name in a module.
        """
        for one in (self.model, self.text):
            place = getattr(one, "__qualname__", "")
            if "<lambda>" in place or "<locals>" in place:
                raise ConfigError(
                    f"{self!r} cannot be pickled: {place} has no name in a module, by which "
                    "another process would find it; define it at the top of a module, or open the "
                    "memory there with an embedder of that process"
                )
        return (_restored, self._key())

    def __repr__(self) -> str:
        dim = "" if self.dim is None else f", dim={self.dim}"
        text = "" if self.text is None else f", text={_shown(self.text)}"
        return f"Embedder({self.name!r}{dim}{text})"


Which = Callable[[int], str]
"""Names an input of an embedder by its place, for messages."""


def checked_dim(dim: object) -> int:
    """Return how many numbers the vectors of a model have.

    Raises:
        ConfigError: It is no whole number from 2 to 4,096.
    """
    if type(dim) is not int or not LEAST_DIM <= dim <= MOST_DIM:
        raise ConfigError(
            f"embedder: dim: a whole number from {LEAST_DIM} to {MOST_DIM:,} is needed, not "
            f"{quoted(dim)}"
        )
    return dim


def checked_space(name: object) -> str:
    """Return the name of a space of vectors.

    Raises:
        InvalidEntry: It is no name, or the one that stands for the encoder.
    """
    checked = checked_encoder_name(name)
    if checked == ENCODER:
        raise InvalidEntry(f"{ENCODER!r} names the vectors of the memory's own encoder")
    return checked


def _checked_name(name: object) -> str:
    try:
        return checked_space(name)
    except InvalidEntry as error:
        raise ConfigError(f"embedder: {error}") from None


def _name_of(model: Any) -> str:
    for attribute in ("name", "__name__"):
        found = getattr(model, attribute, None)
        if isinstance(found, str) and found and not found.startswith("<"):
            return found
    raise ConfigError(
        f"embedder: {quoted(model)} has no name, under which its vectors are found again: "
        'Embedder(model, name="...")'
    )


def _numbers(given: Any) -> NDArray[np.float32]:
    found = np.asarray(given)
    if found.dtype.kind not in "biuf":
        raise TypeError(f"of dtype {found.dtype}")
    return found.astype(np.float32)


def _shown(text: object) -> str:
    return repr(text) if isinstance(text, str) else getattr(text, "__name__", quoted(text))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _restored(model: Model, name: str, dim: int | None, text: Any) -> Embedder:
    return Embedder(model, name=name, dim=dim, text=text)
