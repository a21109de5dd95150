"""Repairs entries in Redis: rebuilds their index places, and takes out what is damaged.

Each script changes an entry only if its hash is still the one that was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent_memory.models.redis import encode_id
from agent_memory.repositories.redis.inspection import Examined, Owner, TierInspection
from agent_memory.repositories.redis.keys import Agent
from agent_memory.repositories.redis.scripts.mending import REINDEX, SET_FIELDS, TAKE_OUT


class TierMending:
    """Repairs what an inspection of a tier has found.

    Args:
        inspection: The tier.
    """

    def __init__(self, inspection: TierInspection) -> None:
        self._tier = inspection
        self._channel = inspection.channel

    def reindex(self, owner: Owner, entries: Sequence[Examined], now: float) -> int:
        """Index entries of an agent again; returns how many were."""
        pairs = [part for entry in entries for part in (entry.memory_id, entry.seen)]
        (done,) = self._channel.run(
            REINDEX, [(self._keys(owner), [*self._who(owner), repr(now), *pairs])]
        )
        return int(done)

    def set_fields(self, entry: Examined, fields: Mapping[str, str | bytes], now: float) -> bool:
        """Change fields of an entry's hash, if it is still as it was seen."""
        pairs = [part for pair in fields.items() for part in pair]
        (done,) = self._channel.run(
            SET_FIELDS,
            [(self._keys(entry.owner), [repr(now), entry.memory_id, entry.seen, *pairs])],
        )
        return bool(done)

    def take_out(self, entry: Examined, now: float) -> bool:
        """Remove an entry with its places in all indexes, if it is still as it was seen."""
        arguments = [*self._who(entry.owner), repr(now), entry.memory_id, entry.seen]
        (done,) = self._channel.run(TAKE_OUT, [(self._keys(entry.owner), arguments)])
        return bool(done)

    def _keys(self, owner: Owner) -> list[str]:
        return self._tier.key_space.of(Agent(owner.run_id, owner.agent_id))

    @staticmethod
    def _who(owner: Owner) -> list[str]:
        return [encode_id(owner.agent_id), encode_id(owner.run_id)]
