"""What a channel does with a server that is lost, that hangs, or that this package starts."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent_memory import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.embedded import folder_channel, keeper
from agent_memory.connections.embedded.folder_channel import FolderChannel
from agent_memory.connections.redis import clients
from agent_memory.connections.redis.channel import RedisChannel, nothing
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.serving import Connector, connector
from agent_memory.errors import StoreReplaced, StoreUnavailable
from tests import engines

pytestmark = pytest.mark.faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def embedded(folder: Path) -> Iterator[Connector]:
    where = deployment(MemoryConfig(engine="embedded", path=folder), {})
    with ExitStack() as opened:
        yield connector(opened, where, search=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[engines.StoppableServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with engines.StoppableServer(folder) as started:
        yield started


def own(server: engines.StoppableServer, opened: ExitStack) -> Connector:
    """What opens channels to a server that somebody else starts."""
    return connector(opened, deployment(MemoryConfig(redis_url=server.url), {}))


def kill_server(channel: RedisChannel) -> None:
    (about,) = channel.call_all([("INFO", "server")])
    pid = int(about.partition(b"process_id:")[2].split()[0])
    os.kill(pid, signal.SIGKILL)
    # Its threads go one after the other and its sockets with the last: only once its keeper has
    # reaped it is no request sent to it any more, to be reset half-way.
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.001)


def test_an_embedded_server_that_was_killed_is_started_by_the_next_request(
    embedded: Connector,
) -> None:
    channel = embedded(0)
    channel.call("SET", "entry", "kept")
    for _ in range(3):
        kill_server(channel)
        assert channel.call("GET", "entry") == b"kept"
        assert not channel.breaker.is_away


def test_a_request_that_may_not_be_repeated_starts_the_server_too(embedded: Connector) -> None:
    channel = embedded(0)
    channel.call("SET", "counted", "0")
    for count in range(1, 4):
        kill_server(channel)
        assert channel.call("INCR", "counted", repeatable=False) == count


def test_a_change_is_kept_by_a_server_that_lost_a_connection_or_was_started_again(
    embedded: Connector,
) -> None:
    channel, other = embedded(0), embedded(0)
    assert isinstance(channel, FolderChannel)
    losing: list[Callable[[], object]] = [
        lambda: other.call("CLIENT", "KILL", "TYPE", "normal"),
        lambda: kill_server(other),
    ]
    for lose in losing:
        channel.call("SET", "counted", "0")
        lose()
        channel._roomy_at = -math.inf  # as after a pause
        losses = channel.losses
        assert channel.call("SET", "changed", "once") == b"OK"
        assert channel.losses == losses + 1
        lose()
        channel._roomy_at = -math.inf
        assert channel.call("INCR", "counted", repeatable=False) == 1


def test_a_change_is_kept_after_another_that_was_made_before_its_request(
    embedded: Connector,
) -> None:
    channel = embedded(0)
    assert isinstance(channel, FolderChannel)

    def store_gathered() -> None:
        channel.before = nothing
        assert channel.call("SET", "gathered", "first") == b"OK"
        channel._roomy_at = -math.inf  # as after a pause

    for ask in (lambda: channel.call("SET", "changed", "once"), lambda: converse(channel)):
        channel.before = store_gathered
        ask()


def converse(channel: RedisChannel) -> None:
    with channel.conversation() as conversation:
        conversation.send("set", packed_command(("SET", "changed", "twice")), 1)


def test_a_server_that_ends_before_it_was_seen_to_keep_a_change_does_not_acknowledge_it(
    embedded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = embedded(0)
    assert isinstance(channel, FolderChannel)

    def end_first() -> bool:
        kill_server(embedded(0))
        return False

    with monkeypatch.context() as patch:
        patch.setattr(channel._server, "has_room", end_first)
        with pytest.raises(StoreUnavailable, match="ended before it was seen to keep a change"):
            channel.call("SET", "changed", "once")
        with pytest.raises(StoreUnavailable, match="ended before it was seen to keep a change"):
            converse(channel)
    assert channel.call("SET", "changed", "again") == b"OK"


def test_a_folder_that_goes_while_an_answer_is_waited_for_is_noticed(
    embedded: Connector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = embedded(0)
    assert isinstance(channel, FolderChannel)
    looked = channel._while_waiting

    def look_and_go() -> None:
        looked()
        folder.rename(folder.with_name("elsewhere"))
        time.sleep(2 * folder_channel._LOOK_HOLDS)

    monkeypatch.setattr(channel, "_while_waiting", look_and_go)
    with pytest.raises(StoreReplaced):
        channel.call("SET", "changed", "once")
    assert not channel.breaker.is_away  # the server is there


def test_a_folder_that_goes_between_two_requests_is_noticed_by_the_second(
    embedded: Connector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_channel, "_LOOK_HOLDS", 60.0)  # however busy the machine is
    channel = embedded(0)
    channel.call("SET", "changed", "once")
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StoreReplaced):
        channel.call("SET", "changed", "twice")


def test_an_embedded_server_that_dies_with_each_request_is_not_started_for_ever(
    embedded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = embedded(0)
    starts = []
    heal = channel._heal
    assert heal is not None

    def counted() -> clients.RedisClient:
        starts.append(time.monotonic())
        return heal()

    monkeypatch.setattr(channel, "_heal", counted)
    with pytest.raises(StoreUnavailable):
        channel.call("SHUTDOWN", "NOSAVE")  # each time again
    assert 1 <= len(starts) <= 10
    # And then it is no server that anybody has to wait for.
    assert channel.call("PING") == b"PONG"
    assert not channel.breaker.is_away


def test_an_embedded_server_that_cannot_be_started_says_why_and_is_not_tried_by_every_request(
    embedded: Connector, folder: Path
) -> None:
    channel = embedded(0)
    channel.call("SET", "entry", "kept")
    kill_server(channel)
    appended = next((folder / keeper.SERVER_DIR).glob("appendonlydir*/*.incr.aof"))
    sound = appended.read_bytes()
    appended.write_bytes(b"no command\r\n" + sound)
    with pytest.raises(StoreUnavailable, match="refuses to start; the end of its log says why"):
        channel.call("PING")
    assert channel.breaker.is_silent
    stamp = (folder / keeper.LOG).stat().st_size
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="refuses to start") as reported:
            channel.call("PING")
        assert str(reported.value).endswith("(it keeps no other caller waiting for a while)")
    assert (folder / keeper.LOG).stat().st_size == stamp  # nobody tried
    appended.write_bytes(sound)
    channel.look(at_once=True)
    assert channel.call("GET", "entry") == b"kept"


def test_channels_of_one_server_share_what_they_know_of_it(
    server: engines.StoppableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REPLY_TIMEOUT", 0.5)
    with ExitStack() as opened:
        connect = own(server, opened)
        first, second = connect(0), connect(1)
        assert second.call("PING") == b"PONG"
        server.pause()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            first.call("PING")
        # Only the first caller waited for it.
        with pytest.raises(StoreUnavailable, match="keeps no other caller waiting"):
            second.call("PING")
        server.resume()


def test_a_lost_connection_to_a_server_that_is_there_is_no_outage(
    server: engines.StoppableServer,
) -> None:
    with ExitStack() as opened:
        channel = own(server, opened)(0)
        assert channel.call("PING") == b"PONG"
        server.kill()
        server.start()
        assert channel.call("PING") == b"PONG"
        assert not channel.breaker.is_away


def test_a_server_that_refuses_connections_is_asked_by_every_request(
    server: engines.StoppableServer,
) -> None:
    with ExitStack() as opened:
        channel = own(server, opened)(0)
        server.kill()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            channel.call("PING")
        assert channel.breaker.is_silent
        server.start()
        channel.breaker.pause.ticks = lambda: time.monotonic() + 60  # whatever that took here
        assert channel.call("PING") == b"PONG"
        assert not channel.breaker.is_away


class Alarm(TimeoutError):
    """What a program raises where its own time is over."""


def test_an_alarm_of_the_program_comes_out_and_tells_nothing_of_the_server(
    server: engines.StoppableServer,
) -> None:
    def ring(*_: object) -> None:
        raise Alarm

    with ExitStack() as opened:
        channel = own(server, opened)(0)
        former = signal.signal(signal.SIGALRM, ring)
        try:
            for command in (("BLPOP", "nothing", "60"), ("BLPOP", "nothing", "0")):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with pytest.raises(Alarm):
                    channel.call(*command)
                assert not channel.breaker.is_away
                assert channel.call("ECHO", "asked") == b"asked"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
