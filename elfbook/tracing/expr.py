"""Values: results that are not there yet, and everything that can be written with them.

Operators, items, slices, attributes and method calls of a value give values. What needs the
result now (truth, length, iteration, numbers, text) raises DeferredValueError where it stands.

Changing a value (`v[k] = x`, `del v[k]`, `v.name = x`, `v.append(x)` and the other methods named
in evaluate.CHANGING) gives the handle `v` a new version:

* what was formed earlier, other values and arguments of calls alike, keeps the version it saw;
* a part remembers what it was taken from, so `v["a"].append(x)` changes `v` too; a part taken
  before its whole changed in another way can still be read, but no longer changed;
* slices, copies and the results of operators are objects of their own;
* other methods (of your own classes, say) work on a copy, and `v` keeps its meaning: to change an
  object of your own, write a task that returns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from elfbook.errors import DeferredValueError
from elfbook.tracing import nodes
from elfbook.tracing.evaluate import CHANGING
from elfbook.tracing.nodes import ADVICE, Deferred, Frozen, Ledger, Node, lift

__all__ = ["Value", "freeze", "gathered", "value_of_job"]

_put = object.__setattr__
_SHARING = frozenset({"get", "setdefault"})
"""Methods whose result is still part of their object."""


class Value(Deferred):
    """The result of a job that has yet to run, or an expression over such results."""

    __slots__ = ("__weakref__", "_origin", "_outputs")

    _origin: tuple[Value, Node] | None
    """What this is a part of, and the version of that when it was taken."""
    _outputs: tuple[str, ...] | None
    """The keys that the task declares; () when it declares None."""

    __array_ufunc__ = None
    __pandas_priority__ = 10_000

    def __init__(
        self,
        ledger: Ledger,
        node: Node,
        origin: tuple[Value, Node] | None = None,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        _put(self, "_ledger", ledger)
        _put(self, "_node", node)
        _put(self, "_origin", origin)
        _put(self, "_outputs", outputs)

    # ------------------------------------------------------------------ shown and copied

    def __repr__(self) -> str:
        labels = self._ledger.labels
        jobs = [labels[job] for job in nodes.jobs_of(self._node)]
        if self._node.step == "job":
            return f"<value of {jobs[0]}>"
        rest = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        return f"<value from {jobs[0]}{rest}>" if jobs else "<value>"

    def __copy__(self) -> Value:
        return Value(self._ledger, self._node, outputs=self._outputs)

    def __deepcopy__(self, memo: dict) -> Value:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._refuse("cannot be stored or sent by itself")

    __hash__ = object.__hash__

    # ------------------------------------------------------------------ items, attributes

    def __getitem__(self, key: Any) -> Value:
        self._check_key(key)
        node = Node("op", (self._node, self._lift(key)), "getitem")
        return self._derive(node, None if _is_slice(key) else (self, self._node))

    def __setitem__(self, key: Any, item: Any) -> None:
        _change(self, "setitem", "", (self._lift(key), self._lift(item)))

    def __delitem__(self, key: Any) -> None:
        _change(self, "delitem", "", (self._lift(key),))

    def __getattr__(self, name: str) -> Attribute:
        if name.startswith("_"):
            raise AttributeError(f"{name}: names that begin with _ are never deferred")
        if self._outputs == ():
            raise AttributeError(f"{self._task()} is declared to return None, which has no {name}")
        self._check_open()
        return Attribute(self, name)

    def __setattr__(self, name: str, item: Any) -> None:
        _change(self, "setattr", _public(name), (self._lift(item),))

    def __delattr__(self, name: str) -> None:
        _change(self, "delattr", _public(name), ())

    # ------------------------------------------------------------------ the rest

    def _lift(self, other: Any) -> Node:
        self._check_open()
        return lift(other, self._ledger)

    def _derive(self, node: Node, origin: tuple[Value, Node] | None = None) -> Value:
        return Value(self._ledger, node, origin)

    def _task(self) -> str:
        return self._ledger.labels[self._node.rest[0]].split("[")[0]

    def _check_key(self, key: Any) -> None:
        if self._outputs is None or isinstance(key, Value):
            return
        if not self._outputs:
            raise DeferredValueError(f"{self._task()} is declared to return None: it has no {key!r}")
        if key not in self._outputs:
            declared = ", ".join(map(repr, self._outputs))
            raise KeyError(f"{self._task()} declares {declared}, not {key!r}")

    def _check_open(self) -> None:
        if not self._ledger.open:
            raise DeferredValueError(
                f"{self!r} belongs to flow {self._ledger.flow}, which has been recorded to its end",
                hint=f"Use the result of {self._ledger.flow} instead.",
            )

    def _refuse(self, what: str) -> NoReturn:
        raise DeferredValueError(f"{self!r} {what}: it has not been computed yet", hint=ADVICE)


class Attribute(Value):
    """An attribute of a value; called, it is a method call."""

    __slots__ = ("_name",)

    _name: str

    def __init__(self, owner: Value, name: str) -> None:
        node = Node("attribute", (owner._node,), name)
        super().__init__(owner._ledger, node, (owner, owner._node))
        _put(self, "_name", name)

    def __call__(self, *args: Any, **kwargs: Any) -> Value:
        self._check_open()
        assert self._origin is not None
        owner, name = self._origin[0], self._name
        refs = tuple(map(owner._lift, (*args, *kwargs.values())))
        if name in CHANGING or kwargs.get("inplace") is True:
            return _change(owner, "method", name, refs, list(kwargs))
        node = Node("call", (owner._node, *refs), name, list(kwargs))
        return owner._derive(node, (owner, owner._node) if name in _SHARING else None)


# ---------------------------------------------------------------------------- changes


def _change(
    target: Value, kind: str, name: str, refs: tuple[Node, ...], keywords: list[str] | None = None
) -> Value:
    """Gives the value, and what it is part of, a new version; returns the change's own result."""
    chain = _chain(target)
    links = tuple(link._node for link in chain)
    change = Node("change", (*links, *refs), kind, name, len(chain), keywords or [])
    for place, link in enumerate(chain):
        _put(link, "_node", Node("part", (change,), place))
        _put(link, "_outputs", None)
        if place:
            _put(link, "_origin", (chain[place - 1], chain[place - 1]._node))
    shared = (target, target._node) if name in _SHARING else None
    return Value(target._ledger, Node("part", (change,), len(chain)), shared)


