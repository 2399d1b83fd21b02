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

import msgspec

from elfbook.errors import InternalError, StoreCorrupt, Untrusted
from elfbook.facts import Claimed, Lost, Skipped, State, Succeeded
from elfbook.host.deadlines import Deadlines
from elfbook.host.placement import Placement
from elfbook.log.fold import Action, Offer, RunState, Skip, due, fold, policy_of, start
from elfbook.model import Beat, Dispatch, Manifest, Settled, ValueRef
from elfbook.store.beside import Beside
from elfbook.store.graphstore import graph_of
from elfbook.store.link import Message, Refused, Unanswered
from elfbook.store.mycelium import Conflict, Mycelium, noted
from elfbook.wire import decode
from elfbook.work.pulse import LEASE_S

log = logging.getLogger("elfbook")

BUNDLE_BYTES = 256 * 1024
"""Inputs above this travel as one blob instead of inside the offer."""
SWEEP_S = 5.0
OFFER_AGAIN_S = 15.0
OFFERS_A_SWEEP = 500


@dataclass(eq=False)
class Card:
    """One run as the scheduler follows it."""

    manifest: Manifest
    state: RunState
    offered: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Job to the record it was last offered on and when (monotonic)."""
    noted: bool = False

    @property
    def run(self) -> str:
        return self.manifest.run


@dataclass(eq=False)
class Scheduler:
    """Follows all unsettled runs of one mycelium and acts for them."""

    mycelium: Mycelium
    cards: dict[str, Card] = field(default_factory=dict)
    placement: Placement = field(init=False)
    _later: list[tuple[float, str, int, int]] = field(default_factory=list)
    _homeless: dict[tuple[str, int], Offer] = field(default_factory=dict)
    """Offers that no worker there is may take."""
    _placing: dict[str, asyncio.Lock] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    _loading: dict[str, asyncio.Task] = field(default_factory=dict)
    _missed: dict[str, list] = field(default_factory=dict)
    _returned: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.placement = Placement(self.mycelium)

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until `stop`."""
        link, names = self.mycelium.link, self.mycelium.names
        link.on_return.append(self._returned.set)
        undo = [
            await link.subscribe(names.every_beat, self._hear_beat),
            await link.subscribe(
                names.every_gone, lambda m: self._gone(m.subject.rpartition(".")[2], m.data.decode())
            ),
        ]
        await link.publish(names.census)
        first = await self._begin()
        loops = [self._follow_runs(), self._follow_jobs(first), self._keep_time(), self._sweep()]
        loops += [Deadlines(self.mycelium, self.cards).keep(), self.beside.until_failure()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()
        finally:
            for task in [stopped, *tasks]:
                task.cancel()
            await asyncio.gather(stopped, *tasks, return_exceptions=True)
            await self.beside.close()
            for call in undo:
                await call()

    # ------------------------------------------------------------------ runs

    async def _begin(self) -> int:
        """Fold what is stored; gives the JOBS sequence from which to follow live."""
        end = await self.mycelium.jobs_end()
        manifests, settled = await self.mycelium.all_runs()
        for manifest in manifests:
            if manifest.run not in settled:
                await self._load_safely(manifest)
        return end + 1

    async def _load(self, manifest: Manifest) -> None:
        """Take up a run: fold its log so far, then do what is due."""
        graph = await graph_of(self.mycelium, manifest)
        card = Card(manifest, start(graph, manifest.run))
        names = self.mycelium.names
        async for entry in self.mycelium.read(names.jobs, names.jobs_of(manifest.run)):
            _, stored = self.mycelium.stored(entry)
            fold(card.state, stored)
        if manifest.run in self.cards:
            return  # taken up meanwhile, and what came since then is in that card only
        for stored in self._missed.pop(manifest.run, ()):
            fold(card.state, stored)
        self.cards[manifest.run] = card
        for job in card.state.jobs:
            if job.state is State.RUNNING:
                self.placement.expect(job.worker)
        await self._act(card, due(card.state))
        self._note_if_settled(card)

    async def _follow_runs(self) -> None:
        async for batch in self.mycelium.follow_runs().batches():
            for entry in batch:
                with noted(entry):
                    manifest = self.mycelium.manifest_of(entry)
                    if manifest.run not in self.cards and await self._is_new(manifest):
                        await self._load_safely(manifest)

    async def _is_new(self, manifest: Manifest) -> bool:
        """False for a run that had settled before this scheduler began."""
        names = self.mycelium.names
        found = await self.mycelium.link.last(names.runs, names.settled(manifest.run))
        return found is None or not decode(found.data, Settled).counts

    async def _load_safely(self, manifest: Manifest) -> None:
        """A run that cannot be read must not keep the others from going on.

        A server that is away is another matter: all begins anew then, in a new process.
        """
        try:
            await self._load(manifest)
        except (StoreCorrupt, Untrusted, InternalError) as error:
            log.error("run %s cannot be taken up: %s", manifest.run, error)

    async def _follow_jobs(self, first: int) -> None:
        async for batch in self.mycelium.follow_jobs(first).batches():
            touched: dict[str, list[Action]] = {}
            for entry in batch:
                run, stored = self.mycelium.stored(entry)
                card = self.cards.get(run)
                if card is None:
                    self._missed.setdefault(run, []).append(stored)
                    self._take_up(run)
                    continue
                actions = fold(card.state, stored)
                if isinstance(stored.event, Claimed):
                    self.placement.expect(stored.event.worker)
                touched.setdefault(run, []).extend(actions)
            for run, actions in touched.items():
                await self._act(self.cards[run], actions)
                self._note_if_settled(self.cards[run])

    def _take_up(self, run: str) -> None:
        """A fact about a run that is not followed: it was reopened, or its manifest is on its way."""
        if run not in self._loading:
            self._loading[run] = self.beside.run(self._find_and_load(run))
            self._loading[run].add_done_callback(lambda _: self._loading.pop(run, None))

    async def _find_and_load(self, run: str) -> None:
        flow, _, number = run.partition(".")
        names = self.mycelium.names
        async for entry in self.mycelium.read(names.runs, names.run(flow)):
            with noted(entry):
                manifest = self.mycelium.manifest_of(entry)
                if manifest.number == int(number):
                    await self._load_safely(manifest)
        self._missed.pop(run, None)

    def _note_if_settled(self, card: Card) -> None:
        if not card.state.settled:
            card.noted = False
        elif not card.noted:
            card.noted = True
            counts = {state.value: count for state, count in card.state.counts.items() if count}
            self.beside.run(self._note(card, Settled(run=card.run, counts=counts, at=time.time())))

    async def _note(self, card: Card, note: Settled) -> None:
        await self.mycelium.note_settled(note)
        if card.state.settled and self.cards.get(card.run) is card:
            del self.cards[card.run]

    # ------------------------------------------------------------------ actions

    async def _act(self, card: Card, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Skip):
                self._skip(card, action)
            elif action.not_before > time.time():
                heapq.heappush(self._later, (action.not_before, card.run, action.job, action.seq))
            else:
                await self._offer(card, action)

    def _skip(self, card: Card, action: Skip) -> None:
        event = Skipped(nonce=os.urandom(8).hex(), because=action.because)
        self._record(card.run, action.job, event, action.seq)

    def _record(self, run: str, job: int, event, seq: int) -> None:
        def stored(done: asyncio.Future) -> None:
            if done.cancelled() or done.exception() is None or isinstance(done.exception(), Conflict):
                return  # after a conflict the job has moved on, and the fold will hear of it
            log.warning("a record of job %s of %s could not be stored: %s", job, run, done.exception())

        self.mycelium.record(run, job, event, seq).add_done_callback(stored)

    async def _offer(self, card: Card, action: Offer) -> None:
        use = card.state.graph.elves[card.state.graph.jobs[action.job].elf]
        if use.name:
            self.beside.run(self._offer_named(card, action, use.name))
            return
        pool = card.state.graph.policy.pool
        worker = pool if pool in self.placement.beats else ""
        await self._send(card, action, pool=pool, worker=worker)

    async def _send(self, card: Card, action: Offer, *, pool: str = "", worker: str = "") -> None:
        dispatch = await self._dispatch(card, action)
        card.offered[action.job] = (action.seq, time.monotonic())
        try:
            reply = await self.mycelium.offer(dispatch, pool=pool, worker=worker)
        except Unanswered:
            return  # the connection is away; when it returns everything due is offered again
        reply.add_done_callback(lambda done: self._answered(card, action, done))

    def _answered(self, card: Card, action: Offer, done: asyncio.Future) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        if not self.mycelium.offer_stands(done.result()):
            self.beside.run(self._again(card, action))

    async def _again(self, card: Card, action: Offer) -> None:
        await self.mycelium.ensure_work()
        heapq.heappush(self._later, (time.time() + 0.2, card.run, action.job, action.seq))

    async def _dispatch(self, card: Card, action: Offer) -> Dispatch:
        state, graph = card.state, card.state.graph
        spec, now = graph.jobs[action.job], state.jobs[action.job]
        use = graph.elves[spec.elf]
        if now.revision:
            use = msgspec.structs.replace(use, revision=now.revision)
        inputs = tuple((parent, _value(state, parent)) for parent in spec.parents)
        bundle = None
        if sum(len(ref.inline or b"") for _, ref in inputs) > BUNDLE_BYTES:
            bundle = await self.mycelium.put([msgspec.msgpack.encode(inputs)])
            inputs = ()
        return Dispatch(
            run=card.run,
            job=action.job,
            seq=action.seq,
            attempt=action.attempt,
            label=f"{spec.task}[{spec.number}]",
            elf=use,
            code=now.code or card.manifest.revisions[use.revision],
            task=spec.task,
            arguments=spec.arguments,
            inputs=inputs,
            bundle=bundle,
            blobs=spec.blobs,
            timeout_s=policy_of(graph, action.job).timeout_s,
        )

    # ------------------------------------------------------------------ named elves

    async def _offer_named(self, card: Card, action: Offer, name: str) -> None:
        async with self._placing.setdefault(name, asyncio.Lock()):
            worker = await self.placement.place(name, card.state.graph.policy.pool)
        if worker is None:
            self._homeless[card.run, action.job] = action
            return
        await self._send(card, action, worker=worker)

    # ------------------------------------------------------------------ workers

    def _hear_beat(self, message: Message) -> None:
        beat = decode(message.data, Beat)
        if beat.leaving:
            self._gone(beat.worker, "ended")
            return
        new = self.placement.hear(beat)
        if new and self._homeless:
            homeless, self._homeless = self._homeless, {}
            for (run, job), action in homeless.items():
                if run in self.cards and self.cards[run].state.jobs[job].seq == action.seq:
                    self.beside.run(self._offer(self.cards[run], action))

    def _gone(self, worker: str, why: str) -> None:
        """The worker has ended: what it ran is lost, what was offered to it is offered anew."""
        if not self.placement.remove(worker):
            return
        for card in list(self.cards.values()):
            for job, now in enumerate(card.state.jobs):
                if now.state is State.RUNNING and now.worker == worker:
                    label = card.state.graph.jobs[job]
                    text = f"{worker} {why} while doing {label.task}[{label.number}]."
                    event = Lost(nonce=os.urandom(8).hex(), attempt=now.attempt, worker=worker, why=text)
                    self._record(card.run, job, event, now.seq)
            self.beside.run(self._offer_again(card, named_only=True))

    async def _offer_again(self, card: Card, *, named_only: bool) -> None:
        for action in due(card.state):
            use = card.state.graph.elves[card.state.graph.jobs[action.job].elf]
            if isinstance(action, Offer) and (use.name or not named_only):
                await self._act(card, [action])

    # ------------------------------------------------------------------ time

    async def _keep_time(self) -> None:
        """Back-offs that are over, workers that are silent, connections that came back."""
        while True:
            now = time.time()
            while self._later and self._later[0][0] <= now:
                _, run, job, seq = heapq.heappop(self._later)
                card = self.cards.get(run)
                if card is not None and card.state.jobs[job].seq == seq:
                    await self._act(card, [a for a in due_of(card.state, job) if isinstance(a, Offer)])
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
        for card in list(self.cards.values()):
            await self._act(card, due(card.state))

    async def _sweep(self) -> None:
        """Offer again what has been due for long: an offer that is still queued is refused."""
        while True:
            await asyncio.sleep(SWEEP_S)
            before = time.monotonic() - OFFER_AGAIN_S
            left = OFFERS_A_SWEEP
            for card in list(self.cards.values()):
                self._note_if_settled(card)
                for action in due(card.state):
                    seq, at = card.offered.get(action.job, (-1, 0.0))
                    if left > 0 and (isinstance(action, Skip) or seq != action.seq or at < before):
                        left -= 1
                        await self._act(card, [action])


def due_of(state: RunState, job: int) -> list[Action]:
    return [action for action in due(state) if action.job == job]


def _value(state: RunState, job: int) -> ValueRef:
    event = state.jobs[job].event
    assert isinstance(event, Succeeded), "a job is due only once its parents' success is in the log"
    return event.value
