"""A hundred layers of a hundred jobs, each needing two of the layer before."""

from __future__ import annotations

import time
from collections.abc import Iterator

import work
from samples import Sample, of, rounds

ROUNDS = 3
SIDE = 100


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Seconds from the first call to the sum; what it cost client and scheduler, where they can be told."""
    side = SIDE // 5 if quick else SIDE
    draw = of(system, "graph")
    draw(3, 3)
    spent = getattr(system, "scheduler_cpu_s", None)
    taken, submitted, deciding = [], [], []
    for _ in rounds(ROUNDS, quick=quick):
        before, before_cpu = time.perf_counter(), spent() if spent else 0.0
        result = draw(side, side)
        taken.append(time.perf_counter() - before)
        assert result == work.graph_total(side, side)
        if spent:
            events = 2 * side * side  # each job is claimed and ends
            deciding.append((spent() - before_cpu) * 1e6 / events)
            submitted.append(system.submit_cpu_s)
    yield Sample("graph", "s", taken)
    if spent:
        yield Sample("graph_submit_cpu", "s", submitted)
        yield Sample("graph_scheduler_cpu", "us/event", deciding)
