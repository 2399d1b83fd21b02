"""Reading streams and taking offers from a real server that is restarted, robbed and set back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from elfbook.errors import MyceliumError, MyceliumUnreachable, StoreRegressed
from elfbook.seals import RECORD_SEAL_BYTES
from elfbook.store import follow
from elfbook.store.follow import FROM_NOW, Follower, Taker, place_of
from elfbook.store.link import Entry
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json
from elfbook.store.server import ensure_server, stop_server
from tests.frozen import freeze

FEW = 50


@dataclass(eq=False)
class Reading:
    """A follower that is being read in the background."""

    follower: Follower
    entries: list[Entry] = field(default_factory=list)
    task: asyncio.Task | None = None

    def begin(self) -> Reading:
        self.task = asyncio.create_task(self.read())
        return self

    async def read(self) -> list[Entry]:
        async for batch in self.follower.batches():
            self.entries += batch
        return self.entries

    @property
    def seen(self) -> list[bytes]:
        return [entry.data[:-RECORD_SEAL_BYTES] for entry in self.entries]

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def reading(mycelium: Mycelium) -> AsyncIterator[Callable[..., Reading]]:
    """`reading(start=1)`: begins to follow all jobs."""
    begun = []

    def begin(*subjects: str, **options: object) -> Reading:
        names = mycelium.names
        begun.append(
            Reading(Follower(mycelium.link, names.jobs, subjects or (names.every_job,), **options)).begin()
        )
        return begun[-1]

    yield begin
    for each in begun:
        await each.end()


async def add(mycelium: Mycelium, first: int, count: int = FEW, run: str = "crawl.1") -> list[bytes]:
    """Store records of `count` jobs; gives what they say, in order."""
    said = [b"%d" % each for each in range(first, first + count)]
    futures = [mycelium.jobs.write(mycelium.names.job(run, int(each)), each, 0) for each in said]
    await asyncio.gather(*futures)
    return said


async def restart(place: Place, how: int = signal.SIGKILL) -> None:
    facts = read_json(place.server_file)
    os.kill(facts["pid"], how)
    await asyncio.to_thread(stop_server, place)
    await asyncio.to_thread(ensure_server, place, mode="fast")


# ---------------------------------------------------------------------- following


async def test_what_is_there_and_what_comes_is_given_once_and_in_order(mycelium, reading, until) -> None:
    said = await add(mycelium, 0)
    here = reading()
    await until(lambda: here.seen == said)
    said += await add(mycelium, FEW)
    await until(lambda: here.seen == said)
    assert [entry.seq for entry in here.entries] == list(range(1, 2 * FEW + 1))
    assert all(entry.at > 1.7e9 for entry in here.entries)
    assert here.entries[-1].pending == 0


async def test_it_begins_where_it_is_asked_to(mycelium, reading, until) -> None:
    said = await add(mycelium, 0)
    here = reading(start=FEW - 2)
    await until(lambda: here.seen == said[-3:])


async def test_more_than_the_credit_is_read(mycelium, reading, until, monkeypatch) -> None:
    monkeypatch.setattr(follow, "FOLLOW_CREDIT", 10)
    here = reading()
    said = await add(mycelium, 0, 205)
    await until(lambda: here.seen == said)


async def test_only_the_wanted_subjects_come(mycelium, reading, until) -> None:
    names = mycelium.names
    await add(mycelium, 0, 3, "crawl.1")
    await add(mycelium, 0, 3, "crawl.11")
    await mycelium.jobs.write(names.keep("animals"), b"kept", None)
    one, two = reading(names.jobs_of("crawl.1")), reading(names.jobs_of("crawl.11"), names.keep("animals"))
    await until(lambda: len(one.entries) == 3 and len(two.entries) == 4)
    assert {entry.subject for entry in one.entries} == {names.job("crawl.1", job) for job in range(3)}


async def test_only_the_newest_of_each_subject(mycelium, reading, until) -> None:
    names = mycelium.names
    for job in (1, 2):
        seq = 0
        for each in range(3):
            seq = await mycelium.jobs.write(names.job("crawl.1", job), b"%d %d" % (job, each), seq)
    here = reading(last_only=True)
    await until(lambda: here.seen == [b"1 2", b"2 2"])
    await mycelium.jobs.write(names.job("crawl.1", 1), b"1 3", None)
    await until(lambda: here.seen == [b"1 2", b"2 2", b"1 3"])


async def test_reading_up_to_the_end_ends(mycelium) -> None:
    names = mycelium.names

    async def everything(**options: object) -> list[bytes]:
        follower = Follower(mycelium.link, names.jobs, (names.every_job,), stop_at_end=True, **options)
        return [mycelium.unsealed(entry) async for batch in follower.batches() for entry in batch]

    assert await everything() == []
    said = await add(mycelium, 0, 30)
    assert await everything() == said
    assert await everything(start=31) == []


async def test_a_follower_that_is_left_leaves_nothing_on_the_server(mycelium, reading, until) -> None:
    here = reading()
    await add(mycelium, 0, 3)
    await until(lambda: len(here.entries) == 3)
    await here.end()

    async def none_left() -> bool:
        answer = await mycelium.link.api(f"CONSUMER.NAMES.{mycelium.names.jobs}")
        return not answer.get("consumers")

    await until(none_left)
    assert mycelium.link.on_return == [mycelium._back]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_is_missing_or_twice_after_a_restart(mycelium, place, reading, until, how) -> None:
    here = reading()
    said = await add(mycelium, 0)
    await until(lambda: here.seen == said)
    writing = asyncio.create_task(add(mycelium, FEW, 400))
    await restart(place, how)
    said += await writing
    await until(lambda: len(here.entries) >= len(said))
    assert sorted(here.seen) == sorted(said)
    assert [entry.seq for entry in here.entries] == sorted({entry.seq for entry in here.entries})
    said.append((await add(mycelium, 5000, 1))[0])
    await until(lambda: here.seen[-1] == said[-1])


async def test_a_consumer_that_was_deleted_is_made_again(mycelium, reading, until) -> None:
    here = reading()
    said = await add(mycelium, 0)
    await until(lambda: here.seen == said)
    await mycelium.link.api(f"CONSUMER.DELETE.{mycelium.names.jobs}.{here.follower._consumer}")
    said += await add(mycelium, FEW)
    await until(lambda: here.seen == said)


async def test_a_silent_consumer_is_replaced(mycelium, reading, until, monkeypatch) -> None:
    """As when the server forgets a pull without saying so: no message and no heartbeat."""
    here = reading()
    await add(mycelium, 0, 3)
    await until(lambda: len(here.entries) == 3)
    first = here.follower._consumer
    monkeypatch.setattr(follow, "SILENCE_S", 0.05)
    here.follower._heard = 0.0
    await until(lambda: here.follower._consumer != first)
    monkeypatch.undo()
    await add(mycelium, 3, 3)
    await until(lambda: len(here.entries) == 6)


async def test_a_gap_is_noticed_and_read_again(mycelium, until) -> None:
    names = mycelium.names
    here = Reading(Follower(mycelium.link, names.jobs, (names.every_job,)))
    received, dropped = here.follower._received, []

    def lossy(message) -> None:
        """The tenth record is lost on its way, once."""
        if message.data[:-RECORD_SEAL_BYTES] == b"10" and not dropped:
            dropped.append(message)
        else:
            received(message)

    here.follower._received = lossy
    here.begin()
    said = await add(mycelium, 0)
    await until(lambda: here.seen == said)
    assert dropped
    await here.end()


@pytest.mark.parametrize("to_the_end", [True, False])
async def test_a_last_record_that_is_lost_on_its_way_is_read_again(mycelium, until, to_the_end: bool) -> None:
    """No later one tells of the gap. The server's heartbeats say what it has handed over."""
    said = await add(mycelium, 0)
    names = mycelium.names
    follower = Follower(mycelium.link, names.jobs, (names.every_job,), stop_at_end=to_the_end)
    received, dropped = follower._received, []

    def lossy(message) -> None:
        if message.data[:-RECORD_SEAL_BYTES] == said[-1] and not dropped:
            dropped.append(message)
        else:
            received(message)

    follower._received = lossy
    here = Reading(follower).begin()
    await until(lambda: here.seen == said)
    assert dropped
    await here.end()


