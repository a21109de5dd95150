"""A server that answers garbage, half, without end or with lies: a typed error, and no hang."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryStoreError, Query
from agent_memory.connections.redis import clients
from agent_memory.connections.redis import reading as redis_reading
from agent_memory.errors import StoreUnavailable
from tests.fuzzing import cases, count_case

Answer = Callable[[list[bytes], socket.socket], bytes | None]


@contextlib.contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The URL of a server that greets as Redis does and answers all else as the test says."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        waiting = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                waiting += data
                while (parsed := _command(waiting)) is not None:
                    command, used = parsed
                    waiting = waiting[used:]
                    greeting = command[0] in (b"CLIENT", b"HELLO", b"SELECT", b"AUTH")
                    reply = b"+OK\r\n" if greeting else answer(command, connection)
                    if reply is None:
                        return
                    connection.sendall(reply)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _command(waiting: bytes) -> tuple[list[bytes], int] | None:
    try:
        end = waiting.index(b"\r\n")
        words, at = [], end + 2
        for _ in range(int(waiting[1:end])):
            end = waiting.index(b"\r\n", at)
            length = int(waiting[at + 1 : end])
            if len(waiting) < end + length + 4:
                return None
            words.append(waiting[end + 2 : end + 2 + length])
            at = end + length + 4
    except ValueError:
        return None
    return words, at


def always(reply: bytes | None) -> Answer:
    return lambda _command, _connection: reply


MOST_READ = 16 * 1024 * 1024  # bytes of one answer that the tests let a client read


class Endless:
    """Answers for as long as the client reads, up to several times what it should read.

    Attributes:
        was_read_on: Whether a client read more than it should.
    """

    def __init__(self, chunk: bytes, first: bytes = b"", pause: float = 0.0) -> None:
        self._chunk, self._first, self._pause = chunk, first, pause
        self.was_read_on = False

    def __call__(self, _command: list[bytes], connection: socket.socket) -> bytes | None:
        with contextlib.suppress(OSError):
            connection.sendall(self._first)
            for _ in range(4 * MOST_READ // len(self._chunk)):
                connection.sendall(self._chunk)
                time.sleep(self._pause)
            self.was_read_on = True
        return None


ANSWERS: dict[str, Answer] = {
    "garbage": always(b"\xff\xfe\x00garbage\r\n"),
    "http": always(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"),
    "hangs up": always(None),
    "half": always(b"$100\r\nabc"),
    "nothing": always(b""),
    "a huge value": always(b"$4000000000\r\nabc"),
    "a huge list": always(b"*4294967295\r\n"),
    "a list beyond numbers": always(b"*9223372036854775807\r\n"),
    "a negative length": always(b"$-5\r\n"),
    "nested for ever": always(b"*1\r\n" * 100_000),
    "nil": always(b"$-1\r\n"),
    "a number": always(b":5\r\n"),
    "a number beyond numbers": always(b":99999999999999999999999\r\n"),
    "a status": always(b"+what\r\n"),
    "a text": always(b"$3\r\nabc\r\n"),
    "a list": always(b"*2\r\n:1\r\n$1\r\na\r\n"),
    "an empty list": always(b"*0\r\n"),
    "a map by a list": always(b"%1\r\n*0\r\n+b\r\n"),
    "a float": always(b",1.5\r\n"),
    "moved": always(b"-MOVED 3999 127.0.0.1:6381\r\n"),
    "no authentication": always(b"-NOAUTH Authentication required.\r\n"),
    "an old version": always(b"-ERR unknown command 'EVALSHA'\r\n"),
    "an error that is no text": always(b"-ERR \xff\xfe\x00\r\n"),
    "a line without end": Endless(b"a" * 65536, b"+"),
    "a value without end": Endless(b"a" * 65536, b"$4000000000\r\n"),
    "a list without end": Endless(b":1\r\n" * 16000, b"*40000000\r\n"),
    "more answers than questions": Endless(b"+OK\r\n" * 1_000),
    "a value byte by byte": Endless(b"a", b"$1000\r\n", 0.1),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "REPLY_TIMEOUT", 0.5)
    monkeypatch.setattr(redis_reading, "PATIENCE", 0.5)
    monkeypatch.setattr(redis_reading, "LARGEST_ANSWER", MOST_READ)


def opened(url: str, folder: Path) -> AgentMemorySystem:
    return AgentMemorySystem(
        MemoryConfig(redis_url=url, path=folder, spool_max_bytes=0, on_store_error="raise")
    )


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_a_server_answers_is_a_typed_error(name: str, tmp_path: Path) -> None:
    answer = ANSWERS[name]
    with served(answer) as url, pytest.raises(StoreUnavailable):
        opened(url, tmp_path)
    assert not (isinstance(answer, Endless) and answer.was_read_on)


@pytest.mark.faults
def test_a_server_that_lies_now_and_then_is_told_and_nothing_crashes(
    tcp_port: int, tmp_path: Path
) -> None:
    """Between the memory and a real server some answers are replaced by others."""
    from tests.engines import tcp_client  # noqa: PLC0415  # beside what it is used for

    chance = random.Random(0)
    lies: list[Any] = [None, 5, -1, 2, b"", b"abc", b"\xff", [], [1], [None], [b"a"], [[b"a"]],
                       [b"a", b"b"], {}, 1.5, True, [[b"1-1", [b"a"]]], [b"1"] * 7]  # fmt: skip
    client = tcp_client(tcp_port)
    client.flushall()
    url = f"redis://:p%40ss%3Aw%2Ford%25@127.0.0.1:{tcp_port}"
    with opened(url, tmp_path) as system:
        system.store_agent_state("a", {"v": 1}, 1)
        channel = system._resources.connections.stm
        honest = channel._exchange_once

        def lying(commands: Any) -> list[Any]:
            return [chance.choice(lies) if chance.random() < 0.2 else reply
                    for reply in honest(commands)]  # fmt: skip

        channel._exchange_once = lying  # type: ignore[method-assign]
        calls: list[Callable[[], object]] = [
            lambda: system.store_agent_state("a", {"v": 2}, 2),
            lambda: system.recall(Query(agent_id="a")),
            lambda: system.recall(Query(agent_id="a"), near={"v": 1}),
            system.maintain,
            lambda: system.stm.count("default"),
            lambda: system.stm.agents("default"),
            system.stm.upkeep.stored_bytes,
            system.stm.encodings.versions,
            lambda: system.stm.upkeep.importances("default", "a"),
            lambda: system.stm.upkeep.agent_counts("default"),
            lambda: system.redis_engine,
        ]
        for _ in range(cases(40)):
            for call in calls:
                with contextlib.suppress(MemoryStoreError):
                    call()
                count_case()
        channel._exchange_once = honest  # type: ignore[method-assign]
        client.flushall()
        assert system.store_agent_state("b", {"v": 2}, 2)
        assert [hit.entry.contents for hit in system.recall(Query(agent_id="b"))] == [{"v": 2}]
    client.close()
