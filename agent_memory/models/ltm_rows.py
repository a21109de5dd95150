"""Turns an entry into a row of long-term memory, and a row into the entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError, InvalidEntry, NewerFormat
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_vectors import FLOAT32, code_vector, decode_vector
from agent_memory.values.coded import bounds_of, is_coded
from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.formats import at
from agent_memory.values.interruptions import raise_if_interrupted

_LARGEST = {
    "compression_level": 2**15 - 1,
    "retrieval_count": 2**63 - 1,
    "revision": 2**63 - 2,  # replacing an entry counts it up
    "encoder_version": 2**63 - 1,
}

_STORED_TYPES = (
    *(("step_number", int), ("timestamp", float), ("importance_score", float)),
    *(("compression_level", int), ("retrieval_count", int), ("revision", int), ("pinned", bool)),
    *(("creation_time", float), ("last_access_time", float)),
)


class RawRow(NamedTuple):
    """The columns of a row as the driver gives them, in the order of an entry's fields."""

    memory_id: Any
    run_id: Any
    agent_id: Any
    step_number: Any
    timestamp: Any
    memory_type: Any
    contents: Any
    importance_score: Any
    compression_level: Any
    retrieval_count: Any
    creation_time: Any
    last_access_time: Any
    embedding: Any
    encoder_version: Any
    revision: Any
    error_bounds: Any
    pinned: Any
    embedding_coding: Any


def entry_to_row(
    entry: MemoryEntry,
    contents: bytes,
    attributes: Mapping[str, Any] | None = None,
    embedding: tuple[int, bytes | None] | None = None,
) -> dict[str, Any]:
    """Give the values of an entry's row, by the names of the table's columns.

    What stands for its run, agent and type (``run_ref``, ``agent_ref``, ``type_ref``) is left
    to the transaction that stores the row, which alone can know it.

    Args:
        entry: The entry.
        contents: Its contents, encoded.
        attributes: Its declared attributes; see ``attributes``.
        embedding: What ``code_embedding`` gives, if that is known.

    Raises:
        InvalidEntry: A number does not fit its column.
    """
    for name, largest in _LARGEST.items():
        value = getattr(entry, name)
        if value is not None and not -largest <= value <= largest:
            raise InvalidEntry(f"{name}: {value} is beyond {largest}")
    coding, vector = code_embedding(entry) if embedding is None else embedding
    timestamp = entry.timestamp
    created, accessed = entry.creation_time, entry.last_access_time
    return {
        "compression_level": entry.compression_level,
        "step_number": entry.step_number,
        "timestamp": timestamp,
        "importance_score": entry.importance_score,
        "retrieval_count": entry.retrieval_count,
        "revision": entry.revision,
        "encoder_version": entry.encoder_version,
        "embedding_coding": coding + PINNED if entry.pinned else coding,
        "creation_time": None if created == timestamp else created,
        "last_access_time": None if accessed == timestamp else accessed,
        "memory_id": bytes.fromhex(entry.memory_id),
        "embedding": vector,
        "contents": contents,
        "attributes": attributes or None,
        "error_bounds": bounds_of_row(entry, contents),
    }


def row_to_entry(
    row: Any, contents: Mapping[str, Any], vector: NDArray[np.float32] | None = None
) -> MemoryEntry:
    """Give the entry of a row.

    Args:
        row: An ``LtmEntry``, or a row of a query whose columns are named as its attributes.
        contents: Its contents, decoded.
        vector: Its vector of shape (dim,), if that was decoded already.

    Raises:
        EncodingError: The row is damaged.
        NewerFormat: It was stored by a newer version.
    """
    bounds = row.error_bounds
    try:
        values = {
            "memory_id": row.memory_id,
            "run_id": row.run_id,
            "agent_id": row.agent_id,
            "step_number": row.step_number,
            "timestamp": row.timestamp,
            "memory_type": MemoryType(row.memory_type),
            "contents": contents,
            "importance_score": row.importance_score,
            "compression_level": row.compression_level,
            "retrieval_count": row.retrieval_count,
            "creation_time": row.creation_time,
            "last_access_time": row.last_access_time,
            "embedding": vector_of(row) if vector is None else vector,
            "encoder_version": row.encoder_version,
            "revision": row.revision,
            "error_bounds": bounds_of(contents, None if bounds is None else unpack(bounds)),
            "pinned": row.pinned,
        }
        # What was stored was checked then; what has other types takes the way with all checks.
        if all(type(values[name]) is type_ for name, type_ in _STORED_TYPES):
            return MemoryEntry.restored(*values.values())
        return MemoryEntry(**values)
    except NewerFormat as error:
        raise at(f"entry {row.memory_id} of run {row.run_id!r}", error) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise_if_interrupted(error)
        # SQLite keeps a value of any type in any column.
        raise EncodingError(
            f"entry {row.memory_id} of run {row.run_id!r} cannot be read ({error})"
        ) from error


def vector_of(row: Any) -> NDArray[np.float32] | None:
    """The vector of a row, of shape (dim,).

    Raises:
        EncodingError: It is damaged.
    """
    coded = row.embedding
    return None if coded is None else decode_vector(row.embedding_coding, coded)


def code_embedding(entry: MemoryEntry) -> tuple[int, bytes | None]:
    """The coding of an entry's vector, and its bytes; None where it has none."""
    return (FLOAT32, None) if entry.embedding is None else code_vector(entry.embedding)


def bounds_of_row(entry: MemoryEntry, contents: bytes) -> bytes | None:
    """The bounds that stand beside coded contents; None where those know them themselves."""
    bounds = entry.error_bounds
    if bounds is None or is_coded(contents):
        return None
    return pack({path: float(bound) for path, bound in bounds.items()})
