"""Values: the same expression on results that are not there yet gives the same, or says why not.

The numbered rows are those of blumycelium whose defects must not come back: operators that were
missing or silently wrong (BM-06), reuse after a change (BM-07), containers (BM-08).
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import json
import math
import operator
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.errors import DeferredValueError, DefinitionError
from elfbook.model import INLINE_LIMIT
from elfbook.tracing import evaluate, expr, nodes, values
from elfbook.tracing.expr import Value

KEY = b"k" * 32


def deferred(count: int = 1, outputs: tuple[str, ...] | None = None) -> list[Value]:
    """Values of that many jobs of one flow."""
    ledger = nodes.Ledger("party", labels=[f"task_a[{job}]" for job in range(count)])
    found = []
    for job in range(count):
        found.append(expr.value_of_job(ledger, job, outputs))
    return found


def thaw(frozen: expr.Frozen, *results: object) -> Any:
    """What a frozen expression gives for these job results."""
    blobs = {digest: b"".join(pieces) for digest, pieces in frozen.blobs.items()}

    def literal(data: Any) -> object:
        return values.decode(data, KEY)

    def blob(digest: str) -> object:
        return values.decode(blobs[digest], KEY)

    return evaluate.evaluate(frozen.expression, dict(enumerate(results)), literal, blob)


def computed(tree: object, *results: object) -> Any:
    return thaw(expr.freeze(tree, KEY), *results)


# ---------------------------------------------------------------------------- BM-06: operators

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lshift,
    operator.rshift,
    operator.and_,
    operator.or_,
    operator.xor,
    divmod,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.imod,
    operator.ipow,
    operator.ilshift,
    operator.irshift,
    operator.iand,
    operator.ior,
    operator.ixor,
]
UNARY = [operator.neg, operator.pos, abs, operator.invert, round, math.floor, math.ceil, math.trunc]


@pytest.mark.parametrize("operation", BINARY)
def test_every_binary_operator_in_both_directions(operation: Any) -> None:
    left, right = deferred(2)
    for tree in (operation(copy.copy(left), 3), operation(13, right), operation(copy.copy(left), right)):
        assert computed(tree, 13, 3) == operation(13, 3)


@pytest.mark.parametrize("operation", UNARY)
def test_every_unary_operator(operation: Any) -> None:
    assert computed(operation(deferred()[0]), 13) == operation(13)


def test_the_rest_of_the_protocol() -> None:
    (value,) = deferred()
    assert computed(pow(value, 3, 5), 13) == pow(13, 3, 5)
    assert computed(round(value, 1), 1.25) == round(1.25, 1)
    assert computed(value @ np.eye(2), np.ones((2, 2))).tolist() == [[1, 1], [1, 1]]
    assert computed(np.arange(3) + value, 1).tolist() == [1, 2, 3]
    assert computed(np.float64(2) * value, 4) == 8
    rows = [1]
    assert computed(rows + value, [2]) == [1, 2]
    assert computed("a" + value, "b") == "ab"
    assert computed({1} | value, {2}) == {1, 2}
    assert computed(sum([value, value]), 4) == 8


def test_items_slices_attributes_and_methods_chain_without_end() -> None:
    one, two = deferred(2)
    result = {"a": {"b": [1, "two", {"c": "x,y"}]}}
    assert computed(one["a"]["b"][2]["c"].split(",")[1].upper() + "!", result) == "Y!"
    assert computed(one["a"]["b"][1:][0], result) == "two"
    assert computed(one[two:], [1, 2, 3], 1) == [2, 3]
    assert computed(one[two], {"k": 5}, "k") == 5
    assert computed(one.real.imag, 5) == 0
    assert computed(one.split(sep=two, maxsplit=1), "a-b-c", "-") == ["a", "b-c"]


IMPOSSIBLE = [
    bool,
    len,
    iter,
    list,
    tuple,
    set,
    dict,
    int,
    float,
    complex,
    str,
    format,
    bytes,
    reversed,
    sorted,
    any,
    max,
    lambda v: f"{v}",
    lambda v: f"{v:>5}",
    "{}".format,
    lambda v: 1 if v else 2,
    lambda v: not v,
    lambda v: v and 1,
    lambda v: 1 in v,
    lambda v: v in [1, 2],
    lambda v: [1, 2][v],
    range,
    lambda v: v == 3 or 4,
    lambda v: v < 3 < v,
    lambda v: 1 < v < 3,
    lambda v: [*v],
    print,
    math.sqrt,
    np.array,
    np.asarray,
    lambda v: np.array([v, v]),
    pickle.dumps,
    lambda v: dict(**v),
    open,
    [1, 2].index,
    math.fsum,
    lambda v: exec("a, b = v", {"v": v}),
    lambda v: exec("assert v", {"v": v}),
    "".join,
    operator.index,
]


@pytest.mark.parametrize("use", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
@pytest.mark.parametrize(
    "derive", [lambda v: v, lambda v: v["k"] + 1, lambda v: v.name], ids=["job", "derived", "attribute"]
)
def test_what_cannot_wait_raises_with_advice(use: Any, derive: Any) -> None:
    with pytest.raises(DeferredValueError, match=r"task_a\[0\]") as caught:
        use(derive(deferred()[0]))
    assert "inside a task" in caught.value.hint


@pytest.mark.parametrize(
    "use", [lambda v: v(), lambda v: v["f"](1), json.dumps, np.sin, iter(()).__class__, lambda v: v.__call__]
)
def test_other_uses_are_errors_of_python(use: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        use(deferred()[0])


@pytest.mark.parametrize(
    "name", ["_repr_html_", "_ipython_display_", "__array_interface__", "_x", "__fields__", "_"]
)
def test_probes_find_nothing(name: str) -> None:
    (value,) = deferred()
    assert not hasattr(value, name)
    with pytest.raises(AttributeError):
        setattr(value, name, 1)


def test_repr_is_safe_and_says_where_it_comes_from() -> None:
    one, two = deferred(2)
    assert repr(one) == "<value of task_a[0]>"
    assert repr(one["x"].y + 1) == "<value from task_a[0]>"
    assert repr(one + two) == "<value from task_a[0] and 1 more>"
    assert repr([one, {"k": two}]) == "[<value of task_a[0]>, {'k': <value of task_a[1]>}]"


def test_a_value_is_known_by_identity_in_sets_and_dicts() -> None:
    one, two = deferred(2)
    assert {one: 1, two: 2}[two] == 2
    assert len({one, two, one}) == 2


# ---------------------------------------------------------------------------- BM-05: declared keys


def test_an_undeclared_key_is_an_error_at_once() -> None:
    (value,) = deferred(1, ("mean", "std"))
    assert computed(value["mean"], {"mean": 1, "std": 2}) == 1
    with pytest.raises(KeyError, match="task_a declares 'mean', 'std', not 'median'"):
        value["median"]
    value["median"] = 3
    assert computed(value["median"], {"mean": 1}) == 3


def test_a_task_that_returns_none_cannot_be_indexed() -> None:
    (value,) = deferred(1, ())
    with pytest.raises(DeferredValueError, match="task_a is declared to return None"):
        value["x"]
    with pytest.raises(AttributeError, match="declared to return None"):
        value.x  # noqa: B018


# ---------------------------------------------------------------------------- BM-07: changes


def test_each_job_sees_the_version_it_was_given() -> None:
    (value,) = deferred()
    first = expr.freeze(value, KEY)
    returned = value.append(9)
    second = expr.freeze(value, KEY)
    value[0] = value[0] + 1
    del value[1]
    third = expr.freeze([value, returned], KEY)
    result = [1, 2]
    assert thaw(first, result) == [1, 2]
    assert thaw(second, result) == [1, 2, 9]
    assert thaw(third, result) == [[2, 9], None]
    assert result == [1, 2]


def test_versions_in_one_expression_are_apart() -> None:
    (value,) = deferred()
    before = copy.copy(value)
    popped = value.pop()
    assert computed([before, value, popped, before], [1, 2]) == [[1, 2], [1], 2, [1, 2]]


def test_a_value_is_usable_after_any_method() -> None:
    (value,) = deferred()
    upper = value.upper()
    assert computed([upper, value, value + upper], "a") == ["A", "a", "aA"]


def test_a_change_of_a_part_changes_the_whole() -> None:
    (value,) = deferred()
    early = value["a"]
    value["a"].append(2)
    value.setdefault("z", []).append(3)
    value["a"][0] += 5
    value["n"]["m"].update(k=1)
    assert computed([value, early], {"a": [1], "n": {"m": {}}}) == [
        {"a": [6, 2], "n": {"m": {"k": 1}}, "z": [3]},
        [1],
    ]


def test_a_part_goes_on_changing_with_its_whole() -> None:
    (value,) = deferred()
    part = value["a"]
    part.append(2)
    part.append(3)
    assert computed([value, part], {"a": [1]}) == [{"a": [1, 2, 3]}, [1, 2, 3]]


def test_a_stale_part_can_be_read_but_not_changed() -> None:
    (value,) = deferred()
    part = value["a"]
    value["b"] = 1
    assert computed(part, {"a": [1]}) == [1]
    with pytest.raises(DeferredValueError, match="taken before") as caught:
        part.append(2)
    assert "again" in caught.value.hint


def test_copies_and_slices_are_objects_of_their_own() -> None:
    (value,) = deferred()
    for other in (value[:], value.copy(), copy.copy(value), copy.deepcopy(value), value * 1):
        other.append(9)
        assert computed([value, other], [1]) == [[1], [1, 9]]


@dataclasses.dataclass
class Account:
    total: int = 0
    rows: list = dataclasses.field(default_factory=list)

    def deposit(self, amount: int) -> int:
        self.total += amount
        return self.total

    def pop(self) -> int:
        self.total -= 1
        return self.total


def test_objects_of_the_users_own() -> None:
    (value,) = deferred()
    value.total = 5
    value.rows.append(1)
    new = value.deposit(2)
    popped = value.pop()
    account = Account()
    assert computed([value, new, popped], account) == [Account(4, [1]), 7, 4]
    assert account == Account()


def test_arrays() -> None:
    (value,) = deferred()
    value[0] = 7
    value.sort()
    array = np.array([3, 2, 1])
    assert computed(value, array).tolist() == [1, 2, 7]
    assert array.tolist() == [3, 2, 1]
    assert computed(value.mean(), array) == 10 / 3


STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 9)),
    st.tuples(st.just("pop")),
    st.tuples(st.just("insert"), st.just(0), st.integers()),
    st.tuples(st.just("reverse")),
    st.tuples(st.just("setitem"), st.integers(-3, 3), st.integers()),
    st.tuples(st.just("delitem"), st.integers(-3, 3)),
    st.tuples(st.just("part"), st.integers(0, 9)),
    st.tuples(st.just("copy")),
    st.tuples(st.just("iadd"), st.integers()),
)


def _play(rows: Any, steps: list, seen: list) -> None:
    """The same statements on a list and on a value; `seen` gets a copy of every version."""
    for name, *rest in steps:
        if name == "setitem":
            rows[rest[0]] = rest[1]
        elif name == "delitem":
            del rows[rest[0]]
        elif name == "part":
            rows[0] = [rest[0]]
            rows[0].append(rest[0])
        elif name == "copy":
            rows = rows[:]
        elif name == "iadd":
            rows += rest
        else:
            seen.append(getattr(rows, name)(*rest))
        seen.append(copy.deepcopy(rows))


@given(st.lists(STEPS, max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_order_of_changes_gives_what_python_gives(steps: list) -> None:
    start, plain_seen, seen = [1, [2], 3], [], []
    (value,) = deferred()
    _play(value, steps, seen)
    try:
        _play(copy.deepcopy(start), steps, plain_seen)
    except (IndexError, TypeError, AttributeError) as error:
        with pytest.raises(type(error)):
            computed(seen, start)
    else:
        assert computed(seen, start) == plain_seen
    assert start == [1, [2], 3]


# ---------------------------------------------------------------------------- the differential

NUMBERS = st.integers(-20, 20)
OPERATIONS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.floordiv,
    operator.mod,
    operator.eq,
    operator.lt,
    operator.and_,
    operator.or_,
    operator.xor,
    divmod,
]
POSTFIX = [
    operator.neg,
    abs,
    operator.itemgetter("a"),
    operator.itemgetter(0),
    operator.itemgetter(slice(1, None)),
    operator.attrgetter("real"),
    lambda x: x.upper(),
    lambda x: x.get("b"),
    lambda x: x.index(1),
    lambda x: (x, 1),
    lambda x: {"b": [x, {"c": x}]},
    lambda x: x.bit_length(),
    lambda x: [x, x],
]
RESULTS: list[Any] = [7, -3, [1, 2, [3]], {"a": {"b": 5}}, "word"]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_random_expression_gives_what_plain_python_gives(data: st.DataObject) -> None:
    """Every step is taken on results and on values; what Python refuses is no step."""
    pool: list[tuple[Any, Any]] = list(zip(deferred(len(RESULTS)), RESULTS, strict=True))
    for _ in range(data.draw(st.integers(1, 15))):
        left = data.draw(st.sampled_from(range(len(pool))))
        if data.draw(st.booleans()):
            operation, pairs = data.draw(st.sampled_from(POSTFIX)), [pool[left]]
        else:
            number = data.draw(NUMBERS)
            right = data.draw(st.sampled_from([*pool, (number, number)]))
            operation, pairs = data.draw(st.sampled_from(OPERATIONS)), [pool[left], right]
            pairs = pairs[::-1] if data.draw(st.booleans()) else pairs
        try:
            now = operation(*(plain for _, plain in pairs))
        except Exception:
            continue
        try:
            later = operation(*(value for value, _ in pairs))
        except (DeferredValueError, TypeError, AttributeError, ValueError):
            # A plain container made on the way: Python itself needs to see what is inside.
            assert any(not isinstance(value, Value) for value, _ in pairs)
            continue
        if len(repr(now)) < 1_000:
            pool.append((later, now))
    found = computed([value for value, _ in pool], *RESULTS)
    assert list(map(repr, found)) == [repr(plain) for _, plain in pool]


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda v: v["x"], KeyError),
        (lambda v: v + 1, TypeError),
        (lambda v: v["a"] / 0, ZeroDivisionError),
        (lambda v: v["a"].nothing, AttributeError),
        (lambda v: v.pop("x"), KeyError),
        (lambda v: (v["a"] + 1)["k"], TypeError),
    ],
)
def test_what_python_refuses_is_the_same_error_later(use: Any, error: type) -> None:
    with pytest.raises(error):
        use({"a": 1})
    with pytest.raises(error):
        computed(use(deferred()[0]), {"a": 1})


def test_a_chain_of_ten_thousand_operations() -> None:
    (value,) = deferred()
    total = value
    for _ in range(10_000):
        total = total + 1
    assert computed(total, 0) == 10_000
    for number in range(500):
        value.append(number)
    assert computed(value, []) == list(range(500))


def test_a_shared_node_is_written_and_computed_once() -> None:
    (value,) = deferred()
    doubled = value
    for _ in range(200):
        doubled = doubled + doubled
    assert computed(doubled, 1) == 2**200


# ---------------------------------------------------------------------------- BM-08: containers


class Pair(NamedTuple):
    left: object
    right: object = None


@dataclasses.dataclass(frozen=True)
class Order:
    item: object
    tags: tuple = ()
    later: object = dataclasses.field(default=None, compare=False)


class Bag(list):
    pass


TREES = [
    lambda v: [v],
    lambda v: (v,),
    lambda v: {v},
    lambda v: frozenset({v}),
    lambda v: {"k": v},
    lambda v: {1: (v, [v])},
    lambda v: ["x", ("y", {"z": [v, None]})],
    Pair,
    lambda v: [Pair(1, [v])],
    Order,
    lambda v: Order("o", (v, 1)),
    lambda v: {"o": [Order(1, later=v)]},
    lambda v: Bag([1, v]),
    lambda v: [*range(100), v],
    lambda v: (*range(100), v),
    lambda v: {*range(100), v},
    lambda v: frozenset({*range(100), v}),
    lambda v: {**{str(n): n for n in range(100)}, "v": v},
    lambda v: collections.OrderedDict(a=1, b=v, c=3),
    lambda v: collections.defaultdict(list, a=v),
    lambda v: slice(v, None),
    lambda v: [v] * 50,
    lambda v: (1, (), [], {}, v),
    lambda v: {"a": {"b": {"c": [({"d": v},)]}}},
    lambda v: [None, True, 1.5, "é", b"x", 3j, ..., v],
]


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_values_anywhere_in_containers(tree: Any) -> None:
    result = (5, "r")
    built = computed(tree(deferred()[0]), result)
    assert built == tree(result)
    assert type(built) is type(tree(result))
    assert repr(built).replace(" ", "").count("5,'r'") == repr(tree(result)).replace(" ", "").count("5,'r'")


def test_only_the_gaps_of_a_large_container_are_recorded() -> None:
    (value,) = deferred()
    rows = list(range(5_000))
    frozen = expr.freeze([*rows, value], KEY)
    assert frozen.expression.startswith(evaluate.NODES) and frozen.expression.count(b"[") < 20
    assert thaw(frozen, "end") == [*rows, "end"]


def test_what_is_changed_after_it_was_used_does_not_count() -> None:
    (value,) = deferred()
    rows = [1, value]
    total = value + rows
    rows.append(9)
    assert computed(total, [0])[:2] == [0, 1] and len(computed(total, [0])) == 3


@pytest.mark.parametrize("tree", [lambda v: {v: 1}, lambda v: [{(1, v): 2}]])
def test_a_value_cannot_be_a_key(tree: Any) -> None:
    with pytest.raises(DeferredValueError, match="key of a dict") as caught:
        expr.freeze(tree(deferred()[0]), KEY)
    assert "inside a task" in caught.value.hint


def test_a_value_inside_an_object_is_refused_with_its_place() -> None:
    (value,) = deferred()
    holder = type("Holder", (), {})()
    holder.found = value
    with pytest.raises(DeferredValueError, match=r"hidden in \[1\].found"):
        expr.freeze([0, holder], KEY)


def test_a_container_that_holds_itself_is_refused() -> None:
    (value,) = deferred()
    rows: list = [value]
    rows.append(rows)
    with pytest.raises(DefinitionError, match="holds itself"):
        value + rows


def test_values_of_two_flows_do_not_mix() -> None:
    (one,), (two,) = deferred(), deferred()
    for use in (lambda: one + two, lambda: one[two], lambda: expr.freeze([one, {"k": two}], KEY)):
        with pytest.raises(DefinitionError, match="belongs to flow party"):
            use()


def test_nothing_can_be_added_once_the_flow_has_ended() -> None:
    (value,) = deferred()
    part = value.name
    value._ledger.open = False
    for use in (
        lambda: value + 1,
        lambda: -value,
        lambda: value.x,
        lambda: value["x"],
        part,
        lambda: 1 - value,
    ):
        with pytest.raises(DeferredValueError, match="recorded to its end"):
            use()
    assert repr(value) == "<value of task_a[0]>"


# ---------------------------------------------------------------------------- frozen


def test_parents_are_found_once_and_in_order() -> None:
    one, two, three = deferred(3)
    frozen = expr.freeze([three[one], {"k": (one + one, three.x(y=one))}], KEY)
    assert frozen.parents == (0, 2)
    assert expr.freeze([1, "x"], KEY).parents == ()
    assert two is not one


def test_large_literals_become_blobs_of_their_digest() -> None:
    (value,) = deferred()
    array = np.arange(INLINE_LIMIT)
    frozen = expr.freeze([value, array, array.copy(), "small"], KEY)
    assert len(frozen.blobs) == len(frozen.refs) == 1
    (ref,) = frozen.refs
    assert ref.preview == f"ndarray int64 ({INLINE_LIMIT},)" and ref.inline is None
    assert ref.size == sum(map(len, frozen.blobs[ref.digest])) and len(frozen.expression) < 500
    assert (thaw(frozen, 1)[2] == array).all()


def test_many_small_literals_do_not_make_a_large_expression() -> None:
    (value,) = deferred()
    tree = [value, *(chr(97 + number) * 5_000 for number in range(20))]
    frozen = expr.freeze(tree, KEY)
    assert len(frozen.expression) < INLINE_LIMIT + 2_000 and frozen.blobs
    assert thaw(frozen, 1)[1:] == tree[1:]


def test_a_pickled_literal_is_signed_with_the_key_of_freezing() -> None:
    (value,) = deferred()
    for rows in ([1], list(range(INLINE_LIMIT))):
        account = Account(1, rows)
        assert computed([value, account], 0)[1] == account
        other = expr.freeze([value, account], b"another")
        with pytest.raises(values.Untrusted):
            thaw(other, 0)


# ---------------------------------------------------------------------- what is written at once

EXACT = st.none() | st.booleans() | st.integers() | st.text() | st.floats() | st.just("a" * 2000)


@given(st.lists(EXACT, max_size=4).map(tuple))
def test_a_call_written_at_once_is_the_call_written_with_care(args: tuple) -> None:
    """Down to the byte: the same flow submitted again must be known again."""
    at_once = nodes.written_at_once(args, {})
    if at_once is not None:
        assert at_once == nodes.freeze(nodes.lift_call(args, {}, nodes.Ledger("party")), KEY).expression


def test_ordinary_calls_are_written_at_once_and_others_are_not() -> None:
    (value,) = deferred()
    for args in ((), (1,), ("a%s", None, True, -7)):
        assert nodes.written_at_once(args, {}) is not None
    for args in ((1.5,), (value,), ([1],), (10**5000,), ("\ud800",), ("a" * 2000,)):
        assert nodes.written_at_once(args, {}) is None
    assert nodes.written_at_once((1,), {"x": 1}) is None


def test_many_results_are_one_step() -> None:
    frozen = nodes.freeze(nodes.Node("jobs", (), [[0, 2], [5, 5]]), KEY)
    assert frozen.parents == (0, 1, 2, 5)
    results = {job: f"of {job}" for job in range(6)}
    got = evaluate.evaluate(frozen.expression, results, values.decode, {}.__getitem__)
    assert got == ["of 0", "of 1", "of 2", "of 5"]
