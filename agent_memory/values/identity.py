"""The names of entries, agents and runs: how memory ids are made and texts are checked.

A memory id is a UUID, written as 32 lower-case hexadecimal digits. Sorted as text, the ids of
one process come in the order they were made, which is why ties everywhere break by id.
"""

from __future__ import annotations

import hashlib
import numbers
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from agent_memory.errors import InvalidEntry
from agent_memory.values.forking import after_fork
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.quoting import quoted

MAX_NAME_LENGTH = 1024
"""How long the id of an agent or run may be, in characters."""

_HEX_DIGITS = frozenset("0123456789abcdef")
_MAX_MILLISECONDS = 2**48 - 1
# Room for ids to go on ascending under a clock that stands at the end of time, as one in
# nanoseconds does.
_LATEST = 2**48 - 2**24


class MemoryIds:
    """Makes time-ordered, unique memory ids (UUIDv7, RFC 9562 section 5.7, method 1 of 6.2).

    The twelve bits after the milliseconds count within the millisecond, so that the ids of one
    object never go backwards, even when the clock does; the other 62 bits are random. Random
    bits come from the operating system on each call, since a generator of our own would make
    the same ids on both sides of a fork. Threads may share an object.

    Args:
        clock: Gives the time in seconds since 1970.
        random_bytes: Gives that many random bytes.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._last = 0
        # A lock that another thread holds during a fork would stay locked in the child.
        after_fork(self._unlock)

    def __call__(self) -> str:
        """Make the next id: 32 hexadecimal digits."""
        now = min(max(int(self._clock() * 1000), 0), _LATEST) << 12
        with self._lock:
            self._last = count = max(self._last + 1, now)
        return _memory_id(count, int.from_bytes(self._random_bytes(8)))

    def many(self, count: int) -> list[str]:
        """Make the next ids, by one reading of the clock."""
        now = min(max(int(self._clock() * 1000), 0), _LATEST) << 12
        with self._lock:
            first = max(self._last + 1, now)
            self._last = first + count - 1
        random = self._random_bytes(8 * count)
        return [
            _memory_id(first + place, int.from_bytes(random[8 * place : 8 * place + 8]))
            for place in range(count)
        ]

    def _unlock(self) -> None:
        self._lock = threading.Lock()


def _memory_id(count: int, random: int) -> str:
    """The id of a time in milliseconds with twelve bits that count behind it, and random bits."""
    bits = (count >> 12) << 80 | 0x7 << 76 | (count & 0xFFF) << 64
    return f"{bits | 0b10 << 62 | random & (2**62 - 1):032x}"


def reproducible_id(
    run_id: str, agent_id: str, step: int, kind: str, ordinal: int, contents: bytes = b""
) -> str:
    """Make the same id for the same run, agent, step, type, ordinal and contents.

    A UUIDv8 (RFC 9562). Step and ordinal lead, so that these ids too sort in the order things
    happened; what follows is a hash of all of them. So no id of other contents is made twice,
    whoever counts the ordinals, and the same life lived again makes the same ids.

    Args:
        run_id: The run.
        agent_id: The agent.
        step: The simulation step.
        kind: The memory type.
        ordinal: Which entry of that agent and step it is, from 0.
        contents: Its contents, packed; nothing for ids as earlier versions made them.
    """
    name = "\0".join(f"{len(part)}:{part}" for part in (run_id, agent_id, kind))
    made_of = f"{name}\0{step}\0{ordinal}".encode("utf-8", "surrogatepass")
    if contents:
        made_of += b"\0" + contents
    random = int.from_bytes(hashlib.blake2b(made_of, digest_size=8).digest()) & (2**62 - 1)
    lead = min(step, _MAX_MILLISECONDS) << 80 | 0x8 << 76 | min(ordinal, 0xFFF) << 64
    return f"{lead | 0b10 << 62 | random:032x}"


class Ordinals:
    """Counts what each agent stores in the step that it is in, for reproducible ids.

    An agent that comes to another step, be it a later or an earlier one, is counted from 0: so a
    step that is run again makes the same ids again. Threads may share it.
    """

    def __init__(self) -> None:
        self._visits: dict[tuple[str, str], tuple[int, int]] = {}
        self._unlock()
        after_fork(self._unlock)

    def next(self, run_id: str, agent_id: str, step: int) -> int:
        """Which entry of that agent and step the next one is, from 0."""
        agent = run_id, agent_id
        with self._lock:
            at, count = self._visits.get(agent, (step, 0))
            ordinal = count if at == step else 0
            self._visits[agent] = step, ordinal + 1
        return ordinal

    def give_back(self, run_id: str, agent_id: str, step: int) -> None:
        """Let the next entry have the last one's ordinal: that one was not acknowledged."""
        agent = run_id, agent_id
        with self._lock:
            at, count = self._visits.get(agent, (step, 0))
            if at == step and count:
                self._visits[agent] = step, count - 1

    def forget(self, run_id: str, agents: Iterable[str] | None = None) -> None:
        """Count some agents of a run from 0 again, as after a roll-back; None: all."""
        with self._lock:
            if agents is None:
                agents = [agent for run, agent in self._visits if run == run_id]
            for agent_id in agents:
                self._visits.pop((run_id, agent_id), None)

    def _unlock(self) -> None:
        self._lock = threading.Lock()


