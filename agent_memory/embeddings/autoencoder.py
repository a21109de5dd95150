"""The network that learns a code of few numbers, in torch; needed only to train.

A code is ``x C + MLP(x)`` and is decoded by ``g B + MLP(g)``. Both begin as PCA, the last layers
of the networks at zero, so that training starts from the best linear code and bends it. The loss
is the share of variance that decoding loses at each level, and a term of stress (Kruskal,
*Multidimensional scaling by optimizing goodness of fit*, Psychometrika 29, 1964) that keeps the
distance of pairs, half of them near neighbours: ``((d_x - d_z) / (d_x + 0.5))^2``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent_memory.embeddings.early_stopping import EarlyStopping
from agent_memory.embeddings.plan import Plan, Progress
from agent_memory.embeddings.weights import Layers, Weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, InvalidEntry

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


class StateAutoencoder(nn.Module):
    """Encodes rows of features at three widths, and decodes them.

    Args:
        input_dim: Numbers in a row.
        stm_dim: Width at level 0.
        im_dim: Width at level 1.
        ltm_dim: Width at level 2.
        hidden_layers: Widths between a row and its code.
        seed: Of the first weights.

    Raises:
        ConfigError: A width is not above 0, or a lower level is wider than the one above.
    """

    def __init__(
        self,
        input_dim: int,
        stm_dim: int = 384,
        im_dim: int = 128,
        ltm_dim: int = 32,
        hidden_layers: Sequence[int] = (512, 256),
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.widths = Widths(stm_dim, im_dim, ltm_dim)
        self.input_dim = input_dim
        width = self.widths.code
        sides = [input_dim, *hidden_layers, width]
        if any(type(side) is not int or side < 1 for side in sides):
            raise ConfigError(f"input_dim, hidden_layers: whole numbers above 0, not {sides[:-1]}")
        # Of its own, so that the caller's random numbers are the same with and without training.
        random = torch.Generator().manual_seed(seed)
        self.coder = nn.ParameterList(_layers(sides, random))
        self.decoder = nn.ParameterList(_layers(sides[::-1], random))
        axes = _orthonormal(input_dim, stm_dim - 1, random)
        self.code_in = nn.Parameter(axes[:, :width].clone())
        self.code_out = nn.Parameter(axes[:, :width].T.clone())
        self.directions: Tensor
        self.register_buffer("directions", axes[:, width:].clone())
        self.constant, self.faintness, self.components = 1.0, 1.0, stm_dim - 1 - width

    def start_from(self, weights: Weights) -> None:
        """Take over the linear part of weights whose rows are as wide as this input, or less."""
        columns = len(weights.code_in)
        with torch.no_grad():
            for own, given in (
                (self.code_in, weights.code_in),
                (self.code_out.T, weights.code_out.T),
                (self.directions, weights.directions),
            ):
                own.zero_()
                own[:columns] = torch.from_numpy(np.array(given))
        self.constant, self.faintness = weights.constant, weights.faintness
        # The others are zero, and follow.
        self.components = int(np.count_nonzero(weights.directions.any(axis=0)))

    def weights(self, columns: int) -> Weights:
        """The weights for inference, of the first ``columns`` of a row."""
        return Weights(
            self.constant,
            self.faintness,
            _array(self.code_in[:columns]),
            _array(self.code_out[:, :columns]),
            _array(self.directions[:columns]),
            _exported(self.coder, slice(columns), slice(None)),
            _exported(self.decoder, slice(None), slice(columns)),
        )

    def code(self, x: Tensor) -> Tensor:
        """The code of rows of shape (n, input_dim); how wide it is says ``Widths.code``."""
        return x @ self.code_in + _through(self.coder, x)

    def encode_stm(self, x: Tensor) -> Tensor:
        """Encode rows of shape (n, input_dim) or one of (input_dim,) at level 0."""
        return self._encode(x, 0)

    def encode_im(self, x: Tensor) -> Tensor:
        """Encode rows at level 1."""
        return self._encode(x, 1)

    def encode_ltm(self, x: Tensor) -> Tensor:
        """Encode rows at level 2."""
        return self._encode(x, 2)

    def decode_stm(self, z: Tensor) -> Tensor:
        """Decode vectors of level 0 to rows of shape (n, input_dim)."""
        return self._decode(z, 0)

    def decode_im(self, z: Tensor) -> Tensor:
        """Decode vectors of level 1."""
        return self._decode(z, 1)

    def decode_ltm(self, z: Tensor) -> Tensor:
        """Decode vectors of level 2."""
        return self._decode(z, 2)

    def forward(self, x: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Encode and decode at a level.

        Returns:
            The reconstruction, shaped as ``x``, and the vectors, of that level's width.

        Raises:
            InvalidEntry: There is no such level, or the rows are of another width.
        """
        embedding = self._encode(x, level)
        return self._decode(embedding, level), embedding

    def _encode(self, x: Tensor, level: int) -> Tensor:
        width = self.widths.at(level)
        _check_width(x, self.input_dim, "row")
        code = self.code(x)
        if width == code.shape[-1]:
            return code
        # A long-term vector too, if the intermediate ones are as narrow.
        faintness = 1.0 if width == self.widths.ltm else self.faintness
        components = x @ self.directions[:, : self.components_at(width)]
        constant = torch.full_like(x[..., :1], self.constant)
        return torch.cat([constant, code * faintness, components], dim=-1)

    def _decode(self, z: Tensor, level: int) -> Tensor:
        width = self.widths.at(level)
        _check_width(z, width, "vector")
        if width == self.widths.code:
            return self.decode_code(z)
        faintness = 1.0 if width == self.widths.ltm else self.faintness
        code, components = z[..., 1 : 1 + self.widths.code], z[..., 1 + self.widths.code :]
        return self.corrected(self.decode_code(code / faintness), components)

    def components_at(self, width: int) -> int:
        """How many principal components a vector of some width has besides its code."""
        return max(width - 1 - self.widths.code, 0)

    def decode_code(self, code: Tensor) -> Tensor:
        """Rows that codes of shape (n, widths.code) stand for."""
        return code @ self.code_out + _through(self.decoder, code)

    def corrected(self, rows: Tensor, components: Tensor) -> Tensor:
        """Rows with these principal components, of shape (n, some), and else as they were."""
        directions = self.directions[:, : components.shape[-1]]
        return rows + (components - rows @ directions) @ directions.T


