"""Memory of one idle worker: all processes that exist because of it, shared pages divided (PSS)."""

from __future__ import annotations

from collections.abc import Iterator

from memory_of import pss
from samples import Sample, of


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """MiB of each worker after it has done something."""
    system.many(10)
    yield Sample("memory", "MiB", [sum(pss(pid) for pid in pids) for pids in of(system, "worker_pids")()])
