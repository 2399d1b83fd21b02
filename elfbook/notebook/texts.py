"""The texts of cells and of the user's files, as they were compiled."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from elfbook.code.locate import SourceText
from elfbook.model import Revision

Shell = Any


class Texts:
    """Every text that a class of this process can have come from."""

    def __init__(self, shell: Shell | None) -> None:
        self._shell = shell
        self._kept: dict[str, SourceText] = {}
        """Of magic cells as on the screen, and of cells that earlier kernels ran."""

    def keep(self, filename: str, label: str, text: str) -> None:
        """From now on the text is found under its file name."""
        self._kept[filename] = SourceText(filename, label, text)

    def keep_stored(self, revision: Revision) -> None:
        """The cells of a stored revision are found as if they had been run here."""
        for piece in revision.pieces:
            if piece.filename not in self._kept and not Path(piece.filename).is_file():
                self.keep(piece.filename, piece.label, piece.text)
                lines = [f"{line}\n" for line in piece.text.splitlines()]
                linecache.cache[piece.filename] = (len(piece.text), None, lines, piece.filename)

    def of(self, filename: str) -> SourceText | None:
        """The text that was compiled under this name; None when it is not known."""
        kept = self._kept.get(filename)
        label = self._label(filename)
        if kept is not None:
            return SourceText(filename, label or kept.label, kept.text)
        lines = linecache.getlines(filename) if label or filename.endswith(".py") else []
        return SourceText(filename, label or shown_path(filename), "".join(lines)) if lines else None

    def newest_first(self) -> Iterator[SourceText]:
        """The cells' texts, the one that ran last first; in a script its own text."""
        numbers = self._numbers()
        names = sorted(numbers, key=numbers.__getitem__, reverse=True)
        for filename in [*names, *(name for name in reversed(self._kept) if name not in numbers)]:
            if (text := self.of(filename)) is not None:
                yield text

    def _numbers(self) -> dict[str, int]:
        """File names of cells with their execution counts."""
        return dict(getattr(getattr(self._shell, "compile", None), "_filename_map", {}))

    def _label(self, filename: str) -> str:
        number = self._numbers().get(filename)
        return f"Cell In[{number}]" if number is not None else ""


def shown_path(filename: str) -> str:
    """The path from the working directory, or from the home directory as `~`."""
    path = Path(filename)
    for root, sign in ((Path.cwd(), ""), (Path.home(), "~")):
        if path.is_relative_to(root):
            return os.path.join(sign, path.relative_to(root)) if sign else str(path.relative_to(root))
    return filename


def namespace_of(module: str) -> Mapping[str, object]:
    """A module's globals; KeyError when it is not imported."""
    return vars(sys.modules[module])


def is_library(module: str) -> bool:
    """True for what workers import themselves: installed packages, Python's own, elfbook."""
    root = module.partition(".")[0]
    if root == "elfbook" or root in sys.stdlib_module_names or root in sys.builtin_module_names:
        return True
    found = sys.modules.get(module)
    places = [getattr(found, "__file__", None) or "", *map(str, getattr(found, "__path__", ()))]
    return not any(places) or any(is_installed(place) for place in places if place)


def is_installed(path: str) -> bool:
    """True below a folder of installed packages and in Python's own library."""
    return "site-packages" in path or "dist-packages" in path or path.startswith(STANDARD)


STANDARD = tuple(
    os.path.join(folder, "") for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
)
