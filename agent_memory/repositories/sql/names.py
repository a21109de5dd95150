"""The small integers that stand for the names of runs, agents and types."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, Table, insert, select
from sqlalchemy.exc import IntegrityError

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql.statements import IN_LIST, chunked, table_of
from agent_memory.values.entry import MemoryEntry

_KNOWN_AT_MOST = 100_000

K = TypeVar("K", bound=Hashable)


class References(NamedTuple):
    """What stands for an entry's run, agent and type."""

    run_ref: int
    agent_ref: int
    type_ref: int


class KnownNames:
    """References that transactions of this process have learned and committed.

    Another process may have deleted one of them since. No reference is ever given twice
    (``AUTOINCREMENT``, a sequence), so that a stale one does not name something else: storing it
    violates a foreign key, and the repository then clears this and tries again.
    """

    def __init__(self) -> None:
        self._references: dict[Hashable, int] = {}

    def of(self, names: Iterable[K]) -> dict[K, int]:
        """Those of the names that are known, with their references."""
        references = self._references
        return {name: references[name] for name in names if name in references}

    def learn(self, references: Mapping[Any, int]) -> None:
        """Remember what a committed transaction has learned."""
        # A new dict, because other threads are reading the old one.
        kept = self._references if len(self._references) < _KNOWN_AT_MOST else {}
        self._references = {**kept, **references}

    def clear(self) -> None:
        """Forget them all."""
        self._references = {}


class Names:
    """Turns names into references within one transaction, adding those that are new.

    Args:
        connection: The transaction's connection.
        models: The models of the tables.
        known: References of earlier transactions.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        connection: Connection,
        models: LtmModels,
        known: KnownNames,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._models = models
        self._known = known
        self._clock = clock
        self._learned: dict[Any, int] = {}

    def committed(self) -> None:
        """Let later transactions know what this one has learned."""
        if self._learned:
            self._known.learn(self._learned)

    def references(self, entries: Sequence[MemoryEntry]) -> list[References]:
        """Give what stands for each entry's run, agent and type, which are added if new."""
        # Most entries of a batch are of few agents and types. A type's own hash, and its value, are
        # Python's, and take as long as all else here.
        kinds = [(entry.run_id, entry.agent_id, id(entry.memory_type)) for entry in entries]
        few = dict(zip(kinds, entries, strict=True))
        runs = self.runs({run_id for run_id, _, _ in few})
        agents = self._agents({(runs[run_id], agent_id) for run_id, agent_id, _ in few})
        types = self._types({entry.memory_type.value for entry in few.values()})
        self.note_versions({entry.encoder_version for entry in entries})
        found = {
            kind: References(
                runs[entry.run_id],
                agents[runs[entry.run_id], entry.agent_id],
                types[entry.memory_type.value],
            )
            for kind, entry in few.items()
        }
        return [found[kind] for kind in kinds]

    def runs(self, names: Iterable[str]) -> dict[str, int]:
        """Give the references of runs, which are added if new."""
        runs = self._models.Run
        found = self._interned(
            table_of(runs),
            [("run", name) for name in names],
            lambda wanted: select(runs.id, runs.name).where(runs.name.in_(n for _, n in wanted)),
            lambda row: ("run", row.name),
            lambda name: {"name": name[1], "status": "running", "created_at": self._clock()},
        )
        return {name: reference for (_, name), reference in found.items()}

    def _types(self, names: Iterable[str]) -> dict[str, int]:
        types = self._models.Type
        found = self._interned(
            table_of(types),
            [("type", name) for name in names],
            lambda wanted: select(types.id, types.name).where(types.name.in_(n for _, n in wanted)),
            lambda row: ("type", row.name),
            lambda name: {"name": name[1]},
        )
        return {name: reference for (_, name), reference in found.items()}

    def _agents(self, owners: Iterable[tuple[int, str]]) -> dict[tuple[int, str], int]:
        agents = self._models.Agent
        return self._interned(
            table_of(agents),
            owners,
            lambda wanted: select(agents.id, agents.run_id, agents.name).where(
                agents.run_id.in_({run for run, _ in wanted}),
                agents.name.in_({name for _, name in wanted}),
            ),
            lambda row: (row.run_id, row.name),
            lambda owner: {"run_id": owner[0], "name": owner[1]},
        )

    def note_versions(self, versions: set[int | None]) -> None:
        """See that rows can name these encoder versions, even if none has been registered yet."""
        table = self._models.EncoderVersion
        self._interned(
            table_of(table),
            [("version", version) for version in versions - {None}],
            lambda wanted: select(table.id).where(table.id.in_(v for _, v in wanted)),
            lambda row: ("version", row.id),
            lambda version: {
                "id": version[1],
                "status": table.UNREGISTERED,
                "format": 0,
                "created_at": self._clock(),
            },
        )

    def _interned(
        self,
        table: Table,
        names: Iterable[K],
        look_up: Callable[[Sequence[K]], Select[*tuple[Any, ...]]],
        name_of: Callable[[Any], K],
        new: Callable[[K], dict[str, Any]],
    ) -> dict[K, int]:
        wanted = list(names)
        references = self._known.of(wanted)
        unknown = [name for name in wanted if name not in references]
        found: dict[K, int] = {}
        for chunk in chunked(unknown, IN_LIST):
            found |= self._found(look_up(chunk), name_of)
            absent = [new(name) for name in chunk if name not in found]
            if absent:
                self._insert_unless_present(table, absent)
                found |= self._found(look_up(chunk), name_of)
        self._learned.update(found)
        return references | {name: found[name] for name in unknown}

    def _found(
        self, statement: Select[*tuple[Any, ...]], name_of: Callable[[Any], K]
    ) -> dict[K, int]:
        return {name_of(row): row.id for row in self._connection.execute(statement)}

    def _insert_unless_present(self, table: Table, rows: list[dict[str, Any]]) -> None:
        # Where writers do not wait for each other (PostgreSQL), another process may add the
        # same name in the meantime. Then its row serves.
        if not self._insert(table, rows) and len(rows) > 1:
            for row in rows:
                self._insert(table, [row])

    def _insert(self, table: Table, rows: list[dict[str, Any]]) -> bool:
        """Insert rows in one go; False if one of them is there already."""
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(table), rows)
        except IntegrityError:
            return False
        return True
