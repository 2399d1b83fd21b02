"""Large values: the same bytes come back or it is said that they do not; stored once; never all in memory."""

from __future__ import annotations

import array
import asyncio
import hashlib
import itertools
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.errors import StoreCorrupt, StoreFull
from elfbook.model import INLINE_LIMIT
from elfbook.store import blobs as blobs_module
from elfbook.store.blobs import CHUNK, WINDOW, Blobs, cut
from elfbook.store.link import Message
from elfbook.store.mycelium import Mycelium
from elfbook.wire import digest_of

MB = 1024 * 1024


@pytest.fixture
async def blobs(mycelium: Mycelium) -> AsyncIterator[Blobs]:
    yield await mycelium.blobs()


async def chunks_stored(mycelium: Mycelium) -> int:
    return (await mycelium.link.api(f"STREAM.INFO.{mycelium.names.blobs}"))["state"]["messages"]


async def spoil(mycelium: Mycelium, digest: str, index: int, data: bytes | None) -> None:
    """Replace a stored chunk, or take it away, behind everybody's back."""
    names = mycelium.names
    entry = await mycelium.link.last(names.blobs, names.chunk(digest, index))
    await mycelium.link.api(f"STREAM.MSG.DELETE.{names.blobs}", {"seq": entry.seq})
    if data is not None:
        await mycelium.link.request(names.chunk(digest, index), data)


