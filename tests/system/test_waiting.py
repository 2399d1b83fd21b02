"""Every job that waits has a reason, and the scheduler says the part of it that a run's log cannot."""

from __future__ import annotations

import os
import sys

import pytest

from elfbook.facts import Claimed, State
from elfbook.view.waiting import why
from tests.system.test_accept import POOL, worker_here


@pytest.fixture
def reason(client, until):
    """`await reason(run, job, words)`: the job comes to wait for that reason."""

    async def wait(run, job: int, words: str) -> None:
        seen = []

        async def told():
            seen[:] = [why(run.state, job, situation=await client.situation())]
            return words in seen[0]

        try:
            await until(told)
        except pytest.fail.Exception:
            pytest.fail(f"it says {seen}, not {words!r}")

    return wait


async def test_a_full_limit_names_who_is_under_it(book, gates, until, reason):
    gate = book.names["Gate"]()
    first = await book.submit("holds", lambda: gate.task_pass(str(gates.folder), "x"), limit="api:1")
    await until(gates.begun)
    second = await book.submit("wants", lambda: gate.task_pass(str(gates.folder), "y"), limit="api:1")
    await reason(second, 0, "limit api:1 is full: holds/task_pass[0]")
    gates.open()
    await book.settled(first)
    await book.settled(second)


async def test_a_pool_without_workers_is_named(client, book, reason):
    sums = book.names["Sums"]()
    run = await book.submit("nobody", lambda: sums.task_same(1), pool="gpu")
    await reason(run, 0, "waits for a worker; there is none of pool gpu")
    await client.cancel(run)
    assert why(run.state, 0) == ""


async def test_low_priority_says_what_it_waits_behind(client, book, gates, until, reason):
    gate = book.names["Gate"]()
    path = str(gates.folder)
    busy = await book.submit("busy", lambda: [gate.task_pass(path, "busy") for _ in range(20)])
    await until(lambda: len(gates.begun()) == 2)
    urgent = await book.submit("urgent", lambda: [gate.task_pass(path, "u") for _ in range(20)], priority=0)
    idle = await book.submit("idle", lambda: [gate.task_pass(path, "i") for _ in range(20)], priority=2)
    last = next(job for job in range(19, -1, -1) if idle.state.jobs[job].state is State.WAITING)
    await reason(idle, last, "of high priority")
    gates.open()
    for run in (busy, urgent, idle):
        await book.settled(run)


LIBRARY = "elfbook_test_library"
USES_IT = f"""\
import {LIBRARY}


class User:
    def task_use(self, x):
        return {LIBRARY}.double(x)
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A package that this process has, and of the workers only those that are told where it is."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / f"{LIBRARY}.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(folder))
    yield os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    sys.modules.pop(LIBRARY, None)


@pytest.fixture
def short_path(folder):
    made = folder / "w"
    made.mkdir(exist_ok=True)
    return made


async def test_jobs_wait_for_a_worker_that_has_what_they_import(tree, client, book, short_path, library, reason):
    user = book.cell(USES_IT)["User"]()
    async with worker_here(tree.place, short_path, "bare"):
        run = await book.submit("library", lambda: user.task_use.map(range(30)), pool=POOL)
        assert run.graph.elves[0].needs == (LIBRARY,)
        await reason(run, 0, f"no worker has {LIBRARY}")
        assert not [fact for fact in await book.facts(run) if isinstance(fact.event, Claimed)]
        async with worker_here(tree.place, short_path, "rich", PYTHONPATH=library):
            await book.settled(run)
            assert await book.values(run) == [2 * x for x in range(30)]
            assert {job.worker for job in run.state.jobs} == {"rich"}
            sums = book.names["Sums"]()
            other = await book.settled(await book.submit("plain", lambda: sums.task_same.map(range(30)), pool=POOL))
            assert all(job.state is State.DONE for job in other.state.jobs), "whoever comes takes the rest"
