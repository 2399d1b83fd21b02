"""A million jobs in one run; when a third of them are done, the scheduler is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from memory_of import Peak
from samples import Sample, of

JOBS = 1_000_000
LOOK_S = 0.1


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Minutes, the largest size of each process, and how long nothing happened after the kill."""
    jobs = JOBS // 50 if quick else JOBS
    submit = of(system, "submit")
    system.many(100)
    processes = system.processes()
    with Peak({**processes, "client": os.getpid()}, every_s=0.25) as peak:
        before = time.perf_counter()
        run = submit(jobs)
        submitted = time.perf_counter() - before
        killed, stalled = _kill_meanwhile(run, system, jobs, peak)
        assert run.result(timeout=None) == list(range(jobs))
        taken = time.perf_counter() - before
    assert killed
    yield Sample("million", "min", [taken / 60])
    yield Sample("million_submitted", "s", [submitted])
    yield Sample("million_stalled", "s", [stalled])
    for name in peak.pids:
        yield Sample(f"million_{name}", "MiB", [peak.most[name]])


def _kill_meanwhile(run, system, jobs: int, peak: Peak) -> tuple[bool, float]:
    """Kill the scheduler on the way; gives the longest time after that in which no job ended."""
    first, killed, stalled, done, since = peak.pids["scheduler"], False, 0.0, 0, time.perf_counter()
    while not run.settled:
        time.sleep(LOOK_S)
        now = run.counts["done"]
        if now != done:
            done, since = now, time.perf_counter()
        elif killed:
            stalled = max(stalled, time.perf_counter() - since)
        if not killed and done > jobs // 3:
            os.kill(first, signal.SIGKILL)
            killed = True
        if killed and peak.pids["scheduler"] == first:
            peak.pids["scheduler"] = system.scheduler_pid() or first  # the one that came after it
    return killed, stalled
