"""What is known of a run, in the words that every rendering shows.

`look` takes graph and state to a RunView; `text` and page.py only set it in type. In the
static form nothing is told that differs from one run to the next: no times, workers, attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from elfbook.facts import Failed, Lost, State, Succeeded
from elfbook.log.fold import JobNow, RunState, run_outcome
from elfbook.model import Manifest, Output, Revision, Situation, Struct
from elfbook.progress import Progress, bar
from elfbook.view.endings import failed_jobs, skipped_lines
from elfbook.view.groups import FailureGroup, grouped
from elfbook.view.outline import Outline, in_words, job_label, outline, tally, task_name
from elfbook.view.said import JobOutput, outputs_of
from elfbook.view.waiting import reasons_of
from elfbook.words import (
    GLYPHS,
    PAUSED_GLYPH,
    count,
    duration,
    listing,
    one_line,
    plural,
    printable,
    without_places,
)

SUMMARY_LENGTH = 200
LONGEST_REFERENCE = 60
MOST_PROGRESS = 8
BAR_COLUMNS = 20

OUTCOME_GLYPHS = {
    "done": GLYPHS[State.DONE],
    "failed": GLYPHS[State.FAILED],
    "cancelled": GLYPHS[State.CANCELLED],
    "running": GLYPHS[State.RUNNING],
    "waiting": GLYPHS[State.WAITING],
    "paused": PAUSED_GLYPH,
}


class TaskRow(Struct, frozen=True):
    """One task of one elf class: how far its jobs are."""

    task: str
    """`Greeter.task_hello`."""
    counts: dict[State, int]
    """Every state has an entry."""
    median_s: float | None = None
    """Of its finished jobs; None without any, and in the static form."""


class Step(Struct, frozen=True):
    """What can be done next: why, and the exact words to type."""

    why: str
    words: str


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything that is shown of a run, ready to be set in type."""

    flow: str
    reference: str
    """What `%elf` calls the run: `party`, or `party.1` where the flow's name means another one."""
    outcome: str
    """`done`, `failed`, `cancelled`, `running`, `waiting` or `paused`."""
    title: str
    """`flow party: 4 of 6 jobs done, 1 failed, 1 skipped`, without its glyph."""
    rows: tuple[TaskRow, ...]
    drawn: Outline
    tallies: tuple[dict[State, int], ...]
    """For each node of `drawn` its jobs by state."""
    alt: str
    """The picture in words."""
    groups: tuple[FailureGroup, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    """File names to what people call them."""
    skipped: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why jobs wait; none in the static form."""
    progress: tuple[str, ...] = ()
    """How far running jobs are that say so; none in the static form."""
    outputs: tuple[JobOutput, ...] = ()
    steps: tuple[Step, ...] = ()
    """At most two."""
    remarks: tuple[str, ...] = ()
    """Result, code, durability, time taken."""
    static: bool = False

    @property
    def glyph(self) -> str:
        """The outcome as one character."""
        return OUTCOME_GLYPHS[self.outcome]

    @property
    def failed(self) -> int:
        """How many jobs failed."""
        return sum(row.counts[State.FAILED] for row in self.rows)

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(sum(row.counts.values()) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a run besides its graph and state; what is not known is not shown."""

    revisions: tuple[Revision, ...] = ()
    outputs: tuple[Output, ...] = ()
    versions: dict[str, int] = field(default_factory=dict)
    """Digests of revisions to the numbers that people see."""
    result: str = ""
    """Preview of the flow's value."""
    durability: str = ""
    workers: int | None = None
    """How many there are for this run."""
    situation: Situation | None = None
    """What may keep its jobs waiting."""
    now: float | None = None
    """Seconds since the epoch by the server's clock."""
    reference: str = ""
    """What `%elf` calls the run; its flow's name when empty."""
    progress: Mapping[int, Progress] = field(default_factory=dict)
    """How far jobs say that they are."""


NOTHING = Known()


def look(
    manifest: Manifest,
    state: RunState,
    known: Known = NOTHING,
    *,
    static: bool = False,
    drawn: Outline | None = None,
    alt: str = "",
) -> RunView:
    """The run as it stands. `drawn` and `alt` may be kept from an earlier look at the same graph."""
    labels = labels_of(known.revisions)
    groups = grouped(failed_jobs(state, manifest, labels, static=static), labels)
    drawn = drawn or outline(state.graph)
    reference = known.reference or manifest.flow
    return RunView(
        flow=manifest.flow,
        reference=reference,
        outcome=run_outcome(state),
        title=title_of(manifest.flow, state),
        rows=rows_of(state, static=static),
        drawn=drawn,
        tallies=tally(drawn, lambda job: state.jobs[job].state),
        alt=alt or in_words(state.graph),
        groups=groups,
        labels=labels,
        skipped=skipped_lines(state),
        reasons=() if static else reasons_of(state, known.now or 0.0, known.workers, known.situation),
        progress=() if static else tuple(progress_lines(state, known.progress)),
        outputs=outputs_of(known.outputs, state.graph, static=static),
        steps=steps_of(reference, state, groups[0].first.label if groups else "", known.workers),
        remarks=remarks_of(state, known, static=static),
        static=static,
    )


def labels_of(revisions: Iterable[Revision]) -> dict[str, str]:
    """File names in tracebacks to what a person calls them."""
    return {piece.filename: piece.label for revision in revisions for piece in revision.pieces if piece.label}


# ---------------------------------------------------------------------------- counts


def title_of(flow: str, state: RunState) -> str:
    """`flow party: 4 of 6 jobs done, 1 failed, 1 skipped`."""
    counts = state.counts
    parts = [f"flow {flow}: {count(counts[State.DONE])} of {plural(len(state.jobs), 'job')} done"]
    shown = (State.FAILED, State.SKIPPED, State.CANCELLED, State.RUNNING)
    parts += [f"{count(counts[state_])} {state_}" for state_ in shown if counts[state_]]
    if counts[State.WAITING] and not counts[State.RUNNING]:
        parts.append(f"{count(counts[State.WAITING])} {State.WAITING}")
    outcome = run_outcome(state)
    if outcome == "paused":
        parts.append(outcome)
    again = sum(ran_again(now) for now in state.jobs) if outcome == "done" else 0
    kept = f" ({count(again)} ran again, {count(len(state.jobs) - again)} kept)" if again else ""
    return ", ".join(parts) + kept


def ran_again(now: JobNow) -> bool:
    """True for a job that a person had run once more after it had ended."""
    # The budgets count since the last Reopened only, and the first end is a job's last
    # without one: whatever else is in its history was before a Reopened.
    kinds = [type(stored.event) for stored in now.history]
    attempts = kinds.count(Failed) + kinds.count(Lost)
    counted = now.tried + now.lost + now.timed_out + now.out_of_memory
    return attempts > counted or len(kinds) - attempts > 1


def rows_of(state: RunState, *, static: bool) -> tuple[TaskRow, ...]:
    """One row for each task of each class, in the order in which the flow calls them first."""
    counts: dict[str, dict[State, int]] = {}
    times: dict[str, list[float]] = {}
    for spec, now in zip(state.graph.jobs, state.jobs, strict=True):
        task = task_name(state.graph, spec)
        if task not in counts:
            counts[task] = dict.fromkeys(State, 0)
            times[task] = []
        counts[task][now.state] += 1
        if isinstance(now.event, Succeeded):
            times[task].append(now.event.elapsed_s)
    return tuple(
        TaskRow(task, tallied, None if static or not times[task] else median(times[task]))
        for task, tallied in counts.items()
    )


def median(numbers: list[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    numbers = sorted(numbers)
    half = len(numbers) // 2
    return numbers[half] if len(numbers) % 2 else (numbers[half - 1] + numbers[half]) / 2


def progress_lines(state: RunState, progress: Mapping[int, Progress]) -> Iterator[str]:
    """`task_read[2]  ███░░░░░░░ 30 % · 3/10 · reading` for each job that says how far it is."""
    shown = list(progress.items())[:MOST_PROGRESS]
    labels = [job_label(state.graph.jobs[job]) for job, _ in shown]
    width = max(map(len, labels), default=0)
    for label, (_, told) in zip(labels, shown, strict=True):
        drawn = f"{bar(told.share, BAR_COLUMNS)} " if told.share is not None else ""
        yield f"{label:<{width}}  {drawn}{told}"
    if len(progress) > len(shown):
        yield f"and {plural(len(progress) - len(shown), 'more job')} that are under way"


# ---------------------------------------------------------------------------- what next


def steps_of(reference: str, state: RunState, failed: str, workers: int | None) -> tuple[Step, ...]:
    """At most two things to type next; none for a run that is done or well under way.

    What has failed can be run again while the rest goes on. `failed` is the label of the first
    job of the largest group of failures, empty without one.
    """
    if not state.settled:
        waiting = state.counts[State.WAITING]
        if workers == 0:
            verb = "waits" if waiting == 1 else "wait"
            return (Step(f"{plural(waiting, 'job')} {verb} for workers:", "%elf up"),)
        if state.paused:
            return (Step("let it go on with", f"%elf resume {reference}"),)
    if failed:
        first = f"{reference}/{failed}"
        shown = first if len(first) <= LONGEST_REFERENCE else reference
        closer = Step("or look closer:", f"%elf show {shown}")
        stop = Step("or stop it with", f"%elf cancel {reference}")
        retry = Step("correct the cell, then", f"%elf retry {reference}")
        return (retry, closer if state.settled else stop)
    if state.settled and state.counts[State.CANCELLED]:
        return (Step("run what was cancelled with", f"%elf retry {reference}"),)
    return ()


def remarks_of(state: RunState, known: Known, *, static: bool) -> tuple[str, ...]:
    """Result, code, durability and time taken, each in one phrase."""
    time_taken = "" if static else time_remark(state, known.now)
    return phrases(known, code_remark(code_of(state), known.versions), time_taken)


def phrases(known: Known, code: str, time_taken: str = "") -> tuple[str, ...]:
    """The remarks that say something."""
    result = f"result: {one_line(known.result, 100)}" if known.result else ""
    return tuple(remark for remark in (result, code, printable(known.durability), time_taken) if remark)


def code_of(state: RunState) -> dict[str, set[str]]:
    """For each class the digests of the code that its jobs ran with, or are to run with."""
    used: dict[str, set[str]] = {}
    for job, spec in enumerate(state.graph.jobs):
        used.setdefault(state.graph.elves[spec.elf].elf, set()).add(digest_used(state, job))
    return used


def digest_used(state: RunState, job: int) -> str:
    """The digest of the code that the job ran with, or is to run with."""
    now = state.jobs[job]
    ran = now.event.revision if isinstance(now.event, Succeeded) else ""
    return ran or now.revision or state.graph.elves[state.graph.jobs[job].elf].revision


def code_remark(digests: Mapping[str, Iterable[str]], versions: Mapping[str, int]) -> str:
    """`code: Greeter v2`, and each version where jobs ran with several."""
    known = {elf: {versions[each] for each in used if each in versions} for elf, used in digests.items()}
    used = {elf: numbers for elf, numbers in known.items() if numbers}
    return (
        "code: "
        + ", ".join(
            f"{elf} {listing(f'v{version}' for version in sorted(numbers))}" for elf, numbers in used.items()
        )
        if used
        else ""
    )


def time_remark(state: RunState, now: float | None) -> str:
    """`took 2 min 10 s`, or how long it has been running."""
    begun = [job.started_at for job in state.jobs if job.started_at is not None]
    if not begun:
        return ""
    if state.settled:
        ended = max(job.ended_at for job in state.jobs if job.ended_at is not None)
        return f"took {duration(ended - min(begun))}"
    return f"running for {duration(now - min(begun))}" if now is not None else ""


# ---------------------------------------------------------------------------- forms of one line


def summary(view: RunView) -> str:
    """The `str()` of FlowFailed: one line without ids, times, addresses or paths.

    `flow party: 1 of 6 jobs failed: Greeter.task_hello: TypeError: can only …`
    """
    head = failed_title(view)
    if not view.groups:
        return head
    first = view.groups[0]
    others = len(view.groups) - 1
    more = f" (and {plural(others, 'other kind')} of failure)" if others else ""
    error = one_line(without_places(first.first.error), SUMMARY_LENGTH)
    return f"{head}: {first.first.task}: {error}{more}"


def failed_title(view: RunView) -> str:
    """`flow party: 1 of 6 jobs failed`."""
    return f"flow {view.flow}: {count(view.failed)} of {plural(view.total, 'job')} failed"


def first_words(view: RunView) -> str:
    """The run for `repr` and lists: `✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped`."""
    return f"{view.glyph} {view.title}"
