"""Trains the network: its loss, its batches, and when to stop; in torch.

The loss is the share of variance that decoding loses at each level, and a term of stress (Kruskal,
*Multidimensional scaling by optimizing goodness of fit*, Psychometrika 29, 1964) that keeps the
distance of pairs, half of them near neighbours: ``((d_x - d_z) / (d_x + 0.5))^2``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent_memory.embeddings.autoencoder import StateAutoencoder
from agent_memory.embeddings.early_stopping import EarlyStopping
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.weights import Weights
from agent_memory.errors import InvalidEntry
from agent_memory.values.progress import EpochProgress

LEVELS = ("stm", "im", "ltm")

WATCHED_LOSS = "validation_loss"

# To the share of variance lost. Ant, 32 bytes, of .5, 2, 8 and 30: R2 .955, .952, .948, .941 and
# recall@10 .69, .82, .84, .85.
_STRESS = 1.5
_DECAY = 0.3  # of weights; with .0001 states of later times are decoded worse
_WATCHED = 0.1  # share of the rows, the latest, that says when to stop
_FEWEST_WATCHED = 50  # by fewer the best epoch is one of luck
_MOST_WATCHED = 1_000
_NEIGHBOURS = 10
_NEIGHBOURHOOD = 4096  # rows among which neighbours are looked for
_CODE_STEPS = 127.0  # of an int8, half a step of which is added as noise


def fit_autoencoder(
    rows: NDArray[Any],
    start: Weights,
    plan: Plan,
    progress: EpochProgress | None = None,
) -> tuple[Weights, dict[str, list[float]]]:
    """Train a network on rows.

    Args:
        rows: Centred, in the order of time, of shape (n, d); n and d at least 1.
        start: The weights of PCA.
        plan: How to train; where its ``input_dim`` is above d, zeros follow each row.
        progress: Called after each epoch.

    Returns:
        The weights of the best epoch, and one number an epoch of "loss", "stm_loss", "im_loss"
        and "ltm_loss": the last three are shares of the rows' variance that decoding loses at
        that level, the first is what was minimised, their sum and the stress. With 500 rows or
        more the last tenth is not learned from but watched: its "validation_loss" says which
        epoch is the best, and ends the training when it has not fallen for long.

    Raises:
        InvalidEntry: The loss became infinite, as with far too high a learning rate.
    """
    columns = rows.shape[1]
    width = max(columns, plan.input_dim)
    widths = plan.widths
    model = StateAutoencoder(
        width, widths.stm, widths.im, widths.ltm, plan.hidden_layers, seed=plan.seed
    )
    model.start_from(start)
    x = torch.zeros(len(rows), width)
    x[:, :columns] = torch.from_numpy(np.asarray(rows, np.float32))
    with _one_thread():
        losses = _fit(model, x, plan, progress)
    weights = model.weights(columns)
    if not all(np.isfinite(array).all() for layer in weights.coder for array in layer):
        raise InvalidEntry("learning_rate: the training diverged; choose a lower one")
    return replace(weights, directions=start.directions), losses


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one core: a second one gains a tenth, and costs tenfold where it is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(
    model: StateAutoencoder, x: Tensor, plan: Plan, progress: EpochProgress | None
) -> dict[str, list[float]]:
    random = torch.Generator().manual_seed(plan.seed + 1)
    held, watched = _watched(x)
    stopping = EarlyStopping[dict[str, Tensor]](plan.epochs)
    x = x[: len(x) - held]
    near = _neighbours(x, random)
    batches = -(-len(x) // plan.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), plan.learning_rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.epochs * batches + 1
    )
    with torch.no_grad():
        variance = x.square().sum(dim=1).mean().clamp_min(1e-12)
        noise = model.code(x).std(dim=0, correction=0) * 4.0 / _CODE_STEPS
    names = ("loss", *(f"{level}_loss" for level in LEVELS))
    losses: dict[str, list[float]] = {name: [] for name in names}
    for epoch in range(1, plan.epochs + 1):
        sums = torch.zeros(len(names))
        for batch in torch.randperm(len(x), generator=random).split(plan.batch_size):  # type: ignore[no-untyped-call]  # torch's own
            parts = _losses(model, *_paired(x, batch, near, random), variance, noise, random)
            optimizer.zero_grad()
            parts[0].backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
            schedule.step()
            sums += parts.detach() * (len(batch) / len(x))
        if not torch.isfinite(sums).all():
            raise InvalidEntry("learning_rate: the training diverged; choose a lower one")
        latest = dict(zip(names, sums.tolist(), strict=True))
        for name, value in latest.items():
            losses[name].append(value)
        if progress is not None:
            progress(epoch, plan.epochs, latest)
        if held and stopping.is_over(_loss(model, watched, variance), lambda: _state(model)):
            break
    if stopping.best is not None:
        model.load_state_dict(stopping.best)
        losses[WATCHED_LOSS] = stopping.losses
    return losses


def _watched(x: Tensor) -> tuple[int, Tensor]:
    """How many of the latest rows are not learned from, and a sample of them; 0 where few.

    Each row of the sample's second half is a near neighbour of one of the first.
    """
    held = int(len(x) * _WATCHED)
    if held < _FEWEST_WATCHED:
        return 0, x[:0]
    rows = x[len(x) - held :][:: -(-held // _MOST_WATCHED)]
    near = _neighbours(rows, torch.Generator().manual_seed(0))
    return held, torch.cat([rows, rows[near[:, 0]]])


def _loss(model: StateAutoencoder, rows: Tensor, variance: Tensor) -> float:
    with torch.no_grad():
        return float(_losses(model, rows, _others(len(rows)), variance)[0])


def _state(model: StateAutoencoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _paired(
    x: Tensor, batch: Tensor, near: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Half the rows of a batch, each followed by a neighbour, and with whom each is compared."""
    half = batch[: max(len(batch) // 2, 1)]
    choice = torch.randint(near.shape[1], (len(half),), generator=random)
    return x[torch.cat([half, near[half, choice]])], _others(2 * len(half))


def _others(count: int) -> Tensor:
    """Whom rows are compared with: the first half with its neighbours, the second at random."""
    places, half = torch.arange(count), count // 2
    return torch.cat([places.roll(half)[:half], places[half:].roll(1)])


def _losses(
    model: StateAutoencoder, rows: Tensor, others: Tensor, variance: Tensor,
    noise: Tensor | None = None, random: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """What is minimised, and the loss at each level, of shape (4,)."""
    code = model.code(rows)
    blurred = code
    if noise is not None:
        blurred = code + (torch.rand(code.shape, generator=random) - 0.5) * noise
    wrong = model.decode_code(blurred) - rows
    whole = wrong.square().sum(dim=1)
    # Where there are components too what they say is right: they are orthonormal, or zero.
    right = (wrong @ model.directions[:, : model.components]).square()
    lost = [
        (whole - right[:, : model.components_at(width)].sum(dim=1)).clamp_min(0.0).mean() / variance
        for width in (model.widths.stm, model.widths.im, model.widths.ltm)
    ]
    stress = _stress(rows, code, others)
    return torch.stack([sum(lost, torch.zeros(())) + _STRESS * stress, *lost])


def _stress(rows: Tensor, code: Tensor, others: Tensor) -> Tensor:
    wide, narrow = (
        # Not at zero, where the root has no slope.
        (values - values[others]).square().sum(dim=1).clamp_min(1e-12).sqrt()
        for values in (rows, code)
    )
    return ((wide - narrow) / (wide + 0.5)).square().mean()


def _neighbours(x: Tensor, random: torch.Generator) -> Tensor:
    """Near neighbours of each row among a few thousand others, of shape (n, some)."""
    near = torch.empty(len(x), min(_NEIGHBOURS, max(len(x) - 1, 1)), dtype=torch.long)
    blocks = torch.randperm(len(x), generator=random).chunk(-(-len(x) // _NEIGHBOURHOOD))
    for block in blocks:
        rows = x[block]
        for begin in range(0, len(rows), 512):
            places = torch.arange(begin, min(begin + 512, len(rows)))
            distances = torch.cdist(rows[places], rows)
            distances[torch.arange(len(places)), places] = torch.inf
            near[block[places]] = block[distances.topk(near.shape[1], largest=False).indices]
    return near
