"""G7: cancel racing with the end of a job, 10,000 times, has one outcome on which everybody agrees."""

from __future__ import annotations

import asyncio
import random
from itertools import islice

import pytest

from elfbook.client.client import Client
from elfbook.facts import Cancelled, Claimed, State
from elfbook.tracing import values

JOBS = 10_000
AT_ONCE = 50
RACERS = 3
ENDS = {State.DONE, State.CANCELLED}


def next_batch(run, left: set[int]) -> list[int]:
    """Jobs that run now, and so may end at any moment; else some that are about to run."""
    running = [job for job in left if run.state.jobs[job].state is State.RUNNING]
    batch = running[:AT_ONCE] or list(islice(sorted(left), AT_ONCE))
    left.difference_update(batch)
    return batch


async def some_ended(run, count: int) -> None:
    """Returns when so many more jobs are done, or nothing is left that could be."""
    goal = run.state.counts[State.DONE] + count
    while run.state.counts[State.DONE] < goal and not run.state.settled:
        await run.changed(run.version)


async def end_of_log(client: Client) -> int:
    facts = await client.mycelium.link.api(f"STREAM.INFO.{client.mycelium.names.jobs}")
    return facts["state"]["last_seq"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("attempts", ["lots", "alone"])
async def test_cancel_racing_with_the_end_ten_thousand_times(client, book, attempts):
    """Jobs that are claimed many at a time, and jobs with claims of their own."""
    sums = book.names["Sums"]()
    size = JOBS if attempts == "lots" else JOBS // 5
    policy = {} if attempts == "lots" else {"on_lost": "fail"}
    run = await book.submit(f"race_{attempts}", lambda: sums.task_same.map(range(size)), **policy)
    left, chance = set(range(size)), random.Random(size)
    reported: list[tuple[list[int], int, int]] = []

    async def race(batch: list[int]) -> None:
        while batch:
            count = await client.cancel(run, jobs=batch)
            reported.append((batch, count, await end_of_log(client)))
            await some_ended(run, chance.randrange(AT_ONCE))  # so that neither side runs away
            batch = next_batch(run, left)

    last = list(range(size - AT_ONCE, size))  # these cannot have ended yet, however slow this process is
    left.difference_update(last)
    await asyncio.gather(race(last), *(race(next_batch(run, left)) for _ in range(RACERS)))
    await book.settled(run)
    assert {job.state for job in run.state.jobs} == ENDS, "some of each, and nothing else"
    facts = await book.facts(run)
    claimed: dict[int, int] = {}
    stored: set[int] = set()
    for fact in facts:
        if isinstance(fact.event, Claimed):
            claimed[fact.job] = max(claimed.get(fact.job, 0), fact.seq)
        elif isinstance(fact.event, Cancelled):
            stored.add(fact.job)
    for batch, count, seq in reported:
        cancelled = [job for job in batch if run.state.jobs[job].state is State.CANCELLED]
        assert count == len(cancelled), "what cancel reported is what the log says"
        assert stored.issuperset(cancelled)
        assert not [job for job in batch if claimed.get(job, 0) > seq], "an attempt began after cancel had returned"
    for number, job in enumerate(run.state.jobs):
        if job.state is State.DONE:
            assert values.decode(job.event.value.inline, client.key) == number
    await agree(client, run)


async def agree(client: Client, run) -> None:
    """Somebody who reads the log for the first time sees the same run."""
    other = await Client.open(client.place)
    try:
        seen = await other.watch(run.manifest.flow, run.manifest.number)
        assert seen.state.counts == run.state.counts
        ours = [(job.state, job.attempt, job.event.nonce) for job in run.state.jobs]
        assert [(job.state, job.attempt, job.event.nonce) for job in seen.state.jobs] == ours
    finally:
        await other.close()
