"""Connections to the primary that Sentinels name, wherever it is by then.

A connection asks when it is opened. One that is open is lost when its server ceases to be the
primary: that ends its clients' connections, or refuses to write. Then the next one asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

import redis
from redis.connection import Connection, SSLConnection

from agent_memory.errors import ConfigError
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.urls import without_password

SENTINEL_PORT = 26379
"""The port of a Sentinel that names none."""

_PREFIX = "sentinel_"


class Place(NamedTuple):
    """Where a server is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class SentinelUrl(NamedTuple):
    """What a URL of Sentinels says.

    Attributes:
        places: Where they are.
        name: What they call the primary.
        options: User and password of the Sentinels themselves, as redis-py calls them.
        server: The URL of the first of them as that of a server, with all that holds for any.
    """

    places: tuple[Place, ...]
    name: str
    options: Mapping[str, str]
    server: str

    @classmethod
    def read(cls, url: str) -> SentinelUrl:
        """Read ``redis+sentinel://user:password@host:port,host:port/NAME/0?option=value``.

        Raises:
            ConfigError: It names no Sentinels, or nothing that they watch.
        """
        scheme, _, rest = url.partition("://")
        rest, _, query = rest.partition("?")
        credentials, at, place = rest.rpartition("@")
        hosts, _, path = place.partition("/")
        name, _, database = path.partition("/")
        places = read_places(hosts, SENTINEL_PORT)
        if places is None or not name:
            raise ConfigError(
                f"redis_url: {without_password(url)!r} cannot be read; it must be like "
                "redis+sentinel://user:password@host:26379,host:26379/NAME/0, where NAME is what "
                "the Sentinels call the primary"
            )
        options = parse_qsl(query, keep_blank_values=True)
        of_server = urlencode([(key, it) for key, it in options if not key.startswith(_PREFIX)])
        return cls(
            places,
            unquote(name),
            {key.removeprefix(_PREFIX): it for key, it in options if key.startswith(_PREFIX)},
            f"{scheme.partition('+')[0]}://{credentials}{at}{places[0]}/{database}?{of_server}",
        )


def read_places(hosts: str, usual: int) -> tuple[Place, ...] | None:
    """The places that stand in a URL with commas between them; None: one cannot be read.

    Args:
        hosts: They.
        usual: The port of one that names none.
    """
    places = [_place(host, usual) for host in hosts.split(",")]
    read = tuple(place for place in places if place is not None)
    return read if len(read) == len(places) else None


def _place(host: str, usual: int) -> Place | None:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(usual)
    name = unquote(name).removeprefix("[").removesuffix("]")
    if not name or not port.isdecimal() or not 0 < int(port) < 65_536:
        return None
    return Place(name, int(port))


