"""Finds entries by similarity across the tiers, each once, the most similar first.

What is near a state is measured on the contents themselves, of every entry that answers: see
``embeddings.distance``. Vectors play no part in it, so that neither the tier of an entry, nor the
version of the encoder that made its vector, nor training changes the answer.

What is near a vector is measured by cosines. Vectors of different versions or widths share no
space, so each tier proposes candidates of each version, and all are ranked at the narrowest width,
for which their contents are encoded again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.codes import Codes
from agent_memory.embeddings.comparable import Comparable, comparable, comparable_list
from agent_memory.embeddings.own_spaces import OwnSpaces
from agent_memory.embeddings.ranking import as_unit, as_units, with_bias
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import EntryNotFound, InvalidEntry
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.retrieval.candidates import best, candidates
from agent_memory.retrieval.doubts import caller_level, tell_of_width
from agent_memory.retrieval.feature_cache import FeatureCache
from agent_memory.retrieval.near_candidates import Rounding
from agent_memory.retrieval.near_states import each_agent, lists_of, near_state
from agent_memory.retrieval.own_vectors import near_own, own_query
from agent_memory.retrieval.recall import fetch
from agent_memory.retrieval.sequences import sequences_like
from agent_memory.retrieval.state_vectors import StateVectors
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.checks import checked_embedding
from agent_memory.values.contents import as_contents, pack, unpack
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.identity import checked_memory_id, is_memory_id
from agent_memory.values.query import Hit, Query
from agent_memory.values.stretch import Stretch
from agent_memory.values.vector import Vector


class SimilarityQuery:
    """A state or vector, as the vectors of each version and width; the ``Probe`` of repositories.

    Make one with ``to_state`` or ``to_vector``, and use it for one question.

    Args:
        encoders: The versions there are.
        state: The state, or None where only a vector is known.
        vectors: The vector by version; float32, as wide as some tier's.
        own: A vector that may be of a model of the user's own; None: there is none.
    """

    def __init__(
        self,
        encoders: EncoderRegistry,
        state: Mapping[str, Any] | None,
        vectors: dict[int, NDArray[np.float32]],
        own: NDArray[np.float32] | None = None,
    ) -> None:
        self._encoders = encoders
        self._current = encoders.current
        self._state = state
        self._vectors = vectors
        self._own = own

    @classmethod
    def to_state(cls, encoders: EncoderRegistry, state: Mapping[str, Any]) -> SimilarityQuery:
        """What is near a state.

        Raises:
            InvalidEntry: It is none.
        """
        current = encoders.current
        return cls(encoders, state, {current.version: current.encoder.encode_one(state)})

    @classmethod
    def to_vector(cls, encoders: EncoderRegistry, vector: NDArray[np.float32]) -> SimilarityQuery:
        """What is near a vector: of any tier, made by the current version, or of one's own."""
        current = encoders.current
        widths = current.encoder.widths
        known = {}
        if len(vector) in (*widths,):
            bias = current.encoder.bias(widths.ltm)
            known[current.version] = _with_its_bias(vector, bias, widths.ltm)
        return cls(encoders, None, known, vector)

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        """The vector to compare those of a version and width with; None if they do not compare."""
        if version is None:
            own = self._own
            return own if own is not None and len(own) == width else None
        encoder = self._encoders.encoder(version)
        if encoder is None or width not in (*encoder.widths,):
            return None
        if version not in self._vectors and self._state is not None:
            self._vectors[version] = encoder.encode_one(self._state)
        vector = self._vectors.get(version)
        if vector is None or width > len(vector):
            return None
        return encoder.carry(vector, width)

    def bias(self, version: int | None, width: int) -> float:
        """The number that stands before vectors of a version and width when they are compared."""
        encoder = self._encoders.encoder(version)
        return 0.0 if encoder is None else encoder.bias(width)

    def scores(self, entries: Sequence[MemoryEntry]) -> NDArray[np.float64]:
        """The cosine of each entry and the vector, from -1 to 1, of shape (n,).

        0 for those that do not compare.
        """
        scores = np.zeros(len(entries))
        vectors_of = map(self._own_of, entries)
        own = {place: mine for place, mine in enumerate(vectors_of) if mine is not None}
        if own and self._own is not None:
            scores[[*own]] = cosines(np.stack([*own.values()]), self._own)
        others = [place for place in range(len(entries)) if place not in own]
        vector = self._vectors.get(self._current.version)
        if others and vector is not None:
            encoder = self._current.encoder
            width = encoder.widths.ltm
            vectors = encoder.encode([entries[place].contents for place in others])
            both = np.vstack([encoder.carry(vector, width), encoder.carry(vectors, width)])
            compared = with_bias(both, encoder.bias(width))
            scores[others] = cosines(compared[1:], compared[0])
        return scores

    def _own_of(self, entry: MemoryEntry) -> NDArray[np.float32] | None:
        """The entry's vector, if it is of the user's own and as wide as the one asked about."""
        if entry.encoder_version is not None or entry.embedding is None or self._own is None:
            return None
        return entry.embedding if len(entry.embedding) == len(self._own) else None


