"""Texts of a configuration that are secret, or hold one: a password, a URL with it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, SecretStr, SerializationInfo

from agent_memory.errors import ConfigError
from agent_memory.values.urls import without_password

_STARS = "***"


class _SecretUrl(SecretStr):
    """A URL that shows all but its password."""

    def _display(self) -> str:
        return without_password(self.get_secret_value())


def _revealed(value: Any) -> Any:
    """Take a text, or what a configuration gives of one in ``model_dump()``."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str) and (text == _STARS or f":{_STARS}@" in text):
        raise ConfigError(
            "its password was left out when it was written as JSON or shown: give it again"
        )
    return text


def _hidden_url(url: str | None, info: SerializationInfo) -> str | SecretStr | None:
    shown = None if url is None else without_password(url)
    if url is None or shown == url:
        return url
    return shown if info.mode == "json" else _SecretUrl(url)


def _hidden(password: str | None, info: SerializationInfo) -> str | SecretStr | None:
    if password is None:
        return None
    return _STARS if info.mode == "json" else SecretStr(password)


Password = Annotated[str | None, BeforeValidator(_revealed), PlainSerializer(_hidden)]
"""A password: in ``model_dump()`` a ``SecretStr``, which configurations take; in JSON stars."""

Url = Annotated[str | None, BeforeValidator(_revealed), PlainSerializer(_hidden_url)]
"""A URL: in ``model_dump()`` a ``SecretStr`` where it has a password; in JSON without that."""
