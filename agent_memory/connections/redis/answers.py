"""What a server may answer: anything else comes from what is no Redis, or from one that lies.

An answer of another kind would end as a TypeError somewhere in the code that reads it. So each is
looked at where it comes in, by the name of its command; scripts bring a check of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from agent_memory.connections.redis.commands import Command, PackedCommand

Check = Callable[[Any], bool]

_TEXT = frozenset({bytes, str})
_TEXT_OR_NOTHING = frozenset({bytes, type(None)})


def is_number(reply: Any) -> bool:
    """Whether an answer is an integer."""
    return type(reply) is int


def is_text(reply: Any) -> bool:
    """Whether an answer is text, as servers give it."""
    return type(reply) in _TEXT


def is_text_or_nothing(reply: Any) -> bool:
    """Whether an answer is text or nil."""
    return reply is None or type(reply) is bytes


def are_texts(reply: Any) -> bool:
    """Whether an answer is a list of texts."""
    return type(reply) in (list, set) and {bytes}.issuperset(map(type, reply))


def are_numbers(reply: Any) -> bool:
    """Whether an answer is a list of integers."""
    return type(reply) is list and {int}.issuperset(map(type, reply))


def are_codes(reply: Any) -> bool:
    """Whether an answer is a list of codes from -1 to 2, as the scripts that write give."""
    return are_numbers(reply) and (not reply or (min(reply) >= -1 and max(reply) <= 2))


def anything(_reply: Any) -> bool:
    """What whoever asks looks at itself."""
    return True


def values_of(count: int) -> Check:
    """What tells whether an answer is a list of so many values, each text or nil."""
    return lambda reply: (
        type(reply) is list
        and len(reply) == count
        and _TEXT_OR_NOTHING.issuperset(map(type, reply))
    )


def rows_of(count: int) -> Check:
    """What tells whether an answer is a list of lists of so many values, each text or nil."""
    return lambda reply: (
        type(reply) is list
        and {list}.issuperset(map(type, reply))
        and {count}.issuperset(map(len, reply))
        and _TEXT_OR_NOTHING.issuperset(map(type, chain.from_iterable(reply)))
    )


def _are_pairs(reply: Any) -> bool:
    # What the fields hold is looked at by those who make entries of them.
    return type(reply) is list and len(reply) % 2 == 0


def _is_count(value: Any) -> bool:
    return type(value) is int or (type(value) is bytes and value.isdigit())


def _is_log(reply: Any) -> bool:
    return type(reply) is list and all(
        type(record) in (list, tuple)
        and len(record) == 2
        and type(record[0]) is bytes
        and are_texts(record[1])
        and len(record[1]) == 2
        for record in reply
    )


_CHECKS: Mapping[str, Check] = {
    "PING": is_text,
    "GET": is_text_or_nothing,
    "HGET": is_text_or_nothing,
    "DUMP": is_text_or_nothing,
    "INFO": lambda reply: type(reply) is bytes,
    "TYPE": lambda reply: type(reply) is bytes,
    "HGETALL": _are_pairs,
    "SMEMBERS": are_texts,
    "ZRANGEBYSCORE": are_texts,
    "ZREVRANGEBYSCORE": are_texts,
    "ZRANGE": are_texts,
    "ZREVRANGE": are_texts,
    "XRANGE": _is_log,
    "XREVRANGE": _is_log,
    "ZCARD": is_number,
    "HDEL": is_number,
    "SADD": is_number,
    "TIME": lambda reply: (
        type(reply) in (list, tuple) and len(reply) == 2 and all(map(_is_count, reply))
    ),
    "MEMORY": lambda reply: reply is None or type(reply) is int,
}


def name_of(command: Command) -> str:
    """The name of a command, be it packed already."""
    return command.name if isinstance(command, PackedCommand) else str(command[0])


def is_sound(command: Command, reply: Any) -> bool:
    """Whether an answer is of a kind that a Redis server gives to a command.

    Args:
        command: The command; one that is not known here may be answered with anything.
        reply: The answer, no error.
    """
    if type(command) is PackedCommand:
        return command.answers(reply)
    name = name_of(command)
    if name == "HMGET":
        return values_of(len(command) - 2)(reply)  # type: ignore[arg-type]  # not packed: words
    return _CHECKS.get(name, anything)(reply)