def fit_autoencoder(
    rows: NDArray[Any],
    start: Weights,
    plan: Plan,
    progress: Progress | None = None,
) -> tuple[Weights, dict[str, list[float]]]:
    """Train a network on rows.

    Args:
        rows: Centred, in the order of time, of shape (n, d); n and d at least 1.
        start: The weights of PCA.
        plan: How to train; where its ``input_dim`` is above d, zeros follow each row.
        progress: Told of each epoch.

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
    model: StateAutoencoder, x: Tensor, plan: Plan, progress: Progress | None
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


def _layers(sides: Sequence[int], random: torch.Generator) -> list[Tensor]:
    """Matrices and biases; the last ones are zero, so that the network begins as nothing."""
    layers: list[Tensor] = []
    for inputs, outputs in pairwise(sides):
        spread = (2.0 / inputs) ** 0.5
        layers += [torch.randn(inputs, outputs, generator=random) * spread, torch.zeros(outputs)]
    layers[-2].zero_()
    return layers


def _orthonormal(inputs: int, outputs: int, random: torch.Generator) -> Tensor:
    """Orthonormal columns, as many as there can be, and zeros, of shape (inputs, outputs)."""
    axes = torch.zeros(inputs, outputs)
    count = min(inputs, outputs)
    axes[:, :count] = torch.linalg.qr(torch.randn(inputs, count, generator=random))[0]
    return axes


def _through(layers: nn.ParameterList, x: Tensor) -> Tensor:
    for place in range(0, len(layers), 2):
        if place:
            x = x.relu()
        x = x @ layers[place] + layers[place + 1]
    return x


def _exported(layers: nn.ParameterList, inputs: slice, outputs: slice) -> Layers:
    arrays = [_array(layer) for layer in layers]
    arrays[0] = np.ascontiguousarray(arrays[0][inputs])
    arrays[-2] = np.ascontiguousarray(arrays[-2][:, outputs])
    arrays[-1] = arrays[-1][outputs]
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy()).copy()


def _check_width(given: Tensor, width: int, what: str) -> None:
    if given.ndim not in (1, 2) or given.shape[-1] != width:
        raise InvalidEntry(f"{what}: {width} numbers are needed, not {tuple(given.shape)}")