def _chain(target: Value) -> list[Value]:
    """The value and what it is part of, the whole first."""
    chain = [target]
    while chain[-1]._origin is not None:
        whole, seen = chain[-1]._origin
        if whole._node is not seen:
            raise DeferredValueError(
                f"this part of {whole!r} was taken before that was changed, so it can no longer be changed",
                hint="Take the part again after the change, then change it.",
            )
        chain.append(whole)
    return chain[::-1]


def _is_slice(key: Any) -> bool:
    return isinstance(key, slice) or (isinstance(key, tuple) and any(isinstance(part, slice) for part in key))


def _public(name: str) -> str:
    if name.startswith("_"):
        raise AttributeError(f"{name}: names that begin with _ are never deferred")
    return name


# ---------------------------------------------------------------------------- operators


def _unary(operation: str) -> Callable[[Value], Value]:
    def method(self: Value) -> Value:
        self._check_open()
        return self._derive(Node("op", (self._node,), operation))

    return method


def _binary(operation: str) -> Callable[[Value, Any], Value]:
    def method(self: Value, other: Any) -> Value:
        return self._derive(Node("op", (self._node, self._lift(other)), operation))

    return method


def _reversed(operation: str) -> Callable[[Value, Any], Value]:
    def method(self: Value, other: Any) -> Value:
        return self._derive(Node("op", (self._lift(other), self._node), operation))

    return method


def _power(self: Value, other: Any, modulo: Any = None) -> Value:
    refs = (self._node, self._lift(other), self._lift(modulo))
    return self._derive(Node("op", refs[: 2 if modulo is None else 3], "power"))


def _round(self: Value, digits: Any = None) -> Value:
    refs = (self._node, self._lift(digits))
    return self._derive(Node("op", refs[: 1 if digits is None else 2], "round"))


def _impossible(what: str) -> Callable[..., NoReturn]:
    def method(self: Value, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse(what)

    return method


def _define(name: str, method: Callable) -> None:
    method.__name__ = f"__{name}__"
    method.__qualname__ = f"Value.__{name}__"
    setattr(Value, method.__name__, method)


_ARITHMETIC = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul"),
    *("lshift", "rshift", "and", "or", "xor"),
)
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_UNARY = ("neg", "pos", "abs", "invert", "floor", "ceil", "trunc")
_IMPOSSIBLE = {
    "bool": "cannot be asked whether it is true",
    "len": "cannot be asked for its length",
    "iter": "cannot be iterated or unpacked",
    "reversed": "cannot be iterated",
    "contains": "cannot be searched",
    "int": "cannot be turned into an int",
    "float": "cannot be turned into a float",
    "complex": "cannot be turned into a complex number",
    "index": "cannot be used as an index or a count",
    "str": "cannot be turned into text",
    "format": "cannot be put into text",
    "bytes": "cannot be turned into bytes",
    "fspath": "cannot be used as a path",
    "array": "cannot be turned into an array",
}

for _name in _ARITHMETIC:
    _operation = _name + "_" if _name in ("and", "or") else _name
    _define(_name, _binary(_operation))
    _define("r" + _name, _reversed(_operation))
    _define("i" + _name, _binary("i" + _name))
for _name in (*_COMPARISONS, "divmod"):
    _define(_name, _binary(_name))
for _name in _UNARY:
    _define(_name, _unary(_name))
for _name, _what in _IMPOSSIBLE.items():
    _define(_name, _impossible(_what))
_define("rdivmod", _reversed("divmod"))
_define("pow", _power)
_define("rpow", _reversed("pow"))
_define("ipow", _binary("ipow"))
_define("round", _round)


# ---------------------------------------------------------------------------- for the tracer


def value_of_job(ledger: Ledger, job: int, outputs: tuple[str, ...] | None) -> Value:
    """The value of a job just recorded; its label is the ledger's last."""
    return Value(ledger, Node("job", (), job), None, outputs)


def gathered(tree: Any, ledger: Ledger) -> Value:
    """One value of any object with values inside."""
    return Value(ledger, lift(tree, ledger))


def freeze(tree: Any, key: bytes) -> Frozen:
    """Any object with values anywhere inside, as an expression that evaluate.py computes."""
    return nodes.freeze(lift(tree, _ledger_of(tree) or Ledger("")), key)


def _ledger_of(tree: Any) -> Ledger | None:
    """The ledger of some value in the tree; those of other flows are refused by lift."""
    stack = [tree]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, Value):
            return item._ledger
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
        elif isinstance(item, slice):
            stack.extend((item.start, item.stop, item.step))
        elif hasattr(type(item), "__dataclass_fields__"):
            stack.extend(getattr(item, name, None) for name in type(item).__dataclass_fields__)
    return None
