"""What writes stored entries to files for other programs, and reads such files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from agent_memory.errors import InvalidEntry
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.system.frames.extras import need
from agent_memory.system.frames.memory_frames import Asked, MemoryFrames, Nested, checked_nested
from agent_memory.system.frames.receipts import ExportReceipt, ImportReceipt
from agent_memory.system.frames.run_cells import run_cell
from agent_memory.values.file_names import whole_path
from agent_memory.values.progress import EntriesProgress
from agent_memory.values.quoting import quoted
from agent_memory.values.tried import tried_with

Format = Literal["parquet", "jsonl", "csv"]


class MemoryFiles(MemoryFrames):
    """Writes the entries of a memory to files, and stores what such files hold."""

    @tried_with("pyarrow")
    def export(
        self,
        path: str | Path,
        query: Asked = None,
        *,
        runs: Iterable[str] | None = None,
        format: Format | None = None,  # noqa: A002  # its name in every library of frames
        nested: Nested = "flat",
        partition_by: Literal["run_id"] | None = None,
        force: bool = False,
        progress: EntriesProgress | None = None,
        **asked: Any,
    ) -> ExportReceipt:
        """Write entries to a file for other programs, with the columns of ``to_arrow``.

        A column ``exact`` holds each entry whole, vector included, for ``import_``, and a column
        ``run`` what is recorded of runs, in the first row of each. The file takes its name when it
        is whole and on disk.

        Args:
            path: The file, or with ``partition_by`` the folder.
            query: What is asked; see ``to_arrow``.
            runs: Of which runs; see ``to_arrow``.
            format: "parquet", "jsonl" or "csv"; None: what the name ends in, and "parquet" for a
                name without an ending or a folder.
            nested: See ``to_arrow``.
            partition_by: "run_id" for a folder with a folder for each run, ``run_id=NAME``.
            force: Replace what is there.
            progress: Called after each batch with how many entries are written, of how many.
            asked: The fields of a ``Query``, in place of one.

        Raises:
            ConfigError: pyarrow is not installed, or ``path`` is no name of a file.
            InvalidEntry: Something is there already, the name ends in no format, or an argument
                has no meaning.
            StoreUnavailable: A tier does not answer, or the file cannot be written.

        Examples:
            >>> memory.export("ant.parquet", agent_id="ant-1", steps=(0, 4)).entries
            5
        """
        need("pyarrow")
        from agent_memory.system.frames import exporting  # noqa: PLC0415  # needs pyarrow
        from agent_memory.system.frames.chunk import FrameOptions  # noqa: PLC0415  # as above
        from agent_memory.system.frames.stream import RowStream  # noqa: PLC0415  # as above

        file = whole_path(path)
        kind = exporting.format_of(file, format, is_folder=partition_by is not None)
        if partition_by not in (None, *exporting.PARTITIONS):
            raise InvalidEntry(
                f'partition_by: "run_id" or None is needed, not {quoted(partition_by)}'
            )
        exporting.refuse_existing(file, force=force)
        spaces = self._resources.encoder.versions.own()
        begun = [run for run in self._run_records.all() if run.parameters is not None]
        cells = {run.run_id: run_cell(run) for run in begun}
        options = FrameOptions(checked_nested(nested), exact=True, spaces=spaces, runs=cells)
        stream = RowStream(self._chunks(query, runs, asked), options)
        return exporting.export(stream, file, kind, partition_by, progress)

    @tried_with("pyarrow")
    def import_(
        self,
        path: str | Path,
        *,
        force: bool = False,
        progress: EntriesProgress | None = None,
    ) -> ImportReceipt:
        """Store what ``export`` wrote, each entry in its run and in the tier that it was in.

        All rows are read and checked before the first is stored, by a checksum in each. If an
        import was interrupted, the same call goes on with the rest. In the end all are read again.
        What the file has recorded of runs is recorded here too: parameters, seed, parent, status.
        Vectors of a fitted encoder are made again by the one in use here; those of a model of your
        own come with the name of their model.

        Args:
            path: The file, or the folder of a partitioned export.
            force: Replace other entries that are here under the same ids, and other records of
                the same runs.
            progress: Called after each batch with how many entries are done, of how many.

        Raises:
            ConfigError: pyarrow is not installed, or ``path`` is no name of a file.
            EncodingError: A row is damaged or was changed; names the row and the reason. Nothing
                was stored.
            EntryConflict: Another entry has the id of one in the file. Nothing was stored.
            RunConflict: A run of the file was begun with other parameters, another seed or parent
                here. Nothing was stored.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A file cannot be read, or a tier does not answer.

        Examples:
            >>> receipt = memory.import_(memory.export("ants.csv").path)
            >>> receipt.stored, receipt.present
            (0, 10)
        """
        need("pyarrow")
        from agent_memory.system.frames.importing import Importing  # noqa: PLC0415  # needs pyarrow

        opened = self._resources
        opened.check_writable("nothing was imported")
        importing = Importing(
            opened.tiers, self._run_records, opened.encoder, force=force, progress=progress
        )
        return importing.run(whole_path(path))

    @property
    def _run_records(self) -> RunRecords:
        opened = self._resources
        transactions = Transactions(opened.connections.sql_engine)
        return RunRecords(transactions, opened.models, opened.clock)
