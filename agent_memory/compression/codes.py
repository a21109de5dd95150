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

from agent_memory.compression.earlier import EarlierRows, Rows
from agent_memory.compression.fitted.artifact import from_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.numbers import Lattice
from agent_memory.compression.fitted.structure import paths_named
from agent_memory.compression.rows import (
    MOST_VALUES,
    Row,
    Stored,
    ValueThere,
    Vector,
    VersionCode,
)
from agent_memory.embeddings.registry import UNTRAINED
from agent_memory.errors import EncodingError, NewerFormat
from agent_memory.values.coded import CodedContents, version_of
from agent_memory.values.forking import after_fork
from agent_memory.values.formats import at

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
    vector: Vector | None = None
    """The entry's vector as it will rest beside them, of shape (dim,); None: do not rely on it."""
    encoder_version: int | None = None
    """Which version made that."""


class Coded(NamedTuple):
    """Contents as a code has coded them."""

    stored: bytes
    """As they are stored."""
    least_exact: int
    """How many bytes they have at least if they are coded exactly; as many as ``stored`` has where
    they are to stay with their code, whose bounds they bear."""


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
        self._exact = frozenset(paths_named([*exact]))
        self._clock = clock
        self._loaded: dict[int, VersionCode] = {}
        self._missing: dict[int, tuple[float, EncodingError]] = {}  # when it was looked for
        self._current: int | None = None
        self._earlier = EarlierRows()
        self._in_common: dict[tuple[int, int, bool], frozenset[str]] = {}
        self._unlock()
        after_fork(self._unlock)

    def also_from(self, source: CodeSource) -> None:
        """Look for codes there too, where those before have none."""
        self._sources.append(source)

    def look_in(self, rows: Rows) -> None:
        """Look at rows there, to see whether a version has some in an earlier layout."""
        self._earlier.look_in(rows)

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
        self._exact |= {*paths_named([*attributes])}

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
            if isinstance(error, NewerFormat) or self._raw(version) is not None:
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
        return self._used(version).code

    def _used(self, version: int) -> VersionCode:
        """The code of a version, and what it is used with; see ``code``."""
        used = self._loaded.get(version)
        if used is not None:
            return used
        with self._lock:
            return self._loaded.get(version) or self._load(version)

    def encode(self, asked: Uncoded) -> Coded | None:
        """Code contents; None if they are to be coded exactly.

        Raises:
            InvalidEntry: A value cannot be stored.
            StoreUnavailable: The place where codes are registered does not answer.
        """
        version, level = self._version_for(asked), _level_of(asked)
        if version is None or level == 0:
            return None
        used = self._used(version)
        vector = asked.vector if _predicts(used, asked) else None
        unmoved = _stay(asked)
        row = used.encode(asked.contents, asked.step, level, vector, unmoved=unmoved)
        return None if row is None else _coded(used, row, asked)

    def encode_many(self, asked: Sequence[Uncoded]) -> list[Coded | None]:
        """The same for many."""
        coded: list[Coded | None] = [None] * len(asked)
        groups: defaultdict[tuple[int, int, bool, bool], list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            version, level = self._version_for(one), _level_of(one)
            if version is not None and level:
                beside = _predicts(self._used(version), one)
                unmoved = _stay(one)
                groups[version, level, beside, unmoved].append(place)
        for (version, level, beside, unmoved), places in groups.items():
            used, chosen = self._used(version), [asked[place] for place in places]
            rows = used.encode_many(
                [one.contents for one in chosen],
                [one.step for one in chosen],
                level,
                [one.vector for one in chosen if one.vector is not None] if beside else None,
                unmoved=unmoved,
            )
            for place, row in zip(places, rows, strict=True):
                coded[place] = None if row is None else _coded(used, row, asked[place])
        return coded

    def decode(
        self, stored: bytes, step: int, vector: Vector | None = None, most: int = MOST_VALUES
    ) -> CodedContents:
        """Give contents back.

        Args:
            stored: Their bytes.
            step: The entry's step.
            vector: The vector that rests beside them, of shape (dim,).
            most: How many bytes the values beside their message may have.

        Raises:
            EncodingError: The bytes are damaged, or their code is not there.
            StoreUnavailable: The place where it is registered does not answer.
        """
        used, row = self._used(version_of(stored)), Stored(stored, step, vector)
        try:
            return used.decode(row, most)
        except EncodingError as error:
            return self._read_earlier(used, row, error)

    def decode_many(
        self, stored: Sequence[Stored], most: int = MOST_VALUES
    ) -> list[CodedContents | EncodingError]:
        """The same for many; those that cannot be read are the errors that ``decode`` raises."""
        return self._each_version(stored, lambda used, rows: used.decode_many(rows, most))

    def values_at(
        self, stored: Sequence[Stored], path: str, most: int = MOST_VALUES
    ) -> list[ValueThere | EncodingError]:
        """The values at a path of many contents; see ``decode_many``."""
        found = self._each_version(stored, lambda used, rows: used.values_at(rows, path, most))
        return [
            ValueThere.of(one, path) if isinstance(one, CodedContents) else one for one in found
        ]

    def _each_version(
        self, stored: Sequence[Stored], read: Callable[[VersionCode, list[Stored]], Sequence[Any]]
    ) -> list[Any]:
        """Read the contents of each version together; those in an earlier layout one by one."""
        found: list[Any] = [None] * len(stored)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for place, one in enumerate(stored):
            try:
                groups[version_of(one.contents)].append(place)
            except EncodingError as error:
                found[place] = error
        for version, places in groups.items():
            try:
                used = self._used(version)
            except EncodingError as error:
                for place in places:
                    found[place] = error
                continue
            done = read(used, [stored[place] for place in places])
            for place, one_of_them in zip(places, done, strict=True):
                found[place] = one_of_them
                if isinstance(one_of_them, EncodingError):
                    found[place] = self._earlier.read(used, stored[place]) or one_of_them
        return found

    def _read_earlier(self, used: VersionCode, row: Stored, error: EncodingError) -> CodedContents:
        found = self._earlier.read(used, row)
        if found is None:
            raise error
        return found

    def _version_for(self, asked: Uncoded) -> int | None:
        """The version to code contents with: the current one, if their bounds allow that.

        Contents that another version gave back lie on its lattices. Where the current one has the
        same, the numbers stay what they are; else they stay with that version.
        """
        current, contents = self._current, asked.contents
        if not isinstance(contents, CodedContents) or contents.version == current:
            return current
        earlier = self.code(contents.version)
        if current is not None:
            within = _level_of(asked) > contents.level
            if contents.bounds.keys() <= self._shared(earlier, current, within=within):
                return current
        return contents.version if self._keeps_enough(earlier) else None

    def _shared(self, earlier: ContentsCode, current: int, *, within: bool) -> frozenset[str]:
        """The paths whose numbers lie on the same lattice in two codes.

        Args:
            earlier: The code of contents.
            current: The version of the other.
            within: Whether the other must have learned a range that ends nowhere within that of
                the first. Where the level is another, numbers move: an end within would move them
                once more.
        """
        known = self._in_common.get((id(earlier), current, within))
        if known is None:
            theirs, ours = earlier.lattices, self.code(current).lattices
            known = frozenset(
                path
                for path, one in theirs.items()
                if ours.get(path) == one and not (within and _ends_within(ours[path], one))
            )
            self._in_common[id(earlier), current, within] = known
        return known

    def _keeps_enough(self, code: ContentsCode) -> bool:
        return self._exact.isdisjoint(code.lattices)

    def _load(self, version: int) -> VersionCode:
        looked = self._missing.get(version)
        if looked is not None and self._clock() - looked[0] < _ASK_AGAIN:
            raise type(looked[1])(*looked[1].args)
        try:
            raw = self._raw(version)
            code = _read(version, raw)
        except EncodingError as error:
            self._missing[version] = self._clock(), error
            raise
        self._missing.pop(version, None)
        used = VersionCode(version, code, zlib.crc32(raw or b""))
        self._loaded[version] = used
        return used

    def _raw(self, version: int) -> bytes | None:
        for source in self._sources:
            raw = source.code(version)
            if raw is not None:
                return raw
        return None

    def _unlock(self) -> None:
        self._lock = threading.RLock()


def _ends_within(ours: frozenset[Lattice], theirs: frozenset[Lattice]) -> bool:
    """Whether a range of the same lattices ends within that of the others."""
    own = {one: one for one in ours}
    return any(one.low < own[one].low or own[one].high < one.high for one in theirs)


def _stay(asked: Uncoded) -> bool:
    """Whether contents that a code gave back stay at their level, and so what they are."""
    contents = asked.contents
    return isinstance(contents, CodedContents) and contents.level == _level_of(asked)


def _level_of(asked: Uncoded) -> int:
    """The level to code contents at: what was at level 2 is known no better at level 1."""
    contents = asked.contents
    if asked.level == 0 or not isinstance(contents, CodedContents):
        return asked.level
    return max(asked.level, contents.level)


def _predicts(used: VersionCode, asked: Uncoded) -> bool:
    """Whether the vector beside contents is one that their code predicts from, at level 2 only."""
    prediction = used.code.prediction
    lowest = _level_of(asked) == 2
    if prediction is None or not lowest or asked.encoder_version != used.version:
        return False
    return prediction.predictor.reads(asked.vector)


def _coded(used: VersionCode, row: Row, asked: Uncoded) -> Coded:
    earlier = asked.contents
    if isinstance(earlier, CodedContents) and earlier.bounds:
        return Coded(row.stored, len(row.stored))
    return Coded(row.stored, used.code.shapes[row.shape].least_exact(_level_of(asked)))


def _read(version: int, raw: bytes | None) -> ContentsCode:
    if raw is None:
        raise EncodingError(f"version {version} of the encoder has no code of contents")
    try:
        return from_bytes(raw)
    except EncodingError as error:
        raise at(f"version {version} of the encoder", error) from error
