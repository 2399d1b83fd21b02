"""The streams of a real server: made once, mended where that is safe, and the epoch of the store."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from elfbook.errors import StoreRegressed
from elfbook.store.mycelium import Mycelium
from elfbook.store.streams import EPOCH, Streams


async def another(mycelium: Mycelium) -> Mycelium:
    return await Mycelium.open(mycelium.address, key=mycelium.key, namespace=mycelium.names.namespace)


async def delete(mycelium: Mycelium, *streams: str) -> None:
    for stream in streams:
        await mycelium.link.api(f"STREAM.DELETE.{stream}")


async def there(mycelium: Mycelium) -> set[str]:
    answer = await mycelium.link.api("STREAM.NAMES", {"subject": f"elf.{mycelium.names.namespace}.>"})
    return set(answer["streams"] or ())


# ---------------------------------------------------------------------- what is made again


@pytest.mark.parametrize("gone", ["output", "work"])
async def test_a_stream_that_decides_nothing_is_made_again(mycelium, gone) -> None:
    await mycelium.jobs.write(mycelium.names.job("crawl.1", 0), b"x", 0)
    await delete(mycelium, getattr(mycelium.names, gone))
    await (await another(mycelium)).close()
    assert await there(mycelium) == set(mycelium.names.stream_subjects())


@pytest.mark.parametrize("gone", [("jobs",), ("runs",), ("blobs",), ("runs", "blobs")])
async def test_the_truth_is_never_replaced_by_an_empty_stream(mycelium, gone) -> None:
    names = mycelium.names
    await mycelium.jobs.write(names.job("crawl.1", 0), b"x", 0)
    await mycelium.runs.write(names.run("crawl"), b"x", 0)
    await mycelium.link.request(names.chunk("0" * 64, 0), b"x")
    await delete(mycelium, *(getattr(names, each) for each in gone))
    with pytest.raises(StoreRegressed, match=getattr(names, gone[0])) as told:
        await another(mycelium)
    assert "copy" in told.value.hint
    assert getattr(names, gone[0]) not in await there(mycelium)


async def test_a_store_that_was_only_half_made_is_finished(mycelium) -> None:
    """Whoever made it may have died in between; nothing was in it yet."""
    await delete(mycelium, mycelium.names.jobs, mycelium.names.blobs)
    other = await another(mycelium)
    assert await there(mycelium) == set(mycelium.names.stream_subjects())
    assert other.epoch > 1.7e9
    await other.close()


async def test_streams_of_an_earlier_elfbook_get_what_they_lack(mycelium) -> None:
    jobs = mycelium.names.jobs
    seq = await mycelium.jobs.write(mycelium.names.job("crawl.1", 0), b"x", 0)
    config = (await mycelium.link.api(f"STREAM.INFO.{jobs}"))["config"]
    older = [subject for subject in config["subjects"] if "barrier" not in subject]
    await mycelium.link.api(f"STREAM.UPDATE.{jobs}", config | {"subjects": older, "metadata": {"mine": "1"}})
    other = await another(mycelium)
    assert await other.barrier() == seq + 1
    assert other.epoch > 1.7e9
    assert (await mycelium.link.api(f"STREAM.INFO.{jobs}"))["config"]["metadata"]["mine"] == "1"
    await other.close()


# ---------------------------------------------------------------------- the epoch


async def test_all_who_use_a_store_agree_on_its_epoch(mycelium) -> None:
    others = await asyncio.gather(*(another(mycelium) for _ in range(3)))
    assert {other.epoch for other in others} == {mycelium.epoch}
    for other in others:
        await other.close()


async def test_a_new_epoch_is_larger_and_heard_by_all(mycelium, until) -> None:
    other = await another(mycelium)
    seen = [other.epoch]
    for above in (0, mycelium.epoch + 1000, 0):
        await mycelium.renew_epoch(above)
        await until(lambda: other.epoch == mycelium.epoch)
        assert mycelium.epoch > above
        seen.append(other.epoch)
    await other.close()
    assert all(before < after for before, after in pairwise(seen))
    third = await another(mycelium)
    assert third.epoch == seen[-1], "it is in the store"
    await third.close()


async def test_a_store_that_is_made_anew_has_a_larger_epoch(mycelium, monkeypatch) -> None:
    clock = mycelium.epoch + 5
    monkeypatch.setattr("elfbook.store.streams.time.time", lambda: clock)
    before = mycelium.epoch
    await delete(mycelium, *mycelium.streams.truth)
    other = await another(mycelium)
    assert other.epoch > before
    await other.close()


async def test_the_epoch_is_read_again_when_the_connection_returns(mycelium, until) -> None:
    """The announcement may have come while nobody was there to hear it."""
    await Streams(mycelium.link, mycelium.names, mycelium.jobs.atomic).renew_epoch(mycelium.epoch)
    fresh = await mycelium.streams.epoch()
    assert mycelium.epoch < fresh
    for call in mycelium.link.on_return:
        call()
    await until(lambda: mycelium.epoch == fresh)


async def test_an_epoch_that_is_no_number_counts_as_none(mycelium) -> None:
    config = (await mycelium.link.api(f"STREAM.INFO.{mycelium.names.jobs}"))["config"]
    await mycelium.link.api(
        f"STREAM.UPDATE.{mycelium.names.jobs}", config | {"metadata": {EPOCH: "yesterday"}}
    )
    assert await mycelium.streams.epoch() == 0


# ---------------------------------------------------------------------- the barrier


async def test_a_barrier_comes_after_everything_and_is_no_fact(mycelium) -> None:
    names = mycelium.names
    writes = [mycelium.jobs.write(names.job("crawl.1", job), b"%d" % job, 0) for job in range(20)]
    last = max(await asyncio.gather(*writes))
    first, second = await mycelium.barrier(), await mycelium.barrier()
    assert last < first < second
    entries = [entry async for entry in mycelium.read(names.jobs, names.every_job)]
    assert [entry.seq for entry in entries] == list(range(1, 21))
