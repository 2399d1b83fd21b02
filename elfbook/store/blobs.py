"""Large values: content-addressed, in chunks, checked by hash, never whole in memory here.

A blob is its chunks under its SHA-256. Chunks are stored with "expect nothing there", so
that two writers of one value store it once and a cut upload is continued, not repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from elfbook.errors import MyceliumError, MyceliumUnreachable, StoreCorrupt, StoreRegressed
from elfbook.store.answers import NOT_FOUND, WRONG_LAST_SEQUENCE
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.messages import EXPECT
from elfbook.store.pressure import AWAY, GONE, Gauge
from elfbook.wire import Names

Buffer = bytes | bytearray | memoryview

CHUNK = 512 * 1024
"""Messages above 1 MiB slow job traffic down, measured."""
WINDOW = 16
"""Chunks under way at once: 8 MiB, well below the 64 MiB at which the server drops a reader."""
STEPS = 3
"""Of the event loop, in which a chunk reaches the socket: so the server stores it while the next is made
ready. Chunks handed over in one go are copied together again and again first, and the server waits."""
ASK_FROM = 8 * CHUNK
"""Larger blobs are looked for before they are sent."""
RETRY_S = 0.5
ANSWER_S = 30.0
QUIET_S = 3.0
"""Two such pauses in which nothing at all comes, and it is asked again."""


def cut(buffers: Iterable[Buffer], size: int = CHUNK) -> Iterator[Buffer]:
    """The buffers' bytes in pieces of `size`, the last one shorter; empty input gives one.

    A piece that lies inside one buffer is a view of it: large values are not copied.
    """
    rest = bytearray()
    some = False
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        start = 0
        while start < len(view):
            take = min(size - len(rest), len(view) - start)
            part = view[start : start + take]
            start += take
            if take == size:
                yield part
                some = True
                continue
            rest += part
            if len(rest) == size:
                yield bytes(rest)
                some = True
                rest.clear()
    if rest or not some:
        yield bytes(rest)


@dataclass(eq=False)
class Blobs:
    """Puts and gets blobs over a connection of its own, so that jobs never queue behind bytes."""

    link: Link
    names: Names
    gauge: Gauge

    async def put(self, digest: str, buffers: Iterable[Buffer], size: int = 0) -> None:
        """Holds afterwards: every chunk of the blob is stored.

        With its `size` a large blob is looked for first: what is there need not be sent.
        """
        if size > ASK_FROM and await self._has(digest, -(-size // CHUNK)):
            return
        under_way: set[asyncio.Task] = set()
        try:
            for index, chunk in enumerate(cut(buffers)):
                if len(under_way) >= WINDOW:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                under_way.add(asyncio.create_task(self._put_chunk(digest, index, chunk)))
                for _ in range(STEPS):
                    await asyncio.sleep(0)
            for task in under_way:
                await task
        finally:
            for task in under_way:
                task.cancel()

    async def _has(self, digest: str, chunks: int) -> bool:
        """True if all chunks are stored; false when nobody says so."""
        subjects = self.names.chunks(digest)
        try:
            facts = await self.link.api(f"STREAM.INFO.{self.names.blobs}", {"subjects_filter": subjects})
        except (Refused, Unanswered):
            return False
        return len(facts["state"].get("subjects") or ()) == chunks

    async def _put_chunk(self, digest: str, index: int, chunk: Buffer) -> None:
        subject = self.names.chunk(digest, index)
        try:
            await self.gauge.store(self.link, lambda: self.link.send(subject, chunk, {EXPECT: "0"}))
        except Refused as error:
            if (
                error.code != WRONG_LAST_SEQUENCE
            ):  # that says: stored before, by someone with the same content
                raise MyceliumError(f"the server refused part of a value: {error}") from error

    async def stream(self, digest: str, size: int) -> AsyncIterator[bytes]:
        """The blob's chunks in order; StoreCorrupt at the end unless they hash to `digest`."""
        count = max(1, -(-size // CHUNK))
        sha = hashlib.sha256()
        under_way: dict[int, asyncio.Task] = {}
        wanted = 0
        try:
            for index in range(count):
                while wanted < count and wanted < index + WINDOW:
                    under_way[wanted] = asyncio.create_task(self._get_chunk(digest, wanted, count))
                    wanted += 1
                chunk = await under_way.pop(index)
                sha.update(chunk)
                yield chunk
        finally:
            for task in under_way.values():
                task.cancel()
        if sha.hexdigest() != digest:
            raise StoreCorrupt(f"a stored value of {size} bytes does not match its hash {digest[:12]}")

    async def get(self, digest: str, size: int) -> bytearray:
        """The whole blob, checked, in memory that nobody else has."""
        whole, place = bytearray(size), 0
        async for chunk in self.stream(digest, size):
            whole[place : place + len(chunk)] = chunk
            place += len(chunk)
        return whole

    async def _get_chunk(self, digest: str, index: int, count: int) -> bytes:
        subject = f"$JS.API.DIRECT.GET.{self.names.blobs}.{self.names.chunk(digest, index)}"
        began = time.monotonic()
        while True:
            try:
                reply = await self.link.request(subject, b"", timeout_s=ANSWER_S, quiet_s=QUIET_S)
                if (reply.headers or {}).get("Status") != "404":
                    return reply.data
                # Any server of a cluster answers that, also one that was away; the leader knows.
                found = await self.link.last(self.names.blobs, self.names.chunk(digest, index))
                if found is not None:
                    return found.data
            except Unanswered as error:
                await self._still_there()
                if time.monotonic() - began > self.gauge.pressure.patience_s:
                    raise MyceliumUnreachable(
                        f"the server does not answer while a value is read ({error})", hint=AWAY
                    ) from error
                await asyncio.sleep(RETRY_S)
                continue
            raise StoreCorrupt(f"part {index + 1} of {count} of a stored value ({digest[:12]}) is gone")

    async def _still_there(self) -> None:
        """StoreRegressed when there is no stream of values any more."""
        try:
            await self.link.api(f"STREAM.INFO.{self.names.blobs}")
        except Unanswered:
            return
        except Refused as error:
            if error.code in NOT_FOUND:
                raise StoreRegressed(f"the store has lost all of {self.names.blobs}", hint=GONE) from error
