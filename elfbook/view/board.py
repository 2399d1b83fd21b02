"""A run as a board is told of it: once everything, then what has changed.

Pure, and cheap where it counts: what a change costs depends on how many jobs have changed, not on how
many there are. Whoever owns a Board tells it of every job that has changed before asking for a message.
"""

from __future__ import annotations

import sys
import uuid
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence

from elfbook.facts import State
from elfbook.log.fold import JobNow, RunState, run_outcome
from elfbook.model import Graph, JobSpec, Manifest, Revision
from elfbook.view.changing import CodeUsed, Failures, FirstWaiting
from elfbook.view.messages import EDGES, STATES, EdgeName, Head, Patch, Snapshot, Task, Verb
from elfbook.view.outline import in_words, job_label
from elfbook.view.view import Known, code_remark, labels_of, phrases, steps_of, title_of
from elfbook.view.waiting import reason_of
from elfbook.words import one_line, printable

Buffers = list[bytes]
Unchanging = tuple[tuple[Task, ...], str, Buffers, tuple[EdgeName, ...], Buffers]
"""Tasks, the graph in words, each job's task and number, the kinds of edges, the edges."""
CODES = {State(name): place for place, name in enumerate(STATES)}
NEVER = float("nan")
IDS = uuid.UUID("5b1e0d6c-3a0f-4c39-9e3b-e1fb00c0b0a2")


def identity(manifest: Manifest) -> str:
    """What tells the run from all others: the same in every kernel, 32 hexadecimal digits."""
    return uuid.uuid5(IDS, f"{manifest.run} {manifest.nonce}").hex


def column(code: str, numbers: Iterable[float]) -> bytes:
    """The numbers as they travel: of one array type, little-endian."""
    made = array(code, numbers)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


class Board:
    """One run's messages, in the order in which they are asked for."""

    def __init__(self, manifest: Manifest, state: RunState, revisions: Mapping[str, Revision]) -> None:
        self.manifest, self.state = manifest, state
        self._revisions = revisions
        self._labels: dict[str, str] = {}
        self._labelled = -1
        self._worker: dict[str, int] = {"": -1}
        self._workers: list[str] = []
        self._began: float | None = None
        self._waiting, self._code = FirstWaiting(state), CodeUsed(state)
        self._failures = Failures(state, manifest)
        self._still: Unchanging | None = None
        self.seq = 0
        """Of the last message."""
        self._told_workers = 0
        self._told_groups = -1
        self.note(range(len(state.jobs)))

    @property
    def labels(self) -> dict[str, str]:
        """File names in tracebacks to what people call them."""
        if self._labelled != len(self._revisions):
            self._labels, self._labelled = labels_of(self._revisions.values()), len(self._revisions)
        return self._labels

    def note(self, changed: Iterable[int]) -> None:
        """These jobs have changed."""
        labels = self.labels
        for job in changed:
            now = self.state.jobs[job]
            if now.worker not in self._worker:
                self._worker[now.worker] = len(self._workers)
                self._workers.append(printable(now.worker))
            if now.started_at is not None and (self._began is None or now.started_at < self._began):
                self._began = now.started_at
            self._waiting.note(job)
            self._code.note(job)
            self._failures.note(job, labels)

    # ------------------------------------------------------------------ messages

    def head(self, known: Known, lost: str = "") -> Head:
        """The state line as it stands."""
        state, now = self.state, known.now or 0.0
        first = self._failures.first()
        reasons = (
            reason_of(state, job, now, known.workers, known.situation) for job in self._waiting.first()
        )
        failed = job_label(state.graph.jobs[first]) if first is not None else ""
        reference = known.reference or self.manifest.flow
        steps = steps_of(reference, state, failed, known.workers)
        return Head(
            outcome=run_outcome(state),
            title=title_of(self.manifest.flow, state),
            settled=state.settled,
            reference=reference,
            reasons=tuple(reasons),
            steps=tuple((step.why, step.words) for step in steps),
            remarks=phrases(known, code_remark(self._code.digests(), known.versions)),
            started_at=self._began,
            ended_at=last_end(state) if state.settled else None,
            lost=lost,
        )

    def snapshot(self, head: Head, can: Sequence[Verb] = (), now: float = 0.0) -> tuple[Snapshot, Buffers]:
        """Everything; whoever has it needs none of the patches before."""
        tasks, alt, places, kinds, edges = self._unchanging()
        self._told_workers, self._told_groups = len(self._workers), self._failures.version
        state, attempts, worker, started, ended = self._columns(self.state.jobs)
        message = Snapshot(
            seq=self.seq,
            flow=self.manifest.flow,
            number=self.manifest.number,
            run=self.manifest.run,
            jobs=len(self.state.jobs),
            tasks=tasks,
            workers=tuple(self._workers),
            head=head,
            now=now,
            edges=kinds,
            groups=self._failures.groups(self.labels),
            alt=alt,
            can=tuple(can),
            id=identity(self.manifest),
        )
        return message, [state, *places, attempts, worker, started, ended, *edges]

    def patch(self, changed: Collection[int], head: Head, now: float = 0.0) -> tuple[Patch, Buffers]:
        """What has changed since the message before: these jobs, and the head."""
        self.seq += 1
        jobs = sorted(changed)
        more = tuple(self._workers[self._told_workers :])
        regrouped = self._told_groups != self._failures.version
        self._told_workers, self._told_groups = len(self._workers), self._failures.version
        groups = self._failures.groups(self.labels) if regrouped else None
        columns = self._columns([self.state.jobs[job] for job in jobs])
        return Patch(self.seq, head, now, more, groups), [column("i", jobs), *columns]

    def _columns(self, jobs: Sequence[JobNow]) -> Buffers:
        worker = self._worker
        return [
            column("B", [CODES[now.state] for now in jobs]),
            column("i", [now.attempt for now in jobs]),
            column("i", [worker[now.worker] for now in jobs]),
            column("d", [NEVER if now.started_at is None else now.started_at for now in jobs]),
            column("d", [NEVER if now.ended_at is None else now.ended_at for now in jobs]),
        ]

    def _unchanging(self) -> Unchanging:
        """What is the same in every snapshot."""
        if self._still is None:
            graph = self.state.graph
            tasks, task_of = tasks_of(graph, self._revisions)
            places = [column("i", task_of), column("i", [spec.number for spec in graph.jobs])]
            found = {kind.name: parents_by(kind.name, graph) for kind in EDGES}
            kinds = tuple(name for name, parents in found.items() if any(parents))
            edges = [column for name in kinds for column in edge_lists(found[name])]
            self._still = (tasks, in_words(graph), places, kinds, edges)
        return self._still


