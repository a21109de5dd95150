"""Conditions on declared attributes as SQL: what the column ``attributes`` tells of a question.

The column answers a little more than a question asks, never less: whoever asks looks at contents
again. SQLite reads a value by a path of JSON. PostgreSQL is read by expressions that no text in the
column makes fail, since they are those of an index: a row that an index fails on is not stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Numeric, String, and_, bindparam, func
from sqlalchemy.sql.expression import literal_column

from agent_memory.models.ltm import LtmModels
from agent_memory.values.attributes import Condition
from agent_memory.values.conditions import Between, ContentCondition

_EXACT = 2**53  # up to here an int is a double
_MARGIN = 1e-12  # SQLite may read a JSON number off by its last place
_LONGEST = 100  # characters of a text that PostgreSQL's indexes hold, which have room for 2,700

_SPELLED = (
    r"CAST(replace(replace(CAST(attributes AS text), E'\\\\', '/'), E'\\u', E'\\\\u') AS json)"
)
"""The column with its escaped characters spelled out: PostgreSQL reads no lone surrogate, no NUL,
and none that the encoding of the database lacks."""


class ValueTest(NamedTuple):
    """What one condition asks of a value, without the values that it names.

    Attributes:
        path: Where the value is.
        is_of_text: Whether it is to be a certain text.
        has_least: Whether a number is to be no less than another.
        has_greatest: Whether it is to be no more.
    """

    path: str
    is_of_text: bool
    has_least: bool
    has_greatest: bool


class ColumnTests(NamedTuple):
    """What the column can tell of a question.

    Attributes:
        tests: What is asked of it; the statements of a shape have the same.
        parameters: What the conditions name, by the parameters of ``conditions_of``.
        pairs: The paths of conditions that are two numbers, which two numbers in a list may meet
            as well.
        is_all: Whether each condition is among them.
    """

    tests: tuple[ValueTest, ...]
    parameters: dict[str, Any]
    pairs: frozenset[str]
    is_all: bool


NO_TESTS = ColumnTests((), {}, frozenset(), is_all=True)


def column_tests(conditions: Mapping[str, Condition], dialect: str) -> ColumnTests:
    """What the column can tell of some conditions.

    Args:
        conditions: By path.
        dialect: The name of the database's kind.
    """
    if dialect not in _VALUES:
        return ColumnTests((), {}, frozenset(), not conditions)
    tests: list[ValueTest] = []
    parameters: dict[str, Any] = {}
    for path, condition in conditions.items():
        asked = _asked(condition, dialect) if is_named(path) else None
        if asked is None:
            continue
        place = len(tests)
        tests.append(ValueTest(path, *(name in asked for name in _NAMES)))
        for name, value in asked.items():
            parameters[f"{name}_{place}"] = _parameter(value, dialect)
    pairs = {test.path for test in tests if isinstance(conditions[test.path], tuple)}
    return ColumnTests(tuple(tests), parameters, frozenset(pairs), len(tests) == len(conditions))


_NAMES = "text", "least", "greatest"


def _asked(condition: Condition, dialect: str) -> dict[str, Any] | None:
    """What a condition says to the column; None where contents are to be looked at."""
    if isinstance(condition, str):
        return {"text": condition} if condition.isprintable() else None
    if isinstance(condition, Between):
        condition = condition.least, condition.greatest
    if condition is None or isinstance(condition, ContentCondition):
        return None
    if isinstance(condition, bool) and dialect == "postgresql":
        return {"text": json.dumps(condition)}
    least, greatest = condition if isinstance(condition, tuple) else (condition, condition)
    # Whatever is left out here is left to a look at contents.
    bounds = {}
    if abs(least) <= _EXACT:
        bounds["least"] = least - _MARGIN * abs(least)
    if abs(greatest) <= _EXACT:
        bounds["greatest"] = greatest + _MARGIN * abs(greatest)
    return bounds or None


def conditions_of(
    models: LtmModels, dialect: str, tests: Iterable[ValueTest]
) -> list[ColumnElement[bool]]:
    """The conditions of some tests, with parameters that are named by their places."""
    found = [*_conditions(models, dialect, tests)]
    # The indexes leave out entries without attributes, and are used only by those who do as well.
    return [models.LtmEntry.attributes.is_not(None), *found] if found else []


def _conditions(
    models: LtmModels, dialect: str, tests: Iterable[ValueTest]
) -> Iterator[ColumnElement[bool]]:
    for place, test in enumerate(tests):
        number, text = _VALUES[dialect](models, test.path)
        if test.is_of_text and dialect == "postgresql":
            # Its indexes hold numbers before texts.
            yield number.is_(None)
        if test.is_of_text:
            yield text == _cut(_named(f"text_{place}", String, dialect), dialect)
        if test.has_least:
            yield number >= _named(f"least_{place}", Numeric, dialect)
        if test.has_greatest:
            yield number <= _named(f"greatest_{place}", Numeric, dialect)


def has_number(models: LtmModels, dialect: str, path: str) -> ColumnElement[bool]:
    """Whether there is a number at a path."""
    number, _ = _VALUES[dialect](models, path)
    if dialect == "postgresql":
        return number.is_not(None)
    # Its index holds numbers before texts, and bools among them.
    kind = func.json_type(models.LtmEntry.attributes, _literal_place(path))
    return and_(
        number < literal_column("''"),
        kind.not_in([literal_column("'true'"), literal_column("'false'")]),
    )


def index_expressions(dialect: str, path: str) -> str:
    """What the index on a path is over, beside the agent.

    Args:
        dialect: The name of the database's kind.
        path: One that is_named accepts.
    """
    if dialect == "postgresql":
        return ", ".join(f"({expression})" for expression in _of_postgresql(path))
    return f"json_extract(attributes, {_place_in_sqlite(path)})"


def is_named(path: object) -> bool:
    """Whether JSON paths can name a path: they know no way to quote what JSON escapes."""
    return isinstance(path, str) and json.dumps(path) == f'"{path}"'


def _parameter(value: Any, dialect: str) -> Any:
    if dialect != "postgresql":
        return value
    if isinstance(value, str):
        spelled = json.dumps(value)[1:-1].replace("\\\\", "/").replace("\\u", "\\\\u")
        return json.loads(f'"{spelled}"')
    return Decimal(repr(float(value)))


def _named(name: str, kind: Any, dialect: str) -> BindParameter[Any]:
    return bindparam(name, type_=kind) if dialect == "postgresql" else bindparam(name)


def _cut(text: BindParameter[Any], dialect: str) -> ColumnElement[Any]:
    return func.left(text, literal_column(str(_LONGEST))) if dialect == "postgresql" else text


# Parts of the statement's text, since an index is used only for the very same expressions.


def _values_of_sqlite(
    models: LtmModels, path: str
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    value: ColumnElement[Any] = func.json_extract(models.LtmEntry.attributes, _literal_place(path))
    return value, value


def _literal_place(path: str) -> ColumnElement[Any]:
    return literal_column(_place_in_sqlite(path), String)


def _place_in_sqlite(path: str) -> str:
    place = f'$."{path}"'.replace("'", "''")
    return f"'{place}'"


def _values_of_postgresql(
    _models: LtmModels, path: str
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    number, text = _of_postgresql(path)
    return literal_column(f"({number})", Numeric), literal_column(f"({text})", String)


def _of_postgresql(path: str) -> tuple[str, str]:
    """The expressions of a number, and of anything else as text."""
    name = path.replace("'", "''")
    kind, value = f"json_typeof({_SPELLED} -> '{name}')", f"{_SPELLED} ->> '{name}'"
    return (
        f"CASE {kind} WHEN 'number' THEN CAST({value} AS numeric) END",
        f"CASE {kind} WHEN 'number' THEN NULL ELSE left({value}, {_LONGEST}) END",
    )


_VALUES = {"sqlite": _values_of_sqlite, "postgresql": _values_of_postgresql}
