"""Redis-OM models see what the repositories write, decoded, and write through them."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from redis_om import NotFoundError, QueryNotSupportedError
from redis_om.model.model import model_registry

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.redis.clients import open_redis
from agent_memory.errors import (
    EncodingError,
    EntryConflict,
    EntryNotFound,
    InvalidEntry,
    QueryEngineMissing,
    SearchIndexError,
    StoreReadOnly,
    StoreUnavailable,
)
from agent_memory.models.redis import agent_prefix, encode_id
from agent_memory.testing import HOSTILE_CONTENTS, HOSTILE_NAMES, an_entry, same
from agent_memory.tiers.moving import move
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Order, Query

WIDTH = 8
# To a type checker the fields of the class are values, which Redis-OM's comparisons are not of.
Model = Any


def _config(folder: Path, url: str, **more: Any) -> MemoryConfig:
    widths = {"stm_dim": WIDTH, "im_dim": 4, "ltm_dim": 2}
    return MemoryConfig(path=folder, redis_url=url, autoencoder_config=widths, **more)


@pytest.fixture
def system(client: redis.Redis, search_url: str, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(_config(tmp_path, search_url)) as system:
        yield system


@pytest.fixture
def model(system: AgentMemorySystem) -> Model:
    return system.models.StmEntry


@pytest.fixture
def plain(plain_url: str, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with closing(open_redis(plain_url)) as client:
        client.flushall()  # another test's folder is another memory
    with AgentMemorySystem(_config(tmp_path, plain_url)) as system:
        yield system


def _steps(found: Any) -> list[int]:
    return [entry.step_number for entry in found]


def _thirty(system: AgentMemorySystem) -> list[MemoryEntry]:
    entries = [
        an_entry(
            agent_id="a|b", step_number=step, timestamp=step / 3, importance_score=step / 30,
            memory_type=list(MemoryType)[step % 3], encoder_version=0,
            embedding=[1.0, step, *[0.0] * (WIDTH - 2)],
        )
        for step in range(30)
    ]  # fmt: skip
    system.stm.add_many(entries)
    return entries


class TestReading:
    def test_find_reads_what_the_repository_wrote(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        entries = _thirty(system)
        query = model.find(model.agent_id == "a|b", model.step_number > 10)
        assert query.count() == 19
        assert _steps(query.sort_by("-step_number").page(2, 3)) == [27, 26, 25]
        assert query.sort_by("step_number").first().to_entry() == entries[11]
        assert sorted(_steps(query.all())) == list(range(11, 30))
        assert sorted(_steps(query.all(batch_size=4))) == list(range(11, 30))
        assert query.sort_by("step_number")[3].step_number == 14
        with pytest.raises(IndexError):
            query[19]
        with pytest.raises(NotFoundError):
            model.find(model.agent_id == "nobody").first()

    @pytest.mark.parametrize(
        ("ask", "steps"),
        [
            (lambda m: [m.step_number == 7], {7}),
            (lambda m: [m.step_number != 7], {*range(30)} - {7}),
            (lambda m: [m.step_number << [7, 9, 99]], {7, 9}),
            (lambda m: [m.step_number >> [7, 9, 99]], {*range(30)} - {7, 9}),
            (lambda m: [m.step_number << []], set()),
            (lambda m: [m.step_number >> []], {*range(30)}),
            (lambda m: [m.step_number <= 2**60, m.step_number >= -(10**400)], {*range(30)}),
            (lambda m: [m.timestamp == 7 / 3], {7}),
            (lambda m: [m.timestamp < 7 / 3], {*range(7)}),
            (lambda m: [m.timestamp <= np.float64(7 / 3)], {*range(8)}),
            (lambda m: [m.timestamp < math.inf, m.timestamp > 1e-300], {*range(1, 30)}),
            (lambda m: [m.importance_score >= 28 / 30], {28, 29}),
            (lambda m: [m.memory_type == MemoryType.ACTION], {*range(2, 30, 3)}),
            (lambda m: [m.memory_type << ["action", "state"]],
             {*range(2, 30, 3), *range(0, 30, 3)}),
            (lambda m: [(m.step_number < 2) | (m.step_number > 27)], {0, 1, 28, 29}),
            (lambda m: [~(m.step_number < 28)], {28, 29}),
            (lambda m: [~((m.step_number < 2) | (m.step_number > 5)), m.step_number != 3],
             {2, 4, 5}),
            (lambda m: [m.agent_id == "a|b", m.run_id == "run", m.encoder_version == 0],
             {*range(30)}),
            (lambda m: [m.agent_id != "a|b"], set()),
            (lambda m: [m.agent_id << ["x", "a|b"]], {*range(30)}),
            (lambda m: [m.agent_id << []], set()),
        ],
    )  # fmt: skip
    def test_comparisons_mean_what_they_say(
        self, system: AgentMemorySystem, model: Model, ask: Any, steps: set[int]
    ) -> None:
        _thirty(system)
        assert set(_steps(model.find(*ask(model)).all())) == steps
        assert model.find(*ask(model)).count() == len(steps)

    def test_no_id_breaks_a_query_or_reaches_another_agent_or_run(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        names = [name for name in HOSTILE_NAMES if len(encode_id(name)) < 4096]
        entries = [an_entry(agent_id=name) for name in names]
        entries += [an_entry(run_id=name, agent_id="in the run") for name in names]
        system.stm.add_many(entries)
        for name, entry in zip(names, entries[: len(names)], strict=True):
            (found,) = model.find(model.agent_id == name).all()
            assert (found.agent_id, found.memory_id) == (name, entry.memory_id)
            (found,) = model.find(model.run_id == name).all()
            assert found.run_id == name
            assert model.find(model.agent_id << [name, "nobody"]).count() == 1
            assert model.find(model.agent_id != name).count() == len(entries) - 1

    @pytest.mark.parametrize(
        "ask",
        [
            lambda m: m.agent_id == "",
            lambda m: m.agent_id == None,  # noqa: E711  # what is tested
            lambda m: m.agent_id == "\U0001f41c" * 1024,
            lambda m: m.agent_id << ["a", ""],
            lambda m: m.memory_type == "dream",
            lambda m: m.step_number > "1] | @agent_id:{a",
            lambda m: m.step_number == True,  # noqa: E712  # what is tested
            lambda m: m.timestamp < math.nan,  # noqa: PLW0177  # what is tested
            lambda m: m.timestamp < datetime(2024, 1, 1, tzinfo=UTC),
        ],
    )
    def test_a_value_that_cannot_be_compared_with_is_refused(self, model: Model, ask: Any) -> None:
        with pytest.raises(InvalidEntry):
            model.find(ask(model)).all()

    @pytest.mark.parametrize(
        "ask",
        [
            lambda m: m.find(m.agent_id.startswith("a")),
            lambda m: m.find(m.agent_id.contains("a")),
            lambda m: m.find(m.agent_id > "a"),
            lambda m: m.find(m.agent_id << "abc"),
            lambda m: m.find(m.memory_id == "0" * 32),
            lambda m: m.find(m.contents == {}),
            lambda m: m.find().sort_by("step_number", "timestamp"),
            lambda m: m.find().sort_by("contents"),
        ],
    )
    def test_a_comparison_that_would_mislead_is_refused(self, model: Model, ask: Any) -> None:
        with pytest.raises(QueryNotSupportedError):
            ask(model).all()

    def test_values_and_only_are_decoded(self, system: AgentMemorySystem, model: Model) -> None:
        entry = an_entry(
            agent_id="a|b", contents=HOSTILE_CONTENTS[2], embedding=np.arange(WIDTH) / 3,
            encoder_version=4, error_bounds={"x": 0.5}, memory_type="action",
        )  # fmt: skip
        system.stm.add_many([entry, an_entry(agent_id="bare")])
        (whole,) = model.find(model.agent_id == "a|b").values().all()
        names = [name for name in whole if name != "distance"]
        (row,) = model.find(model.agent_id == "a|b").values(*names).all()
        assert {name: same(row[name], whole[name]) for name in names} == dict.fromkeys(names, True)
        (partial,) = model.find(model.agent_id == "a|b").only("agent_id", "step_number").all()
        assert (partial.agent_id, partial.step_number) == ("a|b", 1)
        with pytest.raises(AttributeError):
            partial.timestamp  # noqa: B018  # reading it is what is tested
        (row,) = model.find(model.agent_id == "bare").values("embedding", "error_bounds").all()
        assert row == {"embedding": None, "error_bounds": None}

    def test_get_takes_a_pk_or_a_key(self, system: AgentMemorySystem, model: Model) -> None:
        entry = an_entry(run_id="r/1", agent_id="a|b{*}")
        system.stm.add(entry)
        (found,) = model.find(model.agent_id == "a|b{*}").all()
        assert model.get(found.pk).to_entry() == model.get(entry.key).to_entry() == entry
        assert found.key() == agent_prefix("agent_memory:stm", *entry.key[:2]) + entry.memory_id
        assert list(model.all_pks()) == [found.pk]
        with pytest.raises(NotFoundError):
            model.get(EntryKey("run", "nobody", "0" * 32))
        with pytest.raises(EntryNotFound):
            model.get(found.pk[:-1] + ("0" if found.pk[-1] != "0" else "1"))
        with pytest.raises(InvalidEntry, match="give the pk of a model"):
            model.get("a|b")

    def test_a_damaged_entry_is_told_by_its_name(
        self, client: redis.Redis, system: AgentMemorySystem, model: Model
    ) -> None:
        entry = an_entry()
        system.stm.add(entry)
        client.hset(
            agent_prefix("agent_memory:stm", "run", "ant") + entry.memory_id, "contents", ""
        )
        with pytest.raises(EncodingError):
            model.find().all()

    def test_each_tier_sees_its_own_and_an_entry_that_moves_changes_model(
        self, system: AgentMemorySystem
    ) -> None:
        stm, im = system.models.StmEntry, system.models.ImEntry
        entry = an_entry(embedding=[1.0] * WIDTH)
        system.stm.add(entry)
        assert (stm.find().count(), im.find().count()) == (1, 0)
        copy = replace(entry, embedding=np.ones(4, np.float32), compression_level=1)
        move(system.stm, system.im, [copy])
        assert (stm.find().count(), im.find().count()) == (0, 1)
        assert im.find(knn=im.near([1.0] * 4, 1)).first().to_entry() == copy

    def test_systems_of_other_namespaces_do_not_meet(
        self, system: AgentMemorySystem, model: Model, search_url: str, tmp_path: Path
    ) -> None:
        spaces = {"stm_config": {"namespace": "x:stm"}, "im_config": {"namespace": "x:im"}}
        config = _config(tmp_path / "x", search_url, **spaces)
        with AgentMemorySystem(config) as other:
            other.stm.add(an_entry(agent_id="x"))
            system.stm.add(an_entry(agent_id="y"))
            theirs = other.models.StmEntry
            assert [entry.agent_id for entry in theirs.find().all()] == ["x"]
            assert [entry.agent_id for entry in model.find().all()] == ["y"]


class TestNearest:
    def test_the_nearest_come_first_with_their_distance(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        entries = _thirty(system)
        near = model.near(entries[20].embedding, 5)
        query = model.find(model.agent_id == "a|b", model.step_number < 20, knn=near)
        found = query.all()
        assert _steps(found) == [19, 18, 17, 16, 15]
        vectors = np.array([entry.embedding for entry in entries])
        for entry in found:
            product = float(vectors[20] @ vectors[entry.step_number])
            lengths = np.linalg.norm(vectors[20]) * np.linalg.norm(vectors[entry.step_number])
            assert entry.distance == pytest.approx(1 - product / lengths, abs=1e-6)
            assert entry.to_entry() == entries[entry.step_number]
        assert query.first().step_number == 19
        assert query.count() == 5
        assert _steps(query.page(1, 2)) == [18, 17]
        assert _steps(query.sort_by("step_number").all()) == [15, 16, 17, 18, 19]
        assert _steps(query.sort_by("-distance").page(0, 2)) == [15, 16]
        assert query.values("step_number").page(0, 1) == [{"step_number": 19}]
        assert query.only("step_number").first().step_number == 19

    def test_zeros_do_not_hide_what_is_near(self, system: AgentMemorySystem, model: Model) -> None:
        system.stm.add_many([an_entry(embedding=[0.0] * WIDTH) for _ in range(10)])
        system.stm.add_many([an_entry(step_number=7, embedding=[1.0] * WIDTH)])
        found = model.find(knn=model.near([1.0] * WIDTH, 2)).all()
        assert [(entry.step_number, entry.distance) for entry in found] == [
            (7, pytest.approx(0.0, abs=1e-6)), (1, 1.0)
        ]  # fmt: skip

    @pytest.mark.parametrize("vector", [[], "abc", [math.nan] * WIDTH, [1.0] * (WIDTH + 1)])
    def test_a_vector_that_is_none_is_refused(self, model: Model, vector: object) -> None:
        with pytest.raises(InvalidEntry):
            model.find(knn=model.near(vector, 3)).all()


class TestWriting:
    def test_what_is_saved_is_found_by_the_repository_in_every_index(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        made = model(
            run_id="run", agent_id=7, step_number=3, timestamp=5, memory_type="action",
            contents={"where": (1, 2)}, importance_score=0.5, embedding=[1.0] * WIDTH,
        )  # fmt: skip
        assert made.save() is made
        entry = made.to_entry()
        stm = system.stm
        assert entry.agent_id == "7"
        assert stm.get(entry.key) == entry
        assert (
            stm.find(Query(run_id="run", agent_id="7", steps=(3, 3), order=Order.STEP))
            == stm.find(Query(run_id="run", agent_id="7", order=Order.NEWEST, limit=10))
            == [entry]
        )
        assert (
            stm.find(
                Query(run_id="run", agent_id="7", memory_type=MemoryType.ACTION, order=Order.NEWEST)
            )
            == stm.find(
                Query(run_id="run", agent_id="7", importance=(0.0, 1.0), order=Order.IMPORTANCE)
            )
            == [entry]
        )
        assert (stm.agents("run"), stm.runs(), stm.count("run")) == (["7"], ["run"], 1)
        (found,) = model.find().all()
        assert found.to_entry() == entry

    def test_a_change_replaces_what_was_read_and_reindexes_it(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        system.stm.add(an_entry(memory_type="state", importance_score=0.1))
        (entry,) = model.find().all()
        entry.update(importance_score=0.9, memory_type=MemoryType.ACTION)
        assert entry.revision == 1
        assert system.stm.find(
            Query(run_id="run", agent_id="ant", importance=(0.8, 1.0), order=Order.IMPORTANCE)
        ) == [entry.to_entry()]
        assert (
            system.stm.find(
                Query(
                    run_id="run", agent_id="ant", memory_type=MemoryType.STATE, order=Order.NEWEST
                )
            )
            == []
        )
        entry.update(importance_score=0.95)
        assert entry.revision == 2
        assert model.find(model.importance_score == 0.95).count() == 1

    def test_of_two_changes_of_one_reading_the_later_is_told(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        system.stm.add(an_entry())
        (one,), (other,) = model.find().all(), model.find().all()
        one.update(importance_score=0.5)
        with pytest.raises(EntryConflict):
            other.update(importance_score=0.6)
        assert model.find().first().importance_score == 0.5

    def test_a_retrieval_counted_meanwhile_is_not_undone(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        entry = an_entry()
        system.stm.add(entry)
        (found,) = model.find().all()
        system.stm.touch({entry.key: 3}, at=9.0)
        found.update(importance_score=0.5)
        assert (found.retrieval_count, found.last_access_time) == (3, 9.0)
        assert system.stm.get(entry.key).retrieval_count == 3

    def test_nx_and_xx_say_whether_it_may_be_there(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        made = model.from_entry(an_entry())
        assert made.save(xx=True) is None
        assert system.stm.count("run") == 0
        assert made.save(nx=True) is made
        assert made.save(nx=True) is None
        assert made.save(xx=True) is made
        with pytest.raises(ValueError, match="nx and xx"):
            made.save(nx=True, xx=True)

    def test_deleting_leaves_no_index_member_behind(
        self, client: redis.Redis, system: AgentMemorySystem, model: Model
    ) -> None:
        _thirty(system)
        first, *_ = model.find(model.step_number == 0).all()
        assert (first.delete(), first.delete()) == (1, 0)
        assert model.delete(model.find(model.step_number == 1).first().pk) == 1
        assert model.find(model.step_number < 10).delete() == 8
        assert model.delete_many(model.find(model.step_number < 20).all()) == 10
        assert (
            system.stm.count("run")
            == len(system.stm.find(Query(run_id="run", agent_id="a|b", limit=99)))
            == 10
        )
        model.find().delete()
        # What says whose memory it is stays.
        assert client.keys("agent_memory:stm*") == [b"agent_memory:stm:memory"]
        with pytest.raises(InvalidEntry, match="say which entry"):
            model.delete()

    def test_add_and_update_of_a_query_write_each_entry(
        self, system: AgentMemorySystem, model: Model
    ) -> None:
        model.add([model.from_entry(an_entry(step_number=step)) for step in range(5)])
        model.find(model.step_number < 3).update(importance_score=0.25)
        assert (
            len(
                system.stm.find(
                    Query(
                        run_id="run", agent_id="ant", importance=(0.5, 1.0), order=Order.IMPORTANCE
                    )
                )
            )
            == 2
        )

    @pytest.mark.parametrize(
        "write",
        [
            lambda entry: entry.save(pipeline=object()),
            lambda entry: entry.save(field_expirations={"contents": 3}),
            lambda entry: entry.expire(10),
            lambda entry: type(entry).add([entry], pipeline=object()),
            lambda entry: type(entry).delete_many([entry], pipeline=object()),
            lambda entry: entry.delete(pipeline=object()),
        ],
    )
    def test_what_would_bypass_the_indexes_is_refused(
        self, system: AgentMemorySystem, model: Model, write: Any
    ) -> None:
        with pytest.raises(InvalidEntry, match="not supported for entries"):
            write(model.from_entry(an_entry()))
        assert system.stm.count("run") == 0

    def test_what_has_no_meaning_is_refused_by_name(self, model: Model) -> None:
        made = model.from_entry(an_entry())
        made.importance_score = 7.0
        with pytest.raises(InvalidEntry, match="importance_score"):
            made.save()

    def test_a_store_opened_read_only_reads_and_does_not_write(
        self, system: AgentMemorySystem, model: Model, search_url: str, tmp_path: Path
    ) -> None:
        entry = an_entry()
        system.stm.add(entry)
        with AgentMemorySystem(_config(tmp_path, search_url), read_only=True) as looking:
            theirs = looking.models.StmEntry
            with pytest.raises(SearchIndexError, match="opened read-only"):
                theirs.find()
            model.find()
            (found,) = theirs.find().all()
            assert found.to_entry() == entry
            for write in (found.save, found.delete, theirs.find().delete):
                with pytest.raises(StoreReadOnly):
                    write()


class TestWithoutAQueryEngine:
    def test_find_and_save_say_what_to_install_and_store_nothing(
        self, plain: AgentMemorySystem
    ) -> None:
        for model in (plain.models.StmEntry, plain.models.ImEntry):
            made = model.from_entry(an_entry())
            for ask in (model.find, made.save, lambda m=model: m.find(knn=m.near([1.0]))):
                with pytest.raises(QueryEngineMissing, match=r"Redis 8.*agent-memory\[search\]"):
                    ask()
        assert plain.stm.count("run") == plain.im.count("run") == 0

    def test_fakeredis_is_told_apart(self, tmp_path: Path) -> None:
        config = MemoryConfig(path=tmp_path, engine="fake")
        with AgentMemorySystem(config) as system, pytest.raises(QueryEngineMissing):
            system.models.StmEntry.find()

    def test_get_works_all_the_same(self, plain: AgentMemorySystem) -> None:
        entry = an_entry()
        plain.stm.add(entry)
        model = plain.models.StmEntry
        assert model.get(entry.key).to_entry() == entry
        assert [model.key_of(pk) for pk in model.all_pks()] == [entry.key]

    def test_a_database_that_is_not_indexed_is_told(
        self, search_url: str, client: redis.Redis, tmp_path: Path
    ) -> None:
        config = _config(tmp_path, search_url, stm_config={"db": 1}, im_config={"db": 1})
        with (
            AgentMemorySystem(config) as system,
            pytest.raises(QueryEngineMissing, match="database 0 only"),
        ):
            system.models.StmEntry.find()

    def test_a_server_that_is_gone_is_told(
        self,
        tmp_path: Path,
        search_url: str,
        client: redis.Redis,
    ) -> None:
        with AgentMemorySystem(_config(tmp_path, search_url)) as system:
            model = system.models.StmEntry
            model.find()
            channel = system._resources.search[Tier.STM].channel
            nobody = redis.Redis(unix_socket_path=str(tmp_path / "nobody"))
            there, channel.client = channel.client, nobody
            channel._idle.clear()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                model.find().all()
            channel.client = there


def test_redis_oms_migrator_does_not_know_the_models(model: Model) -> None:
    # It would make an index of its own under the name of ours, and drop what it takes for old.
    assert not [name for name in model_registry if "agent_memory" in name]


def test_a_system_that_was_closed_is_not_kept_by_redis_om(
    client: redis.Redis, search_url: str, tmp_path: Path
) -> None:
    with AgentMemorySystem(_config(tmp_path, search_url)) as system:
        system.models.StmEntry.find().all()
        backend = weakref.ref(system.models.stm)
    del system
    gc.collect()
    assert backend() is None


_STORES_PLAINLY = """
import sys
from agent_memory import AgentMemorySystem, MemoryConfig, Query
with AgentMemorySystem(MemoryConfig(path=sys.argv[1], engine="fake")) as system:
    system.store_agent_state("ant", {"food": 1}, 1)
    system.recall(Query(agent_id="ant"))
    system.models.LtmEntry
    assert "redis_om" not in sys.modules
    system.models.StmEntry
    assert "redis_om" in sys.modules
"""


def test_redis_om_is_loaded_when_a_model_is_first_asked_for(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _STORES_PLAINLY, str(tmp_path)], check=True)
