"""Looks at the memory of a simulation from outside: three ways in, data frames and a plot.

    agent-memory demo
    python examples/analysis.py --path agent_memory_data/demo --plot wealth.png

The memory is opened read-only, and may be in use by a live simulation meanwhile.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

try:
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")  # writes files, and needs no screen
    import matplotlib.pyplot as plt
except ModuleNotFoundError as error:
    sys.exit(f"analysis: {error.name} is missing: pip install 'agent-memory[analysis]'")

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent_memory import AgentMemorySystem, MemoryEntry, MemoryStoreError, Order, Query
from agent_memory.values.paths import flattened


def latest_run(memory: AgentMemorySystem) -> AgentMemorySystem:
    """The memory bound to the run that was begun last."""
    models = memory.models
    with Session(memory.sql_engine) as session:
        newest = select(models.Run.name).order_by(models.Run.created_at.desc()).limit(1)
        return memory.run(session.scalars(newest).one())


# -- three ways in --------------------------------------------------------------------------


def by_recall(memory: AgentMemorySystem, agent_id: str) -> pd.DataFrame:
    """All that one agent remembers, over all tiers: a row for each entry, contents as columns."""
    hits = memory.recall(Query(agent_id=agent_id, order=Order.STEP))
    return pd.DataFrame([{"tier": hit.tier.name, **row_of(hit.entry)} for hit in hits])


def by_redis_om(memory: AgentMemorySystem) -> pd.DataFrame:
    """The states of short-term memory, of all agents, with Redis-OM."""
    state = memory.models.StmEntry
    found = state.find(state.run_id == memory.config.run_id, state.memory_type == "state").sort_by(
        "step_number"
    )
    return pd.DataFrame([row_of(entry.to_entry()) for entry in found.all()])


def by_sqlalchemy(memory: AgentMemorySystem) -> pd.DataFrame:
    """How many memories of each type each agent has in long-term memory, and their importance."""
    models = memory.models
    entry, agent, run, kind = models.LtmEntry, models.Agent, models.Run, models.Type
    counted = (
        select(
            agent.name.label("agent"),
            kind.name.label("type"),
            func.count().label("memories"),
            func.min(entry.step_number).label("first_step"),
            func.max(entry.step_number).label("last_step"),
            func.avg(entry.importance_score).label("importance"),
        )
        .join(agent, entry.agent_ref == agent.id)
        .join(run, entry.run_ref == run.id)
        .join(kind, entry.type_ref == kind.id)
        .where(run.name == memory.config.run_id)
        .group_by(agent.name, kind.name)
        .order_by(func.count().desc(), agent.name)
    )
    with memory.sql_engine.connect() as connection:
        return pd.read_sql(counted, connection)


# -- data frames ----------------------------------------------------------------------------


def row_of(entry: MemoryEntry) -> dict[str, Any]:
    """An entry as a row: who, when and what kind, and its contents by path.

    Columns of contents begin with ``contents.``, as in ``memory.to_pandas()``: a state that holds a
    "type" or "step" of its own says nothing of the entry. What follows is a path as conditions
    take it.
    """
    return {
        "agent": entry.agent_id,
        "step": entry.step_number,
        "type": entry.memory_type.value,
        "importance": entry.importance_score,
        **{f"contents.{path}": value for path, value in flattened(entry.contents)},
    }


def wealth_by_step(memory: AgentMemorySystem, agents: list[str]) -> pd.DataFrame:
    """What some agents owned, step by step, with the tier that remembers it."""
    frames = [by_recall(memory, agent) for agent in agents]
    states = pd.concat([frame[frame["type"] == "state"] for frame in frames])
    owned = states[["contents.sugar", "contents.spice"]].astype(float)
    states["wealth"] = owned.sum(axis=1)
    return states[["agent", "step", "tier", "wealth"]]


def longest_remembered(memory: AgentMemorySystem, count: int) -> list[str]:
    """The agents with the most memories in short-term memory: those that are still alive."""
    run_id = memory.config.run_id
    counts = {agent: memory.stm.count(run_id, agent) for agent in memory.stm.agents(run_id)}
    return sorted(counts, key=lambda agent: (-counts[agent], agent))[:count]


# -- the plot -------------------------------------------------------------------------------

_SHOWN_COLUMNS = 8
_LINES = {"LTM": ":", "IM": "--", "STM": "-"}
_NAMES = {"LTM": "long-term", "IM": "intermediate", "STM": "short-term"}


def plot(wealth: pd.DataFrame, path: Path) -> None:
    """Draw the wealth of each agent over the steps, the line telling the tier."""
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for place, (_, states) in enumerate(wealth.groupby("agent")):
        color = f"C{place}"
        for tier, line in _LINES.items():
            part = states[states["tier"] == tier]
            axes.plot(part["step"], part["wealth"], line, color=color, linewidth=1.6)
        axes.annotate(
            f" {states['agent'].iloc[0]}",
            (states["step"].iloc[-1], states["wealth"].iloc[-1]),
            color=color,
            va="center",
        )
    for tier, line in _LINES.items():
        axes.plot([], [], line, color="0.3", label=f"{_NAMES[tier]} memory")
    axes.set(
        title="What traders (by number) owned, as their memories tell it",
        xlabel="simulation step",
        ylabel="sugar and spice (units)",
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def tell(title: str, frame: pd.DataFrame, rows: int = 8) -> None:
    """Print the head of a data frame under a title."""
    print(f"\n{title} ({len(frame):,} rows)")
    print(frame.iloc[:rows, :_SHOWN_COLUMNS].to_string(index=False))


def main() -> None:
    """Print what each way in gives, and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, default=Path("agent_memory_data/demo"))
    parser.add_argument("--plot", type=Path, default=Path("wealth.png"))
    given = parser.parse_args()
    try:
        with AgentMemorySystem.open(given.path, read_only=True) as opened:
            analyse(latest_run(opened), given.plot)
    except MemoryStoreError as error:
        sys.exit(f"analysis: {error}")


def analyse(memory: AgentMemorySystem, picture: Path) -> None:
    """Look at one run."""
    print(f"run {memory.config.run_id} on {memory.redis_engine}")
    agents = longest_remembered(memory, 6)
    tell(f"recall: all that agent {agents[0]} remembers", by_recall(memory, agents[0]))
    if memory.redis_engine.has_query_engine:
        tell("Redis-OM: states in short-term memory", by_redis_om(memory))
    else:
        print("\nRedis-OM: the server has no query engine (pip install 'agent-memory[search]')")
    tell("SQLAlchemy: long-term memory by agent and type", by_sqlalchemy(memory))
    wealth = wealth_by_step(memory, agents)
    tell("wealth by tier", wealth.groupby("tier")["wealth"].describe().reset_index())
    plot(wealth, picture)
    print(f"\nplotted to {picture}")


if __name__ == "__main__":
    main()
