"""What a value is, judged without running anybody's code.

An assignment in a cell is believed only when its right-hand side, read and not evaluated, gives
the very object that is here now; otherwise the object travels by value.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
from collections.abc import Iterable, Mapping
from itertools import islice
from types import FunctionType, ModuleType

_ABSENT = object()
# A class that leaves these alone is copied by Python itself, attribute by attribute.
_COPIED = {
    **{name: getattr(object, name) for name in ("__reduce_ex__", "__reduce__", "__getstate__")},
    "__getnewargs__": None,
    "__getnewargs_ex__": None,
}
_SCALARS = (type(None), bool, int, float, complex, str, bytes, type(...))


def holds_code(value: object, depth: int = 3) -> bool:
    """Say whether a value is, or plainly contains, something that a statement would tell better."""
    if isinstance(value, enum.Enum) or callable(value) or type(value).__module__ == "typing":
        return True
    return depth > 0 and any(holds_code(each, depth - 1) for each in _inside(value))


def classes_of(value: object, module: str, depth: int = 4) -> set[type]:
    """Return the classes of `module` that the value, or what it plainly contains, is made of."""
    found = {type(value)} if type(value).__module__ == module else set()
    if depth:
        for each in _inside(value):
            found |= classes_of(each, module, depth - 1)
    return found


def _inside(value: object, limit: int = 500) -> Iterable[object]:
    if isinstance(value, dict):
        return [each for pair in islice(value.items(), limit) for each in pair]
    if isinstance(value, list | tuple | set | frozenset):
        return list(islice(value, limit))
    return list(islice(getattr(value, "__dict__", {}).values(), limit)) if not callable(value) else []


def portrait(value: object, module: str) -> str | None:
    """Describe a value made of plain data and instances of `module`'s classes; None for another.

    Equal values are described alike in every process, which their pickles are not.
    """
    try:
        return _portrait(value, module, 8)
    except ValueError:
        return None


def _portrait(value: object, module: str, depth: int) -> str:
    kind = type(value)
    if kind in _SCALARS:
        return f"{kind.__name__} {value!r}"
    if not depth:
        raise ValueError("too deep")

    def each(parts: Iterable[object]) -> list[str]:
        return [_portrait(part, module, depth - 1) for part in parts]

    if kind in (list, tuple, set, frozenset):
        inner = each(value)  # type: ignore[call-overload]
        return f"{kind.__name__} {sorted(inner) if kind in (set, frozenset) else inner}"
    if kind is dict:
        return f"dict {list(zip(each(value), each(value.values()), strict=True))}"  # type: ignore[attr-defined]
    if kind.__module__ == module and isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if kind.__module__ == module and isinstance(value, tuple) and hasattr(kind, "_fields"):
        return f"{kind.__qualname__} {each(value)}"
    if kind.__module__ == module and all(getattr(kind, name, None) is own for name, own in _COPIED.items()):
        _, made_from, *state = value.__reduce_ex__(4)  # (its class, …), then its attributes
        if made_from[0] is kind:
            return f"{kind.__qualname__} {each([*made_from[1:], *state])}"
    raise ValueError(kind.__qualname__)


# ------------------------------------------------------------------- assignments


def assigned(node: ast.stmt | None, name: str) -> ast.expr | None:
    """Return the right-hand side when a statement is `name = …` and nothing more."""
    match node:
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            return value
        case ast.AnnAssign(target=ast.Name(id=target), value=value) if target == name:
            return value
    return None


def gives(node: ast.expr, value: object, names: Mapping[str, object], filename: str) -> bool:
    """Say whether evaluating `node` again would give `value`, judged without evaluating it.

    False means not known. `filename` is that of the text which holds `node`.
    """

    def same(inner: ast.expr, part: object) -> bool:
        return gives(inner, part, names, filename)

    match node:
        case ast.Constant(value=constant):
            return type(constant) is type(value) and constant == value
        case ast.Name() | ast.Attribute():
            return _looked_up(node, names) is value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            kind = list if isinstance(node, ast.List) else tuple
            return type(value) is kind and len(parts) == len(value) and all(map(same, parts, value))
        case ast.Dict(keys=keys, values=parts):
            return (
                type(value) is dict
                and len(keys) == len(value)
                and all(key is not None and same(key, part) for key, part in zip(keys, value, strict=True))
                and all(map(same, parts, value.values()))
            )
        case ast.Lambda(lineno=line):
            code = getattr(value, "__code__", None)
            return code is not None and (code.co_name, code.co_firstlineno, code.co_filename) == (
                "<lambda>",
                line,
                filename,
            )
        case ast.Call():
            return _call_gives(node, value, names, same)
    return False


def _looked_up(node: ast.expr, names: Mapping[str, object]) -> object:
    if isinstance(node, ast.Name):
        return names.get(node.id, _ABSENT)
    if isinstance(node, ast.Attribute):
        owner = _looked_up(node.value, names)
        if isinstance(owner, ModuleType | type):  # where reading an attribute runs nobody's code
            return getattr(owner, node.attr, _ABSENT)
    return _ABSENT


def _call_gives(node: ast.Call, value: object, names: Mapping[str, object], same) -> bool:
    keywords = {each.arg: each.value for each in node.keywords}
    if None in keywords or any(isinstance(each, ast.Starred) for each in node.args):
        return False
    called = _looked_up(node.func, names)
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args)
        return (
            called is type(value)
            and len(parts) == len(node.args)
            and keywords.keys() == value.keywords.keys()
            and all(map(same, node.args, parts))
            and all(same(keywords[key], value.keywords[key]) for key in keywords)
        )
    if isinstance(value, FunctionType) and value.__closure__:
        return isinstance(called, FunctionType) and _closes_over(called, node.args, keywords, value, same)
    if hasattr(value, "__wrapped__"):
        return any(same(each, value.__wrapped__) for each in node.args)
    match node.args:  # namedtuple("P", …), Enum("E", …), TypeVar("T"), type("X", …)
        case [ast.Constant(value=str(name)), *_]:
            return name == getattr(value, "__name__", None)
    return False


def _closes_over(maker: FunctionType, arguments, keywords, made: FunctionType, same) -> bool:
    """Say whether `made` is what `maker(…)` returned: it holds these arguments and nothing else."""
    if not made.__qualname__.startswith(f"{maker.__qualname__}.<locals>."):
        return False
    try:
        bound = inspect.signature(maker).bind(*arguments, **keywords).arguments
    except TypeError:
        return False
    cells = zip(made.__code__.co_freevars, made.__closure__ or (), strict=True)
    return all(
        name in bound and isinstance(bound[name], ast.expr) and same(bound[name], cell.cell_contents)
        for name, cell in cells
    )
