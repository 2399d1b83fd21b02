"""Which libraries a revision's code cannot load without: the top-level imports of all that it runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

from elfbook.code.cells import select
from elfbook.model import Piece

ALWAYS_THERE = frozenset({"elfbook", "IPython", "ipykernel"})
"""In every worker's kernel, the first by its shim."""


def needs_of(pieces: Iterable[Piece]) -> tuple[str, ...]:
    """Names of the packages, ascending. Imports inside functions, `try` and `if` may fail on purpose,
    or never run: they are not among them, nor is what the pieces themselves define."""
    pieces = list(pieces)
    own = {piece.module.partition(".")[0] for piece in pieces}
    found = {name for piece in pieces for name in _imported(select(piece.text, piece.lines))}
    return tuple(sorted(found - own - ALWAYS_THERE - sys.stdlib_module_names))


def _imported(module: ast.Module) -> Iterable[str]:
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
