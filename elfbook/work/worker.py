"""A worker: takes offers, claims them, has its kernel run them, stores what came of it.

For one job the order is: claim (compare-and-set), run, store output and blobs, store the terminal
record (compare-and-set on the claim), and only then take the offer off the queue. Whatever
fails in between, the job's record says who holds it. The kernel is another process: a C
loop in user code cannot keep this one from saying that it is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.facts import AnyEvent, Released
from elfbook.model import Beat, Dispatch, Failure, Output, ValueRef
from elfbook.store.beside import Beside
from elfbook.store.follow import Taker
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.work.attempts import Held, event_of, failed, late_words, lost, of_death, released, stopped
from elfbook.work.bench import Bench
from elfbook.work.claims import Claims
from elfbook.work.fencing import Fencing
from elfbook.work.kernel import Job, Kernel, own_python
from elfbook.work.outputs import Outputs
from elfbook.work.parcels import Cellar, Parcels, chunks_of

log = logging.getLogger("elfbook")

GRACE_S = 1.0
POLL_S = 0.02


@dataclass(eq=False)
class Worker:
    """One supervised kernel and the jobs it is given."""

    mycelium: Mycelium
    name: str
    host: str
    folder: Path
    """For sockets and results in passing; a short path."""
    cellar: Path
    """For large values that several jobs may need."""
    spec: str = "python3"
    pool: str = "main"
    only: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """Named elves that it holds."""
    _takers: list[Taker] = field(default_factory=list)
    _tokens: int = 0
    _refill_due: bool = False
    beside: Beside = field(default_factory=Beside)

    def __post_init__(self) -> None:
        self.parcels = Parcels(self.mycelium, Cellar(self.cellar))
        self.outputs = Outputs(self.mycelium.add_output)
        self.claims = Claims(self.mycelium, self.name, self.names)
        kernel = partial(
            Kernel, spec=self.spec, folder=self.folder, key=self.mycelium.key, worker=self.name,
            environment=self.environment,
        )  # fmt: skip
        self.bench = Bench(
            make_kernel=kernel,
            own=self.beside.run,
            on_result=self._result,
            on_unbegun=self._release,
            on_death=self._kernel_died,
            on_output=self.outputs.heard,
        )
        self.fencing = Fencing(self.mycelium, self.name, self.bench, self.names, self._forget, self._state)
        self.pulse = self.fencing.pulse

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; holds afterwards: nothing is held and the kernel has ended."""
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self.bench.start())
        await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.bench.stop()
            return
        starting.result()
        undo = await self._listen_for_requests()
        self.mycelium.link.on_return.append(self.fencing.doubt)
        await self._start_taking()
        loops = [self._take_offers(taker) for taker in self._takers]
        loops += [self.pulse.keep(), self.bench.look_after(), self.outputs.keep_storing()]
        loops += [self.fencing.keep_looking(), self.beside.until_failure()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await self._leave()
            for task in done - {stopping}:
                task.result()
        finally:
            for task in [stopping, *tasks]:
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)
            await self.beside.close()
            self.mycelium.link.on_return.remove(self.fencing.doubt)
            for call in undo:
                await call()
            for taker in self._takers:
                await taker.close()
            await self.bench.stop()

    # ------------------------------------------------------------------ signs of life

    async def _listen_for_requests(self) -> list:
        link, names = self.mycelium.link, self.mycelium.names

        def census(_: Message) -> None:
            self.beside.run(self.pulse.beat())

        def stop_job(message: Message) -> None:
            run, _, job = message.data.decode().rpartition(" ")
            for held in self.bench.held.values():
                if held.dispatch.run == run and str(held.dispatch.job) == job:
                    held.fenced = True
                    self.bench.stop_job(held, "cancelled")

        return [
            await link.subscribe(names.census, census),
            await link.subscribe(names.stop_job(self.name), stop_job),
        ]

    def _state(self) -> Beat:
        current, kernel = self.bench.current, self.bench.kernel
        return Beat(
            worker=self.name,
            host=self.host,
            pool=self.pool,
            names=tuple(sorted(self.names)),
            only=self.only,
            kernel=self.spec,
            python=kernel.python or own_python(),
            pid=os.getpid(),
            kernel_pid=kernel.pid,
            running=current.dispatch.label if current else "",
            leaving=self.bench.leaving,
        )

    def _forget(self, names: list[str]) -> None:
        if names:
            self.bench.kernel.forget(names)
            self.names.difference_update(names)

    # ------------------------------------------------------------------ offers

    async def _start_taking(self) -> None:
        names = self.mycelium.names
        self._takers.append(
            self.mycelium.taker(f"worker-{self.name}", names.worker_offers(self.name), brief=True)
        )
        if not self.only:
            self._takers.append(
                self.mycelium.taker(f"pool-{self.pool}", names.pool_offers(self.pool), brief=False)
            )
        for taker in self._takers:
            await taker.start()
        self._refill()

    def _refill(self) -> None:
        self._refill_due = False
        if self.bench.leaving:
            return
        for taker in self._takers:
            missing = self.bench.window - len(self.bench.held) - taker.asked - taker.taken.qsize()
            if missing > 0:
                self.beside.run(taker.want(missing))

    def _refill_soon(self) -> None:
        if not self._refill_due:
            self._refill_due = True
            asyncio.get_running_loop().call_soon(self._refill)

    async def _take_offers(self, taker: Taker) -> None:
        while True:
            messages = [await taker.taken.get()]
            await self.bench.up.wait()
            while not taker.taken.empty():
                messages.append(taker.taken.get_nowait())
            self.pulse.notice_sleep()
            await self.fencing.sure.wait()
            await self._begin(await self._claim(taker, messages))
            self._refill_soon()

    async def _claim(self, taker: Taker, messages: list[Message]) -> list[Held]:
        """The offers that are mine from now on, with their places on the bench."""
        mine = []
        for dispatch, message, seq in await self.claims.claim(taker, messages, leaving=self.bench.leaving):
            self._tokens += 1
            held = Held(f"{self.name}-{self._tokens}", dispatch, message, taker, seq)
            self.bench.held[held.token] = held
            self.outputs.open(held.token, dispatch.run, dispatch.job, dispatch.attempt)
            mine.append(held)
        return mine

    async def _begin(self, mine: list[Held]) -> None:
        """Give claimed jobs to the kernel, with all they need."""
        jobs: list[Job] = []
        codes: dict[str, Dispatch] = {}
        for held in mine:
            dispatch = held.dispatch
            try:
                kept = await self._adopted(dispatch.elf.name)
                if self.parcels.simple(dispatch):
                    job = self.parcels.job_at_once(held.token, dispatch, kept)
                else:
                    job = await self.parcels.job(held.token, dispatch, kept)
            except ElfbookError as error:
                failure = Failure(type=type(error).__name__, message=str(error))
                self._commit(held, failed(held, failure, "refused", self.name))
                continue
            jobs.append(job)
            codes[dispatch.elf.revision] = dispatch
        await self._teach(codes)
        self.bench.run([job for job in jobs if job.token in self.bench.held])

    async def _teach(self, codes: dict[str, Dispatch]) -> None:
        """Holds afterwards: the kernel of this moment is up and knows the code."""
        while True:
            await self.bench.up.wait()
            kernel = self.bench.kernel
            for digest, dispatch in codes.items():
                if not kernel.knows(digest):
                    kernel.learn(*await self.parcels.lesson(await self.parcels.revision(dispatch)))
            if self.bench.kernel is kernel and self.bench.up.is_set():
                return

    async def _adopted(self, name: str) -> bytes | None:
        """What an elf that comes to this worker has kept; None for one that is here already."""
        if not name or name in self.names:
            return None
        kept = await self.mycelium.kept(name)
        self.names.add(name)
        return kept

    # ------------------------------------------------------------------ results

    def _result(self, held: Held, header: dict, parts: list[bytes]) -> None:
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
                await (await self.mycelium.blobs()).put(facts["digest"], chunks_of(path))
            except ElfbookError as error:
                failure = Failure(type=type(error).__name__, message=str(error))
                self._commit(held, failed(held, failure, "crashed", self.name, header["elapsed"]))
                return
            self.parcels.cellar.adopt(path, facts["digest"], facts["size"])
            value = ValueRef(digest=facts["digest"], size=facts["size"], preview=header["preview"])
        self._commit_result(held, header, parts, value)

    def _commit_result(self, held: Held, header: dict, parts: list[bytes], value: ValueRef | None) -> None:
        rest = list(parts)
        data = rest.pop(0) if header["ok"] and value is None else b""
        keep = rest[0] if header.get("keep") else None
        event = event_of(held, header, value, data, self.name, self.outputs.tail(held.token))
        self._commit(held, event, keep)

    def _commit(self, held: Held, event: AnyEvent, keep: bytes | None = None) -> asyncio.Future:
        """Store the end of an attempt; when that is done or refused, the offer is dealt with."""
        dispatch, record = held.dispatch, self.mycelium.record
        if keep is None:
            future = record(dispatch.run, dispatch.job, event, held.seq)
        else:
            future = record(dispatch.run, dispatch.job, event, held.seq, keep=(dispatch.elf.name, keep))
        future.add_done_callback(partial(self._committed, held, event))
        return future

    def _committed(self, held: Held, event: AnyEvent, done: asyncio.Future) -> None:
        self.bench.held.pop(held.token, None)
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Conflict):
            # Fenced: its offer is left alone. When its hold ends, whoever gets it finds it out of date.
            if not isinstance(event, Released):
                self.beside.run(self._keep_evidence(held, event))
            if held.dispatch.elf.name:
                # Someone took the job over, so the elf may have moved too: look again before its next job.
                self._forget([held.dispatch.elf.name])
        elif error is not None:
            # Unstored and unaccepted: the lease ends, or the scheduler offers the job again.
            log.error(
                "the end of %s of %s could not be stored: %s", held.dispatch.label, held.dispatch.run, error
            )
            self.beside.fail(error)
        else:
            self.beside.run(held.taker.accept(held.message))
        self._refill_soon()

    async def _keep_evidence(self, held: Held, event: AnyEvent) -> None:
        """What came of an attempt that no longer counts is kept beside the job's output."""
        dispatch = held.dispatch
        with contextlib.suppress(ElfbookError, Unanswered):
            note = Output(
                job=dispatch.job, attempt=dispatch.attempt, kind="late", text=late_words(event, self.name)
            )
            await self.mycelium.add_output(dispatch.run, dispatch.job, (note,))

    def _release(self, held: Held) -> asyncio.Future:
        return self._commit(held, released(held, self.name))

    def _kernel_died(self, current: Held | None, how: str) -> list[asyncio.Future]:
        self.names.clear()
        if current is None:
            return []
        ran_s = time.monotonic() - current.begun_at
        # What was printed last may never have left the kernel.
        tail = self.bench.kernel.last_words() or self.outputs.tail(current.token)
        return [self._commit(current, of_death(current, how, self.name, tail, ran_s))]

    # ------------------------------------------------------------------ leaving

    async def _leave(self) -> None:
        """Give back what has not begun; let the current job end, or count it as lost."""
        self.bench.leaving = True
        self.bench.drop_waiting()
        await self._until_empty()
        if (current := self.bench.current) is not None:
            self.bench.stop_job(current, "leaving")
            self.beside.run(self.bench.kernel.interrupt(current.token))
            await self._until_empty()
        ends = [
            self._commit(held, lost(held, stopped(self.name, held), self.name, self.outputs.tail(held.token)))
            for held in list(self.bench.held.values())
        ]
        if ends:
            await asyncio.wait(ends, timeout=GRACE_S)
        await self.pulse.beat()

    async def _until_empty(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while self.bench.held and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
