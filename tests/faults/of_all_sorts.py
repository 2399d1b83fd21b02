"""The faults that stand under + in the list: batches, credentials, upgrades, two schedulers, races."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from clusters import CONFIG, Server, free_ports
from ground import Ground, NotHere, fresh, make_folder, need, until
from of_servers import some, under_load
from table import fault

from elfbook.errors import AccessDenied, ElfbookError
from elfbook.facts import ENDED, Cancelled, Claimed, State, Succeeded
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.store.place import read_json

OLDER = "ELFBOOK_OLDER_SERVER"
"""Environment variable with the path of a nats-server 2.12, for the upgrade."""


def event(word: str) -> Claimed:
    return Claimed(nonce=word + os.urandom(8).hex(), attempt=1, worker="nobody")


@fault(
    "b", "one bad compare-and-set among 256 writes", quick=True,
    done="256 records written at once, one of which names a record that is not the last",
    allowed="255 are stored, one is refused",
)  # fmt: skip
async def bad_among_good(ground: Ground) -> str:
    mycelium, flow = ground.client.mycelium, f"batch.{random.randrange(10**6)}"
    writes = [mycelium.record(flow, job, event("b"), 99 if job == 77 else 0) for job in range(256)]
    ends = await asyncio.gather(*writes, return_exceptions=True)
    refused = [job for job, end in enumerate(ends) if isinstance(end, Conflict)]
    need(refused == [77], f"refused were {refused}")
    stored = [job for job in range(256) if await mycelium.last_event(flow, job) is not None]
    need(len(stored) == 255 and 77 not in stored, f"{len(stored)} are stored")
    return "255 stored, the one refused"


async def parts_of_units(mycelium: Mycelium) -> dict[str, int]:
    """How many records of each unit are stored."""
    parts: dict[str, int] = {}
    async for entry in mycelium.read(mycelium.names.jobs, f"elf.{mycelium.names.namespace}.keep.>"):
        unit = entry.subject.rpartition("unit")[2].partition("-")[0]
        parts[unit] = parts.get(unit, 0) + 1
    return parts


@fault(
    "k", "kill -9 of the server in the middle of atomic batches", quick=True, own=True, workers=0,
    done="units of three records written without pause, SIGKILL to the server five times at random",
    allowed="each unit is whole or not there; what was acknowledged is there",
)  # fmt: skip
async def cut_batches(ground: Ground) -> str:
    mycelium, chance = ground.client.mycelium, random.Random()
    place, told, sent = ground.place, [], 0

    async def write_on(number: int) -> None:
        nonlocal sent
        while True:
            sent, unit = sent + 1, sent
            names = [mycelium.names.keep(f"unit{unit}-{part}") for part in range(3)]
            await mycelium.jobs.write_all(tuple((name, b"x" * 200, 0) for name in names))
            told.append(unit)

    writers = [asyncio.create_task(write_on(number)) for number in range(64)]
    from elfbook.store import server

    for _ in range(5):
        before = len(told)
        await until(lambda before=before: len(told) > before + 200, "units are written")
        at = time.monotonic() + chance.uniform(0, 0.3)
        while time.monotonic() < at:
            await asyncio.sleep(0.005)
        os.kill(read_json(place.server_file)["pid"], signal.SIGKILL)
        await asyncio.to_thread(server.ensure_server, place)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    for _ in range(2):  # what was under way when the writers stopped may become visible piece by piece
        parts = await parts_of_units(mycelium)
        torn = [unit for unit, count in parts.items() if count != 3]
    lost = [unit for unit in told if str(unit) not in parts]
    need(not torn and not lost, f"torn: {torn[:5]}; lost: {lost[:5]}")
    return f"{len(parts)} units whole, {len(told)} of them acknowledged, none torn, none lost"


def words_of(folder: Path, port: int) -> dict[str, object]:
    """What a server's configuration says, but for password and cluster."""
    return {
        "host": "127.0.0.1",
        "port": port,
        "name": "one",
        "store": folder / "n",
        "sync": "always",
        "log": folder / "log",
    }


