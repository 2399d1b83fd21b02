"""Memory of one idle worker: all processes that exist because of it, shared pages divided (PSS)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from figures import Sample, Unsupported

PROCESSES = 1


def pss(pid: int) -> float:
    """MiB of a process, its share of what it shares included."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError as error:
        raise Unsupported(f"memory of process {pid} cannot be read: {error.strerror}") from error
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:"))


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """MiB of each worker after it has done something."""
    system.many(10)
    yield Sample("memory", "MiB", [sum(pss(pid) for pid in pids) for pids in system.worker_pids()])
