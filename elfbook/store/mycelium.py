"""The store and network that elves meet in: its streams, and what can be done with them.

Five streams (wire.Names spells their subjects):

    RUNS    one subject per flow; each message is a run's manifest and creates the run
    JOBS    one subject per job; each message is an event, written compare-and-set
    BLOBS   code, graphs and large values by hash
    OUTPUT  what jobs print and display
    WORK    offers of due jobs; a work queue with one message per state of a job

All but WORK are on disk and the truth. WORK is in memory: everything in it follows from
JOBS, and the scheduler offers again after a server restart, so that dispatching costs no disk
flush.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from elfbook.errors import MyceliumError, MyceliumUnreachable, StoreCorrupt, Untrusted
from elfbook.facts import AnyEvent, Claimed, ClaimedTogether, EndedTogether, SlotTaken, Stored, told
from elfbook.model import INLINE_LIMIT, Beat, Dispatch, LotOffer, Manifest, Output, Settled, ValueRef
from elfbook.store.address import UNVERIFIED, Address, read_durability
from elfbook.store.beside import Beside
from elfbook.store.blobs import Blobs
from elfbook.store.follow import FROM_NOW, RETRY_S, Follower, Taker
from elfbook.store.greeting import no_jetstream, shown
from elfbook.store.link import NO_RESPONDERS, TOO_MUCH, Entry, Link, Message, Refused, Unanswered, refusal
from elfbook.store.marks import Mark
from elfbook.store.pressure import Pressure, no_room
from elfbook.store.streams import Streams
from elfbook.store.writer import Among, Conflict, Writer
from elfbook.wire import Names, decode, decode_record, decode_sealed, digest_of, encode, encode_sealed

log = logging.getLogger("elfbook")

ATOMIC_SINCE = (2, 12, 1)


@dataclass(eq=False)
class Mycelium:
    """One namespace on one server, with everything a process needs to take part."""

    link: Link
    names: Names
    key: bytes
    address: Address
    durability: str
    """`durable`, `fast`, or `unverified` when the server does not say."""
    streams: Streams
    pressure: Pressure
    """What keeps the store from taking more, if anything does."""
    jobs: Writer
    runs: Writer
    epoch: int = 0
    """Larger whenever the store is another one or has gone backwards: (epoch, sequence) always grows.
    Read when this opens and after each reconnect."""
    _beside: Beside = field(default_factory=Beside)
    _locate: Callable[[], str | None] | None = None
    _bulk: Link | None = None
    _bulk_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def open(
        cls,
        address: Address,
        *,
        key: bytes,
        namespace: str = "main",
        name: str = "elfbook",
        locate: Callable[[], str | None] | None = None,
        timeout_s: float = 5.0,
    ) -> Mycelium:
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
        pressure = Pressure()
        made = cls(
            link=link,
            names=names,
            key=key,
            address=address,
            durability=UNVERIFIED,
            streams=Streams(link, names, atomic),
            pressure=pressure,
            jobs=Writer(link, names.jobs, pressure, atomic),
            runs=Writer(link, names.runs, pressure, atomic),
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
        except Unanswered as error:
            raise MyceliumUnreachable(
                f"the NATS server at {shown(self.address.url)} does not answer: {error}",
                hint="It may be overloaded or still starting. See its log, then try again.",
            ) from error
        except Refused as error:
            if error.code in TOO_MUCH:
                raise no_room(str(error)) from error
            raise no_jetstream(self.address.url, self.link.user, error) from error
        await self.link.subscribe(self.names.epoch, self._hear_epoch)
        self.link.on_return.append(self._back)
        self.epoch = await self.streams.epoch()
        self.jobs.start()
        self.runs.start()

    async def close(self) -> None:
        await self._beside.close()
        await self.jobs.close()
        await self.runs.close()
        for link in (self._bulk, self.link):
            if link:
                await link.close()

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

    def _hear_epoch(self, message: Message) -> None:
        if message.data.isdigit():
            self.epoch = max(self.epoch, int(message.data))

    def _back(self) -> None:
        self._beside.run(self._read_epoch())

    async def _read_epoch(self) -> None:
        while True:
            try:
                self.epoch = max(self.epoch, await self.streams.epoch())
                return
            except (Unanswered, Refused):
                await asyncio.sleep(RETRY_S)

    # ------------------------------------------------------------------ runs

    async def latest_run(self, flow: str) -> tuple[Manifest, int] | None:
        """The flow's newest manifest and its sequence, None for a flow without runs."""
        entry = await self.link.last(self.names.runs, self.names.run(flow))
        return (self.manifest_of(entry), entry.seq) if entry else None

    async def add_run(self, manifest: Manifest, expect: int) -> int:
        """Holds afterwards: the run exists. Conflict when the flow has a newer run than `expect`."""
        return await self.runs.write(self.names.run(manifest.flow), encode_sealed(manifest, self.key), expect)

    def manifest_of(self, entry: Entry) -> Manifest:
        """The manifest in an entry of RUNS; Untrusted unless it is signed with this mycelium's key."""
        return decode_sealed(entry.data, Manifest, self.key, "a run's manifest")

    async def all_runs(self) -> tuple[list[Manifest], dict[str, Settled]]:
        """Every manifest, oldest first, and the end of each run that has ended."""
        settled = await self.settled_runs()
        return [manifest async for manifest in self.manifests()], settled

    async def manifests(self) -> AsyncIterator[Manifest]:
        """Every manifest, oldest first, one at a time: there may have been very many runs.

        Runs of others with another key on the same server are left out, with a warning in the log.
        """
        async for entry in self.read(self.names.runs, self.names.every_run):
            with noted(entry):
                yield self.manifest_of(entry)

    async def settled_runs(self) -> dict[str, Settled]:
        """The end of each run that has ended."""
        notes = self.read(self.names.runs, self.names.every_settled, last_only=True)
        ends = [decode(entry.data, Settled) async for entry in notes]
        return {note.run: note for note in ends if note.counts}

    async def note_settled(self, note: Settled) -> None:
        """Note a run's end for listings; counts of {} take the note back."""
        await self.runs.write(self.names.settled(note.run), encode(note), None)

    async def read(
        self, stream: str, *subjects: str, start: int = 1, last_only: bool = False
    ) -> AsyncIterator[Entry]:
        """Everything stored at the time of the call, or only the newest message of each subject."""
        follower = Follower(self.link, stream, subjects, start, last_only, stop_at_end=True)
        async for batch in follower.batches():
            for entry in batch:
                yield entry

    # ------------------------------------------------------------------ jobs

    def record(
        self, run: str, job: int, event: AnyEvent, expect: int, keep: tuple[str, bytes] | None = None
    ) -> asyncio.Future:
        """Write a job's next event; the future gives its sequence or Conflict.

        With `keep`, a named elf's kept attributes are stored together with it: both or neither.
        """
        message = (self.names.job(run, job), encode(event), expect)
        if keep is None:
            return self.jobs.write(*message)
        name, data = keep
        return self.jobs.write_all((message, (self.names.keep(name), data, None)))

    def claim_with_slot(self, dispatch: Dispatch, event: Claimed) -> asyncio.Future:
        """Claim a job together with its slot of a limit: both or neither."""
        name, number, seq = dispatch.slot
        taken = SlotTaken(run=dispatch.run, job=dispatch.job, nonce=event.nonce)
        claim = (self.names.job(dispatch.run, dispatch.job), encode(event), dispatch.seq)
        return self.jobs.write_all((claim, (self.names.slot(name, number), encode(taken), seq)))

    def claim_lot(self, run: str, lot: int, claim: ClaimedTogether, seq: int) -> asyncio.Future:
        """Claim many jobs of a lot; Conflict when anything was stored about the lot after `seq`."""
        expect = Among(self.names.lot(run, lot), seq)
        return self.jobs.write(self.names.claims(run, lot), encode(claim), expect)

    def end_lots(self, run: str, ended: EndedTogether) -> asyncio.Future:
        """Store what became of jobs of lots."""
        return self.jobs.write(self.names.ends(run), encode(ended), None)

    async def kept(self, elf_name: str) -> bytes | None:
        entry = await self.link.last(self.names.jobs, self.names.keep(elf_name))
        return entry.data if entry else None

    async def last_event(self, run: str, job: int) -> tuple[AnyEvent, int] | None:
        entry = await self.link.last(self.names.jobs, self.names.job(run, job))
        return (decode_record(entry.data), entry.seq) if entry else None

    async def end_of(self, stream: str) -> int:
        """The newest sequence of a stream."""
        facts = await self.link.api(f"STREAM.INFO.{stream}")
        return facts["state"]["last_seq"]

    def follow_flow(self, flow: str) -> tuple[Follower, Follower]:
        """What is stored from now on about any run of a flow: facts, and outputs."""
        names = self.names
        return (
            Follower(self.link, names.jobs, (names.jobs_of_flow(flow),), start=FROM_NOW),
            Follower(self.link, names.output, (names.outputs_of_flow(flow),), start=FROM_NOW),
        )

    def follow_jobs(self, start: int) -> Follower:
        """Whatever is stored in JOBS, jobs' facts and all the rest, from a sequence on."""
        return Follower(self.link, self.names.jobs, (self.names.everything,), start=start)

    def slots(self) -> AsyncIterator[Entry]:
        """The last record of each slot of each limit."""
        return self.read(self.names.jobs, self.names.every_slot, last_only=True)

    def slot_taken(self, entry: Entry) -> tuple[tuple[str, int], SlotTaken]:
        """A slot's record, and which slot's."""
        return self.names.slot_of(entry.subject), decode(entry.data, SlotTaken)

    def follow_runs(self, start: int = 1) -> Follower:
        return Follower(self.link, self.names.runs, (self.names.every_run,), start=start)

    def facts(self, entry: Entry) -> tuple[str, list[Stored]]:
        """An entry of JOBS as facts about jobs of its run."""
        run, job = self.names.job_of(entry.subject)
        return run, told(decode_record(entry.data), job, entry.seq, entry.at)

    # ------------------------------------------------------------------ offers

    async def offer(self, dispatch: Dispatch, *, pool: str = "", worker: str = "") -> asyncio.Future:
        """Put a job on the queue of a pool or a worker; see `offer_stands` for the answer."""
        state = f"{dispatch.mark}-{dispatch.slot[2]}" if dispatch.slot else str(dispatch.mark)
        offer_to = self.names.offer_to_worker if worker else self.names.offer_to_pool
        subject = offer_to(worker or pool, dispatch.run, dispatch.job, state)
        return await self.link.send(subject, encode_sealed(dispatch, self.key))

    async def offer_lot(self, offer: LotOffer, pool: str) -> asyncio.Future:
        """Put many short jobs on the queue of a pool at once."""
        subject = self.names.lot_offer(pool, offer.run, offer.lot, offer.seq)
        return await self.link.send(subject, encode_sealed(offer, self.key))

    def offer_stands(self, message: Message) -> bool:
        """True when the offer is on the queue, by this call or an earlier one; False to repeat."""
        if message.headers and message.headers.get("Status") == NO_RESPONDERS:
            return False
        if b'"error"' not in message.data:
            return True
        error = refusal(json.loads(message.data))
        return error is None or (error.code in TOO_MUCH and "per subject" in error.description)

    def taker(self, consumer: str, subject: str, *, brief: bool, hold_s: float) -> Taker:
        return Taker(self.link, self.names.work, consumer, subject, hold_s=hold_s, brief=brief)

    # ------------------------------------------------------------------ outputs

    async def add_output(self, run: str, job: int, outputs: tuple[Output, ...]) -> None:
        """Holds afterwards: the outputs are stored; MyceliumError when the store refuses."""
        names, data = self.names, encode(outputs)
        try:
            await self.pressure.store(
                self.link, names.output, lambda: self.link.send(names.output_of(run, job), data)
            )
        except Refused as error:
            raise MyceliumError(f"the server refused a job's output: {error}") from error

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
        return Blobs(self._bulk, self.names, self.pressure)

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

    async def fetch(self, ref: ValueRef) -> bytes | bytearray:
        """The bytes a reference names, checked against its hash; a bytearray is the caller's own."""
        if ref.inline is not None:
            return ref.inline
        return await (await self.blobs()).get(ref.digest, ref.size)

    # ------------------------------------------------------------------ who is there

    async def beat(self, beat: Beat) -> None:
        await self.link.publish(self.names.beat(beat.worker), encode(beat))

    async def census(self, wait_s: float = 0.15) -> list[Beat]:
        """The workers that answer within `wait_s`."""
        beats: dict[str, Beat] = {}

        def heard(message: Message) -> None:
            beat = decode(message.data, Beat)
            beats[beat.worker] = beat

        undo = await self.link.subscribe(self.names.every_beat, heard)
        try:
            await self.link.publish(self.names.census)
            await self.link.flush()
            await asyncio.sleep(wait_s)
        finally:
            await undo()
        return sorted((b for b in beats.values() if not b.leaving), key=lambda b: b.worker)


@contextlib.contextmanager
def noted(entry: Entry) -> Iterator[None]:
    """One record that cannot be used must not keep the others from being used."""
    try:
        yield
    except (StoreCorrupt, Untrusted) as error:
        log.warning("%s is left out: %s", entry.subject, error)


__all__ = ["Address", "Conflict", "Mycelium", "noted", "read_durability"]
