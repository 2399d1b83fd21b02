"""Faults 16 and 17: the power goes. powercut.py tells how that is made, and does it a hundred times."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import powercut
import trails
from clusters import Cluster, replicate
from ground import Book, Ground, environment, make_folder, need, until
from images import copy, mounted
from table import fault

from elfbook.client.client import Client
from elfbook.errors import MyceliumError
from elfbook.store.link import Unanswered
from elfbook.store.place import Place

INSTANTS = 3
ENOUGH = 1500
"""Records that are acknowledged before the power goes."""


async def cuts(mode: str) -> list[powercut.Instant]:
    seen = powercut.instants(INSTANTS, mode, random.Random())
    return [instant async for instant in seen]


def words(found: list[powercut.Instant]) -> str:
    lost, of = sum(each.lost for each in found), sum(each.acknowledged for each in found)
    runs, submitted = sum(each.runs_lost for each in found), sum(each.runs for each in found)
    return (
        f"{len(found)} instants: {lost} of {of} acknowledged records and {runs} of {submitted} runs were lost"
    )


@fault(
    "16", "the power goes, durable mode", quick=True, own=True, workers=0,
    done=f"the server frozen, its disk's image copied, a fresh server on the copy, at {INSTANTS} instants (powercut.py: 100)",
    allowed="nothing that was acknowledged is lost; a write of several records is whole or not there",
)  # fmt: skip
async def power_cut_durable(_: Ground) -> str:
    found = await cuts("durable")
    need(all(each.good for each in found), words(found))
    return words(found)


@fault(
    "16f", "the power goes, fast mode", own=True, workers=0,
    done="as 16, with a server that was started in fast mode", allowed="loss, as fast mode says of itself",
)  # fmt: skip
async def power_cut_fast(_: Ground) -> str:
    return words(await cuts("fast"))


@fault(
    "17", "the power goes in all three servers of a cluster at once", own=True, workers=0,
    done="three servers frozen under load, the images of their disks copied, three fresh servers on the copies",
    allowed="as 16",
)  # fmt: skip
async def power_cut_of_three(_: Ground) -> str:
    folder = make_folder()
    with environment(folder), contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        images = [folder / f"image{number}" for number in range(3)]
        stores = [stack.enter_context(mounted(image, Path(f"{image}.mnt"), fresh_mb=256)) for image in images]
        place, known = await _load_three(folder, stores, images)
        copies = [stack.enter_context(mounted(Path(f"{i}.copy"), Path(f"{i}.mnt2"))) for i in images]
        cluster = Cluster(folder, password="of-the-copies")
        cluster.arrange([at / "n" for at in copies])
        stack.callback(cluster.stop)
        await cluster.start()
        copied = Place(place.state_dir, cluster.url())
        found = await until(lambda: _whole(copied, known), "what was acknowledged is on the copies", 40)
        cluster.stop()
        return words([found])


async def _whole(place: Place, known: tuple) -> powercut.Instant | None:
    """What is found, once nothing is missing: a cluster that has just started shows its newest records late."""
    try:
        found = await powercut.found_on(place, known)
    except (MyceliumError, Unanswered):
        return None
    return found if found.good else None


async def _load_three(folder: Path, stores: list[Path], images: list[Path]) -> tuple[Place, tuple]:
    """A cluster under load, its disks copied at one instant; what had been acknowledged then."""
    cluster = Cluster(folder)
    cluster.arrange([store / "n" for store in stores])
    place = Place(folder / "state", cluster.url())
    try:
        await cluster.start()
        client = await Client.open(place)
        await replicate(SimpleNamespace(client=client))
        book = Book(client)
        book.cell(trails.ELVES)
        load = powercut.Load(client, book)
        load.going.set()
        tasks = [asyncio.create_task(load.submit_for_ever(number)) for number in range(powercut.WRITERS)]
        await until(lambda: len(load.records) > ENOUGH, f"{ENOUGH} records were acknowledged", 60)
        for server in cluster.servers:
            server.send(signal.SIGSTOP)
        await asyncio.sleep(0.05)  # acknowledgements that are already on their way arrive, and count
        known = (dict(load.runs), dict(load.records), list(load.pairs))
        for image in images:
            await asyncio.to_thread(copy, image, Path(f"{image}.copy"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cluster.stop()
        await client.close()
        return place, known
    finally:
        cluster.stop()
