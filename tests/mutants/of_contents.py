"""Mutants of what is promised of contents and files: bounds, damage, hostility, age."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

_BOUNDS = (
    Mutant(
        "the bound holds of numbers that are coded one at a time",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.25"),
            Edit(
                "compression",
                "sound = abs(found - value) <= self.bound_1 and abs(whole - value) <= self.bound_2",
                "sound = bool(self.bound_1)",
            ),
        ),
        tests_in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-0.0-float-1]",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds of numbers that are coded many at once",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.25"),
            Edit(
                "compression",
                "sound = np.abs(self._line(cells) - values) <= self.bound_1",
                "sound = np.ones(len(values), np.bool_)",
            ),
            Edit("compression", "sound &= np.abs(wholes - values) <= self.bound_2", ""),
        ),
        tests_in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[many_at_once-narrow-0.0-float-1]",
            "test_no_number_leaves_its_bound[many_at_once-narrow-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds of many numbers in one entry",
        (
            Edit("compression", "_SLACK = 1 - 2**-20", "_SLACK = 1.25"),
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
        tests_in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-wide-0.0-float-1]",
            "test_no_number_leaves_its_bound[one_at_a_time-wide-0.0-float-2]",
        ),
    ),
    Mutant(
        "the bound holds where floats have gaps, one at a time",
        (
            Edit(
                "compression",
                "sound = abs(found - value) <= self.bound_1 and abs(whole - value) <= self.bound_2",
                "sound = abs(whole - value) <= self.bound_2",
            ),
        ),
        tests_in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[one_at_a_time-narrow-100000000000000.0-float-1]",
        ),
    ),
    Mutant(
        "the bound holds where floats have gaps, many at once",
        (
            Edit(
                "compression",
                "sound = np.abs(self._line(cells) - values) <= self.bound_1",
                "sound = np.ones(len(values), np.bool_)",
            ),
        ),
        tests_in(
            "compression/test_bounds.py",
            "test_no_number_leaves_its_bound[many_at_once-narrow-100000000000000.0-float-1]",
        ),
    ),
    Mutant(
        "a number comes back within what was learned, one at a time",
        (Edit("compression", "return min(max(value, self.low), self.high)", "return value"),),
        tests_in("compression/test_learned_range.py", "test_cosines_come_back_as_cosines"),
    ),
    Mutant(
        "a number comes back within what was learned, many at once",
        (
            Edit(
                "compression",
                "np.minimum(np.maximum(self._line(coarse * self.ratio), self.low), self.high)",
                "self._line(coarse * self.ratio)",
            ),
        ),
        tests_in("compression/test_learned_range.py", "test_cosines_come_back_as_cosines"),
    ),
    Mutant(
        "training makes no row larger",
        (
            Edit(
                "compression",
                "return exact if len(exact) <= len(coded.stored) else coded.stored",
                "return coded.stored",
            ),
        ),
        tests_in(
            "compression/test_rows.py",
            "test_no_row_is_larger_once_a_code_is_fitted[growing_dict-2]",
        ),
    ),
    Mutant(
        "contents that are coded again keep their numbers",
        (
            Edit(
                "compression",
                "return isinstance(contents, CodedContents) and contents.level == _level_of(asked)",
                "return bool(asked.level < 0) and contents is not None",
            ),
        ),
        tests_in(
            "system/test_code_versions.py",
            "test_contents_beside_vectors_are_read_whatever_vectors_they_get",
        ),
    ),
)

_DAMAGE = (
    Mutant(
        "no flipped bit of contents is taken for another value",
        (
            Edit(
                "values",
                "if zlib.crc32(stored) != _CRC_OF_SEALED or len(stored) <= SEAL_BYTES:",
                "if len(stored) < SEAL_BYTES:",
            ),
        ),
        tests_in(
            "values/test_sealing.py",
            "test_no_flipped_bit_of_stored_contents_is_taken_for_another_value",
        ),
    ),
    Mutant(
        "what cannot be read is kept with its bytes",
        (
            Edit(
                "tiers",
                "stored = msgpack.packb(dict(kept.stored), use_bin_type=True)",
                "stored = msgpack.packb(dict.fromkeys(kept.stored), use_bin_type=True)",
            ),
        ),
        tests_in(
            "system/test_check.py",
            "test_what_cannot_be_read_is_set_aside_with_its_bytes_and_the_agent_goes_on",
        ),
    ),
    Mutant(
        "a backup that is damaged is refused",
        (Edit("system/backups", "if digest != tail[len(_MAGIC) :]:", "if not digest:"),),
        tests_in(
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
        tests_in(
            "system/test_check.py", "test_an_entry_in_two_tiers_is_settled_the_newer_copy_staying"
        ),
    ),
)

_HOSTILE_INPUT = (
    Mutant(
        "contents without end are refused in bounded memory",
        (Edit("values", "left -= weight + len(parts)", "left -= weight"),),
        tests_in(
            # Of that which has no end a test of hostile values would not end either.
            "values/test_extent.py",
            "test_lists_that_share_their_parts_count_each_time_they_are_met",
        ),
    ),
    Mutant(
        "squeezed contents that claim gigabytes are refused before they are taken",
        (Edit("compression", "if not 0 <= size <= most:", "if not 0 <= size:"),),
        tests_in(
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
        tests_in(
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
        tests_in(
            "connections/test_embedded.py", "test_runtime_directory_open_to_others_is_refused"
        ),
    ),
    Mutant(
        "a backup is looked at before anything of it is restored",
        (
            Edit(
                "system/memory_system.py",
                "validate(saved, whole_config(config).max_entry_bytes)",
                "whole_config(config)",
            ),
        ),
        tests_in(
            "system/test_hostile_backups.py",
            "test_a_backup_that_is_refused_leaves_nothing_behind",
        ),
    ),
    Mutant(
        "what a memory makes is its user's alone",
        (Edit("values/files.py", "os.O_EXCL, 0o600", "os.O_EXCL, 0o666"),),
        tests_in(
            "system/test_secrets.py",
            "test_every_file_that_a_memory_makes_is_its_users_alone_whatever_the_umask",
        ),
    ),
    Mutant(
        "a dumped configuration shows no password",
        (
            Edit(
                "values/secrets.py",
                "return shown if info.mode",
                "return url if info.mode",
            ),
        ),
        tests_in(
            "system/test_secrets.py",
            "test_a_dumped_configuration_shows_no_password_and_is_taken_back",
        ),
    ),
    Mutant(
        "no password shows in an error",
        (
            Edit(
                "connections",
                "raise _translated(error.orig, without_password(where)) from error",
                "raise _translated(error.orig, where) from error",
            ),
            Edit(
                "connections",
                "return without_password(engine.url.render_as_string(hide_password=True))",
                "return engine.url.render_as_string(hide_password=False)",
            ),
        ),
        tests_in("system/test_secrets.py", "test_a_url_that_fails_shows_no_secret"),
    ),
    Mutant(
        "a folder that a memory makes is its user's alone",
        (
            Edit(
                "connections/sql_files.py",
                "folder.mkdir(mode=0o700, parents=True, exist_ok=True)",
                "folder.mkdir(parents=True, exist_ok=True)",
            ),
        ),
        tests_in("system/test_secrets.py", "test_processes_that_are_started_carry_no_secret"),
    ),
)

_OLD_DATA = (
    Mutant(
        "a downgrade that would drop entries is refused",
        (Edit("connections", "if lost:", "if len(lost) > 100:"),),
        tests_in(
            "migrations/test_later_revision.py",
            "test_a_downgrade_to_nothing_is_refused_while_anything_is_kept",
        ),
    ),
    Mutant(
        "a migration is one transaction",
        (
            Edit(
                "connections",
                "yield connection",
                "yield connection.execution_options(isolation_level='AUTOCOMMIT')",
                near="pg_advisory_xact_lock(6281127)",
            ),
        ),
        tests_in(
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
                "embeddings",
                "if other.r2 < one.r2 - _SLACK or other.recall < one.recall - _SLACK:",
                "if other.r2 < -one.r2:",
            ),
        ),
        tests_in(
            "embeddings/test_training.py", "test_what_is_kept_is_never_below_pca_at_any_width"
        ),
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
        tests_in(
            "embeddings/test_ranking.py",
            "test_a_number_before_vectors_makes_long_ones_compare_by_direction_and_length",
        ),
    ),
    Mutant(
        "a vector of any finite numbers is carried down",
        (Edit("embeddings", "if spilled.any():", "if spilled.all() and not spilled.any():"),),
        tests_in(
            "embeddings/test_large_vectors.py",
            "test_an_entry_with_a_large_vector_moves_down_like_all_others",
        ),
    ),
)

OF_CONTENTS: tuple[Mutant, ...] = (
    *_BOUNDS,
    *_DAMAGE,
    *_HOSTILE_INPUT,
    *_OLD_DATA,
    *_TRAINING,
)
