"""How the long-term schema's columns are typed and compared."""

from __future__ import annotations

import hashlib
import json
import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Double,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    and_,
    select,
    type_coerce,
)
from sqlalchemy import func as sql
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.orm import ColumnProperty
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from agent_memory.errors import InvalidEntry
from agent_memory.values.identity import checked_memory_id, id_of_bytes
from agent_memory.values.plain import python_scalar
from agent_memory.values.quoting import quoted


class NoSuchValue(InvalidEntry, DontWrapMixin):
    """A column cannot be compared with a value; raised as it is, in no error of SQLAlchemy's."""


_EXACT = 2**53
"""Up to here every integer is a double."""


class _Number(TypeDecorator[Any]):
    """A number, to which NumPy's are compared as Python's: SQLite would take them for bytes."""

    impl: Any = Double
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any]):
        """Gives what is calculated of such a number as one."""

        def operate(self, op: operators.OperatorType, *other: Any, **kwargs: Any) -> Any:
            """Compare, or calculate."""
            found: Any = super().operate(op, *other, **kwargs)
            kind = None if isinstance(found.type, _Number) else _number_like(found.type)
            return found if kind is None else type_coerce(found, kind)

    comparator_factory = Comparator

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Give a number as Python's.

        Raises:
            InvalidEntry: It is an array of several numbers, or one that the column's type would
                round.
        """
        return self.exactly(_plain(value))

    def takes(self, value: object) -> bool:
        """Whether the type reads a value of another kind, since a database would round it."""
        return isinstance(value, float) and math.isfinite(value) and abs(value) >= _EXACT

    def exactly(self, value: Any) -> Any:
        """Give a number of Python's as one that no engine rounds."""
        whole = int(value) if self.takes(value) else value
        if isinstance(whole, int) and not -(2**63) <= whole < 2**63:
            raise _inexact(value, "an integer of 64 bits")
        return whole

    def coerce_compared_value(self, op: operators.OperatorType | None, value: Any) -> Any:
        """Give the type of what the number is compared with, or calculated with."""
        given = _plain(value)
        type_of_given = self.impl_instance.coerce_compared_value(op, given)
        if type_of_given is self.impl_instance or self.takes(given):
            return self
        return _number_like(type_of_given) or type_of_given


class RealNumber(_Number):
    """A double."""

    impl = Double
    cache_ok = True

    def takes(self, value: object) -> bool:
        """Whether the type reads a value of another kind, since a database would round it."""
        return isinstance(value, (int, Decimal)) and not isinstance(value, bool)

    def exactly(self, value: Any) -> Any:
        """Give a number of Python's as a double; of a decimal the double that reads as it does."""
        if value is None or isinstance(value, float):
            return value
        try:
            double = float(value)
        except (OverflowError, TypeError, ValueError):
            raise _inexact(value, "a double") from None
        if double != value and Decimal(repr(double)) != value:
            raise _inexact(value, "a double")
        return double


class AttributeNumber(RealNumber):
    """A declared attribute as a double, of which large integers have none of their own."""

    cache_ok = True

    def exactly(self, value: Any) -> Any:
        """Give a number of Python's as a double."""
        if isinstance(value, int) and abs(value) > _EXACT:
            raise NoSuchValue(
                f"as_float: integers beyond 2^53, such as {quoted(value)}, are not distinguished; "
                "compare as_integer()"
            )
        return super().exactly(value)


class WholeNumber(_Number):
    """An integer of 64 bits."""

    impl = BigInteger
    cache_ok = True


class SmallNumber(_Number):
    """An integer of 16 bits."""

    impl = SmallInteger
    cache_ok = True


class RowId(WholeNumber):
    """What a row is referred to by; the database counts it up."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give the type of the column."""
        # SQLite gives numbers of its own only to a column that is declared INTEGER.
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class Truth(_Number):
    """A truth."""

    impl = Boolean(create_constraint=False)
    cache_ok = True


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.ndim:
            raise NoSuchValue(
                "a column of numbers: compare it with one number, or with many by in_, "
                f"not with an array of shape {value.shape}"
            )
        value = value[()]
    return python_scalar(value) if isinstance(value, np.generic) else value


