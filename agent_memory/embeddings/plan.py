"""How an encoder is to be trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from agent_memory.config import AutoencoderConfig
from agent_memory.embeddings.resting import VectorDtype
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError
from agent_memory.values.quoting import quoted


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Args:
        widths: Of the vectors of the tiers.
        input_dim: The network's input is at least as wide as this, and as wide as the features
            need.
        epochs: Passes over the states.
        batch_size: States a step.
        learning_rate: Peak of the optimiser's one-cycle schedule.
        hidden_layers: Widths of the network's hidden layers.
        seed: The same seed, states and machine give the same encoder.
        network: Whether to train a network at all, and not only PCA.
        always: Train the network even where PCA loses nothing, so that it cannot be beaten.
        dtype: How the narrowest vectors rest, which is how they are compared.

    Raises:
        ConfigError: A number is not above 0, or the seed is none.
    """

    widths: Widths = field(default_factory=Widths)
    input_dim: int = 64
    epochs: int = 60
    batch_size: int = 512
    learning_rate: float = 3e-3
    hidden_layers: tuple[int, ...] = (512, 256)
    seed: int = 0
    network: bool = True
    always: bool = False
    dtype: VectorDtype = "int8"

    def __post_init__(self) -> None:
        whole = (self.epochs, self.batch_size, self.input_dim, *self.hidden_layers)
        if any(type(number) is not int or number < 1 for number in whole):
            raise ConfigError("epochs, batch_size, input_dim, hidden_layers: whole, above 0")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: {quoted(self.seed)} is no whole number from 0 to 2**63 - 1")
        if not 0.0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate: {self.learning_rate!r} is not above 0")

    @classmethod
    def of(cls, config: AutoencoderConfig, seed: int = 0) -> Plan:
        """The plan of a configuration.

        Epochs, batch size and learning rate that it leaves at their defaults are those of this
        class: 100 epochs of batches of 32 take ten times as long and come to the same.
        """
        given = config.model_fields_set & {"epochs", "batch_size", "learning_rate"}
        return cls(
            Widths.of(config),
            input_dim=config.input_dim,
            hidden_layers=config.hidden_layers,
            seed=seed,
            dtype=config.vector_dtype,
            **{name: getattr(config, name) for name in given},
        )

    def with_steps(self, epochs: int, batch_size: int, learning_rate: float) -> Plan:
        """The same plan with other steps."""
        return replace(self, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
