"""Named limits and priorities, with a whole mycelium: at most so many at once, whatever dies."""

from __future__ import annotations

import pytest

from elfbook.facts import Claimed, State

CELL = """\
import os
import time


class Api:
    def task_call(self, folder, number, seconds):
        path = os.path.join(folder, f"{number}-{os.getpid()}-{time.monotonic_ns()}")
        open(path, "w").close()
        inside = len([name for name in os.listdir(folder) if not name.endswith(".over")])
        time.sleep(seconds)
        os.rename(path, path + ".over")
        return inside

    def task_note(self, path, letter):
        with open(path, "a") as file:
            file.write(letter)
"""


@pytest.fixture
def api(book):
    book.cell(CELL)
    return book.names["Api"]()


async def test_no_more_run_at_once_than_the_limit_says(tree, client, book, api, tmp_path):
    await tree.whole()
    first = await book.submit(
        "one", lambda: [api.task_call(str(tmp_path), n, 0.02) for n in range(30)], limit="api:1"
    )
    second = await book.submit(
        "two", lambda: [api.task_call(str(tmp_path), 100 + n, 0.02) for n in range(30)], limit="api:1"
    )
    for run in (first, second):
        await book.settled(run)
        assert set(await book.values(run)) == {1}, "two of them were inside at once"


async def test_a_limit_holds_when_its_holder_dies(tree, client, book, api, tmp_path, until):
    """The slot of a killed worker is free as soon as its job is lost, and not before."""
    await tree.whole()
    run = await book.submit(
        "dies", lambda: [api.task_call(str(tmp_path), n, 0.3) for n in range(6)], limit="api:1"
    )

    async def begun():
        return any(isinstance(job.event, Claimed) for job in run.state.jobs)

    await until(begun)
    holder = next(job.worker for job in run.state.jobs if job.state is State.RUNNING)
    await tree.kill("worker", client, holder)
    await book.settled(run)
    assert [job.state for job in run.state.jobs] == [State.DONE] * 6
    running, most = set(), 0
    for fact in await book.facts(run):  # in the order of the log
        running.add(fact.job) if isinstance(fact.event, Claimed) else running.discard(fact.job)
        most = max(most, len(running))
    assert most == 1


async def test_a_cancelled_holder_frees_its_slot(tree, client, book, api, tmp_path, until):
    await tree.whole()
    run = await book.submit(
        "freed", lambda: [api.task_call(str(tmp_path), n, 30 if n == 0 else 0) for n in range(3)], limit="api:1"
    )

    async def begun():
        return run.state.jobs[0].state is State.RUNNING

    await until(begun)
    assert await client.cancel(run, jobs=[0]) == 1
    await book.settled(run)
    assert [job.state for job in run.state.jobs] == [State.CANCELLED, State.DONE, State.DONE]


async def test_jobs_of_high_priority_go_first(tree, client, book, api, tmp_path):
    """While one slow job holds the only slot, high ones are lined up behind low ones and overtake them."""
    await tree.whole()
    notes = tmp_path / "notes"
    hold = await book.submit("hold", lambda: [api.task_call(str(tmp_path), 0, 0.5)], limit="one:1")
    low = await book.submit(
        "low", lambda: [api.task_note(str(notes), "l") for _ in range(5)], limit="one:1", priority=2
    )
    high = await book.submit(
        "high", lambda: [api.task_note(str(notes), "h") for _ in range(5)], limit="one:1", priority=0
    )
    for run in (hold, low, high):
        await book.settled(run)
    assert notes.read_text() == "hhhhhlllll"
