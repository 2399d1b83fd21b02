"""Taking up runs: what is stored of them is read and folded, and from then on they are followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from elfbook.errors import InternalError, StoreCorrupt, Untrusted
from elfbook.facts import LOT, Paused, Stored
from elfbook.host.card import Card
from elfbook.host.snapshots import Snapshots
from elfbook.log.fold import Action, fold, start
from elfbook.model import Graph, Manifest, Settled
from elfbook.store.graphstore import graph_of
from elfbook.store.messages import Among, Entry
from elfbook.store.mycelium import Mycelium

log = logging.getLogger("elfbook")


@dataclass(eq=False)
class Uptake:
    """Gives a scheduler the cards of runs that have not settled."""

    mycelium: Mycelium
    snapshots: Snapshots | None
    cards: dict[str, Card]
    """The runs that are followed; the scheduler removes those that have settled."""
    own: Callable[[Coroutine], asyncio.Task]
    """Runs something beside the loops and sees to its failures."""
    on_card: Callable[[Card], Awaitable[None]]
    """Called with each run that is followed from now on."""
    _all_taken: bool = False
    _loading: dict[str, asyncio.Task] = field(default_factory=dict)
    _missed: dict[str, list[Stored]] = field(default_factory=dict)
    """Facts about runs that are not followed yet."""
    _newest: dict[str, int] = field(default_factory=dict)
    """Of each flow the highest number of a run that was taken up."""

    def is_coming(self, run: str) -> bool:
        """True for a run that is about to be followed: nobody knows yet what its jobs do."""
        return not self._all_taken or run in self._missed or run in self._loading

    # ------------------------------------------------------------------ which

    async def take_all(self) -> dict[str, Settled]:
        """Holds afterwards: every run without a note of its end is followed. Gives the other notes."""
        settled = await self.mycelium.settled_runs()
        async for manifest in self.mycelium.manifests():
            if manifest.run not in settled:
                await self._take(manifest)
        self._all_taken = True
        return settled

    async def follow(self, first: int) -> None:
        """Take up each run that is submitted, from a sequence of RUNS on, until cancelled."""
        async for batch in self.mycelium.follow_runs(first).batches():
            for entry in batch:
                with self.mycelium.setting_aside(entry):
                    manifest = self.mycelium.manifest_of(entry)
                    if manifest.run not in self.cards:
                        # Of one that was met before, by a fact about it, there is more than the manifest.
                        fresh = manifest.number > self._newest.get(manifest.flow, 0)
                        await self._take(manifest, fresh=fresh)

    def hear(self, run: str, facts: list[Stored]) -> None:
        """Facts about a run that is not followed: it was reopened, or its manifest is on its way."""
        self._missed.setdefault(run, []).extend(facts)
        self.find(run)

    def find(self, run: str) -> None:
        """Have a run taken up of which only the name is known."""
        if run not in self._loading:
            self._loading[run] = self.own(self._find(run))
            self._loading[run].add_done_callback(lambda _: self._loading.pop(run, None))

    async def _find(self, run: str) -> None:
        flow, _, number = run.partition(".")
        names = self.mycelium.names
        async for entry in self.mycelium.read(names.runs, names.run(flow)):
            with self.mycelium.setting_aside(entry):
                manifest = self.mycelium.manifest_of(entry)
                if manifest.number == int(number):
                    await self._take(manifest)
        self._missed.pop(run, None)

    # ------------------------------------------------------------------ how

    async def _take(self, manifest: Manifest, *, fresh: bool = False) -> None:
        """A run that cannot be read must not keep the others from going on.

        A server that is away is another matter: all begins anew then, in a new process.
        """
        try:
            await self._load(manifest, fresh=fresh)
        except (StoreCorrupt, Untrusted, InternalError) as error:
            log.error("run %s cannot be taken up: %s", manifest.run, error)

    async def _load(self, manifest: Manifest, *, fresh: bool) -> None:
        """Nothing of a fresh run, one submitted while its facts are heard, can have been missed."""
        graph = await graph_of(self.mycelium, manifest)
        card = Card(manifest, start(graph, manifest.run)) if fresh else await self._read(manifest, graph)
        if manifest.run in self.cards:
            return  # taken up meanwhile, and what came since then is in that card only
        self.fold(card, self._missed.pop(manifest.run, []))
        self.cards[manifest.run] = card
        self._newest[manifest.flow] = max(manifest.number, self._newest.get(manifest.flow, 0))
        await self.on_card(card)

    async def _read(self, manifest: Manifest, graph: Graph) -> Card:
        """The run as its log tells it, with a snapshot for a beginning if there is one."""
        saved = self.snapshots and self.snapshots.load(manifest, graph, self.mycelium.epoch)
        state, head = saved or (start(graph, manifest.run), None)
        card = Card(manifest, state, facts=head.facts if head else 0)
        names = self.mycelium.names
        first = head.upto + 1 if head else 1
        async for entry in self.mycelium.read(names.jobs, names.jobs_of(manifest.run), start=first):
            facts = self.mycelium.facts(entry)[1]
            self.look_back(card, entry, facts)
            self.fold(card, facts)
        return card

    def look_back(self, card: Card, entry: Entry, facts: list[Stored]) -> None:
        """Note what is not there that a record was written over, before the record is folded.

        The server compares what each write expects with what is there. So if that is not what the fold
        has seen, a record is gone since then, or one was put there behind the server's back.
        """
        over, state = entry.over, card.state
        if over is None or not facts:
            return
        job = facts[0].job
        among = isinstance(over, Among)
        if isinstance(facts[0].event, Paused):
            seq, newest, upto = over, state.pause_seq, state.pause_seq
        elif 0 <= job < len(state.jobs):
            now, lot = state.jobs[job], state.lots[job // LOT]
            seq, newest, upto = (over.seq, lot, lot) if among else (over, now.seq, now.upto)
        else:
            return
        if seq == newest or entry.seq <= upto:
            return
        whose = entry.subject if not among else over.subjects
        self.mycelium.set_aside(
            Entry(whose, b"", max(seq, newest)),
            f"it is gone: record {entry.seq} was written over it"
            if seq > newest
            else f"record {entry.seq} was not written over it, and should have been",
        )

    def fold(self, card: Card, facts: list[Stored]) -> tuple[list[Stored], list[Action]]:
        """Those of the facts that are about jobs of the run, and what has become due by them."""
        folded, actions = [], []
        for stored in self.mycelium.within(facts, card.run, card.state):
            folded.append(stored)
            actions += fold(card.state, stored)
        card.facts += len(folded)
        card.upto = max([card.upto, *(stored.seq for stored in folded[-1:])])
        return folded, actions
