"""The contract over every engine, and what each says when it cannot serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fakeredis
import pytest
import redis
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.sql import open_engine
from agent_memory.errors import StoreReadOnly, StoreUnavailable
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.read_only import ReadOnlyRepository
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import LongTermContract, ShortLivedContract, an_entry
from agent_memory.testing.many import AgeingContract
from agent_memory.testing.moving import MovingContract
from agent_memory.testing.samples import Directions
from agent_memory.testing.storing import StoringContract
from agent_memory.tiers.moving import move
from agent_memory.values.entry import Tier
from agent_memory.values.query import Query
from tests import engines


class TestInMemory(LongTermContract, ShortLivedContract):
    @pytest.fixture(params=engines.parameters([*Tier], [Tier.LTM]), ids=lambda tier: tier.name)
    def repository(self, request: pytest.FixtureRequest) -> InMemoryRepository:
        return InMemoryRepository(request.param)


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    in_process = isinstance(redis_client, fakeredis.FakeRedis)
    return RedisChannel(redis_client, "the server of this test", in_process=in_process)


@pytest.fixture
def im(channel: RedisChannel) -> ImRepository:
    return ImRepository(channel, ContentsCodec(), namespace="agent_memory:im")


class TestShortTerm(ShortLivedContract):
    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return StmRepository(channel, ContentsCodec(), namespace="agent_memory:stm")

    @pytest.fixture
    def next_tier(self, im: ImRepository) -> ImRepository:
        return im


# Every other test of a cluster goes this way too.
@pytest.mark.long
@engines.redis_usually("embedded")
class TestSpreadOverBuckets(ShortLivedContract):
    """As on a cluster, where each call of a script names keys of one bucket."""

    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return StmRepository(channel, ContentsCodec(), namespace="agent_memory:stm", buckets=16)

    @pytest.fixture
    def next_tier(self, channel: RedisChannel) -> ImRepository:
        return ImRepository(channel, ContentsCodec(), namespace="agent_memory:im", buckets=16)


@engines.redis_usually("embedded")
class TestIntermediate(StoringContract, MovingContract, AgeingContract):
    @pytest.fixture
    def repository(self, im: ImRepository) -> ImRepository:
        return im


# What is not above is the code of short-term memory.
@pytest.mark.long
@engines.redis_usually("embedded")
class TestAllOfIntermediate(ShortLivedContract):
    @pytest.fixture
    def repository(self, im: ImRepository) -> ImRepository:
        return im


class TestLongTerm(LongTermContract):
    @pytest.fixture
    def repository(self, ltm_engine: Engine) -> LtmRepository:
        return LtmRepository(ltm_engine, ContentsCodec())


_ENTRY = an_entry()
_ALL = Query(run_id="run", agent_id="ant")
_WRITES: dict[str, Callable[[LongTermMemory], object]] = {
    "add": lambda repository: repository.add(_ENTRY),
    "add_many": lambda repository: repository.add_many([_ENTRY]),
    "replace": lambda repository: repository.replace(_ENTRY),
    "touch": lambda repository: repository.touch({_ENTRY.key: 1}, at=2.0),
    "reembed": lambda repository: repository.encodings.reembed([_ENTRY]),
    "remove": lambda repository: repository.remove(_ENTRY.key),
    "remove_many": lambda repository: repository.remove_many([_ENTRY.key]),
    "remove_answering": lambda repository: repository.remove_answering([_ALL]),
    "clear_agents": lambda repository: repository.clear_agents("run", ["ant"]),
    "remove_copied": lambda repository: repository.remove_copied([_ENTRY]),
    "move_to": lambda repository: move(repository, InMemoryRepository(), [_ENTRY]),
    "clear_agent": lambda repository: repository.clear_agents("run", ["ant"]),
    "clear_run": lambda repository: repository.clear_run("run"),
}
_READS: dict[str, Callable[[LongTermMemory], object]] = {
    "get": lambda repository: repository.get(_ENTRY.key),
    "get_many": lambda repository: repository.get_many([_ENTRY.key]),
    "find": lambda repository: repository.find(Query(run_id="run", agent_id="ant")),
    "find_each": lambda repository: repository.find_each([_ALL]),
    "agent_counts": lambda repository: repository.upkeep.agent_counts("run"),
    "keys_of": lambda repository: repository.keys("run", *["ant"]),
    "vectors": lambda repository: repository.encodings.vectors(Query(run_id="run", agent_id="ant")),
    "nearest": lambda repository: repository.nearest(
        Query(run_id="run", agent_id="ant"), Directions()
    ),
    "outdated": lambda repository: repository.encodings.outdated("run", "ant", 0),
    "count": lambda repository: repository.count("run"),
    "count of an agent": lambda repository: repository.count("run", "ant"),
    "agents": lambda repository: repository.agents("run"),
    "runs": lambda repository: repository.runs(),
    "keys": lambda repository: repository.keys("run", "ant"),
    "versions": lambda repository: {**repository.encodings.versions(), -1: 0},
    "stored_bytes": lambda repository: repository.upkeep.stored_bytes(),
}
_FORGET: dict[str, Callable[[LongTermMemory], object]] = {
    "forget": lambda repository: repository.forget([_ENTRY.key], at=2.0),
}


class TestUnreachable:
    @pytest.fixture(params=["nobody listens", "wrong password", "fake server that is off"])
    def redis_away(self, request: pytest.FixtureRequest) -> Iterator[StmRepository]:
        if request.param == "nobody listens":
            client = engines.tcp_client(engines.free_port())
        elif request.param == "wrong password":
            client = engines.tcp_client(request.getfixturevalue("tcp_port"), _WRONG_PASSWORD)
        else:
            client = engines.fake_client(connected=False)
        yield StmRepository(RedisChannel(client, "the server"), ContentsCodec(), namespace="stm")
        client.close()

    @pytest.fixture
    def sql_away(self, tmp_path: Path) -> Iterator[LtmRepository]:
        (tmp_path / "a folder").mkdir()
        engine = open_engine(f"sqlite:///{tmp_path / 'a folder'}")
        yield LtmRepository(engine, ContentsCodec())
        engine.dispose()

    @pytest.mark.parametrize("ask", (_WRITES | _READS).values(), ids=_WRITES | _READS)
    def test_a_server_that_does_not_answer_is_told_and_nothing_is_made_up(
        self, redis_away: StmRepository, ask: Callable[[object], object]
    ) -> None:
        with pytest.raises(StoreUnavailable, match="the server") as complaint:
            ask(redis_away)
        assert complaint.value.__cause__ is not None
        assert _WRONG_PASSWORD not in str(complaint.value)

    @pytest.mark.parametrize(
        "ask", (_WRITES | _READS | _FORGET).values(), ids=_WRITES | _READS | _FORGET
    )
    def test_a_file_that_cannot_be_opened_is_told_and_nothing_is_made_up(
        self, sql_away: LtmRepository, ask: Callable[[object], object]
    ) -> None:
        with pytest.raises(StoreUnavailable, match="a folder") as complaint:
            ask(sql_away)
        assert complaint.value.__cause__ is not None


_WRONG_PASSWORD = "open sesame"


class TestReadOnly:
    @pytest.fixture(params=["wrapped", "sqlite"])
    def repository(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[LongTermMemory]:
        if request.param == "wrapped":
            inner = InMemoryRepository()
            inner.add(_ENTRY)
            yield ReadOnlyRepository(inner)
            return
        url = f"sqlite:///{tmp_path / 'ltm.db'}"
        with engines.SqlDatabase(url) as database:
            LtmRepository(database.engine, ContentsCodec()).add(_ENTRY)
        engine = open_engine(url, read_only=True)
        yield LtmRepository(engine, ContentsCodec())
        engine.dispose()

    @pytest.mark.parametrize("write", (_WRITES | _FORGET).values(), ids=_WRITES | _FORGET)
    def test_every_write_is_refused_and_changes_nothing(
        self, repository: LongTermMemory, write: Callable[[object], object]
    ) -> None:
        with pytest.raises(StoreReadOnly):
            write(repository)
        assert repository.find(Query(run_id="run", agent_id="ant", limit=10)) == [_ENTRY]

    @pytest.mark.parametrize("read", _READS.values(), ids=_READS)
    def test_every_read_works(
        self, repository: LongTermMemory, read: Callable[[object], object]
    ) -> None:
        assert read(repository)
