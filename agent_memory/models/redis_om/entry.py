"""Redis-OM models of entries in short-term and intermediate memory, for reading and for analysis.

    StmEntry = system.models.StmEntry
    late = StmEntry.find(StmEntry.agent_id == "a|b", StmEntry.step_number > 10)
    late.sort_by("-step_number").page(0, 20)

A model describes the hash that a repository writes (``models.redis``) and shows it decoded: ids
as their text, contents as a dict, the vector as a list. What it saves and deletes goes through
the repository, so that every index, condition and count of an entry holds as for any other write.
Importing this module imports redis_om, which takes half a second: it is loaded when a model is
first asked for.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import field_validator
from redis_om import Field, HashModel, KNNExpression, NotFoundError, VectorFieldOptions
from redis_om.model.model import ExpressionProxy, model_registry, validate_model_fields

from agent_memory.errors import EntryNotFound, InvalidEntry
from agent_memory.models.redis import agent_prefix, hash_to_entry, step_of
from agent_memory.models.redis_om.backend import Backend, BackendClient, EntryStore
from agent_memory.models.redis_om.deletion import Deletion, refuse_option
from agent_memory.models.redis_om.doubles import ATTRIBUTE
from agent_memory.models.redis_om.query import EntryQuery
from agent_memory.models.redis_om.stored import key_of_pk, pk_of, read_field
from agent_memory.values.checks import checked_embedding
from agent_memory.values.coded import is_coded
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.identity import MemoryIds, checked_agent_id

_AGENTS_AT_ONCE = 100  # whose keys are read together
_FIELDS = tuple(known.name for known in fields(MemoryEntry))

# The width that counts is the index's; Redis-OM asks for one to allow a list in a hash at all.
_VECTOR = VectorFieldOptions.flat(
    VectorFieldOptions.TYPE.FLOAT32, 1, VectorFieldOptions.DISTANCE_METRIC.COSINE
)


class NoSuchEntry(EntryNotFound, NotFoundError):
    """No entry answers; caught as this package's error and as Redis-OM's."""


class RedisEntry(HashModel):
    """An entry, as a person reads it.

    ``StmEntry`` and ``ImEntry`` of a system are models of this kind. The fields are those of
    ``MemoryEntry``, and two more.

    Attributes:
        pk: Names the entry within its tier: ``{<run>/<agent>}:<memory id>``, ids spelled.
        distance: 1 - cosine to the vector that was asked for; only on what ``near`` found.
    """

    pk: str | None = Field(default=None, primary_key=True, index=False)
    memory_id: str = Field(default_factory=MemoryIds())
    run_id: str = Field(index=True)
    agent_id: str = Field(index=True)
    step_number: int = Field(index=True, sortable=True)
    timestamp: float = Field(index=True, sortable=True)
    memory_type: MemoryType = Field(index=True)
    contents: dict = Field()  # type: ignore[type-arg]  # Redis-OM refuses a dict that says of what
    importance_score: float = Field(default=1.0, index=True, sortable=True)
    compression_level: int = Field(default=0)
    retrieval_count: int = Field(default=0)
    creation_time: float | None = Field(default=None)
    last_access_time: float | None = Field(default=None)
    embedding: list[float] | None = Field(default=None, vector_options=_VECTOR, repr=False)
    encoder_version: int | None = Field(default=None, index=True, sortable=True)
    revision: int = Field(default=0)
    error_bounds: dict | None = Field(default=None)  # type: ignore[type-arg]  # as above
    pinned: bool = Field(default=False)
    distance: float | None = Field(default=None)

    def __init_subclass__(cls, **options: Any) -> None:
        """Declare a model of entries.

        Redis-OM 1.2 asks ``issubclass`` of the type of each inherited field. From Python 3.13 on
        ``list[float]`` is no class, which ends that in a TypeError. The fields were checked where
        they are declared, so they are hidden from the second look.
        """
        cls.__pydantic_fields__ = {}
        try:
            super().__init_subclass__(**options)
        finally:
            del cls.__pydantic_fields__

    @field_validator("agent_id", mode="before")
    @classmethod
    def _as_text(cls, given: object) -> str:
        return checked_agent_id(given)

    def model_post_init(self, _: object, /) -> None:
        """Name the entry, once its fields are checked."""
        self.pk = pk_of(EntryKey(self.run_id, self.agent_id, self.memory_id))

    # -- entries ------------------------------------------------------------------------------

    def to_entry(self) -> MemoryEntry:
        """The entry.

        Raises:
            InvalidEntry: A field has no meaning; the message names it.
        """
        values = {name: getattr(self, name) for name in _FIELDS}
        if self.embedding is not None:
            values["embedding"] = np.array(self.embedding, np.float32)
        for name in ("creation_time", "last_access_time"):
            if values[name] is None:
                del values[name]
        return MemoryEntry(**values)

    @classmethod
    def from_entry(cls, entry: MemoryEntry) -> Self:
        """The model of an entry; nothing is stored."""
        values = {name: getattr(entry, name) for name in _FIELDS}
        values["contents"] = dict(entry.contents)
        if entry.embedding is not None:
            values["embedding"] = entry.embedding.tolist()
        if entry.error_bounds is not None:
            values["error_bounds"] = dict(entry.error_bounds)
        # An entry has been checked.
        made: Self = cls.model_construct(**values)
        return made

    @classmethod
    def from_hash(cls, stored: Mapping[bytes, bytes]) -> Self:
        """The model of a stored hash.

        Raises:
            EncodingError: A field is missing or cannot be read.
        """
        contents = cls.backend().decode(stored.get(b"contents", b""), step_of(stored))
        return cls.from_entry(hash_to_entry(stored, contents))

    @classmethod
    def field_of_hash(cls, name: str, stored: Mapping[bytes, bytes]) -> Any:
        """One field of a stored hash, of which the rest need not be there; None if it lacks."""
        contents = stored.get(b"contents")
        if name != "contents" or contents is None:
            return read_field(name, stored)
        return cls.backend().decode(contents, step_of(stored) if is_coded(contents) else 0)

    @property
    def entry_key(self) -> EntryKey:
        """The key of the entry."""
        return EntryKey(self.run_id, self.agent_id, self.memory_id)

    # -- finding ------------------------------------------------------------------------------

    @classmethod
    def find(cls, *expressions: Any, knn: KNNExpression | None = None) -> EntryQuery:
        """Ask for entries of this tier, of all runs and agents.

        Args:
            expressions: Comparisons of the model's fields, all of which must hold.
            knn: What ``near`` gives: only the entries nearest to a vector.

        Raises:
            QueryEngineMissing: The server has no query engine.
            SearchIndexError: Its index cannot be used; the message says why, and what mends it.
            StoreUnavailable: The server does not answer.
        """
        cls.backend().ensure(vectors=knn is not None)
        cls.backend().warn_of_waiting()
        return EntryQuery(expressions=expressions, knn=knn, model=cls)

    @classmethod
    def attribute(cls, path: str) -> Any:
        """A declared attribute of contents, to compare in ``find``.

            StmEntry.find(StmEntry.attribute("mood") == "calm", StmEntry.attribute("food") > 3)

        Args:
            path: Keys joined by dots, as in ``indexed_attributes``.

        Raises:
            InvalidEntry: It is not declared.
        """
        if path not in cls.backend().attributes:
            raise InvalidEntry(
                f"attribute: {path!r:.80} is not declared; name it in indexed_attributes"
            )
        field: Any = Field(default=None, index=True)
        field.name, field.annotation = f"{ATTRIBUTE}{path}", str
        return ExpressionProxy(field, [])

    @classmethod
    def near(cls, vector: object, k: int = 10) -> KNNExpression:
        """For ``find(knn=...)``: the entries whose vectors are nearest to one, nearest first.

        Args:
            vector: Finite numbers, as many as the tier's vectors have.
            k: How many.

        Raises:
            InvalidEntry: ``vector`` is none.
        """
        wanted = checked_embedding(vector).astype("<f4").tobytes()
        return KNNExpression(k, cls.embedding, cls.distance, wanted)

    @classmethod
    def get(cls, pk: str | EntryKey) -> Self:
        """Get an entry; works without a query engine too.

        Args:
            pk: Its ``pk``, or its key.

        Raises:
            NoSuchEntry: It is not in this tier.
        """
        found = cls.store().get_many([cls.key_of(pk)])
        if not found:
            cls.backend().warn_of_waiting()
            raise NoSuchEntry(f"no entry {pk} in {cls.backend().namespace}")
        return cls.from_entry(found[0])

    @classmethod
    def all_pks(cls) -> Iterator[str]:
        """The ``pk`` of every entry of this tier, by run and agent."""
        cls.backend().warn_of_waiting()
        store = cls.store()
        agents = store.upkeep.all_agents()
        for first in range(0, len(agents), _AGENTS_AT_ONCE):
            found = store.upkeep.keys_of(agents[first : first + _AGENTS_AT_ONCE])
            yield from map(pk_of, found)

    @classmethod
    def from_redis(cls, res: Sequence[Any], knn: KNNExpression | None = None) -> list[Self]:
        """Read the answer to FT.SEARCH."""
        del knn  # what is nearest is read elsewhere
        hashes = (
            dict(zip(stored[::2], stored[1::2], strict=True)) for stored in res[2::2] if stored
        )
        return [cls.from_hash(stored) for stored in hashes]

    # -- writing ------------------------------------------------------------------------------

    def save(
        self, pipeline: object = None, nx: bool = False, xx: bool = False, **options: object
    ) -> Self | None:
        """Store the entry: a new one as it is, a changed one in place of what was read.

        Args:
            pipeline: Not supported: the repository's write is a transaction already.
            nx: Only if it is not stored yet.
            xx: Only if it is stored.
            options: Not supported: a field that expired would leave the entry damaged.

        Returns:
            The model, with the revision that is stored now; None if ``nx`` or ``xx`` forbade it.

        Raises:
            QueryEngineMissing: The server has no query engine.
            EntryConflict: The stored entry was changed since this one was read.
            InvalidEntry: A field has no meaning, or an option is not supported.
            StoreReadOnly: The memory was opened read-only.
        """
        refuse_option("pipeline", pipeline)
        for name, value in options.items():
            refuse_option(name, value)
        if nx and xx:
            raise ValueError("save: nx and xx cannot both hold")
        self.backend().ensure()
        entry, store = self.to_entry(), self.store()
        if nx and store.get_many([entry.key]):
            return None
        if not xx and store.add_many([entry])[0] == 1:
            return self._stored(entry)
        try:
            return None if nx else self._stored(store.replace(entry))
        except EntryNotFound:
            if xx:
                return None
            raise

    def update(self, **values: Any) -> None:
        """Change fields and save.

        Raises:
            EntryConflict: The stored entry was changed since this one was read.
        """
        validate_model_fields(type(self), values)
        for name, value in values.items():
            setattr(self, name, value)
        self.save()

    delete: ClassVar[Any] = Deletion()

    @classmethod
    def add(cls, models: Sequence[Self], pipeline: object = None, **_: object) -> Sequence[Self]:
        """Save models."""
        refuse_option("pipeline", pipeline)
        for model in models:
            model.save()
        return models

    @classmethod
    def delete_many(cls, models: Sequence[Self], pipeline: object = None) -> int:
        """Delete entries through the repository; gives how many there were."""
        refuse_option("pipeline", pipeline)
        return cls.store().remove_many([model.entry_key for model in models])

    def expire(self, num_seconds: int, pipeline: object = None) -> None:
        """Refused: what Redis itself expires would stay in the indexes; entries move instead.

        Raises:
            InvalidEntry: Always.
        """
        refuse_option("expire", (num_seconds, pipeline))

    # -- what Redis-OM asks of a model --------------------------------------------------------

    @classmethod
    def backend(cls) -> Backend:
        """What this model is bound to.

        Raises:
            MemoryClosed: Nobody in this process has the memory open any more.
        """
        bound: Backend = cls._meta.backend
        bound.check_open()
        return bound

    @classmethod
    def store(cls) -> EntryStore:
        """The repository of this model's tier."""
        return cls.backend().store

    def key(self) -> str:
        """The Redis key of the hash."""
        namespace = self.backend().namespace
        return agent_prefix(namespace, self.run_id, self.agent_id) + self.memory_id

    @classmethod
    def make_key(cls, part: str) -> str:
        """The Redis key of the hash with this ``pk``."""
        return f"{cls.backend().namespace}:{part}"

    @classmethod
    def redisearch_schema(cls) -> str:
        """The index of this model, as FT.CREATE takes it."""
        return " ".join(cls.backend().definition)

    @classmethod
    def key_of(cls, pk: object) -> EntryKey:
        """The key that a ``pk`` names.

        Raises:
            InvalidEntry: It names none.
        """
        return pk if isinstance(pk, EntryKey) else key_of_pk(str(pk).encode())

    def _stored(self, entry: MemoryEntry) -> Self:
        self.revision = entry.revision
        self.retrieval_count = entry.retrieval_count
        self.creation_time = entry.creation_time
        self.last_access_time = entry.last_access_time
        return self


def entry_model(name: str, backend: Backend) -> type[RedisEntry]:
    """Make the model of one tier of a system.

    Args:
        name: What to call it: "StmEntry" or "ImEntry".
        backend: What it is bound to.
    """
    meta = {
        "backend": backend,
        "database": BackendClient(backend),
        "global_key_prefix": backend.namespace,
        "model_key_prefix": name,
        "primary_key_pattern": "{pk}",
        "index_name": backend.alias,
        "encoding": "utf-8",
        "embedded": False,
    }
    body = {
        "Meta": type("Meta", (), meta),
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": RedisEntry.__doc__,
    }
    model: type[RedisEntry] = types.new_class(
        name, (RedisEntry,), {"index": True}, lambda namespace: namespace.update(body)
    )
    # Redis-OM's migrator would make an index of its own under our name, and the registry would
    # keep the system's connections for ever.
    model_registry.pop(f"{__name__}.{name}", None)
    return model
