"""A whole mycelium for each module: server, scheduler and two workers as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from elfbook.client.client import Client, Watched
from elfbook.code.source import SourceText, read_elf
from elfbook.facts import Cancelled, Claimed, Failed, Lost, Released, State, Stored, Succeeded
from elfbook.host import hostfile
from elfbook.log.fold import fold, start
from elfbook.model import Origin, Policy, Revision, ValueRef
from elfbook.store.place import Place, read_json
from elfbook.tracing import values
from elfbook.tracing.elves import adopt, is_elf
from elfbook.tracing.trace import Recorder
from elfbook.work.worker import Worker

WORKERS = 2
WITHOUT_EFFECT = (Succeeded, Failed, Lost, Released, Claimed, Cancelled)
"""Of jobs claimed together: what no longer holds, and what came a moment after the end of such a job."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)


@dataclass
class Tree:
    """The processes of a place, and how to end them."""

    place: Place
    folder: Path

    def facts(self) -> hostfile.HostFacts | None:
        return hostfile.find(self.place)

    async def whole(self, workers: int = WORKERS) -> hostfile.HostReport:
        """Holds afterwards: everything runs that should, started again if it has ended."""
        return await asyncio.to_thread(hostfile.ensure, self.place, workers=workers)

    async def kill(self, role: str, client: Client, worker: str = "") -> bool:
        """kill -9 of all processes of a kind, or of those of one worker; False if there was none."""
        numbers = await self.numbers(role, client, "" if role == "everything" else worker)
        for number in numbers:
            self.send(number, signal.SIGKILL)
        return bool(numbers)

    @staticmethod
    def send(number: int, what: int) -> None:
        """A signal to a process that may have ended; never to number 0, which would be ourselves."""
        assert number > 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, what)

    def live_workers(self) -> tuple[str, ...]:
        """The workers that are ready; none while the host is away."""
        facts = self.facts()
        return facts.ready if facts and facts.scheduler_pid else ()

    async def numbers(self, role: str, client: Client, worker: str = "") -> list[int]:
        """The processes that are meant, as far as they run at this moment."""
        facts = await asyncio.to_thread(self.facts)
        server = read_json(self.place.server_file)["pid"]
        if facts is None:
            return [server] if role in ("server", "everything") else []
        beats = await client.workers() if role in ("kernel", "everything") else []
        workers = [each["pid"] for each in facts.workers if worker in ("", each["name"])]
        kernels = [beat.kernel_pid for beat in beats if worker in ("", beat.worker)]
        found = {
            "server": [server],
            "host": [facts.pid],
            "scheduler": [facts.scheduler_pid],
            "worker": workers,
            "kernel": kernels,
            "everything": [facts.pid, facts.scheduler_pid, *workers, *kernels, server],
        }[role]
        return [number for number in found if number]  # 0: has ended, not started again yet

    def log(self, name: str) -> str:
        path = self.place.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def tree(folder: Path) -> Iterator[Tree]:
    """A place with two workers, for all tests of the module."""
    made = Tree(Place(folder / "state"), folder)
    hostfile.ensure(made.place, workers=WORKERS)
    yield made


@pytest_asyncio.fixture
async def client(tree: Tree) -> AsyncIterator[Client]:
    await tree.whole()
    opened = await Client.open(tree.place)
    yield opened
    await opened.close()


