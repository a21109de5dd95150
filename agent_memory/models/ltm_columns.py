"""The columns of long-term memory, one definition for every table prefix."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from sqlalchemy import (
    JSON,
    Case,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    case,
    func,
    select,
    text,
    type_coerce,
)
from sqlalchemy.orm import Mapped, column_property, declared_attr, mapped_column

from agent_memory.models.ltm_types import (
    DecimalInt,
    DeclaredAttributes,
    InternedName,
    InternedRun,
    MemoryIdBytes,
    Name,
    RealNumber,
    RowId,
    RunParameters,
    SmallNumber,
    Truth,
    WholeNumber,
)

PINNED = 128
"""Is added to the coding of an entry's vector if the entry is pinned."""


class Prefixed:
    """What all tables share: a prefix, which the declarative base of each prefix sets."""

    __table_prefix__: ClassVar[str]
    __table_suffix__: ClassVar[str]
    __table__: ClassVar[Any]
    metadata: ClassVar[MetaData]

    @declared_attr.directive
    def __tablename__(cls) -> str:
        """The name of the table: the prefix, then what the table holds."""
        return f"{cls.__table_prefix__}_{cls.__table_suffix__}"

    @classmethod
    def _reference(cls, suffix: str) -> ForeignKey:
        return ForeignKey(f"{cls.__table_prefix__}_{suffix}.id")

    @classmethod
    def _table(cls, suffix: str) -> Table:
        return cls.metadata.tables[f"{cls.__table_prefix__}_{suffix}"]


class RunColumns(Prefixed):
    """A simulation run.

    Attributes:
        id: What entries and agents refer to; never given again.
        name: The run's id, as the API speaks of it.
        parent_id: The run it was forked from.
        fork_step: At which step it was.
        seed: Its random seed, an int of any size.
        status: "running", "finished", "failed", or "forgotten".
        created_at: When it was first met, in seconds since 1970.
        parameters: What it was begun with, as JSON; None: nobody recorded it.
    """

    __table_suffix__ = "runs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    fork_step: Mapped[int | None] = mapped_column(WholeNumber)
    seed: Mapped[int | None] = mapped_column(DecimalInt)
    status: Mapped[str] = mapped_column(String)
    created_at: Mapped[float] = mapped_column(RealNumber)
    parameters: Mapped[dict[str, Any] | None] = mapped_column(RunParameters)

    @declared_attr
    def parent_id(cls) -> Mapped[int | None]:
        """The run it was forked from, by ``Run.id``."""
        return mapped_column(RowId, cls._reference("runs"))


class AgentColumns(Prefixed):
    """An agent of a run; the same name in two runs is two agents.

    Attributes:
        id: What entries refer to; never given again.
        run_id: Its run, by ``Run.id``.
        name: The agent's id, as the API speaks of it.
    """

    __table_suffix__ = "agents"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(Name)

    @declared_attr
    def run_id(cls) -> Mapped[int]:
        """Its run, by ``Run.id``."""
        return mapped_column(RowId, cls._reference("runs"))

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        """A name once in a run, and found without its run too."""
        return (
            UniqueConstraint("run_id", "name"),
            Index(None, "name"),
            {"sqlite_autoincrement": True},
        )


class TypeColumns(Prefixed):
    """A memory type: ``id``, and its ``name`` ("state", "interaction", "action")."""

    __table_suffix__ = "types"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String, unique=True)


