"""Memory and processor time of processes, as Linux tells them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from samples import Unsupported

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """MiB of a process, its share of what it shares included."""
    return _line(pid, "smaps_rollup", "Pss:")


def own(pid: int) -> float:
    """MiB that a process has for itself: not files, and nothing that is shared."""
    return _line(pid, "status", "RssAnon:")


def resident(pid: int) -> float:
    """MiB of a process."""
    return _line(pid, "status", "VmRSS:")


def _line(pid: int, file: str, word: str) -> float:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError as error:
        raise Unsupported(f"memory of process {pid} cannot be read: {error.strerror}") from error
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(word))


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Peak:
    """The most that processes had for themselves while it was watched, beyond what they had before."""

    def __init__(self, pids: dict[str, int], every_s: float = 0.02) -> None:
        self.pids = pids
        self.every_s = every_s
        self.before = {name: own(pid) for name, pid in pids.items()}
        self.most = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def grown(self, name: str) -> float:
        """MiB by which the process was larger at its largest."""
        return self.most[name] - self.before[name]

    def _watch(self) -> None:
        while not self._over.is_set():
            for name, pid in self.pids.items():
                try:
                    self.most[name] = max(self.most[name], own(pid))
                except Unsupported:  # it has ended
                    continue
            time.sleep(self.every_s)
