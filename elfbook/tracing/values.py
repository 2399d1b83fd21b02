"""Python objects as self-describing bytes, and back.

Plain data (numbers, text, containers, dates, arrays) is tagged JSON with binary segments, keeps
its exact types and is opened without running any code. Anything else is one pickle in an envelope
signed with the mycelium's key; the signature is verified before the pickle is touched.

This file is also sent as text into worker kernels: it needs nothing but the standard library (and
uses numpy and cloudpickle where they are), imports nothing of elfbook and runs on Python 3.9.

    b"E1J", b"E1B" plain data, see plain.py
    b"E1P" 32 bytes HMAC-SHA256 of all that follows, container: JSON, pickle, classes, buffers
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
import importlib
import io
import json
import pickle
import reprlib
import sys
import types
from typing import Any, Callable, Iterable, Iterator, Optional

# The file beside this one, whatever the two are called: `elfbook.tracing.plain`, or in a worker's kernel
# `elfbook_inside_plain`. The kernel's environment may have another elfbook, or none.
plain = importlib.import_module(__name__[: -len("values")] + "plain")

PICKLE = b"E1P"
MARK = plain.MARK
MAC = 32
_DOMAIN = b"elfbook value 1\0"
"""What the signature covers first, so that no other signed thing can pass for a value."""


class CannotEncode(Exception):
    """No process but this one can hold the value; `path` leads to the part that is to blame."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__("%s is a %s: %s" % (path or "the value", type_name, reason))
        self.path = path
        self.type_name = type_name
        self.reason = reason


class Untrusted(Exception):
    """The bytes could run code and do not bear the signature of this key."""


# ---------------------------------------------------------------------------- encode and decode


def encode(value: object, key: Optional[bytes]) -> list:
    """Bytes-like pieces that, joined in order, are the value; large arrays are not copied.

    With key None a pickle is left unsigned: a draft, which `sign` completes and nobody opens.
    """
    try:
        return plain.encode(value)
    except plain.NotPlain:
        return _signed(value, key)


def sign(pieces: list, key: bytes) -> list:
    """The pieces of a draft with its signature put in; plain data comes back as it is."""
    head = bytes(pieces[0])
    if not head.startswith(PICKLE):
        return pieces
    rest = [head[MARK + MAC :], *pieces[1:]]
    return [PICKLE + _mac(key, rest) + rest[0], *rest[1:]]


def is_plain(data: Any) -> bool:
    """True if decoding the bytes runs no pickle."""
    return bytes(data[:MARK]) in (plain.JSON, plain.BINARY)


def decode(data: Any, key: bytes, find: Optional[Callable[[str], Optional[type]]] = None) -> Any:
    """The object that was encoded; raises Untrusted for a pickle not signed with `key`.

    `find` gives the receiver's own class of a qualified name, for classes made in cells; without
    one the copy inside the pickle is used. Arrays own their memory and are writable, unless `data`
    is itself writable: then they are views of it, and it must be left alone afterwards.
    """
    view = memoryview(data)
    if view[:MARK] == PICKLE:
        return _unpickle(view, key, find)
    return plain.decode(view)


# ---------------------------------------------------------------------------- pickles


def _mac(key: bytes, pieces: Iterable[Any]) -> bytes:
    mac = hmac.new(key, _DOMAIN, hashlib.sha256)
    for piece in pieces:
        mac.update(piece)
    return mac.digest()


def _signed(value: object, key: Optional[bytes]) -> list:
    classes: list = []
    buffers: list = []
    try:
        data = _pickle(value, classes, buffers.append)
    except Exception as error:
        raise _blame(value, error) from error
    copies = _copies(classes)
    names = plain.dumps([cls.__qualname__ for cls in classes]).encode("utf-8", "surrogatepass")
    pieces = list(plain.pack(names, [data, copies, *(buffer.raw() for buffer in buffers)]))
    mac = bytes(MAC) if key is None else _mac(key, pieces)
    return [PICKLE + mac + pieces[0], *pieces[1:]]


@functools.lru_cache(maxsize=None)
def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        return None
    return cloudpickle


@functools.lru_cache(maxsize=None)
def _pickler() -> type:
    parent = _cloudpickle().Pickler if _cloudpickle() else pickle.Pickler

    class Pickler(parent):
        """Writes a number for each class made in a cell, so the receiver may use its own."""

        def __init__(self, file: Any, classes: list, buffers: Any) -> None:
            super().__init__(file, protocol=5, buffer_callback=buffers)
            self.classes = classes

        def persistent_id(self, obj: Any) -> Optional[int]:
            if not isinstance(obj, type) or obj.__module__ != "__main__" or "<" in obj.__qualname__:
                return None
            for number, cls in enumerate(self.classes):
                if cls is obj:
                    return number
            self.classes.append(obj)
            return len(self.classes) - 1

    return Pickler


def _pickle(value: object, classes: list, buffers: Any = None) -> bytes:
    file = io.BytesIO()
    _pickler()(file, classes, buffers).dump(value)
    return file.getvalue()


