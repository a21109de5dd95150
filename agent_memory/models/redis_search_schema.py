"""The indexes of the query engine over entries in Redis: what they hold, and how it is asked for.

Two indexes cover the hashes of a tier (``models.redis``), and both hold every field that can be
asked for. ``entries`` holds all entries. ``vectors`` holds their vectors too, and only entries
with a vector of the tier's width, because the engine leaves out a whole hash when a vector in it
has another width: in one index such an entry could no longer be found by its other fields.

Conditions are built of values that are spelled here and nowhere else: ids with letters, digits
and ``_`` alone, numbers as Python writes them. Nothing in them can end a clause.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.models.redis import encode_id
from agent_memory.models.redis_attributes import engine_names, number_field, value_field
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import MemoryType
from agent_memory.values.identity import checked_agent_id, checked_run_id
from agent_memory.values.query import CATEGORIES, RANGES, Query, agent_of, run_of
from agent_memory.values.quoting import quoted

TAGS = ("run_id", "agent_id", *CATEGORIES)
"""What can be asked for by equality."""
NUMBERS = (*RANGES.values(), "encoder_version")
"""What can be asked for by range and sorted by."""
VECTOR = "embedding"

NO_TAG = "_0"
"""A tag that no entry has: an id is never spelled with one digit behind ``_``."""

# The engine keeps this many bytes of a tag and drops the rest, so that longer ones may be equal
# to it; the longest spelling of an id has 12,288.
_TAG_BYTES = 4096


@dataclass(frozen=True)
class IndexDefinition:
    """An index over the entries of a namespace.

    Attributes:
        namespace: What the keys of the entries begin with.
        purpose: What the index is for; tells those of a namespace apart.
        width: How many numbers a vector has; None: vectors are not indexed.
        attributes: Paths of declared attributes, each of which can be asked for.
    """

    namespace: str
    purpose: str
    width: int | None = None
    attributes: tuple[str, ...] = ()

    @property
    def alias(self) -> str:
        """The name that queries use; it leads to the index of the latest definition."""
        return f"{self.namespace}:index:{self.purpose}"

    @cached_property
    def names(self) -> tuple[str, str]:
        """The names that an index of this definition may have: it is rebuilt under the other."""
        definition = json.dumps(self.arguments).encode()
        digest = hashlib.blake2b(definition, digest_size=6).hexdigest()
        return f"{self.alias}:{digest}", f"{self.alias}:{digest}:again"

    @property
    def prefix(self) -> str:
        """What the keys of entries begin with, and no other keys do."""
        return f"{self.namespace}:{{"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What FT.CREATE takes behind the name."""
        # Entries without a vector can never be near to one.
        only = () if self.width is None else ("FILTER", f"exists(@{VECTOR})")
        return ("ON", "HASH", "PREFIX", "1", self.prefix, *only, "SCHEMA", *self._schema)

    @property
    def _schema(self) -> tuple[str, ...]:
        # Ids that differ in case are different agents.
        tags = [part for name in TAGS for part in (name, "TAG", "CASESENSITIVE")]
        numbers_ = [part for name in NUMBERS for part in (name, "NUMERIC", "SORTABLE")]
        return (*tags, *numbers_, *self._attributes, *self._vector)

    @property
    def _attributes(self) -> tuple[str, ...]:
        parts: list[str] = []
        for path in self.attributes:
            numbers_, others = engine_names(path)
            parts += [number_field(path), "AS", numbers_, "NUMERIC", "SORTABLE"]
            parts += [value_field(path), "AS", others, "TAG", "CASESENSITIVE"]
        return tuple(parts)

    @property
    def _vector(self) -> tuple[str, ...]:
        if self.width is None:
            return ()
        # FLAT is exact, and fills seven times as fast as HNSW; the tiers of an agent are small.
        options = ("TYPE", "FLOAT32", "DIM", str(self.width), "DISTANCE_METRIC", "COSINE")
        return (VECTOR, "VECTOR", "FLAT", str(len(options)), *options)

    def is_of(self, state: IndexState) -> bool:
        """Whether an index that stands on the server is of this definition."""
        fields = dict.fromkeys(TAGS, "TAG") | dict.fromkeys(NUMBERS, "NUMERIC")
        for path in self.attributes:
            fields |= dict(zip(engine_names(path), ("NUMERIC", "TAG"), strict=True))
        if self.width is not None:
            fields[VECTOR] = f"VECTOR {self.width}"
        return state.prefixes == (self.prefix,) and dict(state.fields) == fields


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the server says of an index that stands there.

    Attributes:
        name: Its name, which an alias hides.
        prefixes: What the keys it covers begin with.
        fields: Its fields and their types; a vector's with its width.
        indexed: The part of the entries it holds, 0 to 1.
        documents: How many entries that are.
    """

    name: str
    prefixes: tuple[str, ...]
    fields: Mapping[str, str]
    indexed: float
    documents: int = 0

    @classmethod
    def of_reply(cls, reply: Sequence[Any]) -> IndexState:
        """Read the answer to FT.INFO."""
        about = _pairs(reply)
        definition = _pairs(about["index_definition"])
        building = int(about["indexing"]) != 0
        return cls(
            name=about["index_name"].decode(),
            prefixes=tuple(prefix.decode() for prefix in definition["prefixes"]),
            fields=dict(_field(attribute) for attribute in about["attributes"]),
            # The engine may say 1 while the last batch is under way.
            indexed=min(float(about["percent_indexed"]), 0.999) if building else 1.0,
            documents=int(about["num_docs"]),
        )


def _pairs(reply: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=False)}


def _field(attribute: Sequence[Any]) -> tuple[str, str]:
    # Pairs come first, and options without a value (SORTABLE) last.
    about = _pairs(attribute)
    kind = about["type"].decode()
    if kind == "VECTOR":
        kind = f"VECTOR {int(about['dim'])}"
    return about["attribute"].decode(), kind


def id_tag(what: str, given: object) -> str:
    """Spell the id of a run or agent as its tag.

    Args:
        what: "run_id" or "agent_id".
        given: The id, as text; an agent's may be an int.

    Raises:
        InvalidEntry: It is no id, or too long for the query engine to tell from others.
    """
    text = checked_run_id(given) if what == "run_id" else checked_agent_id(given)
    tag = encode_id(text)
    if len(tag) >= _TAG_BYTES:
        raise InvalidEntry(
            f"{what}: an id that takes {len(tag)} bytes, spelled out, cannot be asked for in the "
            f"query engine, which tells the first {_TAG_BYTES} apart; ask the repository"
        )
    return tag


def type_tag(given: object) -> str:
    """Spell a memory type as its tag.

    Raises:
        InvalidEntry: It is none.
    """
    try:
        return MemoryType(given).value  # type: ignore[arg-type]  # the enum refuses what it does not know
    except ValueError as error:
        known = ", ".join(MemoryType)
        raise InvalidEntry(f"memory_type: {quoted(given)} is none of {known}") from error


def number(what: str, given: object) -> str:
    """Spell a number.

    Raises:
        InvalidEntry: It is none, or NaN.
    """
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise InvalidEntry(f"{what}: compare it with a number, not {quoted(given)}")
    # Some ints beyond what a step may be have no double.
    if isinstance(given, numbers.Integral) and abs(int(given)) > MAX_STEP:
        return "inf" if int(given) > 0 else "-inf"
    if math.isnan(given):
        raise InvalidEntry(f"{what}: NaN is neither below nor above anything")
    return repr(float(given))


def condition(query: Query, encoder_version: int | None = None) -> tuple[str, list[str]]:
    """What the engine is asked for a query, and the parameters that it names.

    Args:
        query: What is asked; its order and limit say nothing here.
        encoder_version: Only entries whose vector this version made; None for any.

    Raises:
        InvalidEntry: The query names not one run and one agent, or an id that is too long.
    """
    tags = {
        "run_id": id_tag("run_id", run_of(query)),
        "agent_id": id_tag("agent_id", agent_of(query)),
    }
    if query.memory_type is not None:
        tags["memory_type"] = type_tag(query.memory_type)
    ranges = {field: getattr(query, name) for name, field in RANGES.items()}
    ranges["encoder_version"] = (
        None if encoder_version is None else (encoder_version, encoder_version)
    )
    clauses, parameters = [], []
    for name, tag in tags.items():
        clauses.append(f"@{name}:{{${name}}}")
        parameters += [name, tag]
    for name, bounds in ranges.items():
        if bounds is not None:
            clauses.append(f"@{name}:[${name}_least ${name}_most]")
            least, most = (number(name, bound) for bound in bounds)
            parameters += [f"{name}_least", least, f"{name}_most", most]
    return " ".join(clauses), parameters
