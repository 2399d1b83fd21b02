"""A worker's bench: its kernel, and the claimed jobs that lie before it in order.

Knows nothing of queues or records. Limits, interrupts, jobs stuck behind a slow one and the
death of the kernel are noticed here; what they mean for a job is told to the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from elfbook.work.attempts import Held
from elfbook.work.kernel import Job, Kernel

AHEAD_S = 0.06
"""How much work, by its usual length, a worker holds at once: enough to hide the round trip."""
WINDOW_LIMIT = 256
SLOW_S = 0.25
"""A job that takes longer than this sends the jobs that wait behind it back to the queue."""
INTERRUPT_AGAIN_S = 2.0
KILL_AFTER_S = 5.0
LOOK_S = 0.05
MEMORY_LOOK_S = 0.5


@dataclass(eq=False)
class Bench:
    """One kernel at a time, with the jobs it has been given."""

    make_kernel: Callable[..., Kernel]
    own: Callable[[Coroutine], asyncio.Task]
    """Runs something beside the loops and sees to its failures."""
    on_result: Callable[[Held, dict, list[bytes]], None]
    on_unbegun: Callable[..., asyncio.Future]
    """A job the kernel never began: give it back."""
    on_death: Callable[[Held | None, str], list[asyncio.Future]]
    """The kernel ended while doing this job: store that; gives what to wait for."""
    on_output: Callable[[str, str, dict], None]
    held: dict[str, Held] = field(default_factory=dict)
    order: deque[str] = field(default_factory=deque)
    """Tokens that the kernel has, in the order it runs them."""
    window: int = 1
    """How many jobs to hold at once."""
    pace_s: float = AHEAD_S
    """A job's usual length."""
    up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is a kernel that takes jobs."""
    leaving: bool = False
    kernel: Kernel | None = None
    first: Kernel | None = None
    """One that was begun before there was a bench."""

    async def start(self) -> None:
        """Holds afterwards: a fresh kernel takes jobs."""
        calls = {
            "on_done": self._done,
            "on_dropped": self._dropped,
            "on_output": self.on_output,
            "on_death": self._died,
        }
        if self.first is None:
            self.kernel = self.make_kernel(**calls)
        else:
            self.kernel, self.first = self.first, None
            self.kernel.tell(**calls)
        await self.kernel.start()
        self.up.set()

    async def stop(self) -> None:
        if self.kernel is not None:
            await self.kernel.stop()

    @property
    def current(self) -> Held | None:
        """The job under way."""
        return self.held.get(self.order[0]) if self.order else None

    def ran_s(self, held: Held) -> float:
        """How long the kernel has been at the job; 0 while it waits its turn."""
        return time.monotonic() - held.begun_at if held.begun_at else 0.0

    def run(self, jobs: list[Job]) -> None:
        """Put jobs before the kernel, behind those it has; those that are to stop are given back."""
        for job in [job for job in jobs if self.held[job.token].stopping]:
            jobs.remove(job)
            self.on_unbegun(self.held[job.token])
        if not jobs:
            return
        if not self.order:
            self.held[jobs[0].token].begun_at = time.monotonic()
        self.order.extend(job.token for job in jobs)
        self.kernel.run(jobs)

    def _done(self, header: dict, parts: list[bytes]) -> None:
        token = header["done"]
        self._off(token)
        if self.current is not None and not self.current.begun_at:
            self.current.begun_at = time.monotonic()
        if (held := self.held.get(token)) is None:
            return
        self.pace_s = 0.7 * self.pace_s + 0.3 * (header["elapsed"] + 0.00005)
        self.window = max(1, min(WINDOW_LIMIT, self.window * 2, int(AHEAD_S / self.pace_s)))
        self.on_result(held, header, parts)

    def _dropped(self, tokens: list[str]) -> None:
        for token in tokens:
            self._off(token)
            if (held := self.held.get(token)) is not None:
                self.on_unbegun(held)

    def _off(self, token: str) -> None:
        with contextlib.suppress(ValueError):
            self.order.remove(token)

    # ------------------------------------------------------------------ stopping jobs

    def stop_job(self, held: Held, why: str) -> None:
        """Have the job end: interrupted if it is under way, given back if it has not begun."""
        if held.stopping:
            return
        held.stopping, held.stop_at = why, time.monotonic()
        if held is not self.current:
            self.kernel.drop([held.token])

    def drop_waiting(self) -> None:
        """Give back everything that has not begun."""
        if len(self.order) > 1:
            self.kernel.drop(list(self.order)[1:])

    async def look_after(self) -> None:
        """Watch the job under way until cancelled."""
        looked = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            held = self.under_way()
            if held is None or not held.begun_at:
                continue
            now = time.monotonic()
            if now - looked > MEMORY_LOOK_S:
                self.kernel.look()
                looked = now
            ran_s = now - held.begun_at
            limit_s = held.dispatch.timeout_s
            if limit_s is not None and ran_s > limit_s:
                self.stop_job(held, "timed out")
            if held.stopping:
                self._insist(held, now)
            if ran_s > SLOW_S and len(self.order) > 1:
                self.window, self.pace_s = 1, max(self.pace_s, AHEAD_S)
                self.drop_waiting()

    def under_way(self) -> Held | None:
        """The job that the kernel is at. Answers of short ones before it may still be held back there."""
        held = self.current
        if held is not None and held.begun_at and time.monotonic() - held.begun_at > SLOW_S:
            begun = self.kernel.begun()
            if begun != held.token and begun in self.order and begun in self.held:
                held = self.held[begun]
                held.begun_at = held.begun_at or time.monotonic()
        return held

    def _insist(self, held: Held, now: float) -> None:
        """Interrupt, interrupt again, then replace the kernel."""
        waited_s = now - held.stop_at
        if waited_s > KILL_AFTER_S:
            self.kernel.kill()
        elif held.interrupts <= waited_s / INTERRUPT_AGAIN_S:
            held.interrupts += 1
            self.own(self.kernel.interrupt(held.token))

    # ------------------------------------------------------------------ death and replacement

    def _died(self, how: str) -> None:
        self.up.clear()
        self.own(self._replace(how))

    async def _replace(self, how: str) -> None:
        """One attempt is over; what waited behind it is given back; a new kernel starts."""
        begun = self.kernel.begun()
        current = self.held.get(begun) if begun in self.order else self.current
        ends = self.on_death(current, how)
        before = begun in self.order
        for token in self.order:
            held = self.held.get(token)
            if token == begun:
                before = False
            if held is not None and held is not current:
                # Short jobs before the last one have ended, but nobody will ever hear how.
                ends.append(self.on_unbegun(held, begun=before))
        self.order.clear()
        self.window, self.pace_s = 1, AHEAD_S
        if ends:
            await asyncio.wait(ends)
        await self.kernel.stop()
        if not self.leaving:
            await self.start()
