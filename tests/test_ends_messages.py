"""What one message of many ends holds, and which ends go into which; test_ends.py has the rest."""

from __future__ import annotations

import asyncio

from elfbook.facts import AnyEvent, EndedTogether, Ending, Failed, Lost, Released, Succeeded, Success
from elfbook.model import Dispatch, ElfUse, ValueRef
from elfbook.work.attempts import Held, HeldLot
from elfbook.work.ends import Ends, message_of


def held(job: int, *, claim: int = 9, run: str = "crawl.1", revision: str = "r1") -> Held:
    dispatch = Dispatch(
        run=run, job=job, seq=0, attempt=1, label=f"task_t[{job}]", elf=ElfUse("E", revision),
        code=ValueRef(revision, 1), task="task_t", arguments=b"",
    )  # fmt: skip
    return Held(f"w-{run}-{job}", dispatch, None, None, 0, HeldLot(claim, None, None, 1))


def done(data: bytes = b"v", digest: str = "") -> Succeeded:
    value = ValueRef(digest or data.decode()[:20], len(data), inline=data)
    return Succeeded("n", value=value, elapsed_s=0.25, revision="r1")


class Told:
    """The ends of one worker, and what was stored of them."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, EndedTogether]] = []
        self.ended: list[tuple[list[tuple[Held, AnyEvent]], Exception | None]] = []
        self.tasks: list[asyncio.Task] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.ends = Ends(self, "w1", self.own, lambda *told: self.ended.append(told), self.certain)

    def own(self, coroutine: object) -> asyncio.Task:
        self.tasks.append(asyncio.ensure_future(coroutine))
        return self.tasks[-1]

    async def certain(self) -> None:
        pass

    async def end_lots(self, run: str, ended: EndedTogether) -> int:
        self.stored.append((run, ended))
        await self.gate.wait()
        return 1

    def jobs(self) -> list[tuple[str, list[int]]]:
        return [(run, [each.job for each in ended.successes + ended.others]) for run, ended in self.stored]


async def test_what_comes_at_once_is_one_message() -> None:
    told = Told()
    futures = [told.ends.add(held(job), done()) for job in range(100)]
    await asyncio.gather(*futures)
    assert told.jobs() == [("crawl.1", list(range(100)))]
    [(ended, error)] = told.ended
    assert ([pair[0].dispatch.job for pair in ended], error) == (list(range(100)), None)


async def test_what_comes_while_a_message_is_stored_is_the_next_one() -> None:
    told = Told()
    told.gate.clear()
    first = told.ends.add(held(0), done())
    while not told.stored:
        await asyncio.sleep(0)
    later = [told.ends.add(held(job), done()) for job in range(1, 20)]
    assert not first.done()
    told.gate.set()
    await asyncio.gather(first, *later)
    assert told.jobs() == [("crawl.1", [0]), ("crawl.1", list(range(1, 20)))]
    assert len(told.tasks) == 1, "one after the other"


async def test_each_run_and_code_has_messages_of_its_own() -> None:
    told = Told()
    ends = [held(0), held(1, run="crawl.2"), held(2, revision="r2"), held(3)]
    await asyncio.gather(*(told.ends.add(each, done()) for each in ends))
    assert sorted(told.jobs()) == [("crawl.1", [0, 3]), ("crawl.1", [2]), ("crawl.2", [1])]
    assert {ended.revision for _, ended in told.stored} == {"r1", "r2"}
    assert {ended.worker for _, ended in told.stored} == {"w1"}


async def test_what_was_taken_away_is_not_written_and_is_told_all_the_same() -> None:
    told = Told()
    taken, mine = held(0), held(1)
    taken.fenced = True
    await asyncio.gather(told.ends.add(taken, done()), told.ends.add(mine, done()))
    assert told.jobs() == [("crawl.1", [1])]
    assert [pair[0] for pair in told.ended[0][0]] == [taken, mine]
    taken = held(2)
    taken.fenced = True
    await told.ends.add(taken, done())
    assert len(told.stored) == 1, "nothing is left to write"
    assert [pair[0] for pair in told.ended[1][0]] == [taken]


def test_equal_values_are_in_a_message_once() -> None:
    ended = [(held(job), done(b"ab"[job % 2 : job % 2 + 1])) for job in range(6)]
    message = message_of(ended, "w1", "r1")
    assert [ref.inline for ref in message.values] == [b"a", b"b"]
    assert message.successes == tuple(Success(9, job, job % 2, 0.25) for job in range(6))
    assert (message.worker, message.revision, message.others) == ("w1", "r1", ())


def test_other_ends_name_their_claims_too() -> None:
    events = [Failed("n"), Lost("n"), Released("n")]
    ended = [(held(job, claim=20 + job), event) for job, event in enumerate(events)]
    message = message_of([*ended, (held(7, claim=30), done())], "w1", "r1")
    assert message.others == tuple(Ending(20 + job, job, event) for job, event in enumerate(events))
    assert message.successes == (Success(30, 7, 0, 0.25),)
    assert message.nonce != message_of(ended, "w1", "r1").nonce
