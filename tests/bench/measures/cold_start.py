"""From starting Python to the first result: import, servers, two workers, one job."""

from __future__ import annotations

import time
from collections.abc import Iterator

from samples import Sample


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Seconds since the process was started."""
    assert system.one(7) == 7
    yield Sample("cold_start", "s", [time.time() - started])
