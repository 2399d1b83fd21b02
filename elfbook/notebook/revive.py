"""Elves that a restarted kernel has forgotten, defined again as a run has stored them."""

from __future__ import annotations

import ast
import importlib.util
import sys

from elfbook.code import cells
from elfbook.code.statements import given
from elfbook.model import Piece, Revision
from elfbook.notebook.notebook import Notebook
from elfbook.tracing.elves import adopt, is_elf


def revive(notebook: Notebook, revision: Revision) -> str:
    """The revision's class has its name in the notebook; a sentence when that cannot be.

    Names that the notebook has already stay as they are.
    """
    notebook.texts.keep_stored(revision)
    try:
        for piece in revision.pieces:
            load(piece, notebook)
        for capture in revision.captures:
            space = namespace_for(capture.module, "", notebook)
            if capture.name not in space:
                space[capture.name] = notebook.load(capture.value)
    except Exception as error:  # the user's own statements run here: an import may be missing
        return f"{revision.elf} is not defined here: {type(error).__name__}: {error}"
    found = notebook.namespace.get(revision.elf)
    if isinstance(found, type) and is_elf(found):
        adopt(found)
    notebook.roster.define(revision, stored=True)
    return ""


def load(piece: Piece, notebook: Notebook) -> None:
    """The piece's statements have run, those left out that would give a name a second meaning."""
    if piece.module != "__main__" and is_there(piece.module):
        return
    space = namespace_for(piece.module, piece.filename, notebook)
    tree = cells.select(piece.text, list(piece.lines))
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    for node in tree.body:
        if node in future or any(name in space for name in given(node)):
            continue
        exec(compile(ast.Module([*future, node], []), piece.filename, "exec", dont_inherit=True), space)


def is_there(module: str) -> bool:
    """True when the module is imported or can be."""
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def namespace_for(module: str, filename: str, notebook: Notebook) -> dict[str, object]:
    """The globals in which a module's statements run, opened when there are none."""
    if module == "__main__":
        return notebook.namespace
    return vars(sys.modules[module]) if module in sys.modules else cells.open_module(module, filename)
