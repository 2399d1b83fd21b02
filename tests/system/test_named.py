"""Named elves: one identity, jobs in order, one holder, memory, and what they keep."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise

import pytest

from elfbook.facts import Claimed, Lost, Succeeded
from elfbook.host import hostfile

NAMED = '''\
import os


class Diary:
    """Remembers in an attribute for as long as its kernel lives, and keeps for ever."""

    def task_write(self, number):
        self.pages = [*getattr(self, "pages", []), number]
        self.keep["count"] = self.keep.get("count", 0) + 1
        return self.pages, self.keep["count"], os.getpid()

    def task_spoil(self):
        self.keep["count"] = 1000
        raise ValueError("after the change")

    def task_alone(self, path, word):
        with open(path, "a") as file:
            file.write(f"begin {word}\\n")
            file.flush()
            os.sched_yield()
            file.write(f"end {word}\\n")


class Plain:
    def task_where(self, *given):
        return os.getpid()
'''


def workers_of(run) -> set[str]:
    return {job.worker for job in run.state.jobs}


@pytest.fixture
def named(book):
    return book.cell(NAMED)


async def test_its_jobs_run_in_order_on_one_worker_and_its_attributes_stay(book, named):
    diary = named["Diary"]("order")
    first = await book.settled(await book.submit("first", lambda: [diary.task_write(n) for n in range(30)]))
    second = await book.settled(await book.submit("second", lambda: [diary.task_write(n) for n in range(30, 60)]))
    seen = [*await book.values(first), *await book.values(second)]
    assert [pages for pages, *_ in seen] == [list(range(n)) for n in range(1, 61)]
    assert [count for _, count, _ in seen] == list(range(1, 61))
    assert len({pid for *_, pid in seen}) == 1
    assert len(workers_of(first) | workers_of(second)) == 1


async def test_two_names_are_two_elves(book, named):
    def calls():
        one, two = named["Diary"]("one"), named["Diary"]("two")
        return [each.task_write(n) for n in range(10) for each in (one, two)]

    run = await book.settled(await book.submit("two", calls))
    values = await book.values(run)
    assert [pages for pages, *_ in values[::2]] == [pages for pages, *_ in values[1::2]]
    assert [count for _, count, _ in values] == [n for n in range(1, 11) for _ in range(2)]
    assert len(workers_of(run)) == 2, "shared out over the workers"


async def test_flows_that_use_one_elf_at_once_take_turns(book, named, tmp_path):
    path = tmp_path / "turns"
    diary = named["Diary"]("turns")
    runs = [
        await book.submit(f"turns{k}", lambda k=k: [diary.task_alone(str(path), f"{k}.{n}") for n in range(20)])
        for k in range(3)
    ]
    for run in runs:
        await book.settled(run)
    lines = path.read_text().split()
    assert len(lines) == 3 * 20 * 4
    words = list(zip(lines[::2], lines[1::2], strict=True))
    for (begin, first), (end, second) in zip(words[::2], words[1::2], strict=True):
        assert (begin, end) == ("begin", "end")
        assert first == second


@pytest.mark.parametrize("role", ["kernel", "worker"])
async def test_what_it_keeps_survives_its_kernel_and_its_attributes_do_not(role, tree, client, book, named):
    diary = named["Diary"](f"kept-{role}")
    run = await book.settled(await book.submit("before", lambda: [diary.task_write(n) for n in range(3)]))
    assert (await book.value(run, 2))[:2] == ([0, 1, 2], 3)
    assert await tree.kill(role, client, run.state.jobs[0].worker)
    after = await book.settled(await book.submit("after", lambda: diary.task_write(9)))
    assert (await book.value(after, 0))[:2] == ([9], 4)


async def test_what_a_failed_job_kept_is_taken_back(book, named):
    diary = named["Diary"]("spoilt")
    run = await book.settled(
        await book.submit("spoil", lambda: [diary.task_write(1), diary.task_spoil(), diary.task_write(2)])
    )
    assert [job.state.value for job in run.state.jobs] == ["done", "failed", "done"]
    assert (await book.value(run, 2))[:2] == ([1, 2], 2), "a failure holds up nothing that only comes after it"


async def test_new_code_reaches_an_elf_that_lives_and_keeps_its_attributes(book, named):
    diary = named["Diary"]("grown")
    await book.settled(await book.submit("old", lambda: diary.task_write(1)))
    newer = book.cell(NAMED.replace('self.keep["count"], os', '"new", os'))["Diary"]("grown")
    run = await book.settled(await book.submit("new", lambda: newer.task_write(2)))
    assert (await book.value(run, 0))[:2] == ([1, 2], "new")


async def test_the_flow_first_its_workers_later_in_any_order(tree, book, named, until):
    """BM-23: nothing runs until somebody comes for the elf."""
    names = ["late1", "late2", "late3"]

    def calls():
        diaries = [named["Diary"](name) for name in names]
        return [diary.task_write(n) for n in range(3) for diary in diaries]

    run = await book.submit("late", calls, pool="nobody")
    assert not any(job.attempt for job in run.state.jobs)
    for name in reversed(names):
        await asyncio.to_thread(hostfile.ensure, tree.place, elf=[name])
        mine = [job for job, spec in enumerate(run.graph.jobs) if run.graph.elves[spec.elf].name == name]
        await until(lambda mine=mine: all(run.state.jobs[job].state == "done" for job in mine))
    await book.settled(run)
    assert len(workers_of(run)) == 3
    assert [pages for pages, *_ in await book.values(run)] == [[0]] * 3 + [[0, 1]] * 3 + [[0, 1, 2]] * 3
    plain = await book.settled(await book.submit("plain", lambda: named["Plain"]().task_where.map(range(40))))
    assert not workers_of(plain) & workers_of(run), "a worker that was started for an elf takes nothing else"


@pytest.mark.timeout(90)
async def test_a_frozen_holder_is_fenced_when_it_wakes(tree, client, book, gates, until):
    """G4, G8: its job and its elf go to another worker after a lease; its late result goes nowhere."""
    gate = book.names["Gate"]("frozen")
    run = await book.submit("frozen", lambda: gate.task_pass(str(gates.folder), "held"))
    holder = await book.running(run, 0)
    (kernel,) = await until(gates.begun)
    facts = await asyncio.to_thread(tree.facts)
    (number,) = [each["pid"] for each in facts.workers if each["name"] == holder]
    tree.send(number, signal.SIGSTOP)
    try:
        first, second = await until(lambda: len(gates.begun()) == 2 and gates.begun(), 25)
        assert (first, kernel) == (kernel, first)
        assert second != kernel
        gates.open(second)
        await book.settled(run)
    finally:
        tree.send(number, signal.SIGCONT)
    taker = run.state.jobs[0].worker
    assert taker != holder

    async def idle():
        beats = {beat.worker: beat for beat in await client.workers()}
        return holder in beats and not beats[holder].running and beats[holder]

    beat = await until(idle)
    assert beat.pid == number, "it was not ended, it works on"
    assert "frozen" not in beat.names
    gates.open()
    again = await book.settled(await book.submit("frozen", lambda: gate.task_pass(str(gates.folder), "again")))
    assert again.state.jobs[0].worker == taker, "the elf has moved"
    facts = await book.facts(run)
    assert [type(fact.event) for fact in facts] == [Claimed, Lost, Claimed, Succeeded]
    assert facts[-1].event.worker == taker
    assert "was not heard of for 15 s" in facts[1].event.why
    await run.complete_outputs()
    (late,) = [output for output in run.outputs[0] if output.kind == "late"]
    assert (late.attempt, holder in late.text) == (1, True), "what came of the first attempt is kept as evidence"
    for before, after in pairwise(facts[:3]):
        assert after.at - before.at < 20
