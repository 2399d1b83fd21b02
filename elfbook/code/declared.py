"""What a task's return annotation declares: the names of its outputs, and their types.

-> None                          no outputs
-> ["species", "weight"]         names
-> {"species": str}              names with types
-> Animal                        a TypedDict, dataclass or NamedTuple: its fields
anything else, or nothing        undeclared
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import typing
from collections.abc import Iterable, Mapping

Declared = tuple[tuple[str, ...] | None, dict[str, str]]
_UNDECLARED: Declared = (None, {})


def declared_outputs(node: ast.expr | None, names: Mapping[str, object]) -> Declared:
    """Return the declared output names, None when undeclared, and types as source text.

    `names` are those that the annotation may use. A postponed annotation is read as well.
    """
    match node:
        case ast.Constant(value=None):
            return (), {}
        case ast.Constant(value=str(text)):
            try:
                return declared_outputs(ast.parse(text.strip(), mode="eval").body, names)
            except SyntaxError:
                return _UNDECLARED
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return _names(each.value if isinstance(each, ast.Constant) else None for each in parts)
        case ast.Dict(keys=keys, values=values):
            found, _ = _names(each.value if isinstance(each, ast.Constant) else None for each in keys)
            if found is None:
                return _UNDECLARED
            return found, dict(zip(found, map(ast.unparse, values), strict=True))
        case ast.Name() | ast.Attribute():
            return _of_value(_value(node, names))
    return _UNDECLARED


def _names(values: Iterable[object]) -> Declared:
    found = list(values)
    if all(isinstance(each, str) for each in found) and len(set(found)) == len(found):
        return tuple(map(str, found)), {}
    return _UNDECLARED


def _value(node: ast.expr, names: Mapping[str, object]) -> object:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, names)
        return getattr(owner, node.attr, None) if inspect.ismodule(owner) or inspect.isclass(owner) else None
    return None


def _of_value(value: object) -> Declared:
    if isinstance(value, list | tuple):
        return _names(value)
    if isinstance(value, dict):
        found, _ = _names(value)
        return _typed(value) if found is not None else _UNDECLARED
    if not isinstance(value, type):
        return _UNDECLARED
    if dataclasses.is_dataclass(value):
        return _typed({each.name: each.type for each in dataclasses.fields(value)})
    if typing.is_typeddict(value):
        return _typed(inspect.get_annotations(value))
    fields = getattr(value, "_fields", None)
    if issubclass(value, tuple) and isinstance(fields, tuple):
        noted = inspect.get_annotations(value)
        return fields, {name: _text(noted[name]) for name in fields if name in noted}
    return _UNDECLARED


def _typed(noted: Mapping[str, object]) -> Declared:
    return tuple(noted), {name: _text(each) for name, each in noted.items()}


def _text(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    return inspect.formatannotation(annotation)
