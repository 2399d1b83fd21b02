"""The interpreter of expressions: closed lists, every node once, nothing that came in is changed."""

from __future__ import annotations

import builtins
import json
import pathlib
import string
import struct
import sys
import types
import zlib
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.tracing import evaluate, values
from elfbook.tracing.evaluate import Refused

KEY = b"k"


def expression(nodes: list, root: int | None = None, segments: tuple[bytes, ...] = ()) -> bytes:
    """A hand-made expression, as an attacker or another version would write it."""
    table = {"v": 1, "nodes": nodes, "root": len(nodes) - 1 if root is None else root}
    text = json.dumps({**table, "sizes": [len(segment) for segment in segments]}).encode()
    return b"x1N" + struct.pack("<I", len(text)) + text + b"".join(segments)


def literal(data: Any) -> object:
    return values.decode(data, KEY)


def computed(data: bytes, *results: object) -> Any:
    return evaluate.evaluate(data, dict(enumerate(results)), literal, {}.__getitem__)


def encoded(value: object) -> bytes:
    return b"".join(values.encode(value, KEY))


JOB = ["job", [], 0]

# ---------------------------------------------------------------------------- the wire

GOLDEN = [
    (b'x1LE1J{"$":"tuple","v":[{"$":"tuple","v":["Ada"]},{}]}', (), (("Ada",), {})),
    (
        b'x1NW\x00\x00\x00{"v":1,"nodes":[["job",[],0],["tuple",[0]],["dict",[]],["tuple",[1,2]]],"root":3,"a":1}',
        (7,),
        ((7,), {}),
    ),
    (expression([JOB, ["atom", [], 1], ["op", [0, 1], "add"]]), (4,), 5),
    (
        expression([JOB, ["literal", [], 0], ["op", [0, 1], "getitem"]], None, (encoded(slice(1, None)),)),
        ("abc",),
        "bc",
    ),
    (expression([JOB, ["atom", [], "k"], ["dict", [1, 0]]]), (3,), {"k": 3}),
    (expression([JOB, ["attribute", [0], "real"]]), (3,), 3),
    (expression([JOB, ["atom", [], ","], ["call", [0, 1], "split", []]]), ("a,b",), ["a", "b"]),
    (expression([JOB, ["atom", [], 1], ["call", [0, 1], "split", ["maxsplit"]]]), ("a b c",), ["a", "b c"]),
    (
        expression(
            [
                JOB,
                ["atom", [], 9],
                ["change", [0, 1], "method", "append", 1, []],
                ["part", [2], 0],
                ["part", [2], 1],
                ["list", [0, 3, 4]],
            ]
        ),
        ([1],),
        [[1], [1, 9], None],
    ),
    (
        expression([["literal", [], 0], JOB, ["fill", [0, 1], [1]]], None, (encoded([1, None, 3]),)),
        (2,),
        [1, 2, 3],
    ),
    (
        expression([["literal", [], 0], JOB, ["fill", [0, 1], [0]]], None, (encoded({"a": None}),)),
        (2,),
        {"a": 2},
    ),
    (expression([["literal", [], 0], JOB, ["fill", [0, 1], [0]]], None, (encoded((None, 1)),)), (2,), (2, 1)),
    (expression([JOB, JOB, ["set", [0]], ["frozenset", [1]], ["op", [2, 3], "or_"]]), (2,), {2}),
]


@pytest.mark.parametrize(("data", "results", "value"), GOLDEN, ids=range(len(GOLDEN)))
def test_what_is_stored_today_means_the_same_tomorrow(data: bytes, results: tuple, value: object) -> None:
    assert computed(data, *results) == value


def test_a_packed_table_is_unpacked() -> None:
    data = expression([JOB, ["list", [0, 0]]])
    assert computed(b"x1Z" + zlib.compress(data[3:]), 5) == [5, 5]


def test_a_blob_is_asked_for_by_its_digest() -> None:
    data = expression([["blob", [], "abc"]])
    assert evaluate.evaluate(data, {}, literal, {"abc": 7}.__getitem__) == 7


@pytest.mark.parametrize(
    "data", [b"", b"x2N123", b"garbage" * 9, expression([JOB]).replace(b'"v": 1', b'"v": 2')]
)
def test_other_versions_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"of elfbook|another version"):
        computed(data, 1)


# ---------------------------------------------------------------------------- each node once


class Counting(dict):
    def __missing__(self, job: int) -> int:
        self[job] = 1
        return job

    def __getitem__(self, job: int) -> int:
        if job in self.keys():
            raise AssertionError(f"job {job} asked for twice")
        return self.__missing__(job)


