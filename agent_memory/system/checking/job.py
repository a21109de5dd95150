"""What all parts of a check share: what is open, what was found so far, and whether to mend."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_memory.errors import StoreUnavailable
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.quarantine import Quarantine, Quarantined
from agent_memory.values.check_report import MOST_FINDINGS, CheckReport, Finding, Kind
from agent_memory.values.progress import Progress

REPAIR = "agent-memory check --repair"
"""The command that mends what can be mended."""
UPGRADE = "pip install --upgrade agent-memory"
"""The command after which what a newer version stored can be read."""


class _LookedAt(dict[str, int]):
    """How many were looked at, by what they are; what was "set aside" is "quarantined" now."""

    def __missing__(self, what: str) -> int:
        if what != "set aside":
            raise KeyError(what)
        warnings.warn(
            "CheckReport.looked_at['set aside'] is deprecated; use 'quarantined'",
            DeprecationWarning,
            stacklevel=2,
        )
        return self["quarantined"]


@dataclass
class Findings:
    """What was found so far; counts all, and keeps so many as a report lists."""

    listed: list[Finding] = field(default_factory=list)
    found: Counter[Kind] = field(default_factory=Counter)
    looked_at: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)
    left: int = 0

    def add(
        self, kind: Kind, place: str, means: str, by_hand: str = "", *, repaired: bool = False
    ) -> None:
        """Note a finding; see ``Finding``."""
        self.found[kind] += 1
        self.left += not repaired
        if len(self.listed) < MOST_FINDINGS:
            self.listed.append(Finding(kind, place, means, by_hand, repaired))

    def report(self) -> CheckReport:
        """All of it, as a value."""
        return CheckReport(
            _LookedAt(self.looked_at),
            tuple(self.listed),
            dict(self.found),
            self.left,
            tuple(self.unfinished),
        )


@dataclass(frozen=True)
class Job:
    """A check of one memory.

    Attributes:
        tiers: The repositories, richest tier first.
        clock: Gives the time in seconds since 1970.
        repair: Whether to mend what is found.
        quarantine: Where what cannot be read is kept; None: nowhere, and it stays where it is.
        progress: Called with each batch; None: nobody is.
        findings: What was found so far.
    """

    tiers: Tiers
    clock: Callable[[], float]
    repair: bool
    quarantine: Quarantine | None
    progress: Progress | None = None
    findings: Findings = field(default_factory=Findings)

    def looked(self, what: str, count: int) -> None:
        """Note that so many more were looked at."""
        self.findings.looked_at[what] += count
        if self.progress is not None and count:
            self.progress(what, self.findings.looked_at[what])

    def keep(self, place: str, why: str, stored: Mapping[str, Any]) -> bool:
        """Quarantine a copy of what is damaged; False if there is no place for it."""
        if not self.repair or self.quarantine is None:
            return False
        try:
            self.quarantine.put(Quarantined(place, why, self.clock(), stored))
        except StoreUnavailable as error:
            self.findings.unfinished.append(str(error))
            return False
        return True

    @property
    def quarantine_place(self) -> str:
        """Where such copies are, for messages."""
        return "nowhere" if self.quarantine is None else str(self.quarantine.file)
