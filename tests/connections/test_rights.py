"""A user with the rights that are documented can do everything, and each that lacks is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import Finding, State
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.redis.rights import NEEDED, WANTED, missing_rights, setuser
from tests import engines

NAMESPACES = ("agent_memory:stm", "agent_memory:im")


@pytest.fixture
def client(tcp_port: int) -> Iterator[redis.Redis]:
    with engines.tcp_client(tcp_port) as client:
        client.flushall()
        client.acl_log_reset()  # of other tests' users
        # Whoever may do more than is needed would hide what the documented user lacks.
        engines.call(client, *setuser("ants", NAMESPACES).replace("PASSWORD", "secret").split())
        yield client
        client.acl_deluser("ants")
        client.flushall()


def rights_found(config: MemoryConfig) -> Finding:
    (found,) = [one for one in findings(config) if one.subject == "rights"]
    return found


def test_the_documented_user_can_do_all_that_a_memory_does(
    client: redis.Redis, tcp_port: int, tmp_path: Path
) -> None:
    url = f"redis://ants:secret@127.0.0.1:{tcp_port}"
    config = MemoryConfig(
        redis_url=url,
        path=tmp_path / "m",
        stm_config={"memory_limit": 5},
        im_config={"memory_limit": 5},
        indexed_attributes=("food",),
        redis_max_bytes=10**9,
        on_store_error="raise",
        cleanup_interval=3,
    )
    with AgentMemorySystem(config) as memory:
        for step in range(12):
            memory.store_step(step, {f"ant-{one}": {"food": step} for one in range(12)})
            memory.store_agent_action("bee", {"go": step}, step)
        hits = memory.recall(Query(agent_id="ant-1", attributes={"food": 11}))
        assert len(hits) == 1
        assert memory.recall(Query(agent_id="ant-1"), near={"food": 2})
        assert memory.pin("ant-1", hits[0].entry.memory_id).pinned
        memory.unpin("ant-1", hits[0].entry.memory_id)
        memory.set_importance("ant-1", hits[0].entry.memory_id, 0.5)
        memory.maintain()
        with memory.maintenance_worker() as worker:
            worker.maintain()
        assert memory.check(repair=True).sound
        memory.backup(tmp_path / "backup")
        memory.forget("ant-2")
        memory.forget_after(9)
        assert memory.run("other").store_agent_state("ant", {"food": 1}, 1)
        assert memory.run("other").clear_all_memories()
    by_steps = {"namespace": "agent_memory:stm:steps"}, {"namespace": "agent_memory:im:steps"}
    config = MemoryConfig(
        redis_url=url,
        path=tmp_path / "steps",
        clock="steps",
        on_expiry="drop",
        stm_config=by_steps[0],
        im_config=by_steps[1],
    )
    with AgentMemorySystem(config) as memory:
        for _ in range(2):
            for step in range(9):
                assert memory.store_agent_state("ant", {"food": step}, step)
        memory.maintain()
    assert rights_found(config).state is State.FINE
    # What it was refused, and nobody noticed.
    refused = [entry["object"] for entry in client.acl_log() if entry["reason"] == "command"]
    assert {*refused} <= {"client|setinfo", b"client|setinfo"}


def test_each_right_that_lacks_is_named(client: redis.Redis, tcp_port: int) -> None:
    channel = RedisChannel(open_redis(f"redis://ants:secret@127.0.0.1:{tcp_port}"), "the server")
    assert missing_rights(channel, NAMESPACES) == []
    for command in (*NEEDED, *WANTED):
        engines.call(client, "ACL", "SETUSER", "ants", f"-{command}")
        found = missing_rights(channel, NAMESPACES)
        engines.call(client, "ACL", "SETUSER", "ants", f"+{command}")
        assert command in found, command
        # Without these, others cannot be tried or do not work.
        alone = {"evalsha", "script|load", "watch", "unwatch", "multi", "exec"}
        assert command in alone or found == [command]
    channel.close()
    assert client.keys("*doctor*") == []


def test_the_doctor_says_what_to_grant(client: redis.Redis, tcp_port: int, tmp_path: Path) -> None:
    config = MemoryConfig(redis_url=f"redis://ants:secret@127.0.0.1:{tcp_port}", path=tmp_path)
    engines.call(client, "ACL", "SETUSER", "ants", "-hdel", "-zrem")
    found = rights_found(config)
    assert found.state is State.BROKEN
    assert "grant it +hdel +zrem (~agent_memory:stm:* ~agent_memory:im:*)" in found.text
    engines.call(client, "ACL", "SETUSER", "ants", "+hdel", "+zrem", "-info")
    found = rights_found(config)
    assert found.state is State.OPTIONAL
    assert "grant +info" in found.text


def test_the_page_has_the_command_that_makes_the_user() -> None:
    page = Path("docs/scaling.md").read_text().replace("\\\n", "")
    assert setuser("ants", NAMESPACES) in " ".join(page.split())
