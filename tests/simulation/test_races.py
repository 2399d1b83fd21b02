"""Races that chance brings about too seldom, each told on purpose, on the model: who comes late is refused."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from elfbook.client.client import Client
from elfbook.facts import Cancelled, Claimed, ClaimedTogether, Lost, Reopened, Succeeded
from elfbook.host.placement import Placement
from elfbook.model import Beat, Dispatch, ElfUse, Graph, JobSpec, Origin, Policy, Settled, ValueRef
from elfbook.store import link
from elfbook.store.beside import Beside
from elfbook.store.link import Message
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.tracing.graph import Drawn
from elfbook.wire import encode_sealed
from elfbook.work.attempts import Held
from elfbook.work.claims import Claims
from elfbook.work.commits import Commits
from elfbook.work.worker import Worker
from tests.simulation.history import ADDRESS, KEY
from tests.simulation.loop import end_all, simulated
from tests.simulation.network import Network, Wire
from tests.simulation.plan import FIRST, revision

RUN = "crawl.1"


def on_the_model(told: Callable[[Mycelium, Mycelium], Awaitable[None]]) -> Callable[[], None]:
    """A test of two processes that share a mycelium, in simulated time."""

    def test() -> None:
        with simulated(1) as (loop, chance):
            network = Network(loop, chance)

            async def main() -> None:
                with patch.object(link, "NatsClient", lambda: Wire(network)):
                    one, other = [await Mycelium.open(ADDRESS, key=KEY) for _ in range(2)]
                    await told(one, other)

            loop.run_until_complete(main())
            end_all(loop)
            assert loop.trouble == []

    test.__doc__ = told.__doc__
    return test


def dispatch(name: str = "", seq: int = 0, job: int = 0) -> Dispatch:
    return Dispatch(
        run=RUN, job=job, seq=seq, attempt=1, label=f"task_do[{job}]", elf=ElfUse("Elf", FIRST, name),
        code=ValueRef(FIRST, 1), task="task_do", arguments=b"",
    )  # fmt: skip


class Deaf:
    """A taker whose offers nobody looks at."""

    async def accept(self, message: Message) -> None:
        """The offer is dealt with."""


def commits(mycelium: Mycelium, worker: str) -> Commits:
    outputs = SimpleNamespace(tail=lambda token: "")

    async def certain() -> None:
        """There is no doubt."""

    return Commits(
        mycelium, worker, outputs, None, Beside(), on_end=lambda held: None, on_taken_over=lambda names: None,
        certain=certain,
    )  # fmt: skip


def claimed(worker: str) -> Claimed:
    return Claimed(worker, 1, worker)


def succeeded(worker: str) -> Succeeded:
    return Succeeded(f"{worker} done", 1, ValueRef(worker, 1, inline=b"x"), worker)


@on_the_model
async def test_who_was_taken_over_cannot_end_the_job(one: Mycelium, other: Mycelium) -> None:
    mine = await one.record(RUN, 0, claimed("w1"), 0)
    theirs = await other.record(RUN, 0, claimed("w2"), mine)
    desk = commits(one, "w1")
    held = Held("w1-1", dispatch(), Message("offer", b""), Deaf(), mine)
    with pytest.raises(Conflict):
        await desk.commit(held, succeeded("w1"))
    assert (await other.last_event(RUN, 0))[1] == theirs
    await desk.beside.close()


@on_the_model
async def test_who_was_taken_over_does_not_keep_anything(one: Mycelium, other: Mycelium) -> None:
    mine = await one.record(RUN, 0, claimed("w1"), 0)
    await other.record(RUN, 0, claimed("w2"), mine)
    desk = commits(one, "w1")
    await desk.restored("ann")
    held = Held("w1-1", dispatch("ann"), Message("offer", b""), Deaf(), mine)
    with pytest.raises(Conflict):
        await desk.commit(held, succeeded("w1"), b"kept")
    assert await other.kept("ann") == (None, 0)
    await desk.beside.close()


@on_the_model
async def test_of_two_workers_that_have_one_elf_the_second_loses_its_attempt(
    one: Mycelium, other: Mycelium
) -> None:
    """Neither knows of the other. What the first keeps stays, and the second's job is offered again."""
    desks = [commits(one, "w1"), commits(other, "w2")]
    for desk in desks:
        assert await desk.restored("ann") is None
    for job, (desk, mycelium) in enumerate(zip(desks, (one, other), strict=True)):
        seq = await mycelium.record(RUN, job, claimed(desk.worker), 0)
        held = Held(f"{desk.worker}-1", dispatch("ann", job=job), Message("offer", b""), Deaf(), seq)
        await asyncio.wait([desk.commit(held, succeeded(desk.worker), desk.worker.encode())])
    await asyncio.sleep(1)
    assert (await one.kept("ann"))[0] == b"w1"
    assert isinstance((await one.last_event(RUN, 0))[0], Succeeded)
    event, _ = await one.last_event(RUN, 1)
    assert isinstance(event, Lost) and "ann was given to another worker" in event.why
    for desk in desks:
        await desk.beside.close()


