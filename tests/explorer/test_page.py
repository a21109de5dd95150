"""The page in a real browser: what a person does, and what must not happen meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests import engines
from tests.explorer.conftest import Watched, served
from tests.system.pictures.lives import AGENT, MARKUP, STEPS

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

NARROW = {"width": 390, "height": 800}
VIEWS = {
    "runs": "",
    "agents": "agents/default",
    "agent": f"agent/default/{quote(AGENT, safe='')}",
    "world": "world/default/30",
    "ask": "ask/default/bee",
    "compare": f"compare/default/bee/default/{quote(AGENT, safe='')}",
    "memory": "memory",
}


def test_an_agent_is_searched_and_its_moments_are_looked_at(watched: Watched) -> None:
    page = watched.show()
    page.click("text=default")
    page.wait_for_selector("text=253 of 253 agents")
    assert page.locator("table[aria-label], .agents tbody tr").count() == 100
    page.fill("input[type=search]", "ANT/1")
    assert page.locator(".agents tbody tr").count() == 1
    page.click(f".agents a:has-text({AGENT[:10]!r})")
    page.wait_for_selector("text=Most similar memories")
    assert page.locator("h1").inner_text() == f"Agent {AGENT}"
    assert MARKUP in page.locator(".moment .tree").inner_text()
    page.wait_for_selector(":nth-match([data-drawn], 6)")  # the timeline and five numbers
    page.locator("[data-drawn] .mark-tick path, [data-drawn] .mark-rect path").nth(10).click()
    page.wait_for_selector(".moment h2:has-text('Step 10')")
    page.click("text=after →")
    page.wait_for_selector(".moment h2:has-text('Step 11')")
    assert re.search(r"/[0-9a-f]{32}$", page.url)
    page.fill("input[list=paths]", "at[1]")
    before = page.locator("[data-drawn]").count()
    page.click("text=Draw it")
    page.wait_for_selector(f":nth-match([data-drawn], {before + 1})")


def test_a_world_plays_and_leads_to_an_agent(watched: Watched) -> None:
    page = watched.show("world/default/50")
    page.wait_for_selector("[data-drawn][data-step='50']")
    assert "guessed from its name" in page.locator("[role=status]").inner_text()
    page.click("text=▶ Play")
    page.wait_for_selector(f"[data-drawn][data-step='{STEPS - 1}']")
    page.wait_for_selector("text=▶ Play")
    page.fill("input[list=numbers]", "food")
    page.press("input[list=numbers]", "Enter")
    page.wait_for_selector("svg :text('food')")
    page.locator("[data-drawn] .mark-symbol.role-mark path").last.click(force=True)
    page.wait_for_selector("text=Its numbers over time")


def test_a_question_is_asked_and_shown_in_python(watched: Watched, folder: Path) -> None:
    page = watched.show("ask/default/bee")
    page.fill("label:has-text('Steps') input", "10:30")
    page.fill("label:has-text('Conditions') textarea", "at[0]=2..4\nmood=calm")
    page.fill("label:has-text('Most similar') textarea", '{"food": 0.5}')
    page.check("label:has-text('explain') input")
    page.click("form button")
    page.wait_for_selector("text=The same in Python")
    line = page.locator("pre").first.inner_text()
    assert "'at[0]': between(2.0, 4.0), 'mood': 'calm'" in line
    assert "entries answer" in page.locator("pre").nth(1).inner_text()
    from agent_memory import between  # noqa: PLC0415  # what the line needs

    with AgentMemorySystem.open(folder, read_only=True) as memory:
        hits = eval(line, {"memory": memory, "between": between})  # noqa: S307  # our own line
    assert page.locator("[aria-label=memories] tbody tr").count() == len(hits) > 0
    page.select_option("label:has-text('Rank by') select", "weights")
    page.fill("label:has-text('Weight of recency') input", "0.5")
    page.fill("label:has-text('Diversity') input", "0.2")
    page.click("form button")
    page.wait_for_selector("[aria-label=memories] th:has-text('recency')")
    score, *parts = map(float, page.locator("[aria-label=memories] tbody tr").first.locator(
        "td.number").all_inner_texts()[:4])  # fmt: skip
    assert abs(score - (parts[0] + 0.5 * parts[1] + parts[2])) < 0.005
    page.fill("label:has-text('Steps') input", "soon")
    page.click("form button")
    page.wait_for_selector("text=steps 'soon': write 7, 5:10, 5: or :10")
    watched.errors.clear()  # the browser itself notes an answer of 400


@pytest.mark.long
def test_two_agents_and_two_runs_are_compared(watched: Watched) -> None:
    page = watched.show(VIEWS["compare"])
    page.wait_for_selector(":nth-match([data-drawn], 4)")
    page = watched.show(f"compare/default/*/{quote('sweep/2 <b>', safe='')}/*")
    page.wait_for_selector(":nth-match([data-drawn], 2)")


def test_a_report_is_saved_and_opens_alone(watched: Watched, browser: Any, tmp_path: Path) -> None:
    page = watched.show(VIEWS["agent"])
    with page.expect_download() as saved:
        page.click("a:has-text('Report')")
    saved.value.save_as(tmp_path / "report.html")
    alone = Watched(browser, f"file:///{tmp_path}/report.html", offline=True)
    alone.page.goto(alone.url)
    alone.page.wait_for_selector(":nth-match([data-drawn], 6)")
    alone.page.click("details summary >> nth=0")
    alone.page.wait_for_selector("details table tbody tr")  # made when it is opened
    assert alone.page.locator("details table tbody tr").count() == STEPS + 1
    alone.check()
    alone.context.close()


@pytest.mark.parametrize(
    ("theme", "views"),
    [
        ("light", ("agent",)),
        pytest.param("light", (*VIEWS,), marks=pytest.mark.long),
        pytest.param("dark", (*VIEWS,), marks=pytest.mark.long),
    ],
)
def test_everybody_can_read_and_use_it(
    browser: Any, url: str, theme: str, views: tuple[str, ...]
) -> None:
    """On a narrow screen too, nothing is cut off at the side."""
    watched = Watched(browser, url, color_scheme=theme, viewport=NARROW)
    for name, view in ((name, VIEWS[name]) for name in views):
        page = watched.show(view)
        page.wait_for_load_state("networkidle")
        found = axe.Axe().run(page).response["violations"]
        bad = [(it["id"], it["nodes"][0]["html"]) for it in found
               if it["impact"] in ("serious", "critical")]  # fmt: skip
        assert bad == [], name
        wide, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, name
        watched.picture(f"{name}-{theme}-narrow")
        page.set_viewport_size({"width": 1280, "height": 900})
        watched.picture(f"{name}-{theme}-wide")
        page.set_viewport_size(NARROW)
    watched.check()
    watched.context.close()


def test_births_deaths_and_what_is_very_large_are_shown(watched: Watched) -> None:
    page = watched.show("agent/default/ant-0")
    page.wait_for_selector("[aria-label*='died at step 59']")
    page.wait_for_selector("svg :text('✕ died')")
    page.wait_for_selector("text=Just before and after")
    page = watched.show("agent/default/wide")
    page.wait_for_selector(".moment :text('998,000 more')")
    page.wait_for_selector(".moment :text('and 9,801 more')")
    page.wait_for_selector(":nth-match([data-drawn], 7)")  # of 10,000 numbers six are drawn
    assert page.locator("datalist option").count() <= 500


def test_what_is_not_there_says_so_in_any_page_and_a_wrong_token_does(watched: Watched) -> None:
    page = watched.show("agent/default/nobody")
    page.wait_for_selector("text=agent 'nobody' of run 'default' has no entries")
    second = watched.context.new_page()  # the same explorer in two pages at once
    second.goto(f"{watched.url}#/{VIEWS['agent']}")
    second.wait_for_selector(":nth-match([data-drawn], 6)")
    second.close()
    page = watched.show("nothing/of/this")
    page.wait_for_selector("h1:has-text('Runs')")
    page.goto(watched.url[:-3] + "x/")
    page.wait_for_selector("text=This address has the wrong token")
    watched.errors.clear()  # the browser itself notes answers of 404 and 401


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem({"engine": "embedded", "path": tmp_path / "memory"}) as memory:
        yield memory


@pytest.mark.long
def test_a_store_that_goes_away_is_said_on_the_page(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with engines.tcp_server(tmp_path / "server") as port:
        secret = quote(engines.PASSWORD, safe="")
        place = f"redis://:{secret}@127.0.0.1:{port}"
        config = MemoryConfig(redis_url=place, path=tmp_path)
        with AgentMemorySystem(config) as memory:
            memory.store_agent_state("ant", {"food": 1.0}, 0)
        opened = AgentMemorySystem(config, read_only=True)
        page = ExitStack()
        watched = Watched(browser, page.enter_context(served(opened)).url)
        shown = watched.show()
        shown.wait_for_selector("a:has-text('default')")
    with page, opened:
        shown.wait_for_selector(f"#trouble:has-text('127.0.0.1:{port}')")
        assert shown.locator("a:has-text('default')").count() == 1  # what was there stays
        assert engines.PASSWORD not in shown.content()
        watched.picture("server-away")
        watched.context.close()


@pytest.mark.long
def test_a_memory_without_entries_is_watched_until_it_has_some(
    browser: Any, empty: AgentMemorySystem, tmp_path: Path
) -> None:
    with (
        AgentMemorySystem.open(tmp_path / "memory", read_only=True) as memory,
        served(memory) as page,
    ):
        watched = Watched(browser, page.url)
        shown = watched.show()
        shown.wait_for_selector("text=This memory has no entries yet")
        for view in ("world", "ask", "compare"):
            assert watched.show(view).locator(".empty").count() == 1
        watched.show()
        empty.store_agent_state("ant", {"food": 1.0}, 0)
        shown.wait_for_selector("a:has-text('default')")
        watched.show("memory")
        shown.wait_for_selector(":nth-match([data-drawn], 2)")
        for step in range(1, 4):
            empty.store_agent_state("ant", {"food": 1.0}, step)
        shown.wait_for_selector("#live:has-text('4 entries')")
        shown.click("details summary >> nth=0")
        shown.wait_for_selector("details td:text-is('4')")  # follows the run
        watched.picture("memory-live")
        watched.check()
        page.server.should_exit = True
        shown.wait_for_selector("#trouble:has-text('does not answer')")
        watched.context.close()
