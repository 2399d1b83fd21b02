"""How much memory and time a kernel uses, and whether it was ended for want of memory.

Linux ends a process that has used up the memory there is by SIGKILL, like a person would. What
tells the two apart is a counter of such ends: of the process's own cgroup, where there is one,
else of the machine.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

COUNTERS = ("memory.events", "memory.oom_control")
"""In a cgroup: of version 2, of version 1."""
COUNT_S = 1.0
"""The counter to compare with is at least so old, so that it is from before the end in question."""
STALE_S = 3.0
"""After so long without a look, what was counted meanwhile was about somebody else."""
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPU_S = 1.0
"""Over a shorter time the processor's ticks, of 10 ms as a rule, say too little."""


@dataclass(eq=False)
class Memory:
    """One process, from its start to its end."""

    pid: int
    proc: Path = Path("/proc")
    used: int = 0
    """Bytes it was seen to use at most."""
    ran_out: bool = False
    """True once it is known that it was ended for want of memory."""
    _counters: list[Path] = field(init=False)
    _before: int = 0
    _latest: int = 0
    _counted: float = 0.0
    _own: int = 0
    """Bytes this process had used at most when the other began: Linux counts them as the other's too."""

    def __post_init__(self) -> None:
        self._counters = counters_of(self.pid, self.proc)
        self._before = self._latest = self._count()
        self._counted = time.monotonic()
        self._own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def look(self) -> None:
        """Take note of what it uses; called from time to time while it works."""
        self.used = max(self.used, used_by(self.pid, self.proc))
        now = time.monotonic()
        if now - self._counted > COUNT_S:
            count = self._count()
            self._before = count if now - self._counted > STALE_S else self._latest
            self._latest, self._counted = count, now

    def ended(self, most: int = 0) -> None:
        """The process was ended by SIGKILL, and the system says how many bytes it used at most: what for?"""
        self.ran_out = self._count() > self._before
        if most > self._own:
            self.used = max(self.used, most)

    def _count(self) -> int:
        return sum(count_in(path) for path in self._counters)


@dataclass(eq=False)
class Usage:
    """What a worker's present kernel uses, whichever process that is."""

    proc: Path = Path("/proc")
    cpu: float = 0.0
    """Cores that it kept busy between the last two looks."""
    _pid: int = 0
    _ticks: int = 0
    _looked: float = 0.0

    def of(self, pid: int) -> tuple[int, float]:
        """Bytes of memory that the process has, and how many cores it has lately kept busy; 0 if unknown."""
        now, ticks = time.monotonic(), ticks_of(pid, self.proc)
        took_s = now - self._looked
        if pid != self._pid:
            self.cpu = 0.0
        elif took_s < CPU_S:
            return used_by(pid, self.proc), self.cpu
        else:
            self.cpu = round(max(0, ticks - self._ticks) / TICKS_PER_S / took_s, 2)
        self._pid, self._ticks, self._looked = pid, ticks, now
        return used_by(pid, self.proc), self.cpu


def ticks_of(pid: int, proc: Path = Path("/proc")) -> int:
    """The processor's ticks that the process has had, with all its threads; 0 when it has ended."""
    try:
        # Behind the program's name, which may hold anything; fields 14 and 15 of the line.
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return 0


def reap(process: subprocess.Popen) -> tuple[int | None, int]:
    """The exit code of a child, None while it runs, and how many bytes it used at most; 0 if unknown."""
    if process.returncode is None:
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it: `poll` knows
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage.ru_maxrss * 1024
    return process.poll(), 0


def used_by(pid: int, proc: Path = Path("/proc")) -> int:
    """Bytes of memory that the process has; 0 when it has ended."""
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def count_in(path: Path) -> int:
    """How many processes were ended for want of memory, as the file says."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def counters_of(pid: int, proc: Path = Path("/proc")) -> list[Path]:
    """The files that count such ends among the process and its neighbours."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text().splitlines()
        mounts = (proc / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        return [proc / "vmstat"]
    found = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        for folder in mounted(mounts, path, version=1 if controllers else 2):
            found += [folder / name for name in COUNTERS if count_is_in(folder / name)]
    return found or [proc / "vmstat"]


def count_is_in(path: Path) -> bool:
    """True for a file with such a count."""
    try:
        return "oom_kill " in path.read_text()
    except OSError:
        return False


def mounted(mounts: list[str], path: str, version: int) -> list[Path]:
    """Where a cgroup's folder is, by the lines of `mountinfo`."""
    found = []
    for line in mounts:
        place, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        is_it = kind == "cgroup2" if version == 2 else kind == "cgroup" and "memory" in options.split(",")
        if is_it:
            root, mount = place.split(" ")[3:5]
            inner = path.removeprefix(root) if root != "/" else path
            found.append(Path(mount) / inner.lstrip("/"))
    return found


def ending(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        return f"was killed by signal {-code} ({name})"
    return f"ended itself with exit code {code}"
