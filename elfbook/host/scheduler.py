"""The scheduler: folds every unsettled run's log and carries out what the fold says is due.

It holds nothing that is not in the log. Any number may run at once: an offer is refused while
the same offer is queued, and a record is written only over the record that it was decided on.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import time
from dataclasses import dataclass, field

from elfbook.facts import Claimed, Lost, Paused, Skipped, State
from elfbook.host.card import Card, Kind
from elfbook.host.deadlines import Deadlines
from elfbook.host.feed import OFFER_AGAIN_S, Feed
from elfbook.host.lead import Lead
from elfbook.host.leftovers import Leftovers
from elfbook.host.limits import Limits
from elfbook.host.placement import Placement
from elfbook.host.situation import Teller
from elfbook.host.snapshots import Snapshots
from elfbook.host.uptake import Uptake
from elfbook.log.fold import Action, Offer, Skip, due, next_action
from elfbook.model import Settled
from elfbook.store.beside import Beside, ended
from elfbook.store.link import Entry, Message, Refused, Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.work.pulse import LEASE_S

log = logging.getLogger("elfbook")

SWEEP_S = 5.0
SAVE_LOOK_S = 1.0
LEARN_LOOK_S = 0.02


@dataclass(eq=False)
class Scheduler:
    """Follows all unsettled runs of one mycelium and acts for them."""

    mycelium: Mycelium
    snapshots: Snapshots | None = None
    """Where runs' states are saved from time to time; None for nowhere."""
    life: str = ""
    """The process it lives in, as its host knows it."""
    cards: dict[str, Card] = field(default_factory=dict)
    placement: Placement = field(init=False)
    feed: Feed = field(init=False)
    lead: Lead = field(init=False)
    limits: Limits = field(init=False)
    leftovers: Leftovers = field(init=False)
    uptake: Uptake = field(init=False)
    _later: list[tuple[float, str, int, int]] = field(default_factory=list)
    _unstored: list[tuple[str, int]] = field(default_factory=list)
    """Jobs of which something could not be stored: a full store, or none."""
    _homeless: dict[tuple[str, int], Offer] = field(default_factory=dict)
    """Offers that no worker there is may take."""
    _placing: dict[str, asyncio.Lock] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    _begun: bool = False
    """True once every run that has not settled has been taken up."""
    _folded_to: int = 0
    """Everything in JOBS up to this sequence has been folded."""
    _returned: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.placement = Placement(self.mycelium)
        self.lead = Lead(self.mycelium, self.beside.run, self._begin_to_lead, self._learn, self.life)
        self.uptake = Uptake(
            self.mycelium, self.snapshots, self.cards, self.beside.run, on_card=self._taken_up
        )
        self.leftovers = Leftovers(self.mycelium, self.placement, self.uptake.find)
        self.limits = Limits(self.cards, self.uptake.is_coming)
        self.feed = Feed(
            self.mycelium, self.placement, self.beside.run, self._renew_queue, self._may_offer,
            self.limits, self._offer,
        )  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until `stop`."""
        link, names = self.mycelium.link, self.mycelium.names
        link.on_return += [self._returned.set, self.lead.doubt]
        undo = [
            await link.subscribe(names.every_beat, self._hear_beat),
            await link.subscribe(
                names.every_gone,
                lambda m: self._gone(m.subject.rpartition(".")[2], m.data.decode(errors="replace")),
            ),
            await self.lead.listen(),
            await Teller(self.mycelium, self.feed).listen(),
        ]
        await link.publish(names.census)
        first_run, first_fact = await self._begin()
        loops = [self.uptake.follow(first_run), self._follow_jobs(first_fact), self._keep_time()]
        loops += [self.lead.keep(), self._sweep(), self._keep_saving(), self.beside.until_failure()]
        deadlines, leads = Deadlines(self.mycelium, self.cards), lambda: self.lead.leads
        loops += [deadlines.keep(), self.leftovers.keep_clearing(leads)]
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()
        finally:
            await ended([stopped, *tasks])
            await self.beside.close()
            for call in undo:
                await call()

    # ------------------------------------------------------------------ runs

    async def _begin(self) -> tuple[int, int]:
        """Fold what is stored; gives the sequences of RUNS and of JOBS from which to follow live."""
        # A record of its own proves that everything before it can be read. In this order: a run submitted
        # after the end of RUNS has no fact before the barrier.
        last_fact = await self.mycelium.barrier()
        await self.lead.begin(last_fact)
        self._folded_to = last_fact
        last_run = await self.mycelium.end_of(self.mycelium.names.runs)
        async for entry in self.mycelium.slots():
            self._hear_slot(entry)
        self.beside.run(self.leftovers.reopened(await self.uptake.take_all()))
        self._begun = True
        if self.cards and self.lead.leads:
            await self._offer_all()
        return last_run + 1, last_fact + 1

    async def _taken_up(self, card: Card) -> None:
        """A run is followed from now on: do what is due."""
        for job in card.state.jobs:
            if job.state is State.RUNNING:
                self.placement.expect(job.worker)
        await self.placement.want(card.state.graph)
        await self._act_on_many(card, due(card.state))
        await self.feed.fill()
        self._note_if_settled(card)

    async def _rest(self, card: Card) -> None:
        """A paused run has no offers: of it only what a worker has taken already begins."""
        self.feed.withdraw(card.run)
        if self._may_offer():
            await self.leftovers.clear_run(card.run)
            if not card.state.paused:  # it was resumed meanwhile, and what was offered then may be gone too
                await self._offer_again()

    async def _follow_jobs(self, first: int) -> None:
        names = self.mycelium.names
        async for batch in self.mycelium.follow_jobs(first).batches():
            touched: dict[str, list[Action]] = {}
            turned: set[str] = set()
            for entry in batch:
                match names.kind_of(entry.subject):
                    case "job":
                        self._hear_facts(entry, touched, turned)
                    case "slot":
                        self._hear_slot(entry)
                    case "holder":
                        self._hear_holder(entry)
            for run, actions in touched.items():
                card = self.cards[run]
                await (self._act_on_many if run in turned else self._act)(card, actions)
                if run in turned and card.state.paused:
                    await self._rest(card)
                self._note_if_settled(card)
            self._folded_to = batch[-1].seq
            await self.feed.fill()

    def _hear_facts(self, entry: Entry, touched: dict[str, list[Action]], turned: set[str]) -> None:
        """Fold a record; adds what it makes due, and its run if it has paused or resumed that."""
        run, facts = self.mycelium.facts(entry)
        if not facts:
            return
        card = self.cards.get(run)
        if card is None:
            self.uptake.hear(run, facts)
            return
        if isinstance(facts[0].event, Claimed):
            self.placement.expect(facts[0].event.worker)
        self.uptake.look_back(card, entry, facts)
        folded, actions = self.uptake.fold(card, facts)
        touched.setdefault(run, []).extend(actions)
        for stored in folded:
            if isinstance(stored.event, Paused):
                turned.add(run)
            else:
                self.feed.hear(card, stored)

    def _hear_slot(self, entry: Entry) -> None:
        slot, record = self.mycelium.slot_taken(entry)
        self.feed.hear_slot(slot, entry.seq, record)

    def _hear_holder(self, entry: Entry) -> None:
        name = entry.subject.split(".", 3)[3]
        if self.placement.hear_holder(name, self.mycelium.holder_in(entry), entry.seq):
            self.beside.run(self._offer_again())

    def _note_if_settled(self, card: Card) -> None:
        if not card.state.settled:
            card.noted = False
        elif not card.noted:
            card.noted = True
            counts = {state.value: count for state, count in card.state.counts.items() if count}
            note = Settled(run=card.run, counts=counts, at=time.time(), upto=card.upto)
            self.beside.run(self._note(card, note))

    async def _note(self, card: Card, note: Settled) -> None:
        await self.mycelium.note_settled(note)
        if card.state.settled and self.cards.get(card.run) is card:
            del self.cards[card.run]
            self.feed.drop(card.run)
            if self.snapshots:
                self.snapshots.drop(card.run)

    # ------------------------------------------------------------------ actions

    async def _act(self, card: Card, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Skip):
                self._skip(card, action)
            elif action.not_before > time.time():
                heapq.heappush(self._later, (action.not_before, card.run, action.job, action.seq))
            else:
                self._offer(card, action)

    async def _act_on_many(self, card: Card, actions: list[Action]) -> None:
        """The same when a whole run may be due."""
        alike, others = card.alike(actions, time.time())
        for kind, offers in alike.items():
            self._offer_alike(card, kind, offers)
        await self._act(card, others)

    def _skip(self, card: Card, action: Skip) -> None:
        event = Skipped(nonce=os.urandom(8).hex(), because=action.because)
        self._record(card.run, action.job, event, action.seq)

    def _record(self, run: str, job: int, event, seq: int) -> None:
        def stored(done: asyncio.Future) -> None:
            if done.cancelled() or done.exception() is None or isinstance(done.exception(), Conflict):
                return  # after a conflict the job has moved on, and the fold will hear of it
            log.warning("a record of job %s of %s could not be stored: %s", job, run, done.exception())
            self._unstored.append((run, job))

        self.mycelium.record(run, job, event, seq).add_done_callback(stored)

    def _offer_alike(self, card: Card, kind: Kind, offers: list[Offer]) -> None:
        """The same for many at once: of a large run one by one would take seconds."""
        use = card.use(offers[0].job)
        if use.name or self.placement.able(card.state.graph.policy.pool, use.needs) == []:
            for action in offers:
                self._offer(card, action)
        else:
            self.feed.add_all(card, kind, [action.job for action in offers])

    def _offer(self, card: Card, action: Offer) -> None:
        use = card.use(action.job)
        name, able = use.name, self.placement.able(card.state.graph.policy.pool, use.needs)
        if (name and not self._may_offer()) or (not name and able == []):
            self._homeless[card.run, action.job] = action
        elif name:
            self.beside.run(self._offer_named(card, action, name))
        else:
            self.feed.add(card, action.job)

    async def _renew_queue(self) -> None:
        """The server has lost its queue, which is in memory: make it anew, and all offers."""
        await self.mycelium.ensure_work()
        await self._offer_again()

    # ------------------------------------------------------------------ named elves

    async def _offer_named(self, card: Card, action: Offer, name: str) -> None:
        async with self._placing.setdefault(name, asyncio.Lock()):
            worker = await self.placement.place(name, card.state.graph.policy.pool)
        if worker is None:
            self._homeless[card.run, action.job] = action
        elif action := card.is_due(action.job):
            await self.feed.send(card, action, card.state.graph.policy.pool, worker)

    # ------------------------------------------------------------------ workers

    def _hear_beat(self, message: Message) -> None:
        beat = self.mycelium.beat_in(message)
        if beat is None:
            return
        if beat.leaving:
            self._gone(beat.worker, "ended")
        elif self.placement.hear(beat):
            self._find_homes()
        if self.placement.unknown([beat]) and not beat.leaving:
            self.beside.run(self.placement.ask([beat]))

    async def _learn(self) -> int:
        """The sequence of a record written now, once everything before it has been folded."""
        barrier = await self.mycelium.barrier()
        while self._folded_to < barrier:
            await asyncio.sleep(LEARN_LOOK_S)
        return barrier

    def _begin_to_lead(self) -> None:
        """Whoever led has gone: what it had offered may be lost or not, so everything is offered."""
        if self._begun:
            self.beside.run(self._offer_all())

    def _may_offer(self) -> bool:
        return self._begun and self.lead.sure and self.lead.leads

    async def _offer_all(self) -> None:
        """Make all offers, in place of those that another scheduler has left on the queue.

        It may have offered jobs alone which this one would offer in a lot: both could be taken up.
        """
        await self.leftovers.clear_all()
        self._find_homes()
        await self._offer_again(queued=False)

    def _find_homes(self) -> None:
        """Offer what no worker could take when its turn came."""
        homeless, self._homeless = self._homeless, {}
        for (run, job), action in homeless.items():
            if run in self.cards and self.cards[run].state.jobs[job].seq == action.seq:
                self._offer(self.cards[run], action)

    def _gone(self, worker: str, why: str) -> None:
        """The worker has ended: what it ran is lost, what was offered to it is offered anew."""
        if not self.placement.remove(worker):
            return
        for card in list(self.cards.values()):
            for job, now in enumerate(card.state.jobs):
                if now.state is State.RUNNING and now.worker == worker:
                    label = card.state.graph.jobs[job]
                    text = f"{worker} {why} while doing {label.task}[{label.number}]."
                    nonce = os.urandom(8).hex()
                    event = Lost(nonce, attempt=now.attempt, worker=worker, why=text, claim=now.held)
                    self._record(card.run, job, event, now.seq)
        self.beside.run(self._offer_again())

    async def _offer_again(self, older_than_s: float = 0.0, *, queued: bool = True) -> None:
        """Make the offers anew that are out; one that is still queued is refused by the server."""
        self.feed.again(older_than_s, queued=queued)
        await self.feed.fill()

    # ------------------------------------------------------------------ time

    async def _keep_time(self) -> None:
        """Back-offs that are over, workers that are silent, connections that came back."""
        while True:
            now = time.time()
            while self._later and self._later[0][0] <= now:
                _, run, job, seq = heapq.heappop(self._later)
                card = self.cards.get(run)
                if card is not None and card.state.jobs[job].seq == seq and (offer := card.is_due(job)):
                    await self._act(card, [offer])
                    await self.feed.fill()
            if not self.lead.sure:
                self.placement.expect_all()
            for worker in self.placement.silent(LEASE_S):
                if self.mycelium.link.connected:
                    self._gone(worker, f"was not heard of for {LEASE_S:g} s")
            if self._returned.is_set():
                self._returned.clear()
                await self._after_return()
            await asyncio.sleep(0.02)

    async def _after_return(self) -> None:
        """The server may have restarted, and its queue lives in memory: offer everything due."""
        self.placement.expect_all()
        try:
            await self.mycelium.ensure_work()
            await self.mycelium.link.publish(self.mycelium.names.census)
        except (Unanswered, Refused):
            self._returned.set()
            return
        await self._offer_again()

    async def _sweep(self) -> None:
        """Offer again what has been on the queue for long, and write again what could not be stored."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self._offer_again(OFFER_AGAIN_S)
            for card in [card for card in self.cards.values() if card.state.paused]:
                await self._rest(card)  # an offer may have been on its way when the others were taken back
            unstored, self._unstored = self._unstored, []
            for run, job in unstored:
                card = self.cards.get(run)
                if card is not None and (action := next_action(card.state, job)):
                    await self._act(card, [action])

    async def _keep_saving(self) -> None:
        """Take snapshots of the runs whose logs have grown much."""
        while True:
            await asyncio.sleep(SAVE_LOOK_S)
            for card in list(self.cards.values()):
                if self.snapshots and self.snapshots.is_due(card):
                    await self.snapshots.save(card, self._folded_to, self.mycelium.epoch)
