"""Fits an encoder to states, and keeps what a network learned only if it beats PCA.

The last part of the states, in their order, is held out: the encoder will meet states later than
those it has seen. Both versions are measured there, at the width of each tier; see ``Measured``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.features import Value, flatten
from agent_memory.embeddings.held_out import FEWEST, Bench, Measured, field_errors
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.resting import VectorDtype
from agent_memory.embeddings.schema_fitting import fit_schema_of
from agent_memory.embeddings.weights import Weights, principal_weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.values.progress import EpochProgress
from agent_memory.values.quoting import short_repr

LIFT = 2.0
"""The constant before each row, in root mean square lengths of the fitted rows."""

HELD_OUT = 0.2
"""The share of the states that is held out."""

MOST_FITTED = 50_000
"""Of more states than this, so many are taken."""

_MOST_MEASURED = 5_000
_LOSSLESS = 0.999
_SLACK = 0.0005  # by which an upper tier may fall short: five of 10,000 neighbours asked for
_BYTES: tuple[VectorDtype, ...] = ("int8",) * 3
_FAINT = (0.001, 0.01, 0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class LevelReport:
    """One tier, and what was compared there.

    Attributes:
        width: Numbers in a vector.
        pca: PCA, its vectors as they rest in that tier.
        learned: The network, where one was trained.
        pca_int8: PCA with a byte a number, whatever the tier.
        learned_int8: The network with a byte a number.
        features_int8: No code at all, but the scaled features with a byte each; None where they
            are more than fit the width.
    """

    width: int
    pca: Measured
    learned: Measured | None
    pca_int8: Measured | None = None
    learned_int8: Measured | None = None
    features_int8: Measured | None = None


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came of a training.

    Attributes:
        kept: Which version the encoder is.
        reason: Why, in a sentence.
        levels: Short-term, intermediate and long-term memory; empty with too few states.
        fitted: How many states were learned from.
        held_out: How many were measured on.
        losses: One number an epoch, by name; empty if no network was trained.
        epoch: Whose weights the network has, from 1: the best where that was watched, else the
            last; 0 if none was trained.
    """

    kept: Literal["pca", "learned"]
    reason: str
    levels: tuple[LevelReport, ...]
    fitted: int
    held_out: int
    losses: Mapping[str, Sequence[float]]
    epoch: int = 0

    __repr__ = short_repr()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, numbers and texts, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Training:
    """A fitted encoder and the report of how it was chosen."""

    encoder: FittedEncoder
    report: TrainingReport


