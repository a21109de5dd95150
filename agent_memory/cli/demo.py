"""The demo: Mesa's Sugarscape, remembered through all three tiers, shown to a person."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent_memory.cli import demo_similarity, tables
from agent_memory.config import MemoryConfig
from agent_memory.errors import ConfigError
from agent_memory.integrations.sugarscape import Moment, Sugarscape
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Hit, Order, Query

DEFAULT_FOLDER = Path("agent_memory_data/demo")
_SHOWN_PER_TIER = 3


@dataclass(slots=True)
class _Tally:
    """What a simulation stored, and where its time went, in seconds."""

    stored: int = 0
    storing: float = 0.0
    simulating: float = 0.0
    lived: Counter[int] = field(default_factory=Counter)
    traded: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Stores a second."""
        return self.stored / self.storing if self.storing else 0.0

    @property
    def protagonist(self) -> int:
        """The trader that lived longest; of several, the one that traded in most steps."""
        return max(self.lived, key=lambda agent_id: (self.lived[agent_id], self.traded[agent_id]))


def run(folder: Path, *, traders: int, steps: int, seed: int | None, console: Console) -> None:
    """Simulate one run that is remembered in a folder, and show what became of its memories.

    A folder that holds runs of the demo keeps them and gets one more. The simulation itself is
    not saved, so it starts again under a name and, unless one is given, with a seed of its own.

    Args:
        folder: Where to remember.
        traders: How many there are at the start.
        steps: How many steps to simulate.
        seed: Of the simulation; None: the number of the run.
        console: Where to print.

    Raises:
        MemoryStoreError: The folder or its server cannot be used, or Mesa is not installed.
    """
    with AgentMemorySystem(_config(folder, steps)) as whole:
        earlier = [run.run_id for run in whole.runs()]
        number = next(number for number in count(1) if _run_name(number) not in earlier)
        seed = number if seed is None else seed
        simulation = _simulation(traders, seed)
        name, begun = _run_name(number), {"traders": traders, "steps": steps}
        with whole.run(name, parameters=begun, seed=seed) as memory:
            console.print(
                f"{traders} traders on Mesa's Sugarscape, {steps} steps, remembered in {folder} "
                f"as run {name}",
                soft_wrap=True,
            )
            _tell_of_earlier(console, memory, earlier)
            tally = _simulate(simulation, memory, steps, console)
            memory.maintain()
            _tell_outcome(console, memory, tally)
            _ask(console, memory, tally.protagonist, steps)
            console.print()
            demo_similarity.learn(console, memory)
            demo_similarity.ask(console, memory, tally.protagonist)
        if whole.make_search_indexes():
            console.print()
            console.print(f"indexed for Redis-OM on {whole.redis_engine}: see docs/querying.md")


def _run_name(number: int) -> str:
    return f"sugarscape-{number}"


def _config(folder: Path, steps: int) -> MemoryConfig:
    """Limits at which a trader's two entries a step fill every tier: 40 and 80 for 100 steps.

    What nobody adds to any more, that of traders who starved, moves on by its age in steps.
    """
    short = max(1, 2 * steps // 5)
    return MemoryConfig(
        path=folder,
        engine="embedded",
        stm_config={"memory_limit": short, "max_age_steps": short},
        im_config={"memory_limit": 2 * short, "max_age_steps": 2 * short},
        cleanup_interval=max(1, short // 2),
        on_store_error="raise",
    )


def _simulation(traders: int, seed: int) -> Sugarscape:
    try:
        return Sugarscape(traders, seed)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the demo simulates with Mesa, and {error.name} is missing: "
            "pip install 'agent-memory[demo]'"
        ) from error


def _simulate(
    simulation: Sugarscape, memory: AgentMemorySystem, steps: int, console: Console
) -> _Tally:
    tally = _Tally()
    with _progress(console) as progress:
        task = progress.add_task("simulating", total=steps, alive=0, stored=0)
        for _ in range(steps):
            began = time.perf_counter()
            moments = simulation.step()
            stepped = time.perf_counter()
            for moment in moments:
                tally.stored += _remember(memory, moment)
                tally.lived[moment.agent_id] += 1
                tally.traded[moment.agent_id] += moment.action["action_type"] == "trade"
            tally.simulating += stepped - began
            tally.storing += time.perf_counter() - stepped
            progress.update(task, advance=1, alive=simulation.alive, stored=tally.stored)
    return tally


def _remember(memory: AgentMemorySystem, moment: Moment) -> int:
    """Store what a trader is and did; returns how many entries that made."""
    agent_id, step = moment.agent_id, moment.step
    memory.store_agent_action(agent_id, moment.action, step, priority=moment.importance)
    if moment.state is None:
        return 1
    memory.store_agent_state(agent_id, moment.state, step, priority=moment.importance)
    return 2


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[alive]} traders alive, {task.fields[stored]:,} entries stored"),
        TimeElapsedColumn(),
        console=console,
    )


