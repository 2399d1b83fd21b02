"""Cell text as Python: IPython's own lines blanked, statements chosen by their lines.

Runs in the notebook and, sent as source text, inside worker kernels. Both sides must read a
cell alike, so this is one file: standard library only, Python 3.9 or later, no elfbook imports.
"""

from __future__ import annotations

import ast
import re
import sys
import types
import warnings
from collections.abc import Iterable, Iterator

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

# Line starts that IPython rewrites and that can never begin a Python statement.
_MAGIC = re.compile(r"\s*[%!?/,;]")
_ASSIGNED = re.compile(r"(\s*[\w\s,.*\[\]()]+?=\s*)[%!]")
_HELP = re.compile(r"\s*[\w.*\[\]\"']+\s*\?{1,2}\s*$")
_MARK = re.compile(r"\\.|\"\"\"|'''|[\"'#(\[{)\]}]")


def blank_magics(text: str) -> str:
    """Return `text` as Python, every line keeping its number.

    A cell magic in front becomes an empty line. Other lines in IPython's syntax become a call of
    `get_ipython`, so that code which depends on one is seen to do so.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.strip():
            if line.startswith("%%"):
                lines[number] = ""
            break
    plain = "\n".join(lines)
    try:
        _parse(plain)
    except SyntaxError:
        return "\n".join(_without_magics(lines))
    return plain


def span(node: ast.stmt) -> tuple[int, int]:
    """Return the first and last line of a statement, its decorators included."""
    decorators = getattr(node, "decorator_list", ())
    first = min([node.lineno, *(each.lineno for each in decorators)])
    return first, node.end_lineno or first


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module's own scope, those inside `if` or `try` included.

    A statement that shares all its lines with the one around it is not told apart from it.
    """
    for node in body:
        yield node
        if not isinstance(node, _SCOPES):
            for inner in statements(_blocks(node)):
                if span(inner) != span(node):
                    yield inner


def read(text: str) -> ast.Module:
    """Parse a cell or a module; raises SyntaxError when it is not Python even without magics."""
    return _parse(blank_magics(text))


def select(text: str, lines: Iterable[tuple[int, int]]) -> ast.Module:
    """Return the statements that cover exactly these lines, in this order, at their own lines.

    Raises LookupError when no statement covers a given pair.
    """
    found: dict[tuple[int, int], list[ast.stmt]] = {}
    for node in statements(read(text).body):
        found.setdefault(span(node), []).append(node)
    body: list[ast.stmt] = []
    for first, last in lines:
        if (first, last) not in found:
            raise LookupError(f"no statement covers lines {first} to {last}")
        body += found[first, last]
    return ast.Module(body=body, type_ignores=[])


def open_module(name: str, filename: str = "") -> dict:
    """Return the namespace of a new, empty module that `import name` finds from now on.

    Parents that do not exist are made as well, empty; a module before it under the same name is
    replaced, and keeps working for whoever holds it.
    """
    parent, _, last = name.rpartition(".")
    if parent and parent not in sys.modules:
        open_module(parent)
    module = types.ModuleType(name)
    module.__file__ = filename or None
    module.__package__ = parent
    if not filename or filename.replace("\\", "/").endswith("/__init__.py"):
        module.__package__ = name
        module.__path__ = []  # a package, whose parts all come from the revision
    sys.modules[name] = module
    if parent:
        setattr(sys.modules[parent], last, module)
    return vars(module)


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cell itself has already shown them
        return ast.parse(text)


def _blocks(node: ast.stmt) -> Iterator[ast.stmt]:
    for field in ("body", "orelse", "finalbody"):
        yield from getattr(node, field, ())
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield from part.body


def _without_magics(lines: list[str]) -> list[str]:
    """Follow strings and brackets to know which lines begin a statement; rewrite magics there."""
    out: list[str] = []
    depth, quote, continued, dropping = 0, "", False, False
    for line in lines:
        if dropping:  # the rest of a magic that goes on after a backslash
            out.append("")
            dropping = line.rstrip().endswith("\\")
            continue
        if not (depth or quote or continued) and (plain := _replacement(line)) is not None:
            out.append(plain)
            dropping = line.rstrip().endswith("\\")
            continue
        out.append(line)
        depth, quote, continued = _carry(line, depth, quote)
    return out


def _replacement(line: str) -> str | None:
    if assigned := _ASSIGNED.match(line):
        return assigned[1] + "get_ipython()"
    if _MAGIC.match(line) or _HELP.match(line):
        return line[: len(line) - len(line.lstrip())] + "get_ipython()"
    return None


def _carry(line: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """Return what is still open after this line: brackets, a string, a backslash."""
    for mark in _MARK.findall(line):
        if quote:
            if mark == quote or (len(quote) == 1 and mark == quote * 3):
                quote = ""
        elif mark == "#":
            return depth, "", False
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
        elif mark[0] != "\\":
            quote = mark
    continued = line.rstrip("\r").endswith("\\")
    if len(quote) == 1 and not continued:
        quote = ""
    return depth, quote, continued
