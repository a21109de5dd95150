"""Forgetting on demand: gone from everywhere, for good, with a receipt."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select
from typer.testing import CliRunner, Result

from agent_memory import (
    AgentMemorySystem,
    EntryKey,
    EntryNotFound,
    InvalidEntry,
    MemoryConfig,
    MemoryEntry,
    MemoryType,
    Order,
    Query,
    RunHasForks,
    StoreReadOnly,
    Tier,
)
from agent_memory.cli.commands import app
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.testing import IoPoints
from agent_memory.tiers.forgetting import LEASE, forget_agents, forget_keys
from agent_memory.tiers.moving import move
from tests import engines

SMALL: dict[str, Any] = {
    "stm_config": {"memory_limit": 4},
    "im_config": {"memory_limit": 4},
    "cleanup_interval": 1,
}
ALL = 12  # steps, of which each tier holds four
TIERS = {"stm": 4, "im": 4, "ltm": 4}


@pytest.fixture(
    params=engines.parameters(["embedded", "fake", "postgresql"], ["embedded", "postgresql"])
)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryConfig:
    where: dict[str, Any] = {"engine": request.param}
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_memory")
        where = {"engine": "embedded", "ltm_url": url}
    return MemoryConfig(path=tmp_path / "memory", **where, **SMALL)


@pytest.fixture
def system(config: MemoryConfig) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config) as opened:
        yield opened


def filled(system: AgentMemorySystem, *agents: str) -> None:
    for agent in agents:
        for step in range(ALL):
            assert system.store_agent_state(agent, {"step": step, "mood": f"m{step % 2}"}, step)


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    return [hit.entry.step_number for hit in hits]


def counted(system: AgentMemorySystem) -> list[int]:
    return [system.statistics()[tier].entries for tier in Tier]


# -- what is forgotten, and what is not ---------------------------------------------------------


def test_an_agent_is_forgotten_in_every_tier_and_nobody_else(system: AgentMemorySystem) -> None:
    filled(system, "ant", "bee")
    filled(system.run("another"), "ant")
    before = time.time()
    receipt = system.forget("ant")
    assert receipt.entries == ALL
    assert receipt.removed == {"spool": 0, **TIERS}
    assert receipt.agents == ("ant",)
    assert receipt.verified
    assert before <= receipt.forgotten_at <= time.time()
    assert steps_of(system) == []
    assert steps_of(system, "bee") == steps_of(system.run("another")) == [*range(ALL)]


def test_a_run_is_forgotten_agents_never_met_included(config: MemoryConfig) -> None:
    with AgentMemorySystem(config) as system:
        filled(system, *[f"agent {number}" for number in range(5)])
        filled(system.run("another"), "ant")
        receipt = system.forget(run="default")
        assert receipt.entries == 5 * ALL
        assert receipt.removed == {"spool": 0, **{tier: 5 * n for tier, n in TIERS.items()}}
        assert counted(system) == [0, 0, 0]
        assert counted(system.run("another")) == [4, 4, 4]
        assert system.forget(run="another").entries == ALL


@pytest.mark.parametrize("step", [0, 5, 11], ids=["in ltm", "in im", "in stm"])
@pytest.mark.parametrize("told_whose", [True, False])
def test_one_memory_is_forgotten_wherever_it_is(
    system: AgentMemorySystem, step: int, told_whose: bool
) -> None:
    filled(system, "ant", "bee")
    (hit,) = system.recall(Query(agent_id="ant", steps=(step, step)))
    agent = "ant" if told_whose else None
    receipt = system.forget(agent, memory_id=hit.entry.memory_id)
    assert (receipt.entries, receipt.agents) == (1, ("ant",))
    assert receipt.removed[hit.tier.name.lower()] == sum(receipt.removed.values()) == 1
    assert steps_of(system) == [other for other in range(ALL) if other != step]
    assert steps_of(system, "bee") == [*range(ALL)]


def test_what_a_query_finds_is_forgotten(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    receipt = system.forget(query=Query(agent_id="ant", attributes={"mood": "m1"}))
    assert receipt.entries == ALL / 2
    assert steps_of(system) == [*range(0, ALL, 2)]
    receipt = system.forget(query=Query(agent_id="ant", order=Order.STEP, limit=2))
    assert steps_of(system) == [*range(4, ALL, 2)]
    assert receipt.entries == 2


def test_forgetting_what_is_not_there_is_a_receipt_of_nothing(system: AgentMemorySystem) -> None:
    for receipt in (
        system.forget("nobody"),
        system.forget(run="no run"),
        system.forget(memory_id=uuid.uuid4().hex),
        system.forget("nobody", memory_id=uuid.uuid4().hex),
        system.forget(query=Query(agent_id="nobody")),
    ):
        assert (receipt.entries, sum(receipt.removed.values()), receipt.agents) == (0, 0, ())
        assert receipt.verified


def test_ids_with_globs_in_them_reach_nobody_else(system: AgentMemorySystem) -> None:
    filled(system, "*", "a?t", "[a-z]nt", "ant")
    for agent in ("*", "a?t", "[a-z]nt"):
        assert system.forget(agent).entries == ALL
        assert steps_of(system, "ant") == [*range(ALL)]


def test_a_damaged_memory_is_forgotten_too(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    (hit,) = system.recall(Query(agent_id="ant", steps=(11, 11)))
    channel = system._resources.connections.stm
    (key,) = channel.call("KEYS", f"*{hit.entry.memory_id}")
    channel.call("HSET", key, "contents", b"\xc1 no contents")
    assert system.forget(memory_id=hit.entry.memory_id).entries == 1
    assert steps_of(system) == [*range(11)]


# -- and does not come back ---------------------------------------------------------------------


def test_a_move_in_flight_brings_nothing_back(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    im, ltm = system.im, system.ltm
    read = im.find(Query(run_id="default", agent_id="ant"))
    moment = ltm.moment()
    assert read
    system.forget("ant")
    # Whoever had read them before moves them now.
    move(im, ltm, read, moment)
    assert steps_of(system) == []


class Died(BaseException):
    """What ends a forgetting."""


# fakeredis runs the scripts of "embedded", over the same points between two I/O steps.
@pytest.mark.parametrize(
    "config", engines.parameters(["embedded", "postgresql"], ["embedded"]), indirect=True
)
def test_forgetting_that_is_cut_short_anywhere_lets_no_move_bring_back_what_it_removed(
    system: AgentMemorySystem,
) -> None:
    def die(at: int) -> bool:
        """Forget, and die at a point between two I/O steps; tells whether there is one."""
        passed = 0

        def next_point(_: str) -> None:
            nonlocal passed
            passed += 1
            if passed > at:
                raise Died

        with IoPoints(next_point) as points, points.operation("forget"):
            try:
                system.forget(agent)
            except Died:
                return True
        return False

    at, all_met = 0, False
    while not all_met:
        agent = f"ant {at}"
        filled(system, agent)
        in_flight = system.im.find(Query(run_id="default", agent_id=agent))
        moment = system.ltm.moment()
        all_met = not die(at)
        left = {*steps_of(system, agent)}
        # Whoever had read them before moves them now.
        move(system.im, system.ltm, in_flight, moment)
        assert {*steps_of(system, agent)} <= left, f"at point {at}"
        at += 1
    assert at > 5


def test_late_changes_bring_nothing_back(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    entries = [hit.entry for hit in system.recall(Query(agent_id="ant"))]
    system.forget("ant")
    for repository in (system.stm, system.im, system.ltm):
        with pytest.raises(EntryNotFound):
            repository.replace(entries[0])
        keys = [entry.key for entry in entries]
        assert repository.touch(dict.fromkeys(keys, 1), time.time()) == keys
        assert repository.encodings.reembed(entries) == [False] * ALL
    assert system.maintain() is not None
    assert steps_of(system) == []


def test_what_is_stored_afterwards_is_remembered_under_the_same_ids_too(
    config: MemoryConfig,
) -> None:
    with AgentMemorySystem(MemoryConfig(**{**dict(config), "clock": "steps"})) as system:
        filled(system, "ant")
        system.forget("ant")
        filled(system, "ant")
        assert steps_of(system) == [*range(ALL)]
        assert counted(system) == [4, 4, 4]


def test_other_openings_of_the_memory_find_nothing_by_vectors_they_have_kept(
    config: MemoryConfig,
) -> None:
    if config.engine == "fake":
        pytest.skip("a fake server is its opener's own")
    with (
        AgentMemorySystem(config) as system,
        # Another set of resources, as another process has it.
        AgentMemorySystem(
            MemoryConfig(**{**dict(config), "logging_level": "ERROR"}), upkeep=False
        ) as other,
    ):
        assert other._resources is not system._resources
        filled(system, "ant", "bee")
        near = {"step": 3, "mood": "m1"}
        query = Query(agent_id="ant", limit=5)
        assert len(other.recall(query, near=near)) == 5
        system.forget("ant")
        assert other.recall(query, near=near) == []
        assert other.recall(query) == []
        assert len(other.recall(Query(agent_id="bee", limit=5), near=near)) == 5


def test_forgetting_that_was_killed_keeps_no_key_closed_for_ever() -> None:
    now = [1_000.0]
    ltm, im = InMemoryRepository(Tier.LTM, lambda: now[0]), InMemoryRepository(Tier.IM)
    entry = an_entry()

    class Dying(InMemoryRepository):
        def remove_many(self, _: object) -> int:
            raise Died

    im.add(entry)
    dying = Dying(Tier.STM)
    with pytest.raises(Died):
        forget_keys((dying, im, ltm), [entry.key], time.time)
    # Nothing that was read while it was under way comes in...
    now[0] += LEASE - 1
    assert ltm.take_over([entry], ltm.moment()) == [Added.STALE]
    # ...and an entry that is stored under the key long after may rest there.
    now[0] += 2
    assert ltm.take_over([entry], ltm.moment()) == [Added.STORED]


def test_forgetting_that_takes_longer_than_the_lease_lets_nothing_through() -> None:
    now = [1_000.0]
    ltm = InMemoryRepository(Tier.LTM, lambda: now[0])
    entry = an_entry()

    def move_meanwhile() -> None:
        now[0] += LEASE + 1
        assert ltm.take_over([entry], ltm.moment()) == [Added.STORED]

    class Slow(InMemoryRepository):
        def remove_many(self, keys: Any) -> int:
            move_meanwhile()
            return super().remove_many(keys)

    im = Slow(Tier.IM)
    im.add(entry)
    removed = forget_agents((InMemoryRepository(Tier.STM), im, ltm), "r", ["ant"], time.time)
    assert ltm.get_many([entry.key]) == im.get_many([entry.key]) == []
    assert (removed.entries, removed.im, removed.ltm) == (1, 1, 1)


def an_entry() -> MemoryEntry:
    return MemoryEntry(
        memory_id=uuid.uuid4().hex,
        run_id="r",
        agent_id="ant",
        step_number=1,
        timestamp=1.0,
        memory_type=MemoryType.STATE,
        contents={"a": 1},
    )


# -- the receipt ---------------------------------------------------------------------------------


def test_what_is_found_again_is_told(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(system, "ant")
    kept = system.stm.find(Query(run_id="default", agent_id="ant"))
    remove_many = system.stm.remove_many

    def and_again(keys: Sequence[EntryKey]) -> int:
        removed = remove_many(keys)
        system.stm.add_many(kept)  # a reproducible run that is run again at this moment
        return removed

    monkeypatch.setattr(system.stm, "remove_many", and_again)
    receipt = system.forget("ant")
    assert not receipt.verified
    assert {*receipt.remaining} == {entry.key for entry in kept}


def test_the_receipt_names_the_versions_that_learned_from_it(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    first = system.train_encoder(network=False).version
    filled(system, "bee")
    second = system.train_encoder(network=False).version
    given = system.train_encoder([{"a": n} for n in range(50)], network=False).version
    filled(system.run("another"), "ant")
    elsewhere = system.run("another").train_encoder(network=False).version
    assert system.forget("nobody").encoder_versions == ()
    assert system.forget("bee").encoder_versions == (second,)
    receipt = system.forget("ant")
    assert receipt.encoder_versions == (first, second)
    assert receipt.unattributed_versions == (given,)
    assert system.run("another").forget(run="another").encoder_versions == (elsewhere,)


def test_a_run_that_was_forked_is_refused_with_its_forks_named(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    run = system._resources.tiers[2].forks.__self__._models.Run  # type: ignore[attr-defined]
    with system.sql_engine.begin() as connection:
        parent = connection.scalar(select(run.id).where(run.name == "default"))
        row = {"name": "a fork", "parent_id": parent, "status": "open", "created_at": 1.0}
        connection.execute(insert(run), row)
    with pytest.raises(RunHasForks, match="'a fork'"):
        system.forget(run="default")
    assert steps_of(system) == [*range(ALL)]


# -- files ---------------------------------------------------------------------------------------


def holds(folder: Path, secret: bytes) -> list[str]:
    return [
        file.name for file in folder.rglob("*") if file.is_file() and secret in file.read_bytes()
    ]


def _keep_deleted_bytes(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute("PRAGMA secure_delete = OFF")


def test_after_a_scrub_no_file_holds_what_was_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    secret = "kR7-the-ants-own-secret-Wq2"
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as system:
        # Some builds of SQLite overwrite what is deleted of their own accord.
        event.listen(system.sql_engine, "checkout", _keep_deleted_bytes)
        for step in range(ALL):
            system.store_agent_state("ant", {"said": secret, "step": step}, step)
            system.store_agent_state("bee", {"said": "kept", "step": step}, step)
        spool = system._resources.intake._spool
        assert spool is not None
        entry = system.recall(Query(agent_id="ant", limit=1))[0].entry
        spool.put(entry, time.time())
        assert len(holds(folder, secret.encode())) >= 3
        receipt = system.forget("ant", scrub=True)
        assert receipt.removed["spool"] == 1
        assert receipt.not_rewritten == {}
        assert len(receipt.rewritten) == 3  # the spool too
        assert holds(folder, secret.encode()) == []
        assert steps_of(system, "bee") == [*range(ALL)]
    with AgentMemorySystem.open(folder) as system:
        assert steps_of(system, "bee") == [*range(ALL)]
        assert steps_of(system, "ant") == []


def test_what_waits_in_the_spool_is_forgotten_by_every_name(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        intake = system._resources.intake
        assert intake._spool is not None
        entries = []
        for agent in ("ant", "bee", "cat", "dog"):
            entry = system._resources.new_entries.of_data(
                "default", agent, MemoryType.STATE, {"mood": agent}, 1, 1.0
            )
            intake._spool.put(entry, time.time())
            entries.append(entry)
        assert system.forget("ant").removed["spool"] == 1
        assert system.forget(memory_id=entries[1].memory_id).agents == ("bee",)
        receipt = system.forget(query=Query(agent_id="cat", attributes={"mood": "cat"}))
        assert (receipt.entries, receipt.removed["spool"]) == (1, 1)
        assert system.forget(run="default").removed["spool"] == 1
        assert not list(intake.spooled())
        intake.replay()
        assert counted(system) == [0, 0, 0]


# -- bad input -----------------------------------------------------------------------------------


def test_nothing_named_or_too_much_is_refused(system: AgentMemorySystem) -> None:
    filled(system, "ant")
    for named in (
        {},
        {"scrub": True},
        {"agent": "ant", "query": Query(agent_id="ant")},
        {"run": "default", "query": Query(agent_id="ant")},
        {"agent": ""},
        {"agent": 1.5},
        {"run": ""},
        {"memory_id": "no id"},
        {"agent": "ant", "memory_id": ""},
    ):
        with pytest.raises(InvalidEntry):
            system.forget(**named)
    assert steps_of(system) == [*range(ALL)]


def test_a_reader_forgets_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as system:
        filled(system, "ant")
        with (
            AgentMemorySystem.open(folder, read_only=True) as reader,
            pytest.raises(StoreReadOnly),
        ):
            reader.forget("ant")
        assert steps_of(system) == [*range(ALL)]


# -- the command ---------------------------------------------------------------------------------


def invoke(*arguments: object, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["forget", *map(str, arguments)], input=typed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as system:
        filled(system, "ant", "bee")
    return folder


def test_the_command_asks_and_prints_the_receipt(folder: Path) -> None:
    refused = invoke("--path", folder, "--agent", "ant", typed="n\n")
    assert refused.exit_code == 1
    assert "Forget agent 'ant' of run 'default' for good?" in refused.output
    done = invoke("--path", folder, "--agent", "ant", "--scrub", typed="y\n")
    assert done.exit_code == 0, done.output
    assert "12 memories (0 in spool, 4 in stm, 4 in im, 4 in ltm)" in done.output
    assert "nothing of it is left" in done.output
    assert done.output.count("rewritten:") == 2
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert steps_of(system) == []
        assert steps_of(system, "bee") == [*range(ALL)]


def test_the_command_forgets_a_run_or_one_memory(folder: Path) -> None:
    with AgentMemorySystem.open(folder, read_only=True) as system:
        memory_id = system.recall(Query(agent_id="bee", limit=1))[0].entry.memory_id
    assert "1 memories" in invoke("--path", folder, "--memory", memory_id, "--yes").output
    assert "23 memories" in invoke("--path", folder, "--run", "default", "--yes").output


@pytest.mark.parametrize("arguments", [(), ("--memory", "no id"), ("--agent", "")])
def test_the_command_refuses_what_names_nothing(folder: Path, arguments: tuple[str, ...]) -> None:
    result = invoke("--path", folder, "--yes", *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("agent-memory: ")
