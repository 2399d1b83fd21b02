"""An event loop with a clock of its own, for many simulated processes in one real one.

Time passes only when nobody has anything left to do: it jumps to the next timer. Each task and
callback belongs to the process whose context it was made in (asyncio hands contexts on), so a
process can be killed or frozen between any two steps, which is at any of its awaits. What a dead
process had still to do is never done, not even its `finally` blocks, as with `kill -9`.

The same steps are taken in the same order each time: tasks and futures have numbers as hashes,
so that sets of them have one order, and the clock, random bytes and finalisers are in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from itertools import count
from unittest.mock import patch

EPOCH_S = 1_800_000_000.0
"""What a simulated calendar shows when a history begins."""
UPTIME_S = 1_000.0
"""And how long its machines have been up by then: monotonic clocks do not start at 0."""

TASKS_BETWEEN = 1000
"""Between two looks at which of them have ended."""

CURRENT: ContextVar[Process | None] = ContextVar("the simulated process", default=None)


class Stuck(Exception):
    """Every task waits, and no timer is set: nothing would ever happen again."""


@dataclass(eq=False)
class Process:
    """What is scheduled together, dies together and stops together."""

    name: str
    skew_s: float = 0.0
    """How far its calendar clock is off."""
    alive: bool = True
    frozen: bool = False
    fuse: int | None = None
    """It is killed before its so-many-th step from now; None for not at all."""
    on_death: list[Callable[[], None]] = field(default_factory=list)
    context: Context = field(default_factory=copy_context)
    held: deque[asyncio.Handle] = field(default_factory=deque)
    """What has come due while it was frozen, or after its death."""

    def __post_init__(self) -> None:
        self.context.run(CURRENT.set, self)

    def start(self, work: Coroutine) -> asyncio.Task:
        """Run a coroutine as part of this process."""
        return self.context.run(asyncio.get_running_loop().create_task, work)

    def kill(self) -> None:
        """Holds afterwards: none of its steps is ever taken."""
        if self.alive:
            self.alive = False
            for call in self.on_death:
                call()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        """What was held goes on, in order."""
        self.frozen = False
        loop = asyncio.get_running_loop()
        loop._ready.extend(self.held)
        self.held.clear()

    def bury(self) -> None:
        """Let it go on once more, to be cancelled: only when its history is over."""
        self.alive, self.fuse = True, None
        self.thaw()

    def may_step(self, handle: asyncio.Handle) -> bool:
        if self.fuse is not None and self.alive and not self.frozen:
            self.fuse -= 1
            if self.fuse < 0:
                self.kill()
        if self.alive and not self.frozen:
            return True
        self.held.append(handle)
        return False


class NumberedTask(asyncio.Task):
    """A task whose hash does not depend on where it lies in memory."""

    def __init__(self, *given, loop: Loop, **options) -> None:
        self._number = next(loop.numbers)
        super().__init__(*given, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class NumberedFuture(asyncio.Future):
    def __init__(self, *, loop: Loop) -> None:
        self._number = next(loop.numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.BaseEventLoop):
    """Runs tasks of simulated processes; `time` is the history's own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.numbers = count(1)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.trouble: list[str] = []
        """What asyncio would have logged: failures that nobody took."""
        self.tasks: list[asyncio.Task] = []
        """All that were made and may not have ended: nobody else may hold the tasks of the dead."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _, told: self._note(told))

    def _make_task(self, _: Loop, work: Coroutine, **options) -> asyncio.Task:
        if len(self.tasks) > TASKS_BETWEEN:
            self.tasks = [task for task in self.tasks if not task.done()]
        self.tasks.append(NumberedTask(work, loop=self, **options))
        return self.tasks[-1]

    def _note(self, told: dict) -> None:
        error = told.get("exception")
        self.trouble.append(f"{told['message']}: {error!r}" if error else told["message"])

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future:
        return NumberedFuture(loop=self)

    def call_at(self, when: float, callback: Callable, *args, context: Context | None = None):
        """Two timers for one moment come in the order in which they were set."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self.numbers), timer))
        return timer

    def run_in_executor(self, *_) -> asyncio.Future:
        raise AssertionError("a simulated process asks a real thread: nobody knows when it will answer")

    def _write_to_self(self) -> None:
        """Nothing has to be woken: there is one thread."""

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            if not timers:
                raise Stuck("every task waits for something that nobody will do")
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(CURRENT)
            if process is None or process.may_step(handle):
                self.steps += 1
                handle._run()


def _skew_s() -> float:
    process = CURRENT.get()
    return process.skew_s if process is not None else 0.0


@contextlib.contextmanager
def simulated(seed: int) -> Iterator[tuple[Loop, random.Random]]:
    """A loop, and the only source of chance there is until the end of the block."""
    chance = random.Random(seed)
    bytes_of = random.Random(f"bytes {seed}")
    loop = Loop()
    collecting = gc.isenabled()
    gc.disable()  # when a cycle is found depends on everything else in the real process
    try:
        with (
            patch.object(time, "time", lambda: EPOCH_S + loop.now + _skew_s()),
            patch.object(time, "monotonic", lambda: UPTIME_S + loop.now),
            patch.object(os, "urandom", bytes_of.randbytes),
            patch.object(os, "getpid", lambda: 1),  # beats tell it
        ):
            yield loop, chance
    finally:
        loop.close()
        if collecting:
            gc.enable()


def end_all(loop: Loop, processes: Iterable[Process] = (), limit: int = 200) -> None:
    """Cancel whatever is left, until nothing is: a history has ended."""
    loop.set_exception_handler(lambda *_: None)
    for _ in range(limit):
        loop.run_until_complete(_cancel_all(loop, processes))
        if all(task.done() for task in loop.tasks):
            break
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _cancel_all(loop: Loop, processes: Iterable[Process]) -> None:
    for process in processes:
        process.bury()
    for task in loop.tasks:
        if not task.done() and task is not asyncio.current_task():
            task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
