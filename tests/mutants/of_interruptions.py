"""Mutants of what is promised of calls that an exception interrupts."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

OF_INTERRUPTIONS = (
    Mutant(
        "a request that is interrupted leaves no half-read answer",
        (
            Edit(
                "connections/redis",
                "connection.disconnect()\nraise\n# Only here",
                "self._idle.append(connection)\nraise\n# Only here",
            ),
        ),
        tests_in(
            "faults/test_interrupts.py",
            "test_a_request_that_is_interrupted_anywhere_leaves_no_half_read_answer",
        ),
    ),
    Mutant(
        "a transaction that is interrupted ends though its exception is kept",
        (Edit("connections", "pool.give_up(in_use.pop(me, ()))", "in_use.pop(me, ())"),),
        tests_in(
            "connections/test_sql_interrupted.py",
            "test_a_transaction_that_is_interrupted_anywhere_ends_though_its_traceback_is_kept",
        ),
    ),
    Mutant(
        "a question that is interrupted leaves nothing half read",
        (Edit("retrieval/agent_features.py", "if not self._is_whole:", "if False:"),),
        tests_in(
            "faults/test_interrupts.py",
            "test_a_question_near_a_state_that_is_interrupted_anywhere_keeps_no_other_from_its_answer",
        ),
    ),
)
