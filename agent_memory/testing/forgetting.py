"""Promises of ``forget``: what was forgotten is gone and never comes back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from agent_memory.errors import EntryNotFound
from agent_memory.repositories.clearing import clearing_marks
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.forgettings import Forgetting, RollBack
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.testing.samples import HOSTILE_NAMES, a_memory_id, an_entry
from agent_memory.testing.storing import everything
from agent_memory.values.entry import EntryKey


class ForgettingContract:
    """Forgetting for good."""

    def test_forget_removes_and_counts_what_was_there(self, repository: LongTermMemory) -> None:
        entries = [an_entry(agent_id=name) for name in ("a", "a", "b", "c")]
        repository.add_many(entries)
        keys = [entry.key for entry in entries[:3]]
        missing = an_entry().key
        assert repository.forget(iter([*keys, missing, keys[0]]), at=5.0) == 3
        assert everything(repository) == entries[3:]
        assert repository.forget([], at=5.0) == 0

    def test_what_was_forgotten_is_refused_by_every_later_add(
        self, repository: LongTermMemory
    ) -> None:
        entry, other = an_entry(), an_entry()
        repository.add(entry)
        repository.forget([entry.key], at=5.0)
        assert repository.add(entry) is Added.FORGOTTEN
        newer = replace(entry, revision=9)
        assert repository.add_many([newer, other, entry]) == [
            Added.FORGOTTEN, Added.STORED, Added.FORGOTTEN,
        ]  # fmt: skip
        assert everything(repository) == [other]

    def test_a_key_forgotten_before_it_came_is_refused(self, repository: LongTermMemory) -> None:
        entry = an_entry(run_id="a run never seen", agent_id="an agent never seen")
        assert repository.forget([entry.key], at=5.0) == 0
        assert repository.runs() == []
        assert repository.agents(entry.run_id) == []
        assert repository.add(entry) is Added.FORGOTTEN
        assert everything(repository, entry.run_id) == []

    def test_forgetting_twice_is_forgetting_once(self, repository: LongTermMemory) -> None:
        entry = an_entry()
        repository.add(entry)
        assert repository.forget([entry.key], at=5.0) == 1
        assert repository.forget([entry.key], at=6.0) == 0
        assert repository.add(entry) is Added.FORGOTTEN

    def test_the_same_memory_id_in_another_run_is_not_forgotten(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        elsewhere = replace(entry, run_id="run 2")
        repository.add_many([entry, elsewhere])
        repository.forget([entry.key], at=5.0)
        assert everything(repository, "run 2") == [elsewhere]
        repository.remove(elsewhere.key)
        assert repository.add(elsewhere) is Added.STORED

    def test_the_same_memory_id_of_another_agent_is_not_forgotten(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        other = replace(entry, agent_id="bee")
        repository.add_many([entry, other])
        assert repository.forget([entry.key], at=5.0) == 1
        assert everything(repository) == [other]
        assert repository.forgotten([entry.key, other.key]) == {entry.key: None}
        repository.remove(other.key)
        assert repository.add_many([entry, other]) == [Added.FORGOTTEN, Added.STORED]
        repository.forget([other.key], at=6.0)
        repository.release([other.key], at=7.0)
        assert repository.forgotten([entry.key, other.key]) == {entry.key: None, other.key: 7.0}
        stored = repository.take_over([entry, other], repository.moment() - 0.1)
        assert stored == [Added.FORGOTTEN, Added.STALE]

    def test_a_key_without_agent_is_that_of_every_agent_of_its_run(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        other, later = replace(entry, agent_id="bee"), replace(entry, agent_id="cat")
        elsewhere = replace(entry, run_id="run 2")
        repository.add_many([entry, other, elsewhere])
        of_all = entry.key._replace(agent_id="")
        assert repository.forget([of_all], at=5.0) == 2
        assert everything(repository) == []
        assert everything(repository, "run 2") == [elsewhere]
        assert repository.add_many([entry, other, later]) == [Added.FORGOTTEN] * 3
        keys = [of_all, later.key, elsewhere.key]
        assert repository.forgotten(keys) == {of_all: None, later.key: None}
        # Of two marks the stricter holds.
        repository.forget([other.key], at=6.0, released_at=300.0)
        repository.release([of_all], at=7.0)
        keys = [of_all, other.key, later.key]
        assert repository.forgotten(keys) == {of_all: 7.0, other.key: 300.0, later.key: 7.0}
        now = repository.moment()
        assert repository.take_over([other, later], now) == [Added.STALE, Added.STORED]
        repository.forget([later.key], at=9.0)
        assert repository.take_over([later, entry], now) == [Added.FORGOTTEN, Added.STORED]

    def test_what_was_only_removed_or_cleared_may_come_back(
        self, repository: LongTermMemory
    ) -> None:
        entries = [an_entry() for _ in range(3)]
        repository.add_many(entries)
        repository.remove(entries[0].key)
        repository.remove_copied(entries[1:2])
        repository.clear_agents("run", ["ant"])
        assert repository.add_many(entries) == [Added.STORED] * 3

    def test_forgetting_outlives_the_clearing_of_its_agent(
        self, repository: LongTermMemory
    ) -> None:
        entry, other = an_entry(), an_entry()
        repository.add_many([entry, other])
        repository.forget([entry.key], at=5.0)
        assert repository.clear_agents("run", ["ant"]) == 1
        assert repository.clear_run("run") == 0
        assert repository.add_many([entry, other]) == [Added.FORGOTTEN, Added.STORED]

    def test_what_was_forgotten_cannot_be_replaced_touched_or_found(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        repository.add(entry)
        repository.forget([entry.key], at=5.0)
        with pytest.raises(EntryNotFound):
            repository.replace(entry)
        with pytest.raises(EntryNotFound):
            repository.get(entry.key)
        assert repository.touch({entry.key: 1}, at=6.0) == [entry.key]
        assert repository.remove(entry.key) is False
        assert repository.remove_copied([entry]) == [Gone.ABSENT]

    def test_a_thousand_keys_are_forgotten_in_one_call(self, repository: LongTermMemory) -> None:
        entries = [an_entry(memory_id=a_memory_id(number)) for number in range(1_001)]
        repository.add_many(entries[::2])
        assert repository.forget([entry.key for entry in entries], at=5.0) == 501
        assert repository.add_many(entries) == [Added.FORGOTTEN] * 1_001

    def test_hostile_names_are_forgotten_alone(self, repository: LongTermMemory) -> None:
        same = a_memory_id(1)
        entries = [an_entry(run_id=name, agent_id=name, memory_id=same) for name in HOSTILE_NAMES]
        repository.add_many(entries)
        for place, entry in enumerate(entries):
            assert repository.forget([entry.key], at=5.0) == 1
            assert repository.runs() == sorted(HOSTILE_NAMES[place + 1 :])
        assert set(repository.add_many(entries)) == {Added.FORGOTTEN}

    def test_a_wrong_run_in_the_key_forgets_nothing_here(self, repository: LongTermMemory) -> None:
        entry = an_entry()
        repository.add(entry)
        repository.forget([EntryKey("run 2", "ant", entry.memory_id)], at=5.0)
        assert everything(repository) == [entry]

    def test_a_released_key_may_be_stored_anew(self, repository: LongTermMemory) -> None:
        entry, other = an_entry(), an_entry()
        repository.add_many([entry, other])
        repository.forget([entry.key, other.key], at=5.0)
        repository.release([entry.key], at=7.0)
        assert repository.add(entry) is Added.STORED
        assert repository.add(other) is Added.FORGOTTEN
        assert everything(repository) == [entry]

    def test_a_copy_that_was_read_before_the_release_is_stale(
        self, repository: LongTermMemory
    ) -> None:
        entry, other = an_entry(), an_entry()
        repository.forget([entry.key], at=5.0)
        before = repository.moment()
        assert repository.take_over([entry, other], before) == [Added.FORGOTTEN, Added.STORED]
        # Whatever the clocks say of whoever forgets and of whoever moves.
        repository.release([entry.key], at=-7.0)
        assert repository.take_over([entry], before) == [Added.STALE]
        assert everything(repository) == [other]
        after = repository.moment()
        assert repository.take_over([entry], after) == [Added.STORED]
        assert repository.take_over([other], after) == [Added.PRESENT]

    def test_forgetting_a_released_key_again_is_for_good(self, repository: LongTermMemory) -> None:
        entry = an_entry()
        repository.forget([entry.key], at=5.0)
        repository.release([entry.key], at=7.0)
        repository.add(entry)
        assert repository.forget([entry.key], at=8.0) == 1
        assert repository.add(entry) is Added.FORGOTTEN
        assert repository.take_over([entry], repository.moment()) == [Added.FORGOTTEN]

    def test_releasing_what_was_never_forgotten_changes_nothing(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        repository.release([entry.key], at=7.0)
        assert repository.take_over([entry], repository.moment()) == [Added.STORED]

    @pytest.mark.parametrize("at", [5.0, 4e9])
    def test_keys_that_are_released_ahead_are_refused_so_long_by_the_stores_own_clock(
        self, repository: LongTermMemory, at: float
    ) -> None:
        entry, other = an_entry(), an_entry()
        repository.add_many([entry, other])
        before = repository.moment()
        assert repository.forget([entry.key], at=at, released_at=at + 100.0) == 1
        assert repository.forget([other.key], at=at, released_at=at + 1e-5) == 1
        assert repository.forgotten([entry.key]) == {entry.key: at + 100.0}
        # Whatever was read meanwhile may have been removed above since.
        now = repository.moment()
        assert repository.take_over([entry], now) == [Added.STALE]
        time.sleep(0.001)
        assert repository.take_over([entry, other], before) == [Added.STALE, Added.STALE]
        assert repository.take_over([other], now) == [Added.STORED]
        # Which came in while it was forgotten, and goes with the release.
        assert repository.release([entry.key, other.key], at=at) == 1
        assert repository.take_over([entry, other], now) == [Added.STALE, Added.STALE]
        assert repository.release([entry.key, other.key], at=at) == 0
        stored = repository.take_over([entry, other], repository.moment())
        assert stored == [Added.STORED, Added.STORED]
        assert repository.release([entry.key, other.key], at=at) == 0

    def test_keys_can_be_forgotten_again_with_or_without_a_time_of_release(
        self, repository: LongTermMemory
    ) -> None:
        entry = an_entry()
        repository.forget([entry.key], at=5.0, released_at=9.0)
        repository.forget([entry.key], at=6.0)
        assert repository.add(entry) is Added.FORGOTTEN
        repository.forget([entry.key], at=7.0, released_at=8.0)
        assert repository.add(entry) is Added.STORED

    def test_some_agents_are_cleared_at_once_and_no_others(
        self, repository: LongTermMemory
    ) -> None:
        entries = [an_entry(agent_id=name) for name in HOSTILE_NAMES for _ in range(2)]
        elsewhere = an_entry(agent_id=HOSTILE_NAMES[0], run_id="another")
        repository.add_many([*entries, elsewhere])
        doomed = HOSTILE_NAMES[::2]
        assert repository.clear_agents(entries[0].run_id, doomed) == 2 * len(doomed)
        kept = [entry for entry in entries if entry.agent_id not in doomed]
        assert {*everything(repository)} == {*kept}
        assert everything(repository, "another") == [elsewhere]
        assert repository.clear_agents(entries[0].run_id, []) == 0

    def test_a_run_that_nobody_forked_has_no_forks(self, repository: LongTermMemory) -> None:
        repository.add(an_entry())
        assert repository.forks(an_entry().run_id) == repository.forks("no run") == []

    def test_what_was_forgotten_is_told_with_the_time_of_its_release(
        self, repository: LongTermMemory
    ) -> None:
        entries = [an_entry(), an_entry(run_id="run 2"), an_entry(), an_entry(run_id="run 3")]
        keys = [entry.key for entry in entries]
        repository.add_many(entries)
        repository.forget(keys[:3], at=5.0)
        repository.release(keys[1:2], at=7.0)
        assert repository.forgotten(iter(keys)) == {keys[0]: None, keys[1]: 7.0, keys[2]: None}
        assert repository.forgotten([]) == {}
        assert repository.runs() == ["run 3"]

    def test_a_clearing_is_noted_for_its_run_or_its_agents_alone(
        self, repository: LongTermMemory
    ) -> None:
        names = [*HOSTILE_NAMES, "ant"]
        for place, name in enumerate(names):
            marks = clearing_marks(name, [name])
            repository.forget(marks, at=1.0)
            repository.release(marks, at=float(place))
        for place, name in enumerate(names):
            (mark,) = clearing_marks(name, [name])
            assert repository.forgotten([mark, *clearing_marks(name)]) == {mark: float(place)}
        assert repository.runs() == []

    def test_moments_of_forgetting_grow_whatever_the_clock_says(
        self, repository: LongTermMemory
    ) -> None:
        entry, other = an_entry(), an_entry()
        moments = [repository.moment()]
        for at in (moments[0] + 7.0, 3.0, 3.0, -5.0):
            repository.forget([entry.key], at=at, released_at=at)
            moments.append(repository.moment())
            assert repository.forgettings([entry.key, other.key]) == {
                entry.key: Forgetting(moments[-1], at)
            }
            repository.release([entry.key], at=at)
            moments.append(repository.moment())
            assert repository.forgettings([entry.key]) == {entry.key: Forgetting(moments[-1], at)}
        assert moments == sorted(set(moments))
        repository.forget([entry.key._replace(agent_id="")], at=1.0)
        of_all = Forgetting(repository.moment(), None)
        assert repository.forgettings([entry.key, other.key]) == {entry.key: of_all}

    def test_a_run_remembers_the_roll_backs_that_still_count(
        self, repository: LongTermMemory
    ) -> None:
        held = []
        for name in (*HOSTILE_NAMES[::3], "run"):
            for step, at in ((10, 5.0), (20, 4.0), (5, 3.0), (8, 2.0)):
                repository.roll_back(name, step, at)
                held.append(RollBack(step, repository.moment(), at))
            # Of those before it none goes on that it goes beyond.
            assert repository.roll_backs([name, "no run"]) == {name: held[-2:]}
        assert [one.moment for one in held] == sorted({one.moment for one in held})
        assert repository.runs() == []
        assert len(repository.roll_backs(HOSTILE_NAMES)) == len(HOSTILE_NAMES[::3])