@fault(
    "c", "credentials are revoked under way", own=True, workers=0,
    done="the password is changed in the server's configuration and it is told so (SIGHUP); then back",
    allowed="whoever asks hears AccessDenied; with the old credentials back all goes on",
)  # fmt: skip
async def revoked(_: Ground) -> str:
    folder = make_folder()
    (port,) = free_ports(1)
    words = words_of(folder, port)
    server = Server("one", folder / "n", port, CONFIG.format(password="right", cluster="", **words))
    server.start()
    try:
        async with fresh(0, url=f"nats://elf:right@127.0.0.1:{port}") as ground:
            ground.workers = 2
            await ground.tree.whole(2)
            trail = ground.trail
            run = await ground.submit(
                "revoked", lambda path: [trail.task_step(path, str(n), seconds=0.1) for n in range(60)]
            )
            await until(lambda: run.state.counts[State.DONE] > 3, "some jobs have ended")
            path = server.folder / "server.conf"
            path.write_text(CONFIG.format(password="another", cluster="", **words))
            server.send(signal.SIGHUP)
            raised: list[Exception] = []

            async def refused() -> bool:
                try:
                    await ground.client.mycelium.end_of(ground.client.mycelium.names.jobs)
                except (ElfbookError, Unanswered) as error:
                    raised.append(error)
                return any(isinstance(each, AccessDenied) for each in raised)

            await until(refused, "it is said that access is denied", 30)
            path.write_text(server.config)
            server.send(signal.SIGHUP)
            await ground.settled(run, 90)
            need(run.state.counts[State.DONE] == 60, f"{run.state.counts}")
            await ground.checked()
            return f"{raised[-1]}; with the old password the run ended"
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@fault(
    "u", "the server is replaced by a newer one", own=True, workers=0,
    done=f"runs on nats-server 2.12 (its path in {OLDER}), then the same store under the present one",
    allowed="what was there is there, what was under way goes on",
)  # fmt: skip
async def upgraded(_: Ground) -> str:
    older = os.environ.get(OLDER, "")
    if not Path(older).is_file():
        raise NotHere(f"no older nats-server is installed; {OLDER} names one")
    folder = make_folder()
    (port,) = free_ports(1)
    words = words_of(folder, port)
    server = Server(
        "one", folder / "n", port, CONFIG.format(password="p", cluster="", **words), program=older
    )
    server.start()
    try:
        async with fresh(0, url=f"nats://elf:p@127.0.0.1:{port}") as ground:
            ground.workers = 2
            await ground.tree.whole(2)
            async with under_load(ground) as count:
                await some(count, 3)
                server.send(signal.SIGTERM)
                server.process.wait(20)
                server.program = ""
                server.start()
                await some(count, 5, 90)
            await ground.checked()
            newer = ground.client.mycelium.link.nc.connected_server_version
            return f"{count()} runs ended right; now it is {newer.major}.{newer.minor}.{newer.patch}"
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@fault(
    "w", "two schedulers at once", quick=True,
    done="a second scheduler beside the host's, mixed flows; then SIGKILL to the one that has been there longer",
    allowed="nothing is done twice with effect; the other one goes on",
)  # fmt: skip
async def two_schedulers(ground: Ground) -> str:
    command = [sys.executable, "-m", "elfbook.host.schedulerprocess", "--name", "second"]
    command += ["--state-dir", str(ground.place.state_dir)]
    quiet = subprocess.DEVNULL
    with (ground.folder / "second.log").open("wb") as log:
        second = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=log, start_new_session=True)
    try:
        async with under_load(ground) as count:
            await some(count, 8)
            await ground.tree.kill("scheduler", ground.client)
            await some(count, 8)
        need(second.poll() is None, "the second one has ended")
        return f"{count()} runs ended right, with two schedulers most of the time"
    finally:
        second.terminate()
        second.wait(20)


