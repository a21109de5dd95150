"""How long the explorer's page takes in a real browser, and what it costs a run beside it.

python -m benchmarks.explorer
"""

from __future__ import annotations

import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from benchmarks.beside import cost
from benchmarks.measuring import Figure

MEMORIES, AGENTS, ROUNDS = 10_000, 5_000, 5
STORES = 6_000  # that are measured; they take several of the three seconds between two looks
SETTLED = 4_000  # milliseconds until a page that was opened asks for no more than is new
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

_PAINTED = """new MutationObserver(() => {
  if (!window.painted && document.querySelector("[data-drawn]"))
    requestAnimationFrame(() => { window.painted ||= performance.now(); });
}).observe(document, { subtree: true, childList: true, attributes: true });"""

_TYPED = """async (text) => {
  const search = document.getElementById("search");
  search.value = text;
  const began = performance.now();
  search.dispatchEvent(new Event("input"));
  document.body.getBoundingClientRect();
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


def figures() -> Iterator[Figure]:
    """Measure the page, where a browser is installed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # where there is a browser

    with TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name) / "memory"
        with AgentMemorySystem(_config(folder)) as live:
            _fill(live)
            browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
            with _served(folder) as url:
                yield from _painted(browser, url)
                yield _searched(browser, url)
                with (
                    EmbeddedServer.open(folder) as server,
                    redis.Redis(unix_socket_path=server.socket_path) as client,
                ):
                    yield from _slowed(browser, url, live, client)
            browser.close()


def _config(folder: Path) -> MemoryConfig:
    return MemoryConfig(
        path=folder, engine="embedded", stm_config={"memory_limit": 2_000},
        im_config={"memory_limit": 3_000}, cleanup_interval=1_000,
    )  # fmt: skip


def _fill(memory: AgentMemorySystem) -> None:
    with memory.batch():
        for step in range(MEMORIES):
            state = {
                "food": math.sin(step / 90),
                "at": (step % 20, step % 15),
                "wealth": step * 1.5,
            }
            memory.store_agent_state("ant", state, step)
    crowd = memory.run("crowd")
    crowd.store_step(1, {f"bee-{place}": {"food": 1.0 * place} for place in range(AGENTS)})
    memory.store_agent_state("new", {"food": 1.0}, 0)
    memory.maintain()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    command = ["-m", "benchmarks.explorer", str(folder)]
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def _painted(browser: Any, url: str) -> Iterator[Figure]:
    times: dict[str, list[float]] = {"ant": [], "new": []}
    for _ in range(ROUNDS):
        for agent, taken in times.items():
            page = browser.new_page()
            page.add_init_script(_PAINTED)
            page.goto(f"{url}#/agent/default/{agent}")
            page.wait_for_selector("[data-drawn]")
            page.wait_for_timeout(100)
            taken.append(page.evaluate("window.painted"))
            page.close()
            time.sleep(6.0)  # what was read is kept for five seconds
    full, empty = (statistics.median(times[agent]) for agent in ("ant", "new"))
    yield Figure(
        f"first paint of an agent with {MEMORIES:,} memories in three tiers", "3x of one memory",
        f"{full / empty:.2f}x", full <= 3 * empty, f"{full:.0f} ms beside {empty:.0f} ms",
    )  # fmt: skip
    yield Figure("the same", "1.0 s", f"{full / 1e3:.2f} s", full <= 1_000, "of a machine at rest")


def _searched(browser: Any, url: str) -> Figure:
    page = browser.new_page()
    page.goto(f"{url}#/agents/crowd")
    page.wait_for_selector("#search")
    taken = [page.evaluate(_TYPED, text) for text in ("b", "be", "bee-4", "bee-49", "bee-499", "")]
    page.close()
    return Figure(
        f"{AGENTS:,} agents searched, from a keystroke to the list", "200 ms",
        f"{max(taken):.0f} ms", max(taken) <= 200, f"median {statistics.median(taken):.0f} ms",
    )  # fmt: skip


def _slowed(
    browser: Any, url: str, live: AgentMemorySystem, client: redis.Redis
) -> Iterator[Figure]:
    """What a store costs beside an open page and without one, in turn.

    In processor time of the writer and of the server, which is where the page could slow them: the
    page's own server has a core of its own, where there is one.
    """
    ratios: dict[str, list[float]] = {"processor": [], "clock": []}
    step = MEMORIES
    for _ in range(ROUNDS):
        costs = []
        for address in ("about:blank", f"{url}#/memory"):
            page = browser.new_page()
            page.goto(address)
            page.wait_for_timeout(SETTLED)
            steps = iter(range(step, step + STORES))
            step += STORES
            costs.append(cost(lambda: _store(live, steps), client))  # noqa: B023  # called here
            page.close()
        alone, beside = costs
        ratios["processor"].append(beside.processor / alone.processor - 1.0)
        ratios["clock"].append(beside.clock / alone.clock - 1.0)
    for name, found in ratios.items():
        low, slower, high = statistics.quantiles(found, n=4)
        yield Figure(
            f"a live run while the page is open, by {name} time", "5 % slower",
            f"{100 * slower:.1f} % slower", slower < 0.05, f"{100 * low:.1f} to {100 * high:.1f} %",
        )  # fmt: skip


def _store(live: AgentMemorySystem, steps: Iterator[int]) -> None:
    for step in steps:
        live.store_agent_state(f"run-{step % 50}", {"food": float(step)}, step)


def _serve(folder: Path) -> None:
    from agent_memory.explorer.serving import explorer  # noqa: PLC0415  # needs an extra

    with (
        AgentMemorySystem.open(folder, read_only=True) as memory,
        explorer(memory, str(folder), 0) as page,
    ):
        print(page.url, flush=True)
        page.run()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve(Path(sys.argv[1]))
    else:
        for figure in figures():
            print(f"{figure.name}: {figure.measured} (target {figure.target}; {figure.note})")