class EncoderVersionColumns(Prefixed):
    """A version of the encoder: all that is needed to read what it has encoded.

    Attributes:
        id: What ``MemoryEntry.encoder_version`` says.
        name: A name for people.
        kind: What sort of encoder it is.
        parent_id: The version it was trained from.
        status: How it stands; ``UNREGISTERED`` when entries name it and its weights are not here.
        format: Which layout the blobs have.
        created_at: When, in seconds since 1970.
        feature_schema: Names, scales and categories of the features.
        weights: The arrays.
        tolerances: By path, how far decoded numbers may be off.
        dictionary: What the coder of contents has learned.
        metrics: What was measured on held-out states.
    """

    __table_suffix__ = "encoder_versions"

    UNREGISTERED: ClassVar[str] = "unregistered"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str | None] = mapped_column(Name, unique=True)
    kind: Mapped[str | None] = mapped_column(String)
    status: Mapped[str] = mapped_column(String)
    format: Mapped[int] = mapped_column(SmallNumber)
    created_at: Mapped[float] = mapped_column(RealNumber)
    tolerances: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    feature_schema: Mapped[bytes | None] = mapped_column(LargeBinary)
    dictionary: Mapped[bytes | None] = mapped_column(LargeBinary)
    weights: Mapped[bytes | None] = mapped_column(LargeBinary)

    @declared_attr
    def parent_id(cls) -> Mapped[int | None]:
        """The version it was trained from."""
        return mapped_column(RowId, cls._reference("encoder_versions"))


class TombstoneColumns(Prefixed):
    """A key that was forgotten: no entry is stored under it any more, unless it was released.

    Attributes:
        run_ref: Its run, by ``Run.id``.
        memory_id: 32 hexadecimal digits.
        agent_hash: Its agent; see ``ltm_types.agent_hash``. 0: every agent of the run.
        forgotten_at: When it was forgotten or released last, in seconds since 1970, but later than
            whatever was forgotten before, though a clock was set back; see ``forgettings``.
        released_at: Since when, in seconds since 1970, new entries may be stored under it, unless
            they were read from the tier above before; NULL: never.
    """

    __table_suffix__ = "tombstones"
    __table_args__ = ({"sqlite_with_rowid": False},)

    @declared_attr
    def run_ref(cls) -> Mapped[int]:
        """Its run, by ``Run.id``; leads the key."""
        return mapped_column(RowId, cls._reference("runs"), primary_key=True, sort_order=-1)

    memory_id: Mapped[str] = mapped_column(MemoryIdBytes, primary_key=True)
    # PostgreSQL would give numbers of its own to a column of a key.
    agent_hash: Mapped[int] = mapped_column(
        WholeNumber, primary_key=True, autoincrement=False, server_default=text("0")
    )
    forgotten_at: Mapped[float] = mapped_column(RealNumber)
    released_at: Mapped[float | None] = mapped_column(RealNumber)


class DeclaredAttributeColumns(Prefixed):
    """A path in contents whose values entries have in their column ``attributes``.

    Attributes:
        path: Keys joined by dots.
        is_complete: Whether those stored before it was declared have them too.
    """

    __table_suffix__ = "attributes"
    __table_args__ = ({"sqlite_with_rowid": False},)

    path: Mapped[str] = mapped_column(Name, primary_key=True)
    is_complete: Mapped[bool] = mapped_column(Truth)