def train(
    states: Iterable[object], plan: Plan | None = None, progress: EpochProgress | None = None
) -> Training:
    """Fit an encoder.

    Args:
        states: In the order of time; of more than 50,000 as many are taken, evenly spaced.
        plan: How to train.
        progress: Called after each epoch: its number from 1, how many there are, and its losses.

    Raises:
        InvalidEntry: There are no states, or one is none.
        ConfigError: torch is not installed, and a network is to be trained.
    """
    plan = plan or Plan()
    flats = _evenly([flatten(state) for state in states])
    if not flats:
        raise InvalidEntry("states: at least one is needed to train on")
    held = int(len(flats) * HELD_OUT)
    held = held if held >= FEWEST else 0
    fitted, later = flats[: len(flats) - held], flats[len(flats) - held :]
    schema = fit_schema_of(fitted)
    rows = schema.rows_of(fitted)
    pca = principal_weights(rows, plan.widths, LIFT)
    sample = schema.rows_of(later[:: -(-held // _MOST_MEASURED) or 1])
    bench = Bench(sample, plan.widths, plan.dtype)
    by_pca = bench.measure(pca)
    learned: Weights | None = None
    losses: dict[str, list[float]] = {}
    # What a byte a number costs where vectors rest is no fault of PCA.
    in_full = bench.measure(pca, ("float32",) * 3)
    lossless = all(min(level.r2, level.recall) >= _LOSSLESS for level in in_full)
    if plan.network and rows.size and (plan.always or (by_pca and not lossless)):
        learned, losses = _learned(rows, pca, plan, progress)
    by_network = bench.measure(learned) if learned else ()
    kept, reason = _verdict(by_pca, by_network, lossless, plan.network)
    weights = learned if learned is not None and kept == "learned" else pca
    encoder = FittedEncoder(plan.widths, schema, weights, input_dim=plan.input_dim)
    encoder = replace(encoder, errors=field_errors(encoder, later or fitted, plan.dtype))
    levels = _levels(bench, plan.widths, (pca, by_pca), (learned, by_network))
    report = TrainingReport(
        kept, reason, levels, len(fitted), len(later), losses, _best_epoch(losses)
    )
    return Training(encoder, report)


def _levels(
    bench: Bench,
    widths: Widths,
    pca: tuple[Weights, Sequence[Measured]],
    learned: tuple[Weights | None, Sequence[Measured]],
) -> tuple[LevelReport, ...]:
    """What was compared at each width; nothing where there was too little to compare on."""
    if not bench.measurable:
        return ()
    nothing = (None,) * len((*widths,))
    network, by_network = learned
    columns = (
        widths,
        pca[1],
        by_network or nothing,
        bench.measure(pca[0], _BYTES),
        nothing if network is None else bench.measure(network, _BYTES),
        bench.features(pca[0].constant),
    )
    return tuple(LevelReport(*of_level) for of_level in zip(*columns, strict=True))


def _best_epoch(losses: Mapping[str, Sequence[float]]) -> int:
    watched = losses.get("validation_loss")
    return 1 + int(np.argmin(watched)) if watched else len(losses.get("loss", ()))


def _evenly(flats: list[dict[str, Value]]) -> list[dict[str, Value]]:
    if len(flats) <= MOST_FITTED:
        return flats
    return [flats[place] for place in np.linspace(0, len(flats) - 1, MOST_FITTED, dtype=int)]


def _learned(
    rows: NDArray[np.float64], pca: Weights, plan: Plan, progress: EpochProgress | None
) -> tuple[Weights, dict[str, list[float]]]:
    # torch takes 3 s to import, which only a training is worth, and may not be installed.
    try:
        from agent_memory.embeddings import autoencoder_fitting  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError(
            "training a network needs torch: pip install 'agent-memory[train]'; "
            "PCA alone does without it (network=False)"
        ) from error
    # The code takes the place of the first components, whose room the others take.
    room = plan.widths.stm - 1 - plan.widths.code
    parts = np.hstack([pca.code_in, pca.directions])[:, :room]
    start = replace(pca, directions=np.ascontiguousarray(parts))
    weights, losses = autoencoder_fitting.fit_autoencoder(rows, start, plan, progress)
    return _with_faintness(weights, rows, plan), losses


def _with_faintness(weights: Weights, rows: NDArray[np.float64], plan: Plan) -> Weights:
    """Choose how faint the code is in the upper tiers: by what finds most neighbours."""
    bench = Bench(rows[:: -(-len(rows) // 2_000)], plan.widths, plan.dtype)
    if plan.widths.im == plan.widths.ltm or not bench.measurable:
        return weights
    choices = [replace(weights, faintness=faintness) for faintness in _FAINT]
    recalls = [sum(level.recall for level in bench.measure(choice)[:2]) for choice in choices]
    return choices[int(np.argmax(recalls))]


def _verdict(
    pca: Sequence[Measured], learned: Sequence[Measured], lossless: bool, asked: bool
) -> tuple[Literal["pca", "learned"], str]:
    if not pca:
        return "pca", "there are too few states to hold some out and compare"
    if not asked:
        return "pca", "no network was asked for"
    if not learned:
        return "pca", "PCA loses nothing at any width, so no network was trained"
    if lossless:
        return "pca", "PCA loses nothing at any width"
    for name, one, other in zip(("short-term", "intermediate"), pca, learned, strict=False):
        if other.r2 < one.r2 - _SLACK or other.recall < one.recall - _SLACK:
            return "pca", f"the network is worse than PCA for {name} memory"
    if learned[-1].r2 > pca[-1].r2 and learned[-1].recall > pca[-1].recall:
        return "learned", "the network beats PCA in R2 and recall where vectors are narrowest"
    return "pca", "the network does not beat PCA in both R2 and recall for long-term memory"
