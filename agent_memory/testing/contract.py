"""The whole contract of repositories, put together of its parts."""

from __future__ import annotations

from agent_memory.testing.apart import ApartContract
from agent_memory.testing.arriving import ArrivingContract
from agent_memory.testing.asking import AskingContract
from agent_memory.testing.changing import ChangingContract
from agent_memory.testing.finding import FindingContract
from agent_memory.testing.forgetting import ForgettingContract
from agent_memory.testing.keeping import KeepingContract
from agent_memory.testing.many import AgeingContract, ManyContract
from agent_memory.testing.moving import MovingContract
from agent_memory.testing.pinning import PinningContract
from agent_memory.testing.sharing import SharingContract
from agent_memory.testing.stateful import OracleContract
from agent_memory.testing.storing import StoringContract


class RepositoryContract(
    StoringContract,
    ArrivingContract,
    ChangingContract,
    FindingContract,
    AskingContract,
    KeepingContract,
    ApartContract,
    ManyContract,
    MovingContract,
    PinningContract,
    SharingContract,
    OracleContract,
):
    """What every repository promises; asks for a fixture ``repository`` that gives an empty one."""


class LongTermContract(RepositoryContract, ForgettingContract):
    """The same, and what long-term memory promises of what was forgotten."""


class ShortLivedContract(RepositoryContract, AgeingContract):
    """The same, and what a tier promises that entries leave when they come of age."""
