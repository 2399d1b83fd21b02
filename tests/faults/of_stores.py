"""Faults 18 to 21: a disk that is full, bytes that change, files and streams that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from blocks import alter
from ground import Ground, fresh, hostfile, make_folder, need, until
from images import tmpfs
from table import fault

from elfbook.errors import ElfbookError, MyceliumError, StoreFull, StoreRegressed
from elfbook.facts import State
from elfbook.log.fold import to_reopen
from elfbook.notebook.checks import examine
from elfbook.store import server
from elfbook.store.link import Unanswered
from elfbook.store.place import read_json

DISK_MB = 96
SAID_S = 20.0
"""Within which a full store has to be named."""


async def fill(path: Path) -> None:
    """Use up all that the file system has."""
    with contextlib.suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()


@fault(
    "18", "the store's disk is full", own=True, workers=0,
    done=f"the state directory on a file system of {DISK_MB} MB, filled up under way; then room is made",
    allowed="a submission ends in StoreFull, by name; nothing acknowledged is lost; with room again all goes on",
)  # fmt: skip
async def disk_full(_: Ground) -> str:
    folder = make_folder()
    try:
        with tmpfs(folder / "disk", DISK_MB):
            async with fresh(inside=folder / "disk") as ground:
                return await _full_and_empty_again(ground, folder / "disk" / "filler")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _full_and_empty_again(ground: Ground, filler: Path) -> str:
    trail = ground.trail
    held = await ground.submit(
        "held", lambda path: [trail.task_step(path, str(n), seconds=0.05) for n in range(100)]
    )
    await until(lambda: held.state.counts[State.DONE] > 3, "some jobs have ended")
    await fill(filler)
    began, raised = time.monotonic(), None
    literal = os.urandom(2**20)
    while raised is None and time.monotonic() < began + 60:
        try:
            await ground.book.submit("more", lambda: trail.task_step("", literal + os.urandom(8)))
        except (ElfbookError, Unanswered) as error:
            raised = error
    took = time.monotonic() - began
    filler.unlink()
    need(isinstance(raised, StoreFull), f"after {took:.0f} s it was {raised!r}")
    await ground.settled(held, 120)
    need(held.state.counts[State.DONE] == 100, f"{held.state.counts}")
    after = await ground.submit("after", lambda path: trail.task_step(path, "0"))
    await ground.settled(after, 60)
    await ground.checked()
    return f"after {took:.1f} s: StoreFull: {raised}; with room again the run that was under way ended"


async def ended_and_stopped(ground: Ground) -> tuple[int, list]:
    """A run that has ended, on a mycelium that is down; how many attempts there were, and the run."""
    trail = ground.trail
    run = await ground.submit("before", lambda path: [trail.task_step(path, str(n)) for n in range(300)])
    await ground.settled(run)
    await until(ground.place.marks_file.exists, "the host has noted how far the store had come")
    mycelium = ground.client.mycelium

    async def marked() -> bool:
        noted = read_json(ground.place.marks_file) or {}
        streams = noted.get("streams", noted)
        return streams[mycelium.names.jobs]["last"] >= await mycelium.end_of(mycelium.names.jobs)

    await until(marked, "the host has noted all of it", 20)
    begun = len(ground.begun(run))
    await ground.client.close()
    ground.client = None
    await asyncio.to_thread(hostfile.stop, ground.place)
    return begun, [run]


def block_of(ground: Ground, stream: str) -> Path:
    """The newest file with a stream's messages."""
    found = sorted(ground.place.state_dir.glob(f"store/jetstream/*/streams/*{stream}/msgs/*.blk"))
    need(found, f"the store has no file for {stream}")
    return found[-1]


async def said_of_it(ground: Ground, run, begun: int) -> str:
    """What elfbook says when it comes up on a store that was harmed; Broken when it says nothing."""
    ground.ruined = True
    said: list[str] = []
    try:
        report = await asyncio.to_thread(hostfile.ensure, ground.place, workers=1)
        said += report.losses
    except ElfbookError as error:
        said.append(f"{type(error).__name__}: {error}")
    if not said:
        with contextlib.suppress(ElfbookError):
            await ground.connect()
            ground.submitted.clear()
            try:
                again = await asyncio.wait_for(
                    ground.client.watch(run.manifest.flow, run.manifest.number), 30
                )
                said += [f"the notebook says {again.state.counts}"] if not again.state.settled else []
            except ElfbookError as error:
                said.append(f"{type(error).__name__}: {error}")
    need(said, "the store was harmed and nobody says so")
    need(begun == _attempts(ground), "jobs that had ended ran again, silently")
    return "; ".join(said)


def _attempts(ground: Ground) -> int:
    import trails

    return sum(
        m.what == "begin" for path in ground.folder.glob("before*.trail") for m in trails.marks_of(path)
    )


@fault(
    "19", "a bit of the store changes", quick=True, own=True,
    done="a byte in the middle of the log's file is flipped while all is down",
    allowed="what is gone is named when it comes up; nothing is run again silently, nothing shown as done that is not known",
)  # fmt: skip
async def bit_flipped(ground: Ground) -> str:
    begun, (run,) = await ended_and_stopped(ground)
    block = block_of(ground, "JOBS")
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 0x10
    block.write_bytes(data)
    return await said_of_it(ground, run, begun)


