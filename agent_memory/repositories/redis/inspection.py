"""Looks at a tier in Redis beneath its repository: every key, and every entry with its indexes.

Scripts compare what may change meanwhile at one moment on the server, so that a memory in use shows
no fault that it does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.models.redis import INDEX_KEYS, SORTED_SETS, decode_id, encode_id
from agent_memory.repositories.redis.keys import KeySpace, moving_together
from agent_memory.repositories.redis.scripts.inspecting import EXAMINE, REGISTRY, STRAYS

ORDERS = {
    index.name: index.score for index in SORTED_SETS if index.by is None and index.only is None
}
"""The sorted sets that every entry of an agent is in, and the fields they are sorted by."""
AT_ONCE = 100
"""How many entries one script call looks at: the server does nothing else meanwhile."""

_SCANNED = 1_000  # keys
_IN_AGENT = (
    (re.compile(rb"[0-9a-f]{32}"), b"hash"),
    (re.compile("|".join(map(re.escape, INDEX_KEYS)).encode()), b"zset"),
    (re.compile(rb"number:[A-Za-z0-9_]*|value:[A-Za-z0-9_]*:[A-Za-z0-9_]*"), b"zset"),
    (re.compile(rb"changes"), b"stream"),
    (re.compile(rb"ahead"), b"string"),
)
_IN_NAMESPACE = (
    (re.compile(rb"attributes|code:[0-9]+"), b"string"),
    (re.compile(rb"attributes:complete|runs"), b"set"),
    (re.compile(rb"memory|moving"), b"hash"),
    (re.compile(rb"counted|workers"), b"zset"),
    (re.compile(rb"agents:[A-Za-z0-9_]*"), b"zset"),
)
_GLOB = re.compile(r"([\\*?\[\]])")


@dataclass(frozen=True, slots=True)
class Owner:
    """An agent of a run, and what all of its keys begin with."""

    run_id: str
    agent_id: str
    prefix: str


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key of the namespace.

    Attributes:
        name: The key.
        kind: Its type, as the server says it.
        expected: The type it should have; empty: nobody knows such a key.
        expires: Whether it has a time to live.
        owner: Whose it is; None: the namespace's own.
        rest: What follows the owner's prefix, or the namespace.
    """

    name: bytes
    kind: str
    expected: str
    expires: bool
    owner: Owner | None
    rest: str


@dataclass(frozen=True, slots=True)
class AttributePlace:
    """Where an entry is in the index of a declared attribute, and where its hash says it is."""

    index: str
    score: str
    place: str
    field: str
    value: str
    stored: str


@dataclass(frozen=True, slots=True)
class Examined:
    """An entry as it is stored, with its places in the indexes.

    Attributes:
        owner: Whose prefix its key has.
        memory_id: What its key ends in.
        fields: Its hash, in the order that the server gives it.
        places: Its scores in the orders and by type; only those it is in.
        attributes: Its places by declared attributes.
    """

    owner: Owner
    memory_id: str
    fields: dict[bytes, bytes]
    places: dict[str, float]
    attributes: tuple[AttributePlace, ...]

    @property
    def seen(self) -> bytes:
        """The hash as it was looked at, in one text; as the scripts make it."""
        return b"\0".join(part for pair in self.fields.items() for part in pair)


