"""What is still mine: a worker asks the store whenever it may have been given up for dead.

A worker that was frozen, or that could not reach the server, cannot know whether its lease has
ended. It goes on with what it runs: when the server itself was away nobody was given up, and to
drop the work of all workers would make each restart of the server a loss. But before it takes
anything new it looks at the record of every job that it holds. One that has moved on belongs to
somebody else, or has ended: that job's code is stopped, and nothing more is said about its offer, no
acceptance, no refusal, no sign of life. What still comes of it is refused by the store, and kept as
evidence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from elfbook.errors import AccessDenied, MyceliumUnreachable
from elfbook.facts import State
from elfbook.log.states import JobNow, counts_still
from elfbook.model import Beat
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.work.attempts import Held
from elfbook.work.bench import Bench
from elfbook.work.pulse import Pulse

AWAY = (Unanswered, AccessDenied, MyceliumUnreachable)
LOOK_S = 2.0
AGAIN_S = 0.2


@dataclass(eq=False)
class Fencing:
    """One worker's doubts about what it holds."""

    mycelium: Mycelium
    worker: str
    bench: Bench
    names: set[str]
    """Named elves that it holds."""
    forget: Callable[[list[str]], None]
    """Called with elves that have moved to another worker."""
    state: Callable[[], Beat]
    sure: asyncio.Event = field(default_factory=asyncio.Event)
    """Set unless there is a doubt: only then may something new be taken."""
    _doubts: int = 0

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.mycelium, self.state, self.doubt)
        self.sure.set()

    def doubt(self) -> None:
        """Have the store asked what is still mine; until it has answered, nothing new is taken."""
        self._doubts += 1
        if self.sure.is_set():
            self.sure.clear()
            self.bench.own(self._ask())

    async def certain(self) -> None:
        """Returns once there is no doubt; looks at the clock first, since doubt may be due."""
        self.pulse.notice_sleep()
        await self.sure.wait()

    async def _ask(self) -> None:
        asked = -1
        while asked != self._doubts:  # there may be a new doubt while the answers come
            asked = self._doubts
            try:
                await asyncio.gather(
                    *(self.look(held) for held in list(self.bench.held.values())),
                    *(self._look_at_elf(name) for name in sorted(self.names)),
                )
            except AWAY:
                asked = -1
                await asyncio.sleep(AGAIN_S)
        self.sure.set()

    async def look_again(self, mine: list[Held]) -> bool:
        """Look at those of the jobs whose claim or last look is a while ago; False if there are none.

        What they need came late, or their turn did, and the word that one was cancelled may have been lost.
        """
        old = [held for held in mine if time.monotonic() - held.looked_at > LOOK_S]
        try:
            await asyncio.gather(*(self.look(held) for held in old))
        except AWAY:
            await asyncio.sleep(AGAIN_S)
        return bool(old)

    async def look(self, held: Held) -> None:
        """Fence the job if it was taken away since it was claimed."""
        began = time.monotonic()
        found = await self.mycelium.last_event(held.dispatch.run, held.dispatch.job)
        if found is not None and found[1] > held.seq and (held.lot is None or await self._taken_away(held)):
            self.fence(held)
        held.looked_at = began

    async def _taken_away(self, held: Held) -> bool:
        """True unless its claim of many still holds the job, as everyone who folds the log sees it."""
        run, job = held.dispatch.run, held.dispatch.job
        names, now = self.mycelium.names, JobNow(State.RUNNING, seq=held.seq, held=held.claim)
        later = self.mycelium.read(names.jobs, names.job(run, job), start=held.claim + 1)
        for stored in [each async for entry in later for each in self.mycelium.facts(entry)[1]]:
            if counts_still(now, stored):
                return True
            now.seq = stored.seq
        return False

    def fence(self, held: Held) -> None:
        """The job is no longer mine: its code is stopped, and its offer left alone."""
        held.fenced = True
        self.bench.stop_job(held, "fenced")

    async def _look_at_elf(self, name: str) -> None:
        holder, seq = await self.mycelium.holder(name)
        if seq and holder != self.worker:
            self.forget([name])

    async def keep_looking(self) -> None:
        """Look at long jobs' records, and hold on to the offers of all, until cancelled.

        The word that a job was cancelled may have been lost; its record was not.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            await self.certain()
            try:
                await self._look_around()
            except AWAY:
                continue  # the connection is away, and its return will raise a doubt

    async def _look_around(self) -> None:
        current = self.bench.current
        if current is not None and self.bench.ran_s(current) > LOOK_S:
            await self.look(current)
        # All jobs of a lot have one offer.
        offers = {held.message.reply: held for held in self.bench.held.values() if not held.fenced}
        for held in offers.values():
            await held.taker.still_at_it(held.message)
