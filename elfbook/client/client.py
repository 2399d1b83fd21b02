"""A notebook's or script's side of a mycelium: submit runs, watch them, mend or stop them."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec

from elfbook.client.ear import Ear
from elfbook.client.noted import Noted
from elfbook.client.outward import outward
from elfbook.client.pausing import said_to_rest
from elfbook.client.watched import Watched, read_revision
from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.facts import Cancelled, Reopened
from elfbook.host import hostfile
from elfbook.log.fold import RunState, start, to_cancel
from elfbook.model import Beat, Graph, Manifest, Origin, Revision, Settled, Situation, ValueRef
from elfbook.store.beside import ended
from elfbook.store.graphstore import graph_of, store_graph, written
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.store.place import Place
from elfbook.tracing.graph import Drawn
from elfbook.view.overview import RunNow
from elfbook.wire import check_flow_name, decode, digest_of, encode, seal

log = logging.getLogger("elfbook")

BEAT_S = 10.0
MIND_HOST_S = 1.0
IDLE_EARS = 8
"""Flows of which nothing is awaited any more, but whose next run is likely: they are still heard."""
IDLE_S = 20.0
SITUATION_S = 1.0
AWAY_LOOKS = 2
"""A host that does not answer this often in a row is started again."""


@outward
@dataclass(eq=False)
class Client:
    """One process's view of a mycelium; all of it belongs to one event loop."""

    place: Place
    mycelium: Mycelium
    watched: WeakValueDictionary[str, Watched] = field(default_factory=WeakValueDictionary)
    """Runs that someone holds, or that have not settled."""
    _opening: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """By run: there is one Watched of a run, however many ask for it at the same moment."""
    _ears: dict[str, Ear] = field(default_factory=dict)
    """By flow."""
    _newest: dict[str, tuple[Manifest, int]] = field(default_factory=dict)
    _code: dict[str, ValueRef] = field(default_factory=dict)
    _tasks: list[asyncio.Task] = field(default_factory=list)
    _in_doubt: set[str] = field(default_factory=set)
    """Nonces of submissions of which nobody could say whether they were stored."""
    onlooker: bool = False
    """True for one that keeps no host alive and starts none again: it is there to look."""

    @classmethod
    async def open(cls, place: Place, *, onlooker: bool = False) -> Client:
        """Connected; MyceliumUnreachable with what to do when nothing answers."""
        mycelium = await Mycelium.at(place, f"elfbook {'onlooker' if onlooker else 'notebook'}")
        client = cls(place, mycelium, onlooker=onlooker)
        client._tasks = [asyncio.create_task(client._beat())]
        if not onlooker:
            client._tasks.append(asyncio.create_task(client._mind_host()))
        return client

    @property
    def durability(self) -> str:
        return self.mycelium.durability

    @property
    def url(self) -> str:
        return self.mycelium.address.url

    @property
    def key(self) -> bytes:
        return self.mycelium.key

    async def close(self) -> None:
        for watched in list(self.watched.values()):
            await watched.close()
        for ear in self._ears.values():
            await ear.close()
        await ended(self._tasks)
        await self.mycelium.close()

    async def _beat(self) -> None:
        while True:
            if not self.onlooker:
                with contextlib.suppress(Unanswered):
                    await self.mycelium.link.publish(self.mycelium.names.client_beat)
            await self._close_ears(IDLE_S)
            await asyncio.sleep(BEAT_S)

    async def _mind_host(self) -> None:
        """While a run is watched, start the embedded host again if it has died.

        A host that was stopped on purpose has removed its file, and stays stopped.
        """
        away = 0
        while not self.place.url:
            await asyncio.sleep(MIND_HOST_S)
            if (
                all(watched.state.settled for watched in list(self.watched.values()))
                or not self.place.host_file.exists()
            ):
                away = 0
                continue
            away = 0 if await asyncio.to_thread(hostfile.find, self.place) else away + 1
            if away >= AWAY_LOOKS:
                away = 0
                try:
                    await asyncio.to_thread(hostfile.ensure, self.place)
                except ElfbookError as error:
                    log.warning("the host could not be started again: %s", error)

    # ------------------------------------------------------------------ submit

    async def submit(self, flow: str, drawn: Drawn, origin: Origin) -> tuple[Watched, bool]:
        """The run, stored: it survives any crash from here on. True when it was active already.

        Either all of the run exists afterwards or none of it; the same flow with the same code,
        arguments and policy while it is active is the same run.
        """
        check_flow_name(flow)
        form = written(drawn.graph)
        key = digest_of(flow.encode(), form.digest.encode())
        if (active := await self._active(flow, key)) is not None:
            return active, True
        await self._close_ears(IDLE_S)
        ear = self._ear_of(flow)
        with ear.wanted():
            await self._store_blobs(drawn.blobs)
            revisions = {digest: await self._store_code(code) for digest, code in drawn.revisions.items()}
            draft = await store_graph(
                self.mycelium,
                Manifest(
                    flow=flow,
                    number=0,
                    key=key,
                    jobs=len(drawn.graph.jobs),
                    nonce=os.urandom(8).hex(),
                    origin=origin,
                    submitted_at=time.time(),
                    revisions=revisions,
                ),
                drawn.graph,
                form,
            )
            del form  # as large as the graph
            await ear.ready()
            return await self._add(draft, drawn, ear)

    async def _add(self, draft: Manifest, drawn: Drawn, ear: Ear) -> tuple[Watched, bool]:
        """The run, stored under its number; or the one that somebody else began meanwhile."""
        state = start(drawn.graph)
        while True:
            before, seq = self._newest.get(draft.flow) or await self._look_up(draft.flow)
            # Another submission, of this process too, may have been faster while code was stored.
            if (active := await self._active(draft.flow, draft.key)) is not None:
                return active, True
            manifest = msgspec.structs.replace(draft, number=before.number + 1 if before else 1)
            state.run_key = manifest.run
            # It listens before the run exists, or it might miss how it begins.
            watched = self._watched(manifest, drawn.graph, dict(drawn.revisions), state)
            watched.listen(ear)
            try:
                seq = await self.mycelium.add_run(manifest, seq)
            except BaseException as error:
                await watched.close()
                self._newest.pop(draft.flow, None)
                if not isinstance(error, Conflict):
                    self._in_doubt.add(manifest.nonce)
                    raise
                continue
            self._newest[draft.flow] = (manifest, seq)
            self.watched[manifest.run] = watched
            return watched, False

    async def _look_up(self, flow: str) -> tuple[Manifest | None, int]:
        found = await self.mycelium.latest_run(flow)
        if found is None:
            return None, 0
        self._newest[flow] = found
        return found

    async def _active(self, flow: str, key: str) -> Watched | None:
        """The flow's newest run if it has this key, and has not settled or was submitted in doubt."""
        before, _ = self._newest.get(flow) or await self._look_up(flow)
        if before is None or before.key != key:
            return None
        watched = await self.watch(flow, before.number)
        await watched.catch_up()
        if watched.state.settled and before.nonce not in self._in_doubt:
            return None
        self._in_doubt.discard(before.nonce)
        return watched

    async def _store_blobs(self, blobs: Mapping[str, Iterable[bytes | memoryview]]) -> None:
        for digest, pieces in blobs.items():
            await self.mycelium.store(digest, list(pieces))

    async def _store_code(self, revision: Revision) -> ValueRef:
        if revision.digest not in self._code:
            data = seal(encode(revision), self.mycelium.key)
            self._code[revision.digest] = await self.mycelium.put([data], inline=False)
        return self._code[revision.digest]

    # ------------------------------------------------------------------ watch

    def _watched(
        self, manifest: Manifest, graph: Graph, revisions: dict[str, Revision], state: RunState
    ) -> Watched:
        return Watched(self.mycelium, manifest, graph, revisions, state, self._ear_of)

    def _ear_of(self, flow: str) -> Ear:
        """What hears of the flow from now on, once it is `ready`."""
        ear = self._ears.pop(flow, None)
        if ear is None or ear.error is not None:
            ear = Ear(self.mycelium, flow).begin()
        self._ears[flow] = ear  # the one used last is the last
        return ear

    async def _close_ears(self, idle_s: float) -> None:
        """Nothing is heard any more of flows that nobody has asked about for so long, or that are many."""
        idle = [flow for flow, ear in self._ears.items() if ear.idle]
        stale = [flow for flow in idle if time.monotonic() > self._ears[flow].idle_since + idle_s]
        for flow in dict.fromkeys([*idle[:-IDLE_EARS], *stale]):
            ear = self._ears.get(flow)
            if ear is not None and ear.idle:  # somebody may want it by now
                del self._ears[flow]
                await ear.close()

    async def watch(self, flow: str, number: int | None = None) -> Watched:
        """A run of the flow, the newest unless a number is given, with all facts stored so far."""
        manifest = await self._manifest(flow, number)
        async with self._opening.setdefault(manifest.run, asyncio.Lock()):
            return await self._opened(manifest)

    async def _opened(self, manifest: Manifest) -> Watched:
        if manifest.run in self.watched:
            watched = self.watched[manifest.run]
            if not watched.listens:  # it has settled, and may have been opened again elsewhere
                await watched.catch_up()
            return watched
        graph = await graph_of(self.mycelium, manifest)
        revisions = {
            digest: await read_revision(self.mycelium, digest, ref)
            for digest, ref in manifest.revisions.items()
        }
        watched = self._watched(manifest, graph, revisions, start(graph, manifest.run))
        self.watched[manifest.run] = watched
        await watched.catch_up()
        for job in watched.state.jobs:
            if job.revision and job.code is not None:
                await watched.learn(job.revision, job.code)
        return watched

    async def _manifest(self, flow: str, number: int | None) -> Manifest:
        if number is None:
            found = await self.mycelium.latest_run(flow)
            if found is not None:
                self._newest[flow] = found
                return found[0]
        else:
            manifests, _ = await self.mycelium.all_runs()
            for manifest in manifests:
                if manifest.flow == flow and manifest.number == number:
                    return manifest
        raise await self._unknown(flow, number)

    async def _unknown(self, flow: str, number: int | None) -> ElfUsageError:
        manifests, _ = await self.mycelium.all_runs()
        flows = sorted({manifest.flow for manifest in manifests})
        if number is not None and flow in flows:
            last = max(manifest.number for manifest in manifests if manifest.flow == flow)
            return ElfUsageError(f"flow {flow} has no run {number}; its newest is {last}")
        near = difflib.get_close_matches(flow, flows, n=1)
        hint = f"Did you mean {near[0]}?" if near else "See what there is with  %elf runs"
        return ElfUsageError(f"there is no flow called {flow} here", hint=hint)

    async def runs(self) -> list[RunNow]:
        """Every run, oldest first."""
        manifests, ends = await self.mycelium.all_runs()
        found = []
        for manifest in manifests:
            end = ends.get(manifest.run)
            state = None if end is not None else (await self.watch(manifest.flow, manifest.number)).state
            found.append(Noted.of(manifest).now(state, end))
        return found

    async def workers(self) -> list[Beat]:
        """The workers that are alive now."""
        return await self.mycelium.census()

    async def situation(self) -> Situation | None:
        """What may keep due jobs waiting, as the scheduler sees it; None when none answers."""
        link, names = self.mycelium.link, self.mycelium.names
        try:
            return decode((await link.request(names.situation, timeout_s=SITUATION_S)).data, Situation)
        except Unanswered:
            return None

    # ------------------------------------------------------------------ mend and stop

    async def cancel(self, watched: Watched, why: str = "", jobs: Iterable[int] | None = None) -> int:
        """Holds afterwards: no new attempt starts, and running ones cannot commit. How many ended so."""
        named = None if jobs is None else set(jobs)
        nonce = os.urandom(8).hex()
        tried: set[int] = set()
        stopped: set[int] = set()
        while True:
            wanted = [(job, seq) for job, seq in to_cancel(watched.state) if named is None or job in named]
            if not wanted:
                # A job of a lot may have ended a moment before its cancel was stored: the log decides.
                events = (watched.state.jobs[job].event for job in tried)
                return sum(isinstance(event, Cancelled) and event.nonce == nonce for event in events)
            writes = [
                self.mycelium.record(watched.run, job, Cancelled(nonce=nonce, why=why), seq)
                for job, seq in wanted
            ]
            await stored(writes)
            await watched.catch_up()
            # Only now is it certain who held a job: a claim of many is no record of the job's own, so
            # the cancel may have been stored over one that this process had not read.
            tried.update(job for job, _ in wanted)
            for job in sorted(tried - stopped):
                now = watched.state.jobs[job]
                if isinstance(now.event, Cancelled) and now.event.nonce == nonce and now.worker:
                    stopped.add(job)
                    with contextlib.suppress(Unanswered):
                        await self.mycelium.stop_job(now.worker, watched.run, job)

    async def pause(self, watched: Watched, why: str = "") -> bool:
        """Holds afterwards: the run is paused. True when it was this call that paused it."""
        return await said_to_rest(watched, True, why)

    async def resume(self, watched: Watched) -> bool:
        """Holds afterwards: the run goes on. True when it was this call that resumed it."""
        return await said_to_rest(watched, False)

    async def reopen(
        self, watched: Watched, jobs: list[int], revisions: Mapping[str, Revision] | None = None
    ) -> int:
        """Holds afterwards: these jobs wait again, with new code where `revisions` has their class."""
        await watched.catch_up()
        await self.mycelium.note_settled(Settled(run=watched.run, counts={}, upto=watched.upto))
        events = []
        for job in jobs:
            use = watched.graph.elves[watched.graph.jobs[job].elf]
            fresh = (revisions or {}).get(use.elf)
            if fresh is None:
                event = Reopened(nonce=os.urandom(8).hex())
            else:
                code = await self._store_code(fresh)
                watched.revisions[fresh.digest] = fresh
                event = Reopened(nonce=os.urandom(8).hex(), revision=fresh.digest, code=code)
            events.append((job, event, watched.state.jobs[job].seq))
        writes = [self.mycelium.record(watched.run, job, event, seq) for job, event, seq in events]
        number = await stored(writes)
        await watched.catch_up()
        return number

    async def fetch(self, ref: ValueRef) -> bytes:
        """The encoded value that a reference names."""
        return await self.mycelium.fetch(ref)

    async def store(self, blobs: Mapping[str, Iterable[bytes | memoryview]]) -> None:
        """Store large values by digest before anything names them."""
        await self._store_blobs(blobs)


async def stored(writes: Collection[asyncio.Future]) -> int:
    """How many of the records are stored; those that came too late are not. Raises any other error."""
    if writes:
        await asyncio.wait(writes)
    errors = [write.exception() for write in writes]
    for error in errors:
        if error is not None and not isinstance(error, Conflict):
            raise error
    return errors.count(None)
