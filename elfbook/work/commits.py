"""What comes of a worker's jobs: output and blobs stored first, then the record, then the offer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.facts import AnyEvent, Released
from elfbook.model import Failure, Output, ValueRef
from elfbook.store.beside import Beside
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.work.attempts import Held, HeldLot, event_of, failed, late_words, lost, released
from elfbook.work.ends import Ends
from elfbook.work.outputs import Outputs
from elfbook.work.parcels import Cellar, chunks_of

log = logging.getLogger("elfbook")


@dataclass(eq=False)
class Commits:
    """Stores the ends of one worker's attempts."""

    mycelium: Mycelium
    worker: str
    outputs: Outputs
    cellar: Cellar
    beside: Beside
    on_end: Callable[[Held], None]
    """The attempt is over for this worker, whatever came of it."""
    on_taken_over: Callable[[list[str]], None]
    """Somebody else took a job over, and with it perhaps these named elves."""
    certain: Callable[[], Awaitable[None]]
    """Returns once it is known which jobs are still the worker's."""
    kept_at: dict[str, int] = field(default_factory=dict)
    """Of each named elf that is here: the sequence of what it keeps, as its state here builds on it."""
    lots: set[HeldLot] = field(default_factory=set)
    """Claims of many that have not ended yet."""

    def __post_init__(self) -> None:
        self.ends = Ends(self.mycelium, self.worker, self.beside.run, self._ended, self.certain)

    def result(self, held: Held, header: dict, parts: list[bytes]) -> None:
        """Store what the kernel says has come of a job."""
        if header.get("output") or "file" in header:
            self.beside.run(self._store_then_commit(held, header, parts))
        else:
            self._commit_result(held, header, parts, None)

    async def _store_then_commit(self, held: Held, header: dict, parts: list[bytes]) -> None:
        if header.get("output"):
            await self.outputs.complete(held.token)
        value = None
        if "file" in header:
            facts, path = header["file"], Path(header["file"]["path"])
            try:
                await (await self.mycelium.blobs()).put(facts["digest"], chunks_of(path), facts["size"])
            except ElfbookError as error:
                failure = Failure(type=type(error).__name__, message=str(error))
                self.commit(held, failed(held, failure, "crashed", self.worker, header["elapsed"]))
                return
            kept = self.cellar.adopt(path, facts["digest"], facts["size"])
            if (shelf := self.mycelium.shelf_for(facts["size"])) is not None:
                shelf.adopt(kept, facts["digest"])
            value = ValueRef(digest=facts["digest"], size=facts["size"], preview=header["preview"])
        self._commit_result(held, header, parts, value)

    def _commit_result(self, held: Held, header: dict, parts: list[bytes], value: ValueRef | None) -> None:
        rest = list(parts)
        data = rest.pop(0) if header["ok"] and value is None else b""
        keep = rest[0] if header.get("keep") else None
        event = event_of(held, header, value, data, self.worker, self.outputs.tail(held.token))
        self.commit(held, event, keep)

    def commit(self, held: Held, event: AnyEvent, keep: bytes | None = None) -> asyncio.Future:
        """Store the end of an attempt; when that is done or refused, the offer is dealt with."""
        if held.lot is not None:
            return self.ends.add(held, event)
        dispatch, record = held.dispatch, self.mycelium.record
        if keep is None:
            future = record(dispatch.run, dispatch.job, event, held.seq)
        else:
            name = dispatch.elf.name
            future = record(dispatch.run, dispatch.job, event, held.seq, (name, keep, self.kept_at[name]))
            future.add_done_callback(partial(self._kept, held))
        future.add_done_callback(partial(self._committed, held, event))
        return future

    async def restored(self, name: str) -> bytes | None:
        """What an elf that comes here has kept: what it keeps next is stored over that."""
        kept, self.kept_at[name] = await self.mycelium.kept(name)
        return kept

    def _kept(self, held: Held, done: asyncio.Future) -> None:
        """What the elf keeps is stored behind the job's record, or the elf is not mine any more."""
        if done.cancelled():
            return
        if done.exception() is None:
            self.kept_at[held.dispatch.elf.name] = done.result() + 1
        elif isinstance(done.exception(), Conflict):
            self.beside.run(self._lose(held))

    async def _lose(self, held: Held) -> None:
        """Holds afterwards: the job is not mine any more, though it may have been until now."""
        name, label = held.dispatch.elf.name, held.dispatch.label
        why = f"{name} was given to another worker while {self.worker} was doing {label}"
        event = lost(held, why, self.worker, self.outputs.tail(held.token))
        with contextlib.suppress(Conflict):
            await self.mycelium.record(held.dispatch.run, held.dispatch.job, event, held.seq)

    def _committed(self, held: Held, event: AnyEvent, done: asyncio.Future) -> None:
        self.on_end(held)
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Conflict):
            # Fenced: its offer is left alone. When its hold ends, whoever gets it finds it out of date.
            if not isinstance(event, Released):
                self.beside.run(self._keep_evidence(held, event))
            if held.dispatch.elf.name:
                # Someone took the job over, so the elf may have moved too: look again before its next job.
                self.on_taken_over([held.dispatch.elf.name])
        elif error is not None:
            # Unstored and unaccepted: the lease ends, or the scheduler offers the job again.
            log.error(
                "the end of %s of %s could not be stored: %s", held.dispatch.label, held.dispatch.run, error
            )
            self.beside.fail(error)
        else:
            self.beside.run(held.taker.accept(held.message))

    def _ended(self, ended: list[tuple[Held, AnyEvent]], error: Exception | None) -> None:
        """The ends of lot jobs are stored; a lot's offer is accepted once all its jobs have ended."""
        for held, event in ended:
            self.on_end(held)
            lot = held.lot
            lot.left -= 1
            if held.fenced:
                lot.fenced = True
                if not isinstance(event, Released):
                    self.beside.run(self._keep_evidence(held, event))
            if not lot.left:
                self.lots.discard(lot)
                if error is None and not lot.fenced:
                    self.beside.run(held.taker.accept(held.message))
        if error is not None:
            # Unstored and unaccepted: the lease ends, or the scheduler offers the jobs again.
            log.error("the ends of %s jobs could not be stored: %s", len(ended), error)
            self.beside.fail(error)

    async def _keep_evidence(self, held: Held, event: AnyEvent) -> None:
        """What came of an attempt that no longer counts is kept beside the job's output."""
        dispatch = held.dispatch
        with contextlib.suppress(ElfbookError, Unanswered):
            note = Output(
                job=dispatch.job, attempt=dispatch.attempt, kind="late", text=late_words(event, self.worker)
            )
            await self.mycelium.add_output(dispatch.run, dispatch.job, (note,))

    def release(self, held: Held, *, begun: bool = False) -> asyncio.Future:
        """Give the job back, which was not begun, or `begun` in vain."""
        return self.commit(held, released(held, self.worker, begun=begun))
