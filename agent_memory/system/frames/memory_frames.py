"""What gives stored entries as frames: Arrow, pandas, polars and DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from agent_memory.errors import InvalidEntry
from agent_memory.system.frames.extras import need
from agent_memory.system.frames.reading import chunks, queries_of_runs
from agent_memory.system.run_memory import RunMemory
from agent_memory.values.identity import checked_run_id
from agent_memory.values.query import Hit, Query, checked_query, query_of
from agent_memory.values.quoting import quoted
from agent_memory.values.tried import tried_with

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Nested = Literal["flat", "struct"]
"""How nested contents become columns."""
Asked = Query | Iterable[Query] | None


class MemoryFrames:
    """Gives the entries of a memory as frames.

    Args:
        run: The run.
    """

    def __init__(self, run: RunMemory) -> None:
        self._run = run
        self._resources = run.resources

    @tried_with("pyarrow")
    def to_arrow(
        self,
        query: Asked = None,
        *,
        runs: Iterable[str] | None = None,
        nested: Nested = "flat",
        embeddings: bool = False,
        **asked: Any,
    ) -> pa.RecordBatchReader:
        """Stream entries over all tiers as Arrow record batches, each entry once.

        An entry's own fields, its tier and its error bounds are columns, and so are the values of
        its contents, such as ``contents.home.food``; see ``docs/analysis.md``. All rows are read
        before the first batch, since the types of columns come from all of them; rows that do not
        fit in memory wait in a temporary file. This counts as no retrieval.

        Args:
            query: What is asked, or several questions; None: all agents, each by step.
            runs: Of which runs, if ``query`` is None; None: this system's.
            nested: "flat" for a column for each value in nested dicts, "struct" for one column
                ``contents``.
            embeddings: Whether vectors are a column too.
            asked: The fields of a ``Query``, in place of one.

        Returns:
            A ``pyarrow.RecordBatchReader``.

        Raises:
            ConfigError: pyarrow is not installed; the message names the extra.
            InvalidEntry: ``query`` is no query, or ``nested`` is neither.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> table = memory.to_arrow(agent_id="ant-1").read_all()
            >>> table.num_rows, table["contents.food"].to_pylist()[:3]
            (10, [0.0, 0.5, 1.0])
        """
        need("pyarrow")
        from agent_memory.system.frames.chunk import FrameOptions  # noqa: PLC0415  # needs pyarrow
        from agent_memory.system.frames.stream import RowStream  # noqa: PLC0415  # as above

        options = FrameOptions(checked_nested(nested), embeddings=embeddings)
        return RowStream(self._chunks(query, runs, asked), options).reader()

    @tried_with("pandas", "pyarrow")
    def to_pandas(
        self,
        query: Asked = None,
        *,
        runs: Iterable[str] | None = None,
        nested: Nested = "flat",
        embeddings: bool = False,
        **asked: Any,
    ) -> pd.DataFrame:
        """Give entries as a pandas data frame; see ``to_arrow``.

        Ints stay ints beside missing values (``Int64``), and truths truths (``boolean``). Lists
        and structs are columns of Arrow types.

        Raises:
            ConfigError: pandas or pyarrow is not installed; the message names the extra.

        Examples:
            >>> frame = memory.to_pandas()
            >>> frame["contents.food"].tolist()[:3], frame["tier"].iloc[0]
            ([0.0, 0.5, 1.0], 'STM')
        """
        need("pandas", "pyarrow")
        from agent_memory.system.frames.conversions import to_pandas  # noqa: PLC0415  # as above

        reader = self.to_arrow(query, runs=runs, nested=nested, embeddings=embeddings, **asked)
        return to_pandas(reader.read_all())

    @tried_with("polars", "pyarrow")
    def to_polars(
        self,
        query: Asked = None,
        *,
        runs: Iterable[str] | None = None,
        nested: Nested = "flat",
        embeddings: bool = False,
        **asked: Any,
    ) -> pl.DataFrame:
        """Give entries as a polars data frame; see ``to_arrow``.

        Raises:
            ConfigError: polars or pyarrow is not installed; the message names the extra.

        Examples:
            >>> memory.to_polars()["contents.food"].max()
            4.5
        """
        need("polars", "pyarrow")
        from agent_memory.system.frames.conversions import to_polars  # noqa: PLC0415  # as above

        reader = self.to_arrow(query, runs=runs, nested=nested, embeddings=embeddings, **asked)
        return to_polars(reader.read_all())

    @tried_with("duckdb", "pyarrow")
    def to_duckdb(
        self,
        query: Asked = None,
        *,
        runs: Iterable[str] | None = None,
        nested: Nested = "flat",
        embeddings: bool = False,
        connection: duckdb.DuckDBPyConnection | None = None,
        **asked: Any,
    ) -> duckdb.DuckDBPyRelation:
        """Give entries as a relation of DuckDB, to ask in SQL; see ``to_arrow``.

        Args:
            query: What is asked; see ``to_arrow``.
            runs: Of which runs; see ``to_arrow``.
            nested: See ``to_arrow``.
            embeddings: Whether vectors are a column too.
            connection: Where the relation is made; None: in memory, in a database of its own.
            asked: See ``to_arrow``.

        Raises:
            ConfigError: duckdb or pyarrow is not installed; the message names the extra.

        Examples:
            >>> steps = memory.to_duckdb().aggregate('max("contents.food"), count(*)')
            >>> steps.fetchall()
            [(4.5, 10)]
        """
        need("duckdb", "pyarrow")
        from agent_memory.system.frames.conversions import to_duckdb  # noqa: PLC0415  # as above

        reader = self.to_arrow(query, runs=runs, nested=nested, embeddings=embeddings, **asked)
        return to_duckdb(reader.read_all(), connection)

    def _chunks(
        self, query: Asked, runs: Iterable[str] | None, asked: Mapping[str, Any]
    ) -> Iterator[list[Hit]]:
        opened, own = self._resources, self._run.run_id
        query = query_of(query, asked) if asked else query
        if query is None:
            named = [own] if runs is None else sorted(map(checked_run_id, _several(runs)))
            return chunks(opened.readers, queries_of_runs(opened.readers, named))
        if runs is not None:
            raise InvalidEntry("runs: a query names its own run; give one of the two")
        given = [query] if isinstance(query, Query) else _several(query)
        return chunks(opened.readers, [checked_query(each).within(own) for each in given])


def _several(given: Any) -> Iterable[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidEntry(
            "query or runs: a Query, or a list of them or of names of runs, is needed, "
            f"not {quoted(given)}"
        )
    return given


def checked_nested(nested: object) -> str:
    """How nested contents become columns.

    Raises:
        InvalidEntry: There is no such way.
    """
    if nested not in ("flat", "struct"):
        raise InvalidEntry(f'nested: "flat" or "struct" is needed, not {quoted(nested)}')
    return str(nested)
