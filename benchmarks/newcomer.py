"""A newcomer's path: the model of the README is hooked, run, asked, and on screen as a frame.

The block is taken out of README.md as it is, and run by a process of its own in an empty folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measuring import Figure

README = Path(__file__).parents[1] / "README.md"
MOST_LINES = 25
TARGET = 10.0  # seconds from the shell to the frame
TIMES = 3


def figures() -> Iterator[Figure]:
    """Time the newcomer's path."""
    script = newcomers_script()
    seconds = []
    for _ in range(TIMES):
        with TemporaryDirectory() as folder:
            begin = time.perf_counter()
            screen = run(script, Path(folder))
            seconds.append(time.perf_counter() - begin)
            assert "contents.energy" in screen, screen
    lines = len(script.splitlines())
    yield Figure(
        f"README: a model of Mesa hooked, run, asked, and as a frame on screen, in {lines} lines",
        f"{MOST_LINES} lines or fewer, {TARGET:.0f} s or less",
        f"{median(seconds):.1f} s",
        lines <= MOST_LINES and median(seconds) <= TARGET,
        f"of {TIMES} runs {min(seconds):.1f} to {max(seconds):.1f} s, Python's start included",
    )


def newcomers_script() -> str:
    """The first block of the README that imports Mesa."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith("import mesa"))


def run(script: str, folder: Path) -> str:
    """What the script prints, run in a folder."""
    file = folder / "walk.py"
    file.write_text(script)
    environment = os.environ | {"PYTHONPATH": str(README.parent)}
    result = subprocess.run(
        [sys.executable, file], cwd=folder, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    screen: str = result.stdout
    return screen


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name}: {figure.measured} (target {figure.target}); {figure.note}")
