"""Ten thousand independent jobs that do nothing, until all results are in the client."""

from __future__ import annotations

import time
from collections.abc import Iterator

from samples import Sample, rounds

ROUNDS = 3
JOBS = 10_000


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Jobs a second."""
    jobs = JOBS // 10 if quick else JOBS
    system.many(100)
    rates = []
    for _ in rounds(ROUNDS, quick=quick):
        before = time.perf_counter()
        results = system.many(jobs)
        rates.append(jobs / (time.perf_counter() - before))
        assert list(results) == list(range(jobs))
    yield Sample("noop_throughput", "jobs/s", rates)