async def test_a_store_that_went_backwards_is_named(mycelium, reading, until) -> None:
    here = reading()
    await add(mycelium, 0)
    await until(lambda: len(here.entries) == FEW)
    await mycelium.link.api(f"STREAM.DELETE.{mycelium.names.jobs}")
    await mycelium.streams.ensure()
    with pytest.raises(StoreRegressed, match=f"was at {FEW} and is at 0 now"):
        await asyncio.wait_for(here.task, 20)
    here.task = asyncio.create_task(asyncio.Event().wait())


async def test_a_store_that_has_lost_a_whole_stream_is_named(mycelium, reading, until) -> None:
    here = reading()
    await add(mycelium, 0, 3)
    await until(lambda: len(here.entries) == 3)
    await mycelium.link.api(f"STREAM.DELETE.{mycelium.names.jobs}")
    with pytest.raises(StoreRegressed, match="lost all of"):
        await asyncio.wait_for(here.task, 20)
    here.task = asyncio.create_task(asyncio.Event().wait())
    await mycelium.streams.ensure()


async def test_an_older_copy_of_the_store_is_named(place: Place, until) -> None:
    """Someone put a backup in the store's place while the server was away."""
    mycelium = await Mycelium.open(place.address(), key=place.key(), namespace="backup", locate=place.locate)
    here = Reading(Follower(mycelium.link, mycelium.names.jobs, (mycelium.names.every_job,))).begin()
    await add(mycelium, 0, 10)
    await asyncio.to_thread(stop_server, place)
    store, copy = place.state_dir / "store", place.state_dir / "copy"
    await asyncio.to_thread(shutil.copytree, store, copy)
    await asyncio.to_thread(ensure_server, place, mode="fast")
    await add(mycelium, 10, 10)
    await until(lambda: len(here.entries) == 20)
    await asyncio.to_thread(stop_server, place)
    shutil.rmtree(store)
    copy.rename(store)
    await asyncio.to_thread(ensure_server, place, mode="fast")
    with pytest.raises(StoreRegressed, match="was at 20 and is at 10 now") as caught:
        await asyncio.wait_for(here.task, 20)
    assert "submitted again" in caught.value.hint
    await mycelium.close()


