"""A flow in this one process: the same graph, fold and records as on workers, no mycelium.

Jobs run one after another in the order of the flow; their values go through the same encoding
as between workers, so that a flow gives the same results here and there. What it does not
have: time limits, durability, and attributes kept by named elves from earlier runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from elfbook.code import cells
from elfbook.facts import ENDED, AnyEvent, Claimed, Failed, Skipped, Stored, Succeeded
from elfbook.log.fold import Action, Offer, RunState, due, fold, start
from elfbook.model import Failure, Graph, Manifest, Origin, Output, Revision, ValueRef
from elfbook.progress import MOST_TEXT, Progress
from elfbook.tracing import evaluate, values
from elfbook.tracing.graph import Drawn
from elfbook.wire import digest_of
from elfbook.work import fence
from elfbook.work.parcels import plain_revision
from elfbook.work.room import Room

HERE = "here"
SHOWN_EVERY_S = 0.2


class LocalRoom(Room):
    """A room whose code is the code that is alive in this process."""

    def __init__(self, key: bytes, namespace: Mapping[str, object]) -> None:
        super().__init__(values, evaluate, cells, fence, key)
        self.main = namespace

    def world(self, digest: str) -> dict[str, Mapping[str, object]]:
        module = self.revisions[digest]["module"]
        world = {"__main__": self.main}
        if module != "__main__":
            world[module] = vars(sys.modules[module])
        return world

    def learn(self, revision: dict) -> None:
        super().learn(revision)
        for piece in revision["pieces"]:
            self.labels[piece["filename"]] = piece["label"]


@dataclass(eq=False)
class LocalRun:
    """A run that took place here; what `client.Watched` is for one on workers."""

    manifest: Manifest
    graph: Graph
    revisions: dict[str, Revision]
    state: RunState
    outputs: dict[int, list[Output]] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    """Each job's encoded result."""
    ended: list[int] = field(default_factory=list)
    """The jobs in the order in which they ended."""
    said: dict[int, Progress] = field(default_factory=dict)
    """How far the job under way says it is."""
    version: int = 0
    error: Exception | None = None
    _seq: int = 0

    @property
    def run(self) -> str:
        return self.manifest.run

    async def changed(self, version: int) -> int:
        """Nothing changes after it is over: returns at once."""
        return self.version

    async def settled(self) -> None:
        """It is."""

    def progress(self) -> dict[int, Progress]:
        """How far the job under way is, if it says so."""
        return dict(self.said)

    def record(self, job: int, event: AnyEvent) -> list[Action]:
        self._seq += 1
        self.version += 1
        actions = fold(self.state, Stored(job=job, seq=self._seq, at=time.time(), event=event))
        if self.state.jobs[job].state in ENDED:
            self.ended.append(job)
        return actions


def run_here(
    flow: str,
    drawn: Drawn,
    *,
    key: bytes,
    namespace: Mapping[str, object],
    origin: Origin | None = None,
    shown: Callable[[LocalRun], None] = lambda run: None,
) -> LocalRun:
    """Every job of the flow, run here; failed ones are in the state, as on workers.

    `shown` is called after each job, and while one says how far it is. KeyboardInterrupt ends the flow
    and goes on up.
    """
    manifest = Manifest(
        flow=flow,
        number=1,
        key="",
        jobs=len(drawn.graph.jobs),
        nonce="",
        graph=drawn.graph,
        origin=origin or Origin(),
    )
    run = LocalRun(manifest, drawn.graph, dict(drawn.revisions), start(drawn.graph, manifest.run))
    room = LocalRoom(key, namespace)
    for revision in drawn.revisions.values():
        room.learn(plain_revision(revision))
    blobs = {digest: b"".join(bytes(part) for part in parts) for digest, parts in drawn.blobs.items()}
    todo = [(action.job, action) for action in due(run.state)]
    heapq.heapify(todo)
    while todo:
        _, action = heapq.heappop(todo)
        for fresh in _carry_out(run, room, action, blobs, shown):
            heapq.heappush(todo, (fresh.job, fresh))
        shown(run)
    return run


