"""A run as one process sees it: its log folded and its output gathered while both grow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from elfbook.client.ear import Ear
from elfbook.client.outward import named, outward
from elfbook.errors import ElfbookError
from elfbook.facts import ENDED, Paused, State
from elfbook.log.fold import RunState, fold
from elfbook.model import Graph, Manifest, Output, Revision, ValueRef
from elfbook.progress import Progress, Report
from elfbook.store.beside import ended
from elfbook.store.link import Entry, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode, unseal
from elfbook.work.reports import FORGOTTEN_S

HEAR_S = 15.0


@outward
@dataclass(eq=False)
class Watched:
    """A run as this process sees it, kept current by tasks of the client's loop."""

    mycelium: Mycelium
    manifest: Manifest
    graph: Graph
    revisions: dict[str, Revision]
    state: RunState
    ear_of: Callable[[str], Ear]
    """What hears of a flow."""
    outputs: dict[int, list[Output]] = field(default_factory=dict)
    ended: array = field(default_factory=lambda: array("I"))
    """The jobs in the order in which they ended; one that ran again is there again."""
    version: int = 0
    """Grows with every change of `state` or `outputs`, and when a job says how far it is."""
    error: Exception | None = None
    """Why watching ended early; None while all is well."""
    _touched: list[set[int]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ear: Ear | None = None
    """Where this run is heard of; None while nobody listens for it."""
    _early: list[tuple[Callable[[Entry], None], list[Entry]]] | None = None
    """What was heard before all that was stored earlier has been read."""
    _facts_to: int = 0
    """Sequence in JOBS up to which everything about this run has been taken."""
    _outputs_to: int = 0
    """The same in OUTPUT."""
    _reports: dict[int, tuple[Report, float]] = field(default_factory=dict)
    """By job what its worker said last, and when by the monotonic clock."""
    _forgetting: asyncio.TimerHandle | None = None
    _stored: int = 0
    """Grows with what is heard of the store, or when nothing more can be."""
    _over: asyncio.Task | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def run(self) -> str:
        return self.manifest.run

    @property
    def listens(self) -> bool:
        """True while what is stored about the run is heard."""
        return self._ear is not None

    @property
    def upto(self) -> int:
        """The sequence in JOBS of the last message about the run that is in `state`."""
        return self._facts_to

    # ------------------------------------------------------------------ listening

    def listen(self, ear: Ear) -> None:
        """Hear from now on what is stored, until the run has settled.

        Of a run that exists already, what was stored before has to be read: `begin`.
        """
        self._ear, self.error = ear, None
        ear.add(self)
        if self._over is not None and self._over is not asyncio.current_task():
            self._over.cancel()
        self._over = asyncio.create_task(self._until_over())

    async def begin(self) -> None:
        """Holds afterwards: everything stored up to now has been taken, and what is stored later will be."""
        async with self._turn:
            if self._ear is not None:
                return
            ear = self.ear_of(self.manifest.flow)
            with ear.wanted():
                await ear.ready()
                self._early = []
                self.listen(ear)
            try:
                await self._read_facts()
                await self._read_outputs()
            except BaseException:
                # What was heard comes after what could not be read: whoever begins again reads both.
                self._early = None
                self._leave()
                raise
            early, self._early = self._early, None
            for take, entries in early:
                self._take_all(take, entries)

    def hear_facts(self, entries: list[Entry]) -> None:
        self._hear(self._take_facts, entries)

    def hear_outputs(self, entries: list[Entry]) -> None:
        self._hear(self._take_outputs, entries)

    def hear_report(self, report: Report) -> None:
        if 0 <= report.job < len(self.state.jobs):
            self._reports[report.job] = (report, time.monotonic())
            if self._forgetting is None:
                self._forgetting = asyncio.get_running_loop().call_later(FORGOTTEN_S, self._forget)
            self._note_change(stored=False)

    def hear_nothing_more(self, error: Exception) -> None:
        self.error = named(error)
        self._leave()
        self._note_change()

    def _hear(self, take: Callable[[Entry], None], entries: list[Entry]) -> None:
        if self._early is not None:
            self._early.append((take, entries))
        else:
            self._take_all(take, entries)

    def _take_all(self, take: Callable[[Entry], None], entries: list[Entry]) -> None:
        for entry in entries:
            take(entry)
        self._note_change()

    async def _until_over(self) -> None:
        """Of a settled run nothing more is to be heard, unless it is opened again."""
        while not self.state.settled:
            await self._changed.wait()
        with contextlib.suppress(ElfbookError, Unanswered):
            await self.complete_outputs()
        self._leave()
        if not self.state.settled:
            try:
                await self.begin()  # it was opened again meanwhile
            except (ElfbookError, Unanswered) as error:
                self.hear_nothing_more(error)

    def _leave(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.remove(self)
            self._note_change()  # who waits to hear something has to read it

    # ------------------------------------------------------------------ taking

    def _take_facts(self, entry: Entry) -> None:
        if entry.seq <= self._facts_to:
            return
        self._facts_to = entry.seq
        facts = self.mycelium.facts(entry)[1]
        for stored in self.mycelium.within(facts, self.run, self.state):
            if isinstance(stored.event, Paused):
                fold(self.state, stored)
                continue
            now = self.state.jobs[stored.job]
            before = now.state
            fold(self.state, stored)
            for touched in self._touched:
                touched.add(stored.job)
            if now.state is not before and now.state in ENDED:
                self.ended.append(stored.job)

    def _take_outputs(self, entry: Entry) -> None:
        if entry.seq <= self._outputs_to:
            return
        self._outputs_to = entry.seq
        with self.mycelium.setting_aside(entry):
            for output in decode(entry.data, tuple[Output, ...]):
                self.outputs.setdefault(output.job, []).append(output)

    def _note_change(self, *, stored: bool = True) -> None:
        self.version += 1
        self._stored += stored
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ------------------------------------------------------------------ progress

    def progress(self) -> dict[int, Progress]:
        """How far the jobs are that say so, in their order.

        Only what a worker says again and again is known, and only of the attempt that the log says is under
        way: nothing of one that has ended, and nothing any more when the worker is not heard for a while.
        """
        jobs = self.state.jobs
        return {
            job: report.progress
            for job, (report, _) in sorted(self._reports.items())
            if report.progress is not None
            and jobs[job].state is State.RUNNING
            and jobs[job].held == report.claim
        }

    def _forget(self) -> None:
        """What was not said again for long is not known any more, and whoever follows is to see that."""
        self._forgetting, old = None, time.monotonic() - FORGOTTEN_S
        kept = {job: said for job, said in self._reports.items() if said[1] > old}
        if len(kept) < len(self._reports):
            self._reports = kept
            self._note_change(stored=False)
        if kept:
            wait_s = min(heard_at for _, heard_at in kept.values()) - old
            self._forgetting = asyncio.get_running_loop().call_later(wait_s, self._forget)

    # ------------------------------------------------------------------ followers

    def touched(self) -> set[int]:
        """A set to which every job is added of which something is stored from now on.

        Whoever has it empties it, between two steps of the loop; `untouched` ends it.
        """
        jobs: set[int] = set()
        self._touched.append(jobs)
        return jobs

    def untouched(self, jobs: set[int]) -> None:
        """Nothing more is added to the set that `touched` gave."""
        self._touched = [each for each in self._touched if each is not jobs]

    # ------------------------------------------------------------------ waiting

    async def changed(self, version: int) -> int:
        """The version once it is another than `version`."""
        while self.version == version:
            await self._changed.wait()
        return self.version

    async def settled(self) -> None:
        """Returns once every job has ended; raises what keeps this process from knowing."""
        while not self.state.settled:
            if self.error is not None:
                raise self.error
            if self._ear is None:  # what should have listened could not reach the server
                await self.begin()
            else:
                await self._changed.wait()

    async def catch_up(self) -> None:
        """Holds afterwards: everything stored up to now is in `state` and `outputs`."""
        async with self._turn:  # whoever begins to listen reads on first
            await self._reach_facts()
        if not self.state.settled:
            await self.begin()
        await self.complete_outputs()

    async def complete_outputs(self) -> None:
        """Holds afterwards: `outputs` has everything stored up to now."""
        names = self.mycelium.names
        last = await self.mycelium.link.last(names.output, names.outputs_of(self.run))
        while last is not None and self._outputs_to < last.seq:
            await (self._read_outputs() if self._ear is None else self._hear_on())

    async def _reach_facts(self) -> None:
        names = self.mycelium.names
        last = await self.mycelium.link.last(names.jobs, names.jobs_of(self.run))
        while last is not None and self._facts_to < last.seq:
            await (self._read_facts() if self._ear is None else self._hear_on())

    async def _hear_on(self) -> None:
        """Return when something was heard of what is stored already: it is on its way."""
        if self.error is not None:
            raise self.error
        try:
            async with asyncio.timeout(HEAR_S):
                stored = self._stored
                while stored == self._stored:
                    await self._changed.wait()
        except TimeoutError as error:
            raise Unanswered(f"nothing heard within {HEAR_S:g} s") from error

    async def _read_facts(self) -> None:
        names = self.mycelium.names
        start = self._facts_to + 1
        async for entry in self.mycelium.read(names.jobs, names.jobs_of(self.run), start=start):
            self._take_facts(entry)
        self._note_change()

    async def _read_outputs(self) -> None:
        names = self.mycelium.names
        start = self._outputs_to + 1
        async for entry in self.mycelium.read(names.output, names.outputs_of(self.run), start=start):
            self._take_outputs(entry)
        self._note_change()

    async def learn(self, digest: str, ref: ValueRef) -> None:
        """Have the revision of that digest among `revisions`."""
        if digest not in self.revisions:
            self.revisions[digest] = await read_revision(self.mycelium, digest, ref)

    async def close(self) -> None:
        """Stop watching; the run goes on."""
        self._leave()
        if self._over is not None:
            await ended([self._over])


async def read_revision(mycelium: Mycelium, digest: str, ref: ValueRef) -> Revision:
    """A stored revision; Untrusted unless it is signed with this mycelium's key."""
    return decode(unseal(await mycelium.fetch(ref), mycelium.key, f"code {digest[:12]}"), Revision)
