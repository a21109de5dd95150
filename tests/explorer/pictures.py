"""Makes the pictures of the documentation: python -m tests.explorer.pictures docs/pictures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from agent_memory import AgentMemorySystem
from agent_memory.cli import demo
from tests.explorer.conftest import BROWSERS, Watched, served

RUN = "sugarscape-1"


def main(target: Path) -> None:
    """Let the demo run, and take pictures of its explorer."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # an extra of the tests

    target.mkdir(parents=True, exist_ok=True)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name) / "demo"
        demo.run(folder, traders=60, steps=100, seed=1, console=Console(quiet=True))
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with (
            AgentMemorySystem.open(folder, read_only=True) as memory,
            served(memory, "agent_memory_data/demo") as page,
        ):
            agents = memory.run(RUN).plot.data.agents()
            longest = max(agents, key=lambda agent: agent.total).agent_id
            views = {
                "agent-light": ("light", f"agent/{RUN}/{longest}"),
                "agent-dark": ("dark", f"agent/{RUN}/{longest}"),
                "world": ("light", f"world/{RUN}/40"),
            }
            for picture, (theme, view) in views.items():
                watched = Watched(browser, page.url, color_scheme=theme)
                shown = watched.show(view)
                shown.wait_for_selector("[data-drawn]")
                shown.wait_for_load_state("networkidle")
                shown.wait_for_timeout(500)
                shown.screenshot(path=target / f"{picture}.png")
                watched.check()
                watched.context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
