"""The feed: keeps the queue of each pool filled with so much work and no more.

What is due waits in a lineup (log/lineup.py) and is offered when its turn comes. So priorities
mean something, a run of a million jobs needs no queue of a million offers, and what the queue
holds is known: an offer that is not taken up is made again.

Short jobs are offered many at a time. How long a task's jobs take is learnt from their ends; it
decides only what an offer holds, never what is right.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import msgspec

from elfbook.facts import LOT, Claimed, Released, SlotTaken, Stored, Succeeded
from elfbook.host.card import Card, Inputs, Kind
from elfbook.host.limits import Limits, Slot
from elfbook.host.placement import Placement
from elfbook.log.fold import Offer
from elfbook.log.lineup import Lineup
from elfbook.model import Policy
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium

BUNDLE_BYTES = 256 * 1024
"""Inputs above this travel as one blob instead of inside the offer."""
LOT_BYTES = 256 * 1024
"""Of arguments and inputs in one offer of many."""
TOGETHER_BELOW_S = 0.004
"""Jobs shorter than this are worth less than what an offer, a claim and a record of their own cost."""
LOT_S = 0.03
"""An offer of many holds about so much work: enough to hide the round trip, little enough to share."""
UNKNOWN_S = 0.02
"""What a job is reckoned at before the first of its task has ended."""
LONGEST_S = 1.0
"""Reckoned at most, so that each worker finds something in the queue."""
AHEAD_S = 0.15
"""So much work is in the queue for each worker of a pool."""
OFFER_AGAIN_S = 15.0


@dataclass(slots=True)
class Load:
    """What of a pool's work is on the queue."""

    offers: int = 0
    work_s: float = 0.0


@dataclass(slots=True, eq=False)
class Out:
    """An offer that is on the queue as far as the feed knows."""

    card: Card
    pool: str
    jobs: dict[int, int]
    """Job to the state (its mark) that was offered."""
    weight_s: float
    lot_seq: int = -1
    """For an offer of many: the lot's last message when it was made. -1 for a job alone."""
    at: float = 0.0


