"""Writes docs/settings.md out of the configuration: python -m tests.system.settings_page"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from agent_memory import (
    AutoencoderConfig,
    MemoryConfig,
    RedisIMConfig,
    RedisMemoryConfig,
    RedisSTMConfig,
    SQLiteLTMConfig,
)
from agent_memory.values.config_part import ConfigPart

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
PARTS: dict[type[ConfigPart], str] = {
    MemoryConfig: "The whole: `MemoryConfig`",
    RedisSTMConfig: "Short-term memory: `stm_config`, a `RedisSTMConfig`",
    RedisIMConfig: "Intermediate memory: `im_config`, a `RedisIMConfig`",
    SQLiteLTMConfig: "Long-term memory: `ltm_config`, a `SQLiteLTMConfig`",
    AutoencoderConfig: "The encoder: `autoencoder_config`, an `AutoencoderConfig`",
    RedisMemoryConfig: "`AgentMemory` alone: `RedisMemoryConfig`",
}

_HEAD = """# All settings

Made from the configuration by `python -m tests.system.settings_page`; a test sees that it is true.
[Configuration](configuration.md) says what belongs together, and why. Parts are given as nested
dicts: `MemoryConfig(stm_config={"memory_limit": 200})`.
"""


def page() -> str:
    """The page as it must be."""
    return "\n".join([_HEAD, *(line for part in PARTS for line in _of_part(part))])


def described(part: type[ConfigPart]) -> dict[str, str]:
    """What the docstring of a part says of each setting, in one line."""
    found = described(RedisSTMConfig) if part is RedisIMConfig else {}
    text = inspect.getdoc(part) or ""
    for section in re.findall(r"Args:\n(.*?)(?=\n\S|\Z)", text, re.DOTALL):
        for name, said in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            found[name] = " ".join(said.split())
    return found


def _of_part(part: type[ConfigPart]) -> Iterator[str]:
    said = described(part)
    yield f"## {PARTS[part]}\n"
    yield "| setting | default | what it is |"
    yield "|---|---|---|"
    for name, field in part.model_fields.items():
        what = said[name].replace("|", "\\|").replace("``", "`")
        yield f"| `{name}` | {_default(field)} | {what} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "its defaults"
    shown = f'"{field.default}"' if isinstance(field.default, str) else repr(field.default)
    return f"`{shown}`"


if __name__ == "__main__":
    PAGE.write_text(page())