@on_the_model
async def test_a_lot_that_has_moved_on_is_not_claimed(one: Mycelium, other: Mycelium) -> None:
    """Whatever has been stored about it: a job's own record, or another claim of many."""
    many = ClaimedTogether("w1", "w1", ((1, 0, 1), (2, 0, 1)))
    cancel = await other.record(RUN, 1, Cancelled("c"), 0)
    with pytest.raises(Conflict):
        await one.claim_lot(RUN, 0, many, 0)
    claim = await one.claim_lot(RUN, 0, many, cancel)
    with pytest.raises(Conflict):
        await other.claim_lot(RUN, 0, ClaimedTogether("w2", "w2", many.jobs), cancel)
    assert claim == cancel + 1


@on_the_model
async def test_a_slot_is_given_to_one_of_two(one: Mycelium, other: Mycelium) -> None:
    """And who does not get the slot does not get the job."""
    offers = [
        Dispatch(
            **{name: getattr(dispatch(job=job), name) for name in Dispatch.__struct_fields__}
            | {"slot": ("api", 0, 0)}
        )
        for job in (0, 1)
    ]
    await one.claim_with_slot(offers[0], claimed("w1"))
    with pytest.raises(Conflict):
        await other.claim_with_slot(offers[1], claimed("w2"))
    assert await other.last_event(RUN, 1) is None


@on_the_model
async def test_two_schedulers_agree_on_the_holder_of_an_elf(one: Mycelium, other: Mycelium) -> None:
    """Both know both workers and have reason to choose different ones; both write at once."""
    placements = [Placement(one), Placement(other)]
    for placement, busy in zip(placements, ("w1", "w2"), strict=True):
        for worker in ("w1", "w2"):
            placement.hear(Beat(worker, "host", "main"))
        placement.holders["bob"] = busy
    first, second = await asyncio.gather(*(placement.place("ann", "main") for placement in placements))
    assert first == second
    assert [entry async for entry in one.read(one.names.jobs, one.names.holder("ann"))][1:] == []


@on_the_model
async def test_a_note_does_not_replace_one_that_came_while_it_looked(one: Mycelium, other: Mycelium) -> None:
    stale, fresh = Settled(RUN, {"cancelled": 1}, upto=4), Settled(RUN, {"done": 1}, upto=9)
    look = one.link.last

    async def slowly(stream: str, subject: str):
        found = await look(stream, subject)
        one.link.last = look
        await other.note_settled(fresh)
        return found

    one.link.last = slowly
    await one.note_settled(stale)
    assert await other.settled_runs() == {RUN: fresh}


@on_the_model
async def test_a_retry_is_refused_for_a_job_that_has_moved_on(one: Mycelium, other: Mycelium) -> None:
    """Somebody else has opened it again, and it has been claimed: that attempt goes on."""
    graph = Graph((ElfUse("Elf", FIRST),), (JobSpec(0, "task_do", b""),), b"", Policy())
    client = Client(None, one)
    watched, _ = await client.submit("crawl", Drawn(graph, {}, {FIRST: revision(FIRST)}), Origin())
    assert await client.cancel(watched) == 1
    note, seqs = one.note_settled, []

    async def meanwhile(settled: Settled) -> None:
        await note(settled)
        _, last = await other.last_event(RUN, 0)
        seqs.append(await other.record(RUN, 0, Reopened("theirs"), last))
        seqs.append(await other.record(RUN, 0, claimed("w2"), seqs[-1]))

    one.note_settled = meanwhile
    assert await client.reopen(watched, [0]) == 0
    assert (await other.last_event(RUN, 0))[1] == seqs[-1]
    await watched.close()


@on_the_model
async def test_the_next_job_of_an_elf_begins_when_the_last_ones_end_is_dealt_with(
    one: Mycelium, other: Mycelium
) -> None:
    """Also when they belong to two runs, and only then: it builds on what that one has left in the elf."""
    given: list[Held] = []

    async def give(mine: list[Held]) -> None:
        given.extend(mine)

    with tempfile.TemporaryDirectory(prefix="elf-") as name:
        worker = Worker(one, "w1", "host", folder=Path(name), cellar=Path(name) / "values")
        worker._give = give
        first, second = [
            Held(f"w1-{job}", dispatch("ann", job=job), Message("offer", b""), Deaf(), 1) for job in (0, 1)
        ]
        await worker._begin([first])
        await worker._begin([second])
        await asyncio.sleep(60)
        assert given == [first]
        worker._ended(first)
        await asyncio.sleep(60)
        assert given == [first, second]
        await worker.beside.close()


@on_the_model
async def test_only_the_holder_takes_an_elfs_job(one: Mycelium, other: Mycelium) -> None:
    await other.jobs.write(one.names.holder("ann"), b"w2", 0)
    offer = Message("offer", encode_sealed(dispatch("ann"), KEY))
    assert await Claims(one, "w1", set(), print).claim(Deaf(), [offer], leaving=False) == []
    assert await one.last_event(RUN, 0) is None
    ((mine, _, seq),) = await Claims(other, "w2", set(), print).claim(Deaf(), [offer], leaving=False)
    assert (mine, seq) == (dispatch("ann"), (await one.last_event(RUN, 0))[1])
