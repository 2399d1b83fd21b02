"""An array of 10 MB through a task that returns its negative: client to worker to client."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from samples import Sample, of

ROUNDS = 10
MB = 10


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Megabytes a second, both ways counted; every array is a new one."""
    numbers = np.random.default_rng(1).random(MB * 1_000_000 // 8)
    negate = of(system, "negate")
    negate(numbers)
    rates = []
    for i in range(2 if quick else ROUNDS):
        sent = numbers + i + 1
        before = time.perf_counter()
        got = negate(sent)
        rates.append(2 * MB / (time.perf_counter() - before))
        assert got.dtype == sent.dtype and np.array_equal(got, -sent)
    yield Sample("arrays", "MB/s", rates)
