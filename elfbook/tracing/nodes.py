"""Expressions as graphs of nodes, and the bytes that carry them.

A node says how one object comes about: a job's result, a literal, an operation on other nodes.
Nodes never change, so whatever was formed earlier keeps its meaning. `lift` turns any object with
values somewhere inside into a node; literals are encoded there and then, so changing a list after
a call does not change the call. `freeze` writes a node as evaluate.py reads it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from elfbook.errors import DeferredValueError, DefinitionError
from elfbook.model import INLINE_LIMIT, ValueRef
from elfbook.tracing import evaluate, values
from elfbook.wire import digest_of

_PACK_LIMIT = 4096
"""Tables longer than this are packed by zlib."""
_FEW = 32
"""Containers with more plain items than this carry them as one literal with gaps."""
_SHORT_TEXT = 1024
_INT_LIMIT = 1 << 63

ADVICE = "Do that inside a task, or end the flow here and use its result."


class Node:
    """How one object comes about: a step of evaluate.py, the nodes it needs, its own data."""

    __slots__ = ("refs", "rest", "step")

    def __init__(self, step: str, refs: tuple[Node, ...] = (), *rest: Any) -> None:
        self.step = step
        self.refs = refs
        self.rest = rest


class Ledger:
    """What all values of one flow share: its jobs' labels, its large literals, whether it is open."""

    __slots__ = ("copy", "flow", "labels", "large", "look", "open")

    def __init__(
        self,
        flow: str,
        look: Callable[[object], None] | None = None,
        labels: Sequence[str] = (),
        copy: Callable[[list], Any] = b"".join,
    ) -> None:
        self.flow = flow
        self.open = True
        self.look = look
        """Refuses objects that must not become literals, by raising."""
        self.copy = copy
        """Makes one buffer of the pieces of a large literal, which may change afterwards."""
        self.labels = labels
        self.large: dict[str, Draft] = {}


class Deferred:
    """What a value is to this module: a node of some flow."""

    __slots__ = ("_ledger", "_node")

    _ledger: Ledger
    _node: Node


class Draft:
    """An encoded literal; a pickle among them is signed only when the key is known."""

    __slots__ = ("_signed", "data", "digest", "preview")

    def __init__(self, data: bytes, digest: str = "", preview: str = "") -> None:
        self.data = data
        self.digest = digest
        self.preview = preview
        self._signed: tuple[bytes, bytes, str] | None = None

    def signed(self, key: bytes) -> tuple[bytes, str]:
        """The final bytes, and their SHA-256 when they are large."""
        if values.is_plain(self.data):
            return self.data, self.digest
        if self._signed is None or self._signed[0] != key:
            data = b"".join(values.sign([self.data], key))
            self._signed = key, data, digest_of(data) if self.digest else ""
        return self._signed[1:]


# ---------------------------------------------------------------------------- literals


def literal(value: Any, ledger: Ledger) -> Node:
    """A node for an object without values inside, as the object is now."""
    kind = type(value)
    if (
        value is None
        or kind is bool
        or kind is float
        or (kind is int and -_INT_LIMIT < value < _INT_LIMIT)
        or (kind is str and len(value) <= _SHORT_TEXT and value.isascii())
    ):
        return Node("atom", (), value)
    return _drafted(values.encode(value, None), value, ledger)


def _size(pieces: list) -> int:
    return sum(memoryview(piece).nbytes for piece in pieces)


def _drafted(pieces: list, value: Any, ledger: Ledger) -> Node:
    if _size(pieces) <= INLINE_LIMIT:
        return Node("literal", (), Draft(b"".join(pieces)))
    name = digest_of(*pieces)
    draft = ledger.large.get(name)
    if draft is None:  # the one copy that all calls with this literal share
        draft = ledger.large[name] = Draft(ledger.copy(pieces), name, values.preview(value))
    return Node("literal", (), draft)


# ---------------------------------------------------------------------------- lift


def lift(value: Any, ledger: Ledger) -> Node:
    """A node for any object, with values in lists, tuples, sets, dicts and dataclasses kept."""
    try:
        return _node(value, _seek(value, ledger), ledger)
    except RecursionError:
        raise DefinitionError("a container holds itself, or is nested too deeply, beside a value") from None
    except values.CannotEncode as error:
        raise _hidden(error) from error


