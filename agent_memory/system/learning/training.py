"""Trains a version of the encoder with its code of contents, and registers both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import TrainingReport, train
from agent_memory.system.encoder_in_use import CurrentEncoder, highest_version_named
from agent_memory.system.learning.contents import ContentsReport, fit_contents, tolerances_of
from agent_memory.system.learning.gathering import Sample
from agent_memory.tiers.forgetting import Tiers
from agent_memory.values.progress import EpochProgress


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


def train_version(
    encoder: CurrentEncoder,
    tiers: Tiers,
    clock: Callable[[], float],
    sample: Sample,
    plan: Plan,
    *,
    name: str | None,
    contents: bool,
    progress: EpochProgress | None,
) -> TrainedEncoder:
    """Fit a version to a sample and register it; it is not active yet.

    Args:
        encoder: The encoder in use, which is the parent of the new version.
        tiers: The repositories, whose entries may name versions that are not registered.
        clock: Gives the time in seconds since 1970.
        sample: What to learn from.
        plan: How to train.
        name: The version's name.
        contents: Whether to fit a code of contents too.
        progress: Called with each epoch.
    """
    training = train(sample.states, plan, progress)
    metrics = {
        "report": training.report.to_dict(),
        "learned_from": {"runs": sample.learned_from},
    }
    code, contents_report = None, None
    if contents:
        code, contents_report = _fitted_code(encoder, training.encoder, sample)
        metrics["contents"] = contents_report.to_dict()
    version = encoder.versions.register(
        training.encoder.to_bytes(),
        kind=training.report.kept,
        at=clock(),
        name=name,
        parent=encoder.registry.current.version,
        above=highest_version_named(tiers),
        metrics=metrics,
        code=None if code is None else to_bytes(code),
        tolerances={
            one.path: one.model_dump(exclude={"path"}) for one in encoder.config.tolerances
        },
    )
    return TrainedEncoder(version, False, training.report, contents_report)


def _fitted_code(
    encoder: CurrentEncoder, fitted: FittedEncoder, sample: Sample
) -> tuple[ContentsCode, ContentsReport]:
    """The code of contents that belongs to an encoder, and what it does to such contents."""
    tolerances, default = tolerances_of(encoder.config.tolerances, encoder.declared_paths())
    return fit_contents(
        sample.states,
        sample.steps,
        tolerances,
        default,
        vectors=encoder.compression.resting(fitted, sample.states),
        parent=encoder.codes.current_code,
    )
