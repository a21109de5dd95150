"""The mutants: one for a promise of docs/guarantees.md, each an edit that nobody would notice."""

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
        (
            Edit(
                "connections/sql.py",
                "PRAGMA synchronous=FULL",
                "PRAGMA synchronous=NORMAL",
            ),
        ),
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
                "append(coming, prefix .. 'importance', ARGV[i + 6], id)",
                "if ARGV[i + 11] == '0' then "
                "append(coming, prefix .. 'importance', ARGV[i + 6], id) end",
            ),
        ),
        _in(_CONTRACT, "TestShortTerm::test_a_newer_copy_takes_its_new_place_in_every_order"),
    ),
)

_WHERE_AN_ENTRY_IS = (
    Mutant(
        "a move between the tiers of a server heeds the revision",
        (
            Edit(
                _REDIS,
                "elseif ARGV[i + 11] ~= old[1] or ARGV[i + 8] ~= old[2] then",
                "elseif ARGV[i + 8] ~= old[2] then",
            ),
        ),
        _in(
            _CONTRACT,
            "TestShortTerm::test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call",
        ),
    ),
    Mutant(
        "a move between the tiers of a server heeds retrievals",
        (
            Edit(
                _REDIS,
                "elseif ARGV[i + 11] ~= old[1] or ARGV[i + 8] ~= old[2] then",
                "elseif ARGV[i + 11] ~= old[1] then",
            ),
        ),
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
                "elseif (ARGV[i + 1] ~= '' and ARGV[i + 1] ~= old[1])",
                "elseif (ARGV[i + 1] ~= '' and ARGV[i + 1] > old[1])",
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
                "",
                "outcome = destination.take_over(copies, read_at)",
                "removed = self.remove_copied(copies)\n"
                "outcome = destination.take_over(copies, read_at)\n"
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
        (Edit("tiers/demotion.py", "moves, moved = self.source.open_moves(), 0", "return 0"),),
        _in(
            "tiers/test_pinning.py",
            "test_a_copy_below_that_a_crash_left_of_an_entry_that_was_pinned_since_is_settled",
        ),
    ),
    Mutant(
        "a copy below does not answer for what has changed above",
        (
            Edit(
                "retrieval/recall.py",
                "if keys and above.open_moves():",
                "if not keys and above.open_moves():",
            ),
        ),
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
                "stored = (old[1] or '') == ARGV[i + 4] and (old[2] or '') == ARGV[i + 5]",
                "stored = true",
            ),
        ),
        _in(
            "system/test_reencoding.py",
            "test_an_entry_stored_anew_while_it_is_reencoded_keeps_its_own_vector",
        ),
    ),
)

MUTANTS: tuple[Mutant, ...] = _ACKNOWLEDGED + _WHERE_AN_ENTRY_IS
