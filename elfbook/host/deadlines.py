"""Runs with a limit for the whole of them: when it ends, so does everything that has not ended.

Any number of schedulers may do this at once. Each end is written over the record that it was decided
on, so what succeeds at the last moment has succeeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from elfbook.errors import StoreCorrupt, Untrusted
from elfbook.facts import Failed, State
from elfbook.host.card import Card
from elfbook.log.deadlines import ends_at, overdue
from elfbook.model import Failure, Manifest
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.words import limit

LOOK_S = 0.25
ENDS_A_LOOK = 5000


@dataclass(eq=False)
class Deadlines:
    """Ends overdue runs of one mycelium."""

    mycelium: Mycelium
    cards: Mapping[str, Card]
    """The runs that are followed; the scheduler changes it."""
    _submitted: dict[str, float] = field(default_factory=dict)
    """Run to when it was submitted, by the server's clock."""

    async def keep(self) -> None:
        """Look from time to time until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for run in self._submitted.keys() - self.cards.keys():
                del self._submitted[run]
            for run, card in list(self.cards.items()):
                if card.state.graph.policy.deadline_s is not None:
                    with contextlib.suppress(Unanswered):  # the server is away: at the next look
                        await self._look(run, card)

    async def _look(self, run: str, card: Card) -> None:
        if run not in self._submitted:
            self._submitted[run] = await self._submitted_at(card.manifest)
        at = ends_at(card.state, self._submitted[run])
        if at is not None and at <= time.time():
            await self._end(run, card)

    async def _submitted_at(self, manifest: Manifest) -> float:
        """The submitter's own clock may be wrong; the server noted when it stored the manifest."""
        names = self.mycelium.names
        entry = await self.mycelium.link.last(names.runs, names.run(manifest.flow))
        if entry is not None:
            with contextlib.suppress(StoreCorrupt, Untrusted):  # somebody else's newer run
                if self.mycelium.manifest_of(entry).number == manifest.number:
                    return entry.at
        return manifest.submitted_at

    async def _end(self, run: str, card: Card) -> None:
        ended = overdue(card.state)[:ENDS_A_LOOK]
        workers = {job: card.state.jobs[job].worker for job, _ in ended}
        writes = [self.mycelium.record(run, job, self._timed_out(card, job), seq) for job, seq in ended]
        # A conflict means that the job has moved on: the next look will see what it is then.
        stored = await asyncio.gather(*writes, return_exceptions=True)
        for (job, worker), answer in zip(workers.items(), stored, strict=True):
            if worker and isinstance(answer, int):
                await self.mycelium.stop_job(worker, run, job)

    def _timed_out(self, card: Card, job: int) -> Failed:
        now, flow = card.state.jobs[job], card.manifest.flow
        did = "" if now.state is State.RUNNING else ", and this job had not begun"
        words = f"flow {flow} ran longer than its limit of {limit(card.state.graph.policy.deadline_s)}{did}"
        return Failed(
            nonce=os.urandom(8).hex(),
            attempt=now.attempt,
            failure=Failure(type="TimedOut", message=words),
            outcome="timed out",
            worker=now.worker,
            final=True,
        )
