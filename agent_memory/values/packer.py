"""Encodes values: MessagePack, with extension types for what it lacks, and for tuples.

MessagePack has one type for lists and tuples, and asks about each tuple that is not to be taken for
a list. Those of contents that hold no list are therefore marked together (``mark_all_tuples``),
and so are those in a list or tuple of tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from agent_memory.values.extensions import (
    ARRAY,
    BIG_INT,
    FROZENSET,
    LIST_OF_TUPLES,
    SCALAR,
    SET,
    SIMPLE,
    TUPLE,
    TUPLE_OF_TUPLES,
    dump_array,
    dump_scalar,
    mark_all_tuples,
)
from agent_memory.values.extent import Extent, Tuples, row_kind
from agent_memory.values.plain import plain_value

MAX_EXTENSION_DEPTH = 100
"""How deep tuples and sets may lie within each other: each level is a Python call."""

MOST_BYTES = 2**30
"""How many bytes contents may need where no other limit is given."""

_new_tuple: Callable[..., object] = tuple.__new__
_SEQUENCES = (list, tuple)
_NATIVE = frozenset({int, float, bool, type(None), str, bytes})


class Packer:
    """What encodes one value at a time; counts how deep the extension types nest."""

    def __init__(self) -> None:
        self._depth = 0
        # One for each depth: while a packer is at work it cannot be asked for something else.
        self._packers: list[Callable[[object], bytes]] = []
        # Encodes what MessagePack has types for, with tuples as lists.
        self.native = self._another(strict=False)
        self._all_tuples = False
        self.changed = False

    def pack(self, value: object) -> bytes:
        """Encode a value, each tuple by itself."""
        depth = self._depth
        if depth == len(self._packers):
            self._packers.append(self._another(strict=True))
        return self._packers[depth](value)

    def pack_together(self, contents: dict[str, Any], extent: Extent) -> bytes:
        """Encode contents whose tuples are packed together, of what is not native."""
        if extent.tuples is Tuples.ROWS:
            return self.pack(self._with_rows(contents, extent.rows))
        self._all_tuples = True
        try:
            return mark_all_tuples(self.pack(contents))
        finally:
            self._all_tuples = False

    def _with_rows(self, contents: dict[Any, Any], keys: tuple[str, ...] | None) -> dict[Any, Any]:
        """Contents with lists and tuples of tuples as what they are packed to; None: wherever."""
        found = contents.copy()
        for key in contents if keys is None else keys:
            value = contents[key]
            kind = type(value)
            if kind is dict:
                found[key] = self._with_rows(value, None)
            elif keys or (kind in _SEQUENCES and row_kind(value, MOST_BYTES) is tuple):
                code = LIST_OF_TUPLES if kind is list else TUPLE_OF_TUPLES
                found[key] = _new_tuple(msgpack.ExtType, (code, self.native(value)))
        return found

    def _another(self, *, strict: bool) -> Callable[[object], bytes]:
        # A packer allocates its buffer up front, a megabyte by default: 4 KiB fit a usual state.
        packer = msgpack.Packer(
            default=self._extend,
            strict_types=strict,
            use_bin_type=True,
            unicode_errors="surrogatepass",
            buf_size=4096,
        )
        packing: Callable[[object], bytes] = packer.pack
        return packing

    def _nested(self, value: object) -> bytes:
        depth = self._depth
        if depth >= MAX_EXTENSION_DEPTH:
            raise ValueError("nested too deep")
        self._depth = depth + 1
        try:
            return self.pack(value)
        finally:
            self._depth = depth

    def _extend(self, value: object) -> object:
        """Encode what MessagePack has no type for; raises TypeError for what has no place.

        MessagePack asks only once, so what is returned must need no second call.
        """
        if type(value) is tuple:
            if self._all_tuples and not self._depth:
                return [*value]
            native = self._depth < MAX_EXTENSION_DEPTH and _NATIVE.issuperset(map(type, value))
            body = self.native(value) if native else self._nested([*value])
            # Made without ExtType's own checks of a code and bytes, which take as long as the rest.
            return _new_tuple(msgpack.ExtType, (TUPLE, body))
        if isinstance(value, np.generic):
            return msgpack.ExtType(SCALAR, dump_scalar(value))
        if isinstance(value, np.ndarray):
            return msgpack.ExtType(ARRAY, self._nested(dump_array(value)))
        simple = SIMPLE.get(type(value))
        if simple is not None:
            code, dump = simple
            return msgpack.ExtType(code, self._nested(dump(value)))
        if type(value) is int:
            size = value.bit_length() // 8 + 1
            return msgpack.ExtType(BIG_INT, value.to_bytes(size, "big", signed=True))
        if type(value) in (set, frozenset):
            return self._extend_set(value)  # type: ignore[arg-type]  # the line above says so
        return self._settle(plain_value(value))

    def _extend_set(self, value: set[object] | frozenset[object]) -> object:
        # Sorted by their bytes, so that equal sets become equal bytes.
        members = b"".join(sorted(self._nested(member) for member in value))
        return msgpack.ExtType(SET if type(value) is set else FROZENSET, members)

    def _settle(self, value: object) -> object:
        self.changed = True
        native = type(value) in (dict, list, str, bytes, float, bool, type(None))
        small = type(value) is int and -(2**63) <= value < 2**64
        return value if native or small else self._extend(value)


_MOST_KEPT = 8
_KEPT_BYTES = 2**16  # a packer that has made more has grown
# Making one takes as long as packing a state. None of these is at work, and none has failed; to
# take or put one is atomic.
_kept: list[Packer] = []


def a_packer() -> Packer:
    """A packer that nobody else uses."""
    try:
        return _kept.pop()
    except IndexError:
        return Packer()


def keep(packer: Packer, packed: bytes) -> None:
    """Keep a packer, which has not failed, for what is packed next."""
    if len(packed) <= _KEPT_BYTES and len(_kept) < _MOST_KEPT:
        _kept.append(packer)