def test_every_node_is_computed_at_most_once_and_only_if_needed() -> None:
    nodes = [JOB, ["job", [], 1], ["op", [0, 0], "add"], ["op", [1, 1], "truediv"], ["list", [2, 2, 0]]]
    asked = Counting()
    assert evaluate.evaluate(expression(nodes), asked, literal, {}.__getitem__) == [0, 0, 0]
    assert set(asked.keys()) == {0}


def test_a_very_deep_expression_needs_no_recursion() -> None:
    nodes: list = [JOB, ["atom", [], 1]]
    for place in range(2, 50_000):
        nodes.append(["op", [place - 1 if place > 2 else 0, 1], "add"])
    assert computed(expression(nodes), 0) == 49_998


class Account:
    def __init__(self) -> None:
        self.total = 1
        self.history: list = []

    def deposit(self, amount: int) -> int:
        self.total += amount
        self.history.append(amount)
        return self.total


def change(kind: str, name: str = "", *arguments: object) -> bytes:
    atoms = [["atom", [], argument] for argument in arguments]
    refs = list(range(1, len(atoms) + 1))
    return expression([JOB, *atoms, ["change", [0, *refs], kind, name, 1, []], ["part", [len(refs) + 1], 0]])


CHANGES = [
    ([1], change("method", "append", 2), [1, 2]),
    ({1}, change("method", "add", 2), {1, 2}),
    ({"a": 1}, change("setitem", "", "b", 2), {"a": 1, "b": 2}),
    ([1, 2], change("delitem", "", 0), [2]),
    (bytearray(b"a"), change("method", "append", 98), bytearray(b"ab")),
    (deque([1]), change("method", "appendleft", 0), deque([0, 1])),
    (types.SimpleNamespace(a=1), change("setattr", "a", 5), types.SimpleNamespace(a=5)),
    (types.SimpleNamespace(a=1, b=2), change("delattr", "a"), types.SimpleNamespace(b=2)),
    ([3, 1], change("method", "sort"), [1, 3]),
]


@pytest.mark.parametrize(("before", "data", "after"), CHANGES, ids=range(len(CHANGES)))
def test_a_change_is_made_on_a_copy(before: object, data: bytes, after: object) -> None:
    shown = repr(before)
    assert computed(data, before) == after
    assert repr(before) == shown


def test_in_place_operators_and_methods_leave_their_object_alone() -> None:
    rows, account, array = [1], Account(), np.arange(3)
    more = expression([JOB, ["literal", [], 0], ["op", [0, 1], "iadd"]], None, (encoded([2]),))
    assert computed(more, rows) == [1, 2] and rows == [1]
    assert computed(expression([JOB, ["atom", [], 4], ["call", [0, 1], "deposit", []]]), account) == 5
    assert (account.total, account.history) == (1, [])
    computed(expression([JOB, ["atom", [], 0], ["change", [0, 1], "method", "fill", 1, []]]), array)
    assert array.tolist() == [0, 1, 2]


def test_a_change_inside_reaches_the_whole() -> None:
    nodes = [JOB, ["atom", [], "a"], ["op", [0, 1], "getitem"], ["atom", [], 9]]
    nodes += [
        ["change", [0, 2, 3], "method", "append", 2, []],
        ["part", [4], 0],
        ["part", [4], 1],
        ["part", [4], 2],
    ]
    given = {"a": [1], "b": [2]}
    whole, part, nothing = computed(expression([*nodes, ["list", [5, 6, 7]]]), given)
    assert (whole, part, nothing) == ({"a": [1, 9], "b": [2]}, [1, 9], None)
    assert whole["a"] is part and given == {"a": [1], "b": [2]}


def test_part_of_an_array_is_not_changed_in_silence() -> None:
    nodes = [JOB, ["atom", [], 0], ["op", [0, 1], "getitem"], ["change", [0, 2], "method", "sort", 2, []]]
    with pytest.raises(Refused, match="array"):
        computed(expression(nodes), np.zeros((2, 2)))


def test_an_error_says_that_it_came_before_the_call() -> None:
    with pytest.raises(KeyError) as caught:
        computed(expression([JOB, ["atom", [], "x"], ["op", [0, 1], "getitem"]]), {})
    assert caught.value.__notes__ == ["while computing from earlier results: getitem"]


# ---------------------------------------------------------------------------- hostile expressions


def attribute(name: object) -> bytes:
    return expression([JOB, ["attribute", [0], name]])


def call(name: object, *arguments: object) -> bytes:
    atoms = [["atom", [], argument] for argument in arguments]
    return expression([JOB, *atoms, ["call", list(range(len(atoms) + 1)), name, []]])


def made_by_a_generator() -> Any:
    yield 1


def function(x: object = None) -> object:
    return x


