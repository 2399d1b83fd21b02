"""Values as bytes: exact types come back, and nothing unsigned is ever opened as a pickle."""

from __future__ import annotations

import ast
import collections
import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import math
import pathlib
import pickle
import sys
import threading
import types
import uuid
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.tracing import plain, values

KEY = b"k" * 32
PACKAGE = pathlib.Path(values.__file__).parent


def packed(value: object) -> bytes:
    return b"".join(values.encode(value, KEY))


def back(value: object) -> object:
    return values.decode(packed(value), KEY)


def same(left: object, right: object) -> bool:
    """Equal, with equal types all the way down; nan is like nan, and -0.0 is not like 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        alike = left.dtype == right.dtype and left.shape == right.shape
        return alike and left.tobytes() == right.tobytes()
    if isinstance(left, float | np.floating):
        return repr(left) == repr(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, set | frozenset):
        return sorted(map(repr, left)) == sorted(map(repr, right))
    if isinstance(left, complex):
        return repr(left) == repr(right)
    return left == right


class Colour(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Row:
    name: str
    cells: list


PLAIN = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2**63,
        -(2**64),
        2**64,
        10**5000,
        "",
        "é\n\"'\\",
        "\ud800",
        "\ud83d\ude00",
        "😀",
    ),
    *(0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1e308, 5e-324, 3 + 4j, complex(-0.0, math.nan)),
    *(b"", b"x", b"\0" * 1000, bytearray(b"abc"), bytearray(5000), ..., range(3, 9, 2), slice(None, 5)),
    *([], (), {}, set(), frozenset(), [[]], ((),), {"": None}, {"$": 1}, {1: "a", (2, "b"): {3}}),
    *([1, [2, (3, {4, 5}, frozenset({6}))]], {"a": {"b": [None]}}, [10**5000, {"n": -(10**5000)}]),
    *(Decimal("1.50"), Decimal("NaN"), Decimal("-0"), Fraction(1, 3), uuid.UUID(int=7)),
    *(dt.date(2020, 2, 29), dt.timedelta(-1, 2, 3), dt.datetime(2020, 1, 1, 2, 3, 4, 5, fold=1)),
    *(
        dt.datetime.max.replace(tzinfo=dt.UTC),
        dt.time(1, 2),
        dt.timezone(dt.timedelta(hours=2), "X"),
    ),
    dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    *(pathlib.Path("a/b"), pathlib.PurePosixPath("/x"), pathlib.PureWindowsPath("c:/x")),
    *(
        np.float64(1.5),
        np.float32("nan"),
        np.int8(-3),
        np.bool_(True),
        np.datetime64("2020-01-01"),
        np.complex64(1j),
    ),
    *(
        np.arange(6).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.arange(1000.0)[::3],
        np.zeros((0, 3)),
        np.array(5),
    ),
    *(np.array(["ab", "c"]), np.array([b"x"]), np.array(["2020"], "M8[D]"), np.arange(3, dtype=">i4")),
    np.zeros((4, 4), [("a", "<i4"), ("b", "<f8", (2,))]),
    {"deep": [(np.arange(500), b"y" * 500), {"k": np.int16(1)}]},
]
PICKLED = [
    *(
        Colour.RED,
        [Colour.RED],
        Point(1, 2),
        collections.OrderedDict(a=1),
        collections.Counter("ab"),
        Row("r", [1]),
    ),
    *(np.array([1, "a"], object), [np.longlong(1)], type, len, np.str_("a\0")),
]


@pytest.mark.parametrize("value", PLAIN, ids=values.preview)
def test_plain_values_come_back_exactly(value: object) -> None:
    data = packed(value)
    assert values.is_plain(data)
    assert same(values.decode(data, KEY), value) or (isinstance(value, Decimal) and value.is_nan())
    assert same(values.decode(memoryview(data), b"any key"), value) or isinstance(value, Decimal)


def test_a_decimal_that_is_no_number_stays_one() -> None:
    assert back(Decimal("-sNaN12")).compare_total(Decimal("-sNaN12")) == 0


@pytest.mark.parametrize("value", PICKLED, ids=values.preview)
def test_other_values_come_back_exactly(value: object) -> None:
    assert not values.is_plain(packed(value))
    assert type(back(value)) is type(value)
    assert repr(back(value)) == repr(value)


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.complex_numbers()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.dates()
    | st.timedeltas()
    | st.fractions()
    | st.integers(1).map(lambda number: number << 20_000)
    | st.sampled_from([np.float32(1.5), np.int64(3), ..., 2.5])
)
keys = (
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
)
arrays = st.builds(
    lambda shape, kind: np.arange(math.prod(shape)).reshape(shape).astype(kind),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
    st.sampled_from(["i4", "f8", "c16", "U3", "?"]),
)
anything = st.recursive(
    atoms | arrays,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=20,
)


@given(anything)
@settings(max_examples=200, deadline=None)
def test_any_plain_value_comes_back_exactly(value: object) -> None:
    assert same(back(value), value)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_bytes_are_a_value_error_or_another_value(data: st.DataObject) -> None:
    whole = bytearray(packed(data.draw(st.sampled_from(PLAIN[20:]))))
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    if cut:
        del whole[place:]
    else:
        whole[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ValueError, values.Untrusted):
        values.decode(bytes(whole), KEY)


def test_the_same_set_is_the_same_bytes() -> None:
    names = [f"name{number}" for number in range(50)]
    assert packed(set(names)) == packed(set(reversed(names)))
    assert packed({1: {"b", ("a", 1)}}) == packed({1: {("a", 1), "b"}})


def test_what_is_one_object_stays_one_object() -> None:
    row = [1]
    first, second = back([row, row])
    assert first is second
    loop: list = []
    loop.append(loop)
    again = back(loop)
    assert again[0] is again
    bomb: list = []
    for _ in range(100):
        bomb = [bomb, bomb]
    assert len(packed(bomb)) < 10_000


def test_constants_met_twice_stay_plain() -> None:
    pair = (1, "a")
    assert values.is_plain(packed([pair, pair, frozenset({1}), (), ()]))


def test_large_arrays_are_not_copied_on_the_way_out() -> None:
    array = np.arange(10_000.0)
    pieces = values.encode({"x": array}, KEY)
    assert any(np.shares_memory(np.frombuffer(piece, "u1"), array) for piece in pieces if len(piece) > 8000)
    signed = values.encode([Row("r", [array])], KEY)
    assert any(np.shares_memory(np.frombuffer(piece, "u1"), array) for piece in signed if len(piece) > 8000)


@pytest.mark.parametrize("value", [np.arange(5000), [Row("r", [np.arange(5000)])]], ids=["plain", "pickled"])
def test_arrays_may_be_changed_by_who_receives_them(value: object) -> None:
    data = packed(value)
    array = values.decode(data, KEY)
    array = array if isinstance(array, np.ndarray) else array[0].cells[0]
    array[0] = 7
    assert values.decode(data, KEY) is not array and packed(value) == data
    own = bytearray(data)
    view = values.decode(own, KEY)
    view = view if isinstance(view, np.ndarray) else view[0].cells[0]
    assert np.shares_memory(np.frombuffer(own, "u1"), view)


# ---------------------------------------------------------------------------- trust

opened: list[str] = []


def spring() -> None:
    opened.append("opened")


class Trap:
    def __reduce__(self) -> tuple:
        return spring, ()


def test_a_signed_pickle_is_opened() -> None:
    opened.clear()
    values.decode(packed(Trap()), KEY)
    assert opened == ["opened"]


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("where", ["signature", "length", "middle", "last", "key", "draft", "short"])
def test_a_pickle_is_refused_before_it_is_opened(where: str) -> None:
    opened.clear()
    data, key = packed([Trap(), "x" * 100]), KEY
    if where == "key":
        key = b"another"
    elif where == "draft":
        data = b"".join(values.encode(Trap(), None))
    elif where == "short":
        data = data[:20]
    else:
        data = _flipped(
            data, {"signature": 5, "length": 36, "middle": len(data) // 2, "last": -1 % len(data)}[where]
        )
    with pytest.raises(values.Untrusted):
        values.decode(data, key)
    assert opened == []


def test_a_bare_pickle_is_no_value() -> None:
    opened.clear()
    for mark in (b"", plain.JSON, plain.BINARY):
        with pytest.raises(ValueError, match="bytes are"):
            values.decode(mark + pickle.dumps(Trap()), KEY)
    assert opened == []


@pytest.mark.parametrize("value", [5, np.arange(9999), Row("r", [np.arange(9999)])], ids=values.preview)
def test_a_draft_that_is_signed_later_is_a_value(value: object) -> None:
    draft = b"".join(values.encode(value, None))
    assert repr(values.decode(b"".join(values.sign([draft], KEY)), KEY)) == repr(value)
    whole = b"".join(values.sign(values.encode(value, None), KEY))
    assert repr(values.decode(whole, KEY)) == repr(value)


# ---------------------------------------------------------------------------- classes from cells


def cell(text: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Names defined as a notebook's cell would define them."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(text, module.__dict__)
    return module.__dict__


CELL = """
import dataclasses, threading
lock = threading.Lock()
@dataclasses.dataclass
class Pair:
    left: object
    right: object = None
    def locked(self):
        return lock
