"""What those that died have left behind, which nobody would ever come back to by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from elfbook.host.placement import Placement
from elfbook.model import Settled
from elfbook.store.link import Refused, Unanswered
from elfbook.store.mycelium import Mycelium

LOOK_S = 60.0
AT_ONCE = 16


@dataclass(eq=False)
class Leftovers:
    """Looks for them beside a scheduler's loops."""

    mycelium: Mycelium
    placement: Placement
    take_up: Callable[[str], None]
    """Has a run followed again."""

    async def reopened(self, settled: Mapping[str, Settled]) -> None:
        """Take up runs that go on although a note says that they have ended.

        Notes and facts are in different streams. A scheduler may have decided on a note before a
        retry and stored it afterwards, and have died: then only the facts tell.
        """
        notes = list(settled.values())
        for first in range(0, len(notes), AT_ONCE):
            await asyncio.gather(*(self._compare(note) for note in notes[first : first + AT_ONCE]))

    async def _compare(self, note: Settled) -> None:
        names = self.mycelium.names
        with contextlib.suppress(Unanswered, Refused):  # the connection is away: all begins anew anyway
            last = await self.mycelium.link.last(names.jobs, names.jobs_of(note.run))
            if last is not None and last.seq > note.upto:
                self.take_up(note.run)

    async def keep_clearing(self, leads: Callable[[], bool]) -> None:
        """Remove offers to workers that are not there any more, until cancelled.

        Such a worker's jobs are offered anew to others; what was addressed to it nobody takes.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            if leads() and self.mycelium.link.connected:
                with contextlib.suppress(Unanswered, Refused):
                    await self.clear()

    async def clear_all(self) -> None:
        """Holds afterwards: no offer is on the queue."""
        with contextlib.suppress(Unanswered, Refused):  # a queue that is away has no offers
            await self.mycelium.link.api(f"STREAM.PURGE.{self.mycelium.names.work}")

    async def clear_run(self, run: str) -> None:
        """Holds afterwards: no offer of the run is on the queue, as far as the server has stored them."""
        names = self.mycelium.names
        with contextlib.suppress(Unanswered, Refused):  # the next sweep does it
            await self.mycelium.link.api(f"STREAM.PURGE.{names.work}", {"filter": names.offers_of(run)})

    async def clear(self) -> None:
        """Holds afterwards: no offer waits for a worker that nobody has heard of for a lease."""
        names = self.mycelium.names
        wanted = {"subjects_filter": names.every_worker_offer}
        facts = await self.mycelium.link.api(f"STREAM.INFO.{names.work}", wanted)
        workers = {names.worker_of_offer(subject) for subject in facts["state"].get("subjects") or ()}
        for worker in sorted(workers - set(self.placement.heard)):
            await self.mycelium.link.api(
                f"STREAM.PURGE.{names.work}", {"filter": names.worker_offers(worker)}
            )