def _inexact(value: object, kind: str) -> NoSuchValue:
    return NoSuchValue(
        f"a column of numbers: {quoted(value)} is not exactly {kind}, and a comparison with it "
        "would be one with another number"
    )


def _number_like(kind: TypeEngine[Any]) -> _Number | None:
    """The number of ours that stands for one of SQLAlchemy's; None for what is none."""
    if isinstance(kind, Integer):
        return WholeNumber()
    return RealNumber() if isinstance(kind, (Float, Numeric)) else None


@lru_cache(maxsize=4096)
def agent_hash(agent_id: str) -> int:
    """What stands for an agent where its name is not kept: 64 bits of BLAKE2b, signed.

    Tombstones have it in place of a reference: they outlive what they are about, and are restored
    into other databases.

    Args:
        agent_id: The agent; empty: every agent of a run.

    Returns:
        Never 0 but for every agent.
    """
    if not agent_id:
        return 0
    digest = hashlib.blake2b(agent_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True) or 1


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
        return None if value is None else id_of_bytes(value)


class Name(TypeDecorator[str]):
    r"""A text that may hold any character; PostgreSQL has no place for NUL, so that it is escaped.

    There ``\x01\x01`` stands for NUL, and ``\x01\x02`` for ``\x01``.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Give the text as it is stored; of an int, as the id of an agent may be, its decimals."""
        text: str | None = value
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            text = str(int(value))
        if text is None or dialect.name != "postgresql":
            return text
        return text.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Say what gives stored texts back: nothing where they are stored as they are."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else None

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


class RunParameters(TypeDecorator[dict[str, Any]]):
    """What a run was begun with, as JSON."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def coerce_compared_value(self, op: operators.OperatorType | None, value: Any) -> Any:
        """Compare a value at a path as JSON."""
        return self.impl_instance.coerce_compared_value(op, value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give the dict that is stored; None where it is damaged: no entry depends on it."""
        read = super().result_processor(dialect, coltype) or (lambda value: value)

        def process(value: Any) -> Any:
            try:
                return read(value)
            except ValueError:
                return None

        return process


class _AttributePath(TypeDecorator[str]):
    """The path of a declared attribute, as each database finds it among the keys of an object."""

    impl = JSON.JSONStrIndexType
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Give the path; SQLite compares keys as JSON spells them."""
        if not isinstance(value, str) or dialect.name != "sqlite":
            return value
        if '"' in value:
            raise NoSuchValue(
                f"attributes: SQLite cannot name the path {quoted(value)}, which has a quotation "
                "mark; ask the repository"
            )
        return json.dumps(value)[1:-1]


class DeclaredAttributes(JSON):
    """Declared attributes by path: ``attributes["food"].as_integer() > np.int64(3)``."""

    cache_ok = True

    class Comparator(JSON.Comparator[Any]):
        """Reads an attribute by its path, as a number that NumPy's can be compared with."""

        def __getitem__(self, index: Any) -> Any:
            """Give the attribute at a path."""
            found: Any = super().__getitem__(index)  # type: ignore[no-untyped-call]  # theirs
            if isinstance(index, str):
                found.right.type = _AttributePath()
            return found

        def as_integer(self) -> Any:
            """Give the attribute as an integer."""
            value: Any = super().as_integer()  # type: ignore[no-untyped-call]  # theirs
            value.type = BigInteger()  # PostgreSQL's INTEGER has 32 bits
            return type_coerce(value, WholeNumber())

        def as_float(self) -> Any:
            """Give the attribute as a double."""
            return type_coerce(super().as_float(), AttributeNumber())  # type: ignore[no-untyped-call]  # theirs

        def as_boolean(self) -> Any:
            """Give the attribute as a truth."""
            return type_coerce(super().as_boolean(), Truth())  # type: ignore[no-untyped-call]  # theirs

    comparator_factory = Comparator


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