def _carry_out(
    run: LocalRun, room: Room, action: Action, blobs: Mapping[str, bytes], shown: Callable[[LocalRun], None]
) -> list[Action]:
    now = run.state.jobs[action.job]
    if now.seq != action.seq:
        return []
    if not isinstance(action, Offer):
        return run.record(action.job, Skipped(nonce="", because=action.because))
    time.sleep(max(0.0, action.not_before - time.time()))
    run.record(action.job, Claimed(nonce="", attempt=action.attempt, worker=HERE))
    fence.begin((0, run._seq))
    fence.tell(_hears(run, action.job, shown))
    try:
        outcome = _attempt(room, _job(run, action.job, blobs))
    finally:
        fence.end()
        fence.tell(None)
        run.said.clear()
    return run.record(action.job, _event(run, action, outcome))


def _hears(run: LocalRun, job: int, shown: Callable[[LocalRun], None]) -> Callable[..., None]:
    """What is told how far the job is. It is shown between two steps of this thread, a few times a second."""
    here, shown_at = threading.get_ident(), time.monotonic()

    def hears(done: float, total: float | None, text: str) -> None:
        nonlocal shown_at
        run.said[job] = Progress(done, total, text[:MOST_TEXT])
        if threading.get_ident() == here and time.monotonic() > shown_at + SHOWN_EVERY_S:
            run.version += 1
            shown(run)
            shown_at = time.monotonic()

    return hears


def _job(run: LocalRun, job: int, blobs: Mapping[str, bytes]) -> dict:
    spec = run.graph.jobs[job]
    use = run.graph.elves[spec.elf]
    tasks = run.revisions[use.revision].tasks
    return {
        "task": spec.task,
        "elf": {"elf": use.elf, "revision": use.revision, "name": use.name, "arguments": use.arguments},
        "arguments": spec.arguments,
        "inputs": [(parent, bytearray(run.values[parent])) for parent in spec.parents],
        "blobs": {ref.digest: bytearray(blobs[ref.digest]) for ref in spec.blobs},
        "outputs": next((task.outputs for task in tasks if task.name == spec.task), None),
    }


def _attempt(room: Room, job: dict) -> dict:
    outcome = room.run(job)
    if "coroutine" in outcome:
        try:
            return room.finish(job, _await_aside(outcome["coroutine"]), outcome["started"])
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            return room.failed(job, error, outcome["started"], outcome["call"])
    return outcome


def _await_aside(coroutine) -> object:
    """A coroutine's result, run on a loop of its own: this thread's may be busy with the cell."""
    ended: Future = Future()
    begun: Future = Future()

    async def run() -> object:
        begun.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    def work() -> None:
        try:
            ended.set_result(asyncio.run(run()))
        except BaseException as error:
            ended.set_exception(error)

    thread = threading.Thread(target=work, name="elfbook async task")
    try:
        thread.start()
        # Not thread.join(): once interrupted, it takes the thread for ended (until Python 3.13).
        return ended.result()
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError, TimeoutError):  # it has just ended, or never began
            loop, task = begun.result(timeout=1)
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        if thread.ident is not None:
            thread.join()


def _event(run: LocalRun, action: Offer, outcome: dict) -> AnyEvent:
    if outcome["ok"]:
        data = b"".join(bytes(part) for part in outcome["parts"])
        run.values[action.job] = data
        ref = ValueRef(digest=digest_of(data), size=len(data), preview=outcome["preview"], inline=data)
        elapsed_s = outcome["elapsed"]
        return Succeeded(nonce="", attempt=action.attempt, value=ref, worker=HERE, elapsed_s=elapsed_s)
    failure = msgspec.convert(outcome["failure"], Failure)
    if failure.type == "KeyboardInterrupt":
        raise KeyboardInterrupt
    return Failed(
        nonce="",
        attempt=action.attempt,
        failure=failure,
        outcome="refused" if outcome["refused"] else "out of memory" if outcome["memory"] else "crashed",
        worker=HERE,
        elapsed_s=outcome["elapsed"],
        final=outcome["refused"],
    )