async def test_a_stream_that_cannot_be_read_is_named(mycelium) -> None:
    follower = Follower(mycelium.link, mycelium.names.jobs, ("elf.other.job.>", "elf.other.job.*.1.1"))
    with pytest.raises(MyceliumError, match="does not let us read"):
        async for _ in follower.batches():
            pytest.fail("nothing could be read")


async def test_a_server_that_is_slow_to_answer_has_lost_nothing(mycelium, place, monkeypatch, until) -> None:
    """It was started again and is still busy with itself: what it counts comes late, and is not gone."""
    await add(mycelium, 0, 3)
    server, looks = read_json(place.server_file)["pid"], []
    pull, look = Follower._pull, Follower._check_movement

    async def frozen(follower, count):
        if not looks:
            freeze(server)
        await pull(follower, count)

    def watched(follower):
        looks.append(follower)
        look(follower)
        if len(looks) == 2:
            os.kill(server, signal.SIGCONT)

    monkeypatch.setattr(Follower, "_pull", frozen)
    monkeypatch.setattr(Follower, "_check_movement", watched)
    try:
        entries = [entry async for entry in mycelium.read(mycelium.names.jobs, mycelium.names.every_job)]
    finally:
        os.kill(server, signal.SIGCONT)
    assert len(entries) == 3
    assert len(looks) >= 2


async def test_a_read_with_an_end_gives_up_when_the_server_stays_away(
    mycelium, place, monkeypatch, until
) -> None:
    """Whoever asks what there is gets an answer; only what follows live waits for the server."""
    monkeypatch.setattr(follow, "AWAY_S", 0.5)
    await add(mycelium, 0, 3)
    await asyncio.to_thread(stop_server, place)
    with pytest.raises(MyceliumUnreachable, match="does not answer"):
        async with asyncio.timeout(15):
            async for _ in mycelium.read(mycelium.names.jobs, mycelium.names.every_job):
                pytest.fail("nothing could be read")
    await asyncio.to_thread(ensure_server, place, mode="fast")
    await until(lambda: mycelium.link.connected)


async def test_leaving_is_quick_while_the_server_is_away(mycelium, place, reading, until) -> None:
    here = reading()
    await add(mycelium, 0, 3)
    await until(lambda: len(here.entries) == 3)
    await asyncio.to_thread(stop_server, place)
    await until(lambda: not mycelium.link.connected)
    async with asyncio.timeout(3):
        await here.end()
    await asyncio.to_thread(ensure_server, place, mode="fast")
    await until(lambda: mycelium.link.connected)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.S.C.1.17.5.1700000000500000000.3",
        "$JS.ACK.dom.acc.S.C.1.17.5.1700000000500000000.3.rnd",
        "$JS.ACK.dom.acc.S.C.1.17.5.1700000000500000000.3",
    ],
)
def test_the_place_of_a_delivery(reply: str) -> None:
    """Old servers name no domain and account; new ones do, and may add a token."""
    assert place_of(reply) == (17, 5, 1_700_000_000.5, 3)


# ---------------------------------------------------------------------- taking offers


async def offer(mycelium: Mycelium, first: int, count: int) -> None:
    for job in range(first, first + count):
        await mycelium.link.request(mycelium.names.offer_to_pool("main", "crawl.1", job, 0), b"%d" % job)


