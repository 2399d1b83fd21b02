"""Which statement of which text made an object that is here now.

A function is found by its code's file and line. A class has no line of its own before Python
3.13: its methods have, and a class without methods is recognised by what its body says.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType

from elfbook.code.cells import read, span, statements
from elfbook.code.likeness import assigned
from elfbook.code.statements import FUNCTIONS, given, imported
from elfbook.errors import DefinitionError

_SCALARS = (type(None), bool, int, float, complex, str, bytes, type(...))


@dataclass(frozen=True)
class SourceText:
    """A text as it was compiled."""

    filename: str
    """The name it was compiled under."""
    label: str
    """What a person calls it: `Cell In[4]`, or a short path."""
    text: str


@dataclass(frozen=True, eq=False)
class Script:
    """A text with its statements."""

    source: SourceText
    body: tuple[ast.stmt, ...]
    """The top level only."""
    statements: tuple[ast.stmt, ...]
    """The module's whole scope, those inside `if` or `try` included."""

    @functools.cached_property
    def future(self) -> list[ast.stmt]:
        """The `from __future__` imports, which every statement of the text needs."""
        return [
            each for each in self.body if isinstance(each, ast.ImportFrom) and each.module == "__future__"
        ]

    @functools.cached_property
    def imports(self) -> dict[str, list[tuple[str, str]]]:
        """The `from` imports of the module's scope: (module, attribute) by the name they bind."""
        found: dict[str, list[tuple[str, str]]] = {}
        for node in self.statements:
            if isinstance(node, ast.ImportFrom):
                for module, attribute, bound, _ in imported([node], ""):
                    found.setdefault(bound, []).append((module, attribute))
        return found

    def sharing(self, lines: tuple[int, int]) -> list[ast.stmt]:
        """Return the statements that cover exactly these lines: more than one after a `;`."""
        return [each for each in self.statements if span(each) == lines]

    def binding(self, name: str) -> ast.stmt | None:
        """Return the last statement that binds `name` in the module's scope."""
        return next((each for each in reversed(self.statements) if name in _given(each)), None)


@functools.lru_cache(maxsize=1024)
def script(source: SourceText) -> Script:
    """Parse a text; raises DefinitionError when it is not Python."""
    try:
        tree = read(source.text)
    except SyntaxError as error:
        raise DefinitionError(
            f"{source.label} is not Python that elfbook can read: {error.msg} (line {error.lineno})",
            line=error.lineno or 0,
            hint="A cell with an elf may hold Python and IPython's own lines (%…, !…), nothing else.",
        ) from None
    return Script(source, tuple(tree.body), tuple(statements(tree.body)))


@functools.lru_cache(maxsize=4096)
def _given(node: ast.stmt) -> frozenset[str]:
    return given(node)


# ------------------------------------------------------------------- functions and classes


def functions_in(value: object) -> Iterator[FunctionType]:
    """Yield `value` and what it wraps, outermost first, as far as these are Python functions."""
    for _ in range(100):
        if isinstance(value, FunctionType):
            yield value
            value = vars(value).get("__wrapped__")
        elif isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, (*_SCALARS, type, ModuleType)):
            return
        else:
            value = _wrapped(value)


def _wrapped(value: object) -> object:
    for attribute in ("function", "__wrapped__", "__func__"):
        if inspect.getattr_static(value, attribute, None) is not None:
            return getattr(value, attribute, None)
    return None


def find_function(function: FunctionType, where: Script) -> ast.stmt | None:
    """Return the statement in the module's scope that made this function."""
    code = function.__code__
    for node in reversed(where.statements):
        first, last = span(node)
        if isinstance(node, FUNCTIONS):
            if first == code.co_firstlineno and node.name == code.co_name:
                return node
        elif code.co_name == "<lambda>" and first <= code.co_firstlineno <= last:
            inner = (each.lineno for each in _own(node) if isinstance(each, ast.Lambda))
            if code.co_firstlineno in inner:
                return node
    return None


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a statement without the bodies of what it defines."""
    if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield node
        for inner in ast.iter_child_nodes(node):
            yield from _own(inner)


def class_filenames(cls: type) -> list[str]:
    """Return the files that the class's own methods were compiled under, most frequent first."""
    names = [each.__code__.co_filename for each in _methods_of(cls)]
    return sorted(set(names), key=lambda name: (-names.count(name), names.index(name)))


