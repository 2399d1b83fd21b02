"""G5: an offer leaves the queue only when the end of its attempt is stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from elfbook.facts import Claimed, Lost, State, Succeeded
from elfbook.store.follow import Taker
from elfbook.store.mycelium import Mycelium
from elfbook.store.server import inherited
from elfbook.work import worker as working
from elfbook.work.worker import Worker
from tests.system.conftest import at_work

POOL = "here"


@contextlib.asynccontextmanager
async def worker_here(
    place, folder: Path, name: str, spec: str = "python3", **environment: str
) -> AsyncIterator[Worker]:
    """A worker in this process, with a kernel of its own, that can be watched and cut short."""
    mycelium = await Mycelium.open(place.address(), key=place.key(), locate=place.locate)
    worker = Worker(
        mycelium=mycelium,
        name=name,
        host="here",
        folder=folder / name,
        cellar=folder / f"{name}-values",
        pool=POOL,
        spec=spec,
        environment=inherited({**os.environ, **environment}),
    )
    async with at_work(worker):
        yield worker


async def queued(client) -> int:
    names = client.mycelium.names
    return (await client.mycelium.link.api(f"STREAM.INFO.{names.work}"))["state"]["messages"]


@pytest.fixture
def short_path(folder):
    """Within the module's folder, so that the names of sockets stay short."""
    made = folder / "w"
    made.mkdir(exist_ok=True)
    return made


async def test_an_offer_is_accepted_after_its_record(tree, client, book, short_path, monkeypatch, until):
    accepted = []
    accept = Taker.accept

    async def watched(taker, message):
        run, job = ".".join(message.subject.split(".")[5:7]), int(message.subject.split(".")[7])
        found = await client.mycelium.last_event(run, job)
        accepted.append((job, type(found[0])))
        await accept(taker, message)

    monkeypatch.setattr(Taker, "accept", watched)
    async with worker_here(tree.place, short_path, "one"):
        sums = book.names["Sums"]()
        run = await book.submit(
            "accepted", lambda: [sums.task_same(bytes(10**5)), sums.task_same(2)], pool=POOL
        )
        await book.settled(run)
        await until(lambda: len(accepted) == 2)
    assert sorted(accepted) == [(0, Succeeded), (1, Succeeded)]
    assert await queued(client) == 0


async def test_a_worker_that_dies_between_record_and_acceptance(
    tree, client, book, short_path, tmp_path, monkeypatch, until
):
    """The offer comes back, and whoever gets it sees that there is nothing left to do."""
    monkeypatch.setattr(working, "LEASE_S", 1.0)
    path = tmp_path / "notes"
    sums = book.names["Sums"]()
    with monkeypatch.context() as patch:

        async def never(taker, message):
            return

        patch.setattr(Taker, "accept", never)
        async with worker_here(tree.place, short_path, "two"):
            run = await book.submit("between", lambda: sums.task_note(str(path), 7), pool=POOL)
            await book.settled(run)
    assert await queued(client) == 1
    async with worker_here(tree.place, short_path, "three"):

        async def empty():
            return await queued(client) == 0

        await until(empty)
    assert run.state.jobs[0].state is State.DONE
    assert path.read_text().split() == ["7"]
    assert [type(fact.event) for fact in await book.facts(run)] == [Claimed, Succeeded]


async def test_what_cannot_be_stored_is_not_accepted(tree, client, book, short_path, monkeypatch):
    """The worker ends, which says so: whoever looks after it has the job done by another."""

    def failing(record):
        def write(run, job, event, seq, **words):
            if not isinstance(event, Succeeded):
                return record(run, job, event, seq, **words)
            future = asyncio.get_running_loop().create_future()
            future.set_exception(OSError("no room"))
            return future

        return write

    sums = book.names["Sums"]()
    with pytest.raises(OSError, match="no room"):
        async with worker_here(tree.place, short_path, "four") as worker:
            worker.mycelium.record = failing(worker.mycelium.record)
            run = await book.submit("refused", lambda: sums.task_same(1), pool=POOL)
            await asyncio.wait_for(worker.beside.until_failure(), 10)
    assert await queued(client) >= 1
    async with worker_here(tree.place, short_path, "five"):
        await book.settled(run)
    assert [type(fact.event) for fact in await book.facts(run)] == [Claimed, Lost, Claimed, Succeeded]
