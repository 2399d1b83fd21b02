"""Handles of single jobs, and of several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.facts import ENDED, Failed, State
from elfbook.model import Failure
from elfbook.notebook import naming, pages
from elfbook.progress import Progress
from elfbook.view.outline import job_label
from elfbook.view.waiting import why

if TYPE_CHECKING:
    from elfbook.notebook.runs import Run


class NoSuchJob(ElfUsageError, KeyError):
    """`run["…"]` with a name that fits no job; a KeyError as for any mapping."""

    __str__ = Exception.__str__


class Job:
    """One job of a run."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        """Its place in the graph."""

    @property
    def _now(self) -> Any:
        return self.run.state.jobs[self.number]

    @property
    def label(self) -> str:
        """`task_hello[2]`."""
        return job_label(self.run.plan.jobs[self.number])

    @property
    def task(self) -> str:
        """`Greeter.task_hello`."""
        spec = self.run.plan.jobs[self.number]
        return f"{self.run.plan.elves[spec.elf].elf}.{spec.task}"

    @property
    def elf(self) -> str:
        """The name of its elf instance; empty for one without a name."""
        return self.run.plan.elves[self.run.plan.jobs[self.number].elf].name

    @property
    def state(self) -> State:
        """`waiting`, `running`, `done`, `failed`, `cancelled` or `skipped`."""
        return self._now.state

    @property
    def why(self) -> str:
        """Why it waits, in one sentence; empty unless it does."""
        notebook, seen = self.run._notebook, None
        if self.state is State.WAITING and not self.run.local:
            notebook.look_around()
            seen = notebook.situation
        return why(self.run.state, self.number, time.time(), situation=seen)

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return self._now.attempt

    @property
    def worker(self) -> str:
        """Who runs it or ran it."""
        return self._now.worker

    @property
    def progress(self) -> Progress | None:
        """How far it is, while it runs and says so: `done`, `total`, `text` and `share`; None otherwise.

        It says so with `self.progress(done, total, text)`, or by a bar that it prints, such as tqdm's.
        None too when its worker has not been heard for a while.
        """
        return self.run._notebook.portal.read(self.run.watched.progress).get(self.number)

    @property
    def value(self) -> object:
        """What the task returned, fetched now; an error unless the job is done."""
        ref = self.run.ref(self.number)
        if ref is not None and self.state is State.DONE:
            return self.run.load(ref)
        if self.state is State.FAILED:
            raise pages.flow_failed(self.run, [self.number])
        raise ElfbookError(
            f"{self.label} has no value: it is {self.state}",
            hint="" if self.state in ENDED else f"Wait for it with  {self.run.flow}.result()",
        )

    @property
    def preview(self) -> str:
        """The value in at most 80 characters, without fetching it; empty unless it is done."""
        ref = self.run.ref(self.number)
        return ref.preview if ref is not None else ""

    @property
    def failure(self) -> Failure | None:
        """The exception that ended the last attempt, as data; None when none did."""
        event = self._now.event
        return event.failure if isinstance(event, Failed) else None

    @property
    def traceback(self) -> str:
        """The failure as text, with the cells and lines of the notebook; empty without one."""
        return pages.trace(self.run, self.number)

    def logs(self) -> pages.Logs:
        """What it printed and displayed."""
        return pages.Logs(self.run, [self.number])

    def retry(self, *, same_code: bool = False) -> Job:
        """This job, waiting to run again with what depends on it."""
        self.run.retry(naming.full_label(self.run.plan, self.number), same_code=same_code)
        return self

    def cancel(self, why: str = "", *, below: bool = False, above: bool = False) -> Job:
        """This job, cancelled: no attempt of it starts any more, and a running one is stopped.

        With `below` also all that depends on it, with `above` also what nothing else needs. What
        depends on a cancelled job and is not cancelled itself is skipped.
        """
        self.run._notebook.cancel(self.run, why, [self.number], below=below, above=above)
        return self

    def __repr__(self) -> str:
        more = f": {self.preview}" if self.preview else ""
        if self.state is State.FAILED and self.failure is not None:
            more = f": {pages.error_line(self.failure)}"
        return f"{pages.glyph(self.state)} {self.label} {self.state}{more}"

    def _repr_html_(self) -> str:
        return pages.preformatted(repr(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.run, self.number) == (other.run, other.number)

    def __hash__(self) -> int:
        return hash((id(self.run), self.number))


class Jobs(list[Job]):
    """Several jobs, in the order in which the flow calls them."""

    @property
    def values(self) -> list[object]:
        """The jobs' values; an error unless all are done."""
        return [job.value for job in self]

    def __repr__(self) -> str:
        shown = [f"  {job!r}" for job in self[:20]]
        more = [f"  … and {len(self) - 20} more"] if len(self) > 20 else []
        return "\n".join([f"{len(self)} jobs", *shown, *more]) if self else "no jobs"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        return pages.preformatted(repr(self))


class Ends:
    """The jobs of a run in the order of their ends, each once, however often it is asked for more."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._place = 0
        self._given: set[int] = set()

    def fresh(self) -> Iterator[Job]:
        """Jobs that have ended since; one that has been opened again comes when it has ended again."""
        ended, jobs = self._run.watched.ended, self._run.state.jobs
        upto = len(ended)
        for job in ended[self._place : upto]:
            if job not in self._given and jobs[job].state in ENDED:
                self._given.add(job)
                yield Job(self._run, job)
        self._place = upto


class Results(Mapping[int, object]):
    """The values of a run's jobs, each decoded when it is asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, job: int) -> object:
        ref = self._run.ref(job)
        if ref is None:
            raise KeyError(job)
        return self._run.load(ref)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._run)))

    def __len__(self) -> int:
        return len(self._run)
