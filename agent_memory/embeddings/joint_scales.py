"""The units of several tables together, as if their rows were in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.feature_blocks import Values
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import Scales, scales_of


class _Joint:
    """The columns of several tables, by path: what ``scales_of`` asks of one table."""

    def __init__(self, tables: Sequence[FeatureTable]) -> None:
        self._places: dict[tuple[bool, str], int] = {}
        self._tables = tables
        self.columns_of = [self._renamed(table) for table in tables]
        self.held: dict[int, Counter[int]] = {}
        codes: dict[str, int] = {}
        for table, renamed in zip(tables, self.columns_of, strict=True):
            for column, counts in table.held.items():
                held = self.held.setdefault(int(renamed[column]), Counter())
                for code, number in counts.items():
                    held[codes.setdefault(table.token(code), len(codes))] += number

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self._places)

    @property
    def blocks(self) -> Iterable[Values]:
        """The rows of all tables that are in blocks."""
        for table, renamed in zip(self._tables, self.columns_of, strict=True):
            for part in (*table.blocks, table.loose):
                yield part._replace(columns=renamed[part.columns])

    @property
    def loose(self) -> Values:
        """Nothing: all is among the blocks."""
        nothing = np.zeros(0, np.int32)
        return Values(nothing, nothing, np.zeros(0), None)

    def _renamed(self, table: FeatureTable) -> NDArray[np.int32]:
        renamed = np.zeros(table.columns, np.int32)
        for is_number, named in ((True, table.numbers), (False, table.tokens)):
            for path, column in named.items():
                renamed[column] = self._places.setdefault((is_number, path), len(self._places))
        return renamed


def joint_scales(tables: Sequence[FeatureTable]) -> list[Scales]:
    """Measure the columns of several tables over all their rows together.

    Returns:
        For each table the units of its columns; a path has the same in all.
    """
    joint = _Joint(tables)
    scales = scales_of(joint)
    return [
        Scales(scales.inverse[renamed], scales.steps[renamed], scales.step[renamed])
        for renamed in joint.columns_of
    ]
