"""The token of an attempt: it grows, as a text too, is there inside a task only, and leaves as plain data."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import elfbook
from elfbook.errors import ElfUsageError
from elfbook.work import fence
from elfbook.work.fence import Fence

numbers = st.integers(0, 10**9)


@pytest.fixture(autouse=True)
def no_attempt() -> Iterator[None]:
    yield
    fence.end()
    fence.tell(None)


@given(st.lists(st.tuples(numbers, numbers), min_size=2))
def test_texts_are_in_the_order_of_the_tokens(pairs: list[tuple[int, int]]) -> None:
    tokens = [Fence(*pair) for pair in pairs]
    assert sorted(tokens, key=str) == sorted(tokens)
    assert [tuple(token) for token in sorted(tokens)] == sorted(pairs)


def test_a_later_store_counts_more_than_a_later_claim() -> None:
    assert Fence(1, 900) < Fence(2, 3)


def test_it_is_a_plain_pair_elsewhere() -> None:
    sent = pickle.loads(pickle.dumps(Fence(2, 7)))
    assert (type(sent), sent) == (tuple, (2, 7))


def test_it_is_there_while_an_attempt_is_under_way() -> None:
    with pytest.raises(ElfUsageError, match="no task is running here"):
        elfbook.fence()
    fence.begin((1, 5))
    assert elfbook.fence() == Fence(1, 5)
    fence.begin((1, 9))
    assert elfbook.fence() == Fence(1, 9)
    fence.end()
    with pytest.raises(ElfUsageError):
        elfbook.fence()


def test_an_elf_has_it_as_an_attribute_unless_the_name_is_its_own() -> None:
    class Plain:
        pass

    class Guard:
        def fence(self) -> str:
            return "mine"

    class Slim:
        __slots__ = ("x",)

    class Field:
        def __init__(self) -> None:
            self.fence = "wood"

    plain, guard, slim, field = Plain(), Guard(), Slim(), Field()
    fence.put(plain)
    assert not hasattr(plain, "fence"), "there is no attempt"
    for number in (5, 6):
        fence.begin((1, number))
        for instance in (plain, guard, slim, field):
            fence.put(instance)
        assert plain.fence == Fence(1, number)
    assert guard.fence() == "mine"
    assert field.fence == "wood"


def test_a_kernel_without_elfbook_has_what_cells_import(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "elfbook"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "elfbook", None)  # so that importing it fails
    fence.ensure_elfbook()
    stub = sys.modules["elfbook"]
    assert isinstance(stub, ModuleType)

    class Zoo(stub.Elf):
        @stub.task
        def one(self) -> int:
            return 1

        @stub.task(retries=2, timeout=9.0, limit="api:3")
        def two(self) -> object:
            return stub.fence()

    assert Zoo.one.__elfbook_task__
    assert Zoo.two.__elfbook_task__
    assert Zoo().one() == 1
    with pytest.raises(RuntimeError, match="no task is running here"):
        Zoo().two()
    fence.begin((1, 4))
    assert Zoo().two() == (1, 4)


# ---------------------------------------------------------------------------- progress


class Far:
    pass


@pytest.fixture
def said() -> list[tuple]:
    heard: list[tuple] = []
    fence.tell(lambda *told: heard.append(told))
    return heard


def elf_of(token: tuple[int, int]) -> Far:
    fence.begin(token)
    far = Far()
    fence.put(far)
    return far


class Index:
    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((1,), (1.0, None, "")),
        ((1, 2), (1.0, 2.0, "")),
        ((0, 0, "nothing to do"), (0.0, 0.0, "nothing to do")),
        ((0.5, 1.0, "half"), (0.5, 1.0, "half")),
        ((9, 3), (9.0, 3.0, "")),
        ((Fraction(1, 2), Decimal(4)), (0.5, 4.0, "")),
        ((True, Index()), (1.0, 3.0, "")),
    ],
)
def test_progress_is_told_as_numbers(said: list, given: tuple, told: tuple) -> None:
    elf_of((1, 1)).progress(*given)
    assert said == [told]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ((-1,), ValueError, "progress: done is to be a number from 0 on, not -1.0"),
        ((1, -0.5), ValueError, "progress: total is to be a number from 0 on, not -0.5"),
        ((float("nan"), 3), ValueError, "progress: done is to be a number from 0 on, not nan"),
        ((1, float("inf")), ValueError, "progress: total is to be a number from 0 on, not inf"),
        (("3",), TypeError, "progress: done is to be a number, not str"),
        ((None, 3), TypeError, "progress: done is to be a number, not NoneType"),
        (([1], 3), TypeError, "progress: done is to be a number, not list"),
        ((1, "of 3"), TypeError, "progress: total is to be a number, not str"),
        ((1, 2, 3), TypeError, "progress: text is to be a text, not int"),
    ],
)
def test_what_is_no_progress_is_refused(said: list, given: tuple, kind: type, words: str) -> None:
    with pytest.raises(kind) as caught:
        elf_of((1, 1)).progress(*given)
    assert str(caught.value) == words and said == []


def test_after_the_attempt_nothing_is_told(said: list) -> None:
    first = elf_of((1, 1)).progress
    fence.end()
    first(1)
    second = elf_of((1, 2))
    first(2)
    assert said == [], "a thread that goes on speaks for no later attempt"
    second.progress(3)
    assert said == [(3.0, None, "")]


def test_progress_is_an_attribute_unless_the_name_is_the_elfs_own() -> None:
    class Mine:
        def progress(self) -> str:
            return "mine"

    class Field:
        def __init__(self) -> None:
            self.progress = 0.5

    fence.begin((1, 1))
    for elf, own in ((Mine(), "mine"), (Field(), 0.5)):
        fence.put(elf)
        assert (elf.progress() if callable(elf.progress) else elf.progress) == own
    assert pickle.loads(pickle.dumps(vars(elf_of((1, 2)))))["progress"] is None, "elsewhere nobody hears it"
