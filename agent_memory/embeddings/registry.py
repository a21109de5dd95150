"""The versions of the encoder that a memory knows: which one is used, and those that were.

Every stored vector names the version that made it. Version 0 needs no training and is always
there; the others are loaded from where they are registered when a vector of theirs is first met.
A version never changes once it is registered, so that what was loaded stays right.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent_memory.embeddings.encoder import Encoder, FittedEncoder
from agent_memory.embeddings.own import OwnSpace, is_own
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import EncoderNotFound, EncodingError
from agent_memory.values.embedder import Embedder
from agent_memory.values.forking import after_fork

UNTRAINED = 0
"""The version of the encoder that needs no training."""

_ASK_AGAIN = 10.0  # seconds after which one that was absent or damaged is looked for again

_logger = logging.getLogger(__name__)


class VersionSource(Protocol):
    """Where versions are registered."""

    def active(self) -> int:
        """The version to encode with; 0 if none was activated."""

    def artifact(self, version: int) -> bytes | None:
        """The bytes of a version (see ``FittedEncoder.to_bytes``); None if it is not registered."""


@dataclass(frozen=True, slots=True)
class NumberedEncoder:
    """An encoder, and the version that it is."""

    version: int
    encoder: Encoder


class EncoderRegistry:
    """The encoders of a memory by version, loaded when needed. Threads may share one.

    Args:
        widths: Of the vectors of version 0; a registered version has its own.
        source: Where the others are registered; None: there are none.
        clock: Gives a time in seconds that never goes back.
        embedder: The model of this process, which makes the vectors of the space of its name.
    """

    def __init__(
        self,
        widths: Widths | None = None,
        source: VersionSource | None = None,
        clock: Callable[[], float] = time.monotonic,
        embedder: Embedder | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._embedder = embedder
        untrained = VersionZero(widths)
        self._loaded: dict[int, Encoder] = {UNTRAINED: untrained}
        self._absent: dict[int, float] = {}  # when it was looked for
        self._damaged: dict[int, tuple[float, EncodingError]] = {}  # when it was read
        self._current = NumberedEncoder(UNTRAINED, untrained)
        self._unlock()
        after_fork(self._unlock)

    @property
    def current(self) -> NumberedEncoder:
        """What new entries are encoded with."""
        return self._current

    def use(self, version: int) -> None:
        """Encode with a version from now on, in this process.

        Raises:
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
            StoreUnavailable: The place where it is registered does not answer.
        """
        self._current = NumberedEncoder(version, self.sought(version))

    def refresh(self) -> None:
        """Encode with the version that is active now, also if another process activated it.

        A damaged one is logged, and version 0 is used.

        Raises:
            StoreUnavailable: The place where versions are registered does not answer.
        """
        active = UNTRAINED if self._source is None else self._source.active()
        self._look_again(active)
        encoder = self.encoder(active)
        untrained = NumberedEncoder(UNTRAINED, self._loaded[UNTRAINED])
        self._current = untrained if encoder is None else NumberedEncoder(active, encoder)

    def encoder(self, version: int | None) -> Encoder | None:
        """The encoder of a version; None if it is not registered or damaged, which is logged.

        Raises:
            StoreUnavailable: The place where it is registered does not answer.
        """
        if version is None:
            return None
        try:
            return self.required(version)
        except (EncoderNotFound, EncodingError):
            return None

    def is_own(self, version: int | None) -> bool:
        """Whether a version stands for vectors of a model of the user's own."""
        return version not in (None, UNTRAINED) and isinstance(self.encoder(version), OwnSpace)

    def required(self, version: int) -> Encoder:
        """The encoder of a version.

        Raises:
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
            StoreUnavailable: The place where it is registered does not answer.
        """
        encoder = self._loaded.get(version)
        if encoder is not None:
            return encoder
        with self._lock:
            return self._loaded.get(version) or self._load(version)

    def sought(self, version: int) -> Encoder:
        """The encoder of a version that a person asks for; looked for even if it was not there.

        Raises:
            EncoderNotFound, EncodingError, StoreUnavailable: See ``required``.
        """
        self._look_again(version)
        return self.required(version)

    def _load(self, version: int) -> Encoder:
        if self._known_damaged(version):
            wrong = self._damaged[version][1]
            raise type(wrong)(*wrong.args)
        try:
            artifact = None if self._known_absent(version) else self._artifact(version)
            encoder = None if artifact is None else read_version(artifact, self._embedder)
        except EncodingError as error:
            wrong = type(error)(
                f"version {version} of the encoder cannot be read ({error}); its vectors are not "
                "compared until then, or until its entries are re-encoded: agent-memory encoder "
                "reencode"
            )
            if version not in self._damaged:
                _logger.error("%s", wrong)  # noqa: TRY400 - the traceback would add nothing
            self._damaged[version] = self._clock(), wrong
            raise wrong from error
        if encoder is None:
            raise EncoderNotFound(
                f"version {version} of the encoder is not registered; "
                "see: agent-memory encoder list"
            )
        self._damaged.pop(version, None)
        self._loaded[version] = encoder
        return encoder

    def _look_again(self, version: int) -> None:
        self._absent.pop(version, None)
        if version in self._damaged:
            self._damaged[version] = float("-inf"), self._damaged[version][1]

    def _known_damaged(self, version: int) -> bool:
        # Somebody may have put back what is registered.
        if version not in self._damaged:
            return False
        return self._clock() - self._damaged[version][0] < _ASK_AGAIN

    def _known_absent(self, version: int) -> bool:
        # Asking costs a query, and entries of a version that is nowhere may be met all the time.
        return self._clock() - self._absent.get(version, float("-inf")) < _ASK_AGAIN

    def _artifact(self, version: int) -> bytes | None:
        artifact = None if self._source is None else self._source.artifact(version)
        if artifact is None:
            self._absent[version] = self._clock()
        return artifact

    def _unlock(self) -> None:
        self._lock = threading.RLock()


def read_version(artifact: bytes, embedder: Embedder | None = None) -> FittedEncoder | OwnSpace:
    """Read the bytes of a version: an encoder that was fitted, or a space of own vectors.

    Args:
        artifact: As registered.
        embedder: The model of this process, for the space of its name.

    Raises:
        EncodingError: They are damaged, or made by a newer version.
    """
    if not is_own(artifact):
        return FittedEncoder.from_bytes(artifact)
    space = OwnSpace.from_bytes(artifact)
    mine = embedder is not None and embedder.name == space.name
    return replace(space, embedder=embedder) if mine else space
