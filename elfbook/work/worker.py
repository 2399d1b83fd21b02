"""A worker: takes offers, claims them, has its kernel run them, stores what came of it.

For one job the order is: claim (compare-and-set), run, store output and blobs, store the terminal
record (compare-and-set on the claim), and only then take the offer off the queue. Whatever
fails in between, the job's record says who holds it. The kernel is another process: a C
loop in user code cannot keep this one from saying that it is alive.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.model import Beat, Dispatch, Failure, LotOffer
from elfbook.store.beside import Beside, ended
from elfbook.store.follow import Taker
from elfbook.store.link import Message
from elfbook.store.mycelium import Mycelium
from elfbook.work.attempts import Held, HeldLot, failed, lost, of_death, stopped
from elfbook.work.bench import Bench
from elfbook.work.claims import Claims
from elfbook.work.commits import Commits
from elfbook.work.fencing import Fencing
from elfbook.work.kernel import Job, Kernel, own_python
from elfbook.work.outputs import Outputs
from elfbook.work.packages import Packages
from elfbook.work.parcels import Cellar, Parcels, keeping
from elfbook.work.pulse import LEASE_S
from elfbook.work.reports import Reports

LOTS_AHEAD = 2
GRACE_S = 1.0
PATIENCE_S = 24 * 3600.0
"""How long results wait for a store that takes nothing, or is away."""
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
    first_kernel: Kernel | None = None  # one that was begun before the mycelium was there
    names: set[str] = field(default_factory=set)
    """Named elves that it holds."""
    _takers: list[Taker] = field(default_factory=list)
    _lot_takers: list[Taker] = field(default_factory=list)
    """Of offers of many short jobs; none in a worker that serves named elves only."""
    _in_line: dict[str, Held] = field(default_factory=dict)
    """Claimed jobs of named elves that have not had their turn."""
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    _over: dict[str, asyncio.Future] = field(default_factory=dict)
    """Token of a named elf's job to what is done once it is over."""
    _tokens: int = 0
    _refill_due: bool = False
    beside: Beside = field(default_factory=Beside)

    def __post_init__(self) -> None:
        # To wait with a result costs nothing; to do its job again does.
        self.mycelium.pressure.patience_s = PATIENCE_S
        self.parcels = Parcels(self.mycelium, Cellar(self.cellar))
        self.outputs = Outputs(self.mycelium.add_output)
        self.claims = Claims(self.mycelium, self.name, self.names, self.beside.fail)
        kernel = partial(
            Kernel, spec=self.spec, folder=self.folder, key=self.mycelium.key, worker=self.name,
            environment=self.environment, values=self.cellar,
        )  # fmt: skip
        self.commits = Commits(
            self.mycelium, self.name, self.outputs, self.parcels.cellar, self.beside,
            on_end=self._ended, on_taken_over=self._forget,
            certain=lambda: self.fencing.certain(),  # noqa: PLW0108 (there is no fencing yet)
        )  # fmt: skip
        self.bench = Bench(
            make_kernel=kernel,
            first=self.first_kernel,
            own=self.beside.run,
            on_result=self._result,
            on_unbegun=self.commits.release,
            on_death=self._kernel_died,
            on_output=self.outputs.heard,
        )
        self.fencing = Fencing(self.mycelium, self.name, self.bench, self.names, self._forget, self._state)
        self.pulse = self.fencing.pulse
        self.packages = Packages(self.bench, self.pulse.beat)
        self.reports = Reports(self.mycelium, self.bench, self.outputs)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; holds afterwards: nothing is held and the kernel has ended."""
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self.bench.start())
        await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            await ended([starting])
            await self.bench.stop()
            return
        starting.result()
        undo = await self._listen_for_requests()
        self.mycelium.link.on_return.append(self.fencing.doubt)
        await self._start_taking()
        loops = [self._take_offers(taker) for taker in self._takers]
        loops += [self._take_lots(taker) for taker in self._lot_takers]
        loops += [self.pulse.keep(), self.bench.look_after(), self.outputs.keep_storing()]
        loops += [self.fencing.keep_looking(), self.beside.until_failure(), self.reports.keep_telling()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await self._leave()
            for task in done - {stopping}:
                task.result()
        finally:
            await ended([stopping, *tasks])
            await self.beside.close()
            self.mycelium.link.on_return.remove(self.fencing.doubt)
            for call in undo:
                await call()
            for taker in self._takers + self._lot_takers:
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

        def modules(message: Message) -> None:
            self.packages.ask(set(message.data.decode().split()))

        return [
            await link.subscribe(names.modules, modules),
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
            modules=dict(self.packages.known),
        )

    def _forget(self, names: list[str]) -> None:
        if names:
            self.bench.kernel.forget(names)
            self.names.difference_update(names)

    # ------------------------------------------------------------------ offers

    async def _start_taking(self) -> None:
        names = self.mycelium.names
        taker = partial(self.mycelium.taker, hold_s=LEASE_S)
        self._takers.append(taker(f"worker-{self.name}", names.worker_offers(self.name), brief=True))
        if not self.only:
            self._takers.append(taker(f"pool-{self.pool}", names.pool_offers(self.pool), brief=False))
            self._lot_takers.append(taker(f"lot-{self.pool}", names.lot_offers(self.pool), brief=False))
        for each in self._takers + self._lot_takers:
            await each.start()
        self._refill()

    def _refill(self) -> None:
        self._refill_due = False
        if self.bench.leaving:
            return
        held, shared = len(self.bench.held), sum(lot.left for lot in self.commits.lots)
        for taker in self._takers:
            # Lots must not keep jobs that are offered alone from ever having their turn.
            ready = max(self.bench.window - held, 0 if held > shared else 1)
            self._want(taker, ready)
        for taker in self._lot_takers:
            # One that runs and one that is ready, if jobs are short; beside a long job none.
            short = held - shared < self.bench.window
            self._want(taker, LOTS_AHEAD - len(self.commits.lots) if short else 0)

    def _want(self, taker: Taker, count: int) -> None:
        missing = count - taker.asked - taker.taken.qsize()
        if missing > 0:
            self.beside.run(taker.want(missing))

    def _ended(self, held: Held) -> None:
        """An attempt is over, and what came of it is stored as far as that could be done."""
        self.bench.held.pop(held.token, None)
        self.outputs.end(held.token)
        if (over := self._over.pop(held.token, None)) is not None and not over.done():
            over.set_result(None)
        self._refill_soon()

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
            await self.fencing.certain()
            await self._begin(await self._claim(taker, messages))
            self._refill_soon()

    async def _take_lots(self, taker: Taker) -> None:
        while True:
            message = await taker.taken.get()
            await self.bench.up.wait()
            await self.fencing.certain()
            asked = time.monotonic()
            claimed = await self.claims.claim_lot(taker, message, leaving=self.bench.leaving)
            if claimed is not None:
                offer, seq = claimed
                lot = HeldLot(seq, message, taker, len(offer.jobs))
                self.commits.lots.add(lot)
                mine = [
                    self._hold(asked, offer.dispatch(job), message, taker, job.seq, lot) for job in offer.jobs
                ]
                await self._begin_lot(offer, mine, (self.mycelium.epoch, seq))
            self._refill_soon()

    async def _claim(self, taker: Taker, messages: list[Message]) -> list[Held]:
        """The offers that are mine from now on, with their places on the bench."""
        asked = time.monotonic()
        claimed = await self.claims.claim(taker, messages, leaving=self.bench.leaving)
        return [self._hold(asked, dispatch, message, taker, seq, None) for dispatch, message, seq in claimed]

    def _hold(
        self, asked: float, dispatch: Dispatch, message: Message, taker: Taker, seq: int, lot: HeldLot | None
    ) -> Held:
        self._tokens += 1
        held = Held(f"{self.name}-{self._tokens}", dispatch, message, taker, seq, lot, looked_at=asked)
        self.bench.held[held.token] = held
        self.outputs.open(held.token, dispatch.run, dispatch.job, dispatch.attempt)
        return held

    async def _begin(self, mine: list[Held]) -> None:
        """Give claimed jobs to the kernel, those of a named elf when they have their turn."""
        for held in mine:
            if held.dispatch.elf.name:
                self._in_line[held.token] = held
                self.beside.run(self._begin_in_turn(held))
        await self._give([held for held in mine if not held.dispatch.elf.name])

    async def _begin_in_turn(self, held: Held) -> None:
        """Begin a named elf's job once what came of its last one is stored, or refused.

        Jobs of one run come one by one anyway. Of two runs, the second job would build on what the
        first has left in the elf, and it may yet be that the first does not count.
        """
        async with self._turns.setdefault(held.dispatch.elf.name, asyncio.Lock()):
            if self._in_line.pop(held.token, None) is not None:
                self._over[held.token] = over = asyncio.get_running_loop().create_future()
                await self._give([held])
                await over

    async def _give(self, mine: list[Held]) -> None:
        """Give claimed jobs to the kernel, with all they need: one of a named elf, or some of no name."""
        jobs: list[Job] = []
        codes: dict[str, Dispatch] = {}
        for held in mine:
            dispatch, fence = held.dispatch, (self.mycelium.epoch, held.claim)
            try:
                if self.parcels.simple(dispatch):
                    job = self.parcels.job_at_once(held.token, dispatch, fence)
                else:
                    job = await self.parcels.job(held.token, dispatch, fence)
            except ElfbookError as error:
                self._refuse(held, error)
                continue
            jobs.append(job)
            codes[dispatch.elf.revision] = dispatch
        await self._make_ready(mine, codes)
        if jobs and (name := mine[0].dispatch.elf.name) and name not in self.names:
            # Asked only now: another kernel may have come while the job's values were on their way.
            try:
                jobs = [keeping(jobs[0], await self.commits.restored(name))]
            except ElfbookError as error:
                self._refuse(mine[0], error)
                return
            await self._make_ready(mine, codes)
        self.bench.run([job for job in jobs if job.token in self.bench.held])

    def _refuse(self, held: Held, error: ElfbookError) -> None:
        """What the job needs cannot be had."""
        failure = Failure(type=type(error).__name__, message=str(error))
        self.commits.commit(held, failed(held, failure, "refused", self.name))

    async def _begin_lot(self, offer: LotOffer, mine: list[Held], fence: tuple[int, int]) -> None:
        """The same for a lot: one frame tells the kernel of all its jobs."""
        try:
            jobs = await self.parcels.lot(offer, [held.token for held in mine], fence)
        except ElfbookError as error:
            for held in mine:
                self._refuse(held, error)
            return
        await self._make_ready(mine, {offer.elf.revision: mine[0].dispatch})
        self.bench.run([job for job in jobs if job.token in self.bench.held])

    async def _make_ready(self, mine: list[Held], codes: dict[str, Dispatch]) -> None:
        """Holds afterwards: the kernel of this moment knows the code, and the jobs were just mine."""
        await self._teach(codes)
        while await self.fencing.look_again(mine):
            await self._teach(codes)

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

    def _result(self, held: Held, header: dict, parts: list[bytes]) -> None:
        if held.dispatch.elf.name:
            self.names.add(held.dispatch.elf.name)  # now, and not earlier, the kernel surely has it
        self.commits.result(held, header, parts)

    # ------------------------------------------------------------------ the kernel's death, and long jobs

    def _kernel_died(self, current: Held | None, how: str) -> list[asyncio.Future]:
        self.names.clear()
        if current is None:
            return []
        ran_s = time.monotonic() - current.begun_at
        kernel = self.bench.kernel
        # What was printed last may never have left the kernel.
        tail = kernel.last_words() or self.outputs.tail(current.token)
        return [self.commits.commit(current, of_death(current, how, self.name, tail, ran_s, kernel.used_up))]

    # ------------------------------------------------------------------ leaving

    async def _leave(self) -> None:
        """Give back what has not begun; let the current job end, or count it as lost."""
        self.bench.leaving = True
        self.bench.drop_waiting()
        while self._in_line:
            self.commits.release(self._in_line.popitem()[1])
        await self._until_empty()
        if (current := self.bench.current) is not None:
            self.bench.stop_job(current, "leaving")
            self.beside.run(self.bench.kernel.interrupt(current.token))
            await self._until_empty()
        ends = [
            self.commits.commit(
                held, lost(held, stopped(self.name, held), self.name, self.outputs.tail(held.token))
            )
            for held in list(self.bench.held.values())
        ]
        if ends:
            await asyncio.wait(ends, timeout=GRACE_S)
        await self.pulse.beat()

    async def _until_empty(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while self.bench.held and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
