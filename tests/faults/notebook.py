"""A second notebook, as a process that can be killed: it submits, says what came of it, and may die at any message.

notebook.py cut STATE_DIR FLOW FROM      one child for each message of a submission, killed there
notebook.py submit STATE_DIR FLOW JOBS   submits, prints, waits to be killed
notebook.py same STATE_DIR FLOW JOBS     as submit, when a line comes on its input
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import trails
from ground import Book

from elfbook.client.client import Client
from elfbook.model import Origin
from elfbook.store.link import Link
from elfbook.store.place import Place

FLOWS = 200
LITERAL = 300 * 1024


def place_at(text: str) -> Place:
    """A state directory, or the URL of a server and a directory for the key: `URL|DIRECTORY`."""
    url, _, folder = text.rpartition("|")
    return Place(Path(folder), url or None)


async def submit(
    place: Place, flow: str, jobs: int, literal: bytes = b"", die_at: int = 0, gate: str = ""
) -> dict:
    """Submit a flow of so many jobs; kills this process at a message if so told."""
    client = await Client.open(place)
    book = Book(client)
    book.cell(trails.ELVES)
    path = str(place.state_dir.parent / f"{flow}.trail")
    trail = book.names["Trail"]()

    def calls() -> object:
        return [trail.task_step(path, str(job), gate=gate) for job in range(jobs)]

    if literal:
        book.cell("class Large:\n    def task_size(self, given):\n        return len(given)\n")
        large = book.names["Large"]()

        def calls() -> object:
            return [large.task_size(literal + bytes([job])) for job in range(jobs)]

    drawn = book.draw(calls, flow, lost_retries=50)
    sent, publish = 0, Link.publish

    async def counted(link, subject, *rest):
        nonlocal sent
        if subject != client.mycelium.names.client_beat:
            sent += 1
            if sent == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        await publish(link, subject, *rest)

    Link.publish = counted
    watched, joined = await client.submit(flow, drawn, Origin())
    return {
        "flow": flow,
        "number": watched.manifest.number,
        "nonce": watched.manifest.nonce,
        "joined": joined,
        "trail": path,
    }


def cut(place: Place, flow: str) -> None:
    """A child for each message, until one comes through; prints what each was."""
    for die_at in range(1, FLOWS):
        child = os.fork()  # everything is imported already
        if not child:
            told = asyncio.run(submit(place, f"{flow}{die_at}", 3, b"x" * LITERAL, die_at))
            print(json.dumps(told), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(json.dumps({"messages": die_at - 1}), flush=True)
            return


def main() -> None:
    verb, where, flow, jobs = sys.argv[1:]
    place = place_at(where)
    if verb == "cut":
        cut(place, flow)
        return
    if verb == "same":
        print("ready", flush=True)
        sys.stdin.readline()

    async def watch() -> None:
        client = await Client.open(place)
        facts = await submit(place, flow, int(jobs))
        watched = await client.watch(flow, facts["number"])
        print(json.dumps(facts), flush=True)
        await watched.settled()
        print(json.dumps({"done": watched.state.counts["done"]}), flush=True)

    async def stay() -> None:
        gate = str(place.state_dir.parent / f"{flow}.gate") if verb == "same" else ""
        print(json.dumps(await submit(place, flow, int(jobs), gate=gate)), flush=True)
        await asyncio.Event().wait()

    asyncio.run(watch() if verb == "watch" else stay())


if __name__ == "__main__":
    main()
