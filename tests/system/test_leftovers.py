"""What the dead leave behind: a note that is wrong by now, offers to workers that are gone."""

from __future__ import annotations

import signal

from elfbook.facts import State
from elfbook.host.leftovers import Leftovers
from elfbook.host.placement import Placement
from elfbook.model import Settled
from elfbook.wire import encode

CELL = """\
class Sleeper:
    def task_same(self, value):
        return value
"""


async def test_a_run_goes_on_though_a_late_note_says_that_it_has_ended(tree, client, book, until):
    """The scheduler decides that the run is over, a retry is stored, then the note, and then it dies."""
    await tree.whole()
    book.cell(CELL)
    sleeper = book.names["Sleeper"]()
    run = await book.submit("late", lambda: [sleeper.task_same(n) for n in range(3)], pool="nobody")
    await client.cancel(run)
    await book.settled(run)

    async def noted():
        return run.run in await client.mycelium.settled_runs()

    await until(noted)
    note = (await client.mycelium.settled_runs())[run.run]
    (scheduler,) = await tree.numbers("scheduler", client)
    tree.send(scheduler, signal.SIGSTOP)
    assert await client.reopen(run, [0, 1, 2]) == 3
    subject = client.mycelium.names.settled(run.run)
    await client.mycelium.runs.write(subject, encode(note), None)  # as one would that does not look
    tree.send(scheduler, signal.SIGKILL)
    worker = (await client.workers())[0].worker
    assert worker

    async def offered():
        """The next scheduler has taken the run up: its jobs are on the queue of the pool."""
        names = client.mycelium.names
        facts = await client.mycelium.link.api(
            f"STREAM.INFO.{names.work}", {"subjects_filter": names.pool_offers("nobody")}
        )
        return len(facts["state"].get("subjects") or ()) > 0

    await until(offered)
    assert [job.state for job in run.state.jobs] == [State.WAITING] * 3
    await client.cancel(run)


async def test_nothing_is_taken_up_that_has_ended(client, book, tree):
    await tree.whole()
    book.cell(CELL)
    sleeper = book.names["Sleeper"]()
    run = await book.submit("ended", lambda: sleeper.task_same(1))
    await book.settled(run)
    last = await client.mycelium.link.last(
        client.mycelium.names.jobs, client.mycelium.names.jobs_of(run.run)
    )
    taken: list[str] = []
    leftovers = Leftovers(client.mycelium, Placement(client.mycelium), taken.append)
    await leftovers.reopened({run.run: Settled(run=run.run, counts={"done": 1}, upto=last.seq)})
    assert taken == []
    await leftovers.reopened({run.run: Settled(run=run.run, counts={"done": 1}, upto=last.seq - 1)})
    assert taken == [run.run]


async def test_offers_to_a_worker_that_is_gone_are_removed(client, tree):
    await tree.whole()
    names, link = client.mycelium.names, client.mycelium.link
    placement = Placement(client.mycelium)
    placement.expect("here")
    for worker in ("here", "gone"):
        await link.request(names.offer_to_worker(worker, "crawl.1", 0, "7"), b"offer")
    await Leftovers(client.mycelium, placement, print).clear()
    assert await link.last(names.work, names.offer_to_worker("gone", "crawl.1", 0, "7")) is None
    assert await link.last(names.work, names.offer_to_worker("here", "crawl.1", 0, "7")) is not None
    await link.api(f"STREAM.PURGE.{names.work}", {"filter": names.worker_offers("here")})
