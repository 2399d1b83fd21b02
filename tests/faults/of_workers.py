"""Faults 1 to 8: workers and kernels that die, freeze, or are held by what they run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ground import HERE, LEASE_S, Ground, NotHere, hostfile, need, until
from table import fault

from elfbook.facts import Claimed, Failed, Lost, State, Succeeded

RUDE = '''\
import ctypes
import os
import sys


class Rude:
    def task_hold_gil(self, seconds):
        """PyDLL, unlike CDLL, keeps the interpreter's lock while C runs."""
        ctypes.PyDLL(None).sleep(int(seconds))
        return seconds

    def task_read_zero(self):
        ctypes.string_at(0)

    def task_leave(self, how):
        print("last words", flush=True)
        {"os._exit": os._exit, "sys.exit": sys.exit}[how](7)

    def task_eat(self, megabytes):
        held = [b"x" * 2**20 for _ in range(megabytes)]
        return len(held)
'''


def kinds(watched, job: int) -> list[str]:
    """How the attempts of a job ended."""
    return [type(fact.event).__name__ for fact in watched.state.jobs[job].history]


async def begun_at(ground: Ground, watched, job: int, worker: str = "", timeout_s: float = 20.0) -> str:
    """The worker whose kernel has begun the job; another one than `worker`."""

    async def there() -> str:
        now = watched.state.jobs[job]
        fresh = now.state is State.RUNNING and now.worker != worker
        return now.worker if fresh and len(ground.begun(watched, job)) >= now.attempt else ""

    return await until(
        there, f"job {job} of {watched.run} has begun on another worker than {worker!r}", timeout_s
    )


@fault(
    "1", "kill -9 of a worker in the middle of a job", quick=True,
    done="SIGKILL to the worker whose kernel has begun the job",
    allowed="a second attempt elsewhere within a lease, one result",
)  # fmt: skip
async def worker_killed(ground: Ground) -> str:
    trail, gate = ground.trail, ground.path("gate1")
    run = await ground.submit("killed", lambda path: trail.task_step(path, "0", gate=gate))
    worker = await begun_at(ground, run, 0)
    await ground.tree.kill("worker", ground.client, worker)
    began = time.monotonic()
    taker = await begun_at(ground, run, 0, worker, LEASE_S + 5)
    took = time.monotonic() - began
    Path(gate).touch()
    await ground.settled(run)
    need(kinds(run, 0) == ["Lost", "Succeeded"], f"the attempts ended as {kinds(run, 0)}")
    need(took <= LEASE_S + 1, f"only after {took:.1f} s, with a lease of {LEASE_S:g} s")
    return f"attempt 2 had begun on {taker} after {took:.1f} s"


async def doomed(ground: Ground, at: str) -> subprocess.Popen:
    """A worker of the pool `dies-at-…` that kills itself at a chosen point of its first job."""
    runtime = ground.folder / f"dies-at-{at}"
    runtime.mkdir()
    command = [sys.executable, str(HERE / "failing.py"), at, "--state-dir", str(ground.place.state_dir)]
    command += [
        "--name",
        f"doomed-{at}-{os.getpid()}",
        "--pool",
        f"dies-at-{at}",
        "--runtime",
        str(runtime),
    ]
    if ground.place.url:
        command += ["--url", ground.place.url]
    log = (ground.folder / f"doomed-{at}.log").open("wb")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
    )

    async def there() -> bool:
        need(process.poll() is None, f"the worker ended: {(ground.folder / f'doomed-{at}.log').read_text()}")
        return any(beat.pool == f"dies-at-{at}" for beat in await ground.client.workers())

    await until(there, "the doomed worker is there")
    return process


async def end_doomed(ground: Ground, process: subprocess.Popen, timeout_s: float = 20.0) -> None:
    """Holds afterwards: it has killed itself, and its orphaned kernel has ended too."""
    await until(lambda: process.poll() is not None, "the worker has killed itself", timeout_s)
    need(process.returncode == -signal.SIGKILL, f"it ended with {process.returncode} instead")


@fault(
    "2", "kill -9 of a worker between record and acceptance", quick=True,
    done="the worker kills itself after its result is stored, before it accepts the offer",
    allowed="nothing runs again; the offer comes back and is dropped",
)  # fmt: skip
async def dead_before_accepting(ground: Ground) -> str:
    process = await doomed(ground, "accept")
    trail = ground.trail
    run = await ground.submit("unaccepted", lambda path: trail.task_step(path, "0"), pool="dies-at-accept")
    await ground.settled(run)
    await end_doomed(ground, process)
    await asyncio.to_thread(hostfile.ensure, ground.place, workers=1, pool="dies-at-accept")
    need(kinds(run, 0) == ["Succeeded"], f"the attempts ended as {kinds(run, 0)}")
    need(len(ground.begun(run)) == 1, "it ran again")
    return "one attempt; its offer was dropped unrun by the next worker of the pool"


@fault(
    "3", "kill -9 of a worker between blob and record", quick=True,
    done="the worker kills itself when the result's bytes are stored and its record is not",
    allowed="another attempt, whose result counts; the first one's bytes are named by nothing",
)  # fmt: skip
async def dead_before_recording(ground: Ground) -> str:
    process = await doomed(ground, "record")
    trail = ground.trail
    run = await ground.submit(
        "unrecorded", lambda path: trail.task_step(path, "0", size=10**6), pool="dies-at-record"
    )
    await end_doomed(ground, process)
    await asyncio.to_thread(hostfile.ensure, ground.place, workers=1, pool="dies-at-record")
    await ground.settled(run)
    need(kinds(run, 0) == ["Lost", "Succeeded"], f"the attempts ended as {kinds(run, 0)}")
    return "a second attempt; the orphaned bytes stay in the store, which is never trimmed"


@fault(
    "4", "a worker is frozen past its lease and wakes", quick=True,
    done=f"SIGSTOP to the worker for more than a lease of {LEASE_S:g} s, then SIGCONT",
    allowed="the second attempt's result counts; the first one's is refused and kept as a note",
)  # fmt: skip
async def worker_frozen(ground: Ground) -> str:
    trail = ground.trail
    gates = [ground.path("gate4a"), ground.path("gate4b")]
    # The first attempt waits for the second gate, which opens when all is over; the second for the first.
    run = await ground.submit("frozen", lambda path: trail.task_step(path, "0", gate=gates[0]))
    worker = await begun_at(ground, run, 0)
    frozen = await ground.pid_of(worker)
    ground.tree.send(frozen, signal.SIGSTOP)
    began = time.monotonic()
    try:
        taker = await begun_at(ground, run, 0, worker, 3 * LEASE_S)
        took = time.monotonic() - began
        Path(gates[0]).touch()  # both attempts end now; only the second can be stored
        await ground.settled(run)
    finally:
        ground.tree.send(frozen, signal.SIGCONT)

    async def idle() -> bool:
        return any(b.worker == worker and not b.running for b in await ground.client.workers())

    await until(idle, f"{worker} has woken and works on")
    need(kinds(run, 0) == ["Lost", "Succeeded"], f"the attempts ended as {kinds(run, 0)}")
    need(run.state.jobs[0].worker == taker, "the frozen worker's result counted")

    async def noted() -> bool:
        await run.complete_outputs()
        return any(output.kind == "late" for output in run.outputs.get(0, ()))

    await until(noted, "the late result is kept as a note")
    return f"{taker} took over after {took:.1f} s; the late result is a note beside the job's output"


async def gil_held(ground: Ground, seconds: int) -> str:
    rude = ground.book.cell(RUDE)["Rude"]()
    run = ground.note(await ground.book.submit("gil", lambda: rude.task_hold_gil(seconds)), None)
    await ground.settled(run, seconds + 30)
    need(kinds(run, 0) == ["Succeeded"], f"the attempts ended as {kinds(run, 0)}")
    return f"one attempt of {run.state.jobs[0].event.elapsed_s:.0f} s, nobody took it over"


@fault(
    "5", "C code holds the GIL for two leases", quick=True,
    done=f"a task calls C that keeps the interpreter's lock for {2 * LEASE_S:g} s",
    allowed="one attempt: the worker is another process and says meanwhile that it is alive",
)  # fmt: skip
async def gil_held_short(ground: Ground) -> str:
    return await gil_held(ground, int(2 * LEASE_S))


@fault(
    "5b", "C code holds the GIL for a minute",
    done="as 5, for 60 s", allowed="as 5",
)  # fmt: skip
async def gil_held_long(ground: Ground) -> str:
    return await gil_held(ground, 60)


def memory_group(name: str, limit: int) -> tuple[Path, Path]:
    """A new cgroup with a memory limit, and the file that takes process numbers."""
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    try:
        if (one / "memory.limit_in_bytes").exists():
            group = one / name
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(limit))
        else:
            group = two / name
            group.mkdir()
            (group / "memory.max").write_text(str(limit))
    except OSError as error:
        raise NotHere(f"no memory cgroup can be made here: {error}") from error
    return group, group / "cgroup.procs"


@fault(
    "6", "the kernel is killed for want of memory",
    done="worker and kernel in a cgroup of 400 MB; a task that needs 2 GB",
    allowed="counted as out of memory, by a budget of its own; then the job fails and says so; others go on",
)  # fmt: skip
async def out_of_memory(ground: Ground) -> str:
    report = await asyncio.to_thread(hostfile.ensure, ground.place, workers=1, pool="small")
    group, members = memory_group(f"elfbook-{os.getpid()}", 400 * 2**20)
    try:
        beat = next(b for b in await ground.client.workers() if b.pool == "small")
        for pid in (beat.pid, beat.kernel_pid):
            members.write_text(str(pid))
        rude = ground.book.cell(RUDE)["Rude"]()
        policy = {"pool": "small", "backoff_s": 0.05, "lost_retries": 1}
        run = await ground.book.submit("hungry", lambda: [rude.task_eat(2000), rude.task_eat(1)], **policy)
        await ground.settled(ground.note(run, None), 60)
        states = [job.state.value for job in run.state.jobs]
        need(states == ["failed", "done"], f"the jobs ended as {states}")
        why = run.state.jobs[0].event
        need(isinstance(why, Failed) and why.outcome == "out of memory", f"it ended as {why}")
        need({b.pid for b in await ground.client.workers()} >= {beat.pid}, "the worker itself died")
        return (
            f"{len(run.state.jobs[0].history)} attempts, the last: {why.failure.type}: {why.failure.message}"
        )
    finally:
        for pid in members.read_text().split():  # back to the root, so that the group can go
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()
        need(report.workers, "there were workers")


@fault(
    "7", "a segmentation fault in a task", quick=True,
    done="ctypes.string_at(0)", allowed="as 1; the message has the place in the user's code",
)  # fmt: skip
async def segfault(ground: Ground) -> str:
    rude = ground.book.cell(RUDE)["Rude"]()
    policy = {"lost_retries": 1, "backoff_s": 0.05}
    run = ground.note(await ground.book.submit("zero", rude.task_read_zero, **policy), None)
    await ground.settled(run)
    event = run.state.jobs[0].event
    need(kinds(run, 0) == ["Lost", "Lost"], f"the attempts ended as {kinds(run, 0)}")
    need("SIGSEGV" in event.why and "task_read_zero" in event.why + event.last_output, f"it says: {event}")
    return event.why


@fault(
    "8", "the kernel ends itself in a task", quick=True,
    done="os._exit(7), and sys.exit(7)",
    allowed="os._exit loses the attempt and says so; sys.exit is an exception of the task",
)  # fmt: skip
async def kernel_leaves(ground: Ground) -> str:
    rude = ground.book.cell(RUDE)["Rude"]()
    policy = {"lost_retries": 1, "retries": 1, "backoff_s": 0.05}
    calls = [rude.task_leave]
    run = await ground.book.submit(
        "leave", lambda: [calls[0](how) for how in ("os._exit", "sys.exit")], **policy
    )
    await ground.settled(ground.note(run, None))
    lost, raised = (job.event for job in run.state.jobs)
    need(
        isinstance(lost, Lost) and "exit code 7" in lost.why and "last words" in lost.why, f"it says: {lost}"
    )
    need(isinstance(raised, Failed) and raised.failure.type == "SystemExit", f"it says: {raised}")
    return f"{lost.why} sys.exit: {raised.failure.type}: {raised.failure.message}"


__all__ = ["Claimed", "Succeeded", "begun_at", "kinds"]
