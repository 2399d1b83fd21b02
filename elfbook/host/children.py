"""A host's children: forked from it as it starts, and started as programs of their own later.

To import what a worker needs takes as long as to start its kernel. The host imports it once, and
forks its first scheduler and workers, while it has no thread and no event loop; they share that
memory with it. Who dies is started anew as a program, since by then the host has both.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elfbook.host import schedulerprocess
from elfbook.work import workerprocess

MAINS = {"host.schedulerprocess": schedulerprocess.main, "work.workerprocess": workerprocess.main}
LOOK_S = 0.02
STANDARD = 3
"""Descriptors below this are input, output and errors."""
COMM_CHARS = 15


@dataclass(eq=False)
class Process:
    """A child's process, however it was started."""

    pid: int
    pipe: int
    """Our end of its standard input: it leaves when that is closed."""
    returncode: int | None = None

    def look(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.close()
        return self.returncode

    async def wait(self) -> None:
        while self.look() is None:
            await asyncio.sleep(LOOK_S)

    def begin(self) -> None:
        """Let it connect."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is noticed soon
            os.write(self.pipe, b"begin\n")

    def close(self) -> None:
        """Tell it to leave."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def kill(self) -> None:
        if self.look() is None:
            os.kill(self.pid, signal.SIGKILL)


@dataclass(eq=False)
class Child:
    """A process the host keeps going."""

    name: str
    module: str
    words: list[str]
    """Its arguments."""
    log: Path
    elf: tuple[str, ...] = ()
    kernel: str = ""
    pool: str = ""
    process: Process | None = None
    started_at: float = 0.0
    fast_deaths: int = 0
    told: bool = False
    """True once it was told to begin: there is a server, and what the store has lost is known."""
    ready: bool = False
    trouble: str = ""
    """Why it does not start, after some attempts; "" once one of its lives was heard of."""
    kernel_pid: int = 0

    def heard(self) -> None:
        """It lives, and does what it is there for."""
        self.ready, self.fast_deaths, self.trouble = True, 0, ""

    def end_kernel(self) -> None:
        """Nothing runs any more of the kernel that it had under it, if it had one."""
        if self.kernel_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.kernel_pid, signal.SIGKILL)

    def start(self, launch: Callable[[Child, int, int], int]) -> None:
        """Holds afterwards: the process runs, by `fork` or by `execute`, and has not been told to begin."""
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        theirs, ours = os.pipe()
        with open(self.log, "ab") as output:
            pid = launch(self, theirs, output.fileno())
        os.close(theirs)
        self.process = Process(pid, ours)
        self.started_at, self.ready, self.told = time.monotonic(), False, False


def execute(child: Child, stdin: int, output: int) -> int:
    """Start the child as a program of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"elfbook.{child.module}", *child.words],
        stdin=stdin,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    process.returncode = 0  # who waits for it is `Process`
    return process.pid


def fork(child: Child, stdin: int, output: int) -> int:
    """Start the child as a copy of this process, which has one thread and no event loop."""
    gc.freeze()  # what is there is shared for as long as nobody writes to it
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _settle(child, stdin, output)
        code = MAINS[child.module](child.words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the parent would do at its end is not for a child to do


def _settle(child: Child, stdin: int, output: int) -> None:
    """Let go of all that is the parent's: its session, its files, its locks."""
    os.setsid()
    for number, descriptor in enumerate((stdin, output, output)):
        os.dup2(descriptor, number)
    os.closerange(STANDARD, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError):  # how it is called in lists of processes
        Path("/proc/self/comm").write_text(f"elf {child.name}"[-COMM_CHARS:])
