"""Commands as the bytes that are sent, packed by hiredis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
from redis.connection import HiredisRespSerializer


class PackedCommand:
    """A command that is packed already, and what may answer it.

    Attributes:
        name: Its first word.
        packed: The bytes that are sent.
        answers: Tells whether an answer is of a kind that a Redis server gives to it.
        key: Its key.
    """

    __slots__ = ("answers", "key", "name", "packed")

    def __init__(
        self, name: str, packed: bytes, answers: Callable[[Any], bool], key: bytes
    ) -> None:
        self.name = name
        self.packed = packed
        self.answers = answers
        self.key = key


Command = tuple[Any, ...] | PackedCommand
"""A command's words; or one that is packed, from ``KeyedCommand``."""


def packed_command(command: Command) -> bytes:
    """The bytes of a command."""
    if type(command) is PackedCommand:
        return command.packed
    plain: Any = tuple(_plain(command))  # the stub asks for tuples of one word
    packed: bytes = hiredis.pack_command(plain)
    return packed


class SafePacker(HiredisRespSerializer):  # type: ignore[misc]  # redis-py comes without types
    """redis-py's packer, for what a connection sends by itself."""

    def pack(self, *words: Any) -> Any:
        """Pack a command, which may have several words in its first."""
        return super().pack(*_plain(words))


def _plain(words: Any) -> list[Any]:
    """The words of a command as bytes and text.

    Of a number hiredis asks the interpreter for its text. The interpreter looks for signals then,
    and what a handler raises leaves hiredis with a null pointer, which it reads: the process ends
    with a segmentation fault. Bytes and text it reads by itself.
    """
    return [word if (kind := type(word)) is str or kind is bytes else _text(word) for word in words]


def _text(word: Any) -> Any:
    if type(word) is int:
        return b"%d" % word
    # Those of NumPy write their type too.
    return float.__repr__(word) if isinstance(word, float) else word


class KeyedCommand:
    """A command that is sent for many keys, packed once but for the key.

    Packing eighteen words takes longer than the server takes to answer them.

    Args:
        name: The command; its first argument is the key.
        arguments: Those after the key.
        answers: Tells whether an answer is of a kind that a Redis server gives to it.
    """

    def __init__(self, name: str, *arguments: str, answers: Callable[[Any], bool]) -> None:
        key = b"$0\r\n\r\n"
        self._name = name
        self._answers = answers
        self._head, _, self._tail = packed_command((name, "", *arguments)).partition(key)

    def __call__(self, key: str) -> PackedCommand:
        """The command for a key."""
        name = key.encode()
        packed = b"%b$%d\r\n%b\r\n%b" % (self._head, len(name), name, self._tail)
        return PackedCommand(self._name, packed, self._answers, name)
