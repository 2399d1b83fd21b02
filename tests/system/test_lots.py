"""Many short jobs in a whole mycelium: claimed and ended together, and right whatever becomes of them."""

from __future__ import annotations

import asyncio

import pytest

from elfbook.facts import (
    LOT,
    Cancelled,
    Claimed,
    ClaimedTogether,
    EndedTogether,
    Failed,
    Lost,
    State,
    Succeeded,
)
from elfbook.log.fold import Offer, due
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode_record
from elfbook.work.claims import Claims

COUNT = 2000


async def records(mycelium: Mycelium, run: str) -> list:
    """Each message of the run's log, as it was written."""
    names = mycelium.names
    return [decode_record(mycelium.unsealed(entry)) async for entry in mycelium.read(names.jobs, names.jobs_of(run))]


async def claimed_together(book, run, until, at_least: int = 1) -> None:
    async def there() -> bool:
        found = await records(book.client.mycelium, run.run)
        return sum(isinstance(each, ClaimedTogether) for each in found) >= at_least

    await until(there)


async def test_many_short_jobs_are_few_messages(book) -> None:
    sums = book.names["Sums"]()
    run = await book.settled(await book.submit("short", lambda: sums.task_same.map(range(COUNT))))
    assert await book.values(run) == list(range(COUNT))
    await book.check(run)
    found = await records(book.client.mycelium, run.run)
    assert len(found) < COUNT / 2, "one by one there would be two for each job"
    claims = [each for each in found if isinstance(each, ClaimedTogether)]
    assert all(len({job // LOT for job, _, _ in each.jobs}) == 1 for each in claims)
    assert sum(len(each.jobs) for each in claims) > COUNT / 2
    assert sum(len(each.successes) for each in found if isinstance(each, EndedTogether)) > COUNT / 2


async def test_jobs_that_must_not_run_twice_never_share(book) -> None:
    sums = book.names["Sums"]()
    run = await book.submit("alone", lambda: sums.task_same.map(range(300)), on_lost="fail")
    await book.settled(run)
    assert await book.values(run) == list(range(300))
    found = await records(book.client.mycelium, run.run)
    assert not any(isinstance(each, ClaimedTogether | EndedTogether) for each in found)
    assert all(job.attempt == 1 for job in run.state.jobs)


@pytest.mark.timeout(120)
async def test_a_worker_that_is_killed_with_lots_in_its_hands_costs_no_result(
    tree, client, book, until
) -> None:
    sums = book.names["Sums"]()
    run = await book.submit("killed", lambda: sums.task_same.map(range(20 * LOT)), lost_retries=9)
    await claimed_together(book, run, until, 3)
    assert await tree.kill("worker", client)
    await book.settled(run, 90)
    assert await book.values(run) == list(range(20 * LOT))
    await book.check(run)


ODD = """\
import os
import time


class Odd:
    def task_odd(self, number, folder):
        if number in (200, 201):
            first = os.path.join(folder, str(number))
            if not os.path.exists(first):
                open(first, "w").close()
                if number == 200:
                    time.sleep(1)
                else:
                    os._exit(3)
        if number == 202:
            raise ValueError("one of many")
        if number == 203:
            print("said by one of many")
        return bytes(1_000_000) if number == 204 else number
"""


@pytest.mark.timeout(120)
async def test_what_one_job_of_a_lot_does_is_its_own_affair(client, book, tmp_path) -> None:
    """One sleeps, one ends its process, one raises, one prints, one returns much, among short ones."""
    book.cell(ODD)
    odd = book.names["Odd"]()
    run = await book.submit(
        "odd", lambda: [odd.task_odd(number, str(tmp_path)) for number in range(300)], lost_retries=3
    )
    await book.settled(run, 90)
    await book.check(run)
    for number, job in enumerate(run.state.jobs):
        if number == 202:
            assert (job.state, job.event.failure.message) == (State.FAILED, "one of many")
        elif number == 204:
            assert len(await book.value(run, number)) == 1_000_000
            assert job.event.value.inline is None
        elif number % 40 == 0 or number in (200, 201, 203):
            assert await book.value(run, number) == number
        assert number == 202 or job.state is State.DONE
    assert run.state.jobs[201].lost == 1
    lost = [stored.event for stored in run.state.jobs[201].history if isinstance(stored.event, Lost)]
    assert "ended" in lost[0].why or "exit" in lost[0].why
    assert [job.lost for job in run.state.jobs if job.lost] == [1], "nobody else's attempt was counted"
    assert [job.tried for job in run.state.jobs if job.tried] == [1]
    assert "said by one of many" in "".join(each.text for each in run.outputs[203])
    found = await records(client.mycelium, run.run)
    assert any(isinstance(each, ClaimedTogether) and len(each.jobs) > 1 for each in found)


async def test_a_cancel_while_lots_run_is_the_end_of_all(client, book, until) -> None:
    book.cell("import time\n\n\nclass Rest:\n    def task_rest(self, n):\n        time.sleep(0.001)\n")
    rest = book.names["Rest"]()
    run = await book.submit("stopped", lambda: rest.task_rest.map(range(60 * LOT)))
    await claimed_together(book, run, until, 2)
    count = await client.cancel(run)
    assert run.state.settled
    before = {number: job.state for number, job in enumerate(run.state.jobs)}
    assert set(before.values()) <= {State.DONE, State.CANCELLED}
    assert count == sum(state is State.CANCELLED for state in before.values()) > 0
    later = await client.watch("stopped")
    assert {number: job.state for number, job in enumerate(later.state.jobs)} == before
    await book.check(run)
    # The workers are free again, and what they still held is no burden.
    sums = book.names["Sums"]()
    after = await book.settled(await book.submit("after", lambda: sums.task_same.map(range(10))))
    assert await book.values(after) == list(range(10))


async def test_who_cancels_without_having_read_a_claim_of_many_still_stops_the_worker(
    client, book, until
) -> None:
    """No conflict tells the canceller of such a claim: it is no record of the job's own."""
    gate = book.names["Gate"]()
    run = await book.submit("unread", lambda: [gate.task_pass("x", "y") for _ in range(3)], pool="nobody")
    told: list[str] = []
    names = client.mycelium.names
    undo = await client.mycelium.link.subscribe(names.stop_job("w9"), lambda m: told.append(m.data.decode()))
    heard, hear, catch_up = [], run.hear_facts, run.catch_up

    async def late() -> None:
        """What was stored meanwhile reaches us only now."""
        run.hear_facts = hear
        hear(heard)
        await catch_up()

    run.hear_facts, run.catch_up = heard.extend, late
    claim = ClaimedTogether("n1", "w9", ((0, 0, 1), (2, 0, 1)))
    await client.mycelium.claim_lot(run.run, 0, claim, 0)
    assert all(job.state is State.WAITING for job in run.state.jobs)
    assert await client.cancel(run) == 3
    await until(lambda: len(told) == 2)
    assert sorted(told) == [f"{run.run} 0", f"{run.run} 2"]
    await undo()


async def test_a_cancel_voids_an_offer_of_many_and_the_rest_of_it_is_run(client, book, until) -> None:
    """The offer of a lot is taken by a claimer of ours, which holds it while one of its jobs is cancelled."""
    fresh = book.cell("class Fresh:\n    def task_same(self, x):\n        return x\n")["Fresh"]()
    pool = "ours"  # of no worker but ours, and how long such jobs take nobody knows yet
    run = await book.submit("void", lambda: fresh.task_same.map(range(40)), pool=pool)
    mycelium, names = client.mycelium, client.mycelium.names
    taker = mycelium.taker(f"pool-{pool}", names.pool_offers(pool), brief=False, hold_s=15.0)
    lots = mycelium.taker(f"lot-{pool}", names.lot_offers(pool), brief=False, hold_s=15.0)
    for each in (taker, lots):
        await each.start()
    claims = Claims(mycelium, "hand", set(), pytest.fail)
    await taker.want(1)
    [(dispatch, message, seq)] = await claims.claim(taker, [await taker.taken.get()], leaving=False)
    first = Succeeded(
        "n", value=book.encoded(0), worker="hand", elapsed_s=0.0005, revision=dispatch.elf.revision
    )
    await mycelium.record(run.run, dispatch.job, first, seq)
    await taker.accept(message)

    await lots.want(1)
    offer = await asyncio.wait_for(lots.taken.get(), 20)
    [victim] = [number for number, job in enumerate(run.state.jobs) if number == 39]
    assert await client.cancel(run, jobs=[victim]) == 1
    assert await claims.claim_lot(lots, offer, leaving=False) is None, "it has moved on"
    async with asyncio.timeout(20):
        while True:
            await lots.want(1)
            claimed = await claims.claim_lot(lots, await lots.taken.get(), leaving=False)
            if claimed is not None:
                break
    renewed, _ = claimed
    assert victim not in [each.job for each in renewed.jobs]
    await run.catch_up()
    held = [number for number, job in enumerate(run.state.jobs) if job.worker == "hand" and job.held]
    assert sorted(held) == [each.job for each in renewed.jobs]
    assert isinstance(run.state.jobs[victim].event, Cancelled)
    assert not [each for each in due(run.state) if isinstance(each, Offer) and each.job in held]
    for each in (taker, lots):
        await each.close()
    await client.cancel(run)
    found = await records(mycelium, run.run)
    assert not any(isinstance(each, Failed) for each in found)
    assert sum(isinstance(each, ClaimedTogether) for each in found) == 1
    assert sum(isinstance(each, Claimed) for each in found) == 1