@dataclass(eq=False)
class Feed:
    """Offers what is due, a little ahead of what the workers can do."""

    mycelium: Mycelium
    placement: Placement
    own: Callable[[Coroutine], asyncio.Task]
    """Runs something beside the loops and sees to its failures."""
    repair: Callable[[], Coroutine]
    """Makes the queue anew after the server has lost it."""
    may_offer: Callable[[], bool]
    """False while another scheduler leads."""
    limits: Limits
    line_up: Callable[[Card, Offer], None]
    """Has a due job wait for its turn again, in the lineup or for a named elf's worker."""
    lineups: dict[str, Lineup] = field(default_factory=dict)
    """By pool."""
    out: dict[tuple[str, int], Out] = field(default_factory=dict)
    """(run, job) of jobs offered alone."""
    out_lots: dict[tuple[str, int], Out] = field(default_factory=dict)
    """(run, lot); of one lot only one offer of many is out at a time."""
    cards: dict[str, Card] = field(default_factory=dict)
    _held_back: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """Due jobs of a lot of which an offer is out."""
    _shared: dict[tuple[str, int], tuple[int, bool]] = field(default_factory=dict)
    """Of jobs whose offer was taken back and may be on the queue all the same: the state that was
    offered, and whether in a lot. They are offered in the same way again, which the server refuses
    while the first one is queued; in two ways at once they could be taken up twice."""
    _load: dict[str, Load] = field(default_factory=dict)
    _pace_s: dict[tuple[str, str], float] = field(default_factory=dict)

    # ------------------------------------------------------------------ what is due

    def add(self, card: Card, job: int) -> None:
        """Line up a job that is due."""
        self.cards[card.run] = card
        policy = card.state.graph.policy
        lineup = self.lineups.setdefault(policy.pool, Lineup())
        lineup.add(policy.priority, card.kind(job), job)

    def add_all(self, card: Card, kind: Kind, jobs: list[int]) -> None:
        """Line up jobs that are due and of one kind."""
        self.cards[card.run] = card
        policy = card.state.graph.policy
        self.lineups.setdefault(policy.pool, Lineup()).add_all(policy.priority, kind, jobs)

    def drop(self, run: str) -> None:
        """Forget a run that has settled."""
        self.cards.pop(run, None)
        self._shared = {place: how for place, how in self._shared.items() if place[0] != run}
        for lineup in self.lineups.values():  # who does not lead takes nothing out of them
            lineup.forget(lambda kind: kind.run == run)

    def withdraw(self, run: str) -> None:
        """Forget what of a run waits for its turn or is on the queue: it is paused.

        What a worker has taken may still be claimed, so each job is offered again as it was before.
        """
        for (whose, lot), out in list(self.out_lots.items()):
            if whose == run:
                self._take_back_lot(run, lot, out, queued=True)
        for (whose, job), out in list(self.out.items()):
            if whose == run:
                self._take_back(run, job, out, queued=True)
        for lineup in self.lineups.values():
            lineup.forget(lambda kind: kind.run == run)

    def hear(self, card: Card, stored: Stored) -> None:
        """A fact has been folded: an offer may have been taken up, and jobs' lengths are learnt."""
        run, job = card.run, stored.job
        out = self.out.get((run, job))
        if out is not None and out.jobs[job] != card.state.jobs[job].mark:
            self._end(out)
        if type(stored.event) is not Claimed:  # behind a claim comes its slot's record
            self._resume(self.limits.give_up((run, job)))
        lot = job // LOT
        out = self.out_lots.get((run, lot))
        if out is not None and out.lot_seq != card.state.lots[lot]:
            self._end_lot(run, lot, out)
        if self._shared and self._shared.get((run, job), (None,))[0] != card.state.jobs[job].mark:
            self._shared.pop((run, job), None)
        event = stored.event
        if type(event) is Succeeded:
            code = (event.revision, card.spec(job).task)
            before = self._pace_s.get(code, event.elapsed_s)
            self._pace_s[code] = 0.8 * before + 0.2 * event.elapsed_s
        elif type(event) is Released:
            # Given back because another one ahead of it took long.
            self._pace_s[card.kind(job).code] = LONGEST_S

    def hear_slot(self, slot: Slot, seq: int, record: SlotTaken) -> None:
        """A slot of a limit has been taken; who was offered it in vain is offered another."""
        place = self.limits.hear(slot, seq, record)
        if place is not None and (out := self.out.get(place)) is not None:
            self._end(out)
            if action := out.card.is_due(place[1]):
                self.line_up(out.card, action)

    def _resume(self, limit: str) -> None:
        """A slot of a limit is free: the first parked job that is still due waits for its turn again."""
        while limit and (place := self.limits.next_parked(limit)):
            card = self.cards.get(place[0])
            if card is not None and (action := card.is_due(place[1])):
                self.line_up(card, action)
                return

    def _end(self, out: Out) -> None:
        (job,) = out.jobs
        del self.out[out.card.run, job]
        self._unload(out)

    def _end_lot(self, run: str, lot: int, out: Out) -> None:
        """The lot has moved on: what of the offer has not been claimed is due as before."""
        del self.out_lots[run, lot]
        self._unload(out)
        for job, mark in out.jobs.items():
            if out.card.is_due(job, mark):
                self.add(out.card, job)
        for job in self._held_back.pop((run, lot), ()):
            if out.card.is_due(job):
                self.add(out.card, job)

    def _take_back(self, run: str, job: int, out: Out, *, queued: bool) -> None:
        """The offer counts no more; if it may be on the queue all the same, the next one is of its kind."""
        if queued:
            self._shared[run, job] = (out.jobs[job], False)
        self._end(out)
        self._resume(self.limits.give_up((run, job)))

    def _take_back_lot(self, run: str, lot: int, out: Out, *, queued: bool) -> None:
        """The same for an offer of many."""
        if queued:
            self._shared |= {(run, job): (mark, True) for job, mark in out.jobs.items()}
        self._end_lot(run, lot, out)

    def _note(self, out: Out) -> None:
        load = self._load.setdefault(out.pool, Load())
        load.offers += 1
        load.work_s += out.weight_s

    def _unload(self, out: Out) -> None:
        load = self._load[out.pool]
        load.offers -= 1
        load.work_s = load.work_s - out.weight_s if load.offers else 0.0

    # ------------------------------------------------------------------ filling

    def has_room(self, pool: str) -> bool:
        """True while the pool's queue holds less than its workers will soon ask for."""
        workers = max(1, self.placement.size(pool))
        load = self._load.setdefault(pool, Load())
        return load.offers <= workers or load.work_s < AHEAD_S * workers

    async def fill(self) -> None:
        """Offer what has its turn, as long as there is room."""
        if not self.may_offer():
            return
        for pool, lineup in list(self.lineups.items()):
            while lineup.size and self.has_room(pool):
                _, kind = lineup.next_group()
                pace_s = self._pace_s.get(kind.code)
                together = pace_s is not None and pace_s < TOGETHER_BELOW_S
                most = max(1, min(LOT, int(LOT_S / max(pace_s, 0.0001)))) if together else 1
                kind, jobs = lineup.take(most)
                card = self.cards.get(kind.run)
                if card is not None:
                    await self._offer(card, kind, pool, jobs, together)

    async def _offer(self, card: Card, kind: Kind, pool: str, jobs: list[int], together: bool) -> None:
        now = time.time()  # one that has failed since it was lined up comes again after its back-off
        actions = [
            action
            for job in jobs
            if (action := card.is_due(job)) and (card.run, job) not in self.out and action.not_before <= now
        ]
        lot = jobs[0] // LOT
        if (card.run, lot) in self.out_lots:
            self._held_back.setdefault((card.run, lot), []).extend(action.job for action in actions)
            return
        able = self.placement.able(pool, card.use(jobs[0]).needs)
        if able is not None:
            await self._offer_to(able, card, actions, pool)
            return
        if may_share(card.policy(jobs[0])):
            sharing = [action for action in actions if self._may_join(card, action.job, together)]
            rest = [action for action in actions if action not in sharing]
            many, actions, later = self._shareable(card, sharing)
            if len(many) > 1 or (many and (card.run, many[0][0].job) in self._shared):
                self._held_back.setdefault((card.run, lot), []).extend(later)
                await self._send_lot(card, kind, pool, lot, many)
            else:
                actions = [action for action, _ in many] + actions
                for job in later:
                    self.add(card, job)
            actions = rest + actions
        for action in actions:
            if card.is_due(action.job):  # it may have been cancelled while the one before was sent
                await self.send(card, action, pool)

    async def _offer_to(self, able: list[str], card: Card, actions: list[Offer], pool: str) -> None:
        """Only these workers of the pool have what the jobs need, perhaps none."""
        for action in actions:
            if able:
                await self.send(card, action, pool, able[action.job % len(able)])
            else:
                self.line_up(card, action)

    def _may_join(self, card: Card, job: int, together: bool) -> bool:
        """True for a job that goes into a lot: as it was offered before, or else as its like are."""
        mark, shared = self._shared.get((card.run, job), (-1, together))
        return shared if mark == card.state.jobs[job].mark else together

    @staticmethod
    def _shareable(
        card: Card, actions: list[Offer]
    ) -> tuple[list[tuple[Offer, Inputs]], list[Offer], list[int]]:
        """Jobs that can travel in one offer, with their inputs; those that have to travel alone; and
        those for which the offer has no room: alone they would void it, so they go into the next."""
        many: list[tuple[Offer, Inputs]] = []
        alone: list[Offer] = []
        later: list[int] = []
        size = 0
        for action in actions:
            spec = card.spec(action.job)
            inputs = card.inputs(action.job)
            bytes_ = len(spec.arguments) + sum(len(ref.inline or b"") for _, ref in inputs)
            if spec.blobs or bytes_ > LOT_BYTES or any(ref.inline is None for _, ref in inputs):
                alone.append(action)
            elif size + bytes_ > LOT_BYTES:
                later.append(action.job)
            else:
                size += bytes_
                many.append((action, inputs))
        return many, alone, later

    def _reckoned_s(self, kind: Kind, count: int = 1) -> float:
        return count * min(LONGEST_S, max(self._pace_s.get(kind.code, UNKNOWN_S), 0.0001))

    async def _send_lot(
        self, card: Card, kind: Kind, pool: str, lot: int, many: list[tuple[Offer, Inputs]]
    ) -> None:
        offer = card.lot_offer(lot, many)
        marks = {action.job: card.state.jobs[action.job].mark for action, _ in many}
        out = Out(card, pool, marks, self._reckoned_s(kind, len(many)), offer.seq, time.monotonic())
        self.out_lots[card.run, lot] = out
        self._note(out)
        try:
            reply = await self.mycelium.offer_lot(offer, pool)
        except Unanswered:
            return  # the connection is away; when it returns all offers are made again
        reply.add_done_callback(self._answered)

    async def send(self, card: Card, action: Offer, pool: str, worker: str = "") -> None:
        """Offer one job to a pool, or to one worker."""
        inputs, bundle = card.inputs(action.job), None
        if sum(len(ref.inline or b"") for _, ref in inputs) > BUNDLE_BYTES:
            bundle = await self.mycelium.put([msgspec.msgpack.encode(inputs)])
        policy, slot = card.policy(action.job), None
        if (earlier := self.out.get((card.run, action.job))) is not None:
            self._end(earlier)
            self.limits.give_up((card.run, action.job))
        if policy.limit:
            slot = self.limits.choose(policy.limit, (card.run, action.job), policy.priority)
            if slot is None:
                self.cards[card.run] = card  # a named elf's job has not been lined up before
                return
        if not worker:
            worker = pool if pool in self.placement.beats else ""
        dispatch = card.dispatch(action, inputs, bundle, slot)
        weight_s = self._reckoned_s(card.kind(action.job))
        out = Out(card, pool, {action.job: dispatch.mark}, weight_s, at=time.monotonic())
        self.out[card.run, action.job] = out
        self._note(out)
        try:
            reply = await self.mycelium.offer(dispatch, pool=pool, worker=worker)
        except Unanswered:
            return
        reply.add_done_callback(self._answered)

    def _answered(self, done: asyncio.Future) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        if not self.mycelium.offer_stands(done.result()):
            self.own(self.repair())

    # ------------------------------------------------------------------ again

    def again(self, older_than_s: float = 0.0, *, queued: bool = False) -> None:
        """Take back offers that have been out for long: what is still due waits for its turn again.

        With `queued` they may be on the queue all the same.
        """
        before = time.monotonic() - older_than_s
        for (run, lot), out in list(self.out_lots.items()):
            if out.at <= before:
                self._take_back_lot(run, lot, out, queued=queued)
        for (run, job), out in list(self.out.items()):
            if out.at > before:
                continue
            self._take_back(run, job, out, queued=queued)
            if action := out.card.is_due(job):
                self.line_up(out.card, action)
        for limit in list(self.limits.parked):
            self._resume(limit)


def may_share(policy: Policy) -> bool:
    """Jobs under a limit need claims of their own, and so do those that must not run twice: two
    offers of different kinds can both be taken up, if two schedulers have learnt different things."""
    return policy.on_lost == "retry" and not policy.limit
