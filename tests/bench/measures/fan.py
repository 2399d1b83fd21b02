"""One job, a thousand that need it, one that needs them all."""

from __future__ import annotations

import time
from collections.abc import Iterator

import work
from samples import Sample, rounds

ROUNDS = 3
WIDTH = 1_000


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Seconds from submit to the total."""
    width = WIDTH // 10 if quick else WIDTH
    system.fan(10)
    taken = []
    for _ in rounds(ROUNDS, quick=quick):
        before = time.perf_counter()
        result = system.fan(width)
        taken.append(time.perf_counter() - before)
        assert result == work.fan_total(width)
    yield Sample("fan", "s", taken)
