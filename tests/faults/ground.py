"""The ground that faults are let loose on: a mycelium of its own, a notebook's client, what was submitted."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LEASE_S = 6.0
"""Shorter than the usual 15 s, so that what takes a lease takes less of an hour."""


def load(path: Path, name: str) -> ModuleType:
    """A test file as a module; pytest's conftests are not importable by name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path[:0] = [str(HERE), str(ROOT)]
tests = load(HERE.parent / "conftest.py", "tests_conftest")
system = load(HERE.parent / "system" / "conftest.py", "system_conftest")

import trails  # noqa: E402  (the path above comes first)
from checker import Submitted, check_chain, check_quiet, check_run, told  # noqa: E402

from elfbook.client.client import Client  # noqa: E402
from elfbook.client.watched import Watched  # noqa: E402
from elfbook.host import hostfile  # noqa: E402
from elfbook.store import server  # noqa: E402
from elfbook.store.place import Place  # noqa: E402

Book, Tree, processes_of = system.Book, system.Tree, tests.processes_of


class NotHere(Exception):
    """This machine cannot produce the fault; the text says why."""


class Broken(Exception):
    """What must hold after a fault does not; the text says what."""


def need(condition: object, words: str) -> None:
    """Broken with these words unless the condition holds."""
    if not condition:
        raise Broken(words)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> object:
    """The first true value of `condition`, plain or async; Broken after the limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        need(time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.01)


@dataclass
class Ground:
    """A place with its processes, one notebook, and every run that was submitted there."""

    folder: Path
    place: Place
    workers: int = 2
    tree: Tree = None
    client: Client = None
    book: Book = None
    submitted: dict[str, Submitted] = field(default_factory=dict)
    watched: dict[str, Watched] = field(default_factory=dict)
    ruined: bool = False
    """True when the fault leaves a store that nobody should use any more."""

    async def open(self) -> None:
        self.tree = Tree(self.place, self.folder)
        if not self.place.url:
            await asyncio.to_thread(server.ensure_server, self.place)
        if self.workers:
            await self.tree.whole(self.workers)
        await self.connect()

    async def connect(self) -> None:
        """A notebook opens; a notebook that was open before keeps nothing."""
        if self.client is not None:
            await self.client.close()
        self.client = await Client.open(self.place)
        self.book = Book(self.client)
        self.book.cell(trails.ELVES)

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()
        await asyncio.to_thread(tests.clear, self.folder)

    @property
    def trail(self) -> object:
        """An elf whose jobs leave a trail."""
        return self.book.names["Trail"]()

    def ledger(self, name: str) -> object:
        return self.book.names["Ledger"](name)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    # ------------------------------------------------------------------ runs

    async def submit(self, flow: str, calls: Callable[[str], object], **policy) -> Watched:
        """A run of the flow; `calls` is given the path of its trail."""
        path = self.folder / f"{flow}-{len(self.submitted)}.trail"
        policy = {"lost_retries": 50, "backoff_s": 0.05, **policy}
        watched = await self.book.submit(flow, lambda: calls(str(path)), **policy)
        return self.note(watched, path)

    def note(self, watched: Watched, trail: Path | None, *, whole: bool = True) -> Watched:
        """From now on the run is among those that are checked."""
        manifest = watched.manifest
        self.submitted[watched.run] = Submitted(manifest.flow, manifest.number, manifest.nonce, trail, whole)
        self.watched[watched.run] = watched
        return watched

    def begun(self, watched: Watched, word: object = None) -> list[trails.Mark]:
        """The attempts that began, of one job or of all."""
        marks = trails.marks_of(self.submitted[watched.run].trail)
        return [each for each in marks if each.what == "begin" and word in (None, int(each.word))]

    async def settled(self, watched: Watched, timeout_s: float = 60.0) -> Watched:
        try:
            await asyncio.wait_for(watched.settled(), timeout_s)
        except TimeoutError:
            stuck = [f"{n}: {job}" for n, job in enumerate(watched.state.jobs) if job.ended_at is None]
            raise Broken(f"{watched.run} has not ended after {timeout_s:g} s:\n" + told(stuck, 5)) from None
        return watched

    async def checked(self, *, quiet: bool = True) -> None:
        """The seven points, over all runs since the last time; Broken with what is wrong."""
        mycelium, wrong = self.client.mycelium, []
        for run, submitted in self.submitted.items():
            wrong += await check_run(mycelium, submitted, self.watched.get(run))
        wrong += await check_chain(mycelium)
        if quiet:
            wrong += await check_quiet(mycelium)
        self.submitted.clear()
        self.watched.clear()
        need(not wrong, told(wrong))

    # ------------------------------------------------------------------ processes

    async def pid_of(self, worker: str) -> int:
        facts = await asyncio.to_thread(self.tree.facts)
        return next((each["pid"] for each in facts.workers if each["name"] == worker), 0)

    async def kernel_of(self, worker: str) -> int:
        return next((beat.kernel_pid for beat in await self.client.workers() if beat.worker == worker), 0)


def make_folder(inside: str | Path | None = None) -> Path:
    """A folder for one place; short, as the names of sockets may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="ef", dir=inside))
    (folder / "tmp").mkdir()
    return folder


@contextlib.contextmanager
def environment(folder: Path, extra: Iterable[tuple[str, str]] = ()):
    """What processes that are started meanwhile inherit."""
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
    words = {
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "ELFBOOK_LEASE_S": str(LEASE_S),
        **dict(extra),
    }
    before = {name: os.environ.get(name) for name in words}
    os.environ.update(words)
    tempfile.tempdir = None  # it remembers the first TMPDIR
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        tempfile.tempdir = None


@contextlib.asynccontextmanager
async def fresh(workers: int = 2, **words) -> AsyncIterator[Ground]:
    """A ground of its own; nothing of it is left afterwards."""
    folder = make_folder(words.pop("inside", None))
    with environment(folder, words.pop("extra", ())):
        ground = Ground(folder, Place(folder / "state", **words), workers)
        try:
            await ground.open()
            yield ground
        finally:
            try:
                await ground.close()
            finally:
                shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Broken", "Ground", "NotHere", "fresh", "hostfile", "need", "processes_of", "until"]