@fault(
    "19b", "a record is altered, and the server's checksum too", quick=True, own=True,
    done="a byte of the last record of the log's file is changed while all is down, and the checksum behind it "
    "made again: the server finds nothing wrong",
    allowed="jobs that the record may have been about are named, and not run again before somebody asks for it",
)  # fmt: skip
async def record_altered(ground: Ground) -> str:
    ground.ruined = True
    begun, (run,) = await ended_and_stopped(ground)
    seq = alter(block_of(ground, "JOBS"), "ELF_main_JOBS", b"event", b"Event")
    report = await asyncio.to_thread(hostfile.ensure, ground.place, workers=2)
    need(not report.losses, f"the server has noticed it: {report.losses}")
    await ground.connect()
    again = await ground.client.watch(run.manifest.flow, run.manifest.number)
    await again.catch_up()
    bad = [job for job, now in enumerate(again.state.jobs) if now.state is not State.DONE]
    kinds = {now.event.failure.type for now in again.state.jobs if now.state is State.FAILED}
    need(bad and kinds == {"Untrusted"}, f"record {seq} was altered, and it says {again.state.counts}")
    need(begun == _attempts(ground), "jobs that had ended ran again, silently")
    told = await asyncio.to_thread(examine, ground.place)
    need(any("was altered or moved" in check.words for check in told.checks), "the doctor does not say so")
    await ground.client.reopen(again, to_reopen(again.state))
    await ground.settled(again)
    need(again.state.counts[State.DONE] == 300, f"retried, it is {again.state.counts}")
    return f"{len(bad)} jobs: {again.state.jobs[bad[0]].history[-2].event.failure.message}; retried, all are done"


@fault(
    "20", "the store's file is cut short", own=True,
    done="the second half of the log's file is cut off while all is down",
    allowed="as 19",
)  # fmt: skip
async def file_truncated(ground: Ground) -> str:
    begun, (run,) = await ended_and_stopped(ground)
    block = block_of(ground, "JOBS")
    with block.open("r+b") as file:
        file.truncate(block.stat().st_size // 2)
    return await said_of_it(ground, run, begun)


@fault(
    "20b", "the server's index of the log is gone", own=True,
    done="the server's index file of JOBS is removed while all is down",
    allowed="nothing is lost: the server reads the log itself",
)  # fmt: skip
async def index_removed(ground: Ground) -> str:
    _, (run,) = await ended_and_stopped(ground)
    for index in block_of(ground, "JOBS").parent.glob("index.db"):
        index.unlink()
    report = await asyncio.to_thread(hostfile.ensure, ground.place, workers=2)
    need(not report.losses, f"it says {report.losses}")
    await ground.connect()
    ground.watched[run.run] = await ground.client.watch(run.manifest.flow, run.manifest.number)
    return "nothing was lost"


@fault(
    "20c", "the log's file is gone", own=True,
    done="the files of JOBS are removed while all is down", allowed="as 19",
)  # fmt: skip
async def file_removed(ground: Ground) -> str:
    begun, (run,) = await ended_and_stopped(ground)
    shutil.rmtree(block_of(ground, "JOBS").parent)
    return await said_of_it(ground, run, begun)


@fault(
    "21", "streams and consumers are deleted by hand", quick=True, own=True,
    done="the work queue, its consumers and the outputs are deleted in the middle of a run",
    allowed="they are made again from the log, the run ends",
)  # fmt: skip
async def deleted_by_hand(ground: Ground) -> str:
    trail, link = ground.trail, ground.client.mycelium.link
    names = ground.client.mycelium.names
    run = await ground.submit(
        "deleted", lambda path: [trail.task_step(path, str(n), seconds=0.05) for n in range(120)]
    )

    async def gone(verb: str) -> None:
        before = run.state.counts[State.DONE]
        await until(lambda: run.state.counts[State.DONE] > before + 5, "the run goes on", 45)
        await link.api(verb)

    await gone(f"CONSUMER.DELETE.{names.work}.pool-main")
    await gone(f"STREAM.DELETE.{names.work}")
    await gone(f"STREAM.DELETE.{names.output}")
    await ground.settled(run, 90)
    need(run.state.counts[State.DONE] == 120, f"{run.state.counts}")
    return "consumer, queue and outputs: the run went on each time"


@fault(
    "21b", "the log itself is deleted by hand", own=True,
    done="the stream JOBS is deleted in the middle of a run",
    allowed="whoever watches hears StoreRegressed; nothing hangs",
)  # fmt: skip
async def log_deleted(ground: Ground) -> str:
    ground.ruined = True
    trail, gate = ground.trail, ground.path("gate21")
    run = await ground.submit(
        "logless", lambda path: [trail.task_step(path, str(n), gate=gate) for n in range(3)]
    )
    await until(lambda: run.state.counts[State.RUNNING], "a job runs")
    await ground.client.mycelium.link.api(f"STREAM.DELETE.{ground.client.mycelium.names.jobs}")
    began = time.monotonic()
    try:
        await asyncio.wait_for(run.settled(), 30)
    except (MyceliumError, TimeoutError) as error:
        need(isinstance(error, StoreRegressed), f"it was {error!r}")
        Path(gate).touch()
        return f"after {time.monotonic() - began:.1f} s: {error}"
    raise AssertionError("the run has settled without a log")


__all__ = ["os", "server", "signal"]