@fault(
    "e", "a cell is edited while its job runs", quick=True,
    done="a flow waits in the first version of a task while the cell is run again with another one",
    allowed="the job under way and those after it have the first version, a new run has the second",
)  # fmt: skip
async def edited(ground: Ground) -> str:
    gate = ground.path("gate-e")
    first = ground.book.cell(VERSION.format(version=1))["Edited"]()
    run = await ground.book.submit("edited", lambda: [first.task_tell(gate) for _ in range(4)])
    await until(lambda: run.state.counts[State.RUNNING], "a job runs")
    second = ground.book.cell(VERSION.format(version=2))["Edited"]()
    later = await ground.book.submit("edited_later", lambda: second.task_tell(gate))
    Path(gate).touch()
    await ground.settled(ground.note(run, None))
    await ground.settled(ground.note(later, None))
    told = (await ground.book.values(run), await ground.book.values(later))
    need(told == ([1] * 4, [2]), f"they told {told}")
    return "four jobs of the first version, one of the second"


VERSION = """\
import os
import time


def version():
    return {version}


class Edited:
    def task_tell(self, gate):
        while not os.path.exists(gate):
            time.sleep(0.01)
        return version()
"""


@fault(
    "r", "cancel races with the end of a job", quick=True,
    done="each of 400 jobs is cancelled as soon as its claim is heard of (tests/system has it 10,000 times)",
    allowed="each is done or cancelled, whatever was first in the log, and stays so",
)  # fmt: skip
async def cancel_races(ground: Ground) -> str:
    trail = ground.trail
    chance = random.Random()

    def calls(path: str) -> object:
        return [trail.task_step(path, str(n), seconds=chance.uniform(0, 0.01)) for n in range(400)]

    run = await ground.submit("races", calls)
    tried: set[int] = set()
    while not run.state.settled:
        jobs = [
            job for job, now in enumerate(run.state.jobs) if now.state is State.RUNNING and job not in tried
        ][:3]
        tried.update(jobs)
        if jobs:
            await ground.client.cancel(run, "a race", jobs)
        else:
            await asyncio.wait_for(run.changed(run.version), 60)
    kinds = {type(job.event) for job in run.state.jobs}
    need(kinds <= {Succeeded, Cancelled} and run.state.settled, f"they ended as {kinds}")
    need(all(job.state in ENDED for job in run.state.jobs), f"{run.state.counts}")
    return f"{run.state.counts[State.CANCELLED]} cancelled of {len(tried)} tried, {run.state.counts[State.DONE]} done"


@fault(
    "j", "a join of 10,000 while the scheduler is killed 20 times",
    done="10,000 jobs and one that takes all their results, SIGKILL to the scheduler 20 times under way",
    allowed="the join runs once, with all results",
)  # fmt: skip
async def wide_join(ground: Ground) -> str:
    trail, kills = ground.trail, 0

    def calls(path: str) -> object:
        return trail.task_join(
            path, "10000", [trail.task_step(path, str(n), seconds=0.001) for n in range(10_000)]
        )

    began = time.monotonic()
    run = await ground.submit("wide", calls)
    ended = asyncio.create_task(run.settled())
    while not ended.done() and kills < 20:
        kills += await ground.tree.kill("scheduler", ground.client)
        await asyncio.wait([ended], timeout=1.0)
    await ground.settled(run, 240)
    await ended
    need(run.state.counts[State.DONE] == 10_001, f"{run.state.counts}")
    return f"{time.monotonic() - began:.0f} s with {kills} kills"


@fault(
    "d", "the disk is slow",
    done="each fsync of the server takes half a second (strace; the kernel here has no dm-delay)",
    allowed="slow, and right",
)  # fmt: skip
async def slow_disk(ground: Ground) -> str:
    if shutil.which("strace") is None:
        raise NotHere("the program strace is not here, and there is no dm-delay")
    pid = read_json(ground.place.server_file)["pid"]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
    command += ["-e", "inject=fsync,fdatasync:delay_enter=500000", "-p", str(pid)]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        began = time.monotonic()
        async with under_load(ground, ("fan", "chain"), players=2) as count:
            await some(count, 2, 240)
        took = time.monotonic() - began
        renewed = read_json(ground.place.server_file)["pid"] != pid
        need(renewed or tracer.poll() is None, "strace has ended before the server")
        words = (
            "; meanwhile the host started the server anew, as it does when writes get no answer"
            if renewed
            else ""
        )
        return f"{count()} runs ended right in {took:.0f} s{words}"
    finally:
        tracer.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(10)
        tracer.stderr.close()
