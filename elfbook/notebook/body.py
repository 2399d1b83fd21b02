"""The body of a magic's cell: compiled once, at the lines it has on the screen, and run.

The file name is the one under which the kernel compiled the visible cell, so a traceback
says `Cell In[4], line 3` and means the line that a reader counts, the magic's own included.
"""

from __future__ import annotations

import ast
import codeop
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from elfbook.errors import DefinitionError
from elfbook.notebook.traces import show_own_frames, shown_as

Shell = Any
ALLOW_INCOMPLETE = getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0)
"""With this flag of a fresh shell Python says `incomplete input` instead of what is missing."""


@dataclass(frozen=True)
class Cell:
    """The cell that runs now."""

    filename: str
    label: str
    """`Cell In[4]`."""
    text: str
    """As on the screen, the magic's line included."""
    first: int
    """Line of the body's first line, from 1."""
    cell_id: str = ""


def running_cell(shell: Shell, magic_line: str, body: str, raws: Sequence[str], cell_id: str = "") -> Cell:
    """The cell whose magic is being called, known by the file name of the code that calls it.

    `raws` are the texts of the cells that run, the outermost first: `%%capture` runs what is
    below it as a cell of its own, and the reader counts the lines of the whole.
    """
    names = getattr(shell.compile, "_filename_map", {})
    found = [frame.f_code.co_filename for frame in callers() if frame.f_code.co_filename in names]
    whole = next((raw for raw in raws if raw.strip() and raw.rstrip().endswith(body.rstrip())), "")
    filename = "" if not found else found[-1] if whole and whole is raws[0] else found[0]
    whole = whole or f"{magic_line}\n{body}"
    before = whole.rstrip()[: len(whole.rstrip()) - len(body.rstrip())]
    if not filename:
        filename = shell.compile.cache(whole, shell.execution_count, raw_code=whole)
    return Cell(filename, label(shell, filename), whole, before.count("\n") + 1, cell_id)


def callers() -> Iterator[FrameType]:
    """The frames below this call, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def label(shell: Shell | None, filename: str) -> str:
    """What IPython calls the code in its tracebacks: `Cell In[4]`; empty for other files."""
    named = shell.compile.format_code_name(filename) if shell is not None else None
    return " ".join(named) if named else ""


def parsed(shell: Shell, cell: Cell, body: str) -> list[ast.stmt]:
    """The body's statements at their lines on the screen; DefinitionError when it is no Python.

    From now on tracebacks through the cell show its text.
    """
    skipped = len(body) - len(body.lstrip())
    blank_lines = body[:skipped].count("\n")
    above = "\n" * (cell.first - 1 + blank_lines)
    remember_text(shell, cell, body)
    try:
        # As in an ordinary cell, `!ls` and `%magic` lines are Python after this.
        code = above + shell.transform_cell(body)
        flags = shell.compile.flags & ~ALLOW_INCOMPLETE | ast.PyCF_ONLY_AST
        return shell.transform_ast(compile(code, cell.filename, "exec", flags, dont_inherit=True)).body
    except (SyntaxError, OverflowError, ValueError, MemoryError) as error:
        raise no_python(shell, error) from None


def remember_text(shell: Shell, cell: Cell, body: str) -> None:
    """`linecache` holds the cell's lines. The magic's line is a comment there: then the text
    parses, and IPython can tell statements and variables apart."""
    lines = cell.text.splitlines()
    above = [f"# {line}" if line.strip() else line for line in lines[: cell.first - 1]]
    text = [f"{line}\n" for line in above + lines[cell.first - 1 :]]
    linecache.cache[cell.filename] = (sum(map(len, text)), None, text, cell.filename)


def no_python(shell: Shell, error: Exception) -> DefinitionError:
    """The error for a body that does not parse, shown as IPython shows it.

    IPython renders a SyntaxError out of a magic with all frames of its own; this one is as
    in an ordinary cell.
    """
    lines = shell.SyntaxTB.structured_traceback(type(error), error, [])
    line = getattr(error, "lineno", None) or 0
    mine = DefinitionError(f"{type(error).__name__}: {getattr(error, 'msg', error)}", line=line)
    shown_as(mine, *lines)
    return mine


def execute(
    shell: Shell,
    nodes: list[ast.stmt],
    filename: str,
    *,
    last: str,
    defined: Callable[[str], None] = lambda name: None,
) -> object:
    """The statements have run in the notebook's namespace, each class having met `defined`.

    `last` says what becomes of a final expression: `single` displays it as a cell does,
    `eval` returns its value, `exec` drops it. An exception keeps only the user's frames.
    """
    __tracebackhide__ = True
    value = None
    try:
        for place, node in enumerate(nodes):
            final = place == len(nodes) - 1 and isinstance(node, ast.Expr)
            code = compiled(shell, node, filename, last if final else "exec")
            if final and last == "eval":
                value = eval(code, shell.user_global_ns, shell.user_ns)
            else:
                exec(code, shell.user_global_ns, shell.user_ns)
            if isinstance(node, ast.ClassDef):
                defined(node.name)
    except BaseException as error:
        show_own_frames(shell, error, execute.__code__)
        raise
    return value


def compiled(shell: Shell, node: ast.stmt, filename: str, mode: str) -> CodeType:
    """One statement as code; what parses but does not compile is a DefinitionError."""
    try:
        if mode == "eval" and isinstance(node, ast.Expr):
            return shell.compile(ast.Expression(node.value), filename, "eval")
        tree = ast.Interactive([node]) if mode == "single" else ast.Module([node], [])
        return shell.compile(tree, filename, mode if mode == "single" else "exec")
    except SyntaxError as error:
        raise no_python(shell, error) from None


def classes_in(nodes: list[ast.stmt]) -> list[str]:
    """Names of the classes that the statements define at the top level, also under `if`."""
    names = []
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.If | ast.With | ast.For | ast.While | ast.Try):
            names += classes_in([part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)])
            for clause in getattr(node, "handlers", ()):
                names += classes_in(clause.body)
    return list(dict.fromkeys(names))


def ends_silently(body: str) -> bool:
    """True when the body's last line ends with `;`."""
    return body.rstrip().endswith(";")
