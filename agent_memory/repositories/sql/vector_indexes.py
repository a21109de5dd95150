"""Indexes over the vectors of agents that have very many, where PostgreSQL has pgvector.

The rows stay as they are: an index is over an expression that makes of a row's stored bytes a
``halfvec`` of length 1. It holds the vectors of one agent that one version of the encoder made and
that are stored with a byte a number, so that no question passes over the vectors of others. A small
index beside it finds the agent's other rows, which are compared one by one. Nothing but these
indexes is in the database, and whoever drops them loses time alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, select, text

from agent_memory.connections.sql import is_read_only, place_of, translating_sql_errors
from agent_memory.connections.sql_connecting import connection_to
from agent_memory.errors import ConfigError, StoreReadOnly
from agent_memory.models.ltm import DEFAULT_PREFIX, LtmModels, ltm_models
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_types import Name
from agent_memory.models.ltm_vectors import INT8
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.pgvector import look_for_pgvector
from agent_memory.repositories.sql.statements import as_identifier, table_of

FEWEST = 100_000
"""How many vectors an agent needs to get an index: fewer are compared as fast one by one."""

_SCALE_BYTES = 4  # before the bytes of a vector that is stored with a byte a number
_MOST_NUMBERS = 4_000  # of pgvector's index over halfvec
_FARTHEST = "1e30"  # a number of a vector before it is brought to length 1, within float32
_PREDICATE = re.compile(r"encoder_version = (\d+)\).*octet_length\(embedding\) = (\d+)\)")


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """Which vectors an index holds.

    Attributes:
        agent_ref: ``Agent.id`` of the agent.
        version: The version of the encoder that made the vectors.
        width: How many numbers each has.
        schema: Where pgvector's types are, as SQL names it.
        oid: What the database calls it until it is made again; 0 where that is not known.
    """

    agent_ref: int
    version: int
    width: int
    schema: str
    oid: int = field(default=0, compare=False)

    def name(self, table: str) -> str:
        """The name of the index."""
        return f"{near_prefix(table)}{self.agent_ref}"

    def name_of_rest(self, table: str) -> str:
        """The name of the index over the agent's other rows."""
        return f"{_rest_prefix(table)}{self.agent_ref}"

    @property
    def condition(self) -> str:
        """Whether a row is in the index."""
        return f"agent_ref = {self.agent_ref} AND {self._form}"

    @property
    def condition_of_rest(self) -> str:
        """Whether a row is of the agent, and is not in the index."""
        return f"agent_ref = {self.agent_ref} AND ({self._form}) IS NOT TRUE"

    @property
    def _form(self) -> str:
        return (
            f"encoder_version = {self.version} AND embedding_coding % {PINNED} = {INT8} "
            f"AND octet_length(embedding) = {self.width + _SCALE_BYTES}"
        )

    def unit(self, bias: float) -> str:
        """The expression of a row's vector behind its bias, of length 1.

        Args:
            bias: What stands before the vectors of that version when they are compared; 0: nothing.
        """
        # Direction is all that counts: steps of the grid will do. Written out, as calling a
        # function for each of them takes ten times as long.
        last = self.width + _SCALE_BYTES
        numbers = [f"(get_byte(embedding, {at}) # 128) - 128" for at in range(_SCALE_BYTES, last)]
        if bias:
            numbers.insert(0, f"least({bias!r}::float8 / ({_SCALE}), {_FARTHEST})")
        schema, vector = self.schema, f"ARRAY[{', '.join(numbers)}]::{self.schema}.vector"
        return f"({schema}.l2_normalize({vector})::{schema}.halfvec({len(numbers)}))"


# A float32 of its bytes, the least first. One that is damaged may be any number above 0.
_SCALE = (
    "(8388608 + ((get_byte(embedding, 2) & 127) << 16) + (get_byte(embedding, 1) << 8) "
    "+ get_byte(embedding, 0)) "
    "* power(2::float8,"
    " ((get_byte(embedding, 3) & 127) << 1) + (get_byte(embedding, 2) >> 7) - 150)"
)


@dataclass(frozen=True, slots=True)
class IndexedAgent:
    """An agent whose vectors have an index.

    Attributes:
        run_id: Its run.
        agent_id: The agent.
        version: The version of the encoder whose vectors are in the index.
        rows: How many there were when the database counted last.
        size: How many bytes the index takes.
        is_valid: Whether the index was finished; others are not used.
    """

    run_id: str
    agent_id: str
    version: int
    rows: int
    size: int
    is_valid: bool