def lift_call(args: tuple, kwargs: dict[str, Any], ledger: Ledger) -> Node:
    """A node for `(args, kwargs)`; large arguments are literals of their own, so calls share them."""
    try:
        positional = [_seek(value, ledger) for value in args]
        named = [_seek(value, ledger) for value in kwargs.values()]
    except RecursionError:
        raise DefinitionError("an argument holds itself, or is nested too deeply") from None
    if not any(positional) and not any(named):
        pieces = values.encode((args, kwargs), None)
        if _size(pieces) <= INLINE_LIMIT:
            return Node("literal", (), Draft(b"".join(pieces)))
    keys = [Node("atom", (), name) for name in kwargs]
    items = [_node(value, node, ledger) for value, node in zip(kwargs.values(), named, strict=True)]
    pairs = [node for pair in zip(keys, items, strict=True) for node in pair]
    first = tuple(_node(value, node, ledger) for value, node in zip(args, positional, strict=True))
    return Node("tuple", (Node("tuple", first), Node("dict", tuple(pairs))))


_EXACT = frozenset({type(None), bool, int, str})
"""What two writers of JSON write alike; floats are not among them."""


def written_at_once(args: tuple, kwargs: dict[str, Any]) -> bytes | None:
    """What `freeze(lift_call(args, kwargs))` gives, for the commonest arguments only; else None.

    A large flow makes most of its calls with a few numbers and texts: no nodes, and one pass.
    """
    if kwargs or not _EXACT.issuperset(map(type, args)):
        return None
    try:
        text = _json(args)
    except (OverflowError, ValueError):  # more digits than Python writes; half a character
        return None
    return _CALL % text if len(text) <= _SHORT_TEXT else None


_json = msgspec.json.Encoder().encode
_CALL = evaluate.LITERAL + b'E1J{"$":"tuple","v":[{"$":"tuple","v":%b},{}]}'


def _hidden(error: values.CannotEncode) -> Exception:
    """The error itself, or a plainer one when what could not be encoded is a value."""
    if not error.type_name.endswith((".Value", ".Attribute")):
        return error
    return DeferredValueError(
        f"a value is hidden in {error.path.lstrip('. ')}, where it cannot be found when it is there",
        hint="Pass it as an argument of its own, or in a list, tuple, set, dict or dataclass.",
    )


def _node(value: Any, found: Node | None, ledger: Ledger) -> Node:
    return literal(value, ledger) if found is None else found


_LEAVES = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, range})


def _seek(value: Any, ledger: Ledger) -> Node | None:
    """The node of an object that holds values, None for one that holds none."""
    kind = type(value)
    if kind in _LEAVES:
        return None
    if isinstance(value, Deferred):
        return _own(value, ledger)
    if isinstance(value, (list, tuple, set, frozenset)):
        if _LEAVES.issuperset(map(type, value)):
            return None
        return _merge(kind, list(value), value, ledger)
    if isinstance(value, dict):
        return _seek_dict(kind, value, ledger)
    if kind is slice:
        bounds = [value.start, value.stop, value.step]
        found = [_seek(bound, ledger) for bound in bounds]
        return Node("op", _together(bounds, found, ledger), "slice") if any(found) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        _look(value, ledger)
        return _gaps(value, names, [getattr(value, name) for name in names], object.__setattr__, ledger)
    _look(value, ledger)
    return None


def _look(value: object, ledger: Ledger) -> None:
    if ledger.look is not None:
        ledger.look(value)


def _own(value: Deferred, ledger: Ledger) -> Node:
    if value._ledger is not ledger:
        raise DefinitionError(
            f"{value!r} belongs to flow {value._ledger.flow}, this is flow {ledger.flow}",
            hint=f"Use the result of {value._ledger.flow} instead, once it has ended.",
        )
    return value._node


def _together(items: Iterable, found: Iterable[Node | None], ledger: Ledger) -> tuple[Node, ...]:
    return tuple(_node(item, node, ledger) for item, node in zip(items, found, strict=True))


def _merge(kind: type, items: list, value: Any, ledger: Ledger) -> Node | None:
    found = [_seek(item, ledger) for item in items]
    if not any(found):
        return None
    plain = found.count(None)
    if kind in (list, tuple, set, frozenset) and plain <= _FEW:
        return Node(kind.__name__, _together(items, found, ledger))
    if isinstance(value, (set, frozenset)):
        rest = kind(item for item, node in zip(items, found, strict=True) if node is None)
        return Node("op", (literal(rest, ledger), Node("set", tuple(filter(None, found)))), "or_")
    places = [place for place, node in enumerate(found) if node is not None]
    rest = [None if node is not None else item for item, node in zip(items, found, strict=True)]
    if isinstance(value, tuple):
        template = tuple(rest) if kind is tuple else kind._make(rest)
    else:
        template = copy.copy(value)
        list.__setitem__(template, slice(None), rest)
    return Node("fill", (literal(template, ledger), *filter(None, found)), places)


