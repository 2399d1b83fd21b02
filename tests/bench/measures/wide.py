"""A hundred thousand independent jobs from one call."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

from memory_of import Peak
from samples import Sample, of

JOBS = 100_000


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Seconds until the first job began, until all results are there, and the client's growth."""
    jobs = JOBS // 10 if quick else JOBS
    begin = of(system, "began")
    begin(100)
    gc.collect()
    with Peak({"client": os.getpid()}) as peak:
        called, before = time.time(), time.perf_counter()
        begun = begin(jobs)
        taken = time.perf_counter() - before
    assert len(begun) == jobs
    yield Sample("wide_first_start", "s", [min(begun) - called])
    yield Sample("wide", "s", [taken])
    yield Sample("wide_client_growth", "MiB", [peak.grown("client")])