@pytest.fixture
async def taker(mycelium: Mycelium) -> AsyncIterator[Callable[..., Taker]]:
    """`await taker()`: takes offers of the main pool."""
    made = []

    async def begin(hold_s: float = 30.0) -> Taker:
        names = mycelium.names
        each = Taker(mycelium.link, names.work, "pool-main", names.pool_offers("main"), hold_s=hold_s)
        made.append(each)
        await each.start()
        return each

    yield begin
    for each in made:
        await each.close()


async def test_no_more_comes_than_was_asked_for(mycelium, taker, until) -> None:
    await offer(mycelium, 0, 10)
    here = await taker()
    await here.want(3)
    await until(lambda: here.taken.qsize() == 3)
    await mycelium.link.flush()
    info = await mycelium.link.api(f"CONSUMER.INFO.{mycelium.names.work}.pool-main")
    assert (here.taken.qsize(), here.asked, info["num_ack_pending"], info["num_pending"]) == (3, 0, 3, 7)
    await here.want(0)
    await here.want(2)
    await until(lambda: here.taken.qsize() == 5)
    assert [here.taken.get_nowait().data for _ in range(5)] == [b"%d" % job for job in range(5)]


async def test_two_takers_share_the_offers(mycelium, taker, until) -> None:
    one, two = await taker(), await taker()
    await one.want(5)
    await two.want(5)
    await offer(mycelium, 0, 10)
    await until(lambda: one.taken.qsize() == two.taken.qsize() == 5)
    got = [each.taken.get_nowait().data for each in (one, two) for _ in range(5)]
    assert sorted(got) == [b"%d" % job for job in range(10)]


async def test_what_is_accepted_is_gone_and_what_is_given_back_comes_again(mycelium, taker, until) -> None:
    await offer(mycelium, 0, 2)
    here = await taker()
    await here.want(2)
    first, second = await here.taken.get(), await here.taken.get()
    await here.accept(first)
    await here.give_back(second)
    await here.want(1)
    assert (await here.taken.get()).data == second.data

    async def one_left() -> bool:
        facts = await mycelium.link.api(f"STREAM.INFO.{mycelium.names.work}")
        return facts["state"]["messages"] == 1

    await until(one_left)


async def test_what_nobody_answers_for_goes_to_another(mycelium, taker) -> None:
    await offer(mycelium, 0, 1)
    one = await taker(hold_s=0.3)
    await one.want(1)
    first = await one.taken.get()
    two = await taker(hold_s=0.3)
    await two.want(1)
    again = await asyncio.wait_for(two.taken.get(), 10)
    assert again.data == first.data


async def test_taking_goes_on_after_a_restart(mycelium, place, taker, until) -> None:
    """The queue is in memory, so its stream and consumer are gone: both come again."""
    here = await taker()
    await here.want(4)
    await offer(mycelium, 0, 1)
    await until(lambda: here.taken.qsize() == 1)
    await restart(place)
    await until(lambda: mycelium.link.connected)
    await mycelium.ensure_work()
    await offer(mycelium, 1, 10)
    await until(lambda: here.taken.qsize() == 4)
    assert here.asked == 0


async def test_what_is_asked_while_the_server_is_away_is_answered_when_it_returns(mycelium, place, until) -> None:
    await asyncio.to_thread(stop_server, place)
    await until(lambda: not mycelium.link.connected)
    asked = [asyncio.create_task(mycelium.link.api("INFO", timeout_s=20)) for _ in range(5)]
    await asyncio.to_thread(ensure_server, place, mode="fast")
    assert all("limits" in answer for answer in await asyncio.gather(*asked))


async def test_a_deleted_consumer_of_the_queue_is_made_again(mycelium, taker, until) -> None:
    here = await taker()
    await here.want(1)
    await until(lambda: not here._broken)
    await mycelium.link.api(f"CONSUMER.DELETE.{mycelium.names.work}.pool-main")
    await offer(mycelium, 0, 1)
    await until(lambda: here.taken.qsize() == 1)


async def test_from_now_on_nothing_earlier_is_given_and_nothing_later_is_missed(
    mycelium, reading, until
) -> None:
    """Also when the server is away between the beginning and the first message."""
    await add(mycelium, 0)
    here = reading(start=FROM_NOW)
    await here.follower.begun.wait()
    said = await add(mycelium, FEW)
    await until(lambda: here.seen == said)
    there = reading(start=FROM_NOW)
    await there.follower.begun.wait()
    for lost in list(mycelium.link.on_return):  # as after a broken connection
        lost()
    said = await add(mycelium, 2 * FEW)
    await until(lambda: there.seen == said)
