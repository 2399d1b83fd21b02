"""One history: the real processes of a mycelium on a simulated network, with faults, to its end.

`tell(seed)` gives what came of it. The same seed is the same history, step for step.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from elfbook.client.client import Client
from elfbook.client.watched import Watched
from elfbook.errors import ElfbookError
from elfbook.host import leftovers
from elfbook.host.scheduler import Scheduler
from elfbook.log.fold import to_reopen
from elfbook.model import Origin
from elfbook.store import greeting, link
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.mycelium import Address, Mycelium
from elfbook.wire import Names
from elfbook.work import attempts, worker
from elfbook.work.worker import Worker
from tests.simulation.evidence import Evidence, gather, kinds, wrongs
from tests.simulation.kernel import Ledger, SimulatedKernel
from tests.simulation.loop import Loop, Process, Stuck, end_all, simulated
from tests.simulation.network import CALM, Network, Trace, Wire
from tests.simulation.plan import MENDED, Plan, Promise, Story, draw_plan, revision

ADDRESS = Address("nats://model")
KEY = b"k" * 32
EXPECTED = (ElfbookError, Unanswered, Refused)
"""What a process may end with, or a call of a client raise, while its surroundings fail."""
LOOK_S = 0.25
SETTLE_S = 400.0
"""So long after the last fault everything must have ended."""
CLEAR_S = 10.0
"""Instead of a minute, which would only make histories longer."""
QUIET_S = 35.0
"""Longer than an offer is held for a worker, than a lease with CLEAR_S, and than offers wait to be repeated."""


@dataclass(eq=False)
class Slot:
    """A place in the process tree: whoever is there is started again when it has ended."""

    role: str
    number: int
    main: Callable[[str], Coroutine]
    lives: int = 0
    process: Process | None = None
    task: asyncio.Task | None = None
    again_at: float = 0.0

    @property
    def over(self) -> bool:
        return self.process is None or not self.process.alive or self.task.done()


@dataclass(eq=False)
class World:
    """Everything that takes part in a history."""

    loop: Loop
    chance: random.Random
    folder: Path
    trace: Trace = field(default_factory=Trace)
    slots: list[Slot] = field(default_factory=list)
    kernels: list[SimulatedKernel] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    """As the clients saw their runs at last."""
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = Network(self.loop, self.chance, self.trace)
        self.ledger = Ledger(self.chance)
        self.plan: Plan = draw_plan(self.chance)

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """elfbook's outside systems are simulated ones."""

        def kernel(**given) -> SimulatedKernel:
            self.kernels.append(SimulatedKernel(self.ledger, self.processes, **given))
            return self.kernels[-1]

        async def nobody(_: str) -> None:
            """What listens at an address where no connection could be made."""

        with (
            patch.object(greeting, "first_words", nobody),
            patch.object(leftovers, "LOOK_S", CLEAR_S),
            patch.object(attempts, "LIFE", "life"),  # drawn when the module was imported
            patch.object(attempts, "WRITES", count()),
            patch.object(link, "NatsClient", lambda: Wire(self.network)),
            patch.object(worker, "Kernel", kernel),
        ):
            yield

    async def mycelium(self) -> Mycelium:
        return await Mycelium.open(ADDRESS, key=KEY, timeout_s=5)

    # ------------------------------------------------------------------ processes

    async def work(self, name: str) -> None:
        mycelium = await self.mycelium()
        folder = self.folder / name
        made = Worker(mycelium, name, host="host", folder=folder, cellar=folder / "values")
        await made.run(asyncio.Event())

    async def schedule(self, name: str) -> None:
        await Scheduler(await self.mycelium()).run(asyncio.Event())

    async def attend(self, number: int, name: str) -> None:
        """A client's process: its stories, side by side."""
        client = Client(None, await self.mycelium())
        mine = self.plan.stories[number :: self.plan.clients]
        lives = [self.live(client, story) for story in mine]
        await asyncio.gather(*lives, *(self.let_rest(client, story) for story in mine))
        await asyncio.Event().wait()

    async def live(self, client: Client, story: Story) -> None:
        await asyncio.sleep(max(0.0, story.begins_s - self.loop.now))
        while story.stage != "over":
            await self.tried(self.one_stage(client, story), lambda: f"{story.flow} {story.stage}")

    async def one_stage(self, client: Client, story: Story) -> None:
        if story.stage == "submit":
            watched, _ = await client.submit(story.flow, story.drawn, Origin())
            story.run, story.stage = watched.run, "cancel"
            return
        watched = await client.watch(story.flow, int(story.run.rpartition(".")[2]))
        if story.stage == "cancel" and story.cancel_after_s is not None:
            await asyncio.sleep(story.cancel_after_s)
            await client.cancel(watched, "by chance", story.cancel)
            jobs = frozenset(range(len(watched.graph.jobs))) if story.cancel is None else story.cancel
            end = self.network.server.streams[client.mycelium.names.jobs].last
            self.plan.promises.append(Promise(story.run, jobs, end, self.loop.now))
            story.stage = "reopen"
        await watched.settled()
        if story.stage in ("cancel", "reopen") and story.reopen and (jobs := to_reopen(watched.state)):
            mended = {"Elf": revision(MENDED)} if story.mend else None
            await client.reopen(watched, jobs, mended)
            story.stage = "watch"
            await watched.settled()
        story.stage = "over"
        self.watched.append(watched)

    async def let_rest(self, client: Client, story: Story) -> None:
        """Pause the run for a while, whatever else happens to it."""
        while story.resting != "over":
            if not story.run:
                await asyncio.sleep(LOOK_S)
                continue
            await self.tried(self.one_rest(client, story), lambda: f"{story.flow} {story.resting}")

    async def tried(self, step: Coroutine, what: Callable[[], str]) -> None:
        """A step of a client's; if its surroundings fail, that is noted, and a moment passes."""
        try:
            await step
        except EXPECTED as error:
            self.network.note(f"{what()}: {error}")
            await asyncio.sleep(1.0)

    async def one_rest(self, client: Client, story: Story) -> None:
        watched = await client.watch(story.flow, int(story.run.rpartition(".")[2]))
        if story.resting == "pause":
            await asyncio.sleep(story.pause_after_s)
            await client.pause(watched, "by chance")
            story.resting = "resume"
        await asyncio.sleep(story.rest_s)
        await client.resume(watched)
        story.resting = "over"

    # ------------------------------------------------------------------ who starts them

    def populate(self) -> None:
        plan = self.plan
        self.slots += [Slot("worker", number, self.work) for number in range(plan.workers)]
        self.slots += [Slot("scheduler", number, self.schedule) for number in range(plan.schedulers)]
        self.slots += [Slot("client", number, partial(self.attend, number)) for number in range(plan.clients)]

    async def keep(self, slot: Slot, host: Link) -> None:
        """Start whoever belongs there, again and again; mostly say when a worker has ended, as the host does."""
        names = Names()
        while True:
            slot.lives += 1
            name = f"{slot.role}{slot.number}-{slot.lives}"
            self.network.note(f"{name} starts")
            slot.process = Process(name, skew_s=self.chance.uniform(-1, 1))
            self.processes.append(slot.process)
            slot.task = slot.process.start(self.guarded(name, slot.main))
            while not slot.over:
                await asyncio.sleep(LOOK_S)
            slot.process.kill()  # also when it ended by itself: nothing of it goes on
            self.network.note(f"{name} is gone")
            if slot.role == "worker" and self.chance.random() < 0.7:
                await host.publish(names.gone(name), b"was killed")
            await asyncio.sleep(3 * self.chance.random())

    async def guarded(self, name: str, main: Callable[[str], Coroutine]) -> None:
        try:
            await main(name)
        except EXPECTED as error:
            self.network.note(f"{name} ends: {error}")
        except Exception as error:
            where = "".join(traceback.format_exception(error)[-3:])
            self.trouble.append(f"{name} ended with {error!r}\n{where}")

    # ------------------------------------------------------------------ what happens to them

    async def suffer(self) -> None:
        """Faults, one after the other, until the plan says that it is enough."""
        plan = self.plan
        self.network.weather = plan.weather
        while plan.faults and self.loop.now < plan.trouble_s:
            await asyncio.sleep(self.chance.expovariate(1 / plan.pause_s))
            kind = self.chance.choice(plan.faults)
            self.network.note(f"fault: {kind}")
            self.cause(kind)
        await asyncio.sleep(max(0.0, plan.trouble_s - self.loop.now))
        self.make_peace()

    def cause(self, kind: str) -> None:
        """One fault, to someone whom chance picks."""
        verb, _, role = kind.partition(" ")
        victims = [slot.process for slot in self.slots if not slot.over and role in ("", slot.role)]
        if kind == "restart":
            if self.network.up:
                self.network.restart_server(self.chance.choice([0.1, 1.0, 6.0]))
        elif kind == "kill kernel":
            kernels = [each for each in self.kernels if each.process and each.process.alive]
            if kernels:
                self.chance.choice(kernels).kill()
        elif victims:
            victim = self.chance.choice(victims)
            if verb == "kill":
                victim.fuse = self.chance.randrange(80)
            elif verb == "freeze" and not victim.frozen:
                victim.freeze()
                self.loop.call_later(self.chance.choice([0.5, 5.0, 20.0, 40.0]), victim.thaw)
            elif wires := self.network.connections(victim):
                wire = self.chance.choice(wires)
                wire.drop() if verb == "drop" else wire.cut(self.chance.choice([13.0, 20.0, 40.0]))

    def make_peace(self) -> None:
        """From now on nothing bad happens; what is frozen or cut off comes back in its time."""
        self.network.note("peace")
        self.plan.peace_at = self.loop.now
        if not self.plan.lasting:
            self.network.weather = CALM
        self.ledger.peaceful = True
        for slot in self.slots:
            if slot.process is not None:
                slot.process.fuse = None

    # ------------------------------------------------------------------ from beginning to end

    def over(self) -> bool:
        """Everybody has what they wanted, and nobody is still frozen or cut off."""
        stopped = any(slot.process is not None and slot.process.frozen for slot in self.slots)
        away = any(not wire.reachable or wire.deaf for wire in self.network.wires)
        return not stopped and not away and all(story.over for story in self.plan.stories)

    async def happen(self) -> Evidence:
        """Everything, until it is quiet; gives what can be known of it."""
        host = await Link.open(ADDRESS.url)
        self.populate()
        tasks = [asyncio.create_task(self.keep(slot, host)) for slot in self.slots]
        await self.suffer()
        deadline = self.loop.now + SETTLE_S
        while not self.over() and self.loop.now < deadline:
            await asyncio.sleep(LOOK_S)
        self.network.weather = CALM
        await asyncio.sleep(QUIET_S)
        evidence = await gather(await self.mycelium(), self.plan, self.ledger.executions)
        names, server = Names(), self.network.server
        evidence.offers = [kept.subject for kept in server.streams[names.work].messages.values()]
        evidence.views = [(watched.run, watched.state) for watched in self.watched]
        evidence.trouble += [*self.trouble, *self.loop.trouble]
        for task in tasks:
            task.cancel()
        return evidence


@dataclass(frozen=True)
class Told:
    """What came of one history."""

    seed: int
    wrongs: list[str]
    digest: str
    """Of everything that happened, in order."""
    steps: int
    facts: Counter[str]
    """How many of each kind the log has; those told together with others by names of their own."""
    lines: list[str]
    """The last things that happened."""


def tell(seed: int, keep: int = 0) -> Told:
    """One history from its beginning to its end; `keep` of its last lines are in the answer."""
    folder = Path(tempfile.mkdtemp(prefix="elf-sim-"))
    try:
        with simulated(seed) as (loop, chance):
            world = World(loop, chance, folder, Trace(keep))
            with world.around():
                try:
                    evidence = loop.run_until_complete(world.happen())
                    found, facts = wrongs(evidence), kinds(evidence)
                except Stuck as error:
                    found, facts = [f"it came to a standstill: {error}"], Counter()
                finally:
                    steps, digest = loop.steps, world.trace.digest
                    end_all(loop, world.processes)
                return Told(seed, found, digest, steps, facts, world.trace.lines)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
