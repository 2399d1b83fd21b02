"""The record writer against a real server: each write is stored once, or fails and says why."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from elfbook.errors import ElfbookError, MyceliumError, StoreFull, StoreRegressed
from elfbook.facts import LOT
from elfbook.store.link import Entry, Link, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json
from elfbook.store.pressure import Pressure, Trouble
from elfbook.store.server import ensure_server
from elfbook.store.writer import BATCH_MESSAGES, SINGLY, Among, Conflict, Writer
from tests.frozen import freeze

MANY = BATCH_MESSAGES * 2 + 7


@dataclass(eq=False)
class Deaf:
    """A link that stores what it is given, and loses the first `losses` answers."""

    link: Link
    losses: int
    sent: int = 0
    has_others: bool = False
    between: Callable[[], Awaitable[object]] | None = None
    """Done before the link is asked what became of a write."""

    async def send(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> asyncio.Future:
        self.sent += 1
        future = await self.link.send(subject, data, headers)
        if self.sent > self.losses:
            return future
        await future
        lost = asyncio.get_running_loop().create_future()
        lost.set_exception(Unanswered("the answer was lost"))
        return lost

    async def publish(self, *given: object) -> None:
        await self.link.publish(*given)

    async def answers(self, timeout_s: float) -> bool:
        return await self.link.answers(timeout_s)

    async def api(self, *given: object, **named: object) -> dict:
        return await self.link.api(*given, **named)

    async def last(self, stream: str, subject: str) -> Entry | None:
        return await self.link.last(stream, subject)

    async def first_since(self, stream: str, subject: str, seq: int) -> Entry | None:
        if self.between is not None:
            between, self.between = self.between, None
            await between()
        return await self.link.first_since(stream, subject, seq)


@pytest.fixture(params=[True, False], ids=["batches", "singly"])
async def writer(mycelium: Mycelium, request: pytest.FixtureRequest) -> AsyncIterator[Writer]:
    made = Writer(mycelium.link, mycelium.names.jobs, Pressure(), mycelium.seal, atomic=request.param)
    made.start()
    yield made
    await made.close()


def subject(mycelium: Mycelium, job: int) -> str:
    return mycelium.names.job("crawl.1", job)


async def records(mycelium: Mycelium) -> list[Entry]:
    """All that is stored, without the seals, which are right."""
    entries = mycelium.read(mycelium.names.jobs, f"elf.{mycelium.names.namespace}.>")
    return [replace(entry, data=mycelium.unsealed(entry)) async for entry in entries]


async def outcomes(futures: list[asyncio.Future]) -> list[int | BaseException]:
    return await asyncio.gather(*futures, return_exceptions=True)


@pytest.mark.parametrize("count", [1, SINGLY, SINGLY + 1, MANY])
async def test_each_write_learns_its_own_place(writer: Writer, mycelium: Mycelium, count: int) -> None:
    seqs = await outcomes([writer.write(subject(mycelium, job), b"%d" % job, 0) for job in range(count)])
    assert [(entry.seq, entry.data) for entry in await records(mycelium)] == sorted(
        (seq, b"%d" % job) for job, seq in enumerate(seqs)
    )


async def test_a_conflict_among_many_fails_the_guilty_write_only(writer: Writer, mycelium: Mycelium) -> None:
    first = await writer.write(subject(mycelium, 5), b"earlier", 0)
    guilty = {5: 0, 9: first}  # a record is there; none is there
    results = await outcomes(
        [writer.write(subject(mycelium, job), b"new", guilty.get(job, 0)) for job in range(40)]
    )
    assert {job for job, result in enumerate(results) if isinstance(result, Conflict)} == set(guilty)
    stored = Counter(entry.subject for entry in await records(mycelium))
    assert stored == {subject(mycelium, job): 1 for job in range(40) if job != 9}


async def test_the_expected_record_is_replaced(writer: Writer, mycelium: Mycelium) -> None:
    first = await writer.write(subject(mycelium, 1), b"a", 0)
    second = await writer.write(subject(mycelium, 1), b"b", first)
    with pytest.raises(Conflict):
        await writer.write(subject(mycelium, 1), b"c", first)
    assert [entry.data for entry in await records(mycelium)] == [b"a", b"b"]
    assert second == first + 1


async def test_of_two_at_once_one_wins(writer: Writer, mycelium: Mycelium) -> None:
    others = [writer.write(subject(mycelium, job), b"x", 0) for job in range(10, 20)]
    results = await outcomes([writer.write(subject(mycelium, 1), b"mine %d" % each, 0) for each in range(5)])
    await outcomes(others)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 4


async def test_two_writers_on_one_record_agree_on_the_winner(mycelium: Mycelium) -> None:
    writers = [Writer(mycelium.link, mycelium.names.jobs, Pressure(), mycelium.seal) for _ in range(3)]
    for each in writers:
        each.start()
    futures = [
        each.write(subject(mycelium, job), b"%d" % number, 0)
        for job in range(50)
        for number, each in enumerate(writers)
    ]
    results = await outcomes(futures)
    won = {entry.subject: entry for entry in await records(mycelium)}
    for index, result in enumerate(results):
        entry = won[subject(mycelium, index // 3)]
        assert (result == entry.seq) if entry.data == b"%d" % (index % 3) else isinstance(result, Conflict)
    for each in writers:
        await each.close()


async def test_a_job_and_what_its_elf_keeps_are_stored_together_or_not_at_all(mycelium: Mycelium) -> None:
    job, keep = subject(mycelium, 1), mycelium.names.keep("animals")
    seq = await mycelium.jobs.write_all(((job, b"done", 0), (keep, b"one", None)))
    assert [(entry.subject, entry.seq) for entry in await records(mycelium)] == [(job, seq), (keep, seq + 1)]
    with pytest.raises(Conflict):
        await mycelium.jobs.write_all(((job, b"again", 0), (keep, b"two", None)))
    assert await mycelium.kept("animals") == (b"one", seq + 1)
    assert len(await records(mycelium)) == 2


@pytest.mark.parametrize(("count", "losses"), [(1, 1), (3, 2), (SINGLY + 10, 1), (SINGLY + 10, 5)])
async def test_a_lost_answer_is_read_back(mycelium: Mycelium, count: int, losses: int) -> None:
    """Whoever wrote hears that it is stored; nothing is stored twice, or refused as one's own rival."""
    writer = Writer(Deaf(mycelium.link, losses), mycelium.names.jobs, Pressure(), mycelium.seal)
    writer.start()
    seqs = await outcomes([writer.write(subject(mycelium, job), b"%d" % job, 0) for job in range(count)])
    assert {entry.subject: entry.seq for entry in await records(mycelium)} == {
        subject(mycelium, job): seq for job, seq in enumerate(seqs)
    }
    assert len(await records(mycelium)) == count
    await writer.close()


