"""What tests of several files need: waiting for a condition, and places of their own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import elfbook
from elfbook.host import hostfile
from elfbook.store import server
from elfbook.store.link import Refused, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place

LOOK_S = 0.01
LEAVE_S = 12.0
"""A process that cannot reach its server gives up after five seconds."""


async def wait_until(condition: Callable[[], object], timeout_s: float = 20.0) -> object:
    """The first true value of `condition`, a plain or an async function; fails after the limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(LOOK_S)


@pytest.fixture(scope="session")
def until() -> Callable:
    """`await until(condition, timeout_s)`."""
    return wait_until


def processes_of(folder: Path) -> dict[int, str]:
    """Every live process whose command line names the folder, by its number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if not ended and os.fsencode(folder) in command:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def clear(folder: Path) -> None:
    """Ends what was started for the folder and removes it; fails when something did not end."""
    place = Place(folder / "state")
    try:
        hostfile.stop(place)
        server.stop_server(place)
        deadline = time.monotonic() + LEAVE_S
        while processes_of(folder) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        hostfile.stop(place)  # once more: workers of a killed host may have been leaving
    finally:
        left = processes_of(folder)
        for number in left:
            os.kill(number, signal.SIGKILL)
        runtime = [path.name for path in (folder / "tmp").iterdir()]
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"still running after the host was stopped: {left}"
    assert not runtime, f"left in the folder for sockets: {runtime}"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for one module's place; its path is short, as socket names may have 107 characters.

    Processes started meanwhile find elfbook, also where it is not installed, and keep their
    sockets in the folder. When the module ends, nothing of the place may be left.
    """
    made = Path(tempfile.mkdtemp(prefix="e"))
    (made / "tmp").mkdir()
    paths = [str(Path(elfbook.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(made / "tmp"))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield made
        clear(made)


@pytest.fixture(scope="session")
def processes() -> Callable[[Path], dict[int, str]]:
    """`processes(folder)`: the live processes whose command line names the folder."""
    return processes_of


@pytest.fixture(scope="module")
def place(folder: Path) -> Place:
    """A place whose server runs, fast and not durable, while the module's tests do."""
    made = Place(folder / "state")
    server.ensure_server(made, mode="fast")
    return made


@pytest.fixture
async def mycelium(place: Place, request: pytest.FixtureRequest) -> AsyncIterator[Mycelium]:
    """A connection to the module's server, in a namespace that no other test uses."""
    namespace = f"t{abs(hash(request.node.nodeid))}"
    made = await Mycelium.open(place.address(), key=place.key(), namespace=namespace, locate=place.locate)
    yield made
    for stream in made.names.stream_subjects():
        with contextlib.suppress(Refused, Unanswered):  # gone, or away, after a restart of the server
            await made.link.api(f"STREAM.DELETE.{stream}")  # each reserves its limit of the disk
    await made.close()
