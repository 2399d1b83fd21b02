"""Pause and resume, with real workers: what is taken goes on, nothing else begins, and restarts change nothing."""

from __future__ import annotations

import asyncio

import pytest

from elfbook.client.client import Client
from elfbook.facts import Claimed, Paused, State

WORKERS = 2


async def until(run, holds) -> None:
    """Returns once it is so."""
    async with asyncio.timeout(30):
        while not holds():
            await run.changed(run.version)


def running(run) -> int:
    return run.state.counts[State.RUNNING]


@pytest.mark.timeout(120)
async def test_nothing_begins_while_a_run_is_paused_and_all_is_done_afterwards(tree, client, book, gates):
    gate = book.names["Gate"]()
    run = await book.submit("rest", lambda: [gate.task_pass(str(gates.folder), f"w{number}") for number in range(8)])
    other = book.names["Sums"]()
    await until(run, lambda: running(run) == WORKERS)
    assert await client.pause(run, "the machine is needed")
    assert not await client.pause(run), "it is paused already"
    assert run.state.pause_why == "the machine is needed"
    gates.open()
    await until(run, lambda: not running(run))
    beside = await book.submit("beside", lambda: other.task_same.map(range(50)))
    await book.settled(beside)  # the workers are free, and serve others meanwhile
    begun = [fact.job for fact in await book.facts(run) if isinstance(fact.event, Claimed)]
    assert len(run.state.jobs) > len(set(begun)) >= WORKERS
    watcher = await Client.open(tree.place)
    try:
        seen = await watcher.watch("rest")
        assert seen.state.paused and not seen.state.settled
        await tree.kill("scheduler", client)
        await tree.whole()
        await book.settled(await book.submit("after", lambda: other.task_same.map(range(50))))
        again = [fact.job for fact in await book.facts(run) if isinstance(fact.event, Claimed)]
        assert again == begun, "a scheduler that starts over offers nothing of it"
        assert [run.paused for run in await watcher.runs() if run.flow == "rest"] == [True]
        assert await watcher.resume(seen)
    finally:
        await watcher.close()
    await book.settled(run)
    assert {job.state for job in run.state.jobs} == {State.DONE}
    await book.check(run, attempts=1)


@pytest.mark.timeout(120)
async def test_short_jobs_of_lots_pause_and_go_on(client, book):
    """Each is done once, however often the run is paused on its way."""
    sums = book.names["Sums"]()
    run = await book.submit("breaths", lambda: sums.task_same.map(range(3000)))
    pauses = 0
    while not run.state.settled and pauses < 10:
        goal = run.state.counts[State.DONE] + 100
        await until(run, lambda goal=goal: run.state.counts[State.DONE] >= goal or run.state.settled)
        if await client.pause(run):
            pauses += 1
            await until(run, lambda: not running(run))
            await client.resume(run)
    await book.settled(run)
    assert pauses and await book.values(run) == list(range(3000))
    words = [fact.event.on for fact in await book.facts(run) if isinstance(fact.event, Paused)]
    assert words == [number % 2 == 0 for number in range(len(words))] and sum(words) == pauses
    await book.check(run)


@pytest.mark.timeout(120)
async def test_a_paused_run_can_be_retried_and_cancelled_and_its_deadline_goes_on(client, book, gates):
    gate = book.names["Gate"]()
    calls = lambda: [gate.task_pass(str(gates.folder), f"c{number}") for number in range(6)]  # noqa: E731
    run = await book.submit("stopped", calls)
    await until(run, lambda: running(run) == WORKERS)
    await client.pause(run)
    assert await client.cancel(run) == 6
    assert not await client.pause(run), "it has settled"
    assert await client.reopen(run, [0, 1]) == 2
    await book.settled(await book.submit("between", lambda: book.names["Sums"]().task_same(1)))
    assert [run.state.jobs[job].state for job in (0, 1)] == [State.WAITING] * 2, "it is paused still"
    gates.open()
    await client.resume(run)
    await book.settled(run)
    assert [run.state.jobs[job].state for job in (0, 1)] == [State.DONE] * 2
    never = gates.folder / "never"
    never.mkdir()
    late = await book.submit("late", lambda: gate.task_pass(str(never), "d"), deadline_s=2.0)
    await client.pause(late)
    await book.settled(late)
    assert late.state.jobs[0].event.outcome == "timed out"
