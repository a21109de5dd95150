"""Forgets on demand, in every tier and in the spool, and says what was found where and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agent_memory.embeddings.own import KIND
from agent_memory.errors import RunHasForks
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.querying import agents_of
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.retrieval.recall import recall
from agent_memory.tiers.forgetting import (
    AGENTS_AT_ONCE,
    Removed,
    Tiers,
    forget_agents,
    forget_keys,
    note_clearing,
)
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.quarantine import Quarantine
from agent_memory.tiers.quarantined import Owners
from agent_memory.values.deprecation import OldName
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query
from agent_memory.values.quoting import short_repr

_ROUNDS = 3  # how often what is found again is forgotten again


@dataclass(frozen=True, slots=True)
class ForgettingReceipt:
    """What a call of ``AgentMemorySystem.forget`` has removed.

    Attributes:
        what: What was asked, in words.
        run_id: Of which run.
        agents: Whose memories, as far as any were found.
        entries: How many memories.
        removed: How many copies of them, by where they were: "spool", "stm", "im", "ltm".
        forgotten_at: When the call began, in seconds since 1970: what was stored before is gone.
        encoder_versions: The versions of the encoder that learned from these agents, and may have
            learned from what was forgotten. Their weights keep what they learned.
        unattributed_versions: Versions that learned from given states, or came as a file: whose
            memories those were is not recorded.
        remaining: What was looked for in every tier after it was removed, and found: it was
            stored again meanwhile under the same id. Empty: verified.
        rewritten: The files that ``scrub`` rewrote.
        not_rewritten: Those that were not, or that may hold more of it, and why.
        quarantined: How many damaged entries of it were removed from the quarantine.

    Examples:
        >>> receipt = memory.forget("nobody")
        >>> receipt.entries, receipt.verified
        (0, True)
    """

    __repr__ = short_repr("what", "run_id", "entries", "removed", "remaining")

    what: str
    run_id: str
    agents: tuple[str, ...]
    entries: int
    removed: Mapping[str, int]
    forgotten_at: float
    encoder_versions: tuple[int, ...] = ()
    unattributed_versions: tuple[int, ...] = ()
    remaining: tuple[EntryKey, ...] = ()
    rewritten: tuple[str, ...] = ()
    not_rewritten: Mapping[str, str] = field(default_factory=dict)
    quarantined: int = 0

    untold_versions = OldName("unattributed_versions")

    @property
    def verified(self) -> bool:
        """Whether nothing of it was found afterwards."""
        return not self.remaining


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one way of forgetting came to."""

    agents: tuple[str, ...]
    entries: int
    removed: Removed
    remaining: tuple[EntryKey, ...]
    spooled: int


