"""Which options of redis-py a server's URL may carry: those that a memory is served with.

redis-py takes any name it knows, and reads most values as text: ``decode_responses=False`` would
decode, and ``protocol=3`` answers otherwise than the channel reads.
"""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Callable
from urllib.parse import parse_qsl

from agent_memory.errors import ConfigError
from agent_memory.values.urls import names_cluster, names_sentinels, path_of, without_password

_NAME = re.compile(r"[A-Za-z_]{1,40}")


def _is_duration(value: str) -> bool:
    try:
        return 0.0 < float(value) < math.inf
    except ValueError:
        return False


def _is_truth(value: str) -> bool:
    return value.lower() in ("true", "false", "yes", "no", "1", "0", "t", "f", "y", "n")


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) < 10


def _is_size(value: str) -> bool:
    return _is_count(value) and int(value) > 0


def _is_plain_name(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def _is_given(value: str) -> bool:
    return bool(value)


def _is_readable(value: str) -> bool:
    return os.access(value, os.R_OK)


def _are_flags(value: str) -> bool:
    names = [name.strip() for name in value.strip("[]").split(",")]
    return all(name in ssl.VerifyFlags.__members__ for name in names)


def _is_version(value: str) -> bool:
    return value in ("771", "772")


_REQUIREMENTS = ("none", "optional", "required")

_Check = Callable[[str], bool]

_SERVED: dict[str, tuple[_Check, str]] = {
    "db": (_is_count, "the number of a database"),
    "username": (_is_given, "a name"),
    "password": (_is_given, "a password"),
    "socket_timeout": (_is_duration, "seconds"),
    "socket_connect_timeout": (_is_duration, "seconds"),
    "socket_read_size": (_is_size, "a number of bytes"),
    "socket_keepalive": (_is_truth, "True or False"),
    "health_check_interval": (_is_count, "seconds, a whole number"),
    "client_name": (_is_plain_name, "a name of ASCII without spaces"),
    "protocol": (lambda value: value == "2", "2: a memory reads answers of RESP 2"),
}
_OF_SENTINELS: dict[str, tuple[_Check, str]] = {
    "sentinel_username": (_is_given, "a name"),
    "sentinel_password": (_is_given, "a password"),
}
_FILES = ("ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_ca_path")
_FLAGS = ("ssl_include_verify_flags", "ssl_exclude_verify_flags")
_SERVED_WITH_TLS: dict[str, tuple[_Check, str]] = {
    **dict.fromkeys(_FILES, (_is_readable, "the path of what is there and can be read")),
    **dict.fromkeys(_FLAGS, (_are_flags, "names of ssl.VerifyFlags with commas between them")),
    **dict.fromkeys(("ssl_ca_data", "ssl_password", "ssl_ciphers"), (_is_given, "a text")),
    "ssl_cert_reqs": (_REQUIREMENTS.__contains__, "none, optional or required"),
    "ssl_check_hostname": (_is_truth, "True or False"),
    "ssl_min_version": (_is_version, "771 for TLS 1.2, or 772 for TLS 1.3"),
}


def check_options(url: str) -> None:
    """See that a memory is served with every option of a server's URL.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL, or one that names Sentinels.

    Raises:
        ConfigError: One is none of redis-py's, none that a memory is served with, or has a value
            of no meaning; the message names it.
    """
    given = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    names = [name for name, _ in given]
    served = _SERVED | (_SERVED_WITH_TLS if url.startswith("rediss") else {})
    served |= _OF_SENTINELS if names_sentinels(url) else {}
    if names_cluster(url) and (path_of(url).strip("/0") or "db" in names):
        raise _refusal(url, "db", "is none of a cluster, which has database 0 alone: leave it out")
    for name, value in given:
        if names.count(name) > 1:
            raise _refusal(url, name, "stands there twice: give it once")
        if name not in served:
            raise _refusal(url, name, _remedy(name))
        is_sound, needed = served[name]
        if not is_sound(value):
            raise _refusal(url, name, f"needs another value: {needed}")
    path = path_of(url)
    if path and not _is_count(path.removesuffix("/")):
        raise _refusal(url, "db", "is no number: it is what stands behind the server and '/'")
    if path and "db" in names:
        raise _refusal(url, "db", "stands there twice, as /number too: give it once")


def _remedy(name: str) -> str:
    if name in ("decode_responses", "encoding", "encoding_errors"):
        return "is not supported: a memory reads bytes, and decodes them itself; leave it out"
    if name in ("max_connections", "timeout"):
        return "is not supported: a memory opens a connection for each thread; leave it out"
    if name.startswith("retry"):
        return "is not supported: a memory repeats what may be repeated; leave it out"
    if name in _SERVED_WITH_TLS:
        return "needs a URL that begins with rediss://"
    if name in _OF_SENTINELS:
        return "needs a URL that begins with redis+sentinel:// or rediss+sentinel://"
    return f"is not supported; these are: {', '.join(sorted({*_SERVED, *_SERVED_WITH_TLS}))}"


def _refusal(url: str, name: str, complaint: str) -> ConfigError:
    # What is no name may be a part of a password that was not encoded.
    shown = name if _NAME.fullmatch(name) else "an option"
    return ConfigError(f"redis_url: {shown} in {without_password(url)!r} {complaint}")