class SimilaritySearch:
    """Answers what is near a state, a memory or a vector. Threads may share one.

    Args:
        encoders: The versions of the encoder.
        spaces: The vectors of models of the user's own.
        features: Keeps what is compared.
        codes: The codes of contents, which have rounded some.
        level: Gives the compression level of a tier.
        max_entry_bytes: How large a state may be that is asked about; None for no limit.
    """

    def __init__(
        self,
        encoders: EncoderRegistry,
        spaces: OwnSpaces,
        features: FeatureCache,
        codes: Codes,
        level: Callable[[Tier], int],
        max_entry_bytes: int | None = None,
    ) -> None:
        self._encoders = encoders
        self._spaces = spaces
        self._features = features
        self._codes = codes
        self._level = level
        self._max_entry_bytes = max_entry_bytes

    def recall(self, tiers: Sequence[TierReader], query: Query, near: object) -> list[Hit]:
        """Answer a query by similarity.

        Args:
            tiers: The tiers, richest first.
            query: Which entries are asked for; it names its run. Its limit keeps the most
                similar, its order decides among equals, which without one are newest first.
            near: A state (a dict, dataclass or pydantic model), a list or array of numbers that
                states hold under some path, a memory (a hit, an entry, or the id of one of the
                query's agent), a text, of which the embedder makes a vector, or a ``Vector``.

        Returns:
            The entries with their scores, the best first: from 0 to 1 near a state or memory,
            cosines from -1 to 1 near a vector, None of those that have no vector like it.

        Raises:
            InvalidEntry: ``near`` is none of these, or a text and there is no embedder.
            EmbedderError: The embedder fails for the text.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.
        """
        if isinstance(near, Hit):
            near = near.entry
        if isinstance(near, str) and not is_memory_id(near):
            near = self._spaces.of_text(near)
        if isinstance(near, str):
            key = EntryKey(run_of(query), agent_of(query), checked_memory_id(near))
            found = fetch(tiers, [key])
            if not found:
                raise EntryNotFound(f"near: no tier holds entry {near} of {agent_of(query)!r}")
            near = found[0].entry
        if isinstance(near, Vector):
            own, vector = own_query(near, self._spaces, self._encoders), near.numbers
            if own is not None:
                return each_agent(tiers, query, lambda one: near_own(tiers, one, own, self._level))
            hits = each_agent(tiers, query, lambda one: self._near_vector(tiers, one, vector))
            self._tell_of_width(hits, len(vector))
            return hits
        if isinstance(near, (Sequence, np.ndarray)):
            return self._near_list(tiers, query, near)
        # Packed and unpacked as what is stored: so the same state has the same features.
        given = near.contents if isinstance(near, MemoryEntry) else as_contents(near)
        state = unpack(pack(given, max_bytes=self._max_entry_bytes))
        if isinstance(near, MemoryEntry):
            vectors = StateVectors.of_entry(self._encoders, near)
        else:
            vectors = StateVectors(self._encoders, state)
        return self._near_state(tiers, query, comparable(state), vectors)

    def sequences_like(
        self, tiers: Sequence[TierReader], query: Query, given: Sequence[object], *, warp: bool
    ) -> list[Stretch]:
        """The stretches of agents' lives most similar to a given one.

        Args:
            tiers: The tiers, richest first.
            query: Whose entries; its limit is how many stretches.
            given: States or memories, in their order; the memories are in no stretch.
            warp: Whether time may be warped.
        """
        entries = [one.entry if isinstance(one, Hit) else one for one in given]
        asked = []
        for one in entries:
            state = one.contents if isinstance(one, MemoryEntry) else as_contents(one)
            asked.append(comparable(unpack(pack(state, max_bytes=self._max_entry_bytes))))
        but = [one.key for one in entries if isinstance(one, MemoryEntry)]
        return sequences_like(self._features, tiers, query, asked, warp=warp, but=but)

    def _near_state(
        self, tiers: Sequence[TierReader], query: Query, asked: Comparable, vectors: StateVectors
    ) -> list[Hit]:
        return near_state(self._features, tiers, query, asked, self._rounded, vectors)

    def _rounded(self, rounding: Rounding, asked: Comparable) -> Comparable:
        """A state as the code of a version would have rounded it."""
        code = self._codes.code(rounding.version)
        return asked._replace(
            values={
                path: code.rounded(path, value, rounding.level) if type(value) is float else value
                for path, value in asked.values.items()
            }
        )

    def _near_list(self, tiers: Sequence[TierReader], query: Query, near: Any) -> list[Hit]:
        """What is near an observation: a list of numbers that states hold under some path."""
        numbers = unpack(pack({"": near}, max_bytes=self._max_entry_bytes))[""]
        try:
            count = int(np.size(numbers))
        except ValueError as error:
            raise InvalidEntry(f"near: a list of numbers is needed ({error})") from error
        paths = lists_of(self._features, tiers, query, count)
        if len(paths) == 1:
            vectors = StateVectors(self._encoders)
            return self._near_state(tiers, query, comparable_list(paths[0], numbers), vectors)
        if paths:
            raise InvalidEntry(
                f"near: states hold lists of {count} under {', '.join(paths)}; ask near "
                "a state that names one of them, or near Vector(numbers)"
            )
        vector = checked_embedding(near)
        if len(vector) not in (*self._encoders.current.encoder.widths,):
            raise InvalidEntry(
                f"near: no state holds a list of {len(vector)} numbers; ask near a state, or near "
                "Vector(numbers)"
            )
        warnings.warn(
            "near: a list or array of numbers is going to be an observation alone; for a vector "
            "write near=Vector(numbers)",
            DeprecationWarning,
            stacklevel=caller_level(),
        )
        given = Vector(vector).numbers
        return each_agent(tiers, query, lambda one: self._near_vector(tiers, one, given))

    def _tell_of_width(self, hits: Sequence[Hit], width: int) -> None:
        """Warn of a vector as wide as none that it could be compared with."""
        widths = {*self._encoders.current.encoder.widths}
        for entry in (hit.entry for hit in hits):
            version = entry.encoder_version
            if entry.embedding is not None and (version is None or self._encoders.is_own(version)):
                widths.add(len(entry.embedding))
        if hits and width not in widths:
            tell_of_width(width, widths)

    def _near_vector(
        self, tiers: Sequence[TierReader], query: Query, vector: NDArray[np.float32]
    ) -> list[Hit]:
        if query.limit == 0:
            return []
        probe = SimilarityQuery.to_vector(self._encoders, vector)
        found = candidates(tiers, query, probe, self._level)
        scores = probe.scores([entry for entry, _ in found])
        hits = [
            Hit(entry, tier, float(score))
            for (entry, tier), score in zip(found, scores, strict=True)
        ]
        return best(hits, query)


def _with_its_bias(vector: NDArray[np.float32], bias: float, narrowest: int) -> NDArray[np.float32]:
    """A vector times what makes it begin with the bias of its version, if a factor was lost."""
    if not bias or len(vector) == narrowest or not vector[0] > 0.0:
        return vector
    whole: NDArray[np.float64] = vector.astype(np.float64) * (bias / float(vector[0]))
    return whole.astype(np.float32) if np.abs(whole).max() < 1e30 else vector


def cosines(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of each row, of shape (n, dim), and a vector; 0 where one of them is nothing."""
    units = as_units(matrix).astype(np.float64)
    cosines: NDArray[np.float64] = (units * as_unit(vector).astype(np.float64)).sum(axis=1)
    return cosines.clip(-1.0, 1.0)
