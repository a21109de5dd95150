"""Mutants of what is promised of entries: stored, moved, changed, aged, forgotten."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

_REDIS = "repositories/redis"
_SQL = "repositories/sql"
_CONTRACT = "repositories/test_repositories.py"

_ACKNOWLEDGED = (
    Mutant(
        "what the spool acknowledges is on disk",
        (
            Edit(
                "tiers",
                'synchronous=FULL")\n        # Both before',
                'synchronous=OFF")\n        # Both before',
            ),
        ),
        tests_in("tiers/test_spool.py", "test_what_is_put_is_on_disk_before_it_is_acknowledged"),
    ),
    Mutant(
        "what long-term memory acknowledges is on disk",
        (Edit("connections", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),),
        tests_in("connections/test_sql.py", "test_commits_are_on_disk_and_foreign_keys_hold"),
    ),
    Mutant(
        "the embedded server keeps what it holds in a file",
        (Edit("connections/embedded", '"appendonly": "yes"', '"appendonly": "no"'),),
        tests_in(
            "faults/test_embedded.py",
            "test_kill_loses_nothing_acknowledged_and_ensure_running_heals",
        ),
    ),
    Mutant(
        "the keeper syncs what was appended",
        (Edit("connections", "_sync_file(appended.fileno())", "pass"),),
        tests_in(
            "connections/test_embedded.py",
            "test_keeper_syncs_each_appended_file_once_for_each_growth",
        ),
    ),
    Mutant(
        "the stronger durability wins",
        (Edit("connections/embedded", "CONFIG SET appendfsync always", "PING"),),
        tests_in("faults/test_embedded.py", "test_stronger_durability_wins_and_outlives_a_kill"),
    ),
    Mutant(
        "an entry and its place in every index change together",
        (
            Edit(
                _REDIS,
                'line = f"append(coming, {key}, $each.{index.score}, id)"',
                'line = f"append(coming, {key}, $each.{index.score}, id)"\n'
                'if index.name == "importance":\n'
                "    line = f\"if $each.revision == '0' then {line} end\"",
            ),
        ),
        tests_in(_CONTRACT, "TestShortTerm::test_a_newer_copy_takes_its_new_place_in_every_order"),
    ),
)

_WHERE_AN_ENTRY_IS = (
    Mutant(
        "what was retrieved while it moved and stays is in one tier",
        (Edit("tiers", "age_of(copy) < ages[copy.key]", "copy.revision < ages[copy.key][0]"),),
        tests_in(
            _CONTRACT,
            "TestLongTerm::"
            "test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call[sqlite_file]",
        ),
    ),
    Mutant(
        "agents that share an id have an entry each in long-term memory",
        (
            Edit(
                _SQL,
                "Mark(reference.run_ref, row.entry.agent_id,",
                "Mark(reference.run_ref, '',",
            ),
            Edit(_SQL, "Mark(run_ref, agent_id, id_of_bytes", "Mark(run_ref, '', id_of_bytes"),
        ),
        tests_in(
            "system/test_shared_ids.py",
            "test_agents_that_share_ids_keep_all_of_theirs_on_the_way_down[fakeredis]",
        ),
    ),
    Mutant(
        "an id that was forgotten for one agent is another's to store",
        (Edit("models/ltm_types.py", "if not agent_id:", "if agent_id:"),),
        tests_in(
            _CONTRACT,
            "TestLongTerm::test_the_same_memory_id_of_another_agent_is_not_forgotten[sqlite_file]",
        ),
    ),
    Mutant(
        "a move between the tiers of a server heeds the revision",
        (Edit(_REDIS, "$each.revision ~= $old.revision or", ""),),
        tests_in(
            _CONTRACT,
            "TestShortTerm::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move between the tiers of a server heeds retrievals",
        (Edit(_REDIS, "or $each.retrieval_count ~= $old.retrieval_count then", "then"),),
        tests_in(
            _CONTRACT,
            "TestShortTerm::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move to long-term memory removes what it copied and nothing newer",
        (
            Edit(
                _REDIS,
                "elseif ($each.revision ~= '' and $each.revision ~= $old.revision)",
                "elseif ($each.revision ~= '' and $each.revision > $old.revision)",
            ),
        ),
        tests_in(
            _CONTRACT,
            "TestIntermediate::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move writes below before it removes above",
        (
            Edit(
                "tiers",
                "outcome = destination.take_over(copies, moment)",
                "removed = source.remove_copied(copies)\n"
                "destination.take_over(copies, moment)\n"
                "return removed",
            ),
        ),
        tests_in(
            "faults/test_kills.py",
            "test_a_kill_between_any_two_io_steps_loses_and_leaves_nothing[program-store]",
        ),
    ),
    Mutant(
        "a move that a crash cut short is settled",
        (Edit("tiers", "source.moves.open()", "[]"),),
        tests_in(
            "tiers/test_pinning.py",
            "test_a_copy_below_that_a_crash_left_of_an_entry_that_was_pinned_since_is_settled",
        ),
    ),
    Mutant(
        "a copy below does not answer for what has changed above",
        (Edit("retrieval", "above.moves.open()", "[]"),),
        tests_in(
            "retrieval/test_recall.py",
            "test_a_copy_that_a_killed_move_left_below_does_not_answer_for_what_has_changed",
        ),
    ),
    Mutant(
        "an entry that is stored again while it is re-encoded keeps its own vector",
        (
            Edit(
                _REDIS,
                "stored = (found[1] or '') == $each.old_embedding"
                " and (found[2] or '') == $each.old_version",
                "stored = true",
            ),
        ),
        tests_in(
            "system/test_reencoding.py",
            "test_an_entry_stored_anew_while_it_is_reencoded_keeps_its_own_vector",
        ),
    ),
    Mutant(
        "a damaged entry keeps no other from moving",
        (
            Edit(
                "repositories/redis/upkeep.py",
                "# Damage may have reached what says whose it is.",
                "raise",
            ),
        ),
        tests_in(
            "system/test_processes.py",
            "test_a_damaged_entry_keeps_neither_the_memory_from_opening_nor_others_from_moving",
        ),
    ),
    Mutant(
        "a damaged row of long-term memory is passed over alone",
        (Edit("repositories/upkeep.py", "log_unreadable(error)\nreturn []", "raise"),),
        tests_in(
            "repositories/test_sql_repository.py", "test_upkeep_passes_over_a_damaged_row_alone"
        ),
    ),
)

_CHANGES = (
    Mutant(
        "a change in Redis replaces the revision that was read alone",
        (
            Edit(
                _REDIS,
                "if tonumber($old.revision) ~= tonumber($each.revision) then return -1 end",
                "",
            ),
        ),
        tests_in(
            _CONTRACT,
            "TestShortTerm::test_replacing_another_revision_is_a_conflict_and_the_stored_stays",
        ),
    ),
    Mutant(
        "a change in SQL replaces the revision that was read alone",
        (Edit(_SQL, "table.c.revision == entry.revision,", ""),),
        tests_in(
            _CONTRACT,
            "TestLongTerm::test_replacing_another_revision_is_a_conflict_and_the_stored_stays",
        ),
    ),
    Mutant(
        "a change that another was faster than is made again on top of it",
        (
            Edit(
                "system",
                "except EntryConflict:\n                continue",
                "except EntryConflict:\n                return found[0].entry",
            ),
        ),
        tests_in(
            "system/test_updates.py",
            "test_a_change_that_another_made_first_is_made_again_on_top_of_it",
        ),
    ),
    Mutant(
        "a limit moves no pinned entry",
        (
            Edit(
                "tiers",
                "Query(run_id=run_id, agent_id=agent_id, limit=count, pinned=False)",
                "Query(run_id=run_id, agent_id=agent_id, limit=count)",
            ),
        ),
        tests_in(
            "tiers/test_pinning.py",
            "test_over_a_limit_the_others_leave_and_the_pinned_stay_in_their_tiers",
        ),
    ),
    Mutant(
        "an age moves no pinned entry",
        (
            Edit(
                "tiers",
                "asked = Query(run_id=run_id, agent_id=agent_id, pinned=False)",
                "asked = Query(run_id=run_id, agent_id=agent_id)",
            ),
        ),
        tests_in("tiers/test_pinning.py", "test_age_in_steps_moves_no_pinned_entry"),
    ),
    Mutant(
        "an entry that is pinned at the moment it would be dropped stays",
        (
            Edit(
                _REDIS,
                "if redis.call('ZSCORE', prefix .. 'pinned', id) then",
                "if redis.call('ZSCORE', prefix .. 'pinned', 'id') then",
            ),
        ),
        tests_in(
            "tiers/test_pinning.py",
            "test_an_entry_that_is_pinned_at_the_moment_it_would_be_dropped_stays",
        ),
    ),
    Mutant(
        "a retrieval in Redis is counted once though its answer is lost",
        (Edit(_REDIS, "if noted[1] then", "if noted[2] then"),),
        tests_in(
            "retrieval/test_access_log.py",
            "test_a_retrieval_is_counted_once_whatever_answers_are_lost[embedded-1]",
        ),
    ),
    Mutant(
        "a retrieval in PostgreSQL is counted once though its answer is lost",
        (Edit(_SQL, 'status == "committed"', 'status == "gone"'),),
        tests_in(
            "retrieval/test_access_log.py",
            "test_a_retrieval_is_counted_once_whatever_answers_are_lost[tcp and postgresql-1]",
        ),
    ),
    Mutant(
        "a batch of retrievals keeps its name until it is acknowledged",
        (
            Edit(
                "retrieval",
                "repository.touch(counts, batch.at, batch.token)",
                "repository.touch(counts, batch.at, token_at(self._clock()))",
            ),
        ),
        tests_in(
            "retrieval/test_access_log.py",
            "test_a_retrieval_is_counted_once_whatever_answers_are_lost[embedded-5]",
        ),
    ),
    Mutant(
        "a change whose answer is lost is one change",
        (Edit(_REDIS, "self.channel.losses != losses", "self.channel.losses < losses"),),
        tests_in(
            "system/test_updates.py", "test_a_change_whose_answer_is_lost_is_one_change[embedded]"
        ),
    ),
)

_TIME = (
    Mutant(
        "other contents of the same step are another entry",
        (Edit("values", 'made_of += b"\\0" + contents', 'made_of += b""'),),
        tests_in("system/test_lives.py", "test_a_life_is_found_once_with_its_contents[fakeredis]"),
    ),
    Mutant(
        "time goes on for an agent whose steps start again",
        (Edit(_REDIS, "newest = newest + 1", "newest = newest + 0"),),
        tests_in("system/test_lives.py", "test_a_life_is_found_once_with_its_contents[fakeredis]"),
    ),
    Mutant(
        "what is stored again and has moved down is stored once",
        (Edit("system", "self._run.merge_repeats()", "pass"),),
        tests_in("system/test_lives.py", "test_any_lives_are_found_once_with_their_contents"),
    ),
    Mutant(
        "an agent that is born late keeps what it has just stored",
        (Edit("config", 'return self.on_expiry == "drop"', "return False"),),
        tests_in(
            "tiers/test_expiry.py",
            "test_agents_that_are_born_late_or_begin_anew_keep_their_fresh_memories[fakeredis]",
        ),
    ),
    Mutant(
        "no entry expires unmoved",
        (
            Edit(
                _REDIS,
                "{_lines(_indexing())}",
                "{_lines(_indexing())}\nredis.call('EXPIRE', key, 10000000)",
            ),
        ),
        tests_in("tiers/test_ageing.py", "test_entries_of_idle_agents_move_on_and_none_expires"),
    ),
    Mutant(
        "an entry leaves when it is over its age",
        (Edit("tiers", "moment.now - self.seconds", "moment.now - 2 * self.seconds"),),
        tests_in(
            "tiers/test_consolidation.py",
            "test_an_entry_over_its_age_in_seconds_moves_and_one_at_its_age_stays",
        ),
    ),
    Mutant(
        "a clock that is set back leaves no entry stuck",
        (
            Edit(
                "tiers",
                "if ahead is not None and horizon is not None and ahead.since < moment.now:",
                "if ahead is not None and horizon is not None and ahead.since > moment.now:",
            ),
        ),
        tests_in(
            "tiers/test_ageing.py",
            "test_a_clock_that_is_set_back_loses_doubles_and_hurries_nothing_and_nothing_is_stuck",
        ),
    ),
    Mutant(
        "no question shows an entry that is due to be dropped",
        (
            Edit(
                "tiers", 'if first > (0 if name == "steps" else -math.inf):', "if first > math.inf:"
            ),
        ),
        tests_in(
            "tiers/test_expiry.py",
            "test_no_question_shows_an_entry_over_its_age_before_it_is_dropped",
        ),
    ),
    Mutant(
        "redis_max_bytes is kept under load",
        (
            Edit(
                "tiers",
                "self.is_short = used > self.bound * (_GOAL if self.is_short else 1)",
                "self.is_short = used > 2 * self.bound",
            ),
        ),
        tests_in(
            "tiers/test_budget.py",
            "test_a_load_of_many_agents_stays_within_the_bound_and_is_all_found_once",
        ),
    ),
)

_AWAY = (
    Mutant(
        "what waited is stored in its order",
        (
            Edit(
                "tiers",
                "ORDER BY number LIMIT ?",
                "ORDER BY number DESC LIMIT ?",
                near="AND refused IS NULL",
            ),
        ),
        tests_in(
            "faults/test_outages.py",
            "test_what_waits_is_stored_in_slices_and_what_comes_waits_behind_it",
        ),
    ),
    Mutant(
        "what waits is in the spool until it is stored",
        (
            Edit(
                "tiers",
                "refused = self._add(spool, fresh)\nspool.done(readable.keys() - refused)",
                "spool.done(readable.keys())\nself._add(spool, fresh)",
            ),
        ),
        tests_in("faults/test_replays.py", "test_what_is_replayed_waits_until_it_is_stored"),
    ),
    Mutant(
        "what waited and is in a tier already is left where it is",
        (
            Edit(
                "tiers",
                "present = self._present(remembered)",
                "present: set[int] = set()",
            ),
        ),
        tests_in(
            "faults/test_replays.py",
            "test_an_entry_that_is_replayed_twice_is_one_entry_wherever_it_is_by_now",
        ),
    ),
    Mutant(
        "one process replays at a time",
        (Edit("tiers", "yield False\nreturn", "pass"),),
        tests_in("tiers/test_spool.py", "test_one_process_replays_at_a_time"),
    ),
    Mutant(
        "a full spool refuses",
        (
            Edit(
                "tiers",
                'connection.execute(f"PRAGMA max_page_count={pages}")',
                'connection.execute(f"PRAGMA max_page_count={100 * pages}")',
            ),
        ),
        tests_in(
            "faults/test_outages.py",
            "test_a_full_spool_answers_false_is_logged_once_and_loses_nothing_it_took",
        ),
    ),
    Mutant(
        "what is acknowledged while a disk fills is in the server's file",
        (Edit("connections/embedded", "if is_change:", "if not is_change:"),),
        tests_in(
            "faults/test_full_disks.py",
            "test_what_is_acknowledged_while_a_disk_fills_is_kept",
            "test_what_is_acknowledged_within_a_limit_on_the_size_of_files_is_kept",
        ),
    ),
    Mutant(
        "a folder that was moved is not made again for what waits",
        (Edit("tiers", "if self._folder_id is not None and", "if self._folder_id is None and"),),
        tests_in(
            "system/test_replaced_stores.py",
            "test_a_folder_that_was_moved_is_not_made_again_for_what_waits",
        ),
    ),
    Mutant(
        "upkeep of a full server makes room before it stores what waits",
        (
            Edit(
                "system/maintenance.py",
                "except WritesRefused: return False",
                "except WritesRefused:\n    raise",
            ),
        ),
        tests_in(
            "faults/test_refused_writes.py",
            "test_upkeep_of_a_full_server_makes_room_first_and_then_stores_what_waits",
        ),
    ),
    Mutant(
        "a server that takes no writes is as good as away",
        (Edit("connections/redis", "(OOM|MISCONF|READONLY|", "(OOM|READONLY|"),),
        tests_in(
            "faults/test_refused_writes.py",
            "test_a_server_that_takes_no_writes_is_as_good_as_away[cannot_persist-MISCONF]",
        ),
    ),
)

_FORGETTING = (
    Mutant(
        "what was forgotten is refused by long-term memory",
        (Edit("repositories/forgettings.py", "return Added.FORGOTTEN", "return None"),),
        tests_in(_CONTRACT, "TestLongTerm::test_what_was_forgotten_is_refused_by_every_later_add"),
    ),
    Mutant(
        "no move that was in flight brings back what was forgotten",
        (Edit("repositories/forgettings.py", "mark.moment > moment", "mark.moment < 0.0"),),
        tests_in("tiers/test_forgetting.py", "test_a_move_in_flight_brings_nothing_back"),
    ),
    Mutant(
        "a key is marked as forgotten before it is removed above",
        (
            Edit(
                "tiers",
                "copied = ltm.forget(closed, begun, begun + LEASE)",
                "above = stm.remove_many(keys), im.remove_many(keys)\n"
                "copied = ltm.forget(closed, begun, begun + LEASE)",
            ),
            Edit(
                "tiers",
                "above = stm.remove_many(keys), im.remove_many(keys)",
                "",
                near="# From the top down once more",
            ),
        ),
        tests_in(
            "tiers/test_forgetting.py",
            "test_forgetting_that_is_cut_short_anywhere_lets_no_move_bring_back_what_it_removed",
        ),
    ),
    Mutant(
        "forgetting that takes longer than its lease lets nothing through",
        (
            Edit(
                "repositories/forgettings.py",
                "return moment in self._until and moment not in self",
                "return False",
            ),
        ),
        tests_in(
            "tiers/test_forgetting.py",
            "test_forgetting_that_takes_longer_than_the_lease_lets_nothing_through",
        ),
    ),
    Mutant(
        "what waited when its agent was cleared does not come back",
        (
            Edit(
                "tiers",
                "or _is_cleared(_marks(entry.key), waiting, forgotten)",
                "",
            ),
        ),
        tests_in(
            "faults/test_replays.py",
            "test_what_waited_when_its_agent_was_cleared_does_not_come_back",
        ),
    ),
    Mutant(
        "vectors that are kept follow what other processes store and forget",
        (
            Edit(
                _REDIS,
                "if seen is not None and len(records) == 1 and records[0] == seen:",
                "if seen is not None:",
            ),
        ),
        tests_in(
            "repositories/test_redis_vectors.py",
            "test_what_others_store_change_and_remove_is_heeded[embedded-40]",
        ),
    ),
    Mutant(
        "a run that was forked is refused",
        (Edit("system", "if forks:", "if len(forks) > 1:"),),
        tests_in(
            "tiers/test_forgetting.py", "test_a_run_that_was_forked_is_refused_with_its_forks_named"
        ),
    ),
    Mutant(
        "after a scrub no file holds what was forgotten",
        (Edit("connections", 'connection.execute("VACUUM")', "pass"),),
        tests_in("tiers/test_forgetting.py", "test_after_a_scrub_no_file_holds_what_was_forgotten"),
    ),
)

OF_ENTRIES: tuple[Mutant, ...] = (
    *_ACKNOWLEDGED,
    *_WHERE_AN_ENTRY_IS,
    *_CHANGES,
    *_TIME,
    *_AWAY,
    *_FORGETTING,
)
