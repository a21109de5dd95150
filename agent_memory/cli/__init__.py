"""The command line: ``agent-memory``."""

from __future__ import annotations

import sys
from collections.abc import Callable

_run: Callable[[], object] | None
try:
    from agent_memory.cli.commands import app
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("rich", "typer"):
        raise
    _run = None
else:
    _run = app

_NEEDS_EXTRA = "agent-memory: the command line needs: pip install 'agent-memory[cli]'"


def main() -> None:
    """Run the command line; where its packages are missing, say in one line how to get them."""
    if _run is None:
        sys.exit(_NEEDS_EXTRA)
    _run()
