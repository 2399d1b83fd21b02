"""The token of an attempt: it grows, as a text too, is there inside a task only, and leaves as plain data."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
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
