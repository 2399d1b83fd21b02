"""What tests of several files need: waiting for a condition, and places of their own."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elfbook import hostfile, server
from elfbook.place import Place

LOOK_S = 0.01
MARK = "ELFBOOK_TEST_PLACE"
"""In the environment of whatever a test starts, so that what is left of it can be found."""


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
    """Every live process that was started for a place: number to command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
            ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if not ended and (os.fsencode(folder) in command or f"{MARK}={folder}\0".encode() in environment):
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def clear(folder: Path) -> None:
    """Ends and removes what is left in a test's folder; fails when something was left running."""
    place = Place(folder / "state")
    try:
        hostfile.stop(place)
        server.stop_server(place)
        deadline = time.monotonic() + 5
        while (left := processes_of(folder)) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    finally:
        left = processes_of(folder)
        for number in left:
            os.kill(number, signal.SIGKILL)
        runtime = [path.name for path in (folder / "tmp").iterdir()]
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"still running after the host was stopped: {left}"
    assert not runtime, f"left in the folder for sockets: {runtime}"


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[], Path]]:
    """Gives folders with a short path, as socket names may have at most 107 characters."""
    made = []

    def make() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="e"))
        (folder / "tmp").mkdir()
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(new_folder: Callable[[], Path]) -> Iterator[Place]:
    """An empty place; whatever was started for it is ended, and nothing may be left."""
    folder = new_folder()
    yield Place(folder / "state")
    clear(folder)
