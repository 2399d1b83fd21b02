"""Races that chance brings about too seldom, each told on purpose, on the model: who comes late is refused."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from elfbook.client.client import Client
from elfbook.client.watched import Watched
from elfbook.facts import (
    AnyRecord,
    Cancelled,
    Claimed,
    ClaimedTogether,
    EndedTogether,
    Ending,
    Lost,
    Paused,
    Released,
    Reopened,
    Skipped,
    State,
    Succeeded,
    Success,
)
from elfbook.host.placement import Placement
from elfbook.host.scheduler import Scheduler
from elfbook.log.fold import to_reopen
from elfbook.model import Beat, Dispatch, ElfUse, Graph, JobSpec, Origin, Policy, Settled, ValueRef
from elfbook.store import link
from elfbook.store.beside import Beside
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.tracing.graph import Drawn
from elfbook.wire import encode_sealed
from elfbook.work.attempts import Held, HeldLot
from elfbook.work.claims import Claims
from elfbook.work.commits import Commits
from elfbook.work.fencing import LOOK_S, Fencing
from elfbook.work.kernel import Job
from elfbook.work.parcels import build
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
async def test_a_slot_is_taken_until_its_run_has_been_read(one: Mycelium, other: Mycelium) -> None:
    """A scheduler that has just started knows of the slot, and not yet of the job that has it."""
    watched = await submitted(one, Policy(limit="api:1"))
    offer = Dispatch(
        **{name: getattr(dispatch(), name) for name in Dispatch.__struct_fields__} | {"slot": ("api", 0, 0)}
    )
    await one.claim_with_slot(offer, claimed("w1"))
    scheduler = Scheduler(other)
    async for entry in other.slots():
        scheduler._hear_slot(entry)
    assert scheduler.limits.is_taken(("api", 0)), "nobody knows yet what its jobs do"
    await scheduler.uptake.take_all()
    assert scheduler.limits.is_taken(("api", 0)), "its job runs"
    del scheduler.cards[RUN]
    assert not scheduler.limits.is_taken(("api", 0)), "its run has settled"
    await scheduler.beside.close()
    await watched.close()


@on_the_model
async def test_two_schedulers_agree_on_the_holder_of_an_elf(one: Mycelium, other: Mycelium) -> None:
    """Both know both workers and have reason to choose different ones; both write at once."""
    placements = [Placement(one), Placement(other)]
    for placement, busy in zip(placements, ("w1", "w2"), strict=True):
        for worker in ("w1", "w2"):
            placement.hear(Beat(worker, "host", "main"))
        placement.holders["bob"] = (busy, 1)
    first, second = await asyncio.gather(*(placement.place("ann", "main") for placement in placements))
    assert first == second
    assert [entry async for entry in one.read(one.names.jobs, one.names.holder("ann"))][1:] == []


@on_the_model
async def test_an_elf_is_where_the_newest_record_says_whatever_a_worker_says(
    one: Mycelium, other: Mycelium
) -> None:
    """A worker was cut off, another scheduler gave its elf away, and it came back: it refuses the elf's jobs."""
    scheduler = Scheduler(one)
    for worker in ("w1", "w2"):
        scheduler.placement.hear(Beat(worker, "host", "main", names=("ann",) if worker == "w1" else ()))
    following = asyncio.create_task(scheduler._follow_jobs(1))
    holder = await scheduler.placement.place("ann", "main")
    assert holder == "w2", "no record says that w1 has it"
    seq = (await other.holder("ann"))[1]
    await other.jobs.write(other.names.holder("ann"), b"w1", seq)
    async with asyncio.timeout(10):
        while await scheduler.placement.place("ann", "main") != "w1":
            await asyncio.sleep(0.1)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await scheduler.beside.close()


