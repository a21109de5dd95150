"""What the commands print: tables of tiers and runs, sentences about moves and hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.tiers.consolidation import Moves
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit

TIER_NAMES = {Tier.STM: "short-term", Tier.IM: "intermediate", Tier.LTM: "long-term"}

_APART = 2  # spaces between two columns
_NARROWEST = 24  # characters of a last column that is broken


def runs_of(system: AgentMemorySystem) -> list[str]:
    """The runs that have entries in any tier, sorted."""
    return sorted({run for tier in (system.stm, system.im, system.ltm) for run in tier.runs()})


def entries_by_version(system: AgentMemorySystem) -> Counter[int]:
    """How many entries name each version of the encoder, of all runs and tiers."""
    counts: Counter[int] = Counter()
    for repository in (system.stm, system.im, system.ltm):
        counts.update(repository.encodings.versions())
    return counts


def tiers(system: AgentMemorySystem) -> Table:
    """Entries and bytes of each tier: of the system's run, and of the whole memory."""
    table = counted("tier", "entries of this run", "of all runs", "bytes in all", "bytes an entry")
    for tier, held in system.statistics().items():
        table.add_row(
            TIER_NAMES[tier],
            f"{held.entries:,}",
            f"{held.all_entries:,}",
            f"{held.stored_bytes:,}",
            f"{held.bytes_per_entry:,.0f}",
        )
    return table


def runs(system: AgentMemorySystem) -> Table:
    """Agents and entries of each run, tier by tier."""
    table = counted("run", "agents", *TIER_NAMES.values())
    upkeeps = [tier.upkeep for tier in (system.stm, system.im, system.ltm)]
    agents = Counter(run_id for run_id, _ in {who for each in upkeeps for who in each.all_agents()})
    entries = [each.entries_by_run() for each in upkeeps]
    for run_id in sorted(agents):
        counts = [f"{found.get(run_id, 0):,}" for found in entries]
        table.add_row(run_id, f"{agents[run_id]:,}", *counts)
    return table


def moves(moved: Moves) -> str:
    """How many entries went from tier to tier, as a phrase."""
    return f"{moved.stm_to_im:,} short-term to intermediate, {moved.im_to_ltm:,} on to long-term"


def origins(hits: Iterable[Hit]) -> str:
    """How many hits each tier gave, as a phrase."""
    counts = Counter(hit.tier for hit in hits)
    return ", ".join(f"{counts[tier]:,} {name}" for tier, name in TIER_NAMES.items())


def print_table(screen: Console, table: Table) -> None:
    """Print a table of which only the last column is broken where the terminal is too narrow.

    Names are copied into the next command, so none is cut: what still does not fit goes on beyond
    the edge.

    Args:
        screen: Where to print it.
        table: The table, of texts.
    """
    left = screen.width
    for column in table.columns:
        cells = [cell_len(str(cell)) for cell in column.cells]
        header = str(column.header)
        least = max(*map(cell_len, header.split() or [""]), *cells, 0)
        if column is table.columns[-1]:
            least = min(max(least, cell_len(header)), max(left, _NARROWEST))
            column.overflow = "fold"
        column.width = least
        left -= least + _APART
    wide = sum((column.width or 0) + _APART for column in table.columns)
    screen.print(_Wide(table, wide), crop=False)


@dataclass(frozen=True, slots=True)
class _Wide:
    """A table on lines of its own width, also where the terminal is narrower."""

    table: Table
    width: int

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update_width(max(options.max_width, self.width))
        yield from screen.render(self.table, wide)


def counted(*columns: str, names: int = 1) -> Table:
    """A table of numbers, but for names in its first columns."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _APART, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < names else "right")
    return table