async def test_a_lost_answer_of_a_pair_is_read_back(mycelium: Mycelium) -> None:
    writer = Writer(Deaf(mycelium.link, 1), mycelium.names.jobs, Pressure(), mycelium.seal)
    writer.start()
    pair = ((subject(mycelium, 1), b"done", 0), (mycelium.names.keep("animals"), b"one", None))
    seq = await writer.write_all(pair)
    assert [entry.seq for entry in await records(mycelium)] == [seq, seq + 1]
    await writer.close()


async def test_a_batch_that_is_cut_is_written_again(mycelium: Mycelium) -> None:
    """The connection was lost in its midst: the server has only the rest, and says so."""

    class Cut(Deaf):
        cuts = 1

        async def publish(self, *given: object) -> None:
            self.cuts -= 1
            if self.cuts < 0:
                await super().publish(*given)

    writer = Writer(Cut(mycelium.link, 0), mycelium.names.jobs, Pressure(), mycelium.seal)
    writer.start()
    pair = ((subject(mycelium, 1), b"done", 0), (mycelium.names.keep("animals"), b"one", None))
    seq = await writer.write_all(pair)
    assert [entry.seq for entry in await records(mycelium)] == [seq, seq + 1]
    await writer.close()


@pytest.mark.parametrize("many", [False, True], ids=["own record", "claim of a lot"])
async def test_a_lost_answer_is_read_back_though_others_have_written_since(mycelium: Mycelium, many: bool) -> None:
    """A claim is stored, its answer is lost, and another record follows: it is mine all the same."""
    names = mycelium.names
    own = names.claims("crawl.1", 0) if many else names.job("crawl.1", 3)
    expect = Among(names.lot("crawl.1", 0), 0) if many else 0

    async def another() -> None:
        await mycelium.jobs.write(own, b"another's", None)

    writer = Writer(Deaf(mycelium.link, 1, between=another), names.jobs, Pressure(), mycelium.seal)
    writer.start()
    seq = await writer.write(own, b"mine", expect)
    assert [(entry.seq, entry.data) for entry in await records(mycelium)] == [
        (seq, b"mine"), (seq + 1, b"another's"),
    ]  # fmt: skip
    await writer.close()