FRAME, GENERATOR = sys._getframe(), made_by_a_generator()
HOSTILE = [
    *((attribute(name), (function,)) for name in ("__globals__", "__code__", "__builtins__", "cache")),
    *((attribute(name), ("",)) for name in ("__class__", "_", "__len__", 5, None, ["x"], {"a": 1}, True)),
    (attribute("f_globals"), (FRAME,)),
    (attribute("gi_frame"), (GENERATOR,)),
    (attribute("gi_code"), (Account(),)),
    (attribute("system"), (__import__("os"),)),
    (attribute("exec"), (builtins,)),
    (attribute("x"), (Account().deposit,)),
    (attribute("x"), ([].append,)),
    (attribute("ctypes"), (np.arange(3),)),
    (call("format", 1), ("{0.__class__}",)),
    (call("format_map", 1), ("{0.__class__}",)),
    (call("format", "{0.__class__}", 1), (str,)),
    (call("format", "{0.__class__}", 1), (string.Formatter(),)),
    (call("write_text", "x"), (pathlib.Path("/nowhere/at/all"),)),
    (call("unlink"), (pathlib.Path("/nowhere/at/all"),)),
    (call("tofile", "/nowhere/at/all"), (np.arange(3),)),
    (call("dump", "/nowhere/at/all"), (np.arange(3),)),
    (call("__reduce__"), (Account(),)),
    (call("send", None), (GENERATOR,)),
    *(
        (expression([JOB, JOB, ["op", [0, 1], name]]), ("a", "b"))
        for name in (
            "getattr",
            "eval",
            "exec",
            "__import__",
            "methodcaller",
            "attrgetter",
            "itemgetter",
            "call",
            "open",
            "",
            None,
            "setitem",
            "concat",
            "isinstance",
            5,
        )
    ),
    *(
        (expression([JOB, [name, [0], "x", "y"]]), (1,))
        for name in ("eval", "import", "__class__", None, 7, "lambda")
    ),
    (change("setattr", "__class__", 1), (Account(),)),
    (change("setattr", "total", 1), (Account,)),
    (change("setattr", "path", 1), (sys,)),
    (change("delattr", "__dict__"), (Account(),)),
    (change("method", "__setattr__", "a", 1), (Account(),)),
    (change("method", "format", 1), ("{0.__class__}",)),
    (change("exec", "x", 1), (Account(),)),
    (expression([JOB, ["part", [0], 0]]), ([1],)),
    (expression([JOB, ["list", [1]]]), (1,)),
    (expression([JOB, ["list", [2]], ["list", [0]]], 1), (1,)),
    (expression([JOB, ["list", [-1]]]), (1,)),
    (expression([JOB, ["list", [True]]]), (1,)),
    (expression([JOB, ["list", ["0"]]]), (1,)),
    (expression([JOB], 10**9), (1,)),
    (expression([JOB], -1), (1,)),
]


@pytest.mark.parametrize(("data", "results"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_expression_is_refused(data: bytes, results: tuple) -> None:
    with pytest.raises(Refused):
        computed(data, *results)


NAMES = st.sampled_from(
    [
        *("__class__", "__globals__", "__subclasses__", "mro", "format", "eval", "encode", "decode"),
        *("append", "real", "keys", "get", "copy", "pop", "x", "join", "deposit", "history", "total"),
        *("getitem", "add", "slice", "mod", "iadd", "eq"),
    ]
)
KINDS = st.sampled_from(["method", "setitem", "delitem", "setattr", "delattr", "eval"])
STEPS = st.sampled_from([*evaluate._STEPS, "eval", "import"])
RESULTS = ("{0.__class__}", [1, "a"], {"k": str}, Account(), function, sys, Account, b"x")
INSIDE = (types.ModuleType, types.CodeType, types.FrameType, types.BuiltinFunctionType, types.FunctionType)


@st.composite
def tables(draw: st.DrawFn) -> list:
    nodes: list = [["job", [], number] for number in range(len(RESULTS))]
    for _ in range(draw(st.integers(1, 12))):
        step = draw(STEPS)
        refs = draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=3))
        name, place = draw(NAMES), draw(st.integers(0, 2))
        shapes = {
            "call": [name, []],
            "change": [draw(KINDS), name, 1, []],
            "part": [place],
            "fill": [[place]],
        }
        nodes.append([step, refs, *shapes.get(step, [name])])
    return nodes


@given(tables())
@settings(max_examples=400, deadline=None)
def test_no_expression_leads_to_builtins_code_or_modules(nodes: list) -> None:
    try:
        value = computed(expression(nodes), *RESULTS)
    except Exception:
        return
    stack = [value]
    while stack:
        item = stack.pop()
        stack.extend(
            item if isinstance(item, list | tuple | set) else item.values() if isinstance(item, dict) else ()
        )
        bound = isinstance(item, types.BuiltinFunctionType) and not isinstance(
            item.__self__, types.ModuleType
        )
        assert item in (function, sys) or bound or not isinstance(item, INSIDE)
        assert item not in (type, object) or item is object  # mro() of a class ends there
