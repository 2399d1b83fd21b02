"""A worker's signs of life, and what it concludes when it could not give any."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from elfbook.model import Beat
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium

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
    """Called when the worker finds that it was not heard of for a lease."""
    _last: float = 0.0

    async def keep(self) -> None:
        """Say that the worker is alive until cancelled."""
        while True:
            self.notice_sleep()
            await self.beat()
            self._last = time.monotonic()
            await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """Say so now."""
        with contextlib.suppress(Unanswered):
            await self.mycelium.beat(self.state())

    def notice_sleep(self) -> None:
        """A process that was frozen learns so from its clock, before it does anything else."""
        if self._last and time.monotonic() - self._last > LEASE_S:
            self._last = time.monotonic()
            self.asleep()