async def test_a_claim_of_a_lot_expects_that_nothing_was_stored_about_it(
    writer: Writer, mycelium: Mycelium
) -> None:
    names = mycelium.names
    claims, whole = names.claims("crawl.1", 0), names.lot("crawl.1", 0)
    first = await writer.write(claims, b"a", Among(whole, 0))
    await writer.write(names.ends("crawl.1"), b"ends are not among it", None)
    await writer.write(names.job("crawl.1", LOT), b"nor is another lot", 0)
    second = await writer.write(claims, b"b", Among(whole, first))
    own = await writer.write(names.job("crawl.1", LOT - 1), b"a job's own record is", 0)
    for old in (0, first, second):
        with pytest.raises(Conflict):
            await writer.write(claims, b"c", Among(whole, old))
    assert await writer.write(claims, b"c", Among(whole, own)) == own + 1


@pytest.mark.parametrize("claim_first", [False, True])
async def test_a_claim_of_a_lot_sees_what_the_same_process_writes_at_the_same_moment(
    writer: Writer, mycelium: Mycelium, claim_first: bool
) -> None:
    """The server compares with what was there before a batch, so the two must not be in one."""
    names = mycelium.names
    claims, whole = names.claims("crawl.1", 0), names.lot("crawl.1", 0)
    first = await writer.write(claims, b"a", Among(whole, 0))
    others = [writer.write(names.job("crawl.1", LOT + job), b"b", 0) for job in range(2 * SINGLY)]
    wishes = [lambda: writer.write(names.job("crawl.1", 3), b"c", 0), lambda: writer.write(claims, b"d", Among(whole, first))]
    told = [wish() for wish in (reversed(wishes) if claim_first else wishes)]
    found = await outcomes([*others, *told])
    assert all(isinstance(each, int) for each in found[:-1])
    assert isinstance(found[-1], int if claim_first else Conflict)


async def test_a_lost_refusal_is_still_a_conflict(mycelium: Mycelium) -> None:
    await mycelium.jobs.write(subject(mycelium, 1), b"another's", 0)
    writer = Writer(Deaf(mycelium.link, 1), mycelium.names.jobs, Pressure(), mycelium.seal)
    writer.start()
    with pytest.raises(Conflict):
        await writer.write(subject(mycelium, 1), b"mine", 0)
    await writer.close()


async def test_a_stream_that_is_not_there_is_named_in_the_end(mycelium: Mycelium, monkeypatch) -> None:
    monkeypatch.setattr("elfbook.store.pressure.GONE_S", 0.5)
    deaf = Deaf(mycelium.link, 1000)
    writer = Writer(deaf, "ELF_nothing_JOBS", Pressure(), mycelium.seal)
    writer.start()
    with pytest.raises(StoreRegressed, match="gone.*ELF_nothing_JOBS"):
        await writer.write("elf.nothing.job.crawl.1.1", b"x", 0)
    assert 1 < deaf.sent < 10
    await writer.close()


