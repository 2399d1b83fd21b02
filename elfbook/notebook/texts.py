"""The texts of cells and of the user's files, as they were compiled."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
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
        self._counted: dict[str, int] = {}
        self._number = getattr(shell, "execution_count", 0)
        self._loaded: dict[str, tuple[str, object]] = {}
        """Of files: the module that is made of it, and that module's spec when its text was read."""

    def cell_begins(self, raw: str, *, numbered: bool) -> None:
        """A cell with this text is about to run.

        Cells that run without history, as nbval runs them, all have one number in IPython. They
        are counted here, so that a notebook under test names its cells as its reader sees them.
        """
        if numbered:
            self._number = self._shell.execution_count
            return
        self._number += 1
        self._counted[self._shell.compile.get_code_name(raw, raw, self._number)] = self._number

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
        label = self.label(filename)
        if kept is not None:
            return SourceText(filename, label or kept.label, kept.text)
        if not label and filename.endswith(".py"):
            self._follow_reload(filename)
        lines = linecache.getlines(filename) if label or filename.endswith(".py") else []
        return SourceText(filename, label or shown_path(filename), "".join(lines)) if lines else None

    def _follow_reload(self, filename: str) -> None:
        """Have the file read again if its module has been loaded again: that gave it a new spec.

        A file that was merely edited is not: what runs here is still the text as it was.
        """
        name, before = self._loaded.get(filename) or (module_of(filename), None)
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if before is not None and spec is not before:
            linecache.checkcache(filename)
        self._loaded[filename] = name, spec

    def newest_first(self) -> Iterator[SourceText]:
        """The cells' texts, the one that ran last first; in a script its own text."""
        numbers = self._numbers()
        names = sorted(numbers, key=numbers.__getitem__, reverse=True)
        for filename in [*names, *(name for name in reversed(self._kept) if name not in numbers)]:
            if (text := self.of(filename)) is not None:
                yield text

    def _numbers(self) -> dict[str, int]:
        """File names of cells with their execution counts."""
        return getattr(getattr(self._shell, "compile", None), "_filename_map", {}) | self._counted

    def label(self, filename: str) -> str:
        """What people call a cell: `Cell In[4]`; empty for other files."""
        named = getattr(getattr(self._shell, "compile", None), "_filename_map", {})
        number = self._counted.get(filename) or named.get(filename)
        return f"Cell In[{number}]" if number is not None else ""


def shown_path(filename: str) -> str:
    """The path from the working directory, or from the home directory as `~`."""
    return _path_from(filename, os.getcwd())


@cache
def _path_from(filename: str, here: str) -> str:
    """Each look at a script's text asks again."""
    path = Path(filename)
    return str(path.relative_to(here)) if path.is_relative_to(here) else below_home(path)


def below_home(path: Path) -> str:
    """The path with `~` for the home directory."""
    return os.path.join("~", path.relative_to(Path.home())) if path.is_relative_to(Path.home()) else str(path)


def module_of(filename: str) -> str:
    """The name of the imported module that this file is; empty when none is."""
    found = (
        name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None) == filename
    )
    return next(found, "")


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