@dataclasses.dataclass
class Clean:
    x: int
"""


def test_the_receivers_own_class_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = cell(CELL, monkeypatch)
    data = packed([mine["Clean"](1), mine["Clean"](2)])
    theirs = cell(CELL, monkeypatch)
    first, second = values.decode(data, KEY, theirs.get)
    assert type(first) is type(second) is theirs["Clean"]
    assert first == theirs["Clean"](1)


def test_without_one_the_copy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = cell(CELL, monkeypatch)
    data = packed(mine["Clean"](1))
    cell("", monkeypatch)
    for find in (None, lambda name: None):
        copy = values.decode(data, KEY, find)
        assert type(copy).__name__ == "Clean" and copy.x == 1


def test_where_only_some_are_found_the_others_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = cell(CELL + "class Other:\n    pass\n", monkeypatch)
    data = packed([mine["Clean"](1), mine["Other"]()])
    theirs = cell(CELL, monkeypatch)
    first, second = values.decode(data, KEY, theirs.get)
    assert type(first) is theirs["Clean"] and type(second).__name__ == "Other"


def test_a_class_that_cannot_be_copied_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = cell(CELL, monkeypatch)
    data = packed(mine["Pair"](1, 2))
    assert values.decode(data, KEY, mine.get) == mine["Pair"](1, 2)
    assert values.decode(data, KEY) == mine["Pair"](1, 2)
    cell("", monkeypatch)
    with pytest.raises(LookupError, match="Pair is not defined here"):
        values.decode(data, KEY)


# ---------------------------------------------------------------------------- blame

LOCK = threading.Lock()


class Holder:
    def __init__(self, **held: object) -> None:
        self.__dict__.update(held)


class Slotted:
    __slots__ = ("lock",)


def _slotted() -> Slotted:
    made = Slotted()
    made.lock = LOCK
    return made


def _closure(inner: object) -> object:
    return lambda: inner


def _deep() -> list:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    return deep


BLAME = [
    (LOCK, "", "_thread.lock"),
    ({"a": [1, 2, 3, Holder(lock=LOCK)]}, "['a'][3].lock", "_thread.lock"),
    ([(0, {1: {"x": LOCK}})], "[0][1][1]['x']", "_thread.lock"),
    (_closure(LOCK), " -> inner", "_thread.lock"),
    ({"f": _closure(_closure([LOCK]))}, "['f'] -> inner -> inner[0]", "_thread.lock"),
    (functools.partial(len, LOCK), ".args[0]", "_thread.lock"),
    (_slotted(), ".lock", "_thread.lock"),
    (Holder(lock=LOCK).__init__, ".__self__.lock", "_thread.lock"),
    ([x for x in [(n for n in [])]], "[0]", "generator"),
    (Row("r", [LOCK]), ".cells[0]", "_thread.lock"),
    (Holder(f=sys.stdout), ".f", None),
]


@pytest.mark.parametrize(("value", "path", "name"), BLAME, ids=[str(number) for number in range(len(BLAME))])
def test_the_part_that_cannot_be_sent_is_named(value: object, path: str, name: str | None) -> None:
    with pytest.raises(values.CannotEncode) as caught:
        values.encode(value, KEY)
    assert caught.value.path.startswith(path)
    if name:
        assert (caught.value.path, caught.value.type_name) == (path, name)
        assert name.split(".")[-1] in caught.value.reason


def test_too_deep_is_said_as_such() -> None:
    with pytest.raises(values.CannotEncode, match="nested too deeply"):
        values.encode(_deep(), KEY)


def test_a_cycle_with_a_lock_ends() -> None:
    one, two = Holder(), Holder()
    one.other, two.other, two.lock = two, one, LOCK
    with pytest.raises(values.CannotEncode) as caught:
        values.encode(one, KEY)
    assert caught.value.path == ".other.lock"


# ---------------------------------------------------------------------------- preview


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


PREVIEWS = [
    (None, "None"),
    (7, "7"),
    ("Ada", "'Ada'"),
    ([1, 2], "[1, 2]"),
    (np.zeros((100, 3)), "ndarray float64 (100, 3)"),
    (np.zeros(4, "i1"), "ndarray int8 (4,)"),
    (Row("r", [1]), "Row(name='r', cells=[1])"),
    (Holder(), "Holder"),
    (Rude(), "Rude"),
    (Row, "class Row"),
    (same, "function same"),
]


@pytest.mark.parametrize(("value", "text"), PREVIEWS, ids=[text for _, text in PREVIEWS])
def test_preview(value: object, text: str) -> None:
    assert values.preview(value) == text


@pytest.mark.parametrize("value", [*PLAIN, *PICKLED, "x\n" * 99, list(range(10**6)), "y" * 10**6], ids=type)
def test_a_preview_is_one_short_line(value: object) -> None:
    text = values.preview(value)
    assert len(text) <= 80 and "\n" not in text


# ---------------------------------------------------------------------------- shipped as text


@pytest.mark.parametrize("name", ["plain", "values", "evaluate"])
def test_the_text_is_python_3_9(name: str) -> None:
    ast.parse((PACKAGE / f"{name}.py").read_text(), feature_version=(3, 9))


def test_the_text_works_in_a_kernel_without_elfbook(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {}
    for name in ("plain", "values", "evaluate"):
        sent[name] = types.ModuleType("elfbook_inside_" + name)
        monkeypatch.setitem(sys.modules, sent[name].__name__, sent[name])
        exec((PACKAGE / f"{name}.py").read_text(), sent[name].__dict__)
    assert sent["values"].plain is sent["plain"]
    for value in (PLAIN[-1], Row("r", [1])):
        data = b"".join(sent["values"].encode(value, KEY))
        assert same(values.decode(data, KEY), value)