class LtmEntryColumns(Prefixed):
    """An entry of long-term memory.

    Fields are those of ``MemoryEntry``; in queries ``run_id``, ``agent_id`` and ``memory_type``
    are the names, compared through the indexes. What else there is:

    Attributes:
        run_ref: ``Run.id``.
        agent_ref: ``Agent.id``, which stands for the run too.
        type_ref: ``Type.id``.
        embedding: The vector's bytes.
        embedding_coding: How they are coded: 0 is float32, 1 and 2 are int8, 3 is float16; see
            ``ltm_vectors``.
        stored_coding: The same, and ``PINNED`` more of an entry that is pinned.
        contents: Coded contents.
        attributes: Declared attributes, ``{path: value}``:
            ``LtmEntry.attributes["role"].as_string()``.
        error_bounds: ``{path: bound}`` in MessagePack.
    """

    __table_suffix__ = "entries"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    step_number: Mapped[int] = mapped_column(WholeNumber)
    timestamp: Mapped[float] = mapped_column(RealNumber)
    importance_score: Mapped[float] = mapped_column(RealNumber)
    compression_level: Mapped[int] = mapped_column(SmallNumber)
    retrieval_count: Mapped[int] = mapped_column(WholeNumber)
    revision: Mapped[int] = mapped_column(WholeNumber)
    memory_id: Mapped[str] = mapped_column(MemoryIdBytes)
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary)
    contents: Mapped[bytes] = mapped_column(LargeBinary)
    attributes: Mapped[dict[str, Any] | None] = mapped_column(DeclaredAttributes(none_as_null=True))
    error_bounds: Mapped[bytes | None] = mapped_column(LargeBinary)

    # Both times usually equal the timestamp. NULL says so, and saves 16 bytes a row of about 120.
    stored_creation_time: Mapped[float | None] = mapped_column("creation_time", RealNumber)
    stored_last_access_time: Mapped[float | None] = mapped_column("last_access_time", RealNumber)

    # Few entries are pinned, and a column of its own would take a byte of every row.
    stored_coding: Mapped[int] = mapped_column("embedding_coding", SmallNumber)

    @declared_attr
    def run_ref(cls) -> Mapped[int]:
        """Its run, by ``Run.id``."""
        return mapped_column(RowId, cls._reference("runs"))

    @declared_attr
    def agent_ref(cls) -> Mapped[int]:
        """Its agent, by ``Agent.id``, which stands for the run too."""
        return mapped_column(RowId, cls._reference("agents"))

    @declared_attr
    def type_ref(cls) -> Mapped[int]:
        """Its memory type, by ``Type.id``."""
        return mapped_column(RowId, cls._reference("types"))

    @declared_attr
    def encoder_version(cls) -> Mapped[int | None]:
        """Which version of the encoder made the vector, by ``EncoderVersion.id``."""
        return mapped_column(RowId, cls._reference("encoder_versions"))

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        """An id once of an agent, which stands for its run too; steps and times by agent."""
        return (
            # The id leads: it finds an entry with and without its agent.
            UniqueConstraint("memory_id", "agent_ref"),
            Index(None, "agent_ref", "step_number"),
            Index(None, "agent_ref", "timestamp"),
        )

    @declared_attr
    def creation_time(cls) -> Mapped[float]:
        """When it was first stored, in the unit of ``timestamp``."""
        return column_property(func.coalesce(cls.stored_creation_time, cls.timestamp))

    @declared_attr
    def last_access_time(cls) -> Mapped[float]:
        """When it was last retrieved, in the unit of ``timestamp``."""
        return column_property(func.coalesce(cls.stored_last_access_time, cls.timestamp))

    @declared_attr
    def embedding_coding(cls) -> Mapped[int]:
        """How the vector's bytes are coded; see ``ltm_vectors``."""
        return column_property(cast(ColumnElement[int], cls.stored_coding) % PINNED)

    @declared_attr
    def pinned(cls) -> Mapped[bool]:
        """Whether it stays in its tier."""
        return column_property(
            type_coerce(cast(ColumnElement[int], cls.stored_coding) >= PINNED, Truth())
        )

    @declared_attr
    def run_id(cls) -> Mapped[str]:
        """The run's name, compared by its reference."""
        runs = cls._table("runs")
        return column_property(
            _name_in(runs, cls.run_ref),
            comparator_factory=InternedRun,
            info={"reference": "run_ref", "names": runs, "agents": cls._table("agents")},
        )

    @declared_attr
    def agent_id(cls) -> Mapped[str]:
        """The agent's name, compared by its reference."""
        agents = cls._table("agents")
        return column_property(
            _name_in(agents, cls.agent_ref),
            comparator_factory=InternedName,
            info={"reference": "agent_ref", "names": agents},
        )

    @declared_attr
    def memory_type(cls) -> Mapped[str]:
        """The type's name, compared by its reference."""
        types = cls._table("types")
        return column_property(
            _name_in(types, cls.type_ref),
            comparator_factory=InternedName,
            info={"reference": "type_ref", "names": types},
        )


def _name_in(names: Table, reference: Any) -> Case[str]:
    name = select(names.c.name).where(names.c.id == reference)
    # The test is always true: naming the entries' column puts their table in the FROM clause
    # of a query that selects or groups by nothing but this name.
    return case((reference.is_not(None), name.correlate_except(names).scalar_subquery()))
