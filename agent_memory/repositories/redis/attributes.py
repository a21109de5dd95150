"""Which attributes are declared on a server, and the indexing of what was stored before.

The server keeps the declaration, and every script that writes refuses a caller that does not know
it. So from that moment on each entry is stored with its place in the attribute's index, by every
process. Entries that were stored before are indexed one by one; queries use the index only when
that is done. A process that is killed in between leaves the rest to the next one.
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

Call = tuple[Sequence[str], Sequence[Any]]


class DeclaredAttributes:
    """The declared attributes of a namespace.

    Args:
        channel: The server.
        namespace: What every key begins with.
        wanted: The paths that this process declares.
    """

    def __init__(self, channel: RedisChannel, namespace: str, wanted: Iterable[str]) -> None:
        self._channel = channel
        self.key = f"{namespace}:attributes"
        self._wanted = tuple(wanted)
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

    @property
    def completeness(self) -> tuple[str, ...]:
        """The command that gives the paths every entry is indexed by."""
        return ("SMEMBERS", f"{self.key}:complete")

    def complete(self, reply: Iterable[bytes]) -> set[str]:
        """The paths that ``completeness`` answered."""
        return set(readable_ids(reply))

    def lookups(self, prefix: str, conditions: Mapping[str, Condition]) -> list[Lookup]:
        """Where the entries of an agent are that may meet conditions, as far as indexes tell.

        Args:
            prefix: What all keys of the agent begin with.
            conditions: By path.
        """
        places = _lookups(conditions)
        pairs = {
            path: f"{prefix}{place[0]}"
            for path, place in places.items()
            if isinstance(conditions[path], tuple) and isinstance(place, tuple)
        }
        # Asked each time: the server may have lost everything, and this with it.
        reply, *numbers = self._channel.call_all(
            [self.completeness, *(("EXISTS", key) for key in pairs.values())]
        )
        # Where an agent has no number, two numbers in a list may be asked for: contents tell.
        indexed = self.complete(reply) - {
            path for path, there in zip(pairs, numbers, strict=True) if not there
        }
        return [place for path, place in places.items() if path in indexed]

    def lookups_of_all(self, conditions: Mapping[str, Condition]) -> list[Lookup]:
        """Where the entries of all agents are that may meet conditions, without their prefixes."""
        # A pair may be a list's elements as well, which no index holds.
        places = _lookups({path: it for path, it in conditions.items() if type(it) is not tuple})
        if not places:
            return []
        complete = self.complete(self._channel.call(*self.completeness))
        return [place for path, place in places.items() if path in complete]

    def declare(self, index_all: Callable[[Sequence[str]], None]) -> None:
        """Declare what this process wants, and index by every path that is declared.

        Args:
            index_all: Indexes every entry by paths.
        """
        if self._wanted:
            self._declare()
        paths = set(self.paths if self._wanted else self.all_paths())
        if paths - self.complete(self._channel.call(*self.completeness)):
            index_all(self.paths)
            self._channel.call("SADD", f"{self.key}:complete", *map(encode_id, sorted(paths)))

    def announce(self) -> None:
        """Declare what this process wants; ``declare`` does the indexing."""
        if self._wanted:
            self._declare()

    def all_paths(self) -> tuple[str, ...]:
        """The declared paths, as the server knows them."""
        self._know(_text(self._channel.call("GET", self.key)))
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
            self._learn(declarations[-1])
        raise StoreUnavailable(
            f"{self._channel.where}: the declared attributes of {self.key} change all the time; "
            "open one process after the other"
        )

    def _learn(self, declared: bytes) -> None:
        self._know(_text(declared))
        # The server may have lost everything, and the declaration with it.
        if set(self._wanted) - set(self.paths):
            self._declare()

    def _declare(self) -> None:
        lines = [f" {encode_id(path)} " for path in self._wanted]
        (declared,) = self._channel.run(_DECLARE, [([self.key], lines)])
        self._know(_text(declared))


def _lookups(conditions: Mapping[str, Condition]) -> dict[str, Lookup]:
    """Where an index tells who meets conditions, by path."""
    found = {path: lookup(path, wanted) for path, wanted in conditions.items()}
    return {path: place for path, place in found.items() if place is not None}


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