@on_the_model
async def test_a_note_does_not_replace_one_that_came_while_it_looked(one: Mycelium, other: Mycelium) -> None:
    stale, fresh = Settled(RUN, {"cancelled": 1}, upto=4), Settled(RUN, {"done": 1}, upto=9)
    await other.note_settled(Settled(RUN, {"failed": 1}, upto=2))  # who finds none has nothing to look at
    look = one.link.last

    async def slowly(stream: str, subject: str):
        found = await look(stream, subject)
        one.link.last = look
        await other.note_settled(fresh)
        return found

    one.link.last = slowly
    await one.note_settled(stale)
    assert one.link.last == look, "it did look"
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
async def test_a_kernel_that_comes_while_a_job_waits_for_its_values_gets_what_the_elf_has_kept(
    one: Mycelium, other: Mycelium
) -> None:
    """The kernel that died had the elf, so nothing had been looked up when the job was claimed."""
    await other.record(RUN, 7, claimed("w1"), 0, ("ann", b"what ann keeps", 0))
    given: list[Job] = []
    with tempfile.TemporaryDirectory(prefix="elf-") as name:
        worker = Worker(one, "w1", "host", folder=Path(name), cellar=Path(name) / "values")
        held = Held("w1-1", dispatch("ann"), Message("offer", b""), Deaf(), 1, looked_at=time.monotonic())
        worker.names, worker.bench.held[held.token] = {"ann"}, held
        worker.bench.kernel, worker.bench.run = SimpleNamespace(knows=lambda digest: True), given.extend
        worker.bench.up.set()

        async def made(token: str, offer: Dispatch, fence: tuple[int, int]) -> Job:
            worker._kernel_died(None, "was killed")
            return build(token, offer, revision(FIRST), (), {}, fence)

        worker.parcels.job = made
        await worker._give([held])
        worker.parcels.simple = lambda offer: True
        worker.parcels.job_at_once = lambda *told: build(told[0], told[1], revision(FIRST), (), {}, told[2])
        await worker._give([held])  # the one before was taken back: nobody knows that the kernel has made the elf
        worker.names = {"ann"}  # as once a job of it has ended
        await worker._give([held])
        await worker.beside.close()
    comes = (True, (b"what ann keeps",))
    assert [(job.header["kept"], job.parts[2:]) for job in given] == [comes, comes, (False, ())]


@on_the_model
async def test_only_the_holder_takes_an_elfs_job(one: Mycelium, other: Mycelium) -> None:
    await other.jobs.write(one.names.holder("ann"), b"w2", 0)
    offer = Message("offer", encode_sealed(dispatch("ann"), KEY))
    assert await Claims(one, "w1", set(), print).claim(Deaf(), [offer], leaving=False) == []
    assert await one.last_event(RUN, 0) is None
    ((mine, _, seq),) = await Claims(other, "w2", set(), print).claim(Deaf(), [offer], leaving=False)
    assert (mine, seq) == (dispatch("ann"), (await one.last_event(RUN, 0))[1])


# ---------------------------------------------------------------------------- decided on an old view


def claim_by(worker: str) -> ClaimedTogether:
    return ClaimedTogether(worker, worker, ((0, 0, 1),))


async def still_holds(mycelium: Mycelium, claim: int) -> bool:
    """What a worker finds out that has the job by this claim of many and looks at its record."""
    bench = SimpleNamespace(stop_job=lambda held, why: None, own=print)
    fencing = Fencing(mycelium, "w2", bench, set(), print, print)
    offer = Message("offer", b"")
    held = Held("w2-1", dispatch(), offer, Deaf(), 0, HeldLot(claim, offer, Deaf(), 1))
    await fencing.look(held)
    return not held.fenced


async def submitted(mycelium: Mycelium, policy: Policy | None = None) -> Watched:
    graph = Graph((ElfUse("Elf", FIRST),), (JobSpec(0, "task_do", b""),), b"", policy or Policy())
    watched, _ = await Client(None, mycelium).submit(
        "crawl", Drawn(graph, {}, {FIRST: revision(FIRST)}), Origin()
    )
    return watched


