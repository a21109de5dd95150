"""How far a decoded number may be from the original, by path."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent_memory.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far numbers of a path may be off.

    Attributes:
        level_1: At level 1; 0: exact.
        level_2: At level 2; 0: exact.
        relative: Whether both are shares of the range of the values that the code was fitted on,
            and not in their own unit.

    Raises:
        ConfigError: A number has no meaning, or level 1 is looser than level 2.
    """

    level_1: float = 0.001
    level_2: float = 0.01
    relative: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        both = self.level_1, self.level_2
        if not all(math.isfinite(one) and one >= 0.0 for one in both):
            raise ConfigError(f"tolerances: {both} must be 0 or more, and finite")
        if self.level_1 > self.level_2:
            raise ConfigError(
                f"tolerances: level 1 ({self.level_1}) must not be looser than level 2 "
                f"({self.level_2})"
            )

    def within(self, extent: float) -> tuple[float, float]:
        """The two in the values' own unit, for values that extend over so much."""
        times = extent if self.relative else 1.0
        return self.level_1 * times, self.level_2 * times


DEFAULT = Tolerance()
"""0.1 % of the observed range at level 1, 1 % at level 2."""

EXACT = Tolerance(0.0, 0.0)
"""Nothing may be off."""