# -- telling ----------------------------------------------------------------------------------


def _tell_of_earlier(console: Console, memory: AgentMemorySystem, earlier: Sequence[str]) -> None:
    if earlier:
        tiers = (memory.stm, memory.im, memory.ltm)
        held = sum(tier.count(run_id) for tier in tiers for run_id in earlier)
        console.print(f"reopened, with {held:,} entries of earlier runs: {', '.join(earlier)}")


def _tell_outcome(console: Console, memory: AgentMemorySystem, tally: _Tally) -> None:
    console.print()
    tables.print_table(console, tables.tiers(memory))
    held = sum(tier.entries for tier in memory.statistics().values())
    console.print()
    console.print(f"stored  {tally.stored:,} entries, of which {held:,} are held, each in one tier")
    console.print(f"moved   {tables.moves(memory.moves)}")
    console.print(
        f"speed   {tally.rate:,.0f} stores a second with their moves "
        f"({tally.storing:.1f} s; the simulation {tally.simulating:.1f} s)"
    )


def _ask(console: Console, memory: AgentMemorySystem, agent_id: int, steps: int) -> None:
    first, last = 1 + steps // 10, steps
    query = Query(agent_id=str(agent_id), steps=(first, last), order=Order.STEP)
    began = time.perf_counter()
    hits = memory.recall(query)
    milliseconds = 1000 * (time.perf_counter() - began)
    console.print()
    console.print(f"What was trader {agent_id}, and what did it do, in steps {first} to {last}?")
    console.print(f"{len(hits)} entries in {milliseconds:.1f} ms: {tables.origins(hits)}")
    tables.print_table(console, _answer(hits))


def _answer(hits: Sequence[Hit]) -> Table:
    table = tables.counted("tier", "step")
    table.add_column("type")
    table.add_column("contents, some of them")
    for hit in _sample(hits):
        entry = hit.entry
        table.add_row(
            tables.TIER_NAMES[hit.tier],
            str(entry.step_number),
            entry.memory_type,
            _summary(entry.memory_type, entry.contents),
        )
    return table


def _sample(hits: Sequence[Hit]) -> Iterator[Hit]:
    """A few hits of each tier, evenly spread."""
    for _, group in groupby(hits, key=lambda hit: hit.tier):
        of_tier = list(group)
        every = max(1, -(-len(of_tier) // _SHOWN_PER_TIER))
        yield from of_tier[every // 2 :: every]


def _summary(memory_type: MemoryType, contents: Mapping[str, Any]) -> str:
    if memory_type is MemoryType.ACTION:
        return _action_summary(contents["action_type"], contents["action_params"])
    partners = ", ".join(str(partner) for partner in dict.fromkeys(contents["trade_partners"]))
    return f"{contents['position']}, sugar {contents['sugar']:g}, spice {contents['spice']:g}" + (
        f", traded with {partners}" if partners else ""
    )


def _action_summary(action_type: str, details: Mapping[str, Any]) -> str:
    if action_type == "starve":
        return f"starved at {details['from']} without {' and '.join(details['lacking'])}"
    gained = f"sugar {details['sugar_gained']:+g}, spice {details['spice_gained']:+g}"
    way = f"{details['from']} to {details['to']}" if details["from"] != details["to"] else ""
    return ", ".join(part for part in (action_type, way, gained) if part)