# ---------------------------------------------------------------------- cutting


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 30))
def test_cutting_loses_nothing_and_makes_equal_pieces(buffers: list[bytes], size: int) -> None:
    whole = b"".join(buffers)
    pieces = list(cut(map(memoryview, buffers), size))
    assert b"".join(pieces) == whole
    assert len(pieces) == max(1, -(-len(whole) // size))
    assert all(len(piece) == size for piece in pieces[:-1])


@given(st.binary(max_size=200), st.integers(1, 30), st.lists(st.integers(0, 200), max_size=5))
def test_pieces_do_not_depend_on_the_buffers(whole: bytes, size: int, at: list[int]) -> None:
    """Otherwise two writers of one value would store different chunks under one hash."""
    cuts = [0, *sorted(min(each, len(whole)) for each in at), len(whole)]
    parts = [whole[a:b] for a, b in itertools.pairwise(cuts)]
    assert list(cut(parts, size)) == list(cut([whole], size))


def test_any_buffer_is_cut_by_its_bytes() -> None:
    numbers = array.array("d", range(8))
    assert list(cut([memoryview(numbers)], 16)) == list(cut([numbers.tobytes()], 16))


# ---------------------------------------------------------------------- there and back


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK * (WINDOW + 2) + 5])
async def test_the_same_bytes_come_back(blobs: Blobs, mycelium: Mycelium, size: int) -> None:
    data = os.urandom(size)
    await blobs.put(digest_of(data), [data])
    assert await blobs.get(digest_of(data), size) == data
    assert await chunks_stored(mycelium) == max(1, -(-size // CHUNK))


async def test_a_value_is_stored_once_however_often_and_whoever_puts_it(
    blobs: Blobs, mycelium: Mycelium
) -> None:
    data = os.urandom(3 * CHUNK + 5)
    await asyncio.gather(*(blobs.put(digest_of(data), [data]) for _ in range(4)))
    await blobs.put(digest_of(data), [data[:7], memoryview(data)[7:]])
    assert await chunks_stored(mycelium) == 4


async def test_an_upload_that_was_cut_short_is_completed(blobs: Blobs, mycelium: Mycelium) -> None:
    data = os.urandom(5 * CHUNK)

    def broken() -> Iterator[bytes]:
        yield data[: 2 * CHUNK]
        raise OSError("the disk was pulled")

    with pytest.raises(OSError, match="pulled"):
        await blobs.put(digest_of(data), broken())
    await blobs.put(digest_of(data), [data])
    assert await blobs.get(digest_of(data), len(data)) == data
    assert await chunks_stored(mycelium) == 5


async def test_a_large_value_that_is_there_is_not_sent_again(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its chunks must be there; of one that lacks some, all are offered as ever."""
    value = os.urandom(3 * CHUNK + 5)
    digest = digest_of(value)
    monkeypatch.setattr(blobs_module, "ASK_FROM", 2 * CHUNK)
    await blobs._put_chunk(digest, 1, value[CHUNK : 2 * CHUNK])
    sent = []
    put = blobs._put_chunk

    async def noted(digest: str, index: int, chunk: bytes) -> None:
        sent.append(index)
        await put(digest, index, chunk)

    monkeypatch.setattr(blobs, "_put_chunk", noted)
    await blobs.put(digest, [value], len(value))
    assert sorted(sent) == [0, 1, 2, 3]
    await blobs.put(digest, [value], len(value))
    assert len(sent) == 4
    assert await blobs.get(digest, len(value)) == value


def test_large_pieces_are_views_and_no_copies() -> None:
    value = bytearray(3 * CHUNK + 5)
    *whole, rest = cut([memoryview(value)])
    assert all(isinstance(piece, memoryview) and piece.obj is value for piece in whole)
    assert (len(whole), bytes(rest)) == (3, bytes(5))


async def test_small_values_travel_inside_the_reference(mycelium: Mycelium) -> None:
    small = await mycelium.put([b"x" * INLINE_LIMIT], "x")
    large = await mycelium.put([b"y" * INLINE_LIMIT, b"y"], "y")
    assert (small.inline, large.inline) == (b"x" * INLINE_LIMIT, None)
    assert (large.size, large.preview) == (INLINE_LIMIT + 1, "y")
    assert await chunks_stored(mycelium) == 1
    assert await mycelium.fetch(small) == b"x" * INLINE_LIMIT
    assert await mycelium.fetch(large) == b"y" * (INLINE_LIMIT + 1)


# ---------------------------------------------------------------------- what is damaged is named


@pytest.mark.parametrize(
    ("chunk", "data", "words"),
    [
        (0, None, "part 1 of 3"),
        (1, None, "part 2 of 3 of a stored value"),
        (2, None, "part 3 of 3"),
        (1, b"\0" * CHUNK, "does not match its hash"),
        (1, b"short", "does not match its hash"),
        (2, b"", "does not match its hash"),
    ],
)
async def test_a_chunk_that_is_gone_or_changed_is_named(
    blobs: Blobs, mycelium: Mycelium, chunk: int, data: bytes | None, words: str
) -> None:
    value = os.urandom(2 * CHUNK + 5)
    await blobs.put(digest_of(value), [value])
    await spoil(mycelium, digest_of(value), chunk, data)
    with pytest.raises(StoreCorrupt, match=words):
        await blobs.get(digest_of(value), len(value))


async def test_another_size_than_was_stored_is_noticed(blobs: Blobs) -> None:
    value = os.urandom(2 * CHUNK)
    await blobs.put(digest_of(value), [value])
    for size in (CHUNK, 3 * CHUNK):
        with pytest.raises(StoreCorrupt):
            await blobs.get(digest_of(value), size)


async def test_a_value_that_never_was_is_named(blobs: Blobs) -> None:
    with pytest.raises(StoreCorrupt, match="part 1 of 1"):
        await blobs.get("0" * 64, 5)


async def test_a_wrong_value_under_the_hash_is_not_given_out(mycelium: Mycelium) -> None:
    """Whoever may write to the server can store anything there, under any name."""
    true, false = b"a" * CHUNK, b"b" * CHUNK
    await mycelium.link.request(mycelium.names.chunk(digest_of(true), 0), false)
    ref = await mycelium.put([true], inline=False)
    with pytest.raises(StoreCorrupt):
        await mycelium.fetch(ref)


async def test_a_full_store_says_so(blobs: Blobs, mycelium: Mycelium) -> None:
    stream = mycelium.names.blobs
    config = (await mycelium.link.api(f"STREAM.INFO.{stream}"))["config"]
    await mycelium.link.api(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": 2 * CHUNK})
    data = os.urandom(6 * CHUNK)
    blobs.gauge.pressure.patience_s = 0.3
    with pytest.raises(StoreFull, match="the store is full"):
        await blobs.put(digest_of(data), [data])


# ---------------------------------------------------------------------- memory


async def test_values_pass_through_in_little_memory(blobs: Blobs) -> None:
    """Ten times the window goes in and out, and never much more than the window is here."""
    count = 10 * WINDOW
    block = os.urandom(CHUNK)
    sha = hashlib.sha256()
    for index in range(count):
        sha.update(index.to_bytes(4, "big") + block[4:])

    def made() -> Iterator[bytes]:
        for index in range(count):
            yield index.to_bytes(4, "big") + block[4:]

    tracemalloc.start()
    try:
        await blobs.put(sha.hexdigest(), made())
        again = hashlib.sha256()
        async for chunk in blobs.stream(sha.hexdigest(), count * CHUNK):
            again.update(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again.digest() == sha.digest()
    assert peak < 6 * WINDOW * CHUNK < count * CHUNK


async def test_whoever_stops_reading_leaves_nothing_running(blobs: Blobs) -> None:
    data = os.urandom(4 * CHUNK)
    await blobs.put(digest_of(data), [data])
    before = asyncio.all_tasks()
    stream = blobs.stream(digest_of(data), len(data))
    assert await anext(stream) == data[:CHUNK]
    await stream.aclose()
    for task in asyncio.all_tasks() - before:
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


async def test_a_lost_connection_is_waited_out(mycelium: Mycelium, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = await mycelium.blobs()
    asked = 0
    send = blobs.link.send

    async def sometimes(*given: object, **more: object):
        nonlocal asked
        asked += "STREAM.INFO" not in given[0]
        if asked % 2:
            raise blobs_module.Unanswered("the connection was lost")
        return await send(*given, **more)

    monkeypatch.setattr(blobs.link, "send", sometimes)
    data = os.urandom(CHUNK + 5)
    await blobs.put(digest_of(data), [data])
    assert await blobs.get(digest_of(data), len(data)) == data


async def test_a_server_that_lags_behind_is_no_proof_that_a_value_is_gone(
    mycelium: Mycelium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any server of a cluster answers a direct question, also one that has been away."""
    blobs = await mycelium.blobs()
    request = blobs.link.request

    async def lagging(subject: str, *given: object, **more: object) -> Message:
        if "DIRECT.GET" in subject:
            return Message(subject, b"", headers={"Status": "404"})
        return await request(subject, *given, **more)

    monkeypatch.setattr(blobs.link, "request", lagging)
    data = os.urandom(CHUNK + 5)
    await blobs.put(digest_of(data), [data])
    assert await blobs.get(digest_of(data), len(data)) == data
