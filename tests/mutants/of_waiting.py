"""Mutants of what waits in the spool, and of the order of what is forgotten."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

_WAITING, _ORDER = "tiers/test_waiting.py", "tiers/test_forgetting_order.py"

OF_WAITING = (
    Mutant(
        "questions are answered with what waits",
        (
            Edit(
                "system",
                "top = ReaderWithWaiting(top, intake.waiting, partial(shown, above))",
                "pass",
            ),
        ),
        tests_in(
            _WAITING,
            "test_every_question_is_answered_with_what_waits_as_once_it_is_stored[wall-embedded]",
        ),
    ),
    Mutant(
        "what waits is seen to have changed whoever changed it",
        (Edit("tiers", 'pragma(connection, "data_version"),', "0,"),),
        tests_in(
            "tiers/test_spool.py", "test_what_waits_is_known_to_have_changed_whoever_changed_it"
        ),
    ),
    Mutant(
        "what a batch has gathered is answered though it comes to wait",
        (Edit("tiers", "self.before()\n        version", "version"),),
        tests_in(
            _WAITING,
            "test_what_a_batch_has_gathered_is_answered_though_it_comes_to_wait[embedded]",
        ),
    ),
    Mutant(
        "a memory is opened with the widths it was made with",
        (Edit("connections", "if wanted != given:", "if False:"),),
        tests_in(
            "system/test_recorded_settings.py",
            "test_a_memory_is_opened_with_the_widths_it_was_made_with[embedded]",
        ),
    ),
    Mutant(
        "an episode that waits is the newest",
        (Edit("tiers", "self._newest(run_id, agent_id) if self._by_steps else None", "None"),),
        tests_in(
            _WAITING,
            "test_an_episode_that_waits_is_the_newest_though_its_steps_are_counted_anew[embedded]",
        ),
    ),
    Mutant(
        "what is spooled after a forgetting stays whatever the clock says",
        (
            Edit(
                "tiers",
                "if last is not None and (last.is_sure or moment <= last.moment):",
                "if last is None:",
            ),
        ),
        tests_in(
            _ORDER,
            "test_what_is_spooled_after_a_forgetting_stays_though_the_clock_was_set_back[embedded]",
        ),
    ),
    Mutant(
        "moments of forgetting grow whatever the clock says",
        (Edit("repositories", "return max(at, math.nextafter(last, math.inf))", "return at"),),
        tests_in(
            "repositories/test_repositories.py",
            "TestLongTerm::test_moments_of_forgetting_grow_whatever_the_clock_says",
        ),
    ),
    Mutant(
        "a roll-back reaches what waits in the spools of other machines",
        (Edit("system", "self._tiers[2].roll_back(self._run_id, step, begun)", "pass"),),
        tests_in(
            _ORDER,
            "test_a_forgetting_reaches_what_waits_on_another_machine_and_no_new_life[embedded]",
        ),
    ),
    Mutant(
        "pages skip none of several entries of one number",
        (Edit("models", "found += self._tied(last, size - len(found))", "pass"),),
        tests_in(
            "models/test_paging.py",
            "test_pages_hold_all_once_and_refuse_what_cannot_be_paged[valkey]",
        ),
    ),
    Mutant(
        "pages begin behind the last entry of one number",
        (
            Edit(
                "models",
                "for key in query.found_keys() if key > behind",
                "for key in query.found_keys()",
            ),
        ),
        tests_in(
            "models/test_paging.py",
            "test_pages_hold_all_once_and_refuse_what_cannot_be_paged[valkey]",
        ),
    ),
    Mutant(
        "what another process changes of what waits is seen",
        (Edit("tiers", "if version.changes != self._changes:", "if False:"),),
        tests_in(_WAITING, "test_what_another_process_changes_of_what_waits_is_seen[embedded]"),
    ),
    Mutant(
        "a change of what waits reaches the tier that has it all the same",
        (Edit("tiers", "change_in_tiers(self._tiers, there)", "pass"),),
        tests_in(
            _WAITING,
            "test_a_change_of_what_waits_reaches_the_tier_that_has_it_all_the_same[embedded]",
        ),
    ),
    Mutant(
        "a change comes on top of what was changed while its entry waited",
        (Edit("system", "self._intake.carry_change(key)", "pass"),),
        tests_in(_WAITING, "test_a_change_comes_on_top_of_those_made_while_it_waited[embedded]"),
    ),
    Mutant(
        "a replay that is killed makes no change twice",
        (Edit("tiers", "forget_changes(spool, fresh)", "pass"),),
        tests_in(
            _WAITING,
            "test_a_replay_that_is_killed_makes_no_change_of_what_waited_twice[embedded]",
        ),
    ),
)
