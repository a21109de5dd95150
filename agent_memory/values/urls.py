"""URLs of servers and databases: written, checked, and shown without what is secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, quote

from agent_memory.errors import ConfigError

# Names of options whose values are secrets, or may hold some (a whole connection string).
_PASSWORD_IN_QUERY = re.compile(
    r"((?:^|[?&;\s])[^=&?\s]*(?:pass|pwd|secret|token|key|credential|odbc_connect)[^=&\s]*=)"
    r"[^&\s]*",
    re.IGNORECASE,
)
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
"""Schemes of URLs that name Sentinels, which know where their primary is."""
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
"""Schemes of URLs that name servers of a cluster."""
_SCHEMES = "does not begin with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://"
_NOT_SERVED = {
    "cluster": "begins as no URL of a cluster does: write redis+cluster://host:port,host:port, or "
    "rediss+cluster:// for TLS",
    "sentinel": "begins as no URL of Sentinels does: write "
    "redis+sentinel://host:port,host:port/NAME, or rediss+sentinel:// for TLS",
}
"""What kinds of deployments do not serve, by a part of their URL's scheme, and why."""
_PLACE = r"([\w.-]*|\[[\w:.]+\])(:\d{1,5})?"
_PLACE_IN_URL = re.compile(rf"[\w.+-]+://{_PLACE}(,{_PLACE})*([/?].*)?", re.DOTALL)


def without_password(url: str) -> str:
    """The URL with its password, if any, replaced by stars: for messages and logs.

    A URL that cannot be read is shown without anything that might be meant as a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        # Of what is meant as a URL the scheme may lack, or a part of what stands after it.
        return re.sub(r"^\S+@", "***@", url)
    if _may_hide_in_option(scheme, rest):
        is_socket = scheme == "unix"
        shown = f"{without_password(url.partition('?')[0])}?" if is_socket else f"{scheme}://"
        return f"{shown}***"
    return _without_credentials(url)


def formerly_recorded(url: str) -> str:
    """How records of earlier versions show a database's URL: they may hold a part of a secret."""
    return _without_credentials(url)


def _may_hide_in_option(scheme: str, rest: str) -> bool:
    """Whether an '@' stands in an option, or a password holds what begins the options.

    The options of Redis begin at the first '?'; SQLAlchemy takes one in a password for a part of
    it, so that there an '=' tells an option.
    """
    before, _, _ = rest.partition("?")[2].rpartition("@")
    if scheme.startswith(("redis", "unix")):
        return "@" in rest.partition("?")[2]
    return not scheme.startswith("sqlite") and "=" in before


def _without_credentials(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if not at:
        return _PASSWORD_IN_QUERY.sub(r"\1***", url if _shows_no_secret(url) else f"{scheme}://***")
    if scheme == "sqlite":
        return _PASSWORD_IN_QUERY.sub(r"\1***", url)
    # To the last '@', since a password may hold one, and a '/' too, if it was not encoded.
    user = credentials.partition(":")[0] if ":" in credentials else ""
    return _PASSWORD_IN_QUERY.sub(r"\1***", f"{scheme}://{user}:***@{place}")


def _shows_no_secret(url: str) -> bool:
    """Whether a URL without '@' is one: else what stands for its port may be a password."""
    return url.startswith(("unix://", "sqlite")) or _PLACE_IN_URL.fullmatch(url) is not None


def checked_redis_url(name: str, url: str) -> str:
    """Return the URL of a Redis server.

    Args:
        name: Where it was given, for the message.
        url: The URL.

    Raises:
        ConfigError: It has another scheme.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")) and not (
        names_sentinels(url) or names_cluster(url)
    ):
        scheme = url.partition("://")[0].lower()
        reason = next((why for kind, why in _NOT_SERVED.items() if kind in scheme), _SCHEMES)
        raise ConfigError(f"{name}: {without_password(url)!r} {reason}")
    return url


def names_sentinels(url: str) -> bool:
    """Whether a URL names Sentinels, and behind them the name of what they watch."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme in SENTINEL_SCHEMES


def names_cluster(url: str) -> bool:
    """Whether a URL names servers of a cluster."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme in CLUSTER_SCHEMES


def path_of(url: str) -> str:
    """What stands behind the place in a Redis URL and names its database; empty for nothing."""
    if url.startswith("unix:"):
        return ""
    place = url.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[2]
    return place.partition("/")[2] if names_sentinels(url) else place


def check_database(name: str, url: str, databases: Iterable[int]) -> None:
    """See that nothing asks for another database than a Redis URL names, which would win.

    Args:
        name: Where the URL was given, for the message.
        url: The URL.
        databases: Those that parts of a configuration ask for; 0 asks for none.

    Raises:
        ConfigError: One of them is another.
    """
    query = url.partition("?")[2]
    named = next((value for key, value in parse_qsl(query) if key == "db"), path_of(url))
    asked = {db for db in databases if db} - {int(named) if named.isdecimal() else 0}
    if named and asked:
        raise ConfigError(
            f"{name} names database {named}, and db of stm_config or im_config {min(asked)}: name "
            "one of them alone"
        )


def without_database(url: str) -> str:
    """A Redis URL without the number of a database, in its path or among its options."""
    place, _, query = url.partition("?")
    path = path_of(url)
    if path or place.endswith("/"):
        place = place.removesuffix(path).removesuffix("/")
    options = "&".join(option for option in query.split("&") if not option.startswith("db="))
    return f"{place}?{options}" if options else place


def redis_url_of(host: str, port: int, password: str | None) -> str:
    """The URL of a Redis server by its parts."""
    user = "" if password is None else f":{quote(password, safe='', errors='replace')}@"
    place = f"[{host}]" if ":" in host else host  # an IPv6 address
    return f"redis://{user}{place}:{port}"


def sqlite_url(file: Path) -> str:
    """SQLAlchemy's URL of a SQLite file."""
    # A '?' would begin the URL's query, and SQLAlchemy 2.1 decodes what follows a '%'.
    path = str(file).replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{path}"
