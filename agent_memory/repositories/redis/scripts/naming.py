"""Names for what Lua scripts take: ``$now`` in a script's text becomes ``ARGV[3]``.

A script has some arguments of its own and then groups of arguments, one group for each entry. Its
text names both, and the names become places before the script is loaded, so that they cost the
server nothing:

    lua("redis.call('HSET', prefix .. $each.memory_id, 'revision', $each.revision)",
        head=("now",), each=("memory_id", "revision"))

gives ``redis.call('HSET', prefix .. ARGV[i], 'revision', ARGV[i + 1])``. Other names are:

    for i = $groups do       goes through the groups, i being where one begins
    local i = $first         where the first group begins
    $old                     the fields of ``OLD``, as HMGET takes them
    $old.revision            one of them, in a local table ``old`` that HMGET has filled
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from agent_memory.models.redis import SORTED_SETS

OLD = (
    "revision",
    "retrieval_count",
    "attributes",
    *dict.fromkeys(index.by for index in SORTED_SETS if index.by is not None),
)
"""What must be known of a stored entry to compare it and to take it out of its indexes."""

_NAME = re.compile(r"\$(\w+(?:\.\w+)?)")


def lua(
    source: str,
    *,
    head: Sequence[str] = (),
    each: Sequence[str] = (),
    more: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Put places in ``ARGV`` in place of names.

    Args:
        source: The text of a script.
        head: Names of the arguments that are there once, in their order.
        each: Names of the arguments of a group, in their order.
        more: What else is named, and what it stands for.

    Raises:
        KeyError: The text has a name that nothing bears.
    """
    first = len(head) + 1
    places = {name: f"ARGV[{place}]" for place, name in enumerate(head, 1)}
    places |= {
        f"each.{name}": f"ARGV[i + {place}]" if place else "ARGV[i]"
        for place, name in enumerate(each)
    }
    places |= {f"old.{name}": f"old[{place}]" for place, name in enumerate(OLD, 1)}
    places |= {"old": ", ".join(f"'{name}'" for name in OLD)}
    places |= {"first": str(first), "groups": f"{first}, #ARGV, {len(each)}"}
    places |= more
    return _NAME.sub(lambda found: places[found[1]], source)
