"""How wide the vectors of the three tiers are, and the way from one down to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent_memory.config import AutoencoderConfig
from agent_memory.errors import ConfigError, InvalidEntry


@dataclass(frozen=True, slots=True)
class Widths:
    """Numbers in the vectors of each tier.

    Args:
        stm: Of a short-term vector.
        im: Of an intermediate vector; at most as wide.
        ltm: Of a long-term vector; at most as wide as that.

    Raises:
        ConfigError: A lower tier would be wider than the one above, or none of it be left.
    """

    stm: int = 384
    im: int = 128
    ltm: int = 32

    def __post_init__(self) -> None:
        whole = all(type(width) is int for width in self)
        # Two, because a fitted vector may begin with a constant.
        if not whole or not 65_536 >= self.stm >= self.im >= self.ltm >= 2:
            raise ConfigError(
                f"stm_dim, im_dim and ltm_dim: {self.stm}, {self.im}, {self.ltm} must be whole, "
                "from 65536 down to 2, and none above the one before"
            )

    def __iter__(self) -> Iterator[int]:
        return iter((self.stm, self.im, self.ltm))

    @classmethod
    def of(cls, config: AutoencoderConfig) -> Widths:
        """The widths that a configuration asks for."""
        return cls(config.stm_dim, config.im_dim, config.ltm_dim)

    @property
    def code(self) -> int:
        """The numbers of a fitted code: all of a long-term vector.

        Where an intermediate vector is no wider its constant is one of them.
        """
        return self.ltm if self.im > self.ltm else self.ltm - 1

    def at(self, level: int) -> int:
        """The width at a level: 0 is short-term, 1 intermediate, 2 long-term."""
        if level not in (0, 1, 2):
            raise InvalidEntry(f"level: 0, 1 or 2 is needed, not {level!r}")
        return (self.stm, self.im, self.ltm)[level]

    def level(self, width: int) -> int:
        """The lowest level of vectors as wide as that.

        Raises:
            InvalidEntry: There is no such level.
        """
        levels = [level for level in (2, 1, 0) if self.at(level) == width]
        if not levels:
            raise InvalidEntry(
                f"vector: {width} numbers; vectors of this encoder have "
                f"{self.stm}, {self.im} or {self.ltm}"
            )
        return levels[0]

    def steps(self, source: int, target: int) -> tuple[int, ...]:
        """The widths to pass through from one tier's to that of a lower one.

        Raises:
            InvalidEntry: One of them is no tier's width, or the way leads up.
        """
        self.level(source)
        self.level(target)
        if target > source:
            raise InvalidEntry(f"vector: {source} numbers cannot be carried up to {target}")
        return tuple(
            width for width in sorted({self.im, self.ltm}, reverse=True) if target <= width < source
        )
