"""The embedding engine: one encoder, trained or not, behind three calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from agent_memory.embeddings import artifact, framing
from agent_memory.embeddings.encoder import Encoder, FittedEncoder, Reconstruction
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import TrainingReport, train
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError
from agent_memory.values.file_names import checked_path
from agent_memory.values.progress import EpochProgress

LOSSES = ("loss", "stm_loss", "im_loss", "ltm_loss")


class AutoencoderEmbeddingEngine:
    """Encodes states at the widths of the three tiers.

    Until it is trained or a model is loaded it encodes by version 0, which needs no training.

    Args:
        model_path: A file of ``save_model`` to begin with.
        input_dim: The network's input is at least as wide, and as wide as the features need.
        stm_dim: Width of a short-term vector.
        im_dim: Width of an intermediate vector.
        ltm_dim: Width of a long-term vector.
        hidden_layers: Widths of the network's hidden layers.
        seed: Of the training.

    Attributes:
        encoder: The encoder at work.
        report: What the last training found and kept; None before.

    Raises:
        ConfigError: The widths do not fit each other or the file, or there is no such file.
        EncodingError: The file is damaged.

    Examples:
        >>> from agent_memory import AutoencoderEmbeddingEngine
        >>> engine = AutoencoderEmbeddingEngine()
        >>> len(engine.encode_stm({"food": 1.0, "at": (2, 3)}))
        384
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        input_dim: int = 64,
        stm_dim: int = 384,
        im_dim: int = 128,
        ltm_dim: int = 32,
        hidden_layers: Sequence[int] = (512, 256),
        seed: int = 0,
    ) -> None:
        self._plan = Plan(
            Widths(stm_dim, im_dim, ltm_dim),
            input_dim=input_dim,
            hidden_layers=tuple(hidden_layers),
            seed=seed,
            always=True,
        )
        self.encoder: Encoder = VersionZero(self._plan.widths)
        self.report: TrainingReport | None = None
        if model_path is not None:
            self.load_model(model_path)

    def encode_stm(self, state: object) -> list[float]:
        """Encode a state for short-term memory: ``stm_dim`` numbers.

        Raises:
            InvalidEntry: It is no dict, other mapping, dataclass or pydantic model.

        Examples:
            >>> len(engine.encode_stm({"food": 1.0}))
            384
        """
        return self._encode(state, self._plan.widths.stm)

    def encode_im(self, state: object) -> list[float]:
        """Encode a state for intermediate memory: ``im_dim`` numbers.

        Examples:
            >>> len(engine.encode_im({"food": 1.0}))
            128
        """
        return self._encode(state, self._plan.widths.im)

    def encode_ltm(self, state: object) -> list[float]:
        """Encode a state for long-term memory: ``ltm_dim`` numbers.

        Examples:
            >>> len(engine.encode_ltm({"food": 1.0}))
            32
        """
        return self._encode(state, self._plan.widths.ltm)

    def _encode(self, state: object, width: int) -> list[float]:
        vector = self.encoder.encode_one(state)
        numbers: list[float] = self.encoder.carry(vector, width).tolist()
        return numbers

    def train(
        self,
        states: Iterable[object],
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 0.001,
        progress: EpochProgress | None = None,
    ) -> dict[str, list[float]]:
        """Train on states, in the order of time, and encode by what came of it from now on.

        The last part of the states is held out; what is kept is the network if it beats PCA
        there, and PCA otherwise: see ``report``.

        Args:
            states: Dicts, other mappings, dataclasses or pydantic models.
            epochs: Passes over the states.
            batch_size: States a step.
            learning_rate: Peak of the optimiser's one-cycle schedule.
            progress: Called after each epoch: its number from 1, how many there are, its losses.

        Returns:
            The network's "loss", "stm_loss", "im_loss" and "ltm_loss", one number an epoch.

        Raises:
            InvalidEntry: There are no states, one is none, or the training diverged.
            ConfigError: A number is not above 0, or torch is not installed.
        """
        plan = self._plan.with_steps(epochs, batch_size, learning_rate)
        training = train(states, plan, progress)
        self.encoder, self.report = training.encoder, training.report
        return {name: list(training.report.losses.get(name, ())) for name in LOSSES}

    def reconstruct(self, vector: Sequence[float]) -> Reconstruction:
        """Decode a vector of any tier to a state, and tell how far to trust it.

        Raises:
            ConfigError: Nothing was trained or loaded, and version 0 cannot be decoded.
            InvalidEntry: No tier has vectors of that width.
        """
        if not isinstance(self.encoder, FittedEncoder):
            raise ConfigError("the untrained version cannot be decoded; train or load one first")
        return self.encoder.reconstruct(vector)

    def save_model(self, path: str | Path) -> None:
        """Write the encoder at work to a file.

        Raises:
            ConfigError: The file cannot be written.
        """
        if isinstance(self.encoder, FittedEncoder):
            self.encoder.save(path)
        else:
            raw = artifact.dump_untrained(self._plan.widths, self._plan.input_dim)
            framing.write(checked_path(path), raw)

    def load_model(self, path: str | Path) -> None:
        """Encode by the encoder of a file from now on.

        Raises:
            ConfigError: There is no such file, or its widths are not this engine's.
            EncodingError: It is damaged, too large, or made by a newer version.
        """
        raw = framing.read(checked_path(path), artifact.MAX_BYTES)
        with framing.named(path):
            parts = artifact.load(raw)
        plan = self._plan
        if (parts.widths, parts.input_dim) != (plan.widths, plan.input_dim):
            raise ConfigError(
                f"{path}: made for input_dim={parts.input_dim} and {parts.widths}, "
                f"not for input_dim={plan.input_dim} and {plan.widths}"
            )
        if isinstance(parts, artifact.Untrained):
            self.encoder = VersionZero(plan.widths)
        else:
            with framing.named(path):
                self.encoder = FittedEncoder.from_bytes(raw)
        self.report = None
