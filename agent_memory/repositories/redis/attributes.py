"""Which attributes are declared on a server, and the indexing of what was stored before.

The server keeps the declaration, and every script that writes refuses a caller that does not know
it. So from that moment on each entry is stored with its place in the attribute's index, by every
process. Entries that were stored before are indexed one by one; queries use the index only when
that is done. A process that is killed in between leaves the rest to the next one.

On a cluster each bucket has a declaration, and says itself by what all of its entries are indexed:
so a server that loses the latest writes loses what was noted of them too. Whoever meets buckets
that differ, as a process leaves them that is killed while it declares, makes them the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent_memory.connections.redis.answers import is_text
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.script import Script
from agent_memory.errors import EncodingError, StoreUnavailable
from agent_memory.models.redis import encode_id, readable_ids
from agent_memory.models.redis_attributes import Lookup, lookup, spelled_attributes
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.calls import flat, parts
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.values.attributes import Condition
from agent_memory.values.entry import EntryKey

_ATTEMPTS = 5

# ARGV: spelled paths. Adds those that are not declared, and gives all that are, a line each.
_DECLARE = Script(
    """
local declared = redis.call('GET', KEYS[1]) or ''
for _, path in ipairs(ARGV) do
  if not string.find(declared, path .. '\\n', 1, true) then declared = declared .. path .. '\\n' end
end
redis.call('SET', KEYS[1], declared)
return declared
""",
    answers=is_text,
)

# ARGV: a declaration as it was read, and what it is to be; one that changed meanwhile stays.
_DECLARE_INSTEAD = Script(
    """
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1]) or ''
""",
    answers=is_text,
)

Call = tuple[Sequence[str], Sequence[Any]]


class DeclaredAttributes:
    """The declared attributes of a namespace.

    Args:
        channel: The server.
        key_space: The tier's keys.
        wanted: The paths that this process declares.
    """

    def __init__(self, channel: RedisChannel, key_space: KeySpace, wanted: Iterable[str]) -> None:
        self._channel = channel
        self._key_space = key_space
        self._keys = key_space.declarations
        self.key = self._keys[0]
        self._wanted = tuple(wanted)
        self._lines = [f" {encode_id(path)} " for path in self._wanted]
        self._know("")

    @property
    def known(self) -> str:
        """The declaration as this process knows it, which scripts compare with the server's."""
        return self._known[0]

    @property
    def declaration(self) -> tuple[str, tuple[str, ...]]:
        """The declaration and its paths, of one moment."""
        return self._known

    @property
    def paths(self) -> tuple[str, ...]:
        """The declared paths, as this process knows them."""
        return self._known[1]

    def _know(self, declared: str) -> None:
        # A line begins and ends with a blank: a path is not found within another.
        paths = tuple(readable_ids(line.strip().encode() for line in declared.splitlines()))
        self._known = declared, paths

    def complete(self) -> set[str]:
        """The paths that every entry is indexed by.

        Raises:
            StoreUnavailable: The server does not answer, or refuses.
        """
        replies = self._channel.call_all([("SMEMBERS", f"{key}:complete") for key in self._keys])
        return set.intersection(*(set(readable_ids(reply)) for reply in replies))

    def lookups(self, agent: Agent, conditions: Mapping[str, Condition]) -> list[Lookup]:
        """Where the entries of an agent are that may meet conditions, as far as indexes tell.

        Args:
            agent: The agent.
            conditions: By path.
        """
        prefix = self._key_space.prefix(*agent)
        places = _lookups(conditions)
        pairs = {
            path: f"{prefix}{place[0]}"
            for path, place in places.items()
            if isinstance(conditions[path], tuple) and isinstance(place, tuple)
        }
        # Asked each time: the server may have lost everything, and this with it.
        reply, *numbers = self._channel.call_all(
            [
                ("SMEMBERS", f"{self._key_space.attributes(agent)}:complete"),
                *(("EXISTS", key) for key in pairs.values()),
            ]
        )
        # Where an agent has no number, two numbers in a list may be asked for: contents tell.
        indexed = set(readable_ids(reply)) - {
            path for path, there in zip(pairs, numbers, strict=True) if not there
        }
        return [place for path, place in places.items() if path in indexed]

    def lookups_of_all(self, conditions: Mapping[str, Condition]) -> list[Lookup]:
        """Where the entries of all agents are that may meet conditions, without their prefixes."""
        # A pair may be a list's elements as well, which no index holds.
        places = _lookups({path: it for path, it in conditions.items() if type(it) is not tuple})
        if not places:
            return []
        complete = self.complete()
        return [place for path, place in places.items() if path in complete]

    def declare(self, index_all: Callable[[Sequence[str]], None]) -> None:
        """Declare what this process wants, and index by every path that is declared.

        Args:
            index_all: Indexes every entry by paths.
        """
        if self._wanted:
            self._declare()
        paths = set(self.paths if self._wanted else self.all_paths())
        if paths - self.complete():
            index_all(self.paths)
            names = [*map(encode_id, sorted(paths))]
            self._channel.call_all([("SADD", f"{key}:complete", *names) for key in self._keys])

    def announce(self) -> None:
        """Declare what this process wants; ``declare`` does the indexing."""
        if self._wanted:
            self._declare()

    def all_paths(self) -> tuple[str, ...]:
        """The declared paths, as the server knows them."""
        (first, *others) = texts = self._declarations()
        self._know(_united(texts) if others else first)
        return self.paths

    def run(self, script: Script, calls: Callable[[], Sequence[Call]]) -> list[Any]:
        """Run a script that takes the declaration; learn it where the server has another.

        Args:
            script: The script.
            calls: Makes the keys and arguments of each call from what is known by then. It may be
                called several times.

        Raises:
            StoreUnavailable: The server does not answer, or others declare without end.
        """
        for _ in range(_ATTEMPTS):
            replies = self._channel.run(script, calls())
            declarations = [reply for reply in replies if isinstance(reply, bytes)]
            if not declarations:
                return replies
            self._learn([*map(_text, declarations)])
        raise self._changing()

    def _learn(self, declared: Sequence[str]) -> None:
        if self._key_space.buckets:
            self._unite([self.known, *declared, *self._lines])
            return
        self._know(declared[-1])
        # The server may have lost everything, and the declaration with it.
        if set(self._wanted) - set(self.paths):
            self._declare()

    def _declare(self) -> None:
        if self._key_space.buckets:
            self._unite(self._lines)
            return
        (declared,) = self._channel.run(_DECLARE, [([self.key], self._lines)])
        self._know(_text(declared))

    def _unite(self, more: Sequence[str]) -> None:
        """Make the declarations of all buckets the same, and know it.

        Args:
            more: What is to be declared in each, beside what any of them has.

        Raises:
            StoreUnavailable: The server does not answer, or others declare without end.
        """
        for _ in range(_ATTEMPTS):
            found = self._declarations()
            united = _united([*found, *more])
            differing = [
                ([key], [text, united])
                for key, text in zip(self._keys, found, strict=True)
                if text != united
            ]
            if all(it == united for it in self._texts(_DECLARE_INSTEAD, differing)):
                self._know(united)
                return
        raise self._changing()

    def _texts(self, script: Script, calls: Sequence[Call]) -> list[str]:
        return [*map(_text, self._channel.run(script, calls))]

    def _declarations(self) -> list[str]:
        return [*map(_text, self._channel.call_all([("GET", key) for key in self._keys]))]

    def _changing(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._channel.where}: the declared attributes of {self.key} change all the time; "
            "open one process after the other"
        )