def _copies(classes: list) -> bytes:
    """The classes by value; empty where that cannot be, and then the receiver must know them."""
    if not classes or not _cloudpickle():
        return b""
    try:
        return _cloudpickle().dumps(classes, protocol=5)
    except Exception:
        return b""


def _unpickle(view: memoryview, key: bytes, find: Optional[Callable[[str], Optional[type]]]) -> Any:
    body = view[MARK + MAC :]
    if not hmac.compare_digest(bytes(view[MARK : MARK + MAC]), _mac(key, [body])):
        raise Untrusted("a value that could run code is not signed with this mycelium's key")
    text, (data, copies, *buffers) = plain.split(body)
    names = json.loads(text)
    if body.readonly:
        buffers = [bytearray(buffer) for buffer in buffers]

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number: int) -> type:
            return classes[number]

    classes = _classes(names, copies, find) if names else []
    return Unpickler(io.BytesIO(data), buffers=buffers).load()


def _classes(names: list, copies: memoryview, find: Optional[Callable]) -> list:
    found = [find(name) if find else None for name in names]
    if all(found):
        return found
    sent = pickle.loads(copies) if copies.nbytes else [_in_main(name) for name in names]
    return [mine or theirs for mine, theirs in zip(found, sent)]


def _in_main(name: str) -> type:
    place: Any = sys.modules["__main__"]
    for part in name.split("."):
        place = getattr(place, part, None)
    if not isinstance(place, type):
        raise LookupError("the class %s is not defined here: run the cell that defines it" % name)
    return place


# ---------------------------------------------------------------------------- blame


def _blame(value: object, error: Exception) -> CannotEncode:
    """Follows the parts that cannot be pickled down to one whose own parts all can."""
    path, seen = "", set()
    while id(value) not in seen and not _too_deep(error):
        seen.add(id(value))
        for step, part in _parts(value):
            failed = None if id(part) in seen else _failure(part)
            if failed is not None:
                path, value, error = path + step, part, failed
                break
    reason = "nested too deeply" if _too_deep(error) else str(error) or type(error).__name__
    kind = type(value)
    shown = kind.__name__ if kind.__module__ in ("builtins", "__main__") else _dotted(kind)
    return CannotEncode(path, shown, reason)


def _dotted(kind: type) -> str:
    return "%s.%s" % (kind.__module__, kind.__qualname__)


def _too_deep(error: BaseException) -> bool:
    return isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)


def _failure(value: object) -> Optional[Exception]:
    try:
        _pickle(value, [], lambda buffer: None)
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple]:
    """Steps (`[3]`, `.lock`, ` -> name`) to what the value holds, and the things held."""
    if isinstance(value, dict):
        yield from ((" key %.40r" % (key,), key) for key in value)
        yield from (("[%.40r]" % (key,), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from (("[%d]" % place, item) for place, item in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((" item %.40r" % (item,), item) for item in value)
    elif isinstance(value, types.MethodType):
        yield from ((".__self__", value.__self__), (".__func__", value.__func__))
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, types.FunctionType):
        yield from _used(value)
    yield from _attributes(value)


def _used(function: types.FunctionType) -> Iterator[tuple]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        if cell != types.CellType():
            yield " -> " + name, cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield " -> " + name, function.__globals__[name]
    yield ".__defaults__", function.__defaults__


def _attributes(value: Any) -> Iterator[tuple]:
    if isinstance(value, types.ModuleType):
        return
    held = getattr(value, "__dict__", None)
    if held:
        yield from (("." + name, item) for name, item in list(held.items()))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name) and not name.startswith("__"):
                yield "." + name, getattr(value, name)


# ---------------------------------------------------------------------------- preview


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 6
        self.maxlevel = 3

    def repr_instance(self, x: Any, level: int) -> str:
        return _describe(x)


_SHORT = _Short()


def preview(value: object) -> str:
    """At most 80 characters on one line about the value; never fails."""
    try:
        text = _SHORT.repr(value)
    except Exception:
        text = type(value).__name__
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 80 else text[:79] + "…"


def _describe(value: Any) -> str:
    kind = type(value)
    name = kind.__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        dtype = getattr(value, "dtype", None)
        shown = "(%s)" % ", ".join(str(n) for n in shape) if len(shape) > 1 else "(%s,)" % shape[0]
        return "%s %s" % (name, shown) if dtype is None else "%s %s %s" % (name, dtype, shown)
    if isinstance(value, type):
        return "class " + value.__name__
    if isinstance(value, types.FunctionType):
        return "function " + name if name != "function" else "function " + value.__name__
    if dataclasses.is_dataclass(value) and kind.__repr__ is not object.__repr__:
        fields = [field.name for field in dataclasses.fields(value)[:8]]
        pairs = ["%s=%s" % (field, _SHORT.repr1(getattr(value, field), 1)) for field in fields]
        return "%s(%s)" % (name, ", ".join(pairs))
    if kind.__repr__ is object.__repr__:
        return name
    return repr(value)
