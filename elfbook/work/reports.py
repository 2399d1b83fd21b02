"""What a worker says of the progress of the job that it runs, to whoever watches.

Progress is no record: it goes out as a message that is stored nowhere, and nothing rests on it. It is said
when it has changed, four times a second at most, and again every few seconds while it has not, so that
whoever comes later hears it too, and whoever hears nothing any more knows that nothing is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from elfbook.progress import Progress, Report
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.work.attempts import Held
from elfbook.work.bench import SLOW_S, Bench
from elfbook.work.outputs import Outputs
from elfbook.work.pulse import BEAT_S

EVERY_S = 0.25
FORGOTTEN_S = 3.5 * BEAT_S
"""Progress that was not said again for so long is not known any more."""


@dataclass(eq=False)
class Reports:
    """One worker's words on its progress."""

    mycelium: Mycelium
    bench: Bench
    outputs: Outputs
    _token: str = ""
    """The job that was spoken of last."""
    _said: Progress | None = None
    _said_at: float = 0.0
    _own: bool = False
    """True when the job says it itself."""

    async def keep_telling(self) -> None:
        """Say how far the job under way is until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            held = self.bench.under_way()
            # Of jobs that end at once nobody needs to know how far they are.
            if held is not None and not held.fenced and self.bench.ran_s(held) > SLOW_S:
                await self.tell(held)

    async def tell(self, held: Held) -> None:
        """Say how far the job is, if it is time for that."""
        now = time.monotonic()
        if held.token != self._token:
            self._token, self._said, self._said_at, self._own = held.token, None, 0.0, False
        progress = self._progress(held)
        same = progress == self._said
        if (same and (progress is None or now < self._said_at + BEAT_S)) or not self.mycelium.link.connected:
            return
        report = Report(held.dispatch.run, held.dispatch.job, held.claim, progress)
        self._said, self._said_at = progress, now
        with contextlib.suppress(Unanswered):
            await self.mycelium.report(report)

    def _progress(self, held: Held) -> Progress | None:
        """What the job says itself; otherwise what a bar says that it prints."""
        said = self.bench.kernel.said(held.token)
        if said is None and self._own:
            return self._said  # it is being written at this moment
        self._own = said is not None
        return said or self.outputs.live(held.token)
