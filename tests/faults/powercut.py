"""The power goes at random instants, and a fresh server is started on what the disk holds then.

    python tests/faults/powercut.py --instants 100               durable mode: nothing may be lost
    python tests/faults/powercut.py --instants 20 --mode fast    shown to lose, and how much

The server's store is on an ext4 image, mounted through a loop device, under load: whole runs are
submitted by elfbook's client, and their jobs' records written by its writer, in batches, with what named
elves keep. At each instant the server is frozen (SIGSTOP), nothing is synced, the image is copied, the
server goes on. The copy is mounted, a fresh server started on it, and every write that had been
acknowledged before is looked for: the same bytes under the same sequence. Writes of several records at once
must be there whole or not at all. Needs root and loop devices.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import trails
from ground import Book, NotHere, environment, make_folder
from images import copy, missing, mounted

from elfbook.client.client import Client
from elfbook.facts import Claimed, Succeeded
from elfbook.model import Origin, ValueRef
from elfbook.seals import RECORD_SEAL_BYTES
from elfbook.store import server
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json, write_json
from elfbook.wire import digest_of, encode

IMAGE_MB = 256
ROUND = 5
"""After so many instants image and server are made anew, so that what has to be compared stays small."""
JOBS = 40
KEEPERS = 5
COPIES = itertools.count()
WRITERS = 6


@dataclass
class Instant:
    """What was found on one copied disk."""

    acknowledged: int = 0
    lost: int = 0
    altered: int = 0
    torn: int = 0
    """Writes of several records of which some are there and some are not."""
    runs: int = 0
    runs_lost: int = 0
    named: list[str] = field(default_factory=list)
    """What elfbook itself says of the loss."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.altered or self.torn or self.runs_lost)


@dataclass
class Load:
    """Submissions and records that go on until stopped, and all that was acknowledged of them."""

    client: Client
    book: Book
    runs: dict[str, str] = field(default_factory=dict)
    """Acknowledged runs with their nonces."""
    records: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """Acknowledged records of JOBS: sequence to subject and bytes."""
    pairs: list[tuple[tuple[str, bytes], tuple[str, bytes]]] = field(default_factory=list)
    """Records that were sent together: a job's and what its elf keeps."""
    count: int = 0
    going: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while a copy is compared: what comes then would only make the next comparison longer."""

    async def submit_for_ever(self, number: int) -> None:
        """Whole runs by elfbook's client, then the records of all their jobs as a worker writes them."""
        while True:
            await self.going.wait()
            self.count += 1
            flow = f"load{number}"
            trail = self.book.names["Trail"]()
            drawn = self.book.draw(
                lambda trail=trail, n=self.count: [trail.task_step(f"{n}", str(job)) for job in range(JOBS)],
                flow,
            )
            watched, _ = await self.client.submit(flow, drawn, Origin())
            self.runs[watched.run] = watched.manifest.nonce
            await asyncio.gather(*(self._work(watched.run, job) for job in range(JOBS)))

    async def _work(self, run: str, job: int) -> None:
        jobs, names = self.client.mycelium.jobs, self.client.mycelium.names
        subject = names.job(run, job)
        claimed = encode(Claimed(nonce=os.urandom(8).hex(), attempt=1, worker="power"))
        seq = await jobs.write(subject, claimed, 0)
        self.records[seq] = (subject, claimed)
        data = os.urandom(random.randrange(20, 400))
        value = ValueRef(digest=digest_of(data), size=len(data), inline=data)
        ended = encode(Succeeded(nonce=os.urandom(8).hex(), attempt=1, value=value, worker="power"))
        if job < KEEPERS:
            kept = (names.keep(f"{run.replace('.', '-')}-{job}"), os.urandom(100))
            self.pairs.append(((subject, ended), kept))
            first = await jobs.write_all(((subject, ended, seq), (*kept, None)))
            self.records[first], self.records[first + 1] = (subject, ended), kept
        else:
            self.records[await jobs.write(subject, ended, seq)] = (subject, ended)


async def found_on(place: Place, load: tuple[dict, dict, list]) -> Instant:
    """What a fresh server on a copied disk has of what was acknowledged."""
    runs, records, pairs = load
    seen = Instant(acknowledged=len(records), runs=len(runs))
    mycelium = await Mycelium.open(place.address(), key=place.key(), timeout_s=15)
    try:
        names = mycelium.names
        there: dict[int, tuple[str, bytes]] = {}
        async for entry in mycelium.read(names.jobs, names.every_job, f"elf.{names.namespace}.keep.>"):
            there[entry.seq] = (entry.subject, entry.data[:-RECORD_SEAL_BYTES])
        for seq, record in records.items():
            seen.lost += seq not in there
            seen.altered += seq in there and there[seq] != record
        stored = set(there.values())
        seen.torn = sum((one in stored) != (two in stored) for one, two in pairs)
        manifests = {manifest.run: manifest.nonce for manifest in (await mycelium.all_runs())[0]}
        seen.runs_lost = sum(manifests.get(run) != nonce for run, nonce in runs.items())
    finally:
        await mycelium.close()
    return seen


