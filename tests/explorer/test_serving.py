"""What the page's server answers, whom it lets in, and what it says when something is wrong."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.cli.commands import app
from agent_memory.explorer.question import question_of
from agent_memory.explorer.serving import explorer
from agent_memory.explorer.tree import LONGEST_TEXT, tree
from tests import engines
from tests.explorer.conftest import served
from tests.system.pictures.lives import AGENT


def get(url: str, host: str = "") -> tuple[int, str, Any]:
    request = Request(url, headers={"Host": host} if host else {})  # noqa: S310  # our own server
    try:
        with urlopen(request) as answer:  # noqa: S310  # as above
            return answer.status, answer.read().decode(), answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def asked(url: str, name: str, **fields: object) -> tuple[int, Any]:
    status, text, _ = get(f"{url}api/{name}?{urlencode(fields)}")
    return status, json.loads(text)


def test_only_the_whole_address_is_let_in(url: str) -> None:
    base, token = url.rstrip("/").rsplit("/", 1)
    for wrong in ("wrong", token[:-1], token + "x", "%00", "ü"):
        for path in ("/", "/api/overview", "/assets/views.js", "/report.html"):
            status, text, headers = get(f"{base}/{wrong.replace('ü', '%C3%BC')}{path}")
            assert status == 401
            assert "wrong token" in text
            assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert get(base + "/")[0] in (401, 404)
    assert get(url, host="evil.example")[0] == 400
    status, _, headers = get(url)
    assert (status, headers["Referrer-Policy"], headers["Cache-Control"]) == (
        200, "no-referrer", "no-store",
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["..%2Fanswers.py", "nothing.js", "%2Fetc%2Fpasswd", "__init__.py"]
)
def test_nothing_but_the_assets_is_given(url: str, name: str) -> None:
    status, text, _ = get(f"{url}assets/{name}")
    assert status in (401, 404)
    assert "import" not in text


def test_what_cannot_be_answered_says_why(url: str) -> None:
    assert asked(url, "life", run="default", agent="nobody") == (
        404, {"error": "agent 'nobody' of run 'default' has no entries"},
    )  # fmt: skip
    assert asked(url, "life", run="default")[0] == 400
    assert asked(url, "world", run="default", step="-1")[0] == 400
    assert asked(url, "world", run="default", step="x")[0] == 400
    assert asked(url, "ask", run="default", near="[1]")[0] == 400
    assert asked(url, "ask", run="default", order="sideways")[0] == 400
    for field, wrong in {
        "times": "noon..", "importance": "much", "diverse": "very", "limit": "few", "steps": "soon",
        "rank": "best", "near": "0" * 32, "where": "food",
    }.items():  # fmt: skip
        status, answer = asked(url, "ask", run="default", **{field: wrong})
        assert status == 400
        assert field in answer["error"] or "agent_id" in answer["error"]
    assert asked(url, "nothing")[0] == 404
    assert asked(url, "moment", run="default", agent=AGENT, id="xyz")[0] == 400


def test_looking_counts_no_retrieval_and_checks_find_nothing(url: str, folder: Path) -> None:
    _, life = asked(url, "life", run="default", agent=AGENT)
    chosen = life["timeline"]["rows"][5]["id"]
    assert asked(url, "moment", run="default", agent=AGENT, id=chosen)[1]["step"] == 5
    assert asked(url, "ask", run="default", agent=AGENT, near='{"food": 1}')[1]["hits"]
    assert asked(url, "check")[1]["sound"]
    assert asked(url, "steps", run="default")[1] == {"first": 0, "last": 59}  # stored last: 0
    assert asked(url, "memory")[1]["tiers"][0][0] == "STM"
    held, speeds = asked(url, "growth")[1]["pictures"]
    assert asked(url, "live")[1]["entries"] == [row["entries"] for row in held["rows"][2::-1]]
    assert speeds["specs"]["dark"]["config"]
    assert asked(url, "fidelity")[1]["fidelity"]
    with AgentMemorySystem.open(folder, read_only=True) as memory:
        hits = memory.recall(agent_id=AGENT, touch=False)
    assert {hit.entry.retrieval_count for hit in hits} <= {0, 1}  # one by the fixture


def test_agents_are_listed_with_when_they_were_seen_last(url: str, folder: Path) -> None:
    _, listed = asked(url, "agents", run="default")
    rows = {row[0]: row for row in listed["agents"]}
    with AgentMemorySystem.open(folder, read_only=True) as memory:
        [newest] = memory.recall(agent_id="bee", order="newest", limit=1, touch=False)
    assert rows["bee"][-2:] == [newest.entry.step_number, newest.entry.timestamp]


def test_two_explorers_and_many_pages_answer_at_once(folder: Path, url: str) -> None:
    with (
        AgentMemorySystem.open(folder, read_only=True) as memory,
        served(memory) as other,
        ThreadPoolExecutor(8) as pages,
    ):
        agents = [AGENT, "bee", "ant-1", "ant-2"] * 6
        for place in (url, other.url):
            found = pages.map(lambda agent, at=place: asked(at, "life", agent=agent), agents)
            assert [(status, life["total"]) for status, life in found] == [
                (200, {AGENT: 61, "bee": 61}.get(agent, 1)) for agent in agents
            ]
        token = url.rstrip("/").rsplit("/", 1)[1]
        assert get(other.url.rsplit("/", 2)[0] + f"/{token}/")[0] == 401


def test_without_a_port_a_second_explorer_takes_a_free_one(folder: Path) -> None:
    with (
        AgentMemorySystem.open(folder, read_only=True) as memory,
        explorer(memory, "here") as first,
        explorer(memory, "here") as second,
    ):
        assert first.listening.getsockname()[1] != second.listening.getsockname()[1]


def test_contents_of_any_size_are_shown_as_a_tree() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"in": deep}
    node = tree({"text": "x" * 1_000_000, "many": list(range(5_000)), "deep": deep, 3: "\ud800"})
    text, many, _, odd = node["children"]
    assert (len(text["text"]), text["more"]) == (LONGEST_TEXT, 1_000_000 - LONGEST_TEXT)
    assert (len(many["children"]), many["more"]) == (200, 4_800)
    assert (odd["name"], odd["text"]) == ("3", "?")
    assert len(json.dumps(node)) < 60_000


def test_a_form_is_the_line_that_it_stands_for() -> None:
    form = {
        "agent": "ant", "steps": "3:", "type": "state", "where": "a=1..2\n\nb=x", "limit": "5",
        "order": "newest", "pinned": "yes", "rank": "freshness", "importance": "0.5..",
        "times": "1970-01-01 00:01..90.5", "diverse": "0.5",
    }  # fmt: skip
    question = question_of(form, "run's")
    assert question.line == (
        "memory.run(\"run's\").recall(agent_id='ant', steps=(3, None), times=(60.0, 90.5), "
        "memory_type='state', importance=(0.5, None), "
        "attributes={'a': between(1.0, 2.0), 'b': 'x'}, pinned=True, order='newest', limit=5, "
        "rank='freshness', diverse=0.5, touch=False)"
    )
    several = {"agent": "ant\nbee", "everywhere": "yes", "pinned": "no", "rank": "weights",
               "weight_recency": "2", "weight_importance": "0"}  # fmt: skip
    assert question_of(several, "default").line == (
        "memory.recall(agent_id=['ant', 'bee'], run_id=ALL_RUNS, pinned=False, limit=20, "
        "rank=Rank(recency=2.0), touch=False)"
    )
    memory_id = "01a22dcebbd17000a8e820171af82172"
    assert question_of({"near": memory_id}, "default").near == memory_id
    assert question_of({}, "default").line == "memory.recall(limit=20, touch=False)"


def test_a_server_that_goes_away_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with engines.tcp_server(tmp_path / "server") as port:
        password = engines.PASSWORD
        place = f"redis://:{quote(password, safe='')}@127.0.0.1:{port}"
        config = MemoryConfig(redis_url=place, path=tmp_path)
        with AgentMemorySystem(config) as memory:
            memory.store_agent_state("ant", {"food": 1.0}, 0)
        memory = AgentMemorySystem(config, read_only=True)
        page = served(memory)
        url = page.__enter__().url
        assert asked(url, "agents")[0] == 200
    try:
        status, answer = asked(url, "agents")
        assert status == 503
        assert "127.0.0.1" in answer["error"]
        assert password not in answer["error"]
    finally:
        page.__exit__(None, None, None)
        memory.close()


def test_the_command_says_what_is_wrong(tmp_path: Path, folder: Path) -> None:
    def explore(*arguments: object) -> str:
        given = ["explore", "--no-browser", *map(str, arguments)]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 2
        return result.stderr

    assert "there is no memory in" in explore("--path", tmp_path / "nowhere")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be used" in explore("--path", folder, "--port", port)
