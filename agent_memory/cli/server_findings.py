"""What the doctor finds about the server of short-term and intermediate memory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from agent_memory.cli.findings import Finding, State
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.embedded.manifest import convert_command, read_manifest
from agent_memory.connections.embedded.modules import GET_SEARCH, search_installed
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import fake_server, open_redis
from agent_memory.connections.redis.opening import open_channel
from agent_memory.connections.redis.rights import WANTED, missing_rights
from agent_memory.connections.redis.risks import not_served, server_risks
from agent_memory.connections.redis.script import Script
from agent_memory.connections.redis.sentinels import asked_sentinels
from agent_memory.errors import StoreUnavailable

_DURABILITY: Final = {
    "everysec": "everysec: the death of any process loses nothing, that of the machine a second",
    "always": "always: neither the death of a process nor that of the machine loses anything",
}
_WITHOUT: Final = "everything but the query engine's own commands and Redis-OM's find() works"


def look_at_server(config: MemoryConfig, where: Deployment) -> list[Finding]:
    """Start or reach the server, and see what it can do and what it keeps.

    Raises:
        MemoryStoreError: It does not start, or does not answer.
    """
    with ExitStack() as opened:
        channel = opened.enter_context(closing(_channel(config, where, opened)))
        engine = channel.engine
        found = [Finding("engine", f"{engine.kind}, {engine}")]
        if engine.has_query_engine:
            found.append(Finding("query engine", "there"))
        else:
            found.append(_no_query_engine(config, where))
        stores = _stores(config, channel)
        found += [stores]
        if where.engine == "redis" and (stores.state is not State.BROKEN or _is_denied(stores)):
            found += _rights(config, channel)
        return [*found, *_sentinels(channel), *_keeps(config, where, channel)]


def _channel(config: MemoryConfig, where: Deployment, opened: ExitStack) -> RedisChannel:
    database = config.stm_config.db
    if where.engine == "fake":
        return RedisChannel(fake_server()(database), "the fake server", in_process=True)
    if where.engine == "redis":
        return open_channel(where.redis_url or "", database, confirmation=where.confirmation)
    folder = where.path
    if read_manifest(folder) is None:
        # Tried elsewhere, so that looking makes no memory where there is none.
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    server = EmbeddedServer.open(folder, config.durability, search=config.search)
    opened.enter_context(server)
    client = open_redis(f"unix://{server.socket_path}", database)
    return RedisChannel(client, f"the embedded server in {folder}", kind="embedded")


# Within one script, so that nothing is left and nobody sees it.
_PROBE: Final = Script("redis.call('SET', KEYS[1], 'doctor') return redis.call('DEL', KEYS[1])")


def _stores(config: MemoryConfig, channel: RedisChannel) -> Finding:
    """Whether entries can be stored, which takes scripts that write."""
    unfit = not_served(channel) if channel.engine.kind == "redis" else None
    if unfit is not None:
        return Finding("stores", unfit, State.BROKEN)
    try:
        channel.run(_PROBE, [([f"{config.stm_config.namespace}:doctor"], [])])
    except StoreUnavailable as error:
        reason = (
            f"{error}: entries cannot be stored. Name the primary server and no replica or "
            "sentinel, a user that may run scripts (+eval +evalsha +script) and write (~* +@all), "
            "and leave it room (maxmemory)"
        )
        return Finding("stores", reason, State.BROKEN)
    return Finding("stores", "scripts run, and write")


def _sentinels(channel: RedisChannel) -> list[Finding]:
    """Whether all Sentinels of the URL, where it names some, tell of one primary."""
    said = asked_sentinels(channel.client)
    if not said:
        return []
    text = "; ".join(f"{place} says {answer}" for place, answer in said.items())
    if len(set(said.values())) > 1:
        text = f"not all name one primary, and a failover may fail: {text}"
        return [Finding("sentinels", text, State.OPTIONAL)]
    return [Finding("sentinels", f"all name one primary: {text}")]


def _is_denied(stores: Finding) -> bool:
    return "permission" in stores.text or "ACL failure" in stores.text


def _rights(config: MemoryConfig, channel: RedisChannel) -> list[Finding]:
    """Whether the user may send what is needed, and look at the server."""
    namespaces = (config.stm_config.namespace, config.im_config.namespace)
    missing = missing_rights(channel, namespaces)
    if not missing:
        return [Finding("rights", "the user may do all that is needed")]
    grant = " ".join(f"+{name}" for name in missing)
    keys = " ".join(f"~{namespace}:*" for namespace in namespaces)
    if set(missing) <= {*WANTED}:
        text = f"what the server is and may lose cannot be seen: to see it, grant {grant}"
        return [Finding("rights", text, State.OPTIONAL)]
    text = f"the user may not do all that is needed: grant it {grant} ({keys}) with ACL SETUSER"
    return [Finding("rights", text, State.BROKEN)]


def _no_query_engine(config: MemoryConfig, where: Deployment) -> Finding:
    state = State.BROKEN if config.search is True else State.OPTIONAL
    return Finding("query engine", f"none; {_WITHOUT}; {_way_to_one(config, where)}", state)


def _way_to_one(config: MemoryConfig, where: Deployment) -> str:
    if where.engine != "embedded":
        return "to have one, use Redis 8, Redis Stack or the embedded server"
    steps = [] if search_installed() else [GET_SEARCH]
    if read_manifest(where.path) is not None:
        steps.append(convert_command(where.path, search=True))
    if not steps:
        return f"the configuration says search={config.search}"
    return f"to have one: {', then '.join(steps)}"


def _keeps(config: MemoryConfig, where: Deployment, channel: RedisChannel) -> list[Finding]:
    """What becomes of entries when the server, or its machine, dies or is full."""
    if where.engine == "fake":
        text = "none: what it holds ends with the process, so use it for tests"
        return [Finding("durability", text, State.OPTIONAL)]
    if where.engine == "embedded":
        return [Finding("durability", _DURABILITY[config.durability])]
    risks = {risk.name: risk for risk in server_risks(channel)}
    lasts = Finding("durability", "that of the server's append-only file")
    found = [] if "durability" in risks else [lasts]
    # Whether it is a replica is found by storing.
    return found + [
        Finding(name, risk.means, _STATES.get(name, State.OPTIONAL))
        for name, risk in risks.items()
        if name != "replica"
    ]


_STATES: Final = {"eviction": State.BROKEN}
