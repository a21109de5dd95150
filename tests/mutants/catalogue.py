"""The mutants: each breaks a promise of docs/guarantees.md in a way that is easily overlooked."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

_REDIS = "repositories/redis"
_SQL = "repositories/sql"
_CONTRACT = "repositories/test_repositories.py"


def _in(file: str, *names: str) -> tuple[str, ...]:
    """Tests of a file, as pytest takes them."""
    return tuple(f"tests/{file}::{name}" for name in names)


_ACKNOWLEDGED = (
    Mutant(
        "what the spool acknowledges is on disk",
        (Edit("tiers/spool.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"),),
        _in("tiers/test_spool.py", "test_what_is_put_is_on_disk_before_it_is_acknowledged"),
    ),
    Mutant(
        "what long-term memory acknowledges is on disk",
        (Edit("connections/sql.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),),
        _in("connections/test_sql.py", "test_commits_are_on_disk_and_foreign_keys_hold"),
    ),
    Mutant(
        "the embedded server keeps what it holds in a file",
        (Edit("connections/embedded", '"appendonly": "yes"', '"appendonly": "no"'),),
        _in(
            "faults/test_embedded.py",
            "test_kill_loses_nothing_acknowledged_and_ensure_running_heals",
        ),
    ),
    Mutant(
        "the keeper syncs what was appended",
        (Edit("connections/embedded/keeper.py", "_sync_file(appended.fileno())", "pass"),),
        _in(
            "connections/test_embedded.py",
            "test_keeper_syncs_each_appended_file_once_for_each_growth",
        ),
    ),
    Mutant(
        "the stronger durability wins",
        (Edit("connections/embedded", "CONFIG SET appendfsync always", "PING"),),
        _in("faults/test_embedded.py", "test_stronger_durability_wins_and_outlives_a_kill"),
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
        _in(_CONTRACT, "TestShortTerm::test_a_newer_copy_takes_its_new_place_in_every_order"),
    ),
)

_WHERE_AN_ENTRY_IS = (
    Mutant(
        "a move between the tiers of a server heeds the revision",
        (Edit(_REDIS, "$each.revision ~= $old.revision or", ""),),
        _in(
            _CONTRACT,
            "TestShortTerm::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move between the tiers of a server heeds retrievals",
        (Edit(_REDIS, "or $each.retrieval_count ~= $old.retrieval_count then", "then"),),
        _in(
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
        _in(
            _CONTRACT,
            "TestIntermediate::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move writes below before it removes above",
        (
            Edit(
                "tiers",
                "outcome = destination.take_over(copies, read_at)",
                "removed = source.remove_copied(copies)\n"
                "destination.take_over(copies, read_at)\n"
                "return removed",
            ),
        ),
        _in(
            "faults/test_kills.py",
            "test_a_kill_between_any_two_io_steps_loses_and_leaves_nothing[program-store]",
        ),
    ),
    Mutant(
        "a move that a crash cut short is settled",
        (Edit("tiers", "source.moves.open()", "[]"),),
        _in(
            "tiers/test_pinning.py",
            "test_a_copy_below_that_a_crash_left_of_an_entry_that_was_pinned_since_is_settled",
        ),
    ),
    Mutant(
        "a copy below does not answer for what has changed above",
        (Edit("retrieval", "above.moves.open()", "[]"),),
        _in(
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
        _in(
            "system/test_reencoding.py",
            "test_an_entry_stored_anew_while_it_is_reencoded_keeps_its_own_vector",
        ),
    ),
    Mutant(
        "a damaged entry keeps no other from moving",
        (Edit("repositories/upkeep.py", "tell_unreadable(error)\nreturn []", "raise"),),
        _in(
            "system/test_system.py",
            "test_a_damaged_entry_keeps_neither_the_memory_from_opening_nor_others_from_moving",
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
        _in(
            _CONTRACT,
            "TestShortTerm::test_replacing_another_revision_is_a_conflict_and_the_stored_stays",
        ),
    ),
    Mutant(
        "a change in SQL replaces the revision that was read alone",
        (Edit(_SQL, "table.c.revision == entry.revision,", ""),),
        _in(
            _CONTRACT,
            "TestLongTerm::test_replacing_another_revision_is_a_conflict_and_the_stored_stays",
        ),
    ),
    Mutant(
        "a change that another was faster than is made again on top of it",
        (
            Edit(
                "system/updates.py",
                "except EntryConflict:\n                continue",
                "except EntryConflict:\n                return found[0].entry",
            ),
        ),
        _in(
            "system/test_updates.py",
            "test_a_change_that_another_made_first_is_made_again_on_top_of_it",
        ),
    ),
    Mutant(
        "a limit moves no pinned entry",
        (
            Edit(
                "tiers/demotion.py",
                "Query(run_id=run_id, agent_id=agent_id, limit=count, pinned=False)",
                "Query(run_id=run_id, agent_id=agent_id, limit=count)",
            ),
        ),
        _in(
            "tiers/test_pinning.py",
            "test_over_a_limit_the_others_leave_and_the_pinned_stay_in_their_tiers",
        ),
    ),
    Mutant(
        "an age moves no pinned entry",
        (
            Edit(
                "tiers/ageing.py",
                "asked = Query(run_id=run_id, agent_id=agent_id, pinned=False)",
                "asked = Query(run_id=run_id, agent_id=agent_id)",
            ),
        ),
        _in("tiers/test_pinning.py", "test_age_in_steps_moves_no_pinned_entry"),
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
        _in(
            "tiers/test_pinning.py",
            "test_an_entry_that_is_pinned_at_the_moment_it_would_be_dropped_stays",
        ),
    ),
)

_BOUNDS = (
    Mutant(
        "the bound holds of numbers that are coded one at a time",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.1"),
            Edit(
                "compression", "near = abs(self.value(cell) - value) <= self.bound_1", "near = True"
            ),
            Edit(
                "compression",
                "return cell if near and abs(self.value(whole) - value) <= self.bound_2 else None",
                "return cell if near and whole is not None else None",
            ),
        ),
        _in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-0.0-float-1]",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds of numbers that are coded many at once",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.1"),
            Edit("compression", "sound &= np.abs(self.values(cells) - values) <= self.bound_1", ""),
            Edit(
                "compression",
                "sound &= np.abs(self.values(coarse * self.ratio) - values) <= self.bound_2",
                "",
            ),
        ),
        _in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[many_at_once-narrow-0.0-float-1]",
            "test_no_number_leaves_its_bound[many_at_once-narrow-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds of many numbers in one entry",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.1"),
            Edit(
                "compression",
                "sound = np.abs(self._origin + places * self._fine - given) <= self._bound_1",
                "sound = np.ones(len(given), np.bool_)",
            ),
            Edit(
                "compression",
                "sound &= np.abs(self._origin + whole * self._fine - given) <= self._bound_2",
                "",
            ),
        ),
        _in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-wide-0.0-float-1]",
            "test_no_number_leaves_its_bound[one_at_a_time-wide-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds where floats have gaps, one at a time",
        (
            Edit(
                "compression", "near = abs(self.value(cell) - value) <= self.bound_1", "near = True"
            ),
        ),
        _in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-100000000000000.0-float-1]",
        ),
    ),
    Mutant(
        "the bound holds where floats have gaps, many at once",
        (Edit("compression", "sound &= np.abs(self.values(cells) - values) <= self.bound_1", ""),),
        _in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[many_at_once-narrow-100000000000000.0-float-1]",
        ),
    ),
)

_TIME = (
    Mutant(
        "no entry expires unmoved",
        (
            Edit(
                _REDIS,
                "{_lines(_indexing())}",
                "{_lines(_indexing())}\nredis.call('EXPIRE', key, 10000000)",
            ),
        ),
        _in("tiers/test_ageing.py", "test_entries_of_idle_agents_move_on_and_none_expires"),
    ),
    Mutant(
        "an entry leaves when it is over its age",
        (Edit("tiers/ageing.py", "moment.now - self.seconds", "moment.now - 2 * self.seconds"),),
        _in(
            "tiers/test_consolidation.py",
            "test_an_entry_over_its_age_in_seconds_moves_and_one_at_its_age_stays",
        ),
    ),
    Mutant(
        "a clock that is set back leaves no entry stuck",
        (
            Edit(
                "tiers/ageing.py",
                "if ahead is not None and horizon is not None and ahead.since < moment.now:",
                "if ahead is not None and horizon is not None and ahead.since > moment.now:",
            ),
        ),
        _in(
            "tiers/test_ageing.py",
            "test_a_clock_that_is_set_back_loses_doubles_and_hurries_nothing_and_nothing_is_stuck",
        ),
    ),
    Mutant(
        "no question shows an entry that is due to be dropped",
        (Edit("tiers/expiry.py", "if first_time > -math.inf:", "if first_time > math.inf:"),),
        _in(
            "tiers/test_expiry.py",
            "test_no_question_shows_an_entry_over_its_age_before_it_is_dropped",
        ),
    ),
    Mutant(
        "redis_max_bytes is kept under load",
        (
            Edit(
                "tiers/budget.py",
                "self.is_short = used > self.bound * (_GOAL if self.is_short else 1)",
                "self.is_short = used > 2 * self.bound",
            ),
        ),
        _in(
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
                "tiers/spool.py",
                "ORDER BY number LIMIT ?",
                "ORDER BY number DESC LIMIT ?",
                near="AND refused IS NULL",
            ),
        ),
        _in(
            "faults/test_outages.py",
            "test_what_waits_is_stored_in_slices_and_what_comes_waits_behind_it",
        ),
    ),
    Mutant(
        "what waits is in the spool until it is stored",
        (
            Edit(
                "tiers/intake.py",
                "refused = self._add(spool, fresh)\nspool.done(readable.keys() - refused)",
                "spool.done(readable.keys())\nself._add(spool, fresh)",
            ),
        ),
        _in("faults/test_outages.py", "test_killing_the_process_that_replays_loses_nothing"),
    ),
    Mutant(
        "what waited and is in a tier already is left where it is",
        (
            Edit(
                "tiers/intake.py",
                "self._stale(readable) | self._present(readable)",
                "self._stale(readable)",
            ),
        ),
        _in(
            "faults/test_outages.py",
            "test_an_entry_that_is_replayed_twice_is_one_entry_wherever_it_is_by_now",
        ),
    ),
    Mutant(
        "one process replays at a time",
        (Edit("tiers/spool.py", "yield False\nreturn", "pass"),),
        _in("tiers/test_spool.py", "test_one_process_replays_at_a_time"),
    ),
    Mutant(
        "a full spool refuses",
        (
            Edit(
                "tiers/spool.py",
                'connection.execute(f"PRAGMA max_page_count={pages}")',
                'connection.execute(f"PRAGMA max_page_count={100 * pages}")',
            ),
        ),
        _in(
            "faults/test_outages.py",
            "test_a_full_spool_answers_false_is_logged_once_and_loses_nothing_it_took",
        ),
    ),
    Mutant(
        "a server that takes no writes is as good as away",
        (Edit("connections/redis", "(OOM|MISCONF|READONLY|", "(OOM|READONLY|"),),
        _in("faults/test_outages.py", "test_a_server_that_takes_no_writes_is_as_good_as_away"),
    ),
)

_FORGETTING = (
    Mutant(
        "what was forgotten is refused by long-term memory",
        (Edit(_SQL, "return Added.FORGOTTEN", "return None"),),
        _in(_CONTRACT, "TestLongTerm::test_what_was_forgotten_is_refused_by_every_later_add"),
    ),
    Mutant(
        "no move that was in flight brings back what was forgotten",
        (Edit(_SQL, "read_at <= released_at", "read_at < 0.0"),),
        _in("tiers/test_forgetting.py", "test_a_move_in_flight_brings_nothing_back"),
    ),
    Mutant(
        "a key is marked as forgotten before it is removed above",
        (
            Edit(
                "tiers/forgetting.py",
                "copied = ltm.forget(keys, begun, begun + LEASE)",
                "above = stm.remove_many(keys), im.remove_many(keys)\n"
                "copied = ltm.forget(keys, begun, begun + LEASE)",
            ),
            Edit(
                "tiers/forgetting.py",
                "above = stm.remove_many(keys), im.remove_many(keys)",
                "",
                near="# From the top down once more",
            ),
        ),
        _in(
            "tiers/test_forgetting.py",
            "test_forgetting_that_is_cut_short_anywhere_lets_no_move_bring_back_what_it_removed",
        ),
    ),
    Mutant(
        "forgetting that takes longer than its lease lets nothing through",
        (
            Edit(
                "tiers/forgetting.py",
                "if clock() - begun > LEASE / 2:",
                "if clock() - begun > 2 * LEASE:",
            ),
        ),
        _in(
            "tiers/test_forgetting.py",
            "test_forgetting_that_takes_longer_than_the_lease_lets_nothing_through",
        ),
    ),
    Mutant(
        "what waited when its agent was cleared does not come back",
        (
            Edit(
                "tiers/intake.py",
                "or _is_cleared(_marks(entry.key), waiting.spooled_at, forgotten)",
                "",
            ),
        ),
        _in(
            "faults/test_outages.py",
            "test_what_waited_when_its_agent_was_cleared_does_not_come_back",
        ),
    ),
    Mutant(
        "other processes find nothing by the vectors they keep",
        (
            Edit(
                _REDIS,
                "if seen is not None and len(records) == 1 and records[0] == seen:",
                "if seen is not None:",
            ),
        ),
        _in(
            "tiers/test_forgetting.py",
            "test_other_openings_of_the_memory_find_nothing_by_vectors_they_have_kept[embedded]",
        ),
    ),
    Mutant(
        "a run that was forked is refused",
        (Edit("system/erasure.py", "if forks:", "if len(forks) > 1:"),),
        _in(
            "tiers/test_forgetting.py", "test_a_run_that_was_forked_is_refused_with_its_forks_named"
        ),
    ),
    Mutant(
        "after a scrub no file holds what was forgotten",
        (Edit("tiers/spool.py", 'self._connection.execute("VACUUM")', "pass"),),
        _in("tiers/test_forgetting.py", "test_after_a_scrub_no_file_holds_what_was_forgotten"),
    ),
)

_DAMAGE = (
    Mutant(
        "no flipped bit of contents is taken for another value",
        (
            Edit(
                "values/sealing.py",
                'if zlib.crc32(marked).to_bytes(SEAL_BYTES, "little") != stored[-SEAL_BYTES:]:',
                "if len(stored) < SEAL_BYTES:",
            ),
        ),
        _in(
            "values/test_sealing.py",
            "test_no_flipped_bit_of_stored_contents_is_taken_for_another_value",
        ),
    ),
    Mutant(
        "what cannot be read is kept with its bytes",
        (
            Edit(
                "system/checking",
                "stored = msgpack.packb(dict(kept.stored), use_bin_type=True)",
                "stored = msgpack.packb(dict.fromkeys(kept.stored), use_bin_type=True)",
            ),
        ),
        _in(
            "system/test_check.py",
            "test_what_cannot_be_read_is_set_aside_with_its_bytes_and_the_agent_goes_on",
        ),
    ),
    Mutant(
        "a backup that is damaged is refused",
        (Edit("system/backups", "if digest != tail[len(_MAGIC) :]:", "if not digest:"),),
        _in(
            "system/test_backups.py",
            "test_a_backup_that_is_cut_off_or_damaged_is_refused_before_anything_is_written",
        ),
    ),
    Mutant(
        "what stands in two tiers is settled, the newer copy staying",
        (
            Edit(
                "system/checking",
                "tier = one.lower if upper > lower else one.upper",
                "tier = one.upper",
            ),
        ),
        _in("system/test_check.py", "test_an_entry_in_two_tiers_is_settled_the_newer_copy_staying"),
    ),
)

_HOSTILE_INPUT = (
    Mutant(
        "contents without end are refused in bounded memory",
        (Edit("values", "left -= weight + len(parts)", "left -= weight"),),
        _in(
            "values/test_hostile_values.py",
            "test_what_cannot_be_stored_is_refused_in_bounded_memory_and_leaves_nothing",
        ),
    ),
    Mutant(
        "squeezed contents that claim gigabytes are refused before they are taken",
        (Edit("compression/levels.py", "if not 0 <= size <= most:", "if not 0 <= size:"),),
        _in(
            "system/test_damaged_stores.py",
            "test_a_row_that_claims_gigabytes_is_refused_before_they_are_taken",
        ),
    ),
    Mutant(
        "an answer of a server is bounded",
        (
            Edit(
                "connections/redis",
                "if self._taken > (LONGEST_LINE if self._is_line else LARGEST_ANSWER):",
                "if self._taken > 1000 * LARGEST_ANSWER:",
            ),
        ),
        _in(
            "connections/test_hostile_server.py", "test_whatever_a_server_answers_is_a_typed_error"
        ),
    ),
    Mutant(
        "the embedded server's socket is in a directory of its user alone",
        (
            Edit(
                "connections/embedded",
                "mine = found.st_uid == os.geteuid() and not found.st_mode & 0o077",
                "mine = found.st_uid == os.geteuid()",
            ),
        ),
        _in("connections/test_embedded.py", "test_runtime_directory_open_to_others_is_refused"),
    ),
    Mutant(
        "no password shows in an error",
        (
            Edit(
                "connections/sql.py",
                "raise _translated(str(error.orig), without_password(where)) from error",
                "raise _translated(str(error.orig), where) from error",
            ),
        ),
        _in("system/test_secrets.py", "test_a_url_that_fails_shows_no_secret"),
    ),
    Mutant(
        "a folder that a memory makes is its user's alone",
        (
            Edit(
                "connections/sql.py",
                "folder.mkdir(mode=0o700, parents=True, exist_ok=True)",
                "folder.mkdir(parents=True, exist_ok=True)",
            ),
        ),
        _in("system/test_secrets.py", "test_processes_that_are_started_carry_no_secret"),
    ),
)

_OLD_DATA = (
    Mutant(
        "a downgrade that would drop entries is refused",
        (Edit("connections/migrating.py", "if lost:", "if len(lost) > 100:"),),
        _in(
            "migrations/test_later_revision.py",
            "test_a_downgrade_to_nothing_is_refused_while_anything_is_kept",
        ),
    ),
    Mutant(
        "a migration is one transaction",
        (
            Edit(
                "connections/migrating.py",
                "yield connection",
                "yield connection.execution_options(isolation_level='AUTOCOMMIT')",
                near="pg_advisory_xact_lock(6281127)",
            ),
        ),
        _in(
            "migrations/test_later_revision.py",
            "test_an_upgrade_killed_midway_is_completed_by_the_next",
        ),
    ),
)

_TRAINING = (
    Mutant(
        "a version that is kept is not below PCA at any width",
        (
            Edit(
                "embeddings/training.py",
                "if other.r2 < one.r2 - _SLACK or other.recall < one.recall - _SLACK:",
                "if other.r2 < -one.r2:",
            ),
        ),
        _in("embeddings/test_training.py", "test_what_is_kept_is_never_below_pca_at_any_width"),
    ),
    Mutant(
        "vectors with a constant before them are compared with it",
        (
            Edit(
                "embeddings",
                "return np.hstack([np.full((len(rows), 1), bias, rows.dtype), rows])",
                "return rows",
            ),
        ),
        _in(
            "embeddings/test_vectors_at_rest.py",
            "test_rows_of_all_codings_are_ranked_together_and_none_is_left_out",
        ),
    ),
    Mutant(
        "a vector of any finite numbers is carried down",
        (Edit("embeddings", "if spilled.any():", "if spilled.all() and not spilled.any():"),),
        _in(
            "embeddings/test_large_vectors.py",
            "test_an_entry_with_a_large_vector_moves_down_like_all_others",
        ),
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *_ACKNOWLEDGED,
    *_WHERE_AN_ENTRY_IS,
    *_CHANGES,
    *_BOUNDS,
    *_TIME,
    *_AWAY,
    *_FORGETTING,
    *_DAMAGE,
    *_HOSTILE_INPUT,
    *_OLD_DATA,
    *_TRAINING,
)
