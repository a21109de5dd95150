"""What gives the pictures of a memory: charts for notebooks, and the report."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from agent_memory.connections.disk_space import unwritable
from agent_memory.errors import InvalidEntry
from agent_memory.system.frames.extras import need
from agent_memory.system.pictures.data import PictureData
from agent_memory.system.pictures.plots import MemoryPlots
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.services import Services
from agent_memory.values.file_names import whole_path
from agent_memory.values.tried import tried_with


class MemoryPictures:
    """Gives pictures of what a run remembers.

    Args:
        run: The run.
        services: What answers questions.
    """

    def __init__(self, run: RunMemory, services: Services) -> None:
        self._run = run
        self._services = services

    @property
    def plot(self) -> MemoryPlots:
        """Pictures of this run for notebooks: timeline, history, occupancy, map.

        Examples:
            >>> memory.plot.data.life("ant-1").sampled.total
            10
        """
        run = self._run
        return MemoryPlots(PictureData(run.resources, run.run_id, self._services.retriever))

    @tried_with("altair")
    def report(
        self, path: str | Path, agent_id: str | int | None = None, *, force: bool = False
    ) -> Path:
        """Write the pictures of an agent, or of the run, into one file that any browser opens.

        The file needs nothing else, no network either. Of more than 10,000 entries it shows an
        even sample, and says so. This counts as no retrieval.

        Args:
            path: The file, such as ``report.html``.
            agent_id: The agent; None: the run.
            force: Replace what is there.

        Returns:
            The file.

        Raises:
            ConfigError: The extra ``explore`` is not installed, or ``path`` is no name of a file.
            EntryNotFound: There are no entries.
            InvalidEntry: Something is there already, or its name ends in what is no page.
            StoreUnavailable: A tier does not answer, or the file cannot be written.

        Examples:
            >>> memory.report("ant.html", "ant-1").stat().st_size < 2_000_000
            True
        """
        file = whole_path(path)
        if file.suffix.lower() not in ("", ".html", ".htm"):
            raise InvalidEntry(
                f"path: {file} ends in {file.suffix}, and what is written is a page: name it .html"
            )
        if not force and os.path.lexists(file):
            raise InvalidEntry(f"path: {file} is there already; force=True (--force) replaces it")
        need("altair", "vl_convert")
        from agent_memory.system.pictures import report  # noqa: PLC0415  # an extra

        data = self.plot.data
        text = report.run_report(data) if agent_id is None else report.agent_report(data, agent_id)
        return _written(file, text)


def _written(file: Path, text: str) -> Path:
    """Write a file that takes its name when it is whole and on disk."""
    part = file.with_name(f"{file.name}.part-{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritable(str(file), file, error) from error
    return file
