"""Computes an expression over results by interpreting data; nothing is ever compiled or run.

An expression is written by expr.py in one of three forms:

    b"x1L" one encoded value                       a literal, nothing to compute
    b"x1N" u32 JSON length, JSON, segments         a table of nodes
    b"x1Z" zlib of what follows b"x1N"             the same, when it is long

The JSON is {"v": 1, "nodes": [...], "root": k, "sizes": [...]}, a node is [step, [refs], ...], a
ref is the place of an earlier node, so there are no cycles and no recursion however deep the
expression was. Steps and operations are closed lists. Names that begin with "_" are refused, and
so is everything that leads to globals, code, frames, modules, files or str.format.

No object that came in is ever changed: a change is made on a copy, and the nodes formed before it
keep the old object. This file is also sent as text into worker kernels: it needs nothing but the
standard library, imports nothing of elfbook and runs on Python 3.9.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import fractions
import json
import math
import operator
import pathlib
import string
import struct
import sys
import types
import uuid
import zlib
from typing import Any, Callable, Mapping

LITERAL, NODES, PACKED = b"x1L", b"x1N", b"x1Z"
MARK = 3
VERSION = 1

CHANGING = frozenset(
    name
    for cls, pure in (
        (list, "copy count index"),
        (dict, "copy fromkeys get items keys values"),
        (set, "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"),
        (collections.deque, "copy count index maxlen"),
    )
    for name in dir(cls)
    if not name.startswith("_") and name not in pure.split()
) | {"fill", "itemset", "move_to_end", "put", "resize", "subtract"}
"""Methods that change their object: list, dict, set, bytearray, deque, OrderedDict and arrays."""


class Refused(Exception):
    """The expression asks for something that expressions may not do."""


def evaluate(
    expression: bytes,
    results: Mapping[int, object],
    literal: Callable[[Any], object],
    blob: Callable[[str], object],
) -> Any:
    """The expression's value, each node that the root needs being computed once.

    `results` gives the result of a job, `literal` opens an encoded value, `blob` gives the object
    of a digest; what they give is left unchanged.
    """
    if expression[:MARK] == LITERAL:
        return literal(memoryview(expression)[MARK:])
    nodes, root, segments = opened(expression)
    given = (results, literal, blob, segments)
    values: list = [None] * (root + 1)
    for place in _needed(nodes, root):
        node = nodes[place]
        try:
            values[place] = _step(node[0])(node, [values[ref] for ref in node[1]], given)
        except Exception as error:
            _say(error, node)
            raise
    return values[root]


def opened(expression: bytes) -> tuple:
    """The table of nodes, the place of the root, and the encoded literals."""
    mark, view = bytes(expression[:MARK]), memoryview(expression)[MARK:]
    if mark == PACKED:
        view = memoryview(zlib.decompress(view))
    elif mark != NODES:
        raise ValueError("these bytes are not an expression of this version of elfbook")
    (length,) = struct.unpack_from("<I", view)
    table = json.loads(bytes(view[4 : 4 + length]))
    if table["v"] != VERSION:
        raise ValueError("the expression was written by another version of elfbook")
    nodes, root = table["nodes"], table["root"]
    if type(root) is not int or not 0 <= root < len(nodes):
        raise Refused("the expression has no such root")
    segments, place = [], 4 + length
    for size in table.get("sizes", ()):
        segments.append(view[place : place + size])
        place += size
    return nodes, root, segments


def _needed(nodes: list, root: int) -> list:
    """The places that the root reaches, ascending; refs may only point to earlier places."""
    wanted = {root}
    for place in range(root, -1, -1):
        if place in wanted:
            refs = nodes[place][1]
            for ref in refs:
                if type(ref) is not int or not 0 <= ref < place:
                    raise Refused("a node of the expression points forward")
            wanted.update(refs)
    return sorted(wanted)


def _step(name: Any) -> Callable:
    if type(name) is not str or name not in _STEPS:
        raise Refused("%.40r is not a step of an expression" % (name,))
    return _STEPS[name]


def _say(error: Exception, node: list) -> None:
    if hasattr(error, "add_note"):  # Python 3.11
        what = " ".join(str(part) for part in node[2:4] if isinstance(part, str))
        error.add_note("while computing from earlier results: %s" % (what or node[0]))


def _results(spans: list, results: Mapping[int, object]) -> list:
    """The results of all jobs from the first to the last of each span, as one list."""
    return [results[job] for first, last in spans for job in range(first, last + 1)]


# ---------------------------------------------------------------------------- operations


def _slice(*bounds: object) -> slice:
    return slice(*bounds)


OPERATIONS: dict = {
    **{
        name: getattr(operator, name)
        for name in (
            "add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor neg pos abs invert "
            "eq ne lt le gt ge getitem"
        ).split()
    },
    "divmod": divmod,
    "round": round,
    "power": pow,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "slice": _slice,
}
"""What `op` may compute from its values alone."""

IN_PLACE: dict = {
    name: getattr(operator, name)
    for name in "iadd isub imul itruediv ifloordiv imod ipow imatmul ilshift irshift iand ior ixor".split()
}
"""What `op` computes on a copy of its first value."""


def _operate(node: list, args: list, given: tuple) -> Any:
    name = node[2]
    if name in IN_PLACE:
        return IN_PLACE[name](_copied(args[0]), args[1])
    if name not in OPERATIONS:
        raise Refused("%.40r is not an operation" % (name,))
    return OPERATIONS[name](*args)


# ---------------------------------------------------------------------------- attributes

_CLOSED = (
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    type(operator.attrgetter("x")),
    type(operator.methodcaller("x")),
    string.Formatter,
)
"""Nothing is taken from these: they lead to globals, code and frames, or format text."""

_FORMATTING = frozenset({"format", "format_map"})
_LEADING_OUT = ("f_", "gi_", "cr_", "ag_", "tb_", "co_", "func_")
_ARRAY_FILES = frozenset({"ctypes", "dump", "dumps", "tofile"})
_ATOMIC = (str, bytes, int, float, complex, bool, type(None), range, tuple, frozenset)
_STILL = frozenset(
    (*_ATOMIC, datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)
) | {fractions.Fraction, uuid.UUID, list, dict, set, bytearray}
"""Exact types whose methods outside CHANGING change nothing, so that no copy is needed."""
_STILL_MODULES = frozenset({"numpy", "pandas", "polars", "pyarrow", "pathlib"})


def _allowed(owner: object, name: object) -> str:
    """The name, if it may be taken from this owner; raises Refused otherwise."""
    if type(name) is not str or name.startswith("_") or name.startswith(_LEADING_OUT):
        raise Refused("the name %.40r may not be used in an expression" % (name,))
    if isinstance(owner, _CLOSED):
        raise Refused("%s of a %s: do that in a task" % (name, type(owner).__name__))
    cls = owner if isinstance(owner, type) else type(owner)
    if issubclass(cls, str) and name in _FORMATTING:
        raise Refused("str.%s reaches into its arguments: do that in a task" % name)
    if issubclass(cls, pathlib.Path) and not hasattr(pathlib.PurePath, name):
        raise Refused("Path.%s touches files: do that in a task" % name)
    if cls.__module__ == "numpy" and name in _ARRAY_FILES:
        raise Refused("%s.%s: do that in a task" % (cls.__name__, name))
    return name


def _attribute(node: list, args: list, given: tuple) -> Any:
    return getattr(args[0], _allowed(args[0], node[2]))


def _call(node: list, args: list, given: tuple) -> Any:
    """`call, [owner, positional…, keyword…], name, [keyword names]`: the method's result."""
    owner, rest, named = _arguments(node[3], args, 1)
    name = _allowed(owner[0], node[2])
    target = owner[0]
    if not _is_still(target) or name in CHANGING:
        target = _copied(target)
    return getattr(target, name)(*rest, **named)


