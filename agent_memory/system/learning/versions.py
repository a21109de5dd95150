"""The encoder of a memory, as its users see it: train, activate, encode anew, reconstruct."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.embeddings.encoder import FittedEncoder, Reconstruction
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import MOST_FITTED, TrainingReport, train
from agent_memory.errors import (
    ConfigError,
    EncoderInUse,
    EntryConflict,
    InvalidEntry,
    MemoryStoreError,
    StoreReadOnly,
)
from agent_memory.repositories.sql.encoders import EncoderRecord
from agent_memory.system.learning.contents import ContentsReport, fit_contents, tolerances_of
from agent_memory.system.learning.fidelity import Fidelity, measure
from agent_memory.system.learning.gathering import agents_of, remembered
from agent_memory.system.learning.reencoding import Recoded, Reencoded, recode, reencode
from agent_memory.system.resources import Resources
from agent_memory.values.checks import checked_version
from agent_memory.values.contents import as_contents
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.identity import checked_encoder_name, checked_run_ids
from agent_memory.values.progress import EntriesProgress, EpochProgress
from agent_memory.values.quoting import quoted


class _Sample(NamedTuple):
    """What is learned from, in the order of time."""

    states: list[Any]
    steps: list[int]
    learned_from: dict[str, list[str]]
    """Whose memories they are, by run; nobody noted whose given ones are."""


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """What came of a training.

    Attributes:
        version: The number that it is registered under.
        active: Whether new entries are encoded with it.
        report: What was compared, and which was kept.
        contents: What the code of contents does that was fitted with it; None: there is none.
    """

    version: int
    active: bool
    report: TrainingReport
    contents: ContentsReport | None = None


class Encoders:
    """The versions of a memory's encoder.

    Args:
        resources: What is open.
        run_id: The run that is learned from unless others are named.
    """

    def __init__(self, resources: Resources, run_id: str) -> None:
        self._resources = resources
        self._run_id = run_id

    @property
    def current(self) -> int:
        """The version that this process encodes new entries with.

        Another process may have activated another: ``maintain`` takes notice of it.
        """
        return self._resources.encoders.current.version

    def versions(self) -> list[EncoderRecord]:
        """All versions by number: 0, those that are registered, those that entries of LTM name."""
        return self._resources.versions.records()

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
            states: What to learn from, in the order of time; None: what is remembered, of every
                tier, agent and type.
            runs: Of which runs, where no states are given; None: of this one.
            network: Whether to train a network, which needs torch; else PCA is registered.
            epochs: Passes of the network over the states; None: the configuration's.
            seed: The same seed and states give the same version on one machine.
            name: For people; no two versions have the same.
            activate: Whether new entries are encoded with it from now on.
            contents: Whether to fit a code of contents too: what moves down is then kept within
                the tolerances of the configuration. False: contents stay exact.
            progress: Told of each epoch: its number from 1, how many there are, its losses.

        Raises:
            InvalidEntry: There are no states, or one is none; or ``runs`` or ``name`` is no such.
            ConfigError: torch is not installed, or a number is not above 0; or the configuration
                says which version to encode with, and ``activate`` is not False.
            EntryConflict: The name is taken. Nothing was trained.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer.
        """
        self._check_writable("nothing was trained")
        resources = self._resources
        self._check_untaken(name)
        if activate:
            self._check_activation()
        sample = self._sample(states, runs)
        plan = replace(Plan.of(resources.config.autoencoder_config, seed), network=network)
        if epochs is not None:
            plan = replace(plan, epochs=epochs)
        training = train(sample.states, plan, progress)
        metrics = {
            "report": training.report.to_dict(),
            "learned_from": {"runs": sample.learned_from},
        }
        code, contents_report = None, None
        if contents:
            code, contents_report = self._fitted_code(training.encoder, sample)
            metrics["contents"] = contents_report.to_dict()
        version = resources.versions.register(
            training.encoder.to_bytes(),
            kind=training.report.kept,
            at=resources.clock(),
            name=name,
            parent=self.current,
            above=resources.highest_version_named(),
            metrics=metrics,
            code=None if code is None else to_bytes(code),
            tolerances={
                one.path: one.model_dump(exclude={"path"}) for one in resources.config.tolerances
            },
        )
        if activate:
            self.activate(version)
        active = self.current == version
        return TrainedEncoder(version, active, training.report, contents_report)

    def _sample(self, states: Iterable[object] | None, runs: Sequence[str] | None) -> _Sample:
        """What to learn from: given states, or what is remembered."""
        if states is not None:
            checked_run_ids([] if runs is None else runs)
            given = _listed(states)
            return _Sample(given, [0] * len(given), {})
        tiers = self._resources.tiers
        wanted = [self._run_id] if runs is None else checked_run_ids(runs)
        agents = {run: agents_of(tiers, run) for run in wanted}
        entries = remembered(tiers, wanted, MOST_FITTED)
        return _Sample(
            [entry.contents for entry in entries], [entry.step_number for entry in entries], agents
        )

    def _fitted_code(
        self, encoder: FittedEncoder, sample: _Sample
    ) -> tuple[ContentsCode, ContentsReport]:
        """The code of contents that belongs to an encoder, and what it does to such contents."""
        resources = self._resources
        told, default = tolerances_of(resources.config.tolerances, resources.declared_paths())
        return fit_contents(
            [*map(as_contents, sample.states)],
            sample.steps,
            told,
            default,
            vectors=resources.compression.resting(encoder, sample.states),
            parent=resources.codes.current_code,
        )

    def activate(self, version: int) -> None:
        """Encode new entries with a version, here at once, in other processes at their upkeep.

        Args:
            version: Its number; 0 is the one that needs no training.

        Raises:
            InvalidEntry: It is no number of a version.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged; what was active stays so.
            ConfigError: The configuration says which one to encode with.
            StoreReadOnly: The memory was opened read-only.
        """
        self._check_writable("nothing was activated")
        self._check_activation()
        version = checked_version(version)
        self._resources.encoders.sought(version)
        self._resources.versions.activate(version)
        self._resources.encoders.use(version)
        self._resources.use_code(version)

    def reencode(
        self,
        version: int | None = None,
        *,
        runs: Sequence[str] | None = None,
        progress: EntriesProgress | None = None,
    ) -> Reencoded:
        """Give entries that another version encoded vectors of this one, in every tier.

        It may be stopped at any moment and called again, which goes on where it was. Meanwhile
        entries of both versions are found.

        Args:
            version: The version; None: the current one.
            runs: Of which runs; None: of all.
            progress: Told of each batch: entries dealt with, and how many there are.

        Returns:
            What came of it. An entry that another process was moving down meanwhile may arrive
            with the vector it was read with; the next call finds it.

        Raises:
            InvalidEntry: ``version`` is no number of one, or ``runs`` is no list of runs.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer; what was done stays done.
        """
        self._check_writable("nothing was encoded anew")
        tiers = self._resources.tiers
        version = self.current if version is None else checked_version(version)
        self._resources.encoders.sought(version)
        if runs is None:
            runs = sorted({run_id for tier in tiers for run_id in tier.runs()})
        else:
            runs = checked_run_ids(runs)
        return reencode(tiers, self._resources.compression, version, runs, progress)

    def recode(
        self, *, runs: Sequence[str] | None = None, progress: EntriesProgress | None = None
    ) -> Recoded:
        """Code the contents of long-term memory with the code of the current version.

        What was exact there is within that code's bounds from then on, and smaller; what an
        earlier code had put on lattices that this one has too keeps its numbers; other contents
        stay as they are. It may be stopped at any moment and called again.

        Args:
            runs: Of which runs; None: of all.
            progress: Told of each batch: entries dealt with, and how many there are.

        Raises:
            InvalidEntry: ``runs`` is no list of runs.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: Long-term memory does not answer; what was done stays done.
        """
        self._check_writable("nothing was coded anew")
        ltm = self._resources.ltm
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
        # First told what can be mended at once; whether it is so still is looked at once more.
        self._resources.versions.check_removable(version)
        # In the direction that entries move, lest one on its way be missed.
        waiting = [entry.encoder_version for _, entry in self._resources.intake.spooled()]
        needed = {"spool": (waiting.count(version), 0)} | {
            repository.tier.name: (
                repository.encodings.versions().get(version, 0),
                repository.encodings.code_versions().get(version, 0),
            )
            for repository in self._resources.tiers
        }
        if any(map(any, needed.values())):
            told = "; ".join(
                f"{name}: {vectors} vectors, contents of {contents}"
                for name, (vectors, contents) in needed.items()
                if vectors or contents
            )
            raise EncoderInUse(
                f"version {version} of the encoder is needed by entries ({told}): encode them anew "
                "first (encoders.reencode(), encoders.recode()), those in the spool once they are "
                "stored (maintain()); contents that lie on lattices of its own need it for as long "
                "as they are kept"
            )
        self._resources.versions.remove(version)

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
            EncoderNotFound: The version is not registered.
            EncodingError: What is registered is damaged.
            StoreUnavailable: A tier does not answer.
        """
        if type(most) is not int or most < 1:
            raise InvalidEntry(f"most: a number of memories from 1 on is needed, not {most!r:.80}")
        resources = self._resources
        version = self.current if version is None else checked_version(version)
        encoder = resources.encoders.sought(version)
        wanted = [self._run_id] if runs is None else checked_run_ids(runs)
        entries = remembered([resources.stm], wanted, most)
        vectors = resources.compression.resting(encoder, [one.contents for one in entries])
        fitted = encoder if isinstance(encoder, FittedEncoder) else None
        return measure(version, entries, fitted, vectors, resources.codes.found(version))

    def reconstruct(self, given: MemoryEntry | Sequence[float] | NDArray[Any]) -> Reconstruction:
        """Decode the vector of a memory to a state, and tell how far to trust it.

        Beside it stands what is kept of an entry's contents, with its bounds.

        Args:
            given: An entry, whose vector says which version made it; or a vector of any tier,
                made by the current version.

        Raises:
            InvalidEntry: The entry has no vector, or no tier has vectors of that width.
            ConfigError: The version that made it needs no training, and cannot be decoded.
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
        """
        if not isinstance(given, MemoryEntry):
            version, vector = self.current, given
        elif given.embedding is None or given.encoder_version is None:
            raise InvalidEntry(f"entry {given.memory_id} has no vector to decode")
        else:
            version, vector = given.encoder_version, given.embedding
        encoder = self._resources.encoders.sought(version)
        if not isinstance(encoder, FittedEncoder):
            raise ConfigError(
                f"vectors of version {version} cannot be decoded; train an encoder "
                "(train_encoder) and encode what is stored anew (encoders.reencode)"
            )
        rebuilt = encoder.reconstruct(vector)
        if not isinstance(given, MemoryEntry):
            return rebuilt
        return replace(rebuilt, contents=given.contents, bounds=given.error_bounds or {})

    def _check_activation(self) -> None:
        config = self._resources.config.autoencoder_config
        if not config.use_neural_embeddings or config.model_path is not None:
            raise ConfigError(
                "autoencoder_config says which encoder to use: leave model_path and "
                "use_neural_embeddings at their defaults to choose one here, or train with "
                "activate=False"
            )

    def _check_untaken(self, name: object) -> None:
        if name is None:
            return
        taken = self._resources.versions.named(checked_encoder_name(name))
        if taken is not None:
            raise EntryConflict(f"version {taken} of the encoder is called {name!r} already")

    def _check_writable(self, consequence: str) -> None:
        if self._resources.read_only:
            raise StoreReadOnly(f"the memory was opened read-only; {consequence}")


def _listed(states: Iterable[object]) -> list[object]:
    try:
        return list(states)
    except MemoryStoreError:
        raise  # of what its caller reads them from
    except Exception as error:
        raise InvalidEntry(
            f"states: some are needed, not {quoted(states)} ({type(error).__name__})"
        ) from error
