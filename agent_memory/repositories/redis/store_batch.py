"""What one call stores by plain commands, and the transactions that store it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from agent_memory.connections.redis.commands import packed_command
from agent_memory.models.redis import encode_id
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.packing import EntryPacker, Packed, Ready

_DONE = frozenset({int, bytes})
_MULTI = packed_command(("MULTI",))
_EXEC = packed_command(("EXEC",))


class Batch(NamedTuple):
    """What one call stores.

    Attributes:
        ready: The entries, no key twice; where ``after`` is given, no agent twice.
        after: For each, the latest timestamp of its agent's elsewhere, which its own is to be
            beyond, as beyond all of its agent's here; None: it may be any.
        known: The declaration of attributes by which they were made ready.
        now: The time, as text.
        has_one_each: Whether no agent has two of the entries.
        are_new: Whether nothing can be stored under their ids.
    """

    ready: Sequence[Ready]
    after: Sequence[float] | None
    known: str
    now: str
    has_one_each: bool
    are_new: bool

    def transaction(
        self,
        places: Sequence[int],
        packer: EntryPacker,
        key_space: KeySpace,
        needed: Sequence[str] = (),
    ) -> Packed:
        """A transaction that stores some entries and lists their agents and runs.

        Args:
            places: Those of the entries, of an agent one after the other.
            packer: Packs entries.
            key_space: The keys of the lists.
            needed: More keys that the server is to hold, or it writes nothing.
        """
        some = [self.ready[place] for place in places]
        packed = packer.pack(some)
        more = [*self._registering(some, key_space), *(("EXISTS", key) for key in needed)]
        commands = b"".join([_MULTI, packed.commands, *map(packed_command, more), _EXEC])
        return Packed(commands, packed.owners + [-1] * len(more))

    def _registering(self, some: Sequence[Ready], key_space: KeySpace) -> list[tuple[str, ...]]:
        """The commands that note agents by the time of their last write, and runs."""
        agents_of: dict[str, dict[str, None]] = {}
        for entry, _, _ in some:
            agents_of.setdefault(entry.run_id, {})[encode_id(entry.agent_id)] = None
        commands: list[tuple[str, ...]] = []
        for run_id, agents in agents_of.items():
            scored = [word for agent in agents for word in (self.now, agent)]
            commands += [("ZADD", key, *scored) for key in key_space.agents(run_id)]
        more = [("SADD", key, *map(encode_id, agents_of)) for key in key_space.runs]
        return [*commands, *more]

    def stored_in_part(
        self, places: Sequence[int], packed: Packed, outcome: Sequence[Any]
    ) -> list[int]:
        """The places of entries of which a transaction has stored a part: keys are damaged.

        Args:
            places: Of all that it stores.
            packed: The transaction.
            outcome: What it answered to each of its commands.
        """
        if _DONE.issuperset(map(type, outcome)):
            return []
        failed = [
            owner
            for owner, reply in zip(packed.owners, outcome, strict=True)
            if type(reply) not in _DONE
        ]
        of_agents = {self._agent(places[owner]) for owner in failed if owner >= 0}
        return [place for place in places if -1 in failed or self._agent(place) in of_agents]

    def _agent(self, place: int) -> tuple[str, str]:
        entry = self.ready[place].entry
        return entry.run_id, entry.agent_id
