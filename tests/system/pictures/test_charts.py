"""Charts for notebooks, and the report. How they look in a browser is in ``tests/explorer``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, ConfigError, EntryNotFound, InvalidEntry
from agent_memory.cli.commands import app
from agent_memory.system.pictures import scripts
from tests.system.pictures.lives import AGENT, MARKUP, STEPS, live, opened

pytest.importorskip("altair")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentMemorySystem]:
    with opened(tmp_path_factory.mktemp("charts")) as memory:
        live(memory)
        yield memory


def rows(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for values in spec["datasets"].values() for row in values]


def test_each_chart_says_what_it_shows_with_axes_and_units(memory: AgentMemorySystem) -> None:
    plot = memory.plot
    timeline = plot.timeline(AGENT).to_dict()
    assert timeline["title"]["text"].startswith("What ant/1 <img")
    assert timeline["description"].startswith("Timeline of agent ant/1")
    assert len(rows(timeline)) == STEPS + 1
    [path, *_] = plot.history(AGENT, "food").to_dict()["vconcat"]
    axes = [layer["encoding"][axis]["title"] for layer in path["layer"] for axis in ("x", "y")]
    assert set(axes) == {"step", "food"}
    held = plot.occupancy().to_dict()["encoding"]
    assert (held["x"]["title"], held["y"]["title"]) == ("step", "entries")
    world = plot.map().to_dict()
    assert world["title"]["text"] == f"The world at step {STEPS - 1}"
    assert "guessed from its name" in world["title"]["subtitle"]
    coloured = plot.map(3, position="at", colour="food").to_dict()
    assert coloured["encoding"]["color"]["title"] == "food"
    assert "as declared" in coloured["title"]["subtitle"]


def test_a_dark_chart_has_its_ground_and_light_ones_go_together(memory: AgentMemorySystem) -> None:
    assert memory.plot.timeline(AGENT, theme="dark").to_dict()["config"]["background"] == "#14181d"
    together = memory.plot.timeline(AGENT) & memory.plot.history(AGENT, "food", "odd")
    assert len(together.to_dict()["vconcat"]) == 2
    with pytest.raises(InvalidEntry, match="theme"):
        memory.plot.timeline(AGENT, theme="pink")  # type: ignore[arg-type]


def test_what_no_axis_has_a_place_for_is_shown_as_text(memory: AgentMemorySystem) -> None:
    spec = memory.plot.history(AGENT, "odd").to_dict()
    found = [row.get("odd") for row in rows(spec)]
    assert found[:4] == ["NaN", "∞", "-∞", None]
    json.dumps(spec, allow_nan=False)
    with pytest.raises(EntryNotFound, match="no entry has a number under mood"):
        memory.plot.history(AGENT, "mood")


def test_a_missing_package_is_named_with_its_extra(
    memory: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agent_memory.system.frames.extras.find_spec", lambda name: None)
    for picture in (memory.plot.timeline, memory.plot.history):
        with pytest.raises(ConfigError, match=r"pip install 'agent-memory\[explore\]'"):
            picture(AGENT)
    with pytest.raises(ConfigError, match=r"agent-memory\[explore\]"):
        memory.report(tmp_path / "report.html")


def test_a_report_holds_everything_as_text(memory: AgentMemorySystem, tmp_path: Path) -> None:
    file = memory.report(tmp_path / "ant.html", AGENT)
    text = file.read_text(encoding="utf-8")
    assert "onerror='" not in re.sub(r'<script type="application/json".*?</script>', "", text)
    assert "&lt;img src=x" in text
    assert text.count("<script") == 4
    assert not re.search(r'(?:src|href)="', text.split("<body>")[1].split("<script")[0])
    with pytest.raises(InvalidEntry, match="is there already"):
        memory.report(file)
    assert memory.report(file, force=True) == file
    assert "Run default" in file.read_text(encoding="utf-8")
    assert [*tmp_path.glob("*.part*")] == []


def test_a_report_of_ten_thousand_entries_stays_below_five_megabytes(tmp_path: Path) -> None:
    wide = {f"quantity {place}": "文" * 100 for place in range(20)}
    sizes = []
    with opened(tmp_path / "memory") as memory:
        for step in range(200):
            memory.store_agent_state("ant", {"food": step / 7, "load": step % 13, **wide}, step)
            if step % 100 == 99:
                file = memory.report(tmp_path / "ant.html", "ant", force=True)
                sizes.append(file.stat().st_size)
    first, second = sizes
    assert first + (second - first) * 99 < 5_000_000


@pytest.mark.long
def test_a_report_of_ten_thousand_entries_of_a_real_life_is_small(tmp_path: Path) -> None:
    config: Any = {
        "engine": "embedded", "path": tmp_path / "memory", "cleanup_interval": 1_000,
        "stm_config": {"memory_limit": 2_000}, "im_config": {"memory_limit": 3_000},
    }  # fmt: skip
    with AgentMemorySystem(config) as memory:
        with memory.batch():
            for step in range(10_000):
                state = {"food": step / 7, "at": (step % 20, step % 15), "mood": MARKUP, "n": step}
                memory.store_agent_state("ant", state, step)
        memory.maintain()
        file = memory.report(tmp_path / "ant.html", "ant")
        assert memory.plot.data.life("ant").sampled.note == ""
    assert file.stat().st_size < 5_000_000


def test_the_scripts_are_kept_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent-memory").mkdir()
    assert "vegaEmbed" in scripts.vega_script()
    [kept] = [*scripts.cache_folder().glob("vega-*.js")][:1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "agent-memory" / kept.name).write_text("kept", encoding="utf-8")
    assert scripts.vega_script() == "kept"


def test_the_command_writes_the_report_of_an_agent_or_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    with AgentMemorySystem({"engine": "embedded", "path": folder}) as memory:
        memory.store_agent_state("ant", {"food": 1.0}, 0)
        memory.run("ant-run").store_agent_state("bee", {"food": 1.0}, 0)
        memory.run("both").store_agent_state("both", {"food": 1.0}, 0)

    def report(*arguments: object) -> tuple[int, str]:
        given = ["report", *map(str, arguments), "--path", str(folder)]
        result = CliRunner().invoke(app, given)
        return result.exit_code, result.output

    output = tmp_path / "out.html"
    assert report("ant", "-o", output)[0] == 0
    assert "<title>Agent ant</title>" in output.read_text()
    code, said = report("ant-run", "-o", output)
    assert (code, "is there already" in said) == (2, True)
    assert report("ant-run", "-o", output, "--force")[0] == 0
    assert "<title>Run ant-run</title>" in output.read_text()
    assert report("both", "--run", "both", "-o", output, "--force")[0] == 0
    assert "<title>Agent both</title>" in output.read_text()
    code, said = report(MARKUP[:10], "-o", output, "--force")
    assert (code, "is no run, and no agent" in said) == (2, True)
    assert report("-o", tmp_path / "no" / "such.html")[0] == 2


@pytest.mark.parametrize(
    ("steps", "values"), [([0], [0, 1]), ([4], [3, 4, 5]), ([2, 5], [2, 3, 4, 5]), ([0, 90], None)]
)
def test_steps_are_whole_on_every_axis(
    tmp_path: Path, steps: list[int], values: list[int] | None
) -> None:
    with opened(tmp_path) as memory:
        for step in steps:
            memory.store_agent_state("ant", {"food": 1.0}, step)
        spec = memory.plot.timeline("ant").to_dict()
    assert spec["layer"][0]["encoding"]["x"]["axis"].get("values") == values
