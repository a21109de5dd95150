"""Mutants of what is promised of answers near something in long-term memory."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

_KEPT = "repositories/test_kept_vectors.py"
_BOXES = "embeddings/test_boxes.py"
_OWN = "system/test_own_vectors.py"
_TOGETHER = "retrieval/test_one_request.py"

OF_NEAR = (
    Mutant(
        "what was near is asked again where anything has changed",
        (
            Edit(
                "repositories/redis/following.py",
                "if not is_old or is_there == view.is_empty:",
                "if False:",
            ),
        ),
        tests_in(_TOGETHER, "test_what_others_change_is_seen_by_the_next_question[0-fakeredis]"),
    ),
    Mutant(
        "an entry in two tiers counts once in the units",
        (Edit("retrieval/agent_features.py", "self._leave_copies_out()", "pass"),),
        tests_in(_TOGETHER, "test_an_entry_in_two_tiers_counts_once_in_the_units[fakeredis]"),
    ),
    Mutant(
        "what a lower tier has of the same place is asked for too",
        (
            Edit(
                "repositories/redis/finding.py",
                "command[4] = redis.call('ZSCORE', command[2], ids[limit])",
                "command[4] = '(' .. redis.call('ZSCORE', command[2], ids[limit])",
            ),
        ),
        tests_in(_TOGETHER, "test_an_entry_below_comes_before_its_equals_above[fakeredis]"),
    ),
    Mutant(
        "rows that another process changes are read again",
        (
            Edit(
                "repositories/sql/marks.py",
                "return mark is not None and self._states.get(mark.source) == mark.state",
                "return mark is not None and mark.source in self._states",
            ),
        ),
        tests_in(
            _KEPT, "test_no_change_is_missed_and_none_of_the_gone_answers[sqlite_file-another]"
        ),
    ),
    Mutant(
        "rows that this process changes itself are read again",
        (
            Edit(
                "repositories/sql/marks.py",
                "Mark(source, (version, driver.total_changes))",
                "Mark(source, version)",
            ),
        ),
        tests_in(
            _KEPT, "test_no_change_is_missed_and_none_of_the_gone_answers[sqlite_file-itself]"
        ),
    ),
    Mutant(
        "a write of one's own hides no write of another process",
        (
            Edit(
                "repositories/sql/marks.py",
                "if self._states.get(before.source) == before.state:",
                "if before.source in self._states:",
            ),
        ),
        tests_in(
            _KEPT,
            "test_only_writes_that_change_an_agent_let_its_rows_be_read_again[sqlite_file-another]",
        ),
    ),
    Mutant(
        "no box is passed over that may hold something nearer",
        (
            Edit(
                "embeddings/distance.py",
                "least = squares @ weights +",
                "least = 1.2 * (squares @ weights) +",
            ),
        ),
        tests_in(_BOXES, "test_boxes_find_what_is_nearest_of_all[walk]"),
    ),
    Mutant(
        "rows that have come since are found though they are in no box",
        (
            Edit(
                "embeddings/feature_blocks.py",
                "return np.concatenate([np.flatnonzero(~boxed), later])",
                "return later",
            ),
        ),
        tests_in(_BOXES, "test_boxes_heed_rows_that_come_and_go[grid]"),
    ),
    Mutant(
        "own vectors are compared with those of their model alone",
        (
            Edit(
                "retrieval/own_vectors.py",
                "if entry.encoder_version == self._version",
                "if entry.encoder_version is not None",
            ),
            Edit(
                "retrieval/own_vectors.py",
                "is_asked = self._version is not None and version == self._version",
                "is_asked = True",
            ),
        ),
        tests_in(_OWN, "test_the_vectors_of_another_model_are_kept_apart"),
    ),
    Mutant(
        "re-encoding leaves own vectors",
        (Edit("system/learning/versions.py", "elif not replace_own:", "elif False:"),),
        tests_in(_OWN, "test_reencoding_leaves_own_vectors_and_gives_them_to_those_that_lack_one"),
    ),
    Mutant(
        "an embedder that fails in the last slice stores nothing of the first",
        (
            Edit(
                "system/bulk_storing.py",
                "slices if self._resources.config.embedder is None else self._all(slices)",
                "slices",
            ),
        ),
        tests_in(
            _OWN,
            "test_an_embedder_that_fails_stores_nothing_and_is_told_with_the_entry"
            "[raises-agent 'ant-7' at step 0: RuntimeError: no owls]",
        ),
    ),
    Mutant(
        "what a code has rounded to the same is distinguished by vectors",
        (
            Edit(
                "retrieval/near_states.py",
                "tied.sort(key=lambda one: off.get(one.key, inf))",
                "tied.sort(key=lambda one: one.owner)",
            ),
        ),
        tests_in(
            "retrieval/test_true_similarity.py",
            "test_what_a_code_has_rounded_is_found_by_what_was_stored[fakeredis]",
        ),
    ),
    Mutant(
        "what was stored before a training is rounded beside a vector of the current version",
        (
            Edit(
                "compression/levels.py",
                "if level and self._codes.current is not None:",
                "if False:",
            ),
        ),
        tests_in(
            "tiers/test_vectors_when_rounded.py", "test_only_what_is_rounded_gets_another_vector"
        ),
    ),
    Mutant(
        "vectors of a model of the user's own stay when contents are rounded",
        (
            Edit(
                "compression/lowering.py",
                "if encoder is None or self._encoders.is_own(made_by):",
                "if encoder is None:",
            ),
        ),
        tests_in(
            "tiers/test_vectors_when_rounded.py", "test_vectors_of_a_model_of_the_users_own_stay"
        ),
    ),
    Mutant(
        "rounded numbers are compared as their vectors know them",
        (
            Edit(
                "retrieval/comparing.py",
                "values[path] = Wide(rounded, number - rounded)",
                "values[path] = rounded",
            ),
        ),
        tests_in(
            "retrieval/test_true_similarity.py",
            "test_what_a_code_has_rounded_is_found_by_what_was_stored[fakeredis]",
        ),
    ),
    Mutant(
        "rounding of what is not asked about puts no entry behind others",
        (
            Edit(
                "retrieval/agent_features.py",
                "[not paths.isdisjoint(some) for some in self._bounded]",
                "[some is not self._bounded[0] for some in self._bounded]",
            ),
        ),
        tests_in(
            "retrieval/test_true_similarity.py",
            "test_what_a_code_has_rounded_is_found_by_what_was_stored[fakeredis]",
        ),
    ),
)