@contextlib.asynccontextmanager
async def loaded(state: Path, mode: str) -> AsyncIterator[tuple[Place, Load]]:
    """A server under load until the end of the block."""
    place = Place(state)
    await asyncio.to_thread(server.ensure_server, place, mode=mode)
    client = await Client.open(place)
    if client.durability != mode:
        raise AssertionError(f"the server says that it is {client.durability}")
    book = Book(client)
    book.cell(trails.ELVES)
    load = Load(client, book)
    load.going.set()
    tasks = [asyncio.create_task(load.submit_for_ever(number)) for number in range(WRITERS)]
    try:
        yield place, load
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Unanswered):
            await client.close()
        await asyncio.to_thread(server.stop_server, place)


async def cut(folder: Path, image: Path, place: Place, load: Load) -> Instant:
    """Freeze, copy, let go; then what a fresh server finds on the copy."""
    pid = read_json(place.server_file)["pid"]
    # A name of its own: a loop device of an earlier copy may live on in another mount namespace, and
    # the same file would be mounted by way of that device, with what its file system remembers.
    copied = folder / f"copy{next(COPIES)}"
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(0.05)  # acknowledgements that are already on their way arrive, and count
        known = (dict(load.runs), dict(load.records), list(load.pairs))
        await asyncio.to_thread(copy, image, copied)
        load.going.clear()
    finally:
        os.kill(pid, signal.SIGCONT)
    with mounted(copied, folder / f"{copied.name}.mnt") as at:
        other = Place(at / "state")
        facts = read_json(other.server_file)  # of the server that still runs: the fresh one is another
        write_json(other.server_file, facts | {"port": -1, "url": "nats://127.0.0.1:1", "pid": 0})
        try:
            await asyncio.to_thread(server.ensure_server, other, mode="durable")
            return await found_on(other, known)
        finally:
            await asyncio.to_thread(server.stop_server, other)
            copied.unlink()


async def instants(count: int, mode: str, chance: random.Random) -> AsyncIterator[Instant]:
    """What was found at each of so many random instants."""
    if reason := missing():
        raise NotHere(reason)
    folder = make_folder()
    try:
        for first in range(0, count, ROUND):
            with (
                environment(folder),
                mounted(folder / f"image{first}", folder / f"mnt{first}", fresh_mb=IMAGE_MB) as at,
            ):
                async with loaded(at / "state", mode) as (place, load):
                    for _ in range(min(ROUND, count - first)):
                        before = len(load.records)
                        deadline = time.monotonic() + 20
                        load.going.set()
                        pause_s = chance.uniform(0.05, 1.0)
                        await asyncio.sleep(pause_s)  # the instant is random, that is the point
                        while len(load.records) == before and time.monotonic() < deadline:
                            await asyncio.sleep(0.01)
                        yield await cut(folder, folder / f"image{first}", place, load)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def run(given: argparse.Namespace) -> int:
    seed = given.seed if given.seed is not None else random.randrange(2**32)
    found: list[Instant] = []
    print(f"seed {seed}, {given.instants} instants, {given.mode} mode", flush=True)
    try:
        async for instant in instants(given.instants, given.mode, random.Random(seed)):
            found.append(instant)
            if given.json or not instant.good:
                print(json.dumps(instant.__dict__), flush=True)
    except NotHere as reason:
        print(f"not here: {reason}")
        return 2
    total = {
        name: sum(getattr(each, name) for each in found)
        for name in ("acknowledged", "lost", "altered", "torn", "runs", "runs_lost")
    }
    bad = sum(not each.good for each in found)
    print(
        f"{len(found)} instants in {given.mode} mode, {bad} with a loss: of {total['acknowledged']} acknowledged records "
        f"{total['lost']} were lost and {total['altered']} altered, of {total['runs']} submissions {total['runs_lost']} "
        f"were lost; {total['torn']} writes of two records were torn"
    )
    return 1 if bad and given.mode == "durable" else 0


def main() -> int:
    """Parse, run."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--instants", type=int, default=100)
    parser.add_argument("--mode", choices=("durable", "fast"), default="durable")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true", help="a JSON object for each instant")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
