"""The mutants: each breaks a promise of docs/guarantees.md in a way that is easily overlooked."""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.of_clusters import OF_CLUSTERS
from tests.mutants.of_contents import OF_CONTENTS
from tests.mutants.of_entries import OF_ENTRIES
from tests.mutants.of_interruptions import OF_INTERRUPTIONS
from tests.mutants.of_near import OF_NEAR
from tests.mutants.of_waiting import OF_WAITING

MUTANTS: tuple[Mutant, ...] = (
    *OF_ENTRIES,
    *OF_INTERRUPTIONS,
    *OF_CONTENTS,
    *OF_WAITING,
    *OF_NEAR,
    *OF_CLUSTERS,
)
