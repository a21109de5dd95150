"""The commands of the encoder: its versions, training, activation, re-encoding."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent_memory.cli import tables
from agent_memory.cli.opening import Folder, console, opened, plain_errors
from agent_memory.cli.output import AsJson, print_rows
from agent_memory.repositories.sql.encoders import EncoderRecord
from agent_memory.system.memory_system import AgentMemorySystem

app = typer.Typer(help="Versions of the encoder that makes the vectors.", no_args_is_help=True)

_Runs = Annotated[
    list[str] | None, typer.Option("--run", help="A run; may be given several times.")
]
_NUMBERS: Final = ("version", "entries", "R2", "recall@10")
_TEXTS: Final = ("status", "kind", "name", "made")
_Version = Annotated[int, typer.Argument(min=0, help="As listed; 0 needs no training.")]


@app.command(name="list")
def list_versions(path: Folder = None, as_json: AsJson = False) -> None:
    """Show the versions of the encoder, and how many entries name each."""
    with plain_errors(), opened(path, read_only=True) as system:
        if as_json:
            print_rows(_rows(system), as_json=True)
        else:
            tables.print_table(console(), _versions(system))


@app.command()
def train(
    path: Folder = None,
    run: _Runs = None,
    network: Annotated[
        bool, typer.Option(help="Train a network too, which needs torch; else PCA alone.")
    ] = True,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes of the network over the states.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    name: Annotated[str | None, typer.Option(help="Of the version, for people.")] = None,
    activate: Annotated[bool, typer.Option(help="Encode new entries with it.")] = True,
) -> None:
    """Fit a version to what is remembered, of every run unless some are named."""
    screen = console()
    with plain_errors(), opened(path) as system:
        with epoch_bar(screen) as progress:
            trained = system.train_encoder(
                runs=run or tables.runs_of(system),
                network=network,
                epochs=epochs,
                seed=seed,
                name=name,
                activate=activate,
                progress=progress,
            )
        tables.print_table(screen, comparison(trained.report))
        screen.print(f"kept: {trained.report.kept}, since {trained.report.reason}", soft_wrap=True)
        state = "active" if trained.active else "registered"
        screen.print(f"version {trained.version} is {state}")


@app.command()
def activate(version: _Version, path: Folder = None) -> None:
    """Encode new entries with a version; a live simulation does so from its next upkeep on."""
    with plain_errors(), opened(path) as system:
        system.encoders.activate(version)
        typer.echo(f"version {version} is active")


@app.command()
def reencode(
    path: Folder = None,
    run: _Runs = None,
    version: Annotated[
        int | None, typer.Option(min=0, help="As listed; else the active one.")
    ] = None,
) -> None:
    """Give stored entries vectors of a version; may be stopped at any moment and begun again."""
    screen = console()
    with plain_errors(), opened(path) as system:
        with entry_bar(screen) as progress:
            done = system.encoders.reencode(version, runs=run, progress=progress)
        screen.print(f"re-encoded: {done.done:,} entries")
        if done.unreadable:
            screen.print(f"unreadable, and left as they are: {done.unreadable:,}")
        if done.left:
            screen.print(f"stored meanwhile with another version: {done.left:,}; begin again later")


def comparison(report: Any) -> Table:
    """How the codes did on the states held out, tier by tier, as vectors rest and in bytes.

    Args:
        report: A ``TrainingReport``.
    """
    table = tables.counted("tier", "width", "R2", "NRMSE", "recall@10")
    table.add_column("code")
    for name, level in zip(tables.TIER_NAMES.values(), report.levels, strict=False):
        for code, measured in _compared(level):
            figures = (measured.r2, measured.nrmse, measured.recall)
            table.add_row(name, str(level.width), *map("{:.3f}".format, figures), code)
    return table


def _compared(level: Any) -> list[tuple[str, Any]]:
    """The codes of a tier by name; once, where vectors rest with a byte a number anyway."""
    codes = [
        ("PCA", level.pca),
        ("PCA, int8", level.pca_int8),
        ("network", level.learned),
        ("network, int8", level.learned_int8),
        ("features, int8", level.features_int8),
    ]
    if level.pca == level.pca_int8:
        codes = [code for code in codes if code[0] not in ("PCA, int8", "network, int8")]
    return [(name, measured) for name, measured in codes if measured is not None]


@contextmanager
def epoch_bar(screen: Console) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """A bar of a training's epochs while the block lasts; gives what to call after each."""
    with _bar(screen, "epoch", "loss {task.fields[loss]:.4f}") as progress:
        task = progress.add_task("", total=None, loss=float("nan"))

        def tell(epoch: int, epochs: int, losses: dict[str, float]) -> None:
            progress.update(task, completed=epoch, total=epochs, loss=losses["loss"])

        yield tell


@contextmanager
def entry_bar(screen: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar of entries while the block lasts; gives what to call after each batch."""
    with _bar(screen, "entry", "") as progress:
        task = progress.add_task("", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield tell


def _bar(screen: Console, unit: str, detail: str) -> Progress:
    return Progress(
        TextColumn(unit),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn(detail),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        # Where there is no terminal its last line would stay, empty.
        disable=not screen.is_terminal,
    )


def _versions(system: AgentMemorySystem) -> Table:
    table = tables.counted(*_NUMBERS)
    for column in _TEXTS:
        table.add_column(column)
    for version, entries, described in _described_versions(system):
        table.add_row(str(version), f"{entries:,}", *described)
    return table


def _rows(system: AgentMemorySystem) -> Iterator[dict[str, Any]]:
    for version, entries, (r2, recall, *texts) in _described_versions(system):
        measured = [float(number) if number else None for number in (r2, recall)]
        values = (version, entries, *measured, *(text or None for text in texts))
        yield dict(zip((*_NUMBERS, *_TEXTS), values, strict=True))


def _described_versions(system: AgentMemorySystem) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    named = tables.entries_by_version(system)
    records = {record.version: record for record in system.encoders.versions()}
    for version in sorted({*records, *named}):
        yield version, named.get(version, 0), _described(records.get(version))


def _described(record: EncoderRecord | None) -> tuple[str, ...]:
    if record is None:
        return ("", "", "unregistered", "", "", "")
    day = dt.datetime.fromtimestamp(record.created_at, dt.UTC).date()
    made = day.isoformat() if record.created_at else ""
    described = (record.status, record.kind or "", record.name or "", made)
    return (*_narrowest(record), *described)


def _narrowest(record: EncoderRecord) -> tuple[str, str]:
    """R2 and recall of what was kept, at the width of long-term memory."""
    report = record.metrics.get("report") or {}
    levels = report.get("levels") or []
    if not levels:
        return "", ""
    measured = levels[-1][report["kept"]]
    return f"{measured['r2']:.3f}", f"{measured['recall']:.3f}"
