"""What a panel asks to be done, done: without a kernel, by a client of the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from elfbook.client.client import Client
from elfbook.client.watched import Watched
from elfbook.errors import ElfUsageError
from elfbook.host import hostfile
from elfbook.log.fold import to_reopen
from elfbook.notebook.naming import run_reference
from elfbook.store.place import Place
from elfbook.store.reach import reach
from elfbook.view import acted
from elfbook.view.messages import Verb
from elfbook.words import duration, plural

MOST_WORKERS = 256
"""More at once are a slip of the finger."""


async def run_named(client: Client, run: str) -> Watched:
    """The run, `party.2` or the newest `party`; ElfUsageError when there is none."""
    return await client.watch(*run_reference(run))


async def done(
    client: Client, verb: Verb, watched: Watched, jobs: Collection[int] = (), why: str = ""
) -> str:
    """What came of it, in a sentence."""
    flow, state = watched.manifest.flow, watched.state
    chosen = acted.chosen(flow, state, jobs)
    match verb:
        case "cancel":
            return acted.cancelled(flow, state, await client.cancel(watched, why, chosen or None))
        case "retry":
            return await retried(client, watched, chosen)
        case "pause":
            return acted.paused(flow, state, await client.pause(watched, why), watched.run)
        case "resume":
            return acted.resumed(flow, state, await client.resume(watched))


async def retried(client: Client, watched: Watched, jobs: list[int]) -> str:
    """Failed and skipped jobs wait again, with the code that the run has stored: no cell is known here."""
    reopened = to_reopen(watched.state, jobs or None)
    number = await client.reopen(watched, reopened) if reopened else 0
    words = acted.reopened(watched.manifest.flow, watched.state, number, watched.run)
    if not number:
        return words
    return f"{words}. The code is that of the run;  %elf retry {watched.run}  takes that of its notebook"


async def started(place: Place, workers: int) -> str:
    """So many workers are ready on this machine, and a server if there was none."""
    if not 1 <= workers <= MOST_WORKERS:
        raise ElfUsageError(
            f"{plural(workers, 'worker')} cannot be started",
            hint=f"From here it is 1 to {MOST_WORKERS}; in a shell  elfbook up  takes any number.",
        )
    if place.url:
        await reach(place.address())  # what keeps it from being used would only be logged by a host
    report = await asyncio.to_thread(hostfile.ensure, place, workers=workers)
    ready = plural(len(report.workers), "worker")
    begun = " and a NATS server of their own" if report.started_server else ""
    return f"{ready} ready{begun}, after {duration(report.elapsed_s)}"