class Sentinels:
    """Some Sentinels, asked for one primary. Threads may share it.

    Args:
        places: Where they are.
        name: What they call the primary.
        options: User and password at them.
    """

    def __init__(self, places: Sequence[Place], name: str, options: Mapping[str, str]) -> None:
        self.places = tuple(places)
        self.name = name
        self._options = dict(options)

    def primaries(self, kind: type[Connection], options: Mapping[str, Any]) -> Iterator[Place]:
        """Where each Sentinel says that the primary is, no place twice.

        The one that answered is asked first from then on.

        Args:
            kind: The class of a connection to a Sentinel.
            options: Those of connections to the primary.

        Raises:
            redis.exceptions.RedisError: None of them tells.
        """
        told: list[Place] = []
        complaints = []
        for place in self.places:
            try:
                found = self._ask(place, kind, options)
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
                if isinstance(error, redis.exceptions.AuthenticationError):
                    raise self._refused(place, error) from error
                complaints.append(f"{place}: {error}")
                continue
            except redis.exceptions.ResponseError as error:
                raise self._refused(place, error) from error
            if found is None:
                complaints.append(f"{place} watches nothing of this name")
            elif found not in told:
                self._ask_first(place)
                told.append(found)
                yield found
        if not told:
            raise redis.exceptions.ConnectionError(
                f"no Sentinel tells where {self.name!r} is: {'; '.join(complaints)}"
            )

    def answers(self, kind: type[Connection], options: Mapping[str, Any]) -> dict[Place, str]:
        """What each Sentinel says of the primary: its place, or why it does not tell.

        Args:
            kind: The class of a connection to a Sentinel.
            options: Those of connections to the primary.
        """
        found = {}
        for place in self.places:
            try:
                told = self._ask(place, kind, options)
            except (redis.exceptions.RedisError, OSError) as error:
                raise_if_interrupted(error)
                found[place] = str(error)
            else:
                found[place] = f"nothing of {self.name!r}" if told is None else str(told)
        return found

    def _ask(
        self, place: Place, kind: type[Connection], options: Mapping[str, Any]
    ) -> Place | None:
        connection = kind(
            **{
                **options,
                **dict.fromkeys(("username", "password")),
                **self._options,
                **place._asdict(),
                "db": 0,
                "client_name": None,
            }
        )
        try:
            connection.connect()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            answer = connection.read_response()
        finally:
            connection.disconnect()
        if answer is None:
            return None
        try:
            host, port = answer
            return Place(host.decode(), int(port))
        except (TypeError, ValueError, AttributeError) as error:
            raise redis.exceptions.InvalidResponse(f"{place} is no Sentinel") from error

    def _ask_first(self, place: Place) -> None:
        self.places = (place, *(other for other in self.places if other != place))

    def _refused(self, place: Place, error: Exception) -> redis.exceptions.RedisError:
        if "unknown command" in str(error).lower():
            return redis.exceptions.InvalidResponse(
                f"{place} is no Sentinel: name the ports of Sentinels ({SENTINEL_PORT} if nothing "
                "else is set), or begin the URL of a server with redis:// or rediss://"
            )
        return redis.exceptions.InvalidResponse(
            f"the Sentinel at {place} refuses: {error}; its own user and password stand in "
            "?sentinel_username=NAME&sentinel_password=PASSWORD"
        )


class _ToPrimary:
    """What makes a connection of redis-py one to the primary that Sentinels name.

    Args:
        sentinels: The Sentinels.
        options: Of redis-py's connection.
    """

    plain: type[Connection]
    """The class of a connection to a Sentinel."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels
        self._options = options

    def connect(self: Any) -> None:
        """Open it to the primary, wherever that is.

        Raises:
            redis.exceptions.RedisError: No Sentinel tells of one that can be reached.
        """
        if self._sock is not None:
            return
        failed: Exception | None = None
        for place in self._sentinels.primaries(self.plain, self._options):
            self.host, self.port = place
            try:
                self.plain.connect(self)
                self._check_role()
            except redis.exceptions.AuthenticationError:
                raise
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
                failed = error
                continue
            return
        raise failed or redis.exceptions.ConnectionError("no primary was told of")

    def _check_role(self: Any) -> None:
        """See that it is the primary still: a Sentinel may not have heard of another yet."""
        self.send_command("ROLE")
        try:
            role, *_ = self.read_response()
        except redis.exceptions.ResponseError:
            return  # a user without the right to ask: what it refuses will tell
        if role == b"slave":
            self.disconnect()
            raise redis.exceptions.ConnectionError(
                f"{self.host}:{self.port}, which the Sentinels name, is a replica"
            )

    def heed(self: Any, answers: Sequence[Any]) -> None:
        """See from its answers whether the server is the primary still.

        Raises:
            redis.exceptions.ConnectionError: It is a replica by now.
        """
        if any(isinstance(answer, redis.exceptions.ReadOnlyError) for answer in answers):
            raise redis.exceptions.ConnectionError(
                f"{self.host}:{self.port} was the primary, and is a replica now"
            )


def asked_sentinels(client: redis.Redis) -> dict[Place, str]:
    """What each Sentinel that a client asks says; nothing of a client that asks none."""
    pool = client.connection_pool
    if not issubclass(pool.connection_class, _ToPrimary):
        return {}
    sentinels: Sentinels = pool.connection_kwargs["sentinels"]
    options = {name: it for name, it in pool.connection_kwargs.items() if name != "sentinels"}
    return sentinels.answers(pool.connection_class.plain, options)


class PrimaryConnection(_ToPrimary, Connection):  # type: ignore[misc]  # redis-py has no types here
    """A connection to the primary."""

    plain = Connection


class PrimaryTlsConnection(_ToPrimary, SSLConnection):  # type: ignore[misc]  # as above
    """The same by TLS."""

    plain = SSLConnection
