"""The ground that a mycelium grows on: a connection, streams that are there, and large values.

What is stored in them, and what it means, is for mycelium.py to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from elfbook.errors import MyceliumUnreachable, StoreCorrupt, Untrusted
from elfbook.model import INLINE_LIMIT, ValueRef
from elfbook.seals import RecordSeal
from elfbook.store.address import Address
from elfbook.store.answers import TOO_MUCH
from elfbook.store.aside import Asides
from elfbook.store.beside import Beside
from elfbook.store.blobs import Blobs
from elfbook.store.follow import RETRY_S, Follower
from elfbook.store.greeting import OVERLOADED, no_jetstream, shown
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.marks import Mark
from elfbook.store.messages import Entry, Message, told_in
from elfbook.store.place import Place
from elfbook.store.pressure import Pressure, no_room
from elfbook.store.shelf import SHELVED_FROM, Shelf, Spool
from elfbook.store.streams import Streams
from elfbook.store.writer import Writer
from elfbook.wire import Names, digest_of, encode

ATOMIC_SINCE = (2, 12, 1)
COMPLAIN_S = 2.0
UNVERIFIED = "unverified"


@dataclass(eq=False)
class Ground:
    """One namespace of a server whose store is ready, and what is known of that."""

    name: str
    """What this process is called on the server."""
    link: Link
    names: Names
    key: bytes
    address: Address
    durability: str
    """`durable`, `fast`, or `unverified` when the server does not say."""
    streams: Streams
    asides: Asides
    pressure: Pressure
    """What keeps the store from taking more, if anything does."""
    jobs: Writer
    runs: Writer
    seal: RecordSeal
    """What each record in JOBS and RUNS bears."""
    shelf: Shelf | None = None
    """Where processes of this machine leave large values for each other, if they do."""
    epoch: int = 0
    """Larger whenever the store is another one or has gone backwards: (epoch, sequence) always grows.
    Read when this opens and after each reconnect."""
    _complaining: bool = False
    _beside: Beside = field(default_factory=Beside)
    _locate: Callable[[], str | None] | None = None
    _bulk: Link | None = None
    _bulk_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def at(cls, place: Place, name: str) -> Self:
        """Connected to the server of a place, wherever that is now; `name` is what the server shows."""
        return await cls.open(
            place.address(),
            key=place.key(),
            namespace=place.namespace,
            name=name,
            locate=place.locate,
            shelf=place.shelf,
        )

    @classmethod
    async def open(  # noqa: PLR0913 (keywords, each a fact of the place)
        cls,
        address: Address,
        *,
        key: bytes,
        namespace: str = "main",
        name: str = "elfbook",
        locate: Callable[[], str | None] | None = None,
        timeout_s: float = 5.0,
        shelf: Path | None = None,
    ) -> Self:
        """Connected, streams there, durability read from the server."""
        link = await Link.open(
            address.url,
            user=address.user,
            password=address.password,
            name=name,
            locate=locate,
            timeout_s=timeout_s,
        )
        names = Names(namespace)
        version = link.nc.connected_server_version
        atomic = (version.major, version.minor, version.patch) >= ATOMIC_SINCE
        pressure, seal = Pressure(disk=address.disk), RecordSeal(key)
        made = cls(
            name=name,
            link=link,
            names=names,
            key=key,
            address=address,
            durability=UNVERIFIED,
            streams=Streams(link, names, atomic),
            asides=Asides(link, names),
            pressure=pressure,
            jobs=Writer(link, names.jobs, pressure, seal, atomic),
            runs=Writer(link, names.runs, pressure, seal, atomic),
            seal=seal,
            shelf=Shelf(shelf) if shelf else None,
            _locate=locate,
        )
        try:
            await made._begin()
        except BaseException:
            await made.close()
            raise
        return made

    async def _begin(self) -> None:
        """Holds afterwards: all is as `open` says."""
        self.durability = await read_durability(self.address)
        try:
            await self.streams.ensure()
            await self.link.subscribe(self.names.epoch, self._hear_epoch)
            self.epoch = await self.streams.epoch()
        except Unanswered as error:
            raise MyceliumUnreachable(
                f"the NATS server at {shown(self.address.url)} does not answer: {error}",
                hint=OVERLOADED,
            ) from error
        except Refused as error:
            if error.code in TOO_MUCH:
                raise no_room(str(error)) from error
            raise no_jetstream(self.address.url, self.link.user, error) from error
        self.link.on_return.append(self._back)
        self.pressure.on_change.append(self._pressed)
        self.jobs.start()
        self.runs.start()

    async def close(self) -> None:
        await self._beside.close()
        await self.jobs.close()
        await self.runs.close()
        for link in (self._bulk, self.link):
            if link:
                await link.close()

    def silent_s(self) -> float:
        """How long something has been asked to which the server has not answered; 0 when nothing is."""
        return max(link.silent_s() for link in (self._bulk, self.link) if link)

    # ------------------------------------------------------------------ streams

    async def ensure_work(self) -> None:
        """The work queue exists; it has to be made anew after each server restart."""
        await self.streams.ensure_work()

    async def marks(self) -> dict[str, Mark]:
        """How far each of the streams that are never trimmed has come."""
        return await self.streams.marks()

    async def renew_epoch(self, above: int = 0) -> None:
        """Holds afterwards: the store's epoch is larger than ever, and whoever is connected hears of it."""
        self.epoch = await self.streams.renew_epoch(max(above, self.epoch))
        await self.link.publish(self.names.epoch, b"%d" % self.epoch)

    async def barrier(self) -> int:
        """The sequence of a record written now.

        Who has read JOBS up to it has read all that was stored before the call. `end_of` does
        not promise that: a server that has just started may not know its newest records yet.
        """
        return await self.jobs.write(self.names.barrier, b"", None)

    def unsealed(self, entry: Entry, what: str = "a record") -> bytes:
        """The body of a record of JOBS or RUNS; Untrusted unless it is what was written there, over that."""
        return self.seal.take_off(entry.data, entry.subject, told_in(entry.headers), what)

    # ------------------------------------------------------------------ what is of no use

    def set_aside(self, found: Entry | Message, reason: str) -> None:
        """Note, once, that something cannot be used, and why."""
        if (subject := self.asides.is_new(found)) is not None:
            self._beside.run(self.asides.note(subject, found, reason))

    @contextlib.contextmanager
    def setting_aside(self, found: Entry | Message) -> Iterator[None]:
        """Within it, what cannot be read or trusted is set aside, and does no more harm."""
        try:
            yield
        except (StoreCorrupt, Untrusted) as error:
            self.set_aside(found, str(error))

    def follow_asides(self) -> Follower:
        """Everything that was set aside."""
        return Follower(self.link, self.names.output, (self.names.every_aside,))

    # ------------------------------------------------------------------ epoch and pressure

    def _hear_epoch(self, message: Message) -> None:
        if message.data.isdigit():
            self.epoch = max(self.epoch, int(message.data))

    def _pressed(self) -> None:
        if self.pressure.trouble and not self._complaining:
            self._complaining = True
            self._beside.run(self._complain())

    async def _complain(self) -> None:
        """Say what keeps the store from taking more until nothing does: the host shows it, and may help."""
        while self._complaining:
            said = self.pressure.complaint(self.name)
            self._complaining = bool(said.trouble)
            with contextlib.suppress(Unanswered):
                await self.link.publish(self.names.trouble, encode(said))
            await asyncio.sleep(COMPLAIN_S if said.trouble else 0)

    def _back(self) -> None:
        self._beside.run(self._read_epoch())

    async def _read_epoch(self) -> None:
        while True:
            try:
                self.epoch = max(self.epoch, await self.streams.epoch())
                return
            except (Unanswered, Refused):
                await asyncio.sleep(RETRY_S)

    # ------------------------------------------------------------------ values

    async def blobs(self) -> Blobs:
        """The way to large values, over a second connection."""
        async with self._bulk_lock:
            if self._bulk is None:
                self._bulk = await Link.open(
                    self.address.url,
                    user=self.address.user,
                    password=self.address.password,
                    name="elfbook values",
                    locate=self._locate,
                )
        return Blobs(self._bulk, self.names, self.pressure.of(self.names.blobs))

    async def put(
        self, buffers: Iterable[bytes | memoryview], preview: str = "", *, inline: bool = True
    ) -> ValueRef:
        """The buffers as a value: inside the reference when small, as a stored blob otherwise."""
        buffers = list(buffers)
        size = sum(memoryview(b).nbytes for b in buffers)
        digest = digest_of(*buffers)
        if inline and size <= INLINE_LIMIT:
            return ValueRef(digest=digest, size=size, preview=preview, inline=b"".join(buffers))
        await (await self.blobs()).put(digest, buffers)
        return ValueRef(digest=digest, size=size, preview=preview)

    async def store(self, digest: str, pieces: list[bytes | memoryview]) -> None:
        """Holds afterwards: the value, of that hash, is in the store."""
        size = sum(memoryview(piece).nbytes for piece in pieces)
        blobs, shelf = await self.blobs(), self.shelf_for(size)
        if shelf is None:
            await blobs.put(digest, pieces, size)
        elif any(isinstance(piece, Spool) for piece in pieces):
            # Others can reach the very bytes once they have a name: first they are stored.
            await blobs.put(digest, pieces, size)
            await asyncio.to_thread(shelf.put, digest, pieces)
        else:
            await asyncio.gather(
                blobs.put(digest, pieces, size), asyncio.to_thread(shelf.put, digest, pieces)
            )

    def shelf_for(self, size: int) -> Shelf | None:
        """Where a value of that size may be found without the store."""
        return self.shelf if size >= SHELVED_FROM else None

    async def fetch(self, ref: ValueRef) -> bytes | bytearray:
        """The bytes a reference names, checked against its hash; a bytearray is the caller's own."""
        if ref.inline is not None:
            return ref.inline
        if (shelf := self.shelf_for(ref.size)) is not None:
            found = await asyncio.to_thread(shelf.read, ref.digest, ref.size)
            if found is not None:
                return found
        return await (await self.blobs()).get(ref.digest, ref.size)


async def read_durability(address: Address) -> str:
    """What the server does before it acknowledges, as it says itself, never assumed."""
    if not address.system_password:
        return UNVERIFIED
    system = await Link.open(
        address.url, user="system", password=address.system_password, name="elfbook check"
    )
    try:
        reply = await system.request("$SYS.REQ.SERVER.PING.VARZ", b"{}", timeout_s=2)
    except Unanswered:
        return UNVERIFIED
    finally:
        await system.close()
    config = json.loads(reply.data)["data"].get("jetstream", {}).get("config", {})
    return "durable" if config.get("sync_always") else "fast"
