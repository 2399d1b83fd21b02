"""What the processes of the tree have in common: their arguments, how they begin and end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.store.beside import ended
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place

log = logging.getLogger("elfbook")

PATIENCE_S = 3600.0
"""So long a worker or scheduler keeps what a store does not take, and tries again."""
GONE_LOOK_S = 1.0


def child_arguments(prog: str) -> argparse.ArgumentParser:
    """The arguments that a host gives each of its children."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--namespace", default="main")
    parser.add_argument("--url")
    parser.add_argument("--name", required=True)
    parser.add_argument("--parent", action="store_true", help="leave when standard input ends")
    return parser


def place_of(args: argparse.Namespace) -> Place:
    return Place(args.state_dir, args.url, args.namespace)


def life_of(pid: int) -> str:
    """How a process of this machine signs, so that its host knows it from those of others."""
    return f"{socket.gethostname()}:{pid}:"


async def until_stopped(
    place: Place,
    name: str,
    work: Callable[[Mycelium, asyncio.Event], Awaitable[None]],
    *,
    parent: bool = False,
) -> None:
    """Connect, work, and stop at SIGTERM or SIGINT, or when the parent's pipe ends.

    With a parent, connect when it says so: it starts its children while the server is starting.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if parent:
        told = asyncio.Event()
        threading.Thread(target=_hear_parent, args=(loop, told, stop), daemon=True).start()
        if not await _first(told, stop):
            return
    mycelium = await Mycelium.at(place, f"elfbook {name}")
    mycelium.pressure.patience_s = PATIENCE_S
    watch = asyncio.create_task(_until_place_is_gone(place, mycelium, stop))
    try:
        await work(mycelium, stop)
    finally:
        await ended([watch])
        await mycelium.close()


async def _until_place_is_gone(place: Place, mycelium: Mycelium, stop: asyncio.Event) -> None:
    """Stop once the embedded server is away and its host has ended in good order, by `down`."""
    while not place.url:
        await asyncio.sleep(GONE_LOOK_S)
        if not mycelium.link.connected and not place.host_file.exists():
            log.warning("the mycelium was stopped: ending")
            stop.set()
            return


async def _first(told: asyncio.Event, stop: asyncio.Event) -> bool:
    """True once it is told to begin, False when it is to stop before that."""
    waits = [asyncio.create_task(told.wait()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()
    return told.is_set() and not stop.is_set()


def _hear_parent(loop: asyncio.AbstractEventLoop, told: asyncio.Event, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        loop.call_soon_threadsafe(told.set)
    loop.call_soon_threadsafe(stop.set)


def main_of(coroutine: Awaitable[None], *, watched: bool = False) -> int:
    """Run a process's main coroutine; its exit code. Who is `watched` also says what to do next."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    try:
        asyncio.run(coroutine)
    except ElfbookError as error:
        # Of a log nobody reads but its last line, and that is to be what went wrong.
        hint = f"\n{error.hint}" if watched and error.hint else ""
        print(f"{type(error).__name__}: {error}{hint}", file=sys.stderr)
        return 1
    return 0