def near_prefix(table: str) -> str:
    """What the names of the indexes over the vectors of a table's rows begin with."""
    return f"ix_{table}_near_"


def _rest_prefix(table: str) -> str:
    return f"ix_{table}_rest_"


def is_vector_index(name: str, table: str) -> bool:
    """Whether an index of a table is one of these, by its name."""
    prefixes = near_prefix(table), _rest_prefix(table)
    return name.startswith(prefixes) and name.rpartition("_")[2].isdecimal()


def index_of(connection: Connection, models: LtmModels, agent: Agent) -> VectorIndex | None:
    """The finished index over an agent's vectors; None if there is none.

    Args:
        connection: To the database.
        models: The models of the tables.
        agent: The run and the agent.
    """
    if connection.dialect.name != "postgresql":
        return None
    table = table_of(models.LtmEntry).name
    names = bindparam("of_run", type_=Name), bindparam("of_agent", type_=Name)
    asked = text(
        "SELECT a.id, pg_get_expr(x.indpred, x.indrelid), quote_ident(n.nspname), i.oid::bigint"  # noqa: S608 - names of the models' own
        f" FROM {as_identifier(connection, table_of(models.Run).name)} r"
        f" JOIN {as_identifier(connection, table_of(models.Agent).name)} a ON a.run_id = r.id"
        f" JOIN pg_class i ON i.relname = '{near_prefix(table)}' || a.id"
        " AND pg_table_is_visible(i.oid)"
        " JOIN pg_index x ON x.indexrelid = i.oid AND x.indisvalid"
        " JOIN pg_opclass o ON o.oid = x.indclass[0] JOIN pg_namespace n ON n.oid = o.opcnamespace"
        " WHERE r.name = :of_run AND a.name = :of_agent"
    ).bindparams(*names)
    row = connection.execute(asked, {"of_run": agent[0], "of_agent": agent[1]}).one_or_none()
    return None if row is None else _parsed(*row)


def _parsed(agent_ref: int, predicate: str | None, schema: str, oid: int = 0) -> VectorIndex | None:
    found = _PREDICATE.search(predicate or "")
    if found is None:
        return None
    return VectorIndex(agent_ref, int(found[1]), int(found[2]) - _SCALE_BYTES, schema, oid)


