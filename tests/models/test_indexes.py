"""Indexes of the query engine: made once, changed without a gap, distinguished from others'."""

from __future__ import annotations

import multiprocessing
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.errors import (
    CommandRefused,
    IndexBuilding,
    IndexConflict,
    QueryEngineMissing,
    SearchIndexError,
    StoreUnavailable,
)
from agent_memory.models.redis_search_schema import IndexDefinition
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.repositories.redis.search_index import SearchIndex
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.testing import an_entry
from agent_memory.values.query import Query

STM, WIDTH = "agent_memory:stm", 8
ENTRIES = IndexDefinition(STM, "entries")
OLDER = IndexDefinition(STM, "vectors", 4)
VECTORS = IndexDefinition(STM, "vectors", WIDTH)


def _names(client: redis.Redis) -> set[str]:
    return {name.decode() for name in client.execute_command("FT._LIST")}


def _leads_to(client: redis.Redis, alias: str) -> str:
    return str(client.execute_command("FT.INFO", alias)[1].decode())


def _count(channel: RedisChannel, alias: str) -> int:
    return int(channel.call("FT.SEARCH", alias, "*", "LIMIT", 0, 0)[0])


def _commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


def test_an_index_is_made_when_first_asked_for_and_bears_its_definitions_digest(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add(an_entry())
    index = SearchIndex(channel, ENTRIES)
    assert _names(client) == set()
    index.ensure()
    assert _names(client) == {ENTRIES.names[0]}
    assert _leads_to(client, ENTRIES.alias) == ENTRIES.names[0]
    assert _count(channel, ENTRIES.alias) == 1
    assert IndexDefinition(STM, "entries").names == ENTRIES.names
    assert len({definition.names[0] for definition in (ENTRIES, OLDER, VECTORS)}) == 3


def test_an_index_is_looked_at_once_and_then_trusted(
    client: redis.Redis, channel: RedisChannel
) -> None:
    index = SearchIndex(channel, ENTRIES)
    index.ensure()
    before = _commands(client)
    for _ in range(10):
        index.ensure()
    assert _commands(client) == before + 1  # the INFO itself


def test_the_keys_beside_the_entries_are_not_in_the_index(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository
) -> None:
    client.hset(f"{STM}:moving", "token", "[]")
    client.hset(f"{STM}er:{{run/ant}}:{'0' * 32}", mapping={"run_id": "run", "agent_id": "ant"})
    stm.add(an_entry())
    SearchIndex(channel, ENTRIES).ensure()
    assert _count(channel, ENTRIES.alias) == 1


def test_an_entry_with_a_vector_of_another_width_or_none_is_found_by_all_else(
    channel: RedisChannel, stm: StmRepository, search: TierSearch
) -> None:
    widths = {width: an_entry(embedding=[1.0] * width) for width in (WIDTH, WIDTH - 1, 384)}
    bare = an_entry()
    stm.add_many([*widths.values(), bare])
    search.ensure()
    assert _count(channel, search.entries.alias) == 4
    assert _count(channel, search.vectors.alias) == 1
    ids, _ = search.search(Query(run_id="run", agent_id="ant"), [1.0] * WIDTH, 10)
    assert ids == [widths[WIDTH].memory_id]


def test_an_entry_that_loses_or_gets_its_vector_is_no_longer_or_newly_near(
    stm: StmRepository, search: TierSearch
) -> None:
    search.ensure()
    vector = np.ones(WIDTH, np.float32)
    query = Query(run_id="run", agent_id="ant")
    entry = an_entry()
    stm.add(entry)
    for embedding, found in ((vector, [entry.memory_id]), (None, []), (vector, [entry.memory_id])):
        entry = stm.replace(replace(entry, embedding=embedding))
        assert search.search(query, vector, 3)[0] == found


def test_an_index_of_another_definition_is_replaced_and_the_entries_stay(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add_many([an_entry(embedding=[1.0] * WIDTH) for _ in range(10)])
    SearchIndex(channel, OLDER).ensure()
    SearchIndex(channel, VECTORS).ensure()
    assert _names(client) == {VECTORS.names[0]}
    assert _count(channel, VECTORS.alias) == 10
    assert stm.count("run") == 10


def test_a_change_of_index_leaves_no_moment_at_which_a_query_fails_or_misses(
    client: redis.Redis, search_url: str, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add_many([an_entry(embedding=[1.0] * WIDTH) for _ in range(3000)])
    first = IndexDefinition(STM, "entries", None)
    SearchIndex(channel, first).ensure()
    stop, seen = threading.Event(), []

    def keep_asking() -> None:
        with_own = open_redis(search_url)
        while not stop.is_set():
            seen.append(with_own.execute_command("FT.SEARCH", first.alias, "*", "LIMIT", 0, 0)[0])
        with_own.close()

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        wider = _Wider(STM, "entries")
        SearchIndex(channel, wider).ensure()
        SearchIndex(channel, wider).rebuild()
        SearchIndex(channel, first).ensure()
    finally:
        stop.set()
        asking.join()
    assert set(seen) == {3000}
    assert len(seen) > 20
    assert _names(client) == {first.names[0]}


class _Wider(IndexDefinition):
    """The same fields but for their order, as a later version of this package may have them."""

    @property
    def _schema(self) -> tuple[str, ...]:
        return tuple(part for name in ("agent_id", "run_id", "memory_type")
                     for part in (name, "TAG", "CASESENSITIVE")) + super()._schema[9:]  # fmt: skip


def test_a_rebuilt_index_goes_by_the_other_name_and_back(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add(an_entry())
    index = SearchIndex(channel, ENTRIES)
    for name in (ENTRIES.names[0], ENTRIES.names[1], ENTRIES.names[0]):
        index.rebuild()
        assert _names(client) == {name}
        assert _count(channel, ENTRIES.alias) == 1
    index.rebuild()
    SearchIndex(channel, ENTRIES).ensure()
    assert _names(client) == {ENTRIES.names[1]}


def test_a_dropped_index_takes_no_entry_along_and_comes_again(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository, search: TierSearch
) -> None:
    stm.add(an_entry(embedding=[1.0] * WIDTH))
    search.ensure()
    search.drop()
    assert _names(client) == set()
    assert stm.count("run") == 1
    ids, _ = search.search(Query(run_id="run", agent_id="ant"), [1.0] * WIDTH, 10)
    assert len(ids) == 1


def test_an_index_that_was_lost_with_all_data_is_made_anew(
    client: redis.Redis, stm: StmRepository, search: TierSearch
) -> None:
    search.ensure()
    client.flushall()
    stm.add(an_entry(embedding=[1.0] * WIDTH))
    ids, _ = search.search(Query(run_id="run", agent_id="ant"), [1.0] * WIDTH, 10)
    assert len(ids) == 1


def test_an_index_of_somebody_else_under_our_alias_is_told_with_what_mends_it(
    client: redis.Redis, channel: RedisChannel
) -> None:
    client.execute_command(
        *("FT.CREATE", ENTRIES.alias, "ON", "HASH", "PREFIX", 1, "theirs:", "SCHEMA", "a", "TAG")
    )
    with pytest.raises(IndexConflict) as complaint:
        SearchIndex(channel, ENTRIES).ensure()
    _mend(client, str(complaint.value), f"FT.DROPINDEX {ENTRIES.alias}")
    SearchIndex(channel, ENTRIES).ensure()


def test_our_alias_leading_to_somebody_elses_index_is_told_with_what_mends_it(
    client: redis.Redis, channel: RedisChannel
) -> None:
    client.execute_command(
        "FT.CREATE", "theirs", "ON", "HASH", "PREFIX", 1, "theirs:", "SCHEMA", "a", "TAG"
    )
    client.execute_command("FT.ALIASADD", ENTRIES.alias, "theirs")
    with pytest.raises(IndexConflict) as complaint:
        SearchIndex(channel, ENTRIES).ensure()
    _mend(client, str(complaint.value), f"FT.ALIASDEL {ENTRIES.alias}")
    SearchIndex(channel, ENTRIES).ensure()
    assert "theirs" in _names(client)


def test_an_index_of_other_fields_under_our_very_name_is_told_with_what_mends_it(
    client: redis.Redis, channel: RedisChannel
) -> None:
    name = VECTORS.names[0]
    client.execute_command("FT.CREATE", name, *OLDER.arguments)
    with pytest.raises(IndexConflict) as complaint:
        SearchIndex(channel, VECTORS).ensure()
    _mend(client, str(complaint.value), f"FT.DROPINDEX {name}")
    SearchIndex(channel, VECTORS).ensure()


def _mend(client: redis.Redis, complaint: str, command: str) -> None:
    assert f"send the server: {command} (it keeps the entries)" in complaint
    client.execute_command(*command.split())


def test_an_index_still_being_built_is_told_and_later_used(
    channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add_many([an_entry() for _ in range(10_000)])
    with pytest.raises(IndexBuilding, match=r"holds \d+% of the entries.*FT.INFO"):
        SearchIndex(channel, ENTRIES, patience=0.0, sleep=lambda _: None).ensure()
    SearchIndex(channel, ENTRIES).ensure()
    assert _count(channel, ENTRIES.alias) == 10_000


@pytest.mark.long
def test_processes_that_begin_at_once_end_with_one_index(
    client: redis.Redis, search_url: str, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add_many([an_entry(embedding=[1.0] * WIDTH) for _ in range(2000)])
    SearchIndex(channel, OLDER).ensure()
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    with_each = [context.Process(target=_begin, args=(search_url, gate)) for _ in range(3)]
    for process in with_each:
        process.start()
    for process in with_each:
        process.join()
    assert [process.exitcode for process in with_each] == [0] * 3
    assert _names(client) == {VECTORS.names[0]}
    assert _count(channel, VECTORS.alias) == 2000


def _begin(url: str, gate: Any) -> None:
    client = open_redis(url)
    search = SearchIndex(RedisChannel(client, "the server"), VECTORS)
    gate.wait()
    search.ensure()
    assert client.execute_command("FT.SEARCH", VECTORS.alias, "*", "LIMIT", 0, 0) == [2000]
    client.close()


def test_an_index_of_another_database_is_refused_with_what_to_do(
    search_url: str, client: redis.Redis
) -> None:
    second = open_redis(search_url, db=1)
    with pytest.raises(QueryEngineMissing, match="database 0 only; leave db at 0"):
        SearchIndex(RedisChannel(second, "the server"), ENTRIES).ensure()
    second.close()


def test_a_plain_server_is_told_with_what_to_install(plain_url: str) -> None:
    client = open_redis(plain_url)
    index = SearchIndex(RedisChannel(client, "the server"), ENTRIES)
    for ask in (index.ensure, index.rebuild, index.drop):
        with pytest.raises(QueryEngineMissing, match=r"Redis 8.*agent-memory\[search\]"):
            ask()
    client.close()


def test_read_only_uses_an_index_and_makes_none(
    client: redis.Redis, channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add(an_entry())
    looking = SearchIndex(channel, ENTRIES, read_only=True)
    for ask in (looking.ensure, looking.rebuild, looking.drop):
        with pytest.raises(SearchIndexError, match="opened read-only"):
            ask()
    assert _names(client) == set()
    SearchIndex(channel, ENTRIES).ensure()
    looking.ensure()
    assert looking.ask(("FT.SEARCH", looking.alias, "*", "LIMIT", 0, 0)) == [1]


def test_a_query_the_server_cannot_read_is_refused_as_it_says(channel: RedisChannel) -> None:
    index = SearchIndex(channel, ENTRIES)
    with pytest.raises(CommandRefused, match="Syntax error"):
        index.ask(("FT.SEARCH", index.alias, "@@@("))


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    client = open_redis(f"unix://{tmp_path}/nobody")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        SearchIndex(RedisChannel(client, "the server"), ENTRIES).ensure()


def test_a_forked_child_makes_its_index_though_the_parent_was_making_one(
    channel: RedisChannel, stm: StmRepository
) -> None:
    stm.add(an_entry())
    index = SearchIndex(channel, ENTRIES)
    with index._lock:
        child = os.fork()
        if child == 0:
            index.ensure()
            os._exit(0 if _count(channel, ENTRIES.alias) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