class Erasure:
    """Forgets agents, runs, entries and answers to queries. Raises, and never half succeeds.

    Args:
        run_id: The run.
        tiers: The repositories, richest tier first.
        intake: Where entries wait for short-term memory.
        versions: The versions of the encoder, which may have learned from what is forgotten.
        clock: Gives the time in seconds since 1970.
        quarantine: What was damaged and taken out of the tiers; None: there is no place for it.
    """

    def __init__(
        self,
        run_id: str,
        tiers: Tiers,
        intake: Intake,
        versions: EncoderVersions,
        clock: Callable[[], float],
        quarantine: Quarantine | None,
    ) -> None:
        self._run_id = run_id
        self._quarantine = quarantine
        self._tiers = tiers
        self._intake = intake
        self._versions = versions
        self._clock = clock

    def run(self) -> ForgettingReceipt:
        """Forget the whole run.

        Raises:
            RunHasForks: Other runs were forked from it, and need its entries.
        """
        begun = self._clock()
        self._refuse_forks(self._tiers[2].forks(self._run_id))
        note_clearing(self._tiers[2], self._run_id, None, self._clock)
        spooled = self._drop(lambda _: True)
        agents = agents_of(self._tiers, self._run_id)
        outcome = self._agents(agents, spooled)
        gone = self._forget_quarantined(lambda owners: owners.include(self._run_id, None))
        learned = self._learned()
        return self._receipt(f"run {self._run_id!r}", begun, outcome, learned=learned, gone=gone)

    def after(self, step: int) -> ForgettingReceipt:
        """Forget what the run has stored of the steps after one.

        Raises:
            RunHasForks: Other runs were forked from it after that step.
        """
        begun = self._clock()
        self._refuse_forks(self._tiers[2].forks(self._run_id, step))
        # First, so that whoever replays what waits, here or on another machine, knows of it.
        self._tiers[2].roll_back(self._run_id, step, begun)
        waiting = {
            number: entry.key for number, entry in self._spooled() if entry.step_number > step
        }
        removed, found, left = Removed(), {*waiting.values()}, set[EntryKey]()
        agents = iter(self._everyone())
        while batch := list(islice(agents, AGENTS_AT_ONCE)):
            later = self._after(step, batch) | {
                key for key in waiting.values() if key.agent_id in batch
            }
            found |= later
            for _ in range(_ROUNDS):
                # Marked before they are taken out of the spool: whoever replays them looks again.
                removed += forget_keys(self._tiers, sorted(later), self._clock)
                later &= self._after(step, batch)
                if not later:
                    break
            left |= later
        self._intake.drop(waiting)
        whose = tuple(sorted({key.agent_id for key in found}))
        outcome = _Outcome(whose, len(found), removed, tuple(sorted(left)), len(waiting))
        ids = {key.memory_id for key in found}
        gone = self._forget_quarantined(
            lambda owners: bool(ids & owners.memory_ids) and owners.include(self._run_id, None)
        )
        what = f"what run {self._run_id!r} stored after step {step}"
        learned = self._learned(whose)
        return self._receipt(what, begun, outcome, learned=learned, gone=gone)

    def agent(self, agent_id: str) -> ForgettingReceipt:
        """Forget all memories of an agent of the run."""
        begun = self._clock()
        note_clearing(self._tiers[2], self._run_id, [agent_id], self._clock)
        spooled = self._drop(lambda entry: entry.agent_id == agent_id)
        outcome = self._agents([agent_id], spooled)
        whose = frozenset([agent_id])
        gone = self._forget_quarantined(lambda owners: owners.include(self._run_id, whose))
        what = f"agent {agent_id!r} of run {self._run_id!r}"
        learned = self._learned((agent_id,))
        return self._receipt(what, begun, outcome, learned=learned, gone=gone)

    def memory(self, memory_id: str, agent_id: str | None) -> ForgettingReceipt:
        """Forget one entry; of no agent in particular: whoever's it is."""
        begun = self._clock()
        agents = self._everyone() if agent_id is None else [agent_id]
        keys = [EntryKey(self._run_id, agent, memory_id) for agent in agents]
        of_all = [] if agent_id is not None else [EntryKey(self._run_id, "", memory_id)]
        outcome = self._keys(keys, of_all)
        whose = None if agent_id is None else frozenset([agent_id])
        gone = self._forget_quarantined(
            lambda owners: memory_id in owners.memory_ids and owners.include(self._run_id, whose)
        )
        what = f"memory {memory_id} of run {self._run_id!r}"
        learned = self._learned(outcome.agents)
        return self._receipt(what, begun, outcome, learned=learned, gone=gone)

    def answers(self, query: Query) -> ForgettingReceipt:
        """Forget what ``recall`` answers a query with, and what waits in the spool and would."""
        begun = self._clock()
        spooled = InMemoryRepository(Tier.STM)
        spooled.add_many([entry for _, entry in self._spooled()])
        keys = [hit.entry.key for hit in recall((spooled, *self._tiers), query)]
        outcome = self._keys(keys)
        ids, whose = {key.memory_id for key in keys}, frozenset(key.agent_id for key in keys)
        gone = self._forget_quarantined(
            lambda owners: bool(ids & owners.memory_ids) and owners.include(self._run_id, whose)
        )
        what = f"what {query} finds"
        learned = self._learned(outcome.agents)
        return self._receipt(what, begun, outcome, learned=learned, gone=gone)

    def _refuse_forks(self, forks: Sequence[str]) -> None:
        if forks:
            named = ", ".join(repr(name) for name in forks)
            raise RunHasForks(
                f"run {self._run_id!r} was not forgotten: {named} were forked from it; forget "
                "those first"
            )

    # -- what is where ------------------------------------------------------------------------

    def _everyone(self) -> list[str]:
        agents = agents_of(self._tiers, self._run_id)
        return sorted({*agents, *(entry.agent_id for _, entry in self._spooled())})

    def _spooled(self) -> Iterator[tuple[int, MemoryEntry]]:
        """What waits of this run."""
        for number, entry in self._intake.spooled():
            if entry.run_id == self._run_id:
                yield number, entry

    def _after(self, step: int, agents: Sequence[str]) -> set[EntryKey]:
        return {key for tier in self._tiers for key in tier.keys(self._run_id, *agents, after=step)}

    def _drop(self, matches: Callable[[MemoryEntry], bool]) -> int:
        numbers = [number for number, entry in self._spooled() if matches(entry)]
        self._intake.drop(numbers)
        return len(numbers)

    def _forget_quarantined(self, doomed: Callable[[Owners], bool]) -> int:
        """Remove what was quarantined of it, as of an entry or of a vector that was replaced."""
        return 0 if self._quarantine is None else self._quarantine.forget(doomed)

    def _listed(self, agents: Sequence[str]) -> set[EntryKey]:
        run_id = self._run_id
        return {key for tier in self._tiers for key in tier.keys(run_id, *agents)}

    # -- removing and looking again -----------------------------------------------------------

    def _agents(self, agents: Sequence[str], spooled: int) -> _Outcome:
        removed, remaining, found = Removed(), set[EntryKey](), list[str]()
        waiting = iter(agents)
        while batch := list(islice(waiting, AGENTS_AT_ONCE)):
            before = self._listed(batch)
            found += sorted({key.agent_id for key in before})
            left = before
            for _ in range(_ROUNDS):
                removed += forget_agents(self._tiers, self._run_id, batch, self._clock)
                left = before & self._listed(batch)
                if not left:
                    break
            remaining |= left
        entries = removed.entries + spooled
        return _Outcome(tuple(found), entries, removed, tuple(sorted(remaining)), spooled)

    def _keys(self, keys: Sequence[EntryKey], closed: Sequence[EntryKey] = ()) -> _Outcome:
        """Forget entries; ``closed`` are the keys to refuse, if they are others."""
        removed, there = Removed(), self._there(keys)
        left = there
        for _ in range(_ROUNDS):
            # Marked before they are taken out of the spool: whoever replays them looks again.
            removed += forget_keys(self._tiers, keys, self._clock, closed)
            left = self._there(keys)
            if not left:
                break
        wanted = set(keys)
        spooled = {number: entry.key for number, entry in self._spooled() if entry.key in wanted}
        self._intake.drop(spooled)
        found = there | {*spooled.values()}
        agents = tuple(sorted({key.agent_id for key in found}))
        # Of what came while it was looked for, as many as one tier had.
        entries = max(len(found), removed.stm, removed.im, removed.ltm)
        return _Outcome(agents, entries, removed, tuple(sorted(left)), len(spooled))

    def _there(self, keys: Sequence[EntryKey]) -> set[EntryKey]:
        # Listed and not read: what is damaged is forgotten like anything else.
        agents = list(dict.fromkeys(key.agent_id for key in keys))
        return self._listed(agents) & set(keys)

    # -- reporting ----------------------------------------------------------------------------

    def _learned(self, agents: Sequence[str] | None = None) -> tuple[list[int], list[int]]:
        """The versions that learned from those agents (None: of any), and the unattributed."""
        learned, unattributed = [], []
        for record in self._versions.records():
            if record.stored_bytes == 0 or record.kind == KIND:
                continue  # gone, or learned elsewhere
            runs = record.metrics.get("learned_from", {}).get("runs") or {}
            if not runs:
                unattributed.append(record.version)
            elif self._run_id in runs and (
                agents is None or not set(agents).isdisjoint(runs[self._run_id])
            ):
                learned.append(record.version)
        return learned, unattributed

    def _receipt(
        self,
        what: str,
        begun: float,
        outcome: _Outcome,
        *,
        learned: tuple[list[int], list[int]],
        gone: int,
    ) -> ForgettingReceipt:
        removed = outcome.removed
        return ForgettingReceipt(
            what=what,
            run_id=self._run_id,
            agents=outcome.agents,
            entries=outcome.entries,
            removed={
                "spool": outcome.spooled,
                "stm": removed.stm,
                "im": removed.im,
                "ltm": removed.ltm,
            },
            forgotten_at=begun,
            encoder_versions=tuple(learned[0]),
            unattributed_versions=tuple(learned[1]),
            remaining=outcome.remaining,
            quarantined=gone,
        )
