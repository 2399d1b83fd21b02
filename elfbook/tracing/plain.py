"""Plain data as tagged JSON with binary segments, exact types kept; reading it runs no code.

Plain are None, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset,
dict, dates and times, Decimal, Fraction, UUID, paths, range, slice, Ellipsis, and numpy's arrays
and numbers: of exactly these types, in any nesting, no container met twice.

This file is also sent as text into worker kernels: standard library only (and numpy where it is),
no import of elfbook, Python 3.9.

    b"E1J" JSON
    b"E1B" container: JSON, segments

A container is: JSON length (u32), number of segments (u32), their lengths (u64 each), the JSON,
and the segments, each starting at a multiple of 64 bytes from the container's start.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import fractions
import functools
import json
import pathlib
import struct
import sys
import uuid
from typing import Any, Callable, Iterator, Union

JSON, BINARY = b"E1J", b"E1B"
MARK = 3
"""Bytes of the mark that every encoding starts with."""
SMALL = 256
"""Bytes and arrays up to this size are written as base64 inside the JSON."""

Buffer = Union[bytes, bytearray, memoryview]


class NotPlain(Exception):
    """The value needs a pickle."""


# ---------------------------------------------------------------------------- encode


def encode(value: object) -> list:
    """Bytes-like pieces that, joined in order, are the value; NotPlain when it is not plain."""
    kind = type(value)
    if kind is str:
        return [JSON + _text(value).encode("utf-8", "surrogatepass")]
    if kind is int and -(1 << 64) < value < 1 << 64:
        return [b"E1J%d" % value]
    if value is None:
        return [b"E1Jnull"]
    try:
        return _written(value)
    except RecursionError:
        raise NotPlain from None


def _written(value: object) -> list:
    for careful in (False, True):
        out = _Out(careful)
        tree = _tree(value, out)
        try:
            text = dumps(tree).encode("utf-8", "surrogatepass")
        except ValueError:  # an int of more digits than Python turns into text
            if careful:
                raise
            continue
        if not out.segments:
            return [JSON + text]
        return [BINARY, *pack(text, out.segments)]
    raise NotPlain


class _Out:
    """What one encoding gathers beside its JSON."""

    __slots__ = ("careful", "seen", "segments")

    def __init__(self, careful: bool) -> None:
        self.careful = careful
        self.seen: set = set()
        self.segments: list = []

    def once(self, value: object) -> None:
        # An object met twice is one object: only a pickle can say so. It also ends cycles.
        if id(value) in self.seen:
            raise NotPlain
        self.seen.add(id(value))

    def bytes(self, data: Any) -> dict:
        """The entry `b` (base64) or `i` (segment) that brings the bytes back."""
        view = memoryview(data)
        if view.nbytes <= SMALL:
            return {"b": base64.b64encode(view).decode("ascii")}
        self.segments.append(data if isinstance(data, bytes) else view.cast("B"))
        return {"i": len(self.segments) - 1}


dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_text = json.encoder.encode_basestring
_ATOMS = frozenset({type(None), bool, int, float, str})


def _tree(value: Any, out: _Out) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        if out.careful and kind is int and value.bit_length() > 1024:
            return {"$": "int", "v": hex(value)}
        return value
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, out)
    if kind.__module__ == "numpy":
        return _numpy_tree(value, kind, out)
    raise NotPlain


def _items(values: Any, out: _Out) -> list:
    if not out.careful and _ATOMS.issuperset(map(type, values)):
        return list(values)
    return [_tree(value, out) for value in values]


def _write_list(value: list, out: _Out) -> list:
    out.once(value)
    return _items(value, out)


def _write_tuple(value: tuple, out: _Out) -> dict:
    # Constant tuples are shared by the compiler, so one of atoms may be met any number of times.
    if not _ATOMS.issuperset(map(type, value)):
        out.once(value)
    return {"$": "tuple", "v": _items(value, out)}


def _write_set(value: Any, out: _Out) -> dict:
    kind = type(value).__name__
    if kind == "set" or not _ATOMS.issuperset(map(type, value)):
        out.once(value)
    # Sorted, because the order of a set differs from process to process and digests must not.
    return {"$": kind, "v": sorted(_items(value, out), key=dumps)}


def _write_dict(value: dict, out: _Out) -> dict:
    out.once(value)
    for key in value:
        if type(key) is not str or key == "$":
            return {"$": "dict", "v": [[_tree(k, out), _tree(v, out)] for k, v in value.items()]}
    return {key: _tree(item, out) for key, item in value.items()}


def _write_bytes(value: Any, out: _Out) -> dict:
    return {"$": type(value).__name__, **out.bytes(value)}


def _write_zone(zone: Any, out: _Out) -> Any:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return {"$": "timezone", "v": [_tree(part, out) for part in zone.__getinitargs__()]}
    if type(zone).__module__ == "zoneinfo" and getattr(zone, "key", None):
        return {"$": "zoneinfo", "v": zone.key}
    raise NotPlain


def _write_datetime(t: datetime.datetime, out: _Out) -> dict:
    parts = [t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond]
    return {"$": "datetime", "v": parts, "z": _write_zone(t.tzinfo, out), "f": t.fold}


def _write_time(t: datetime.time, out: _Out) -> dict:
    parts = [t.hour, t.minute, t.second, t.microsecond]
    return {"$": "time", "v": parts, "z": _write_zone(t.tzinfo, out), "f": t.fold}


def _flat(tag: str, parts: Callable[[Any], list]) -> Callable[[Any, _Out], dict]:
    return lambda value, out: {"$": tag, "v": [_tree(part, out) for part in parts(value)]}


_WRITERS: dict = {
    list: _write_list,
    tuple: _write_tuple,
    dict: _write_dict,
    set: _write_set,
    frozenset: _write_set,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    datetime.datetime: _write_datetime,
    datetime.time: _write_time,
    datetime.timezone: _write_zone,
    complex: _flat("complex", lambda v: [v.real, v.imag]),
    datetime.date: _flat("date", lambda v: [v.year, v.month, v.day]),
    datetime.timedelta: _flat("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    decimal.Decimal: _flat("decimal", lambda v: [str(v)]),
    fractions.Fraction: _flat("fraction", lambda v: [v.numerator, v.denominator]),
    range: _flat("range", lambda v: [v.start, v.stop, v.step]),
    slice: _flat("slice", lambda v: [v.start, v.stop, v.step]),
    uuid.UUID: _flat("uuid", lambda v: [str(v)]),
    type(...): lambda value, out: {"$": "ellipsis"},
    type(pathlib.Path()): _flat("path", lambda v: [str(v)]),
    pathlib.PurePosixPath: _flat("posix", lambda v: [str(v)]),
    pathlib.PureWindowsPath: _flat("windows", lambda v: [str(v)]),
}


def _numpy_tree(value: Any, kind: type, out: _Out) -> dict:
    numpy = sys.modules["numpy"]
    if kind is numpy.ndarray:
        out.once(value)
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        flat = value.reshape(-1, order=order) if value.size else numpy.zeros(0, "u1")
        whole = flat if flat.flags.c_contiguous else flat.copy()
        entry = {"$": "ndarray", "d": _dtype(value.dtype, numpy, out), "s": list(value.shape), "o": order}
        return {**entry, **out.bytes(memoryview(whole.view("u1") if value.dtype.itemsize else b""))}
    if not isinstance(value, numpy.generic) or value.dtype.kind not in "biufcmM":
        raise NotPlain
    if numpy.dtype(value.dtype.str).type is not kind:  # two C types of one size: only one comes back
        raise NotPlain
    return {"$": "numpy", "d": value.dtype.str, **out.bytes(value.tobytes())}


def _dtype(dtype: Any, numpy: Any, out: _Out) -> Any:
    """The element type as npy headers describe it; object arrays are not plain."""
    if dtype.hasobject or dtype.metadata or dtype.kind not in "biufcmMSUV":
        raise NotPlain
    form = numpy.lib.format
    described = form.dtype_to_descr(dtype)
    if form.descr_to_dtype(described) != dtype:
        raise NotPlain
    return _tree(described, _Out(out.careful))


# ---------------------------------------------------------------------------- decode


def decode(view: memoryview) -> Any:
    """The object that was encoded; ValueError for bytes that are not plain data, or damaged."""
    mark = bytes(view[:MARK])
    try:
        if mark == JSON:
            return _read_json(str(view[MARK:], "utf-8", "surrogatepass"))
        if mark == BINARY:
            text, segments = split(view[MARK:])
            hook = functools.partial(_read, segments=segments)
            return json.JSONDecoder(object_hook=hook).decode(text)
    except Exception as error:
        raise ValueError("the bytes are damaged: %s" % error) from error
    raise ValueError("these bytes are not a value of this version of elfbook")


def _read(entry: dict, segments: list = []) -> Any:  # noqa: B006 (never changed)
    tag = entry.get("$")
    return entry if tag is None else _READERS[tag](entry, segments)


_read_json = json.JSONDecoder(object_hook=_read).decode


def _bytes(entry: dict, segments: list) -> Buffer:
    return base64.b64decode(entry["b"]) if "b" in entry else segments[entry["i"]]


def _read_datetime(entry: dict, segments: list) -> datetime.datetime:
    return datetime.datetime(*entry["v"], tzinfo=entry["z"], fold=entry["f"])


def _read_time(entry: dict, segments: list) -> datetime.time:
    return datetime.time(*entry["v"], tzinfo=entry["z"], fold=entry["f"])


def _read_zoneinfo(entry: dict, segments: list) -> Any:
    import zoneinfo

    return zoneinfo.ZoneInfo(entry["v"])


def _read_array(entry: dict, segments: list) -> Any:
    import numpy

    described = entry["d"]
    dtype = numpy.lib.format.descr_to_dtype(described)
    shape, data = tuple(entry["s"]), _bytes(entry, segments)
    if not memoryview(data).nbytes:
        return numpy.zeros(shape, dtype, order=entry["o"])
    array = numpy.frombuffer(data, dtype).reshape(shape, order=entry["o"])
    return array if array.flags.writeable else array.copy(order=entry["o"])


def _read_numpy(entry: dict, segments: list) -> Any:
    import numpy

    return numpy.frombuffer(_bytes(entry, segments), entry["d"])[0]


def _of(make: Callable) -> Callable[[dict, list], Any]:
    return lambda entry, segments: make(*entry["v"])


_READERS: dict = {
    "tuple": lambda entry, segments: tuple(entry["v"]),
    "set": lambda entry, segments: set(entry["v"]),
    "frozenset": lambda entry, segments: frozenset(entry["v"]),
    "dict": lambda entry, segments: {key: value for key, value in entry["v"]},
    "bytes": lambda entry, segments: bytes(_bytes(entry, segments)),
    "bytearray": lambda entry, segments: bytearray(_bytes(entry, segments)),
    "int": lambda entry, segments: int(entry["v"], 16),
    "complex": _of(complex),
    "datetime": _read_datetime,
    "date": _of(datetime.date),
    "time": _read_time,
    "timedelta": _of(datetime.timedelta),
    "timezone": _of(datetime.timezone),
    "zoneinfo": _read_zoneinfo,
    "decimal": _of(decimal.Decimal),
    "fraction": _of(fractions.Fraction),
    "range": _of(range),
    "slice": _of(slice),
    "uuid": _of(uuid.UUID),
    "ellipsis": lambda entry, segments: ...,
    "path": _of(pathlib.Path),
    "posix": _of(pathlib.PurePosixPath),
    "windows": _of(pathlib.PureWindowsPath),
    "ndarray": _read_array,
    "numpy": _read_numpy,
}


# ---------------------------------------------------------------------------- containers


def pack(text: bytes, segments: list) -> Iterator[Buffer]:
    sizes = [memoryview(segment).nbytes for segment in segments]
    head = struct.pack("<II%dQ" % len(sizes), len(text), len(sizes), *sizes) + text
    yield head + bytes(-len(head) % 64)
    for segment, size in zip(segments, sizes):
        yield segment
        if size % 64:
            yield bytes(-size % 64)


def split(view: memoryview) -> tuple:
    length, count = struct.unpack_from("<II", view)
    sizes = struct.unpack_from("<%dQ" % count, view, 8)
    start = 8 + 8 * count
    text = str(view[start : start + length], "utf-8", "surrogatepass")
    place, segments = start + length, []
    for size in sizes:
        place += -place % 64
        if place + size > view.nbytes:
            raise ValueError("the bytes are cut short")
        segments.append(view[place : place + size])
        place += size
    return text, segments