def _methods_of(cls: type) -> Iterator[FunctionType]:
    for value in vars(cls).values():
        for function in functions_in(value):
            if function.__qualname__.startswith(cls.__qualname__ + "."):
                yield function


def find_class(cls: type, where: Script) -> ast.ClassDef | None:
    """Return the class statement that made `cls`; the last one, when several could have."""
    classes = [each for each in where.statements if isinstance(each, ast.ClassDef)]
    named = [each for each in classes if each.name == cls.__name__]
    lines = {
        each.__code__.co_firstlineno
        for each in _methods_of(cls)
        if each.__code__.co_filename == where.source.filename
    }
    for node in reversed(named):
        first, last = span(node)
        if any(first <= line <= last for line in lines) or (not lines and _resembles(node, cls)):
            return node
    return None


def _resembles(node: ast.ClassDef, cls: type) -> bool:
    """Say whether the body accounts for the class: the same names, the same plain constants."""
    if getattr(cls, "__firstlineno__", span(node)[0]) != span(node)[0]:
        return False
    noted = set(vars(cls).get("__annotations__", ()))
    written = {name for each in statements(node.body) for name in _given(each)}
    if not all(name in noted or name.startswith("__") or hasattr(cls, name) for name in written):
        return False
    if not issubclass(cls, dict) and not noted <= written:
        return False
    members = getattr(cls, "__members__", {})
    for each in statements(node.body):
        if isinstance(each, ast.Assign | ast.AnnAssign) and isinstance(each.value, ast.Constant):
            for name in _given(each):
                value = members[name].value if name in members else vars(cls).get(name)
                if type(value) in _SCALARS and name in vars(cls) and value != each.value.value:
                    return False
    return not members or set(members) <= written


# ------------------------------------------------------------------- statements that add to another


def rebindings(where: Script, node: ast.stmt, name: str) -> list[ast.stmt]:
    """Return the statements after a definition that make `name` anew from itself: `f = cached(f)`."""
    found = []
    for each in where.statements[where.statements.index(node) + 1 :]:
        if name in _given(each):
            right = assigned(each, name)
            if right is None or name not in names_in(right):
                break
            found.append(each)
    return found


def extensions(
    where: Script, node: ast.stmt, value: object, text_of: Callable[[str], SourceText | None]
) -> Iterator[tuple[Script, ast.stmt]]:
    """Yield the statements that add to what `node` defines: `@f.register`, `Greeter.greeting = …`."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        for each in where.statements[where.statements.index(node) + 1 :]:
            if any(_root(part) == node.name for part in _touched(each)):
                yield where, each
    registry = getattr(value, "registry", None)
    if isinstance(registry, Mapping) and hasattr(value, "dispatch"):
        for function in [inner for each in registry.values() for inner in functions_in(each)]:
            source = text_of(function.__code__.co_filename)
            found = find_function(function, script(source)) if source else None
            if source and found and found is not node:
                yield script(source), found


def _touched(node: ast.stmt) -> list[ast.expr]:
    """The attributes that a statement sets, or that it is decorated or registered with."""
    match node:
        case ast.FunctionDef(decorator_list=found) | ast.ClassDef(decorator_list=found):
            return [each.func if isinstance(each, ast.Call) else each for each in found]
        case ast.Assign(targets=targets):
            return targets
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="register") as called)):
            return [called]
    return []


def _root(node: ast.expr) -> str:
    """`a` of `a.b.c`; empty for a plain name and for anything else."""
    if not isinstance(node, ast.Attribute):
        return ""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def names_in(node: ast.AST) -> set[str]:
    """Return all names that stand in an expression."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