async def done_by(mycelium: Mycelium, claim: int, watched: Watched) -> bool:
    """True if the job is done by this claim, and nothing was ever taken from it."""
    success = EndedTogether("e", "w2", FIRST, (ValueRef("v", 1),), (Success(claim, 0, 0, 0.1),))
    await mycelium.end_lots(RUN, success)
    await asyncio.sleep(1)
    now = watched.state.jobs[0]
    return now.state is State.DONE and now.lost == 0 and now.worker == "w2"


@on_the_model
async def test_a_loss_takes_nothing_from_the_worker_that_has_the_job_by_now(
    one: Mycelium, other: Mycelium
) -> None:
    """The scheduler has not read yet that the dead worker had given it back, and that another has it."""
    watched = await submitted(one)
    first = await one.claim_lot(RUN, 0, claim_by("w1"), 0)
    scheduler = Scheduler(other)
    await scheduler.uptake.take_all()
    await one.end_lots(RUN, EndedTogether("r", "w1", others=(Ending(first, 0, Released("r", 1, "w1")),)))
    second = await one.claim_lot(RUN, 0, claim_by("w2"), first)
    scheduler._gone("w1", "was killed")
    await asyncio.sleep(1)
    loss, _ = await one.last_event(RUN, 0)
    assert (type(loss), loss.worker, loss.claim) == (Lost, "w1", first)
    assert await still_holds(one, second)
    assert await done_by(one, second, watched)
    await scheduler.beside.close()
    await watched.close()


@on_the_model
async def test_a_loss_is_refused_once_the_job_was_claimed_again(one: Mycelium, other: Mycelium) -> None:
    """The same with records of its own: nothing may come between a claim and its end."""
    watched = await submitted(one)
    first = await one.record(RUN, 0, claimed("w1"), 0)
    scheduler = Scheduler(other)
    await scheduler.uptake.take_all()
    given_back = await one.record(RUN, 0, Released("r", 1, "w1"), first)
    second = await one.record(RUN, 0, claimed("w2"), given_back)
    scheduler._gone("w1", "was killed")
    await asyncio.sleep(1)
    assert await one.last_event(RUN, 0) == (claimed("w2"), second)
    await scheduler.beside.close()
    await watched.close()


@on_the_model
async def test_a_skip_takes_nothing_from_a_claim_that_came_before_it(one: Mycelium, other: Mycelium) -> None:
    """It was decided when a parent had failed, which has been tried again meanwhile, with success."""
    watched = await submitted(one)
    claim = await one.claim_lot(RUN, 0, claim_by("w2"), 0)
    await other.record(RUN, 0, Skipped("s"), 0)
    assert await still_holds(one, claim)
    assert await done_by(one, claim, watched)
    await watched.close()


@on_the_model
async def test_what_takes_a_job_from_a_claim_of_many_is_seen_also_behind_what_does_not(
    one: Mycelium, other: Mycelium
) -> None:
    before = await one.claim_lot(RUN, 0, ClaimedTogether("w1", "w1", ((1, 0, 1),)), 0)
    claim = await one.claim_lot(RUN, 0, claim_by("w2"), before)
    facts: list[AnyRecord] = [Lost("l", claim=before), Cancelled("c"), Reopened("o"), Skipped("s")]
    seq, holds = 0, []
    for fact in facts:
        seq = await other.record(RUN, 0, fact, seq)
        holds.append(await still_holds(one, claim))
    assert holds == [True, False, False, False]


def worker_with(mycelium: Mycelium, folder: str, given: list) -> Worker:
    """Its kernel notes what it is given to do."""
    worker = Worker(mycelium, "w1", "host", folder=Path(folder), cellar=Path(folder) / "values")
    worker.bench.kernel = SimpleNamespace(run=given.extend, knows=lambda digest: True, drop=print)
    worker.parcels._revisions[FIRST] = revision(FIRST)
    return worker


