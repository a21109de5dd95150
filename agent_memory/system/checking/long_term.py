"""Checks long-term memory: its file, its tables, and every row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent_memory.connections.sql import SqlEngine, place_of
from agent_memory.errors import EncodingError, NewerFormat, SchemaOutOfDate
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.attributes import column_values
from agent_memory.repositories.sql.inspection import LongTermInspection, StoredRow
from agent_memory.system.checking.job import REPAIR, UPGRADE, Job
from agent_memory.system.checking.validation import Validator
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import MemoryEntry

_Fault = tuple[Kind, str]
_PLAIN = (bytes, str, int, float, type(None))


class LongTermCheck:
    """Checks long-term memory.

    Args:
        job: The check it belongs to.
        validator: Validates vectors.
        inspection: Its tables, beneath the repository.
        sql_engine: Its database.
        table_prefix: What the names of its tables begin with.
    """

    def __init__(
        self,
        job: Job,
        validator: Validator,
        inspection: LongTermInspection,
        sql_engine: SqlEngine,
        table_prefix: str,
    ) -> None:
        self._job = job
        self._validator = validator
        self._inspection = inspection
        self._sql_engine = sql_engine
        self._table_prefix = table_prefix
        self._place = place_of(sql_engine)
        self._learn_declared()

    def run(self) -> None:
        """Look at all of it."""
        self._check_file()
        self._check_tables()
        self._check_references()
        for rows in self._inspection.rows():
            self._check_rows(rows)
        self._check_declared()

    # -- file and tables ----------------------------------------------------------------------

    def _check_file(self) -> None:
        complaints = self._inspection.complaints()
        about_indexes = [one for one in complaints if self._inspection.is_about_indexes(one)]
        if about_indexes and self._job.repair:
            self._inspection.reindex()
            left = self._inspection.complaints()
        else:
            left = complaints
        for complaint in complaints:
            self._job.findings.add(
                Kind.DATABASE,
                self._place,
                complaint,
                REPAIR if complaint in about_indexes else "restore a backup beside it",
                repaired=complaint not in left,
            )

    def _check_tables(self) -> None:
        try:
            schema.check_tables(self._sql_engine, self._table_prefix)
        except SchemaOutOfDate as error:
            self._job.findings.add(Kind.SCHEMA, self._place, str(error), "as the message says")

    def _check_references(self) -> None:
        for table, row, parent in self._inspection.dangling():
            self._job.findings.add(
                Kind.DATABASE,
                f"{self._place}, table {table}, row {row}",
                f"refers to a row of {parent} that is not there",
                f"give {parent} that row back, from a backup; {REPAIR} quarantines entries",
            )

    # -- rows ---------------------------------------------------------------------------------

    def _check_rows(self, rows: Sequence[StoredRow]) -> None:
        self._job.looked("LTM entries", len(rows))
        for row, faults in self._faulty(rows):
            # What was re-encoded, or declared, meanwhile is no fault.
            self._learn_declared()
            again = self._inspection.row(row.row)
            if faults and again is not None:
                for one, still in self._faulty([again]):
                    self._report(one, still)

    def _faulty(self, rows: Sequence[StoredRow]) -> list[tuple[StoredRow, list[_Fault]]]:
        entries: list[MemoryEntry] = []
        places: list[int] = []
        faults: list[list[_Fault]] = [[] for _ in rows]
        for place, row in enumerate(rows):
            try:
                entry = row.entry(self._validator.codec)
            except NewerFormat as error:
                faults[place].append((Kind.NEWER, str(error)))
                continue
            except EncodingError as error:
                if not self._validator.lacks_code(row.columns["contents"]):
                    faults[place].append((self._kind_of_damage(row), str(error)))
                continue
            entries.append(entry)
            places.append(place)
            if not self._attributes_fit(row, entry):
                why = "declared attributes are not those of its contents"
                faults[place].append((Kind.ATTRIBUTES, why))
            if not row.same_run:
                faults[place].append((Kind.DATABASE, "its agent is one of another run"))
        for number, why in self._validator.vectors(entries).items():
            faults[places[number]].append((Kind.VECTOR, why))
        return [(row, found) for row, found in zip(rows, faults, strict=True) if found]

    def _kind_of_damage(self, row: StoredRow) -> Kind:
        try:
            row.entry(self._validator.codec, with_vector=False)
        except EncodingError:
            return Kind.UNREADABLE
        return Kind.VECTOR

    def _attributes_fit(self, row: StoredRow, entry: MemoryEntry) -> bool:
        try:
            stored = _as_json(row.attributes)
        except (ValueError, TypeError):
            return False
        needed = _as_json(column_values(entry.contents, self._complete))
        possible = _as_json(column_values(entry.contents, self._declared))
        return needed.items() <= stored.items() <= possible.items()

    def _report(self, row: StoredRow, faults: Sequence[_Fault]) -> None:
        place = (
            f"LTM, run {row.run_id!r}, agent {row.agent_id!r}, entry {row.memory_id}, row {row.row}"
        )
        for kind, why in faults:
            mend, by_hand = self._remedy(kind)
            repaired = self._job.repair and mend(row, place, why)
            means = why
            if repaired and kind is Kind.UNREADABLE:
                means = f"{why}; its bytes are in {self._job.quarantine_place}"
            self._job.findings.add(kind, place, means, by_hand, repaired=repaired)

    def _remedy(self, kind: Kind) -> tuple[Callable[[StoredRow, str, str], bool], str]:
        if kind is Kind.UNREADABLE:
            return self._quarantine, f"{REPAIR}, which quarantines what cannot be read"
        if kind is Kind.VECTOR:
            return self._renew_vector, REPAIR
        if kind is Kind.ATTRIBUTES:
            return self._renew_attributes, REPAIR
        if kind is Kind.NEWER:
            return lambda *_: False, UPGRADE
        return lambda *_: False, "correct its run_ref or agent_ref by hand"

    def _quarantine(self, row: StoredRow, place: str, why: str) -> bool:
        return self._job.keep(place, why, _kept(row)) and self._inspection.take_out(row)

    def _renew_vector(self, row: StoredRow, place: str, why: str) -> bool:
        try:
            entry = row.entry(self._validator.codec)
        except EncodingError:
            entry = row.entry(self._validator.codec, with_vector=False)
        made = self._validator.with_new_vector(entry)
        if made is None or not self._job.keep(place, why, _kept(row)):
            return False
        return self._job.tiers[2].encodings.reembed([made]) == [True]

    def _renew_attributes(self, row: StoredRow, _place: str, _why: str) -> bool:
        entry = row.entry(self._validator.codec)
        wanted = column_values(entry.contents, self._declared)
        self._inspection.set_attributes({row.row: dict(wanted)})
        return True

    # -- declared attributes ------------------------------------------------------------------

    def _check_declared(self) -> None:
        declared, bare = self._inspection.declared()
        missing = sorted({*bare, *(path for path, complete in declared.items() if not complete)})
        if not missing:
            return
        if self._job.repair:
            self._job.tiers[2].upkeep.declare_attributes()
        self._job.findings.add(
            Kind.ATTRIBUTES,
            f"LTM, attributes {', '.join(missing)}",
            "declared, and not every entry is indexed by them yet; questions by them are slow",
            REPAIR,
            repaired=self._job.repair,
        )

    def _learn_declared(self) -> None:
        declared, _ = self._inspection.declared()
        self._declared = tuple(declared)
        self._complete = tuple(path for path, complete in declared.items() if complete)


def _as_json(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {path: json.dumps(value) for path, value in attributes.items()}


def _kept(row: StoredRow) -> dict[str, Any]:
    """All that was stored in a row, with the names it refers to."""
    named = {"run_id": row.run_id, "agent_id": row.agent_id, "memory_type": row.memory_type}
    columns = {
        name: value if isinstance(value, _PLAIN) else json.dumps(value)
        for name, value in row.columns.items()
    }
    return columns | named | {"id": row.row}
