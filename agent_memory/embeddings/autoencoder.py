"""The network that learns a code of few numbers, in torch; needed only to train.

A code is ``x C + MLP(x)`` and is decoded by ``g B + MLP(g)``. Both begin as PCA, the last layers
of the networks at zero, so that training starts from the best linear code and bends it.
``autoencoder_fitting`` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent_memory.embeddings.weights import Layers, Weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, InvalidEntry


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

    Examples:
        >>> import torch
        >>> from agent_memory import StateAutoencoder
        >>> network = StateAutoencoder(input_dim=10, hidden_layers=(16,))
        >>> reconstruction, embedding = network(torch.zeros(4, 10), level=2)
        >>> tuple(reconstruction.shape), tuple(embedding.shape)
        ((4, 10), (4, 32))
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
