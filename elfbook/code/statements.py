"""What one statement means: the names it needs, the names it gives, its normal form.

Scoping is left to the compiler: a statement is compiled, never run, and the names that the
code would look up outside are read from its instructions. So comprehensions, nested functions,
class bodies, walrus, `global`, `del`, `except … as`, patterns and postponed annotations are
right by construction, in every version of Python.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

from elfbook.code.cells import statements

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_AT_ONCE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<generic parameters")


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a statement looks up outside itself."""

    name: str
    line: int
    now: bool
    """Needed while the statement runs, not only when what it defines is called."""
    member: str = ""
    """The method that needs it, when the statement is a class."""
    chain: tuple[str, ...] = ()
    """The attributes taken from it at once: `os.path.join` gives path, join."""


def uses(body: list[ast.stmt], filename: str) -> tuple[tuple[Use, ...], frozenset[str]]:
    """Return the names that these statements look up outside, and the globals that calls set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cell itself has already shown them
        module = ast.Module(body=body, type_ignores=[])
        code = compile(module, filename, "exec", dont_inherit=True, optimize=0)
    found: dict[Use, None] = {}
    stored: set[str] = set()
    _walk(code, True, None, found, stored)
    return tuple(found), frozenset(stored)


def _walk(code: CodeType, now: bool, member: str | None, found: dict[Use, None], stored: set[str]) -> None:
    """`member` is None outside classes, "" in a class body, a method's name inside the method,
    and <class> inside a class within a class."""
    local: set[str] = set()
    instructions = list(dis.get_instructions(code))
    for index, each in enumerate(instructions):
        if each.opname == "STORE_NAME":
            local.add(each.argval)
        elif each.opname == "STORE_GLOBAL":
            stored.add(each.argval)
        elif each.opname in _READS and each.argval not in local:
            line = each.positions.lineno if each.positions else None
            chain = tuple(_chain(instructions, index + 1))
            found[Use(each.argval, line or code.co_firstlineno, now, member or "", chain)] = None
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_name.startswith(_AT_ONCE):
                _walk(inner, now, member, found, stored)
            elif inner.co_flags & inspect.CO_OPTIMIZED:
                _walk(inner, False, inner.co_name if member == "" else member, found, stored)
            else:
                _walk(inner, now, "" if member is None else member or "<class>", found, stored)


def _chain(instructions: list[dis.Instruction], index: int) -> Iterator[str]:
    while index < len(instructions) and instructions[index].opname in _ATTRIBUTES:
        yield instructions[index].argval
        index += 1


def given(node: ast.stmt) -> frozenset[str]:
    """Return the names that a statement binds in the scope it stands in."""
    return frozenset(_given(node))


def _given(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Lambda():
            pass
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((each.asname or each.name.partition(".")[0]) for each in names)
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.comprehension(iter=iterable, ifs=conditions):  # its own targets stay inside
            for inner in (iterable, *conditions):
                yield from _given(inner)
        case _:
            for field in ("name", "rest"):  # except … as name, case … as name, case {**rest}
                if name := getattr(node, field, None):
                    yield name
            for inner in ast.iter_child_nodes(node):
                yield from _given(inner)


def imported(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[str, str, str, ast.stmt]]:
    """Yield (module, attribute or "", bound name, statement) for all imports, at any depth."""
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Import):
                for alias in each.names:
                    yield alias.name, "", alias.asname or alias.name.partition(".")[0], each
            elif isinstance(each, ast.ImportFrom):
                module = _absolute(each, package)
                for alias in each.names:
                    yield module, alias.name, alias.asname or alias.name, each


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    start = parts[: len(parts) - node.level + 1]
    return ".".join([*start, node.module] if node.module else start)


def guarded(nodes: Iterable[ast.AST]) -> set[ast.stmt]:
    """Return the imports that stand in the body of a `try`: they may fail on purpose."""
    return {
        inner
        for node in nodes
        for attempt in ast.walk(node)
        if isinstance(attempt, ast.Try)
        for part in attempt.body
        for inner in ast.walk(part)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    }


def methods(node: ast.ClassDef) -> dict[str, list[ast.AST]]:
    """Return a class's methods by name; a property has a getter and a setter under one name."""
    found: dict[str, list[ast.AST]] = {}
    for each in statements(node.body):
        if isinstance(each, FUNCTIONS):
            found.setdefault(each.name, []).append(each)
        elif isinstance(each, ast.Assign) and isinstance(each.value, ast.Lambda):
            for target in each.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(each.value)
    return found


@functools.lru_cache(maxsize=4096)
def attributes(method: ast.AST) -> tuple[frozenset[str], bool]:
    """Return all attribute names in a method, and whether `self` goes where we cannot see."""
    arguments = getattr(method, "args", None)
    order = [*arguments.posonlyargs, *arguments.args] if arguments else []
    self_name = order[0].arg if order else ""
    names: set[str] = set()
    seen: set[ast.AST] = set()
    loads: list[ast.Name] = []
    for each in ast.walk(method):
        if isinstance(each, ast.Attribute):
            names.add(each.attr)
            seen.add(each.value)
        elif isinstance(each, ast.Name) and each.id == self_name:
            loads.append(each)
    return frozenset(names), any(each not in seen for each in loads)


@functools.lru_cache(maxsize=16384)  # texts are parsed once, so the same nodes come again
def normal(node: ast.AST, skip: frozenset[ast.AST] = frozenset()) -> str:
    """Return a statement's normal form: no positions, comments or docstrings; `skip` left out.

    Empty fields are left out, so that a field new in some Python changes nothing.
    """
    out: list[str] = []
    _normal(node, skip, out)
    return "".join(out)


def _normal(node: object, skip: frozenset[ast.AST], out: list[str]) -> None:
    if isinstance(node, list):
        out.append("[")
        for each in node:
            if each not in skip:
                _normal(each, skip, out)
                out.append(",")
        out.append("]")
    elif isinstance(node, ast.AST):
        out.append(type(node).__name__)
        out.append("(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body" and isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                value = _without_docstring(value)
            if (value is None and name != "value") or value == [] or name in ("ctx", "kind", "type_comment"):
                continue
            out.append(f"{name}=")
            _normal(value, skip, out)
            out.append(",")
        out.append(")")
    else:
        out.append(repr(node))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body
