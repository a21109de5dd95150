"""Says how the database answers a question: the index it goes by, and how many rows that gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, Executable

from agent_memory.repositories.access import Access

_PLAN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (FORMAT JSON) "}


class _Explained(Executable, ClauseElement):
    """A statement whose plan is asked for, in place of its rows."""

    inherit_cache = False

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self.statement = statement


@compiles(_Explained)
def _compiled(element: _Explained, compiler: Any, **_: Any) -> str:
    return _PLAN[compiler.dialect.name] + str(compiler.process(element.statement))


def access(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    asked: Mapping[str, Any],
    table: str,
) -> Access:
    """How the database answers a statement.

    Args:
        connection: What to ask on.
        statement: The statement.
        asked: Its parameters.
        table: The name of the table of entries.
    """
    if connection.dialect.name not in _PLAN:
        return Access("as the database does it", _number(connection, statement, asked))
    found = connection.execute(_Explained(statement), asked)
    if connection.dialect.name == "postgresql":
        told: Any = found.scalar_one()  # a driver may leave JSON as text
        (plan,) = json.loads(told) if isinstance(told, str) else told
        nodes = [*_nodes(plan["Plan"])]
        details = tuple(_described(node) for node in nodes)
        ways = [_way(node) for node in nodes if node.get("Relation Name") == table]
        way = ways[0] if ways else next((each for each in details if "Index" in each), details[0])
        return Access(way, int(plan["Plan"]["Plan Rows"]), details)
    details = tuple(str(row.detail) for row in found)
    ours = [each for each in details if table in each.split()]
    return Access(
        _sqlite_way(ours[0] if ours else details[0]),
        _number(connection, statement, asked),
        details,
    )


def _number(
    connection: Connection, statement: Select[*tuple[Any, ...]], asked: Mapping[str, Any]
) -> int:
    """How many rows there are: SQLite estimates none, so that they are counted."""
    rows = statement.order_by(None).subquery()
    return int(connection.execute(select(func.count()).select_from(rows), asked).scalar_one())


def _sqlite_way(detail: str) -> str:
    if detail.startswith("SCAN"):
        return detail.replace("SCAN", "scan of", 1)
    return detail.partition(" USING ")[2] or detail


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _way(node: Mapping[str, Any]) -> str:
    if "Index Name" in node:
        return f"INDEX {node['Index Name']} ({node.get('Index Cond', 'in its order')})"
    for inner in node.get("Plans", ()):
        if "Index Name" in inner:
            return _way(inner)
    return f"scan of {node['Relation Name']}"


def _described(node: Mapping[str, Any]) -> str:
    where = node.get("Index Name") or node.get("Relation Name") or ""
    return f"{node['Node Type']} {where}, {node['Plan Rows']} rows".replace(" ,", ",")
