"""Mutants of what is promised of memories on a Redis Cluster."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, tests_in

_BUCKETS = "repositories/test_bucket_storing.py"

OF_CLUSTERS = (
    Mutant(
        "what another declares ends the transactions of buckets",
        (
            Edit(
                "repositories/redis",
                'packed_command(("WATCH", *keys)) +',
                'packed_command(("WATCH", "nothing")) +',
            ),
        ),
        tests_in(_BUCKETS, "test_what_another_declares_behind_the_guard_is_indexed"),
    ),
    Mutant(
        "what is stored with no guard does not pass for stored",
        (Edit("repositories/redis", 'if watched != b"OK" or guarded != 1', "if False"),),
        tests_in(_BUCKETS, "test_what_was_stored_with_no_guard_is_stored_again_by_the_scripts"),
    ),
    Mutant(
        "a command that is sent on takes its script along",
        (Edit("connections/redis", "[*loads, *some, *waits]", "[*some, *waits]"),),
        tests_in(
            "faults/test_clusters.py",
            "test_a_slot_that_moves_in_mid_run_takes_its_entries_with_it",
        ),
    ),
)
