"""A process that stands still, for certain: the signal alone is sent before every thread has stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

LIMIT_S = 40.0


def freeze(number: int) -> None:
    """Holds afterwards: no thread of the process runs until it is sent SIGCONT."""
    os.kill(number, signal.SIGSTOP)
    deadline = time.monotonic() + LIMIT_S
    while not all(
        stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in Path(f"/proc/{number}/task").glob("*/stat")
    ):
        assert time.monotonic() < deadline, f"process {number} did not stop"