def _lookups(conditions: Mapping[str, Condition]) -> dict[str, Lookup]:
    """Where an index tells who meets conditions, by path."""
    found = {path: lookup(path, wanted) for path, wanted in conditions.items()}
    return {path: place for path, place in found.items() if place is not None}


def _united(declarations: Iterable[str]) -> str:
    """One declaration of all that are declared in some, in an order of its own."""
    lines = {line for text in declarations for line in text.splitlines()}
    return "".join(f"{line}\n" for line in sorted(lines))


def _text(reply: bytes | None) -> str:
    return "" if reply is None else reply.decode(errors="backslashreplace")


class AttributeIndexing:
    """Indexes what a tier stores by the declared attributes, entry by entry.

    Args:
        tier: Reads the tier.
        channel: The server.
        key_space: The tier's keys.
    """

    def __init__(self, tier: MemoryRepository, channel: RedisChannel, key_space: KeySpace) -> None:
        self._tier = tier
        self._channel = channel
        self._key_space = key_space

    def __call__(self, paths: Sequence[str]) -> None:
        """Index every entry by some declared paths."""
        for run_id, agent_id in self._tier.upkeep.all_agents():
            for some in parts(self._tier.keys(run_id, agent_id)):
                self._index(some, paths)

    def _index(self, keys: Sequence[EntryKey], paths: Sequence[str]) -> None:
        """Index entries of one agent; those that are damaged stay as they are."""
        try:
            entries = self._tier.get_many(keys)
        except EncodingError:
            if len(keys) > 1:
                for key in keys:
                    self._index([key], paths)
            return
        changes = flat(
            (entry.memory_id, entry.revision, spelled_attributes(entry.contents, paths))
            for entry in entries
        )
        agent = Agent(keys[0].run_id, keys[0].agent_id)
        self._channel.run(scripts.ATTRIBUTES, [(self._key_space.of(agent), changes)])
