"""What the scheduler tells who asks why jobs wait: workers, limits, what is lined up, the store."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from elfbook.facts import SlotTaken
from elfbook.host.feed import Feed
from elfbook.model import Situation
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.wire import encode


@dataclass(eq=False)
class Teller:
    """Answers for the scheduler that leads; it is asked, so that telling costs nothing otherwise."""

    mycelium: Mycelium
    feed: Feed

    async def listen(self) -> Callable[[], Awaitable[None]]:
        """From now on questions are answered; gives the undo."""
        return await self.mycelium.link.subscribe(self.mycelium.names.situation, self._asked)

    def _asked(self, message: Message) -> None:
        if self.feed.may_offer() and message.reply:
            self.feed.own(self._answer(message.reply))

    async def _answer(self, address: str) -> None:
        with contextlib.suppress(Unanswered):
            await self.mycelium.link.publish(address, encode(self.situation()))

    def situation(self) -> Situation:
        """As it is at this moment."""
        beats = self.feed.placement.beats.values()
        pools = {name for beat in beats for name in (beat.pool, beat.worker)}
        return Situation(
            workers={pool: size for pool in pools if (size := self.feed.placement.size(pool))},
            taken=self._taken(),
            ahead={
                pool: tuple(sum(map(len, level.groups.values())) for level in lineup.levels)
                for pool, lineup in self.feed.lineups.items()
                if lineup.size
            },
            store=self.mycelium.pressure.why,
            lacks={pool: lacks for pool in pools if any(lacks := self.feed.placement.lacking(pool))},
        )

    def _taken(self) -> dict[str, tuple[str, ...]]:
        limits = self.feed.limits
        taken: dict[str, tuple[str, ...]] = {}
        for slot in sorted(limits.taken):
            if limits.is_taken(slot):
                taken[slot[0]] = (*taken.get(slot[0], ()), self._label(limits.taken[slot][1]))
        return taken

    def _label(self, record: SlotTaken) -> str:
        """`crawl/task_fetch[1]`."""
        flow = record.run.partition(".")[0]
        card = self.feed.limits.cards.get(record.run)
        if card is None:
            return flow
        spec = card.spec(record.job)
        return f"{flow}/{spec.task}[{spec.number}]"
