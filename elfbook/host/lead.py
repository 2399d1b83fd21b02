"""Which of several schedulers makes the offers: the one that has been there longest.

Nothing depends on it but economy. Each record is written by compare-and-set whoever decides on
it, and a second copy of an offer is refused while the first is queued. But two schedulers that
have learnt different things may offer one short job alone and among many, and then two workers
may run it for one result. So while a scheduler is heard that began before, the others only fold.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Mycelium

SAY_S = 0.5
SILENT_S = 2.5
"""One that was not heard of for so long does not lead any more."""


@dataclass(eq=False)
class Lead:
    """One scheduler's place among those of its mycelium."""

    mycelium: Mycelium
    own: Callable[[Coroutine], asyncio.Task]
    """Runs something beside the loops and sees to its failures."""
    on_lead: Callable[[], None]
    """Called when this scheduler begins to lead."""
    life: str = ""
    """The process it lives in: with that begins who it says it is."""
    rank: tuple[int, str] = (1 << 62, "")
    """When it began, by the log's own count, and who it is; behind everybody until that is known."""
    leads: bool = True
    _heard: dict[tuple[int, str], float] = field(default_factory=dict)
    """Others to when they were last heard of (monotonic)."""

    async def listen(self) -> Callable:
        """From now on others are heard; gives the undo."""
        return await self.mycelium.link.subscribe(self.mycelium.names.schedulers, self._hear)

    async def begin(self, seq: int) -> None:
        """Take the place that goes with the sequence of its barrier."""
        self.rank = (seq, self.life + os.urandom(4).hex())
        await self._say()

    def _hear(self, message: Message) -> None:
        seq, _, who = message.data.decode(errors="replace").partition(" ")
        if not seq.isdecimal():
            return
        rank = (int(seq), who)
        if rank == self.rank:
            return
        new = rank not in self._heard
        self._heard[rank] = time.monotonic()
        self._decide()
        if new:
            self.own(self._say())

    def _decide(self) -> None:
        before = time.monotonic() - SILENT_S
        self._heard = {rank: at for rank, at in self._heard.items() if at > before}
        led = self.leads
        self.leads = all(self.rank < rank for rank in self._heard)
        if self.leads and not led:
            self.on_lead()

    async def _say(self) -> None:
        seq, who = self.rank
        if not who:
            return
        with contextlib.suppress(Unanswered):
            await self.mycelium.link.publish(self.mycelium.names.schedulers, f"{seq} {who}".encode())

    async def keep(self) -> None:
        """Say that it is there, and notice who is not, until cancelled."""
        while True:
            await self._say()
            self._decide()
            await asyncio.sleep(SAY_S)
