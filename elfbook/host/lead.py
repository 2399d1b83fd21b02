"""Which of several schedulers makes the offers: the one that has been there longest.

Nothing depends on it but economy. Each record is written by compare-and-set whoever decides on
it, and a second copy of an offer is refused while the first is queued. But two schedulers that
have learnt different things may offer one short job alone and among many, and then two workers
may run it for one result. So while a scheduler is heard that began before, the others only fold.

One that was frozen or cut off has learnt nothing meanwhile, and what it finds to be due may long be
done. So it makes no offer until it has read the log up to a record of its own, and begins anew: it
stands behind those that were there all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from elfbook.errors import ElfbookError
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Mycelium

SAY_S = 0.5
AGAIN_S = 0.5
SILENT_S = 2.5
"""One that was not heard of for so long does not lead any more."""


@dataclass(eq=False)
class Lead:
    """One scheduler's place among those of its mycelium."""

    mycelium: Mycelium
    own: Callable[[Coroutine], asyncio.Task]
    """Runs something beside the loops and sees to its failures."""
    on_lead: Callable[[], None]
    """Called when this scheduler begins to lead, or goes on to after a doubt."""
    learn: Callable[[], Awaitable[int]]
    """Gives the sequence of a record written now, once everything before it has been folded."""
    life: str = ""
    """The process it lives in: with that begins who it says it is."""
    rank: tuple[int, str] = (1 << 62, "")
    """When it began, by the log's own count, and who it is; behind everybody until that is known."""
    leads: bool = True
    _heard: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Others to when they began, and when they were last heard of (monotonic)."""
    _awake_at: float | None = None
    """When the clock was looked at last; None before it is kept."""
    _doubts: int = 0
    _settled: int = 0
    """So many doubts are settled."""

    async def listen(self) -> Callable:
        """From now on others are heard; gives the undo."""
        return await self.mycelium.link.subscribe(self.mycelium.names.schedulers, self._hear)

    async def begin(self, seq: int) -> None:
        """Take the place that goes with the sequence of its barrier."""
        self.rank = (seq, self.rank[1] or self.life + os.urandom(4).hex())
        await self._say()

    # ------------------------------------------------------------------ what it knows

    @property
    def sure(self) -> bool:
        """True while it has missed nothing, as far as it can know; looks at the clock first."""
        self._notice_sleep()
        return not self._in_doubt

    @property
    def _in_doubt(self) -> bool:
        return self._doubts != self._settled

    def doubt(self) -> None:
        """It may have missed something: it makes no offer until it has caught up."""
        catching_up = self._in_doubt
        self._doubts += 1
        if not catching_up:
            self.own(self._catch_up())

    def _notice_sleep(self) -> None:
        """Between two looks at the clock nobody sleeps so long, unless frozen: others may have led since."""
        if self._awake_at is not None and time.monotonic() - self._awake_at > SILENT_S:
            self._awake_at = time.monotonic()
            self.doubt()

    async def _catch_up(self) -> None:
        while self._settled != (doubts := self._doubts):
            try:
                seq = await self.learn()
            except (Unanswered, ElfbookError):
                await asyncio.sleep(AGAIN_S)
                continue
            self.rank = (seq, self.rank[1])
            if doubts == self._doubts:
                self._settled = doubts
        self._decide()
        await self._say()
        if self.leads:
            self.on_lead()

    # ------------------------------------------------------------------ who leads

    def _hear(self, message: Message) -> None:
        seq, _, who = message.data.decode(errors="replace").partition(" ")
        if not seq.isdecimal():
            return
        if who == self.rank[1]:
            return
        new = who not in self._heard
        self._heard[who] = (int(seq), time.monotonic())
        self._decide()
        if new:
            self.own(self._say())

    def _decide(self) -> None:
        before = time.monotonic() - SILENT_S
        self._heard = {who: (seq, at) for who, (seq, at) in self._heard.items() if at > before}
        led = self.leads
        self.leads = all(self.rank < (seq, who) for who, (seq, _) in self._heard.items())
        if self.leads and not led and not self._in_doubt:
            self.on_lead()

    async def _say(self) -> None:
        seq, who = self.rank
        if not who or self._in_doubt:
            return
        with contextlib.suppress(Unanswered):
            await self.mycelium.link.publish(self.mycelium.names.schedulers, f"{seq} {who}".encode())

    async def keep(self) -> None:
        """Say that it is there, and notice who is not, until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(SAY_S)

    async def _look(self) -> None:
        self._notice_sleep()
        self._awake_at = time.monotonic()
        await self._say()
        self._decide()
