"""A job that does nothing, when nothing else goes on: from the call to its result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from samples import Sample, rounds

ROUNDS = 3
CALLS = 200


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Milliseconds, the middle one and the slowest in a hundred of each round."""
    for i in range(20):
        system.one(i)
    middle, slow = [], []
    for _ in rounds(ROUNDS, quick=quick):
        taken = []
        for i in range(CALLS // 10 if quick else CALLS):
            before = time.perf_counter()
            result = system.one(i)
            taken.append((time.perf_counter() - before) * 1e3)
            assert result == i
        middle.append(statistics.median(taken))
        slow.append(statistics.quantiles(taken, n=100)[-1])
    yield Sample("noop_latency_p50", "ms", middle)
    yield Sample("noop_latency_p99", "ms", slow)
