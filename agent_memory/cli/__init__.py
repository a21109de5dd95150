"""The command line: ``agent-memory``."""

from __future__ import annotations

import sys

_NEEDS_EXTRA = "agent-memory: the command line needs: pip install 'agent-memory[cli]'"
_INTERRUPTED = 130  # as a shell says it of Ctrl-C


def main() -> None:
    """Run the command line; where its packages are missing, say in one line how to get them."""
    try:
        # Loading takes most of a short command's time, and Ctrl-C comes then too.
        from agent_memory.cli.commands import app  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.exit(_NEEDS_EXTRA)
    app()
