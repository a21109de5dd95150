"""The mutants: each breaks a promise of docs/guarantees.md in a way that is easily overlooked."""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.of_contents import OF_CONTENTS
from tests.mutants.of_entries import OF_ENTRIES

MUTANTS: tuple[Mutant, ...] = OF_ENTRIES + OF_CONTENTS
