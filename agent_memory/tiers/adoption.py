"""Takes over what waits in the spool of another machine, which is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from agent_memory.errors import ConfigError, EncodingError, StoreUnavailable
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import Waiting, decoded

_AT_ONCE = 500  # entries


class AdoptedSpool(NamedTuple):
    """What came of the spool of another machine.

    Attributes:
        entries: How many entries were taken over.
        left: How many are left there, since they cannot be read or belong to other memories.
    """

    entries: int
    left: int


def adopt(spool: Spool, file: Path) -> AdoptedSpool:
    """Move what waits for a memory in another file into its spool on this machine.

    An entry is on disk here before it is removed there. One that a crash leaves in both is stored
    once, as its key is the same.

    Args:
        spool: The spool of this machine.
        file: The other one.

    Raises:
        ConfigError: The file is the spool of this machine.
        NewerFormat: A newer version made it.
        StoreUnavailable: It is not there, cannot be written, or somebody uses it.
    """
    other = spool.of_file(file)
    if not other.exists:
        raise StoreUnavailable(f"{file}: there is no spool; name the file that ends in -spool")
    if spool.exists and spool.file.samefile(file):
        raise ConfigError(f"{file} is the spool of this machine, which maintain stores")
    try:
        with other.replaying() as mine:
            if not mine:
                raise StoreUnavailable(f"{file}: a process stores what waits in it: let it go on")
            taken = sum(_take_over(spool, other, some) for some in _batches(other))
        held = other.status()
        return AdoptedSpool(taken, held.entries + held.elsewhere)
    finally:
        other.close()


def _take_over(spool: Spool, other: Spool, waiting: Sequence[Waiting]) -> int:
    readable = []
    for one in waiting:
        try:
            readable.append((one, decoded(one)))
        except EncodingError:
            continue  # it stays there with its bytes, and counts as left
    # When each was acknowledged, and after what was forgotten, decides what may be stored.
    for (at, last), some in groupby(readable, key=lambda pair: (pair[0].spooled_at, pair[0].last)):
        together = [*some]
        spool.put_many([entry for _, entry in together], at, last)
        other.done(one.number for one, _ in together)
    return len(readable)


def _batches(spool: Spool) -> Iterator[list[Waiting]]:
    waiting = spool.all_waiting()
    while batch := list(islice(waiting, _AT_ONCE)):
        yield batch
