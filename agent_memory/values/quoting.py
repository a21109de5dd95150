"""How a value is quoted in a message: in a few characters, whatever it is."""

from __future__ import annotations


def quoted(value: object, most: int = 80) -> str:
    """The beginning of a value's repr; its type where there is none to be had.

    Args:
        value: Anything: its repr may raise, and that of an int of 5,000 digits does.
        most: How many characters.
    """
    try:
        return f"{value!r:.{most}}"
    except Exception:  # noqa: BLE001  # a value's own code may raise anything; its type tells enough
        return f"an object of type {type(value).__name__:.{most}}"
