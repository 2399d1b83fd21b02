"""G8: who may have been given up for dead looks first, and leaves alone what is no longer its own.

The lease is three seconds here, for the scheduler and for the workers, which live in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from elfbook.facts import Claimed, Lost, State, Succeeded
from elfbook.host import hostfile
from elfbook.store.follow import Taker
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place
from elfbook.store.server import inherited
from elfbook.work import pulse
from elfbook.work import worker as working
from elfbook.work.worker import Worker
from tests.system.conftest import at_work

POOL = "here"
LEASE_S = 3.0
HOLD_S = 2.0


@pytest.fixture(scope="module")
def tree(folder: Path) -> Iterator[object]:
    from tests.system.conftest import Tree

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELFBOOK_LEASE_S", str(LEASE_S))
        made = Tree(Place(folder / "state"), folder)
        hostfile.ensure(made.place, workers=1)
        yield made


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LEASE_S", LEASE_S)
    monkeypatch.setattr(pulse, "BEAT_S", LEASE_S / 7.5)
    monkeypatch.setattr(working, "LEASE_S", HOLD_S)


@dataclass
class Road:
    """The way of one worker to the server, which can be cut without either of them being told."""

    target: tuple[str, int]
    open: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _tasks: set[asyncio.Task] = field(default_factory=set)

    async def start(self) -> asyncio.Server:
        self.open.set()
        server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, back), (there, writer))]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            each.close()

    async def _carry(self, source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self.open.wait()
                drain.write(data)
                await drain.drain()

    async def close(self, server: asyncio.Server) -> None:
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def road(tree) -> AsyncIterator[Road]:
    parts = urlsplit(tree.place.address().url)
    made = Road((parts.hostname, parts.port))
    server = await made.start()
    yield made
    await made.close(server)


@contextlib.asynccontextmanager
async def worker_here(
    place: Place, folder: Path, name: str, road: Road | None = None
) -> AsyncIterator[Worker]:
    address = place.address()
    if road is not None:
        address = replace(address, url=f"nats://127.0.0.1:{road.port}")
    mycelium = await Mycelium.open(address, key=place.key())
    worker = Worker(
        mycelium=mycelium, name=name, host="here", folder=folder / name, cellar=folder / f"{name}-values",
        pool=POOL, environment=inherited(dict(os.environ)),
    )  # fmt: skip
    async with at_work(worker):
        yield worker


@pytest.fixture
def short_path(folder: Path) -> Path:
    made = folder / "w"
    made.mkdir(exist_ok=True)
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every word about an offer: which, and about which delivery."""
    told: list[tuple[str, str]] = []

    def noted(word, say):
        def note(taker, message):
            told.append((word, message.reply))
            return say(taker, message)

        return note

    for word in ("accept", "give_back", "still_at_it"):
        monkeypatch.setattr(Taker, word, noted(word, getattr(Taker, word)))
    return told


async def queued(client) -> int:
    names = client.mycelium.names
    return (await client.mycelium.link.api(f"STREAM.INFO.{names.work}"))["state"]["messages"]


@pytest.mark.timeout(90)
async def test_a_worker_that_was_cut_off_finds_its_job_taken_over(
    tree, client, book, gates, short_path, road, said, until
):
    gate = book.names["Gate"]()
    async with worker_here(tree.place, short_path, "far", road) as far:
        run = await book.submit("cut", lambda: gate.task_pass(str(gates.folder), "held"), pool=POOL)
        assert await book.running(run, 0) == "far"
        (kernel,) = await until(gates.begun)
        (held,) = far.bench.held.values()
        road.open.clear()
        async with worker_here(tree.place, short_path, "near") as near:
            _, second = await until(lambda: len(gates.begun()) == 2 and gates.begun(), 25)
            assert second == near.bench.kernel.pid
            assert far.bench.current is held, "it goes on: for all it knows the server is away"
            assert not held.stopping
            assert far.mycelium.pressure.patience_s > 3600, "a result would wait for hours, not be done again"
            said.clear()
            road.open.set()
            await until(lambda: not far.bench.held)
            assert (held.fenced, held.stopping) == (True, "fenced")
            assert far.bench.kernel.pid == kernel, "an interrupt was enough"
            gates.open(second)
            await book.settled(run)
            assert run.state.jobs[0].worker == "near"
            assert not [word for word in said if word[1] == held.message.reply], "no word about its offer"

            async def empty():
                return await queued(client) == 0

            await until(empty)  # the old offer came back when its hold ended, and was dropped
            facts = await book.facts(run)
            assert [type(fact.event) for fact in facts] == [Claimed, Lost, Claimed, Succeeded]
            await run.complete_outputs()
            (late,) = [output for output in run.outputs[0] if output.kind == "late"]
            assert (late.attempt, "far" in late.text) == (1, True)
        gates.open()
        after = await book.submit("cut_after", lambda: gate.task_pass(str(gates.folder), "x"), pool=POOL)
        await book.settled(after)
        assert after.state.jobs[0].worker == "far", "it works on"


async def test_a_record_that_has_moved_on_is_noticed_without_any_word(
    tree, client, book, gates, short_path, said, until
):
    """As when a message to the worker was lost: C code, so that the kernel has to be replaced."""
    stone = book.cell(STONE)["Stone"]()
    async with worker_here(tree.place, short_path, "alone") as worker:
        path = gates.folder / "begun"
        run = await book.submit("moved", lambda: stone.task_lie(str(path)), pool=POOL, on_lost="fail")
        await book.running(run, 0)
        await until(path.exists)
        (held,) = worker.bench.held.values()
        kernel = worker.bench.kernel.pid
        said.clear()
        lost = Lost(nonce="by hand", attempt=1, why="somebody thinks so", worker="alone")
        await client.mycelium.record(run.run, 0, lost, run.state.jobs[0].seq)
        await until(lambda: worker.bench.kernel.pid not in (0, kernel) and worker.bench.up.is_set())
        assert held.fenced
        assert not [word for word in said if word[1] == held.message.reply and word[0] != "still_at_it"]
        assert run.state.jobs[0].state is State.FAILED
        assert [type(fact.event) for fact in await book.facts(run)] == [Claimed, Lost]


async def test_signs_of_life_go_on_while_c_code_holds_the_interpreter(client, book):
    """Fault 5: for more than two leases nothing of the kernel's can run, and nobody takes the job over."""
    stone = book.cell(STONE)["Stone"]()
    run = await book.settled(await book.submit("spin", lambda: stone.task_spin(2.3 * LEASE_S)))
    assert [type(fact.event) for fact in await book.facts(run)] == [Claimed, Succeeded]
    assert run.state.jobs[0].event.elapsed_s > 2 * LEASE_S


STONE = """\
import collections
import ctypes
import itertools
import time


class Stone:
    def task_lie(self, path):
        open(path, "w").close()
        collections.deque(itertools.repeat(0), maxlen=0)  # never returns to the interpreter

    def task_spin(self, seconds):
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # keeps the lock that every thread needs
"""