async def bound(mycelium: Mycelium, limit: int) -> None:
    """Give JOBS room for so many bytes; -1 for as many as there are."""
    stream = mycelium.names.jobs
    config = (await mycelium.link.api(f"STREAM.INFO.{stream}"))["config"]
    await mycelium.link.api(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": limit})


async def test_what_a_full_store_refuses_is_kept_and_stored_once_there_is_room(
    writer: Writer, mycelium: Mycelium, until
) -> None:
    await bound(mycelium, 2000)
    writes = [writer.write(subject(mycelium, job), bytes(500), 0) for job in range(20)]
    await until(lambda: writer.pressure.trouble is Trouble.FULL)
    assert "the store is full" in writer.pressure.why
    assert not all(write.done() for write in writes)
    await bound(mycelium, -1)
    seqs = await asyncio.wait_for(asyncio.gather(*writes), 20)
    assert {entry.subject: entry.seq for entry in await records(mycelium)} == {
        subject(mycelium, job): seq for job, seq in enumerate(seqs)
    }
    await until(lambda: writer.pressure.why == "")


async def test_a_full_store_is_named_when_patience_ends(writer: Writer, mycelium: Mycelium) -> None:
    writer.pressure.patience_s = 0.3
    await bound(mycelium, 2000)
    writes = [writer.write(subject(mycelium, job), bytes(500), 0) for job in range(20)]
    results = await asyncio.wait_for(outcomes(writes), 20)
    full = [result for result in results if isinstance(result, StoreFull)]
    assert full and "the store is full" in str(full[0])
    assert "--store-limit" in full[0].hint
    stored = {entry.subject for entry in await records(mycelium)}
    assert stored == {subject(mycelium, job) for job, result in enumerate(results) if isinstance(result, int)}
    await bound(mycelium, -1)
    assert await writer.write(subject(mycelium, 99), b"x", 0)


async def test_a_record_above_the_servers_limit_fails_alone(writer: Writer, mycelium: Mycelium) -> None:
    results = await outcomes(
        [writer.write(subject(mycelium, job), bytes(9_000_000 if job == 3 else 10), 0) for job in range(10)]
    )
    assert isinstance(results[3], MyceliumError)
    assert "above the server's limit" in str(results[3])
    assert [entry.subject for entry in await records(mycelium)] == [
        subject(mycelium, j) for j in range(10) if j != 3
    ]


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("turns", [None, 0, 1, 2, 3])
async def test_closing_tells_those_who_wait(mycelium: Mycelium, turns: int | None, count: int) -> None:
    """After so many turns of the loop since it was asked to write; None if it was never started."""
    writer = Writer(Deaf(mycelium.link, count), mycelium.names.jobs, Pressure(), mycelium.seal)
    if turns is not None:
        writer.start()
    futures = [writer.write(subject(mycelium, job), b"x", 0) for job in range(count)]
    for _ in range(turns or 0):
        await asyncio.sleep(0)
    await writer.close()
    assert all(isinstance(result, Unanswered) for result in await outcomes(futures))


async def test_whoever_gives_up_waiting_disturbs_nobody(writer: Writer, mycelium: Mycelium) -> None:
    futures = [writer.write(subject(mycelium, job), b"x", 0) for job in range(30)]
    futures[3].cancel()
    results = await outcomes(futures)
    assert all(isinstance(result, int) for index, result in enumerate(results) if index != 3)
    assert await writer.write(subject(mycelium, 99), b"x", 0)


@pytest.mark.parametrize("mode", ["kill", "freeze"])
async def test_a_server_that_dies_in_mid_flight_stores_each_write_once_or_fails_it(
    mycelium: Mycelium, place: Place, until, mode: str
) -> None:
    """Records go on being written while it is killed and started again, or stands still for a while."""
    facts = read_json(place.server_file)
    settled: dict[int, int | BaseException] = {}
    enough = asyncio.Event()

    async def write(job: int) -> None:
        try:
            settled[job] = await mycelium.jobs.write(subject(mycelium, job), b"%d" % job, 0)
        except (ElfbookError, Conflict, Unanswered) as error:
            settled[job] = error

    async def flood(lane: int) -> None:
        for job in range(lane, 100_000, 40):
            await write(job)
            if enough.is_set():
                return

    lanes = [asyncio.create_task(flood(lane)) for lane in range(40)]
    await until(lambda: len(settled) > 200)
    if mode == "kill":
        os.kill(facts["pid"], signal.SIGKILL)
        await asyncio.to_thread(ensure_server, place, mode="fast")
    else:
        freeze(facts["pid"])
        before = len(settled)
        await until(lambda: mycelium.link._waiting)
        os.kill(facts["pid"], signal.SIGCONT)
        await until(lambda: len(settled) > before + 200)
    after = len(settled)
    await until(lambda: len(settled) > after + 200)
    enough.set()
    await asyncio.gather(*lanes)
    stored = {entry.subject: entry for entry in await records(mycelium)}
    assert len(await records(mycelium)) == len(stored), "something was stored twice"
    for job, result in settled.items():
        entry = stored.get(subject(mycelium, job))
        if isinstance(result, int):
            assert entry is not None and (entry.seq, entry.data) == (result, b"%d" % job)
    failed = [result for result in settled.values() if not isinstance(result, int)]
    assert not failed, failed[:3]
