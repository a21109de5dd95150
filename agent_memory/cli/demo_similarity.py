"""The demo's second half: the encoder learns from the run, finds what is similar, and decodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

from agent_memory.cli import tables
from agent_memory.cli.encoder import comparison, entry_bar, epoch_bar
from agent_memory.embeddings.features import flatten
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Hit, Order, Query

_SHOWN = 12
_TRIED = 100  # states, a few milliseconds each
_EPOCHS = 20  # a third of the usual, for a demo that is over soon


def learn(console: Console, memory: AgentMemorySystem) -> None:
    """Train the encoder on the run, re-encode the run, and report how good it is."""
    console.print("The encoder learns from the memories of the traders.")
    network = find_spec("torch") is not None
    if not network:
        console.print(
            "torch is not installed, so PCA alone is fitted; a network can do better: "
            "pip install 'agent-memory[train]'"
        )
    began = time.perf_counter()
    with epoch_bar(console) as progress:
        trained = memory.train_encoder(network=network, epochs=_EPOCHS, progress=progress)
    trained_in = time.perf_counter() - began
    with entry_bar(console) as progress:
        encoded = memory.encoders.reencode(runs=[memory.config.run_id], progress=progress)
    encoded_in = time.perf_counter() - began - trained_in
    report = trained.report
    tables.print_table(console, comparison(report))
    console.print(
        f"version {trained.version} is {report.kept.replace('pca', 'PCA')}: {report.reason}; "
        f"{report.fitted:,} entries learned from, {report.held_out:,} later ones measured on",
        soft_wrap=True,
    )
    console.print(f"{trained_in:.1f} s; {encoded.done:,} entries re-encoded in {encoded_in:.1f} s")


def ask(console: Console, memory: AgentMemorySystem, agent_id: int) -> None:
    """Ask when a trader was in a situation like one it remembers, and decode what is oldest."""
    states = Query(agent_id=str(agent_id), memory_type=MemoryType.STATE, order=Order.STEP)
    asked = _most_widely_remembered(memory, memory.recall(states, touch=False), states)
    if asked is None:
        return
    began = time.perf_counter()
    hits = memory.recall(_limited(states), near=asked)
    milliseconds = 1000 * (time.perf_counter() - began)
    console.print()
    console.print(f"When was trader {agent_id} in a situation like in step {asked.step_number}?")
    console.print(f"{len(hits)} states in {milliseconds:.1f} ms: {tables.origins(hits)}")
    tables.print_table(console, _similar(hits))
    oldest = [hit.entry for hit in hits if hit.tier is Tier.LTM]
    if oldest:
        console.print()
        _decode(console, memory, oldest[0])


def _limited(query: Query) -> Query:
    return Query(agent_id=query.agent_id, memory_type=query.memory_type, limit=_SHOWN)


def _most_widely_remembered(
    memory: AgentMemorySystem, states: Sequence[Hit], query: Query
) -> MemoryEntry | None:
    """A state, of some evenly spread, whose likes lie in as many tiers as any's do."""
    tried = states[:: -(-len(states) // _TRIED) or 1]

    def tiers(hit: Hit) -> int:
        similar = memory.recall(_limited(query), near=hit.entry, touch=False)
        return len({one.tier for one in similar})

    return max(tried, key=tiers).entry if tried else None


def _similar(hits: Sequence[Hit]) -> Table:
    table = tables.counted("tier", "step", "similarity")
    table.add_column("contents, some of them")
    for hit in hits:
        contents = hit.entry.contents
        table.add_row(
            tables.TIER_NAMES[hit.tier],
            str(hit.entry.step_number),
            f"{hit.score or 0.0:.3f}",
            f"{contents['position']}, sugar {contents['sugar']:g}, spice {contents['spice']:g}",
        )
    return table


def _decode(console: Console, memory: AgentMemorySystem, entry: MemoryEntry) -> None:
    """Show a memory beside what its vector alone gives."""
    if entry.embedding is None:
        return
    rebuilt = memory.reconstruct(entry)
    console.print(
        f"The memory of step {entry.step_number}, and what its vector of {len(entry.embedding)} "
        "bytes says of it:"
    )
    table = tables.counted("", "remembered", "from the vector", "usual error")
    for row in _beside(flatten(entry.contents), flatten(rebuilt.state)):
        error = rebuilt.errors.get(row[0])
        table.add_row(*row, "" if error is None else f"{error.typical:.2g}")
    tables.print_table(console, table)


def _beside(stored: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for path in [path for path in stored if path in rebuilt][:_SHOWN]:
        yield path, _plain(stored[path]), _plain(rebuilt[path])


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