@dataclass
class Book:
    """A notebook without Jupyter: cells with elves, and flows that call them."""

    client: Client
    names: dict = field(default_factory=lambda: {"__name__": "__main__"})
    texts: dict[str, SourceText] = field(default_factory=dict)
    revisions: dict[type, Revision] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)

    def cell(self, text: str) -> dict:
        """Run a cell; what it defines is in the result."""
        number = len(self.texts) + 1
        filename = f"<cell {number}>"
        self.texts[filename] = SourceText(filename, f"Cell In[{number}]", text)
        exec(compile(text, filename, "exec"), self.names)
        for value in list(self.names.values()):
            if is_elf(value):
                adopt(value)
        return self.names

    def revision(self, cls: type) -> Revision:
        if cls not in self.revisions:
            self.revisions[cls] = read_elf(
                cls,
                text_of=self.texts.get,
                namespace_of=lambda module: self.names if module == "__main__" else vars(sys.modules[module]),
                encode=self.encoded,
                is_library=lambda module: True,
            )
        return self.revisions[cls]

    def encoded(self, value: object) -> ValueRef:
        data = b"".join(bytes(part) for part in values.encode(value, self.client.key))
        return ValueRef(digest=hashlib.sha256(data).hexdigest(), size=len(data), inline=data)

    def draw(self, calls: Callable[[], object], flow: str = "flow", **policy):
        """The graph of a flow that makes these calls."""
        with Recorder(flow) as recorder:
            result = calls()
        return recorder.graph(result, Policy(**policy), revision_of=self.revision, key=self.client.key)

    async def submit(self, flow: str, calls: Callable[[], object], **policy) -> Watched:
        watched, _ = await self.client.submit(flow, self.draw(calls, flow, **policy), self.origin)
        return watched

    async def running(self, watched: Watched, job: int, timeout_s: float = 20.0) -> str:
        """The worker that has claimed the job, once one has."""
        async with asyncio.timeout(timeout_s):
            while watched.state.jobs[job].state is not State.RUNNING:
                await watched.changed(watched.version)
        return watched.state.jobs[job].worker

    async def settled(self, watched: Watched, timeout_s: float = 40.0) -> Watched:
        """The run once it has ended; fails, and says how far it came, after the limit."""
        try:
            await asyncio.wait_for(watched.settled(), timeout_s)
        except TimeoutError:
            stuck = [f"{n}: {job}" for n, job in enumerate(watched.state.jobs) if job.ended_at is None]
            pytest.fail(f"{watched.run} has not ended after {timeout_s:g} s:\n" + "\n".join(stuck[:10]))
        return watched

    async def value(self, watched: Watched, job: int) -> object:
        event = watched.state.jobs[job].event
        assert isinstance(event, Succeeded), event
        return values.decode(await self.client.fetch(event.value), self.client.key)

    async def values(self, watched: Watched) -> list[object]:
        return [await self.value(watched, job) for job in range(len(watched.graph.jobs))]

    async def facts(self, watched: Watched) -> list[Stored]:
        """Every stored fact of the run, in order."""
        mycelium, names = self.client.mycelium, self.client.mycelium.names
        return [
            fact
            async for entry in mycelium.read(names.jobs, names.jobs_of(watched.run))
            for fact in mycelium.facts(entry)[1]
        ]

    async def check(self, watched: Watched, *, attempts: int | None = None) -> None:
        """What must be true of every run that ended: the guarantees, read from its log."""
        state = start(watched.graph, watched.run)
        ends = {}
        for fact in await self.facts(watched):
            fold(state, fact)
            if state.jobs[fact.job].event is not fact.event and isinstance(fact.event, WITHOUT_EFFECT):
                continue
            assert fact.job not in ends, f"a fact about job {fact.job} after its end: {fact}"
            if isinstance(fact.event, Succeeded):
                ends[fact.job] = fact.seq
            if isinstance(fact.event, Claimed):
                spec = watched.graph.jobs[fact.job]
                early = [each for each in spec.parents + spec.after if each not in ends]
                assert not early, f"job {fact.job} began before {early} had succeeded"
        for number, job in enumerate(watched.state.jobs):
            assert job.state is not State.DONE or number in ends
            assert attempts is None or job.attempt <= attempts


@contextlib.asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    """The worker serves in this process; afterwards it has ended, and its connection too."""
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    try:
        yield
    finally:
        stop.set()
        try:
            await running
        finally:
            await worker.mycelium.close()


@pytest.fixture
def book(client: Client) -> Book:
    made = Book(client)
    made.cell(ELVES)
    return made


ELVES = '''\
import os
import time


class Gate:
    """Jobs that begin and end when a test wants; each beginning is a line in a file."""

    def task_pass(self, folder, word, *earlier):
        with open(os.path.join(folder, "begun"), "a") as file:
            file.write(f"{word} {os.getpid()}\\\\n")
        gates = [os.path.join(folder, name) for name in ("open", f"open-{os.getpid()}")]
        while not any(map(os.path.exists, gates)):
            time.sleep(0.005)
        return word


class Sums:
    def task_same(self, x):
        return x

    def task_add(self, *numbers):
        return sum(numbers)

    def task_note(self, path, number, *earlier):
        with open(path, "a") as file:
            file.write(f"{number}\\\\n")
        return number
'''.replace("\\\\", "\\")


@dataclass
class Gates:
    """The folder through which a test and its jobs meet."""

    folder: Path

    def begun(self, word: str = "") -> list[int]:
        """The kernels in which a job began, one entry for each attempt."""
        path = self.folder / "begun"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [int(number) for each, number in lines if each == word or not word]

    def open(self, kernel: int | None = None) -> None:
        """Let all jobs end, or those in one kernel."""
        (self.folder / ("open" if kernel is None else f"open-{kernel}")).touch()


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    made = Gates(tmp_path)
    yield made
    made.open()  # whatever still waits there ends
