"""The codes of contents that a memory knows, by version, and the bytes that name theirs.

Each version of the encoder may have a code. Coded contents name it in their first byte, so that
rows of several versions are read side by side. Contents that a code gave back remember which, and
are coded with it again: on another lattice the bounds of the two would add up.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.artifact import from_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.structure import path_of_keys
from agent_memory.embeddings.registry import UNTRAINED
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodedContents, marked, unmarked
from agent_memory.values.forking import after_fork

_CHECKSUM_BYTES = 1
MARK_BYTES = 1 + _CHECKSUM_BYTES
"""What a memory puts around the message of a code: the mark of its version, and a checksum."""
_ASK_AGAIN = 10.0  # seconds after which a code that was absent or damaged is looked for again

_logger = logging.getLogger(__name__)


class CodeSource(Protocol):
    """Where codes are registered."""

    def code(self, version: int) -> bytes | None:
        """The bytes of a version's code; None if it has none."""


class Uncoded(NamedTuple):
    """Contents to be coded."""

    contents: Mapping[str, Any]
    step: int
    level: int
    vector: NDArray[np.float32] | None = None
    """The entry's vector as it will rest beside them, of shape (dim,); None: do not rely on it."""
    encoder_version: int | None = None
    """Which version made that."""


class Codes:
    """The codes of a memory, loaded when needed. Threads may share it.

    Args:
        source: Where they are registered; None: there are none.
        exact: Attributes, keys joined by dots, that must stay exact; a code that would not keep one
            so is not used.
        clock: Gives a time in seconds that never goes back.
    """

    def __init__(
        self,
        source: CodeSource | None = None,
        exact: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = [] if source is None else [source]
        self._exact = frozenset(map(path_of_keys, exact))
        self._clock = clock
        self._loaded: dict[int, ContentsCode] = {}
        self._digests: dict[int, int] = {}  # of the bytes that codes were read from
        self._missing: dict[int, tuple[float, str]] = {}  # when it was looked for, and why
        self._current: int | None = None
        self._in_common: dict[tuple[int, int], frozenset[str]] = {}
        self._unlock()
        after_fork(self._unlock)

    def also_from(self, source: CodeSource) -> None:
        """Look for codes there too, where those before have none."""
        self._sources.append(source)

    @property
    def current(self) -> int | None:
        """The version whose code contents are coded with; None: they stay exact."""
        return self._current

    @property
    def current_code(self) -> ContentsCode | None:
        """The code of that version."""
        return None if self._current is None else self.code(self._current)

    def found(self, version: int) -> ContentsCode | None:
        """The code of a version; None if it has none.

        Raises:
            EncodingError: It is damaged.
            StoreUnavailable: The place where it is registered does not answer.
        """
        return self.code(version) if self._raw(version) is not None else None

    def keep_exact(self, attributes: Iterable[str]) -> None:
        """Keep these attributes exact too from now on; ``use`` looks at them."""
        self._exact |= {*map(path_of_keys, attributes)}

    def use(self, version: int) -> None:
        """Code contents with the code of a version from now on, if it has one that keeps enough.

        Raises:
            StoreUnavailable: The place where it is registered does not answer.
        """
        if version == UNTRAINED:
            self._current = None
            return
        self._missing.pop(version, None)
        try:
            code = self.code(version)
        except EncodingError as error:
            if self._raw(version) is not None:
                _logger.error("contents stay exact: %s", error)  # noqa: TRY400  # it says it all
            self._current = None
            return
        self._current = version if self._keeps_enough(code) else None

    def use_none(self) -> None:
        """Code what no code gave back exactly from now on, until ``use`` is called."""
        self._current = None

    def code(self, version: int) -> ContentsCode:
        """The code of a version.

        Raises:
            EncodingError: It has none, or a damaged one.
            StoreUnavailable: The place where it is registered does not answer.
        """
        code = self._loaded.get(version)
        if code is not None:
            return code
        with self._lock:
            return self._loaded.get(version) or self._load(version)

    def encode(self, asked: Uncoded) -> bytes | None:
        """Code contents; None if they are to be coded exactly.

        Raises:
            InvalidEntry: A value cannot be stored.
            StoreUnavailable: The place where codes are registered does not answer.
        """
        contents, step, level = asked.contents, asked.step, _level_of(asked)
        version = self._version_for(contents)
        if version is None or level == 0:
            return None
        code = self.code(version)
        vector = asked.vector if _predicts(code, version, asked) else None
        message = code.encode(contents, step, level, vector)
        if message is None:
            return None
        return marked(version, message + self._checksum(version, message, step, vector))

    def encode_many(self, asked: Sequence[Uncoded]) -> list[bytes | None]:
        """The same for many."""
        coded: list[bytes | None] = [None] * len(asked)
        groups: defaultdict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            version = self._version_for(one.contents)
            level = _level_of(one)
            if version is not None and level:
                beside = _predicts(self.code(version), version, one)
                groups[version, level, beside].append(place)
        for (version, level, beside), places in groups.items():
            vectors = [asked[place].vector for place in places] if beside else None
            messages = encode_many(
                self.code(version),
                [asked[place].contents for place in places],
                [asked[place].step for place in places],
                level,
                None if vectors is None else np.array(vectors, np.float32),
            )
            for place, message in zip(places, messages, strict=True):
                if message is not None:
                    one = asked[place]
                    vector = one.vector if beside else None
                    told = self._checksum(version, message, one.step, vector)
                    coded[place] = marked(version, message + told)
        return coded

    def decode(
        self, coded: bytes, step: int, vector: NDArray[np.float32] | None = None
    ) -> CodedContents:
        """Give contents back.

        Args:
            coded: Their bytes.
            step: The entry's step.
            vector: The vector that rests beside them, of shape (dim,).

        Raises:
            EncodingError: The bytes are damaged, or their code is not there.
            StoreUnavailable: The place where it is registered does not answer.
        """
        version, message = unmarked(coded)
        code = self.code(version)
        message, told = message[:-_CHECKSUM_BYTES], message[-_CHECKSUM_BYTES:]
        beside = vector if code.is_beside_vector(message) else None
        if told != self._checksum(version, message, step, beside):
            raise EncodingError(
                "stored contents cannot be read (their checksum, which is also of step, vector "
                "and code, differs)"
            )
        contents, shape, level = code.decode(message, step, vector)
        bounds = code.bounds(shape, level)
        return CodedContents(contents, version, level, bounds, beside_vector=beside is not None)

    def _checksum(
        self, version: int, message: bytes, step: int, vector: NDArray[np.float32] | None
    ) -> bytes:
        """A byte of the CRC-32 of coded contents and of all that they are read with.

        A code leaves little in its messages that could tell a flipped bit, and a whole sum of
        four bytes would be a third of many.
        """
        told = zlib.crc32(b"%d" % step, zlib.crc32(message, self._digests[version]))
        if vector is not None:
            told = zlib.crc32(vector.astype("<f4", copy=False).tobytes(), told)
        return bytes([told & 0xFF])

    def _version_for(self, contents: Mapping[str, Any]) -> int | None:
        """The version to code contents with: the current one, if their bounds allow that.

        Contents that another version gave back lie on its lattices. Where the current one has the
        same, the numbers stay what they are; else they stay with that version.
        """
        current = self._current
        if not isinstance(contents, CodedContents) or contents.version == current:
            return current
        earlier = self.code(contents.version)
        if current is not None and contents.bounds.keys() <= self._shared(earlier, current):
            return current
        return contents.version if self._keeps_enough(earlier) else None

    def _shared(self, earlier: ContentsCode, current: int) -> frozenset[str]:
        """The paths whose numbers lie on the same lattice in two codes."""
        known = self._in_common.get((id(earlier), current))
        if known is None:
            theirs, ours = earlier.lattices, self.code(current).lattices
            known = frozenset(path for path, one in theirs.items() if ours.get(path) == one)
            self._in_common[id(earlier), current] = known
        return known

    def _keeps_enough(self, code: ContentsCode) -> bool:
        return self._exact.isdisjoint(code.lattices)

    def _load(self, version: int) -> ContentsCode:
        looked = self._missing.get(version)
        if looked is not None and self._clock() - looked[0] < _ASK_AGAIN:
            raise EncodingError(looked[1])
        try:
            raw = self._raw(version)
            code = _read(version, raw)
        except EncodingError as error:
            self._missing[version] = self._clock(), str(error)
            raise
        self._missing.pop(version, None)
        self._digests[version] = zlib.crc32(raw or b"")
        self._loaded[version] = code
        return code

    def _raw(self, version: int) -> bytes | None:
        for source in self._sources:
            raw = source.code(version)
            if raw is not None:
                return raw
        return None

    def _unlock(self) -> None:
        self._lock = threading.RLock()


def _level_of(asked: Uncoded) -> int:
    """The level to code contents at: what was at level 2 is known no better at level 1."""
    contents = asked.contents
    if asked.level == 0 or not isinstance(contents, CodedContents):
        return asked.level
    return max(asked.level, contents.level)


def _predicts(code: ContentsCode, version: int, asked: Uncoded) -> bool:
    """Whether the vector beside contents is one that their code predicts from, at level 2 only."""
    prediction = code.prediction
    lowest = _level_of(asked) == 2
    if prediction is None or not lowest or asked.encoder_version != version:
        return False
    return prediction.predictor.reads(asked.vector)


def _read(version: int, raw: bytes | None) -> ContentsCode:
    if raw is None:
        raise EncodingError(f"version {version} of the encoder has no code of contents")
    try:
        return from_bytes(raw)
    except EncodingError as error:
        raise EncodingError(f"version {version} of the encoder: {error}") from error