def id_of_bytes(stored: object) -> str:
    """The memory id of stored bytes; of what is damaged a text that is no id."""
    return stored.hex() if isinstance(stored, bytes) else f"damaged {quoted(stored, 20)}"


def checked_memory_id(memory_id: object) -> str:
    """Return the canonical form of a memory id: 32 lower-case hexadecimal digits.

    Raises:
        InvalidEntry: It is no UUID.
    """
    if type(memory_id) is str and len(memory_id) == 32 and _HEX_DIGITS.issuperset(memory_id):
        return memory_id
    try:
        return uuid.UUID(str(memory_id)).hex
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(
            f"memory_id: {quoted(memory_id)} is not a UUID; leave it out to have one made"
        ) from error


def is_memory_id(text: str) -> bool:
    """Whether a text can be the id of a memory: a UUID."""
    try:
        checked_memory_id(text)
    except InvalidEntry:
        return False
    return True


def checked_agent_id(agent_id: object) -> str:
    """Return an agent's id as text; an int (Mesa's ``unique_id``) becomes its decimal text.

    Raises:
        InvalidEntry: It is empty, too long, neither text nor int, or not encodable as UTF-8.
    """
    if type(agent_id) is bool:
        raise InvalidEntry("agent_id: text or an int is needed, not bool")
    try:
        if not isinstance(agent_id, str) and isinstance(agent_id, numbers.Integral):
            agent_id = _decimal(int(agent_id))
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(f"agent_id: {quoted(agent_id)} is no id") from error
    return _checked_name("agent_id", agent_id)


def _decimal(number: int) -> str:
    # Python refuses to write one of more than 4,300 digits, and takes long for somewhat fewer.
    return str(number) if number.bit_length() < 4 * MAX_NAME_LENGTH else "9" * 2 * MAX_NAME_LENGTH


def checked_run_id(run_id: object) -> str:
    """Return a run's id.

    Raises:
        InvalidEntry: It is empty, too long, not text, or not encodable as UTF-8.
    """
    return _checked_name("run_id", run_id)


def checked_encoder_name(name: object) -> str:
    """Return the name of a version of the encoder.

    Raises:
        InvalidEntry: It is empty, too long, not text, or not encodable as UTF-8.
    """
    return _checked_name("name", name)


def checked_run_ids(runs: object) -> list[str]:
    """Return the ids of runs, each once, in their order.

    Raises:
        InvalidEntry: They are no list of ids: one text, which has letters, is none.
    """
    if isinstance(runs, str) or not isinstance(runs, Iterable):
        raise InvalidEntry(f"runs: a list of run ids is needed, not {quoted(runs)}")
    return list(dict.fromkeys(checked_run_id(run_id) for run_id in runs))


def _checked_name(what: str, name: object) -> str:
    if type(name) is not str:
        name = _plain_text(what, name)
    if not name:
        raise InvalidEntry(f"{what}: must not be empty")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidEntry(f"{what}: {len(name)} characters; {MAX_NAME_LENGTH} at most")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InvalidEntry(f"{what}: {quoted(name)} has a lone surrogate in it") from error
    return name


def _plain_text(what: str, name: object) -> str:
    """The text that an object of a class derived from text is, whatever that class makes of it."""
    if not issubclass(type(name), str):
        raise InvalidEntry(f"{what}: text is needed, not {type(name).__name__}")
    return str.__str__(name)
