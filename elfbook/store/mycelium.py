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
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from elfbook.errors import MyceliumError, StoreCorrupt, Untrusted
from elfbook.facts import (
    AnyEvent,
    Claimed,
    ClaimedTogether,
    EndedTogether,
    Paused,
    SlotTaken,
    Stored,
    Unreadable,
    told,
)
from elfbook.log.doubt import in_doubt
from elfbook.log.fold import RunState
from elfbook.model import Beat, Dispatch, LotOffer, Manifest, Output, Settled
from elfbook.progress import Report
from elfbook.store.address import Address
from elfbook.store.answers import NO_RESPONDERS, TOO_MUCH, refusal
from elfbook.store.aside import damaged
from elfbook.store.follow import FROM_NOW, Follower, Taker
from elfbook.store.ground import Ground, read_durability
from elfbook.store.link import Refused
from elfbook.store.marks import Chain, Missing
from elfbook.store.messages import Among, Entry, Message
from elfbook.store.writer import Conflict
from elfbook.wire import decode, decode_record, encode, encode_sealed

log = logging.getLogger("elfbook")


@dataclass(eq=False)
class Mycelium(Ground):
    """One namespace on one server, with everything a process needs to take part."""

    # ------------------------------------------------------------------ runs

    async def latest_run(self, flow: str) -> tuple[Manifest, int] | None:
        """The flow's newest manifest and its sequence, None for a flow without runs."""
        entry = await self.link.last(self.names.runs, self.names.run(flow))
        return (self.manifest_of(entry), entry.seq) if entry else None

    async def add_run(self, manifest: Manifest, expect: int) -> int:
        """Holds afterwards: the run exists. Conflict when the flow has a newer run than `expect`."""
        return await self.runs.write(self.names.run(manifest.flow), encode(manifest), expect)

    def manifest_of(self, entry: Entry) -> Manifest:
        """The manifest in an entry of RUNS; Untrusted unless it bears this mycelium's seal."""
        return decode(self.unsealed(entry, "a run's manifest"), Manifest)

    def settled_of(self, entry: Entry) -> Settled:
        """The note in an entry of RUNS."""
        return decode(self.unsealed(entry), Settled)

    async def all_runs(self) -> tuple[list[Manifest], dict[str, Settled]]:
        """Every manifest, oldest first, and the end of each run that has ended."""
        settled = await self.settled_runs()
        return [manifest async for manifest in self.manifests()], settled

    async def manifests(self) -> AsyncIterator[Manifest]:
        """Every manifest, oldest first, one at a time: there may have been very many runs.

        Runs of others with another key on the same server are left out, with a warning in the log.
        """
        async for entry in self.read(self.names.runs, self.names.every_run):
            with self.setting_aside(entry):
                yield self.manifest_of(entry)

    async def settled_runs(self) -> dict[str, Settled]:
        """The end of each run that has ended."""
        ends = []
        async for entry in self.read(self.names.runs, self.names.every_settled, last_only=True):
            with self.setting_aside(entry):
                ends.append(self.settled_of(entry))
        return {note.run: note for note in ends if note.counts}

    async def note_settled(self, note: Settled) -> None:
        """Note a run's end for listings, unless one is there that knows more; counts of {} take it back.

        `upto` tells which knows more, however late each of them arrives here.
        """
        subject, knows = self.names.settled(note.run), (note.upto, not note.counts)
        first = bool(note.counts)  # most often nothing is noted yet of a run that ends: the write will tell
        while True:
            entry = None if first else await self.link.last(self.names.runs, subject)
            first, there = False, None
            if entry is not None:
                with self.setting_aside(entry):  # what cannot be read is written over
                    there = self.settled_of(entry)
            if there is not None and (there.upto, not there.counts) >= knows:
                return
            with contextlib.suppress(Conflict):  # another note was stored meanwhile: look at that one
                await self.runs.write(subject, encode(note), entry.seq if entry else 0)
                return

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
        self, run: str, job: int, event: AnyEvent, expect: int, keep: tuple[str, bytes, int] | None = None
    ) -> asyncio.Future:
        """Write a job's next event; the future gives its sequence or Conflict.

        With `keep`, a named elf's kept attributes are stored together with it, over those at that
        sequence: both or neither.
        """
        message = (self.names.job(run, job), encode(event), expect)
        if keep is None:
            return self.jobs.write(*message)
        name, data, before = keep
        return self.jobs.write_all((message, (self.names.keep(name), data, before)))

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

    def pause(self, run: str, paused: Paused, expect: int) -> asyncio.Future:
        """Have a run rest or go on; Conflict when somebody has said so since `expect`."""
        return self.jobs.write(self.names.pause(run), encode(paused), expect)

    async def kept(self, elf_name: str) -> tuple[bytes | None, int]:
        """What a named elf keeps, and the sequence of that; (None, 0) when it keeps nothing yet."""
        entry = await self.link.last(self.names.jobs, self.names.keep(elf_name))
        return (self.unsealed(entry, f"what {elf_name} keeps"), entry.seq) if entry else (None, 0)

    async def holder(self, elf_name: str) -> tuple[str, int]:
        """The worker that has a named elf, and the sequence of the record that says so; ("", 0) for none."""
        entry = await self.link.last(self.names.jobs, self.names.holder(elf_name))
        return (self.holder_in(entry), entry.seq) if entry else ("", 0)

    def holder_in(self, entry: Entry) -> str:
        """The worker that a holder's record names; "" for one that cannot be read."""
        with self.setting_aside(entry):
            return self.unsealed(entry).decode(errors="replace")
        return ""

    async def last_event(self, run: str, job: int) -> tuple[AnyEvent, int] | None:
        """What a job's own newest record says."""
        entry = await self.link.last(self.names.jobs, self.names.job(run, job))
        return (self.facts(entry)[1][0].event, entry.seq) if entry else None

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

    async def missing_records(self) -> list[Missing]:
        """Records of JOBS that are gone, as those tell that were written over them. Reads all of it."""
        chain = Chain()
        names = self.names
        follower = Follower(self.link, names.jobs, (names.everything,), stop_at_end=True)
        async for batch in follower.batches():
            for entry in batch:
                chain.take(entry.subject, entry.seq, entry.over if isinstance(entry.over, int) else None)
        return chain.missing

    def slots(self) -> AsyncIterator[Entry]:
        """The last record of each slot of each limit."""
        return self.read(self.names.jobs, self.names.every_slot, last_only=True)

    def slot_taken(self, entry: Entry) -> tuple[tuple[str, int], SlotTaken]:
        """A slot's record, and which slot's. One that cannot be read stands for no job: the slot is free."""
        record = SlotTaken(run="", job=-1, nonce="")
        with self.setting_aside(entry):
            record = decode(self.unsealed(entry), SlotTaken)
        return self.names.slot_of(entry.subject), record

    def follow_runs(self, start: int = 1) -> Follower:
        return Follower(self.link, self.names.runs, (self.names.every_run,), start=start)

    def facts(self, entry: Entry) -> tuple[str, list[Stored]]:
        """An entry of JOBS as facts about jobs of its run. One that cannot be read ends its own job."""
        try:
            run, job = self.names.job_of(entry.subject)
        except (ValueError, IndexError):
            self.set_aside(entry, "its subject names no job")
            return "", []
        try:
            return run, told(decode_record(self.unsealed(entry)), job, entry.seq, entry.at)
        except (StoreCorrupt, Untrusted, IndexError) as error:
            self.set_aside(entry, str(error))
            if entry.subject == self.names.pause(run):  # about no job: it ends none
                return run, [Stored(-1, entry.seq, entry.at, Paused("", on=None))]
            return run, [damaged(job, self.names.lot_of(entry.subject), entry, error)]

    def within(self, facts: list[Stored], run: str, state: RunState) -> Iterator[Stored]:
        """The facts about jobs that the run has, each to be folded before the next; others are set aside."""
        jobs = len(state.jobs)
        for stored in facts:
            if 0 <= stored.job < jobs or isinstance(stored.event, Paused):
                yield stored
            elif isinstance(stored.event, Unreadable):
                yield from in_doubt(state, stored)
            else:
                found = Entry(self.names.job(run, stored.job), b"", stored.seq)
                self.set_aside(found, f"{run} has {jobs} jobs")

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
            await self.pressure.of(names.output).store(
                self.link, lambda: self.link.send(names.output_of(run, job), data)
            )
        except Refused as error:
            raise MyceliumError(f"the server refused a job's output: {error}") from error

    # ------------------------------------------------------------------ who is there

    async def beat(self, beat: Beat) -> None:
        await self.link.publish(self.names.beat(beat.worker), encode(beat))

    async def stop_job(self, worker: str, run: str, job: int) -> None:
        """Tell a worker at once that a job is not its own any more; it would notice by itself in a while."""
        await self.link.publish(self.names.stop_job(worker), f"{run} {job}".encode())

    async def report(self, report: Report) -> None:
        """Say it to whoever listens; it is stored nowhere."""
        await self.link.publish(self.names.progress(report.run), encode(report))

    def report_in(self, message: Message) -> Report | None:
        """What the message says, None if that is nothing."""
        with self.setting_aside(message):
            return decode(message.data, Report)

    def beat_in(self, message: Message) -> Beat | None:
        """What the message says, None if that is nothing."""
        with self.setting_aside(message):
            return decode(message.data, Beat)

    async def census(self, wait_s: float = 0.15) -> list[Beat]:
        """The workers that answer within `wait_s`."""
        beats: dict[str, Beat] = {}

        def heard(message: Message) -> None:
            if (beat := self.beat_in(message)) is not None:
                beats[beat.worker] = beat

        undo = await self.link.subscribe(self.names.every_beat, heard)
        try:
            await self.link.publish(self.names.census)
            await self.link.flush()
            await asyncio.sleep(wait_s)
        finally:
            await undo()
        return sorted((b for b in beats.values() if not b.leaving), key=lambda b: b.worker)


__all__ = ["Address", "Conflict", "Mycelium", "read_durability"]
