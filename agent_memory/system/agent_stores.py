"""One agent's view of a tier, in dicts: the stores that the dict-style API promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

from agent_memory.errors import EntryConflict, InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.system.reopening import check_reopens
from agent_memory.system.resources import Resources
from agent_memory.system.sharing import Holder, acquire
from agent_memory.system.whole_config import PartConfig, whole_config
from agent_memory.values.checks import checked_step
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.query import Order, Query
from agent_memory.values.quoting import quoted
from agent_memory.values.sameness import has_contents_of

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

# Under which name an agent has its store of a tier.
_ATTRIBUTES = {Tier.STM: "stm_store", Tier.IM: "im_store", Tier.LTM: "ltm_store"}


class AgentStore:
    """The entries of one agent in one tier, as dicts.

    An unreachable store answers False, None, 0 or an empty list and is logged once per outage,
    unless ``on_store_error`` is "raise". Reading here counts as no retrieval.

    Args:
        agent_id: The agent.
        config: A whole configuration, or the part of this tier; None for the defaults.
        resources: What is open already; None: the store opens what the configuration says.
        run_id: The run; None: the configuration's.
        owner: What must live as long as this does.

    Raises:
        InvalidEntry: The agent id has no meaning.
        StoreUnavailable: The store cannot be opened.
    """

    tier: ClassVar[Tier]

    def __init__(
        self,
        agent_id: str | int,
        config: PartConfig | None = None,
        *,
        resources: Resources | None = None,
        run_id: str | None = None,
        owner: object = None,
    ) -> None:
        self._owner = owner
        self.agent_id = checked_agent_id(agent_id)
        whole = whole_config(config)
        self.run_id = run_id or whole.run_id
        self._config = whole.model_copy(update={"run_id": self.run_id})
        if resources is None:
            resources = acquire(whole, Holder(self))
        self._repository: MemoryRepository = resources.tiers[self.tier]
        self._reader = resources.readers[self.tier]
        self._intake = resources.intake
        self._outages = resources.outages
        self._new_entries = resources.new_entries
        self._compression = resources.encoder.compression
        self._level = resources.level(self.tier)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({quoted(self.agent_id)}, run={quoted(self.run_id)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the way to find the store again; see ``AgentMemorySystem``."""
        if self._owner is not None:
            return (getattr, (self._owner, _ATTRIBUTES[self.tier]))
        check_reopens(self._config, type(self).__name__)
        return (type(self), (self.agent_id, self._config))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def store(self, entry: MemoryEntry | Mapping[str, Any]) -> bool:
        """Store an entry of this agent, brought to the level of this tier.

        Args:
            entry: A ``MemoryEntry``, or the dict of one, in which run, agent, memory id and
                timestamp may be left out.

        Returns:
            Whether it is stored now: False if it was forgotten or the store is unreachable.

        Raises:
            InvalidEntry: It cannot be stored, or belongs to another agent or run.
            EntryConflict: Other contents are stored under its id, and stay.
        """
        mine = self._own(entry)
        outcome = self._guard(Added.FORGOTTEN, self._repository.add, mine)
        self._refuse_others([mine], [outcome])
        return outcome is not Added.FORGOTTEN

    def get(self, memory_id: str) -> dict[str, Any] | None:
        """Get an entry by id."""
        found = self._guard([], self._reader.get_many, [self._key(memory_id)])
        return found[0].to_dict() if found else None

    def get_by_step(self, step: int) -> dict[str, Any] | None:
        """Get the entry of a step; of several the one that was stored last."""
        step = checked_step(step)
        query = self._query(steps=(step, step), order=Order.STEP)
        found = self._guard([], self._reader.find, query)
        if not found:
            return None
        return max(found, key=lambda entry: (entry.timestamp, entry.memory_id)).to_dict()

    def get_recent(self, count: int = 10) -> list[dict[str, Any]]:
        """Get the latest entries, newest first."""
        return self._find(order=Order.NEWEST, limit=count)

    def get_oldest(self, count: int = 10) -> list[dict[str, Any]]:
        """Get the earliest entries, oldest first."""
        return self._find(order=Order.OLDEST, limit=count)

    def count(self) -> int:
        """How many entries the agent has here."""
        return self._guard(0, self._reader.count, self.run_id, self.agent_id)

    def delete(self, memory_id: str) -> bool:
        """Remove an entry; returns whether it was there."""
        return self._guard(False, self._remove, self._key(memory_id))

    def clear(self) -> bool:
        """Remove all entries of the agent here; False if the store is unreachable."""
        return self._guard(-1, self._clear) >= 0

    def _remove(self, key: EntryKey) -> bool:
        return self._repository.remove(key)

    def _clear(self) -> int:
        return self._repository.clear_agents(self.run_id, [self.agent_id])

    def _guard(self, default: D, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> D | R:
        return self._outages.guard(default, call, *args, **kwargs)

    def _key(self, memory_id: str) -> EntryKey:
        return EntryKey(self.run_id, self.agent_id, checked_memory_id(memory_id))

    def _query(self, **filters: Any) -> Query:
        return Query(run_id=self.run_id, agent_id=self.agent_id, **filters)

    def _find(self, **filters: Any) -> list[dict[str, Any]]:
        found = self._guard([], self._reader.find, self._query(**filters))
        return [entry.to_dict() for entry in found]

    def _refuse_others(self, given: Sequence[MemoryEntry], outcome: Sequence[Added]) -> None:
        """Tell a caller whose contents were not stored, because others are under their id."""
        there = {
            entry.key: entry
            for entry, added in zip(given, outcome, strict=False)
            if added is Added.PRESENT
        }
        if not there:
            return
        for stored in self._guard([], self._repository.get_many, [*there]):
            if not has_contents_of(stored, there[stored.key]):
                raise EntryConflict(
                    f"entry {stored.memory_id} of agent {stored.agent_id!r} is stored in "
                    f"{self.tier.name} with other contents, which stay: leave memory_id out to "
                    "store an entry beside it"
                )

    def _own(self, entry: MemoryEntry | Mapping[str, Any]) -> MemoryEntry:
        if not isinstance(entry, MemoryEntry):
            entry = self._new_entries.of_dict(self.run_id, self.agent_id, entry)
        if (entry.run_id, entry.agent_id) != (self.run_id, self.agent_id):
            raise InvalidEntry(
                f"entry of agent {entry.agent_id!r} in run {entry.run_id!r} given to the store "
                f"of agent {self.agent_id!r} in run {self.run_id!r}"
            )
        return self._compression.compress(self._new_entries.plain(entry), self._level)


class RedisSTMStore(AgentStore):
    """Short-term memory of one agent.

    Examples:
        >>> ant = memory.get_memory_agent("ant-1")
        >>> ant.stm_store.get_by_step(2)["contents"]["food"]
        1.0
        >>> ant.stm_store.count() >= 9
        True
    """

    tier = Tier.STM

    def _remove(self, key: EntryKey) -> bool:
        waited = self._intake.remove_waiting(*key)
        return super()._remove(key) or waited > 0

    def _clear(self) -> int:
        # What leaves the spool meanwhile comes to the tier that is cleared next.
        return self._intake.remove_waiting(self.run_id, self.agent_id) + super()._clear()


class RedisIMStore(AgentStore):
    """Intermediate memory of one agent.

    Examples:
        >>> memory.get_memory_agent("ant-1").im_store.count()
        0
    """

    tier = Tier.IM


class SQLiteLTMStore(AgentStore):
    """Long-term memory of one agent.

    Examples:
        >>> memory.get_memory_agent("ant-1").ltm_store.get_recent(3)
        []
    """

    tier = Tier.LTM

    def store_batch(self, entries: Iterable[MemoryEntry | Mapping[str, Any]]) -> bool:
        """Store entries in one go; returns whether all are stored now.

        Raises:
            InvalidEntry: One cannot be stored, or belongs to another agent; none was.
            EntryConflict: Other contents are stored under the id of one; the others are stored.
        """
        mine = [self._own(entry) for entry in entries]
        outcome: list[Added] | None = self._guard(None, self._repository.add_many, mine)
        self._refuse_others(mine, outcome or [])
        return outcome is not None and Added.FORGOTTEN not in outcome