def _arguments(names: list, args: list, leading: int) -> tuple:
    stop = len(args) - len(names)
    return args[:leading], args[leading:stop], dict(zip(names, args[stop:]))


def _is_still(value: object) -> bool:
    kind = type(value)
    return kind in _STILL or kind.__module__.split(".")[0] in _STILL_MODULES or isinstance(value, type)


# ---------------------------------------------------------------------------- changes


class _Changed(tuple):
    """What a change gives: the new chain, then what the change itself returned."""


def _change(node: list, args: list, given: tuple) -> _Changed:
    """`change, [chain…, arguments…], kind, name, length of the chain, [keyword names]`.

    The chain leads from an object to the part of it that changes (`r`, `r["a"]`). All of it is
    copied together, so what was inside stays inside; `part` picks from what comes out.
    """
    kind, name, length, names = node[2:6]
    chain, rest, named = _arguments(names, args, length)
    if isinstance(chain[-1], (type, *_CLOSED)):
        raise Refused("a %s cannot be changed in an expression" % type(chain[-1]).__name__)
    if kind not in _CHANGES:
        raise Refused("%.40r is not a change" % (kind,))
    new = _copied_together(chain)
    return _Changed((*new, _CHANGES[kind](new[-1], name, rest, named)))


def _part(node: list, args: list, given: tuple) -> Any:
    if type(args[0]) is not _Changed:
        raise Refused("only a change has parts")
    return args[0][node[2]]


