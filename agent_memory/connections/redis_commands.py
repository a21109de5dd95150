"""Commands as the bytes that are sent, packed by hiredis."""

from __future__ import annotations

from typing import Any

import hiredis


def packed_command(command: tuple[Any, ...] | bytes) -> bytes:
    """The bytes of a command; those that are bytes already stay what they are."""
    if isinstance(command, bytes):
        return command
    words: Any = command  # the stub asks for tuples of one word
    packed: bytes = hiredis.pack_command(words)
    return packed


class KeyedCommand:
    """A command that is sent for many keys, packed once but for the key.

    Packing eighteen words takes longer than the server takes to answer them.

    Args:
        name: The command; its first argument is the key.
        arguments: Those after the key.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        key = b"$0\r\n\r\n"
        self._head, _, self._tail = packed_command((name, "", *arguments)).partition(key)

    def __call__(self, key: str) -> bytes:
        """The command for a key."""
        name = key.encode()
        return b"%b$%d\r\n%b\r\n%b" % (self._head, len(name), name, self._tail)
