"""Two hundred jobs in a row, each needing the result of the one before."""

from __future__ import annotations

import time
from collections.abc import Iterator

from samples import Sample, rounds

ROUNDS = 3
LINKS = 200


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Milliseconds a link."""
    links = LINKS // 10 if quick else LINKS
    system.chain(5)
    taken = []
    for _ in rounds(ROUNDS, quick=quick):
        before = time.perf_counter()
        result = system.chain(links)
        taken.append((time.perf_counter() - before) * 1e3 / links)
        assert result == links
    yield Sample("chain", "ms/link", taken)
