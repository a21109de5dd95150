"""The schema of long-term memory: SQLAlchemy models, for the repository and for analysis.

    select(LtmEntry).where(LtmEntry.agent_id == "a1", LtmEntry.step_number.between(10, 20))

Runs, agents and types are interned: an entry refers to them by small integers, and reads as if
it held their names. The module's own models are those of the default table prefix;
``ltm_models`` gives those of another. Writing is the repository's: what the models add to the
tables' columns is for reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar, cast

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from agent_memory.models.ltm_columns import (
    AgentColumns,
    DeclaredAttributeColumns,
    EncoderVersionColumns,
    LtmEntryColumns,
    RunColumns,
    TombstoneColumns,
    TypeColumns,
)

DEFAULT_PREFIX = "agent_ltm"

# With a prefix of up to 30 characters every name stays within PostgreSQL's 63.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

_C = TypeVar("_C")


class LtmBase(DeclarativeBase):
    """Base of the models of the default prefix."""

    __table_prefix__ = DEFAULT_PREFIX
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Run(RunColumns, LtmBase):
    """A simulation run; see ``RunColumns``."""


class Agent(AgentColumns, LtmBase):
    """An agent of a run; see ``AgentColumns``."""


class Type(TypeColumns, LtmBase):
    """A memory type; see ``TypeColumns``."""


class EncoderVersion(EncoderVersionColumns, LtmBase):
    """A version of the encoder; see ``EncoderVersionColumns``."""


class Tombstone(TombstoneColumns, LtmBase):
    """A key that was forgotten; see ``TombstoneColumns``."""


class DeclaredAttribute(DeclaredAttributeColumns, LtmBase):
    """A declared attribute; see ``DeclaredAttributeColumns``."""


class LtmEntry(LtmEntryColumns, LtmBase):
    """An entry of long-term memory; see ``LtmEntryColumns``."""


@dataclass(frozen=True, slots=True)
class LtmModels:
    """The models of one table prefix, and the metadata that holds their tables."""

    LtmEntry: type[LtmEntryColumns]
    EncoderVersion: type[EncoderVersionColumns]
    Run: type[RunColumns]
    Agent: type[AgentColumns]
    Type: type[TypeColumns]
    Tombstone: type[TombstoneColumns]
    DeclaredAttribute: type[DeclaredAttributeColumns]
    metadata: MetaData


@cache
def ltm_models(prefix: str = DEFAULT_PREFIX) -> LtmModels:
    """Give the models whose tables' names begin with ``prefix``; the same ones on every call."""
    if prefix == DEFAULT_PREFIX:
        return LtmModels(
            LtmEntry,
            EncoderVersion,
            Run,
            Agent,
            Type,
            Tombstone,
            DeclaredAttribute,
            LtmBase.metadata,
        )
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    base = type("LtmBase", (DeclarativeBase,), {"__table_prefix__": prefix, "metadata": metadata})

    def model(name: str, columns: type[_C]) -> type[_C]:
        return cast(type[_C], type(name, (columns, base), {"__doc__": columns.__doc__}))

    return LtmModels(
        # The entries' tables of names are looked up in the metadata, so they are made first.
        Run=model("Run", RunColumns),
        Agent=model("Agent", AgentColumns),
        Type=model("Type", TypeColumns),
        EncoderVersion=model("EncoderVersion", EncoderVersionColumns),
        Tombstone=model("Tombstone", TombstoneColumns),
        DeclaredAttribute=model("DeclaredAttribute", DeclaredAttributeColumns),
        LtmEntry=model("LtmEntry", LtmEntryColumns),
        metadata=metadata,
    )
