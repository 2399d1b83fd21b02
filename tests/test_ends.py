"""Ends of jobs that were claimed together: one message for many, none in doubt or of what is another's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from elfbook.facts import EndedTogether, Failed, Succeeded
from elfbook.model import Dispatch, ElfUse, ValueRef
from elfbook.store.link import Message, Unanswered
from elfbook.work.attempts import Held, HeldLot
from elfbook.work.ends import MESSAGE_BYTES, Ends, parts_of


class Store:
    """Takes ends, and says what it took."""

    def __init__(self) -> None:
        self.ended: list[EndedTogether] = []
        self.error: Exception | None = None

    def end_lots(self, run: str, ended: EndedTogether) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        if self.error:
            future.set_exception(self.error)
        else:
            self.ended.append(ended)
            future.set_result(7)
        return future

    @property
    def jobs(self) -> list[int]:
        return [success.job for ended in self.ended for success in ended.successes]


class Desk:
    def __init__(self) -> None:
        self.store, self.sure, self.told = Store(), asyncio.Event(), []
        self.tasks: list[asyncio.Task] = []
        self.lot = HeldLot(5, Message("offer", b""), SimpleNamespace(), 4)
        self.ends = Ends(self.store, "w1", self.own, lambda *told: self.told.append(told), self.certain)

    def own(self, call) -> asyncio.Task:
        self.tasks.append(asyncio.ensure_future(call))
        return self.tasks[-1]

    async def certain(self) -> None:
        await self.sure.wait()

    def held(self, job: int) -> Held:
        dispatch = Dispatch(
            run="r.1", job=job, seq=0, attempt=1, label=f"t[{job}]", elf=ElfUse("E", "d1"), code=ValueRef("d1", 1),
            task="t", arguments=b"",
        )  # fmt: skip
        return Held(f"w1-{job}", dispatch, self.lot.message, self.lot.taker, 0, self.lot)

    def end(self, held: Held) -> asyncio.Future:
        return self.ends.add(held, Succeeded("n", value=ValueRef("v", 1, inline=b"x"), revision="d1"))


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def until_idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_ends_together_is_one_message(desk: Desk) -> None:
    desk.sure.set()
    await asyncio.gather(*(desk.end(desk.held(job)) for job in range(3)))
    assert desk.store.jobs == [0, 1, 2]
    assert len(desk.store.ended) == 1


async def test_in_doubt_nothing_is_stored_and_then_only_what_is_still_mine(desk: Desk) -> None:
    """As when a worker wakes: results of its kernel come before it knows what has become of its jobs."""
    mine, lost = desk.held(0), desk.held(1)
    done = [desk.end(mine), desk.end(lost)]
    await until_idle()
    assert desk.store.ended == []
    lost.fenced = True
    desk.sure.set()
    await asyncio.gather(*done)
    assert desk.store.jobs == [0]
    ((ended, error),) = desk.told
    assert [held for held, _ in ended] == [mine, lost], "both are over for the worker"
    assert error is None


async def test_what_comes_in_doubt_goes_with_the_rest(desk: Desk) -> None:
    first = desk.end(desk.held(0))
    await until_idle()
    second = desk.end(desk.held(1))
    desk.sure.set()
    await asyncio.gather(first, second)
    assert desk.store.jobs == [0, 1]
    assert len(desk.store.ended) == 1


async def test_what_could_not_be_stored_is_told(desk: Desk) -> None:
    desk.sure.set()
    desk.store.error = Unanswered("away")
    await desk.end(desk.held(0))
    ((ended, error),) = desk.told
    assert (len(ended), error) == (1, desk.store.error)


# ---------------------------------------------------------------------------- messages

HELD = SimpleNamespace()


def success(size: int, *, inline: bool = True) -> tuple:
    return HELD, Succeeded("n", value=ValueRef("d", size, inline=b"x" * size if inline else None))


@pytest.mark.parametrize("first", [success(0), success(99, inline=False), success(5), (HELD, Failed("n"))])
def test_whatever_ended_first_is_in_a_message(first: tuple) -> None:
    """A value that is elsewhere, or is nothing, takes no room; its end is stored all the same."""
    assert parts_of([first]) == [[first]]
    assert parts_of([first, success(7)]) == [[first, success(7)]]


def test_a_message_has_its_limit_and_nothing_is_left_out() -> None:
    ended = [success(MESSAGE_BYTES // 3) for _ in range(8)]
    parts = parts_of(ended)
    assert [len(part) for part in parts] == [3, 3, 2]
    assert [pair for part in parts for pair in part] == ended


def test_nothing_ended_is_no_message() -> None:
    assert parts_of([]) == []
