"""Large values: content-addressed, in chunks, checked by hash, never whole in memory here.

A blob is its chunks under its SHA-256. Chunks are stored with "expect nothing there", so
that two writers of one value store it once and a cut upload is continued, not repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from elfbook.errors import MyceliumError, StoreCorrupt, StoreFull
from elfbook.store.link import TOO_MUCH, WRONG_LAST_SEQUENCE, Link, Unanswered, refusal
from elfbook.store.writer import EXPECT
from elfbook.wire import Names

CHUNK = 512 * 1024
"""Messages above 1 MiB slow job traffic down, measured."""
WINDOW = 16
"""Chunks under way at once: 8 MiB, well below the 64 MiB at which the server drops a reader."""
ATTEMPTS = 5
ANSWER_S = 30.0


def cut(buffers: Iterable[bytes | memoryview], size: int = CHUNK) -> Iterable[bytes]:
    """The buffers' bytes in pieces of `size`, the last one shorter; empty input gives one."""
    rest = bytearray()
    some = False
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        start = 0
        while start < len(view):
            take = min(size - len(rest), len(view) - start)
            rest += view[start : start + take]
            start += take
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

    async def put(self, digest: str, buffers: Iterable[bytes | memoryview]) -> None:
        """Holds afterwards: every chunk of the blob is stored."""
        under_way: set[asyncio.Task] = set()
        try:
            for index, chunk in enumerate(cut(buffers)):
                if len(under_way) >= WINDOW:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                under_way.add(asyncio.create_task(self._put_chunk(digest, index, chunk)))
            for task in under_way:
                await task
        finally:
            for task in under_way:
                task.cancel()

    async def _put_chunk(self, digest: str, index: int, chunk: bytes) -> None:
        import json

        subject = self.names.chunk(digest, index)
        for attempt in range(ATTEMPTS):
            try:
                reply = await self.link.request(subject, chunk, {EXPECT: "0"}, timeout_s=ANSWER_S)
                if not reply.data:
                    raise Unanswered("the stream is not there yet")
            except Unanswered:
                await asyncio.sleep(0.2 * (attempt + 1))
                continue
            error = refusal(json.loads(reply.data))
            if error is None or error.code == WRONG_LAST_SEQUENCE:
                return  # stored now, or before by someone with the same content
            if error.code in TOO_MUCH:
                raise StoreFull(f"the store takes no more values ({error.description})")
            raise MyceliumError(f"the server refused part of a value: {error}")
        raise StoreFull(
            "the store does not answer while a value is written. Is its disk full, or the server down?"
        )

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

    async def get(self, digest: str, size: int) -> bytes:
        """The whole blob, checked."""
        return b"".join([chunk async for chunk in self.stream(digest, size)])

    async def _get_chunk(self, digest: str, index: int, count: int) -> bytes:
        subject = f"$JS.API.DIRECT.GET.{self.names.blobs}.{self.names.chunk(digest, index)}"
        for attempt in range(ATTEMPTS):
            try:
                reply = await self.link.request(subject, b"", timeout_s=ANSWER_S)
            except Unanswered:
                await asyncio.sleep(0.2 * (attempt + 1))
                continue
            status = (reply.headers or {}).get("Status")
            if status == "404":
                raise StoreCorrupt(f"part {index + 1} of {count} of a stored value ({digest[:12]}) is gone")
            return reply.data
        raise MyceliumError("the store does not answer while a value is read")
