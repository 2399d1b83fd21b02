"""What one job costs in runs of different sizes: it should not depend on how many there are."""

from __future__ import annotations

import time
from collections.abc import Iterator

from samples import Sample, of, rounds

SIZES = (1_000, 10_000, 100_000)


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Microseconds for each of so many jobs that do nothing."""
    of(system, "scales")
    system.many(100)
    for size in SIZES:
        taken = []
        for _ in rounds(1 if size == SIZES[-1] else 3, quick=quick):
            count = size // 10 if quick else size
            before = time.perf_counter()
            results = system.many(count)
            taken.append((time.perf_counter() - before) * 1e6 / count)
            assert list(results) == list(range(count))
        yield Sample(f"growth_{size}", "us/job", taken)