def _seek_dict(kind: type, value: dict, ledger: Ledger) -> Node | None:
    keys = list(value)
    if not {str, int}.issuperset(map(type, keys)) and any(_seek(key, ledger) for key in keys):
        raise DeferredValueError("a value cannot be the key of a dict before it is there", hint=ADVICE)
    if kind is dict and len(keys) <= _FEW:
        found = [_seek(item, ledger) for item in value.values()]
        if not any(found):
            return None
        items = _together(value.values(), found, ledger)
        pairs = zip(keys, items, strict=True)
        return Node("dict", tuple(node for key, item in pairs for node in (literal(key, ledger), item)))
    return _gaps(value, keys, list(value.values()), dict.__setitem__, ledger)


def _gaps(value: Any, names: list, items: list, put: Callable[..., None], ledger: Ledger) -> Node | None:
    """A copy of the object with None wherever a value was, and the values to be filled in."""
    found = [_seek(item, ledger) for item in items]
    if not any(found):
        return None
    places = [place for place, node in enumerate(found) if node is not None]
    template = copy.copy(value)
    for place in places:
        put(template, names[place], None)
    filled = places if isinstance(value, dict) else [names[place] for place in places]
    return Node("fill", (literal(template, ledger), *filter(None, found)), filled)


# ---------------------------------------------------------------------------- freeze


class Frozen(NamedTuple):
    """An expression as bytes, and what it needs."""

    expression: bytes
    parents: tuple[int, ...]
    """Jobs whose results it reaches, ascending, without repeats."""
    blobs: dict[str, list]
    """Large literals by digest, each as pieces to be joined."""
    refs: tuple[ValueRef, ...]
    """The same literals as records name them, with previews."""


def freeze(root: Node, key: bytes) -> Frozen:
    """The node and all it reaches as bytes, each node written once, however deep it is."""
    if root.step == "literal" and not root.rest[0].digest:
        return Frozen(evaluate.LITERAL + root.rest[0].signed(key)[0], (), {}, ())
    order = _ordered(root)
    place = {id(node): index for index, node in enumerate(order)}
    outside = _outside(order)
    blobs: dict[str, list] = {}
    refs: list[ValueRef] = []
    table: list[list] = []
    segments: list[bytes] = []
    parents: set[int] = set()
    for node in order:
        step, rest = node.step, node.rest
        if step == "job":
            parents.add(rest[0])
        elif step == "jobs":
            parents.update(_spanned(rest[0]))
        elif step == "literal":
            step, rest = _place_literal(node.rest[0], node in outside, key, segments, blobs, refs)
        table.append([step, [place[id(ref)] for ref in node.refs], *rest])
    return Frozen(_written(table, segments), tuple(sorted(parents)), blobs, tuple(refs))


def _place_literal(
    draft: Draft, outside: bool, key: bytes, segments: list[bytes], blobs: dict, refs: list[ValueRef]
) -> tuple[str, tuple]:
    data, digest = draft.signed(key)
    if not outside:
        segments.append(data)
        return "literal", (len(segments) - 1,)
    digest = digest or digest_of(data)
    if digest not in blobs:
        blobs[digest] = [data]
        refs.append(ValueRef(digest=digest, size=len(data), preview=draft.preview))
    return "blob", (digest,)


def _outside(order: list[Node]) -> set[Node]:
    """Literals that travel as blobs: the largest, until the rest is small enough."""
    drafts = [node for node in order if node.step == "literal"]
    outside: set[Node] = set()
    total = sum(len(node.rest[0].data) for node in drafts)
    for node in sorted(drafts, key=lambda node: -len(node.rest[0].data)):
        if total <= INLINE_LIMIT:
            break
        outside.add(node)
        total -= len(node.rest[0].data)
    return outside


def _written(table: list[list], segments: list[bytes]) -> bytes:
    head: dict[str, Any] = {"v": evaluate.VERSION, "nodes": table, "root": len(table) - 1}
    if segments:
        head["sizes"] = [len(segment) for segment in segments]
    text = json.dumps(head, separators=(",", ":")).encode()
    body = b"".join([struct.pack("<I", len(text)), text, *segments])
    if len(text) > _PACK_LIMIT:
        return evaluate.PACKED + zlib.compress(body, 1)
    return evaluate.NODES + body


def _ordered(root: Node) -> list[Node]:
    """Every node that the root reaches, each after those it needs; the root last."""
    if not any(ref.refs for ref in root.refs):
        return [*{id(ref): ref for ref in root.refs}.values(), root]
    order: list[Node] = []
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            stack.extend((ref, False) for ref in reversed(node.refs))
    return order


def _spanned(spans: list[list[int]]) -> Iterator[int]:
    return (job for first, last in spans for job in range(first, last + 1))


def jobs_of(root: Node) -> list[int]:
    """The jobs whose results a node reaches, ascending."""
    return sorted({node.rest[0] for node in _ordered(root) if node.step == "job"})