class VectorIndexes:
    """Makes and drops the indexes over the vectors of a database.

    Args:
        sql_engine: From ``connections.sql.open_engine``, over a schema that is up to date.
        table_prefix: What the tables' names begin with.
        bias_of: Gives what stands before the vectors of a version and width when they are compared.
    """

    def __init__(
        self,
        sql_engine: Engine,
        table_prefix: str = DEFAULT_PREFIX,
        bias_of: Callable[[int, int], float] = lambda _version, _width: 0.0,
    ) -> None:
        self._sql_engine = sql_engine
        self._models = ltm_models(table_prefix)
        self._table = table_of(self._models.LtmEntry).name
        self._bias_of = bias_of

    def make(self, fewest: int = FEWEST) -> list[IndexedAgent]:
        """Give every agent with so many vectors of a kind an index over them, and drop all others.

        Programs go on reading and writing meanwhile. An index that was broken off is made again.

        Args:
            fewest: How many vectors of one version and width an agent needs.

        Returns:
            All agents that have one now.

        Raises:
            ConfigError: The database is not PostgreSQL.
            QueryEngineMissing: It has no pgvector, or too old a one; says how to mend it.
            StoreReadOnly: The database was opened read-only.
            StoreUnavailable: It does not answer, or ends a statement that takes too long.
        """
        self._check()
        with _outside_transactions(self._sql_engine) as connection:
            schema = look_for_pgvector(connection).created(connection, place_of(self._sql_engine))
            wanted = self._wanted(connection, fewest, schema)
        # Encoders are read on a connection of their own, and a thread has one at a time.
        biases = {index: self._bias_of(index.version, index.width) for index in wanted}
        wanted = [one for one in wanted if one.width + bool(biases[one]) <= _MOST_NUMBERS]
        with _outside_transactions(self._sql_engine) as connection:
            for found in self._found(connection):
                if not found.is_valid or found.holds not in wanted:
                    _drop(connection, found.name)
            for index in wanted:
                self._make(connection, index, biases[index])
            return [*self._listed(connection)]

    def drop(self) -> int:
        """Drop all of them.

        Returns:
            How many agents had one.
        """
        self._check()
        with _outside_transactions(self._sql_engine) as connection:
            names = [found.name for found in self._found(connection)]
            for name in names:
                _drop(connection, name)
        return sum(name.startswith(near_prefix(self._table)) for name in names)

    def listed(self) -> list[IndexedAgent]:
        """The agents whose vectors have an index."""
        if self._sql_engine.dialect.name != "postgresql":
            return []
        with _outside_transactions(self._sql_engine) as connection:
            return [*self._listed(connection)]

    def _check(self) -> None:
        place = place_of(self._sql_engine)
        if self._sql_engine.dialect.name != "postgresql":
            raise ConfigError(
                f"{place}: vectors are indexed in PostgreSQL alone; this database compares them "
                "one by one"
            )
        if is_read_only(self._sql_engine):
            raise StoreReadOnly(f"{place} was opened read-only: open it without read_only")

    def _wanted(self, connection: Connection, fewest: int, schema: str) -> list[VectorIndex]:
        """Of each agent with so many vectors of a kind those of which it has the most."""
        kind = f"embedding_coding % {PINNED} = {INT8} AND encoder_version IS NOT NULL"
        table = as_identifier(connection, self._table)
        found = connection.execute(
            text(
                "SELECT agent_ref, encoder_version, octet_length(embedding)"  # noqa: S608 - as above
                f" FROM {table} WHERE {kind} AND octet_length(embedding) > {_SCALE_BYTES}"
                " GROUP BY 1, 2, 3 HAVING count(*) >= :fewest ORDER BY count(*), 2, 3"
            ),
            {"fewest": fewest},
        )
        most = {row[0]: VectorIndex(row[0], row[1], row[2] - _SCALE_BYTES, schema) for row in found}
        return [*most.values()]

    def _make(self, connection: Connection, index: VectorIndex, bias: float) -> None:
        # Where the table is in partitions, the one that holds the agent's rows: PostgreSQL makes no
        # index over all of them while others write.
        table = connection.scalar(
            text(
                f"SELECT tableoid::regclass::text FROM {as_identifier(connection, self._table)}"  # noqa: S608 - as above
                " WHERE agent_ref = :of_agent LIMIT 1"
            ),
            {"of_agent": index.agent_ref},
        )
        if table is None:
            return  # its entries were forgotten meanwhile
        unit = index.unit(bias)
        for name, over, condition in (
            # The rest first: where the other is there it is used.
            (index.name_of_rest(self._table), "(id)", index.condition_of_rest),
            (
                index.name(self._table),
                f"USING hnsw ({unit} {index.schema}.halfvec_l2_ops)",
                index.condition,
            ),
        ):
            quoted = as_identifier(connection, name)
            connection.execute(
                text(
                    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {quoted} ON {table} {over} "
                    f"WHERE {condition}"
                )
            )

    def _found(self, connection: Connection) -> list[_Found]:
        """The indexes that are there, finished or not."""
        rows = connection.execute(
            text(
                "SELECT i.relname, x.indisvalid, pg_get_expr(x.indpred, x.indrelid),"
                " quote_ident(n.nspname), greatest(i.reltuples, 0)::bigint, pg_relation_size(i.oid)"
                " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
                " LEFT JOIN pg_extension e ON e.extname = 'vector'"
                " LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
                " WHERE x.indrelid = to_regclass(:of_table) OR x.indrelid IN"
                " (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:of_table))"
                " ORDER BY 1"
            ),
            {"of_table": as_identifier(connection, self._table)},
        )
        found = []
        for name, is_valid, predicate, schema, number, size in rows:
            if is_vector_index(name, self._table):
                agent_ref = int(name.rpartition("_")[2])
                index = _parsed(agent_ref, predicate, schema or "")
                found.append(_Found(name, agent_ref, index, is_valid, number, size))
        return found

    def _listed(self, connection: Connection) -> Iterator[IndexedAgent]:
        run, agent = self._models.Run, self._models.Agent
        owners = select(run.name, agent.name).join_from(agent, run, run.id == agent.run_id)
        for found in self._found(connection):
            if found.holds is None or not found.name.startswith(near_prefix(self._table)):
                continue
            for owner in connection.execute(owners.where(agent.id == found.agent_ref)):
                yield IndexedAgent(
                    *(*owner, found.holds.version, found.rows, found.size, found.is_valid)
                )


class _Found(NamedTuple):
    """An index as the database's catalogue has it."""

    name: str
    agent_ref: int
    holds: VectorIndex | None
    is_valid: bool
    rows: int
    size: int


def _drop(connection: Connection, name: str) -> None:
    quoted = as_identifier(connection, name)
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted}"))


@contextmanager
def _outside_transactions(sql_engine: Engine) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own."""
    with translating_sql_errors(place_of(sql_engine)), connection_to(sql_engine) as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