@on_the_model
async def test_what_was_cancelled_while_its_kernel_started_does_not_begin(
    one: Mycelium, other: Mycelium
) -> None:
    """Nobody has told the worker, and it has to ask twice."""
    look, away = one.last_event, [Unanswered("away")]

    async def last_event(run: str, job: int) -> tuple | None:
        if away:
            raise away.pop()
        return await look(run, job)

    one.last_event = last_event
    with tempfile.TemporaryDirectory(prefix="elf-") as folder:
        worker = worker_with(one, folder, given := [])
        offer, asked = Message("offer", b""), time.monotonic()
        seqs = [await one.record(RUN, job, claimed("w1"), 0) for job in (0, 1)]
        mine = [
            worker._hold(asked, dispatch(job=job), offer, Deaf(), seq, None) for job, seq in enumerate(seqs)
        ]
        beginning = asyncio.create_task(worker._begin(mine))
        await asyncio.sleep(LOOK_S + 1)
        await other.record(RUN, 0, Cancelled("c"), seqs[0])
        worker.bench.up.set()
        await beginning
        await asyncio.sleep(1)
        assert [job.token for job in given] == list(worker.bench.held) == ["w1-2"]
        await worker.beside.close()


@on_the_model
async def test_what_was_cancelled_before_its_claim_was_answered_does_not_begin(
    one: Mycelium, other: Mycelium
) -> None:
    """The worker was frozen, say, or the answer was lost and the claim had to be read back."""
    with tempfile.TemporaryDirectory(prefix="elf-") as folder:
        worker = worker_with(one, folder, given := [])
        worker.bench.up.set()
        offers = [Message("offer", encode_sealed(dispatch(job=job), KEY)) for job in (0, 1)]
        claim = worker.claims.claim

        async def late(*what: object, leaving: bool) -> list:
            mine = await claim(*what, leaving=leaving)
            await other.record(RUN, 0, Cancelled("c"), mine[0][2])
            await asyncio.sleep(LOOK_S + 1)
            return mine

        worker.claims.claim = late
        await worker._begin(await worker._claim(Deaf(), offers))
        await asyncio.sleep(1)
        assert [job.token for job in given] == list(worker.bench.held) == ["w1-2"]
        await worker.beside.close()


# ---------------------------------------------------------------------------- pause and resume


@on_the_model
async def test_of_two_who_pause_and_resume_at_once_each_is_told_what_was_its_own(
    one: Mycelium, other: Mycelium
) -> None:
    clients = [Client(None, one), Client(None, other)]
    first = await submitted(one)
    runs = [first, await clients[1].watch("crawl")]
    for on in (True, False, True):
        does = [client.pause(run) if on else client.resume(run) for client, run in zip(clients, runs, strict=True)]
        assert sorted(await asyncio.gather(*does)) == [False, True], "one of them did it"
    does = [clients[0].pause(runs[0]), clients[1].resume(runs[1]), clients[0].resume(runs[0])]
    await asyncio.gather(*does)
    entries = [entry async for entry in one.read(one.names.jobs, one.names.pause(RUN))]
    said = [one.facts(entry)[1][0].event.on for entry in entries]
    assert said == [number % 2 == 0 for number in range(len(said))], "nobody says what was said already"
    for run in runs:
        await run.catch_up()
        assert (run.state.paused, run.state.pause_seq) == (said[-1], entries[-1].seq)
        await run.close()


@contextlib.asynccontextmanager
async def scheduling(mycelium: Mycelium) -> AsyncIterator[Scheduler]:
    """A scheduler has begun, and has ended afterwards."""
    stop, scheduler = asyncio.Event(), Scheduler(mycelium)
    running = asyncio.create_task(scheduler.run(stop))
    await asyncio.sleep(3)
    try:
        yield scheduler
    finally:
        stop.set()
        await running


