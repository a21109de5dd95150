"""A mutant: an edit of the package that breaks a promise, and the tests that must see it."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

_REACH = 60
"""How many lines after its anchor an edit may lie."""


class NotFoundOnce(Exception):
    """The text that an edit replaces is not there, or is there more than once."""


@dataclass(frozen=True)
class Edit:
    """A text of the package, and what stands in its place.

    White space is compared loosely, so that a line may be indented or wrapped otherwise.

    Attributes:
        room: The file or folder of ``agent_memory`` that holds the text; a folder is better, since
            code moves between the files of a room.
        old: The text; it is there once.
        new: What replaces it, indented like the text.
        near: A text that is there once itself: ``old`` is then the first such text after it.
    """

    room: str
    old: str
    new: str
    near: str = ""

    def place(self, root: Path) -> tuple[Path, int, int]:
        """The file that holds the text, and where the text begins and ends.

        Args:
            root: The folder of the project.

        Raises:
            NotFoundOnce: There is no such text, or there are several.
        """
        anchors = [
            (file, *match.span())
            for file in _files(root / "agent_memory" / self.room)
            for match in _pattern(self.near or self.old).finditer(file.read_text())
        ]
        if len(anchors) != 1:
            raise NotFoundOnce(
                f"{len(anchors)} times in agent_memory/{self.room}: {self.near or self.old!r}"
            )
        (found,) = anchors
        if not self.near:
            return found
        file, _, end = found
        match = _pattern(self.old).search(file.read_text(), end)
        if match is None or file.read_text().count("\n", end, match.start()) > _REACH:
            raise NotFoundOnce(f"not within {_REACH} lines of {self.near!r}: {self.old!r}")
        return file, *match.span()

    def applied(self, root: Path) -> tuple[Path, str]:
        """The file that holds the text, and what the file says once the edit is made."""
        file, begin, end = self.place(root)
        text = file.read_text()
        line = text[text.rfind("\n", 0, begin) + 1 : begin]
        indent = line[: len(line) - len(line.lstrip())]
        new = textwrap.dedent(self.new).replace("\n", f"\n{indent}")
        return file, text[:begin] + new + text[end:]


@dataclass(frozen=True)
class Mutant:
    """A promise, broken.

    Attributes:
        promise: What is promised, in a few words; names the mutant.
        edits: What breaks it, all of them together.
        tests: The tests of which each must fail, as pytest takes them.
    """

    promise: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def apply(self, root: Path) -> dict[Path, str]:
        """Make the edits in a copy of the project; gives back what its files said before."""
        before: dict[Path, str] = {}
        for edit in self.edits:
            file, text = edit.applied(root)
            before.setdefault(file, file.read_text())
            ast.parse(text)  # an edit that does not compile would prove nothing
            file.write_text(text)
        return before


def tests_in(file: str, *names: str) -> tuple[str, ...]:
    """Tests of a file, as pytest takes them."""
    return tuple(f"tests/{file}::{name}" for name in names)


def _files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, text.split())))
