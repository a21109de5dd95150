"""A memory with what makes pages hard, the page of it, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from agent_memory import AgentMemorySystem
from tests.system.pictures.lives import AGENT, live

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("altair")

from agent_memory.explorer.serving import Explorer, explorer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def served(memory: AgentMemorySystem, place: str = "here") -> Iterator[Explorer]:
    """The page of a memory, served until the end of the block."""
    with explorer(memory, place, 0) as page:
        thread = Thread(target=page.run)
        thread.start()
        try:
            yield page
        finally:
            page.server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explored") / "memory"
    config: Any = {
        "engine": "embedded", "path": path, "stm_config": {"memory_limit": 20},
        "im_config": {"memory_limit": 20}, "cleanup_interval": 5,
    }  # fmt: skip
    with AgentMemorySystem(config) as memory:
        live(memory)
        live(memory, "bee")
        for place in range(250):
            memory.store_agent_state(f"ant-{place}", {"at": (place % 10, place // 10)}, 59)
        live(memory.run("sweep/2 <b>"), "bee", steps=6)
        memory.pin(AGENT, memory.recall(agent_id=AGENT, limit=1)[0].entry.memory_id)
        memory.store_agent_action("ant-0", {"event": "died"}, 59)
        wide = {"text": "文" * 1_000_000, **{f"a{place}": place for place in range(10_000)}}
        memory.store_agent_state("wide", wide, 0)
    return path


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """The address of the page of that memory."""
    with AgentMemorySystem.open(folder, read_only=True) as memory, served(memory) as page:
        yield page.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser of this machine, without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


PICTURES = Path("build/screenshots")
"""Where tests leave what their pages looked like, to be looked at."""


class Watched:
    """A page of the browser that notes what must not be: errors, and requests to other hosts."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 900}} | options)
        )
        self.page = self.context.new_page()
        self.url = url
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        own = url.split("/")[2]
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request",
            lambda it: (
                self.elsewhere.append(it.url)
                if not it.url.startswith(("data:", "blob:")) and it.url.split("/")[2] != own
                else None
            ),
        )

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def show(self, view: str = "") -> Any:
        """Go to a view, and wait until it is there."""
        self.page.goto(f"{self.url}#/{view}")
        self.page.wait_for_selector("#content[aria-busy=false]")
        return self.page

    def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def check(self) -> None:
        """See that nothing was met that must not be."""
        assert self.errors == [], self.errors
        assert self.elsewhere == []
        assert self.page.evaluate("window.bad") is None


@pytest.fixture
def watched(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Watched]:
    it = Watched(browser, url)
    yield it
    it.picture(request.node.name)
    it.check()
    it.context.close()