def _method(target: Any, name: str, rest: list, named: dict) -> Any:
    return getattr(target, _allowed(target, name))(*rest, **named)


_CHANGES: dict = {
    "method": _method,
    "setitem": lambda target, name, rest, named: operator.setitem(target, *rest),
    "delitem": lambda target, name, rest, named: operator.delitem(target, *rest),
    "setattr": lambda target, name, rest, named: setattr(target, _allowed(target, name), *rest),
    "delattr": lambda target, name, rest, named: delattr(target, _allowed(target, name)),
}


def _copied(value: Any) -> Any:
    # One level is enough for these: their methods change nothing further down.
    if type(value) in (list, dict, set, bytearray):
        return value.copy()
    return copy.deepcopy(value)


def _copied_together(chain: list) -> list:
    if len(chain) == 1:
        return [_copied(chain[0])]
    numpy = sys.modules.get("numpy")
    if numpy and isinstance(chain[-1], numpy.ndarray) and chain[-1].base is not None:
        raise Refused("part of an array cannot be changed here: do that in a task")
    memo: dict = {}
    return [copy.deepcopy(link, memo) for link in chain]


# ---------------------------------------------------------------------------- containers


def _dict(node: list, args: list, given: tuple) -> dict:
    return dict(zip(args[::2], args[1::2]))


def _fill(node: list, args: list, given: tuple) -> Any:
    """`fill, [template, values…], [places]`: the template with the values put in its places.

    A place is an index of a list or tuple, a position among a dict's keys, or a field's name.
    """
    template, values, places = args[0], args[1:], node[2]
    if isinstance(template, tuple):
        items = list(template)
        for place, value in zip(places, values):
            items[place] = value
        return tuple(items) if type(template) is tuple else type(template)._make(items)
    new = copy.copy(template)
    if isinstance(new, list):
        for place, value in zip(places, values):
            list.__setitem__(new, place, value)
    elif isinstance(new, dict):
        keys = list(new)
        for place, value in zip(places, values):
            dict.__setitem__(new, keys[place], value)
    else:
        fields = {field.name for field in dataclasses.fields(new)}
        for place, value in zip(places, values):
            if place not in fields:
                raise Refused("%s has no field %.40r" % (type(new).__name__, place))
            object.__setattr__(new, place, value)
    return new


_STEPS: dict = {
    "job": lambda node, args, given: given[0][node[2]],
    "jobs": lambda node, args, given: _results(node[2], given[0]),
    "atom": lambda node, args, given: node[2],
    "literal": lambda node, args, given: given[1](given[3][node[2]]),
    "blob": lambda node, args, given: given[2](node[2]),
    "list": lambda node, args, given: args,
    "tuple": lambda node, args, given: tuple(args),
    "set": lambda node, args, given: set(args),
    "frozenset": lambda node, args, given: frozenset(args),
    "dict": _dict,
    "fill": _fill,
    "op": _operate,
    "attribute": _attribute,
    "call": _call,
    "change": _change,
    "part": _part,
}
