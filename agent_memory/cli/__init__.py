"""The command line: ``agent-memory``."""

from __future__ import annotations

import sys

try:
    from agent_memory.cli.commands import app
except ModuleNotFoundError as error:
    if error.name not in ("rich", "typer"):
        raise
    app = None

_NEEDS_EXTRA = "agent-memory: the command line needs: pip install 'agent-memory[cli]'"


def main() -> None:
    """Run the command line; where its packages are missing, say in one line how to get them."""
    if app is None:
        sys.exit(_NEEDS_EXTRA)
    app()
