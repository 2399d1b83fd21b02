"""An array of 1 GiB as argument and as result, and how much memory it takes beside itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
from memory_of import MIB, Peak
from samples import Sample, of

BYTES = 1024 * MIB


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Megabytes a second, both ways counted, and MiB of extra memory in each process."""
    size = BYTES // 16 if quick else BYTES
    processes = of(system, "processes")
    numbers = np.arange(size // 8, dtype="f8")
    system.negate(numbers[:10])
    with Peak({**processes(), "client": os.getpid()}) as peak:
        before = time.perf_counter()
        got = system.negate(numbers)
        taken = time.perf_counter() - before
    assert got.dtype == numbers.dtype and np.array_equal(got, -numbers)
    yield Sample("gigabyte", "MB/s", [2 * size / 1e6 / taken])
    value = size / MIB
    for name in peak.pids:
        grown = peak.grown(name)
        # The client has asked for the result, and a kernel may hold what its task was given or has made.
        holds = name == "client" or (name.startswith("kernel") and grown >= value)
        yield Sample(f"gigabyte_extra_{name}", "MiB", [max(0.0, grown - value if holds else grown)])
