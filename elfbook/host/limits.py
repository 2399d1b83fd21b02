"""Named limits: of all jobs under the name `api`, in whatever runs, at most so many run at once.

A limit of three has the slots 0, 1 and 2. A job that is under it is offered together with a slot,
and its claim and the slot's record are stored in one atomic batch: both or neither. The slot's
record names the claim, and the slot is taken for as long as that claim holds its job. So nothing has
to be given back: whatever ends the attempt, a result, a loss, a cancel, frees the slot in the same
instant, and no crash can leave one taken. Two schedulers may offer one slot to two jobs; one claim
is stored.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from elfbook.facts import Claimed, SlotTaken, State
from elfbook.host.card import Card
from elfbook.wire import limit_parts

Slot = tuple[str, int]
"""A limit's name and the slot's number."""
Place = tuple[str, int]
"""A run and a job of it."""


@dataclass(eq=False)
class Limits:
    """Which slots are taken, as the log tells it."""

    cards: Mapping[str, Card]
    """The runs that are followed; the scheduler changes it."""
    is_coming: Callable[[str], bool]
    """True for a run that is about to be followed, so that nobody knows yet what its jobs do."""
    taken: dict[Slot, tuple[int, SlotTaken]] = field(default_factory=dict)
    """Each slot's last record, with its sequence."""
    parked: dict[str, list[tuple[int, int, Place]]] = field(default_factory=dict)
    """By limit: due jobs that found all slots taken, a heap by priority and then by when they came."""
    _came: itertools.count = field(default_factory=itertools.count)
    _promised: dict[Slot, Place] = field(default_factory=dict)
    """Slots that are named in an offer that is out."""
    _slot_of: dict[Place, Slot] = field(default_factory=dict)
    """The slot that a job has or is promised."""

    def hear(self, slot: Slot, seq: int, record: SlotTaken) -> Place | None:
        """A slot's record has been stored. Gives the job to which it had been promised in vain."""
        self.taken[slot] = (seq, record)
        place = (record.run, record.job)
        before = self._slot_of.get(place)
        if before is not None and self._promised.get(before) == place:
            del self._promised[before]  # kept, or kept by another scheduler with another slot
        promised = self._promised.pop(slot, None)
        if promised is not None:
            self._slot_of.pop(promised, None)
        self._slot_of[place] = slot
        return promised

    def choose(self, limit: str, place: Place, priority: int) -> tuple[str, int, int] | None:
        """A free slot, promised to the job: limit, number, and the slot's last record. None parks the job."""
        name, size = limit_parts(limit)
        for number in range(size):
            slot = (name, number)
            if slot not in self._promised and not self.is_taken(slot):
                self._promised[slot] = place
                self._slot_of[place] = slot
                return name, number, self.taken[slot][0] if slot in self.taken else 0
        heapq.heappush(self.parked.setdefault(name, []), (priority, next(self._came), place))
        return None

    def is_taken(self, slot: Slot) -> bool:
        """True while the claim that the slot's record names holds its job."""
        if slot not in self.taken:
            return False
        record = self.taken[slot][1]
        card = self.cards.get(record.run)
        if card is None:
            return self.is_coming(record.run)
        now = card.state.jobs[record.job]
        event = now.event
        return now.state is State.RUNNING and isinstance(event, Claimed) and event.nonce == record.nonce

    def give_up(self, place: Place) -> str:
        """The job has no offer out any more, or has ended: gives the limit that has a slot free now."""
        slot = self._slot_of.get(place)
        if slot is None:
            return ""
        if self._promised.get(slot) == place:
            del self._promised[slot]
        elif self.is_taken(slot):
            return ""
        self._slot_of.pop(place, None)
        return slot[0]

    def next_parked(self, name: str) -> Place | None:
        """The parked job that is next under a limit; it is not parked any more."""
        heap = self.parked.get(name)
        if not heap:
            self.parked.pop(name, None)
            return None
        return heapq.heappop(heap)[2]
