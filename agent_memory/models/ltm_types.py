"""How the long-term schema's columns are typed and compared."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    String,
    and_,
    select,
)
from sqlalchemy import func as sql
from sqlalchemy.orm import ColumnProperty
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator

from agent_memory.values.identity import checked_memory_id
from agent_memory.values.quoting import quoted

# SQLite gives numbers of its own only to a column that is declared INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class MemoryIdBytes(TypeDecorator[str]):
    """A memory id: 32 hexadecimal digits in Python, 16 bytes on disk.

    Bytes are taken as they are.
    """

    impl = LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: str | bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the bytes of an id; raises ``InvalidEntry`` for what is no UUID."""
        if value is None or isinstance(value, bytes):
            return value
        return bytes.fromhex(checked_memory_id(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the id of stored bytes; of what is damaged a text that is no id."""
        if value is None:
            return None
        return value.hex() if isinstance(value, bytes) else f"damaged {quoted(value, 20)}"


class Name(TypeDecorator[str]):
    r"""A text that may hold any character; PostgreSQL has no place for NUL, so that it is escaped.

    There ``\x01\x01`` stands for NUL, and ``\x01\x02`` for ``\x01``.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Give the text as it is stored."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Give a stored text back."""
        if value is None or dialect.name != "postgresql" or "\x01" not in value:
            return value
        return _ESCAPED.sub(lambda found: _UNESCAPED[found[0]], value)


_ESCAPED = re.compile("\x01[\x01\x02]")
_UNESCAPED = {"\x01\x01": "\0", "\x01\x02": "\x01"}


class DecimalInt(TypeDecorator[int]):
    """An int of any size (NumPy's seeds have 128 bits), kept as its decimal text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the text of an int."""
        return None if value is None else str(int(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the int of a stored text."""
        try:
            return None if value is None else int(value)
        except ValueError:  # damaged: nothing hangs on it
            return None


class InternedName(ColumnProperty.Comparator[str]):
    """Compares an interned name by its small integer, so that the indexes over it serve.

    The property's ``info`` names the entries' column of references (``reference``) and the
    table that holds the names (``names``). ``LtmEntry.agent_id == "a1"`` becomes
    ``agent_ref IN (SELECT id FROM agents WHERE name = 'a1')``; whatever is no comparison
    (ordering, grouping, selecting) sees the name itself.
    """

    def operate(self, op: operators.OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
        """Turn a comparison into one of references."""
        if not operators.is_comparison(op):
            return super().operate(op, *other, **kwargs)
        names = self.prop.info["names"]
        return self._among(op(names.c.name, *other, **kwargs))

    def _among(self, matches: ColumnElement[bool]) -> ColumnElement[bool]:
        names = self.prop.info["names"]
        matching = select(names.c.id).where(matches).correlate_except(names)
        return self._column(self.prop.info["reference"]).in_(matching)

    def _column(self, name: str) -> ColumnElement[Any]:
        column: ColumnElement[Any] = self.prop.parent.local_table.c[name]
        return self.adapter(column) if self.adapter else column


class InternedRun(InternedName):
    """Compares runs, and adds the range of their agents, which the entries' indexes lead with.

    A range, because a database without statistics takes ``IN`` on the run to be as selective
    as ``IN`` on the agent, and then reads a whole run to answer a question about one agent.
    """

    def _among(self, matches: ColumnElement[bool]) -> ColumnElement[bool]:
        runs, agents = self.prop.info["names"], self.prop.info["agents"]
        agent_ref = self._column("agent_ref")

        def outermost(end: Any) -> ColumnElement[int]:
            of_runs = select(end(agents.c.id)).join_from(agents, runs).where(matches)
            return of_runs.correlate_except(agents, runs).scalar_subquery()

        return and_(
            super()._among(matches),
            agent_ref >= outermost(sql.min),
            agent_ref <= outermost(sql.max),
        )