def on_the_queue(mycelium: Mycelium) -> set[str]:
    """The runs of which there are offers."""
    server = mycelium.link.nc.network.server
    subjects = [kept.subject.split(".") for kept in server.streams[mycelium.names.work].messages.values()]
    return {".".join(parts[5:7]) for parts in subjects}


@on_the_model
async def test_a_scheduler_takes_a_paused_runs_offers_off_the_queue_and_puts_them_back(
    one: Mycelium, other: Mycelium
) -> None:
    """However quickly one follows the other; and one that starts meanwhile offers nothing of it."""
    watched = await submitted(one)
    client = Client(None, one)
    async with scheduling(other):
        assert on_the_queue(one) == {RUN}
        for _ in range(3):
            await client.pause(watched)
            await asyncio.sleep(1)
            assert on_the_queue(one) == set()
            await client.resume(watched)
            await asyncio.sleep(1)
            assert on_the_queue(one) == {RUN}
        for _ in range(5):
            await client.pause(watched)
            await client.resume(watched)
        await asyncio.sleep(1)
        assert on_the_queue(one) == {RUN}
        await client.pause(watched)
    async with scheduling(other):
        await asyncio.sleep(10)
        assert on_the_queue(one) == set()
        await client.resume(watched)
        await asyncio.sleep(1)
        assert on_the_queue(one) == {RUN}
    await watched.close()


@on_the_model
async def test_a_scheduler_that_slept_offers_nothing_until_it_knows_what_happened_meanwhile(
    one: Mycelium, other: Mycelium
) -> None:
    """It may hear of a run before it hears that its jobs are done; jobs done in a lot have no record of their own."""
    async with scheduling(other) as scheduler:
        learn, readable = scheduler.lead.learn, asyncio.Event()

        async def later() -> int:
            await readable.wait()
            return await learn()

        scheduler.lead.learn = later
        scheduler.lead._awake_at -= 10
        watched = await submitted(one)
        await asyncio.sleep(20)
        assert on_the_queue(one) == set()
        readable.set()
        await asyncio.sleep(1)
        assert on_the_queue(one) == {RUN}
    await watched.close()


@on_the_model
async def test_an_offer_that_came_after_the_queue_was_cleared_does_not_stay(one: Mycelium, other: Mycelium) -> None:
    watched = await submitted(one)
    async with scheduling(other):
        await Client(None, one).pause(watched)
        await asyncio.sleep(1)
        await (await one.offer(dispatch(), pool="main"))
        assert on_the_queue(one) == {RUN}
        await asyncio.sleep(6)
        assert on_the_queue(one) == set()
    await watched.close()


@on_the_model
async def test_what_a_worker_has_taken_before_the_pause_is_claimed_and_counts(one: Mycelium, other: Mycelium) -> None:
    watched = await submitted(one)
    await other.pause(RUN, Paused("n", True), 0)
    claim = await one.claim_lot(RUN, 0, claim_by("w2"), 0)
    assert await still_holds(one, claim)
    assert await done_by(one, claim, watched)
    assert watched.state.settled and watched.state.paused
    await watched.close()


@on_the_model
async def test_a_run_that_has_ended_at_rest_can_go_on_before_or_after_its_retry(one: Mycelium, other: Mycelium) -> None:
    """Its retry would wait for ever if only a run that has not settled could be resumed."""
    watched, client = await submitted(one), Client(None, one)
    async with scheduling(other):
        await client.pause(watched)
        await client.cancel(watched)
        await watched.settled()
        assert not await client.pause(watched)
        assert await client.resume(watched)
        assert not await client.resume(watched)
        await asyncio.sleep(2)
        assert (await other.settled_runs())[RUN].counts == {"cancelled": len(watched.state.jobs)}
        await client.reopen(watched, to_reopen(watched.state))
        await asyncio.sleep(1)
        assert on_the_queue(one) == {RUN}
    await watched.close()
