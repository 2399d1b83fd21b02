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
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from elfbook.errors import ElfbookError, StoreCorrupt
from elfbook.follow import Taker
from elfbook.kernel import Job, Kernel, own_python
from elfbook.link import Message, Unanswered
from elfbook.model import (
    Beat,
    Claimed,
    Dispatch,
    Failed,
    Failure,
    Lost,
    Released,
    Succeeded,
    ValueRef,
)
from elfbook.mycelium import Conflict, Mycelium
from elfbook.outputs import Outputs
from elfbook.parcels import Cellar, Parcels, chunks_of
from elfbook.wire import decode, digest_of

log = logging.getLogger("elfbook")

LEASE_S = 15.0
BEAT_S = 2.0
AHEAD_S = 0.06
"""How much work, by its usual length, a worker holds at once: enough to hide the round trip."""
WINDOW_LIMIT = 256
SLOW_S = 0.25
"""A job that takes longer than this sends the jobs that wait behind it back to the queue."""
INTERRUPT_AGAIN_S = 2.0
KILL_AFTER_S = 5.0
LOOK_S = 0.05
GRACE_S = 1.0


@dataclass(eq=False)
class Held:
    """A job this worker has claimed."""

    token: str
    dispatch: Dispatch
    message: Message
    taker: Taker
    seq: int
    """Of my claim: my commit expects it."""
    begun_at: float = 0.0
    """Monotonic time since when the kernel has been at it; 0 while it waits its turn."""
    stopping: str = ""
    """Why it is being interrupted: `timed out`, `cancelled` or `leaving`."""
    stop_at: float = 0.0
    interrupts: int = 0


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
    kernel: Kernel | None = None
    held: dict[str, Held] = field(default_factory=dict)
    order: deque[str] = field(default_factory=deque)
    """Tokens the kernel has, in the order it runs them."""
    names: set[str] = field(default_factory=set)
    window: int = 1
    pace_s: float = AHEAD_S
    leaving: bool = False
    _takers: list[Taker] = field(default_factory=list)
    _beat_at: float = 0.0
    _tokens: int = 0
    _refill_due: bool = False
    _tasks: set[asyncio.Task] = field(default_factory=set)
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is a kernel that takes jobs."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; holds afterwards: nothing is held and the kernel has ended."""
        self.parcels = Parcels(self.mycelium, Cellar(self.cellar))
        self.outputs = Outputs(self.mycelium.add_output)
        self.kernel = self._new_kernel()
        await self.kernel.start()
        self._up.set()
        undo = await self._listen_for_requests()
        await self._start_taking()
        loops = [self._take_offers(taker) for taker in self._takers]
        loops += [self._beat(), self._look_after(), self.outputs.keep_storing(), self._keep_offers()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await self._leave()
            for task in done - {stopped}:
                task.result()
        finally:
            for task in [stopped, *tasks, *self._tasks]:
                task.cancel()
            await asyncio.gather(stopped, *tasks, *self._tasks, return_exceptions=True)
            for call in undo:
                await call()
            for taker in self._takers:
                await taker.close()
            await self.kernel.stop()

    def _new_kernel(self) -> Kernel:
        return Kernel(
            spec=self.spec,
            folder=self.folder,
            key=self.mycelium.key,
            worker=self.name,
            on_done=self._done,
            on_dropped=self._dropped,
            on_output=self._heard,
            on_death=self._died,
            environment=self.environment,
        )

    def _own(self, coroutine) -> None:
        """Run something beside the loops; a failure of it ends the worker, which is then replaced."""

        def ended(task: asyncio.Task) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception():
                log.error("worker %s", self.name, exc_info=task.exception())
                self._failure = task.exception()

        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(ended)

    _failure: BaseException | None = None

    # ------------------------------------------------------------------ signs of life

    async def _listen_for_requests(self) -> list:
        link, names = self.mycelium.link, self.mycelium.names

        def census(_: Message) -> None:
            self._own(self._say_alive())

        def stop_job(message: Message) -> None:
            run, _, job = message.data.decode().rpartition(" ")
            for held in self.held.values():
                if held.dispatch.run == run and str(held.dispatch.job) == job:
                    self._stop_job(held, "cancelled")

        return [await link.subscribe(names.census, census), await link.subscribe(names.stop_job(self.name), stop_job)]

    async def _say_alive(self) -> None:
        current = self._current()
        await self.mycelium.beat(
            Beat(
                worker=self.name,
                host=self.host,
                pool=self.pool,
                names=tuple(sorted(self.names)),
                only=self.only,
                kernel=self.spec,
                python=self.kernel.python or own_python(),
                pid=os.getpid(),
                kernel_pid=self.kernel.pid,
                running=current.dispatch.label if current else "",
                leaving=self.leaving,
            )
        )

    async def _beat(self) -> None:
        while True:
            if self._beat_at and time.monotonic() - self._beat_at > LEASE_S:
                self._fenced()
            with contextlib.suppress(Unanswered):
                await self._say_alive()
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def _fenced(self) -> None:
        """I was not heard of for a lease: the elves that I held are someone else's now."""
        if self.names:
            self.kernel.forget(sorted(self.names))
            self.names.clear()
        self._beat_at = time.monotonic()

    # ------------------------------------------------------------------ offers

    async def _start_taking(self) -> None:
        names = self.mycelium.names
        self._takers.append(
            self.mycelium.taker(f"worker-{self.name}", names.worker_offers(self.name), brief=True)
        )
        if not self.only:
            self._takers.append(self.mycelium.taker(f"pool-{self.pool}", names.pool_offers(self.pool), brief=False))
        for taker in self._takers:
            await taker.start()
        self._refill()

    def _refill(self) -> None:
        self._refill_due = False
        if self.leaving:
            return
        for taker in self._takers:
            missing = self.window - len(self.held) - taker.asked - taker.taken.qsize()
            if missing > 0:
                self._own(taker.want(missing))

    def _refill_soon(self) -> None:
        if not self._refill_due:
            self._refill_due = True
            asyncio.get_running_loop().call_soon(self._refill)

    async def _take_offers(self, taker: Taker) -> None:
        while True:
            messages = [await taker.taken.get()]
            await self._up.wait()
            while not taker.taken.empty():
                messages.append(taker.taken.get_nowait())
            if self._beat_at and time.monotonic() - self._beat_at > LEASE_S:
                self._fenced()
            await self._claim(taker, messages)
            self._refill_soon()

    async def _claim(self, taker: Taker, messages: list[Message]) -> None:
        writes = []
        for message in messages:
            try:
                dispatch = decode(message.data, Dispatch)
            except StoreCorrupt as error:
                log.warning("an offer that cannot be read is dropped: %s", error)
                await taker.accept(message)
                continue
            if self.leaving or not await self._may_take(dispatch):
                await taker.accept(message)
                continue
            self._tokens += 1
            token = f"{self.name}-{self._tokens}"
            event = Claimed(nonce=f"{self.name}{os.urandom(6).hex()}", attempt=dispatch.attempt, worker=self.name)
            future = self.mycelium.record(dispatch.run, dispatch.job, event, dispatch.seq)
            writes.append((token, dispatch, message, future))
        if not writes:
            return
        await asyncio.wait([future for *_, future in writes])
        mine = []
        for token, dispatch, message, future in writes:
            if (error := future.exception()) is None:
                held = Held(token, dispatch, message, taker, future.result())
                self.held[token] = held
                self.outputs.open(token, dispatch.run, dispatch.job, dispatch.attempt)
                mine.append(held)
            else:
                # After a conflict the job has moved on; whoever moved it sees to its next offer.
                if isinstance(error, Conflict):
                    await taker.accept(message)
                else:
                    log.warning("claiming %s of %s failed: %s", dispatch.label, dispatch.run, error)
                    await taker.give_back(message)
        await self._begin(mine)

    async def _may_take(self, dispatch: Dispatch) -> bool:
        """A named elf's job is mine only while the elf's holder record names me."""
        name = dispatch.elf.name
        if not name or name in self.names:
            return True
        names = self.mycelium.names
        entry = await self.mycelium.link.last(names.jobs, names.holder(name))
        return entry is not None and entry.data.decode() == self.name

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
                self._commit(held, self._failed(held, failure, 0.0, "refused", final=True))
                continue
            jobs.append(job)
            codes[dispatch.elf.revision] = dispatch
        await self._teach(codes)
        self._run([job for job in jobs if job.token in self.held])

    async def _teach(self, codes: dict[str, Dispatch]) -> None:
        """Holds afterwards: the kernel of this moment is up and knows the code."""
        while True:
            await self._up.wait()
            kernel = self.kernel
            for digest, dispatch in codes.items():
                if not kernel.knows(digest):
                    kernel.learn(*await self.parcels.lesson(await self.parcels.revision(dispatch)))
            if self.kernel is kernel and self._up.is_set():
                return

    def _run(self, jobs: list[Job]) -> None:
        if jobs and not self.order:
            self.held[jobs[0].token].begun_at = time.monotonic()
        self.order.extend(job.token for job in jobs)
        if jobs:
            self.kernel.run(jobs)

    async def _adopted(self, name: str) -> bytes | None:
        """What an elf that comes to this worker has kept; None for one that is here already."""
        if not name or name in self.names:
            return None
        kept = await self.mycelium.kept(name)
        self.names.add(name)
        return kept

    # ------------------------------------------------------------------ results

    def _current(self) -> Held | None:
        return self.held.get(self.order[0]) if self.order else None

    def _heard(self, token: str, kind: str, content: dict) -> None:
        self.outputs.heard(token, kind, content)

    def _done(self, header: dict, parts: list[bytes]) -> None:
        token = header["done"]
        with contextlib.suppress(ValueError):
            self.order.remove(token)
        following = self._current()
        if following is not None and not following.begun_at:
            following.begun_at = time.monotonic()
        held = self.held.get(token)
        if held is None:
            return
        self.pace_s = 0.7 * self.pace_s + 0.3 * (header["elapsed"] + 0.00005)
        self.window = max(1, min(WINDOW_LIMIT, self.window * 2, int(AHEAD_S / self.pace_s)))
        if header.get("output") or "file" in header:
            self._own(self._store_then_commit(held, header, parts))
        else:
            self._commit_result(held, header, parts)

    async def _store_then_commit(self, held: Held, header: dict, parts: list[bytes]) -> None:
        if header.get("output"):
            await self.outputs.complete(held.token)
        value = None
        if "file" in header:
            facts, path = header["file"], Path(header["file"]["path"])
            await (await self.mycelium.blobs()).put(facts["digest"], chunks_of(path))
            self.parcels.cellar.adopt(path, facts["digest"], facts["size"])
            value = ValueRef(digest=facts["digest"], size=facts["size"], preview=header["preview"])
        self._commit_result(held, header, parts, value)

    def _commit_result(self, held: Held, header: dict, parts: list[bytes], value: ValueRef | None = None) -> None:
        elapsed_s = header["elapsed"]
        if header["ok"]:
            rest = list(parts)
            if value is None:
                data = rest.pop(0)
                value = ValueRef(digest=digest_of(data), size=len(data), preview=header["preview"], inline=data)
            event = Succeeded(
                nonce=held.token + os.urandom(4).hex(),
                attempt=held.dispatch.attempt,
                value=value,
                worker=self.name,
                elapsed_s=elapsed_s,
                revision=held.dispatch.elf.revision,
            )
            self._commit(held, event, keep=rest[0] if header.get("keep") else None)
            return
        failure = msgspec.convert(header["failure"], Failure)
        failure = msgspec.structs.replace(failure, last_output=self.outputs.tail(held.token))
        outcome = "refused" if header["refused"] else "crashed"
        if failure.type == "KeyboardInterrupt" and held.stopping == "timed out":
            limit = held.dispatch.timeout_s
            failure = msgspec.structs.replace(
                failure, type="TimedOut", message=f"{held.dispatch.label} ran longer than its limit of {limit:g} s"
            )
            outcome = "timed out"
        elif failure.type == "KeyboardInterrupt" and held.stopping == "leaving":
            self._commit(held, self._lost(held, self._stopped(held)))
            return
        self._commit(held, self._failed(held, failure, elapsed_s, outcome, final=header["refused"]))

    def _failed(self, held: Held, failure: Failure, elapsed_s: float, outcome: str, *, final: bool) -> Failed:
        return Failed(
            nonce=held.token + os.urandom(4).hex(),
            attempt=held.dispatch.attempt,
            failure=failure,
            outcome=outcome,
            worker=self.name,
            elapsed_s=elapsed_s,
            final=final,
        )

    def _lost(self, held: Held, why: str) -> Lost:
        return Lost(
            nonce=held.token + os.urandom(4).hex(),
            attempt=held.dispatch.attempt,
            why=why,
            worker=self.name,
            last_output=self.outputs.tail(held.token),
        )

    def _commit(self, held: Held, event, keep: bytes | None = None) -> asyncio.Future:
        """Store the end of an attempt; when that is done or refused, the offer is dealt with."""
        dispatch = held.dispatch
        if keep is None:
            future = self.mycelium.record(dispatch.run, dispatch.job, event, held.seq)
        else:
            future = self.mycelium.record_with_keep(
                dispatch.run, dispatch.job, event, held.seq, (dispatch.elf.name, keep)
            )
        future.add_done_callback(lambda done: self._committed(held, done))
        return future

    def _committed(self, held: Held, done: asyncio.Future) -> None:
        self.held.pop(held.token, None)
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Conflict) and held.dispatch.elf.name:
            # Someone took the job over, so the elf may have moved too: look again before its next job.
            self.names.discard(held.dispatch.elf.name)
            self.kernel.forget([held.dispatch.elf.name])
        if error is not None and not isinstance(error, Conflict):
            log.error("the end of %s of %s could not be stored: %s", held.dispatch.label, held.dispatch.run, error)
        else:
            self._own(held.taker.accept(held.message))
        self._refill_soon()

    # ------------------------------------------------------------------ looking after

    async def _look_after(self) -> None:
        """Limits, interrupts, and jobs stuck behind a slow one."""
        checked_at = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            if self._failure is not None:
                raise self._failure
            held = self._current()
            if held is None or not held.begun_at:
                continue
            now = time.monotonic()
            ran_s = now - held.begun_at
            limit = held.dispatch.timeout_s
            if limit is not None and ran_s > limit and not held.stopping:
                self._stop_job(held, "timed out")
            if held.stopping:
                self._insist(held, now)
            if ran_s > SLOW_S and len(self.order) > 1:
                self.window, self.pace_s = 1, max(self.pace_s, AHEAD_S)
                self.kernel.drop(list(self.order)[1:])
            if ran_s > BEAT_S and now - checked_at > BEAT_S:
                checked_at = now
                self._own(self._check_still_mine(held))

    async def _check_still_mine(self, held: Held) -> None:
        """The word that a job was cancelled may have been lost; its record was not."""
        with contextlib.suppress(Unanswered):
            found = await self.mycelium.last_event(held.dispatch.run, held.dispatch.job)
            if found is not None and found[1] != held.seq and held.token in self.held:
                self._stop_job(held, "cancelled")

    def _stop_job(self, held: Held, why: str) -> None:
        if held.stopping:
            return
        held.stopping, held.stop_at = why, time.monotonic()
        if held.token in self.order and self.order[0] != held.token:
            self.kernel.drop([held.token])

    def _insist(self, held: Held, now: float) -> None:
        """Interrupt, interrupt again, then replace the kernel."""
        waited_s = now - held.stop_at
        if waited_s > KILL_AFTER_S:
            self.kernel.kill()
        elif held.interrupts <= waited_s / INTERRUPT_AGAIN_S:
            held.interrupts += 1
            self._own(self.kernel.interrupt(held.token))

    def _dropped(self, tokens: list[str]) -> None:
        """Jobs that the kernel gave back unbegun: let others have them."""
        for token in tokens:
            with contextlib.suppress(ValueError):
                self.order.remove(token)
            if (held := self.held.get(token)) is not None:
                self._release(held)

    def _release(self, held: Held) -> asyncio.Future:
        event = Released(nonce=held.token + os.urandom(4).hex(), attempt=held.dispatch.attempt, worker=self.name)
        return self._commit(held, event)

    def _died(self, how: str) -> None:
        self._up.clear()
        self._own(self._kernel_died(how))

    async def _kernel_died(self, how: str) -> None:
        """One attempt is lost; what waited behind it is given back; a new kernel starts."""
        current = self._current()
        ends = []
        for held in list(self.held.values()):
            if held is current:
                ends.append(self._commit(held, self._death_of(held, how)))
            elif held.token in self.order:
                ends.append(self._release(held))
        self.order.clear()
        self.names.clear()
        self.window, self.pace_s = 1, AHEAD_S
        if ends:
            await asyncio.wait(ends)
        old, self.kernel = self.kernel, self._new_kernel()
        await old.stop()
        if not self.leaving:
            await self.kernel.start()
            self._up.set()
            await self._say_alive()

    def _death_of(self, held: Held, how: str):
        label, tail = held.dispatch.label, self.outputs.tail(held.token)
        if held.stopping == "timed out":
            failure = Failure(
                type="TimedOut",
                message=f"{label} ran longer than its limit of {held.dispatch.timeout_s:g} s, "
                "did not stop when interrupted, and its kernel was replaced",
                last_output=tail,
            )
            return self._failed(held, failure, time.monotonic() - held.begun_at, "timed out", final=False)
        why = f"the kernel of {self.name} {how} while doing {label}."
        lines = tail.rstrip().splitlines()
        if lines:
            why += f' Last output: "{lines[-1][:200]}".'
        return self._lost(held, why)

    async def _keep_offers(self) -> None:
        """Tell the queue that long jobs are still being worked on."""
        while True:
            await asyncio.sleep(LEASE_S / 2)
            for held in list(self.held.values()):
                with contextlib.suppress(Unanswered):
                    await held.taker.still_at_it(held.message)

    # ------------------------------------------------------------------ leaving

    def _stopped(self, held: Held) -> str:
        return f"its worker {self.name} was stopped while doing {held.dispatch.label}"

    async def _leave(self) -> None:
        """Give back what has not begun; let the current job end, or count it as lost."""
        self.leaving = True
        waiting = list(self.order)[1:]
        if waiting:
            self.kernel.drop(waiting)
        deadline = time.monotonic() + GRACE_S
        while self.held and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if (current := self._current()) is not None:
            self._stop_job(current, "leaving")
            self._own(self.kernel.interrupt(current.token))
            deadline = time.monotonic() + GRACE_S
            while self.held and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
        ends = [
            self._commit(held, self._lost(held, self._stopped(held)))
            for held in list(self.held.values())
        ]
        if ends:
            await asyncio.wait(ends, timeout=GRACE_S)
        with contextlib.suppress(Unanswered):
            await self._say_alive()