class TierInspection:
    """What stands in a namespace of a server.

    Args:
        channel: The server.
        namespace: What every key begins with.
        others: Namespaces whose keys are left alone, where they begin with this one.
        buckets: Over how many buckets agents are spread; 0: over none.
    """

    def __init__(
        self,
        channel: RedisChannel,
        namespace: str,
        others: Sequence[str] = (),
        buckets: int = 0,
    ) -> None:
        self.channel = channel
        self.namespace = namespace
        self.key_space = KeySpace(namespace, buckets)
        self._begin = namespace.encode() + b":"
        self._others = tuple(
            other.encode() + b":" for other in others if other.startswith(f"{namespace}:")
        )
        place = re.escape(self._begin) + (rb"(?:\{b[0-9]+\}:)?" if buckets else b"")
        self._place = re.compile(place)
        self._of_agent = re.compile(place + rb"\{([A-Za-z0-9_]*)/([A-Za-z0-9_]*)\}:(.*)", re.DOTALL)

    def scan(self) -> Iterator[list[FoundKey]]:
        """All keys of the namespace, some at a time; one that is there throughout is among them."""
        pattern = _GLOB.sub(r"\\\1", self.namespace) + ":*"
        cursor: Any = 0
        while True:
            cursor, names = self.channel.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            names = [name for name in dict.fromkeys(names) if not name.startswith(self._others)]
            kinds = self.channel.call_all([("TYPE", name) for name in names])
            times = self.channel.call_all([("PTTL", name) for name in names])
            yield [
                self._found(name, kind.decode(), time >= 0)
                for name, kind, time in zip(names, kinds, times, strict=True)
                if kind != b"none"
            ]
            if int(cursor) == 0:
                return

    def _found(self, name: bytes, kind: str, expires: bool) -> FoundKey:
        match = self._of_agent.fullmatch(name)
        if match is None:
            rest = self._place.sub(b"", name, count=1)
            return FoundKey(name, kind, _known(_IN_NAMESPACE, rest), expires, None, _text(rest))
        owner = self._owner(match)
        expected = "" if owner is None else _known(_IN_AGENT, match[3])
        return FoundKey(name, kind, expected, expires, owner, _text(match[3]))

    def _owner(self, match: re.Match[bytes]) -> Owner | None:
        try:
            run_id, agent_id = decode_id(match[1]), decode_id(match[2])
        except (ValueError, UnicodeDecodeError):
            return None
        if (encode_id(run_id), encode_id(agent_id)) != (match[1].decode(), match[2].decode()):
            return None
        prefix = match[0][: match.start(3)].decode()
        if prefix != self.key_space.prefix(run_id, agent_id):
            return None  # of another bucket, where nobody looks for it
        return Owner(run_id, agent_id, prefix)

    def examine(self, owner: Owner, memory_ids: Sequence[str]) -> list[Examined]:
        """Look at entries of an agent and at their places; those that are gone are left out."""
        calls = [
            (moving_together([owner.prefix]), list(memory_ids[first : first + AT_ONCE]))
            for first in range(0, len(memory_ids), AT_ONCE)
        ]
        replies = [one for reply in self.channel.run(EXAMINE, calls) for one in reply]
        return [
            _examined(owner, memory_id, reply)
            for memory_id, reply in zip(memory_ids, replies, strict=True)
            if reply[0]
        ]

    def strays(self, owner: Owner, index: str, *, remove: bool = False) -> list[str]:
        """Memory ids in an index of an agent that do not belong there; also removes them."""
        cursor: Any = 0
        strays: list[str] = []
        while True:
            cursor, pairs = self.channel.call(
                "ZSCAN", owner.prefix + index, cursor, "COUNT", _SCANNED
            )
            for first in range(0, len(pairs), 2 * AT_ONCE):
                ids = pairs[first : first + 2 * AT_ONCE : 2]
                arguments = ["1" if remove else "0", index, *ids]
                keys = moving_together([owner.prefix])
                (found,) = self.channel.run(STRAYS, [(keys, arguments)])
                strays += [_text(one) for one in found]
            if int(cursor) == 0:
                return list(dict.fromkeys(strays))

    def registry(
        self, run: str, agents: Sequence[str], now: float, *, mend: bool = False
    ) -> list[tuple[str, str]]:
        """Agents of a run, and the run as agent "", that are not listed as they should be.

        Args:
            run: The run, spelled.
            agents: Its agents, spelled.
            now: The time, in seconds since 1970.
            mend: Whether to list them as they should be.

        Returns:
            Agent and fault: "unlisted", "empty" or "log".
        """
        by_place: dict[str, list[str]] = {place: [] for place in self.key_space.places}
        for agent in agents:
            place = self.key_space.place(decode_id(run.encode()), decode_id(agent.encode()))
            by_place[place].append(agent)
        calls = []
        for place, held in by_place.items():
            keys = [f"{place}:agents:{run}", f"{place}:runs"]
            for first in range(0, max(len(held), 1), _SCANNED):
                some = held[first : first + _SCANNED]
                calls.append((keys, ["1" if mend else "0", place, run, repr(now), *some]))
        faults: list[tuple[str, str]] = []
        for reply in self.channel.run(REGISTRY, calls):
            names = [_text(one) for one in reply]
            faults += zip(names[::2], names[1::2], strict=True)
        return list(dict.fromkeys(faults))

    def listed(self) -> dict[str, list[str]]:
        """The agents of each run as they are listed, all spelled."""
        held = self.channel.call_all([("SMEMBERS", key) for key in self.key_space.runs])
        pairs = [
            (place, _text(run))
            for place, runs in zip(self.key_space.places, held, strict=True)
            for run in runs
        ]
        asked = [("ZRANGE", f"{place}:agents:{run}", 0, -1) for place, run in pairs]
        listed: dict[str, list[str]] = {}
        for (_, run), names in zip(pairs, self.channel.call_all(asked), strict=True):
            listed.setdefault(run, []).extend(map(_text, names))
        return listed

    def notes_of_moves(self) -> dict[str, bytes]:
        """The notes of moves out of here that were begun and not finished, by their tokens."""
        noted = self.channel.call("HGETALL", f"{self.namespace}:moving")
        return {_text(token): agents for token, agents in zip(noted[::2], noted[1::2], strict=True)}

    def ages(self, owner_ids: Sequence[tuple[Owner, str]]) -> list[tuple[int, int] | None]:
        """Revision and retrieval count of entries; None for those that are not here."""
        replies = self.channel.call_all(
            [
                ("HMGET", owner.prefix + memory_id, "revision", "retrieval_count")
                for owner, memory_id in owner_ids
            ]
        )
        return [_age(*reply) for reply in replies]


def _known(spellings: Sequence[tuple[re.Pattern[bytes], bytes]], rest: bytes) -> str:
    """The type of the key that is spelled so; empty if there is none."""
    return next((kind.decode() for spelled, kind in spellings if spelled.fullmatch(rest)), "")


def _age(revision: bytes | None, count: bytes | None) -> tuple[int, int] | None:
    try:
        return None if revision is None or count is None else (int(revision), int(count))
    except ValueError:
        return None


def _examined(owner: Owner, memory_id: str, reply: Sequence[Any]) -> Examined:
    flat, scores, places = reply
    texts = [_text(one) for one in places]
    return Examined(
        owner,
        memory_id,
        dict(zip(flat[::2], flat[1::2], strict=True)),
        {
            name: float(score)
            for name, score in zip(INDEX_KEYS, scores, strict=True)
            if score != b""
        },
        tuple(AttributePlace(*texts[first : first + 6]) for first in range(0, len(texts), 6)),
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
