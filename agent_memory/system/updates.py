"""Changes what is said of a memory: how important it is, and whether it stays in its tier.

A change is stored only in place of the revision that was read. If another change was faster, this
one is applied again to what that one stored, so that none is lost. If the entry moved, it is looked
for again from the top, the way entries move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from agent_memory.errors import EntryConflict, EntryNotFound, StoreUnavailable
from agent_memory.retrieval.recall import fetch
from agent_memory.tiers.expiry import TierReader
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.waiting_changes import Change
from agent_memory.tiers.waiting_reader import without_waiting
from agent_memory.values.checks import checked_importance
from agent_memory.values.entry import EntryKey, MemoryEntry

_ATTEMPTS = 1_000  # each of which another change of the same entry has won


class EntryUpdates:
    """Changes memories of a run, in whichever tier they are. Threads may share it.

    Each method returns the entry as it is stored then.

    Args:
        run_id: The run.
        tiers: The repositories, richest tier first.
        readers: The same as questions see them.
        intake: The way into short-term memory, where a memory may still wait.
    """

    def __init__(
        self, run_id: str, tiers: Tiers, readers: Sequence[TierReader], intake: Intake
    ) -> None:
        self._run_id = run_id
        self._tiers = {tier.tier: tier for tier in tiers}
        self._readers = [without_waiting(reader) for reader in readers]
        self._intake = intake

    def set_importance(self, agent_id: str, memory_id: str, importance: object) -> MemoryEntry:
        """Set how important a memory is; see ``AgentMemorySystem.set_importance``."""
        wanted = checked_importance(importance)
        return self._change(
            EntryKey(self._run_id, agent_id, memory_id),
            _with_importance(wanted),
        )

    def set_importances(self, wanted: Mapping[EntryKey, float]) -> list[EntryKey]:
        """Set how important many memories are; see ``AgentMemorySystem.update_importance``.

        Returns:
            Those that no tier holds, and that do not wait for one.
        """
        waiting = self._intake.change_waiting(
            {key: _with_importance(importance) for key, importance in wanted.items()}
        )
        left = {key: importance for key, importance in wanted.items() if key not in waiting}
        for repository in self._tiers.values():  # from the top down, as entries move
            missing = repository.importance.set(left) if left else []
            left = {key: left[key] for key in missing}
        return [*left]

    def set_pinned(self, agent_id: str, memory_id: str, *, pinned: bool) -> MemoryEntry:
        """Pin a memory, or let it move; see ``AgentMemorySystem.pin``."""
        return self._change(
            EntryKey(self._run_id, agent_id, memory_id),
            lambda entry: None if entry.pinned == pinned else replace(entry, pinned=pinned),
        )

    def _change(self, key: EntryKey, change: Change) -> MemoryEntry:
        """Change an entry; a change that gives None leaves it as it is."""
        try:
            self._intake.carry_change(key)
            changed = self._change_stored(key, change)
            if changed is None:
                # It may have been stored while the server was away, which is back by now.
                with suppress(StoreUnavailable):
                    self._intake.replay()
                changed = self._change_stored(key, change)
        except StoreUnavailable:
            changed = self._change_waiting(key, change)
            if changed is None:
                raise
        if changed is None:
            # Another process may have stored it between the two.
            changed = self._change_waiting(key, change) or self._change_stored(key, change)
        if changed is None:
            raise EntryNotFound(f"no tier holds {_named(key)}")
        return changed

    def _change_waiting(self, key: EntryKey, change: Change) -> MemoryEntry | None:
        """Change an entry where it waits for a server that takes no writes, or does not answer."""
        return self._intake.change_waiting({key: change}).get(key)

    def _change_stored(self, key: EntryKey, change: Change) -> MemoryEntry | None:
        for _ in range(_ATTEMPTS):
            found = fetch(self._readers, [key])
            if not found:
                return None
            changed = change(found[0].entry)
            if changed is None:
                return found[0].entry
            try:
                return self._tiers[found[0].tier].replace(changed)
            except EntryConflict:
                continue  # another change was faster
            except EntryNotFound:
                continue  # it moved, or was forgotten
        raise EntryConflict(
            f"memory {key.memory_id} of agent {key.agent_id!r} was changed by others "
            f"{_ATTEMPTS} times in a row; call again"
        )


def _with_importance(importance: float) -> Change:
    return lambda entry: replace(entry, importance_score=importance)


def _named(key: EntryKey) -> str:
    return f"memory {key.memory_id} of agent {key.agent_id!r} in run {key.run_id!r}"
