"""What all parts of a check share: what is open, what was found so far, and whether to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_memory.errors import StoreUnavailable
from agent_memory.system.checking.quarantine import Quarantine, SetAside
from agent_memory.system.resources import Resources
from agent_memory.values.check_report import MOST_FINDINGS, CheckReport, Finding, Kind
from agent_memory.values.progress import Progress


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
            dict(self.looked_at),
            tuple(self.listed),
            dict(self.found),
            self.left,
            tuple(self.unfinished),
        )


@dataclass(frozen=True)
class Job:
    """A check of one memory.

    Attributes:
        resources: What is open.
        repair: Whether to mend what is found.
        quarantine: Where what cannot be read is set aside; None: nowhere, and it stays.
        progress: Told of each batch; None: nobody is.
        findings: What was found so far.
    """

    resources: Resources
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
        """Set a copy of what is damaged aside; False if there is no place for it."""
        if not self.repair or self.quarantine is None:
            return False
        try:
            self.quarantine.put(SetAside(place, why, self.resources.clock(), stored))
        except StoreUnavailable as error:
            self.findings.unfinished.append(str(error))
            return False
        return True

    @property
    def aside(self) -> str:
        """Where it was set aside, for messages."""
        return "nowhere" if self.quarantine is None else str(self.quarantine.file)
