"""Applies each mutant to a copy of the project, and fails if a test named for it passes.

``make mutants`` runs it; words given are looked for in the promises, and choose the mutants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TypeVar

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
_TIMEOUT = 900.0  # seconds: a test that hangs has not said what is wrong
_PASSED, _FAILED = 0, 1  # exit codes of pytest

T = TypeVar("T")


def main(words: Sequence[str]) -> int:
    """Run the mutants; gives how many of them survived."""
    chosen = [one for one in MUTANTS if all(word in one.promise for word in words)]
    with copies(os.cpu_count() or 1) as folders:
        broken = [
            reported
            for reported in in_parallel(folders, unbroken(chosen), _fails_unbroken)
            if reported
        ]
        if broken:
            print("these fail without any mutant:", *broken, sep="\n")
            return len(broken)
        survived = [reported for reported in in_parallel(folders, chosen, _survives) if reported]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants were caught")
    return len(survived)


def unbroken(chosen: Sequence[Mutant]) -> list[tuple[str, ...]]:
    """The tests of the mutants, by file."""
    files: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for one in chosen for test in one.tests):
        files.setdefault(test.partition("::")[0], []).append(test)
    return [*map(tuple, files.values())]


def in_parallel(
    folders: SimpleQueue[Path], items: Sequence[T], work: Callable[[Path, T], str]
) -> Iterator[str]:
    """Do work on each item, in a copy of the project of its own; gives what it tells."""

    def one(item: T) -> str:
        folder = folders.get()
        try:
            return work(folder, item)
        finally:
            folders.put(folder)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, items)


def _fails_unbroken(folder: Path, tests: tuple[str, ...]) -> str:
    code, output = run(folder, tests)
    return "" if code == _PASSED else f"{' '.join(tests)} (exit code {code})\n{output}"


def _survives(folder: Path, mutant: Mutant) -> str:
    """The tests that did not see the mutant, or "" where all did."""
    begun = time.monotonic()
    before = mutant.apply(folder)
    try:
        reported = {test: run(folder, (test,)) for test in mutant.tests}
    finally:
        for file, text in before.items():
            file.write_text(text)
    passed = [
        f"  {test} (exit code {code})" for test, (code, _) in reported.items() if code != _FAILED
    ]
    verdict = "SURVIVED" if passed else "caught"
    print(f"{verdict:<9}{time.monotonic() - begun:5.1f} s  {mutant.promise}", flush=True)
    for line in passed:
        print(line, flush=True)
    return mutant.promise if passed else ""


def run(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in a copy of the project; gives the exit code, and the end of the output."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True,
            timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, f"did not end within {_TIMEOUT:g} s"
    return done.returncode, done.stdout[-3000:]


@contextmanager
def copies(number: int) -> Iterator[SimpleQueue[Path]]:
    """So many copies of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    folders: SimpleQueue[Path] = SimpleQueue()
    with TemporaryDirectory(prefix="agent-memory-mutants-") as place:
        for copy in range(number):
            for name in names:
                target = Path(place) / str(copy) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
            folders.put(Path(place) / str(copy))
        yield folders


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