def tasks_of(graph: Graph, revisions: Mapping[str, Revision]) -> tuple[tuple[Task, ...], list[int]]:
    """The tasks of each elf instance in the order of their first jobs, and the place of each job's."""
    places: dict[tuple[str, str, str], int] = {}
    tasks: list[Task] = []
    task_of = []
    for spec in graph.jobs:
        use = graph.elves[spec.elf]
        key = (use.elf, use.name, spec.task)
        if key not in places:
            places[key] = len(tasks)
            tasks.append(
                Task(use.elf, printable(use.name), spec.task, doc_of(revisions.get(use.revision), spec.task))
            )
        task_of.append(places[key])
    return tuple(tasks), task_of


def doc_of(revision: Revision | None, task: str) -> str:
    """The first line of what a task says of itself."""
    found = (each.doc for each in revision.tasks if each.name == task) if revision is not None else iter(())
    return one_line(next(found, ""))


def parents_by(kind: EdgeName, graph: Graph) -> list[tuple[int, ...]]:
    """The jobs on which each job depends that way; no graph has a rule or a job that calls tasks so far."""
    match kind:
        case "value":
            return [spec.parents for spec in graph.jobs]
        case "after":
            return [spec.after for spec in graph.jobs]
        case "turn":
            return [turn_alone(spec) for spec in graph.jobs]
    return []


def turn_alone(spec: JobSpec) -> tuple[int, ...]:
    """The job whose turn is before it, unless it depends on that one anyway."""
    if spec.turn is None or spec.turn in spec.parents or spec.turn in spec.after:
        return ()
    return (spec.turn,)


def edge_lists(parents: Sequence[Sequence[int]]) -> Buffers:
    """Where each job's parents begin and end, and the parents."""
    starts, flat = array("i", [0]), array("i")
    for each in parents:
        flat.extend(each)
        starts.append(len(flat))
    return [column("i", starts), column("i", flat)]


def last_end(state: RunState) -> float | None:
    """When the last job ended."""
    return max((now.ended_at for now in state.jobs if now.ended_at is not None), default=None)
