"""A worker's signs of life, and what it concludes when it could not give any."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from elfbook.model import Beat
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.work.memory import Usage

LEASE_S = float(os.environ.get("ELFBOOK_LEASE_S", "15"))
"""A worker not heard of for this long has lost what it held."""
BEAT_S = LEASE_S / 7.5
"""Several may get lost before a lease ends."""


@dataclass(eq=False)
class Pulse:
    """Beats of one worker."""

    mycelium: Mycelium
    state: Callable[[], Beat]
    asleep: Callable[[], None]
    """Called when no beat has come through for a lease: the worker was frozen, or cut off."""
    usage: Usage = field(default_factory=Usage)
    _sent: float = 0.0
    _through: float = 0.0
    """When the last beat was sent of which the server is known to have it; 0 before the first."""

    async def keep(self) -> None:
        """Say that the worker is alive until cancelled."""
        # A beat counts when the server has it, and the server shows that by sending it back.
        undo = await self.mycelium.link.subscribe(
            self.mycelium.names.beat(self.state().worker), self._came_through
        )
        try:
            while True:
                self.notice_sleep()
                self._sent = time.monotonic()
                await self.beat()
                await asyncio.sleep(BEAT_S)
        finally:
            await undo()

    async def beat(self) -> None:
        """Say so now."""
        state = self.state()
        memory, cpu = self.usage.of(state.kernel_pid)
        with contextlib.suppress(Unanswered):
            await self.mycelium.beat(msgspec.structs.replace(state, memory=memory, cpu=cpu))

    def _came_through(self, _: Message) -> None:
        # First the look at the clock: this may be the echo of a beat from before a long sleep.
        self.notice_sleep()
        self._through = self._sent

    def notice_sleep(self) -> None:
        """Learn from the clock that no beat was heard for a lease, before anything else is done."""
        if self._through and time.monotonic() - self._through > LEASE_S:
            self._through = time.monotonic()
            self.asleep()
