"""Handles: a run as a notebook holds it, with its jobs. They hold no results, they fetch them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

from elfbook.errors import ElfbookError, ElfUsageError, FlowCancelled, FlowFailed
from elfbook.facts import State
from elfbook.log.fold import RunState, run_outcome
from elfbook.model import INLINE_LIMIT, Graph, Manifest, Output, Revision, ValueRef
from elfbook.notebook import naming, pages
from elfbook.notebook.jobs import Ends, Job, Jobs, NoSuchJob, Results
from elfbook.notebook.traces import shown_as
from elfbook.tracing.evaluate import evaluate
from elfbook.tracing.values import is_plain, preview
from elfbook.view.view import first_words, title_of
from elfbook.words import count, duration

if TYPE_CHECKING:
    from elfbook.notebook.notebook import Notebook

TIMEOUT_NOTE = "It goes on."


class Watched(Protocol):
    """A run that is followed: client.py follows it in the log, local.py ran it here."""

    manifest: Manifest
    graph: Graph
    revisions: Mapping[str, Revision]
    state: RunState
    outputs: Mapping[int, list[Output]]
    ended: Sequence[int]
    version: int
    error: Exception | None

    async def changed(self, version: int) -> int: ...
    async def settled(self) -> object: ...
    def close(self) -> object: ...


class Run:
    """A run of a flow. It goes on without this handle; `elfbook.attach(name)` makes another.

    `run.result()` or `await run` gives the flow's result, `run["task_hello"][2]` a job,
    `run.failed` the failed ones; iterating gives the jobs as they end.
    """

    def __init__(self, flow: str, notebook: Notebook, watched: Watched | None = None) -> None:
        self.flow = flow
        self._notebook = notebook
        self._watched = watched
        self.returned: object = None
        self.local = False
        """True when it ran in this process and is in no store."""
        self.blobs: dict[str, list[bytes | memoryview]] = {}
        """Large literals of a local run."""
        self.picture: tuple[Any, str] | None = None
        """The graph's outline and its words, which stay the same: kept from the first look on."""

    def returns(self, value: object) -> None:
        """Inside `with elfbook.flow(…)`: `value` is what the flow's result will be made of."""
        self.returned = value

    # ------------------------------------------------------------------ waiting

    def result(self, timeout: float | None = None) -> object:
        """The flow's result, waited for; FlowFailed when jobs failed, TimeoutError after `timeout` s.

        Kernel > Interrupt ends the wait and leaves the run as it is.
        """
        self.wait(timeout)
        return self._value()

    def wait(self, timeout: float | None = None) -> Run:
        """This run, once all its jobs have ended, however they did."""
        __tracebackhide__ = True
        self._renew()
        self._wait_for(self.watched.settled, timeout)
        return self

    def _renew(self) -> None:
        """What is waited for can come: the server may have gone and come back since the last use."""
        if not self.settled:
            self._notebook.renew(self)

    def __await__(self) -> Generator[Any, None, object]:
        return self._awaited().__await__()

    async def _awaited(self) -> object:
        self._renew()
        await self._until(self.watched.settled)
        self._check()
        return await asyncio.to_thread(self._value) if self._is_large() else self._value()

    async def _until(self, make: Callable[..., Any], *args: object) -> None:
        if self.settled:
            return
        try:
            await self._notebook.portal.wait(make, *args, check=self._notebook.watching())
        except asyncio.CancelledError as error:
            # An interrupted cell is cancelled like any task; it stays cancelled.
            shown_as(error, self._stopped())
            error.args = (self._stopped(),)
            raise

    def __iter__(self) -> Iterator[Job]:
        """The jobs, each as soon as it has ended."""
        ends = Ends(self)
        self._renew()
        while True:
            version = self.watched.version
            over = self.settled
            yield from ends.fresh()
            if over:
                return
            self._wait_for(lambda version=version: self.watched.changed(version), None)

    async def __aiter__(self) -> AsyncIterator[Job]:
        ends = Ends(self)
        self._renew()
        while True:
            version = self.watched.version
            over = self.settled
            for job in ends.fresh():
                yield job
            if over:
                return
            await self._until(self.watched.changed, version)

    def _wait_for(self, make: Callable[[], Any], timeout: float | None) -> None:
        __tracebackhide__ = True
        if not self.settled:
            try:
                check = self._notebook.watching()
                self._notebook.portal.call(make, timeout_s=timeout, check=check)
            except KeyboardInterrupt as error:
                shown_as(error, self._stopped())
                error.args = (self._stopped(),)
                raise
            except TimeoutError:
                late = TimeoutError(
                    f"flow {self.flow} has not ended within {duration(timeout or 0)}: {self._progress()}. "
                    + TIMEOUT_NOTE
                )
                shown_as(late, f"TimeoutError: {late}")
                raise late from None
        self._check()

    def _check(self) -> None:
        if self.watched.error is not None:
            raise self.watched.error

    def _progress(self) -> str:
        done = self.state.counts[State.DONE]
        return f"{count(done)} of {count(len(self))} done"

    def _stopped(self) -> str:
        stop = f"%elf cancel {self.reference}  stops it."
        return f"stopped waiting. {self.flow} goes on: {self._progress()}.  {stop}"

    # ------------------------------------------------------------------ values

    def _value(self) -> object:
        """The flow's result; raises what kept it from coming about."""
        outcome = run_outcome(self.state)
        if outcome == "cancelled":
            raise FlowCancelled(
                title_of(self.flow, self.state),
                hint=f"Run what was cancelled with  %elf retry {self.reference}",
            )
        if outcome == "failed":
            raise self.error
        results = Results(self)
        return evaluate(self.plan.result, results, self._decode, self._blob)

    def _blob(self, digest: str) -> object:
        """A large literal of the flow's result."""
        if digest in self.blobs:
            return self._decode(b"".join(self.blobs[digest]))
        return self.load(next(ref for ref in self.plan.blobs if ref.digest == digest))

    def _is_large(self) -> bool:
        return any(ref.inline is None for ref in self.plan.blobs) or any(
            ref is not None and ref.inline is None for ref in map(self.ref, range(len(self)))
        )

    def ref(self, job: int) -> ValueRef | None:
        return getattr(self.state.jobs[job].event, "value", None)

    def load(self, ref: ValueRef) -> object:
        """The value that `ref` names, fetched unless it lies in the record itself."""
        return self._notebook.load(ref)

    def result_preview(self) -> str:
        """The flow's result in a few words, without opening anything that could run code."""
        if not self.ok:
            return ""
        refs = [self.ref(job) for job in range(len(self))]
        small = sum(ref.size for ref in refs if ref is not None) <= INLINE_LIMIT
        plain = all(ref is not None and ref.inline is not None and is_plain(ref.inline) for ref in refs)
        return preview(self._value()) if small and plain and not self.plan.blobs else ""

    def _decode(self, data: bytes) -> object:
        return self._notebook.decode(data)

    # ------------------------------------------------------------------ jobs

    def __len__(self) -> int:
        return len(self.state.jobs)

    @overload
    def __getitem__(self, key: int) -> Job: ...
    @overload
    def __getitem__(self, key: str) -> Job | Jobs: ...
    def __getitem__(self, key: str | int) -> Job | Jobs:
        """`run["task_hello"]` all jobs of a task, `run["task_hello[2]"]` or `run[5]` one job.

        Also by elf: `run["calc1"]`, `run["calc1.task_add[3]"]`.
        """
        if isinstance(key, int):
            return Jobs(Job(self, job) for job in range(len(self)))[key]
        if not isinstance(key, str):
            raise TypeError(
                f'a run is indexed by a job\'s number or name, as in run["task_hello[2]"], not {key!r}'
            )
        try:
            if "[" in key:
                return Job(self, naming.job_named(self.plan, key))
            found = naming.jobs_named(self.plan, key)
            if not found:
                raise naming.no_such_job(self.plan, key)
        except ElfUsageError as error:
            raise NoSuchJob(str(error)) from None
        return Jobs(Job(self, job) for job in found)

    def _ipython_key_completions_(self) -> list[str]:
        words = naming.known_words(self.plan)
        failed = [naming.full_label(self.plan, job.number) for job in self.failed[:20]]
        return [*failed, *words]

    @property
    def jobs(self) -> Jobs:
        """All jobs in the order in which the flow calls them."""
        return Jobs(Job(self, job) for job in range(len(self)))

    @property
    def failed(self) -> Jobs:
        """The jobs that failed."""
        return Jobs(Job(self, i) for i, now in enumerate(self.state.jobs) if now.state is State.FAILED)

    # ------------------------------------------------------------------ facts

    @property
    def started(self) -> bool:
        """False inside the `with` block that records the flow, True from its end on."""
        return self._watched is not None

    @property
    def watched(self) -> Watched:
        """What follows the run; ElfbookError before it has started."""
        if self._watched is None:
            raise ElfbookError(
                f"flow {self.flow} has not started yet", hint="It starts at the end of its `with` block."
            )
        return self._watched

    @property
    def state(self) -> RunState:
        return self.watched.state

    @property
    def manifest(self) -> Manifest:
        return self.watched.manifest

    @property
    def number(self) -> int:
        """Which run of this flow it is, from 1."""
        return self.manifest.number

    @property
    def reference(self) -> str:
        """What `%elf` calls this run here: its flow's name, with its number where that name means another."""
        held = self._notebook.runs.get(self.flow)
        if held is None or not held.started:
            return self.flow if self.local else f"{self.flow}.{self.number}"
        return self.flow if held.number == self.number else f"{self.flow}.{self.number}"

    @property
    def settled(self) -> bool:
        """True when every job has ended."""
        return self.state.settled

    @property
    def outcome(self) -> str:
        """`waiting`, `running`, `paused`, `done`, `failed` or `cancelled`."""
        return run_outcome(self.state)

    @property
    def ok(self) -> bool:
        """True when every job is done."""
        return self.outcome == "done"

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {str(state): number for state, number in self.state.counts.items()}

    @property
    def durability(self) -> str:
        """What the store promises: `durable`, `fast` or `memory`; `local` for a run in this kernel."""
        return "local" if self.local else self._notebook.durability

    @property
    def plan(self) -> Graph:
        """The jobs and what they need of each other, as data."""
        return self.watched.graph

    @property
    def graph(self) -> pages.Picture:
        """The same as a picture with the states of the jobs; `graph.to_graphviz()` describes it."""
        return pages.Picture(self)

    @property
    def error(self) -> FlowFailed:
        """The exception that `result()` raises for the failures so far."""
        return pages.flow_failed(self)

    # ------------------------------------------------------------------ acts

    def retry(self, *jobs: str, same_code: bool = False) -> Run:
        """This run, its failed and skipped jobs waiting to run again with the present code."""
        chosen = [naming.job_named(self.plan, job) for job in jobs]
        self._notebook.retry(self, chosen, same_code=same_code)
        return self

    def cancel(self, why: str = "") -> Run:
        """This run, cancelled: no attempt of it starts any more."""
        self._notebook.cancel(self, why)
        return self

    def pause(self, why: str = "") -> Run:
        """This run, paused: what workers have taken goes on, and nothing else begins."""
        self._notebook.pause(self, why)
        return self

    def resume(self) -> Run:
        """This run, going on where it was paused."""
        self._notebook.resume(self)
        return self

    def logs(self) -> pages.Logs:
        """What its jobs printed and displayed, in the order of the jobs."""
        return pages.Logs(self, sorted(self.watched.outputs))

    # ------------------------------------------------------------------ forms

    def look(self, *, static: bool | None = None) -> Any:
        """The run as it stands, ready to be shown."""
        return self._notebook.portal.read(pages.view_of, self, static)

    def __repr__(self) -> str:
        if self._watched is None:
            return f"flow {self.flow}: not started yet"
        return first_words(self.look(static=True))

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._watched is None:
            return {"text/plain": repr(self)}, {}
        return pages.output(self), pages.mark(self)

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()[0].get("text/html", "")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._repr_mimebundle_()[0]["text/plain"])
