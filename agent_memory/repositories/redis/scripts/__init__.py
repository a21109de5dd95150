"""The Lua scripts that change entries in Redis, each entry and all of its indexes at once.

A script runs alone on the server, so nothing ever sees an entry without its index members or
the reverse. Conditions (is it there, is it newer, is it still the copied revision) are decided
where the data is. Each may be sent again after a lost answer, ``TOUCH`` if it has a token.

A server that is out of memory refuses commands that would take more, until a script has written:
no script that has begun is broken off half-way.

Each takes the agent's key prefix as ``KEYS[1]``, the registry of the run's agents as
``KEYS[2]`` and the set of runs as ``KEYS[3]``; ``MOVE`` takes the destination's three as well.
Fields and indexes are those of ``models.redis``, and their text names them (see ``naming``): a
field that is added there needs no change here.

Each that adds, removes or changes entries notes their ids in a short log (a stream), so that
whoever keeps vectors can tell by its last record whether they are still right, and reads only those
again that are not. A call of many entries is one record without their ids.
"""

from __future__ import annotations

from agent_memory.repositories.redis.scripts.changing import ATTRIBUTES, REEMBED, TOUCH
from agent_memory.repositories.redis.scripts.moving import MOVE, NOTE_MOVE
from agent_memory.repositories.redis.scripts.removing import CLEAR, REMOVE
from agent_memory.repositories.redis.scripts.storing import ADD, ARRIVE, REPLACE

__all__ = [
    "ADD",
    "ARRIVE",
    "ATTRIBUTES",
    "CLEAR",
    "MOVE",
    "NOTE_MOVE",
    "REEMBED",
    "REMOVE",
    "REPLACE",
    "TOUCH",
]
