"""The encoder of a memory, as its users see it: train, activate, re-encode, reconstruct."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from agent_memory.embeddings.encoder import Encoder, FittedEncoder, Reconstruction
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import MOST_FITTED
from agent_memory.errors import ConfigError, EntryConflict, InvalidEntry, StoreReadOnly
from agent_memory.repositories.sql.encoders import EncoderRecord
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.system.learning.fidelity import Fidelity, measure
from agent_memory.system.learning.gathering import (
    Sample,
    sample_of_entries,
    sample_of_states,
    stored_entries,
)
from agent_memory.system.learning.own_recall import OwnRecall, measure_own
from agent_memory.system.learning.reencoding import Recoded, Reencoded, recode, reencode
from agent_memory.system.learning.removal import refuse_if_needed
from agent_memory.system.learning.training import TrainedEncoder, train_version
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.values.calls import explains_calls
from agent_memory.values.checks import checked_version
from agent_memory.values.embedder import checked_space
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.identity import checked_encoder_name, checked_run_ids
from agent_memory.values.progress import EntriesProgress, EpochProgress
from agent_memory.values.quoting import quoted


@explains_calls()
class Encoders:
    """The versions of a memory's encoder.

    Args:
        run_id: The run that is learned from unless others are named.
        encoder: The encoder in use.
        tiers: The repositories, richest tier first.
        intake: Where entries wait for short-term memory.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        run_id: str,
        encoder: CurrentEncoder,
        tiers: Tiers,
        intake: Intake,
        clock: Callable[[], float],
    ) -> None:
        self._run_id = run_id
        self._encoder = encoder
        self._tiers = tiers
        self._intake = intake
        self._clock = clock

    def __repr__(self) -> str:
        return f"Encoders(run={quoted(self._run_id)}, version {self.current})"

    @property
    def current(self) -> int:
        """The version that this process encodes new entries with.

        Another process may have activated another: ``maintain`` finds out.
        """
        return self._encoder.registry.current.version

    @property
    def own(self) -> int | None:
        """The version that stands for the embedder's vectors; None before the first is stored.

        Without an embedder, that of vectors that were given without a name.
        """
        spaces = self._encoder.spaces
        found = spaces.find(spaces.name)
        return None if found is None else found[0]

    def versions(self) -> list[EncoderRecord]:
        """All versions by number: 0, those that are registered, those that entries of LTM name."""
        return self._encoder.versions.records()

    def train(
        self,
        states: Iterable[object] | None = None,
        *,
        runs: Sequence[str] | None = None,
        network: bool = True,
        epochs: int | None = None,
        seed: int = 0,
        name: str | None = None,
        activate: bool = True,
        contents: bool = True,
        progress: EpochProgress | None = None,
    ) -> TrainedEncoder:
        """Fit a version of the encoder, and register the better of the network and PCA.

        Both are measured on the latest fifth of the states, which neither has seen: R2 and
        recall@10 at the width of each tier. Entries that are stored keep their vectors, and are
        found as before; ``reencode`` gives them vectors of the new version.

        Args:
            states: What to learn from, in the order of time; None: the stored entries, of every
                tier, agent and type.
            runs: Of which runs, where no states are given; None: of this one.
            network: Whether to train a network, which needs torch; else PCA is registered.
            epochs: Passes of the network over the states; None: the configuration's.
            seed: The same seed and states give the same version on one machine.
            name: For people; no two versions have the same.
            activate: Whether new entries are encoded with it from now on.
            contents: Whether to fit a code of contents too: what moves down is then kept within
                the tolerances of the configuration. False: contents stay exact.
            progress: Called with each epoch: its number from 1, how many there are, its losses.

        Raises:
            InvalidEntry: There are no states, or one is none; or ``runs`` or ``name`` is no such.
            ConfigError: torch is not installed, or a number is not above 0; or the configuration
                says which version to encode with, and ``activate`` is not False.
            EntryConflict: The name is taken. Nothing was trained.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer.
        """
        self._check_writable("nothing was trained")
        self._check_untaken(name)
        if activate:
            self._check_activation()
        plan = replace(Plan.of(self._encoder.config.autoencoder_config, seed), network=network)
        if epochs is not None:
            plan = replace(plan, epochs=epochs)
        trained = train_version(
            *(self._encoder, self._tiers, self._clock, self._sample(states, runs), plan),
            name=name,
            contents=contents,
            progress=progress,
        )
        if activate:
            self.activate(trained.version)
        return replace(trained, active=self.current == trained.version)

    def _sample(self, states: Iterable[object] | None, runs: Sequence[str] | None) -> Sample:
        """What to learn from: given states, or stored entries."""
        if states is not None:
            checked_run_ids([] if runs is None else runs)
            return sample_of_states(states)
        wanted = [self._run_id] if runs is None else checked_run_ids(runs)
        return sample_of_entries(self._tiers, wanted, MOST_FITTED)

    def activate(self, version: int) -> None:
        """Encode new entries with a version, here at once, in other processes at their upkeep.

        Args:
            version: Its number; 0 is the one that needs no training.

        Raises:
            InvalidEntry: It is no number of a version.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged; what was active stays so.
            ConfigError: The configuration says which one to encode with, or it stands for vectors
                of a model of your own.
            StoreReadOnly: The memory was opened read-only.
        """
        self._check_writable("nothing was activated")
        self._check_activation()
        version = checked_version(version)
        self._check_is_encoder(self._encoder.registry.sought(version), version)
        self._encoder.versions.activate(version)
        self._encoder.registry.use(version)
        self._encoder.use_code(version)

    def reencode(
        self,
        version: int | None = None,
        *,
        runs: Sequence[str] | None = None,
        progress: EntriesProgress | None = None,
        replace_own: bool = False,
    ) -> Reencoded:
        """Give entries that another version encoded vectors of this one, in every tier.

        It may be stopped at any moment and called again, which goes on where it was. Meanwhile
        entries of both versions are found.

        Args:
            version: The version; None: the current one. That of an embedder (``own``) gives a
                vector of it to all that have a text for it.
            runs: Of which runs; None: of all.
            progress: Called with each batch: entries dealt with, and how many there are.
            replace_own: Whether a version of the encoder also takes the place of vectors of your
                own models, which else stay.

        Returns:
            What came of it. An entry that another process was moving down meanwhile may arrive
            with the vector it was read with; the next call finds it.

        Raises:
            InvalidEntry: ``version`` is no number of one, or ``runs`` is no list of runs.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
            ConfigError: The version is of an embedder that the memory was not opened with.
            EmbedderError: The embedder fails; what was done stays done.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer; what was done stays done.
        """
        self._check_writable("nothing was re-encoded")
        tiers = self._tiers
        version = self.current if version is None else checked_version(version)
        space = self._encoder.registry.sought(version)
        kept: Sequence[int] = ()
        if isinstance(space, OwnSpace):
            space.required_embedder()
        elif not replace_own:
            kept = [*self._encoder.versions.own()]
        if runs is None:
            runs = sorted({run_id for tier in tiers for run_id in tier.runs()})
        else:
            runs = checked_run_ids(runs)
        return reencode(tiers, self._encoder.compression, version, runs, progress, kept)

    def recode(
        self, *, runs: Sequence[str] | None = None, progress: EntriesProgress | None = None
    ) -> Recoded:
        """Code the contents of long-term memory with the code of the current version.

        What was exact there is within that code's bounds from then on, and smaller; what an
        earlier code had put on lattices that this one has too keeps its numbers; other contents
        stay as they are. It may be stopped at any moment and called again.

        Args:
            runs: Of which runs; None: of all.
            progress: Called with each batch: entries dealt with, and how many there are.

        Raises:
            InvalidEntry: ``runs`` is no list of runs.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: Long-term memory does not answer; what was done stays done.
        """
        self._check_writable("nothing was recoded")
        ltm = self._tiers[2]
        return recode(ltm, sorted(ltm.runs()) if runs is None else checked_run_ids(runs), progress)

    def remove(self, version: int) -> None:
        """Remove a version that no entry needs any more; its number is not given again.

        Raises:
            EncoderNotFound: It is not registered.
            EncoderInUse: New entries are encoded with it, or entries in some tier or the spool
                have its vectors or contents in its code; the message says how many, and what to
                do.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier or the spool does not answer.
        """
        self._check_writable("nothing was removed")
        version = checked_version(version)
        # First of all what the caller can mend at once; it is checked once more when it is removed.
        self._encoder.versions.check_removable(version)
        refuse_if_needed(version, self._tiers, self._intake)
        self._encoder.versions.remove(version)

    def fidelity(
        self, version: int | None = None, *, runs: Sequence[str] | None = None, most: int = 2_000
    ) -> Fidelity:
        """Measure what a version makes of what is in short-term memory, and whether it drifts.

        Args:
            version: The version; None: the current one.
            runs: Of which runs; None: this system's.
            most: How many memories at most.

        Raises:
            InvalidEntry: A number or list has no meaning.
            ConfigError: The version stands for vectors of a model of your own.
            EncoderNotFound: The version is not registered.
            EncodingError: What is registered is damaged.
            StoreUnavailable: A tier does not answer.
        """
        _checked_most(most)
        version = self.current if version is None else checked_version(version)
        encoder = self._encoder.registry.sought(version)
        self._check_is_encoder(encoder, version)
        wanted = [self._run_id] if runs is None else checked_run_ids(runs)
        entries = stored_entries(self._tiers[:1], wanted, most)
        states = [entry.contents for entry in entries]
        vectors = self._encoder.compression.resting(encoder, states)
        fitted = encoder if isinstance(encoder, FittedEncoder) else None
        return measure(version, entries, fitted, vectors, self._encoder.codes.found(version))

    def own_recall(
        self, name: str | None = None, *, runs: Sequence[str] | None = None, most: int = 2_000
    ) -> OwnRecall:
        """Measure what long-term memory finds among vectors of a model of your own.

        On those that are still in full, in short-term and intermediate memory.

        Args:
            name: What the model is called; None: the embedder, or "own" without one.
            runs: Of which runs; None: this system's.
            most: How many memories at most.

        Raises:
            InvalidEntry: A number or list has no meaning, or nothing is stored of that name.
            StoreUnavailable: A tier does not answer.
        """
        spaces, config = self._encoder.spaces, self._encoder.config
        found = spaces.find(spaces.name if name is None else checked_space(name))
        if found is None:
            raise InvalidEntry(f"no vectors of {spaces.name if name is None else name!r} are here")
        wanted = [self._run_id] if runs is None else checked_run_ids(runs)
        entries = stored_entries(self._tiers[:2], wanted, _checked_most(most))
        levels = {
            Tier.STM: 0,
            Tier.IM: config.im_config.compression_level,
            Tier.LTM: config.ltm_config.compression_level,
        }
        return measure_own(*found, entries, config.autoencoder_config.vector_dtype, levels)

    def reconstruct(self, given: MemoryEntry | Sequence[float] | NDArray[Any]) -> Reconstruction:
        """Decode the vector of a memory to a state, and tell how far to trust it.

        Beside it stands what is kept of an entry's contents, with its bounds.

        Args:
            given: An entry, whose vector says which version made it; or a vector of any tier,
                made by the current version.

        Raises:
            InvalidEntry: The entry has no vector, or no tier has vectors of that width.
            ConfigError: The version that made it needs no training, or a model of your own made
                it: it cannot be decoded.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
        """
        if not isinstance(given, MemoryEntry):
            version, vector = self.current, given
        elif given.embedding is None or given.encoder_version is None:
            raise InvalidEntry(f"entry {given.memory_id} has no vector to decode")
        else:
            version, vector = given.encoder_version, given.embedding
        encoder = self._encoder.registry.sought(version)
        self._check_is_encoder(encoder, version)
        if not isinstance(encoder, FittedEncoder):
            raise ConfigError(
                f"vectors of version {version} cannot be decoded; train an encoder "
                "(train_encoder) and re-encode what is stored (encoders.reencode)"
            )
        rebuilt = encoder.reconstruct(vector)
        if not isinstance(given, MemoryEntry):
            return rebuilt
        return replace(rebuilt, contents=given.contents, bounds=given.error_bounds or {})

    @staticmethod
    def _check_is_encoder(encoder: Encoder, version: int) -> None:
        if isinstance(encoder, OwnSpace):
            raise ConfigError(
                f"version {version} stands for the vectors of a model of your own, "
                f"{encoder.name!r}: it encodes what is stored where the memory is opened with that "
                "embedder, and its vectors cannot be decoded"
            )

    def _check_activation(self) -> None:
        config = self._encoder.config.autoencoder_config
        if not config.use_neural_embeddings or config.model_path is not None:
            raise ConfigError(
                "autoencoder_config says which encoder to use: leave model_path and "
                "use_neural_embeddings at their defaults to choose one here, or train with "
                "activate=False"
            )

    def _check_untaken(self, name: object) -> None:
        if name is None:
            return
        taken = self._encoder.versions.named(checked_encoder_name(name))
        if taken is not None:
            raise EntryConflict(f"version {taken} of the encoder is called {name!r} already")

    def _check_writable(self, consequence: str) -> None:
        if self._encoder.read_only:
            raise StoreReadOnly(f"the memory was opened read-only; {consequence}")


def _checked_most(most: object) -> int:
    """Return how many memories are measured at most.

    Raises:
        InvalidEntry: It is no whole number above 0.
    """
    if type(most) is not int or most < 1:
        raise InvalidEntry(f"most: a number of memories from 1 on is needed, not {most!r:.80}")
    return most
