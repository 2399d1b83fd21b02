"""Jobs of which it is not known any more whether they were done: ended by name, not done again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection

from elfbook.errors import InternalError, StoreCorrupt, Untrusted
from elfbook.facts import Failed, State
from elfbook.log.fold import RunState, fold, start, to_cancel
from elfbook.model import Failure, Manifest
from elfbook.store.graphstore import graph_of
from elfbook.store.mycelium import Mycelium

log = logging.getLogger("elfbook")

WHY = (
    "the store has lost records of this run, and it cannot be known whether this job was done. "
    "A retry does it again; results that are still there are kept."
)


async def withhold(mycelium: Mycelium, runs: Collection[str]) -> int:
    """Holds afterwards: no job of these runs starts by itself that may have been done. How many ended so."""
    count = 0
    async for manifest in mycelium.manifests():
        if manifest.run in runs:
            try:
                state = await _folded(mycelium, manifest)
            except (StoreCorrupt, Untrusted, InternalError) as error:
                log.error("run %s cannot be read: %s", manifest.run, error)
                continue
            count += await _end(mycelium, manifest.run, state)
    return count


async def _folded(mycelium: Mycelium, manifest: Manifest) -> RunState:
    state = start(await graph_of(mycelium, manifest), manifest.run)
    names = mycelium.names
    async for entry in mycelium.read(names.jobs, names.jobs_of(manifest.run)):
        for stored in mycelium.within(mycelium.facts(entry)[1], manifest.run, state):
            fold(state, stored)
    return state


async def _end(mycelium: Mycelium, run: str, state: RunState) -> int:
    """End what runs and what could start; what depends on it is then skipped."""
    writes = []
    for job, seq in to_cancel(state):
        now = state.jobs[job]
        if now.state is State.RUNNING or (not now.unmet and now.because is None):
            failure = Failure(type="StoreRegressed", message=WHY)
            event = Failed(os.urandom(8).hex(), now.attempt, failure, "refused", now.worker, final=True)
            writes.append(mycelium.record(run, job, event, seq))
    answers = await asyncio.gather(*writes, return_exceptions=True)
    return sum(isinstance(answer, int) for answer in answers)  # others have moved on by themselves
