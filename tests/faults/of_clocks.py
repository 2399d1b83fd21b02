"""Fault 29: clocks that are wrong or jump, and a machine that sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from ground import HERE, LEASE_S, Ground, NotHere, need, until
from images import tell
from table import fault

from elfbook.facts import Succeeded


def preload(ground: Ground) -> Path:
    """The library that makes a process believe in another time, compiled from skew.c."""
    library = ground.folder / "skew.so"
    if shutil.which("cc") is None:
        raise NotHere("there is no C compiler here, and a skewed clock is a small C library")
    tell("cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "skew.c", "-ldl")
    return library


@contextlib.contextmanager
def worker_at(ground: Ground, pool: str, when: str):
    """A worker and its kernel whose clock is off; gives the file that says by how much."""
    file = ground.folder / f"clock-{pool}"
    file.write_text(when)
    environ = os.environ | {"LD_PRELOAD": str(preload(ground)), "SKEW_FILE": str(file)}
    runtime = ground.folder / f"run-{pool}"
    runtime.mkdir()
    command = [sys.executable, "-m", "elfbook.work.workerprocess", "--state-dir", str(ground.place.state_dir)]
    command += ["--name", f"clock-{pool}", "--pool", pool, "--runtime", str(runtime)]
    with (ground.folder / f"worker-{pool}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield file
    finally:
        process.terminate()
        process.wait(30)


CLOCK = """\
import time


class Clock:
    def task_look(self, seconds):
        time.sleep(seconds)
        return time.time()
"""


@fault(
    "29", "clocks that are an hour off, or jump while a job runs",
    done="workers and kernels with their own wall clock (skew.c): an hour ahead, an hour behind, and a step of an hour under way "
    "(there are no schedules yet, so nothing depends on summer time)",
    allowed="no job expires early or late, no lease ends, no negative duration",
)  # fmt: skip
async def clocks_off(ground: Ground) -> str:
    clock = ground.book.cell(CLOCK)["Clock"]()
    pools = {"ahead": "+3600", "behind": "-3600", "jumping": "+0"}
    with contextlib.ExitStack() as stack:
        files = {pool: stack.enter_context(worker_at(ground, pool, when)) for pool, when in pools.items()}

        async def there() -> bool:
            return {beat.pool for beat in await ground.client.workers()} >= set(pools)

        await until(there, "the workers with odd clocks are there")
        runs = {
            pool: await ground.book.submit(
                f"clock_{pool}",
                lambda: [clock.task_look(s) for s in (0.0, 2.0, 2.0)],
                pool=pool,
                timeout_s=5.0,
            )
            for pool in pools
        }
        await until(lambda: runs["jumping"].state.jobs[0].ended_at, "the first job has ended")
        files["jumping"].write_text("+3600")
        for pool, run in runs.items():
            await ground.settled(ground.note(run, None))
            ends = [job.event for job in run.state.jobs]
            need(all(isinstance(end, Succeeded) for end in ends), f"{pool}: {ends}")
            need(all(end.elapsed_s >= 0 for end in ends), f"{pool}: {ends}")
            need(all(job.attempt == 1 for job in run.state.jobs), f"{pool}: tried again")
        ahead, behind = await ground.book.value(runs["ahead"], 0), await ground.book.value(runs["behind"], 0)
        need(abs(ahead - behind - 7200) < 120, "the clocks were not off")
        first, *_, last = await ground.book.values(runs["jumping"])
        need(last - first > 3500, "the clock has not jumped")
    return "nine jobs with a limit of 5 s, each done once; the clocks were two hours apart, and one jumped"


@fault(
    "29b", "the machine sleeps", quick=True,
    done=f"SIGSTOP to every process of the mycelium for {2 * LEASE_S:g} s, then SIGCONT, with a job under way",
    allowed="one result; whether the attempt counts or another one is made",
)  # fmt: skip
async def asleep(ground: Ground) -> str:
    trail, gate = ground.trail, ground.path("gate29")
    run = await ground.submit("asleep", lambda path: trail.task_step(path, "0", gate=gate))
    await until(lambda: ground.begun(run), "the job has begun")
    everything = await ground.tree.numbers("everything", ground.client)
    for pid in everything:
        ground.tree.send(pid, signal.SIGSTOP)
    try:
        wake_at = time.monotonic() + 2 * LEASE_S
        while time.monotonic() < wake_at:
            await asyncio.sleep(0.1)
        Path(gate).touch()
    finally:
        for pid in everything:
            ground.tree.send(pid, signal.SIGCONT)
    await ground.settled(run)
    need(isinstance(run.state.jobs[0].event, Succeeded), f"it ended as {run.state.jobs[0].event}")
    return f"after {2 * LEASE_S:g} s of sleep the job was done, with {len(ground.begun(run))} attempt(s)"
