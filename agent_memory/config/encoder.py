"""The encoder of vectors: its widths and how it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from agent_memory.config.limits import Positive
from agent_memory.errors import ConfigError
from agent_memory.values.config_part import ConfigPart
from agent_memory.values.interruptions import raise_if_interrupted


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError) as error:  # a name that no file can have
        raise_if_interrupted(error)
        return False


class AutoencoderConfig(ConfigPart):
    """The encoder of vectors: widths of its levels and how it is trained.

    Args:
        input_dim: Width of the feature vector.
        stm_dim: Width of a short-term vector.
        im_dim: Width of an intermediate vector.
        ltm_dim: Width of a long-term vector.
        vector_dtype: How vectors rest in long-term memory from now on: "int8", a byte a number
            and a scale; "float16"; "float32". What rests otherwise stays, and is found as before.
        learning_rate: Of the optimiser. The training chooses its own while this is at its default,
            as it does of the two below.
        batch_size: States per training step.
        epochs: Passes over the training states.
        model_path: A saved encoder to encode with, in place of the version that is active.
        use_neural_embeddings: False: new entries are encoded by the version that needs no
            training, whichever is active.
        hidden_layers: Widths between input and the first level.

    Examples:
        >>> from agent_memory import AutoencoderConfig
        >>> AutoencoderConfig(hidden_layers=[256, 128]).ltm_dim
        32
    """

    model_config = ConfigDict(protected_namespaces=())

    input_dim: Positive = 64
    stm_dim: Positive = 384
    im_dim: Positive = 128
    ltm_dim: Positive = 32
    vector_dtype: Literal["int8", "float16", "float32"] = "int8"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    batch_size: Positive = 32
    epochs: Positive = 100
    model_path: str | None = None
    use_neural_embeddings: bool = True
    hidden_layers: tuple[Positive, ...] = (512, 256)

    @model_validator(mode="after")
    def _model_file_exists(self) -> Self:
        if self.model_path is not None and not _is_file(self.model_path):
            raise ConfigError(f"model_path: there is no file {self.model_path:.200}")
        return self
