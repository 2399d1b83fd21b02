"""Jobs that ended badly, in words: what is shown of a failure, and who was skipped because of it."""

from __future__ import annotations

from collections.abc import Mapping

from elfbook.facts import Failed, Lost, State
from elfbook.log.fold import RunState, policy_of, roots_of_trouble
from elfbook.log.states import allowed, budget_of
from elfbook.model import Failure, Manifest
from elfbook.view.failures import FailedJob, label_of, last_own_frame
from elfbook.view.outline import job_label, owner_of, task_name
from elfbook.words import count, duration, limit, listing, one_line, plural

MOST_SKIPPED_LINES = 3


def failed_jobs(
    state: RunState, manifest: Manifest, labels: Mapping[str, str], *, static: bool
) -> list[FailedJob]:
    """Every failed job with what is shown about it, in the order of the graph."""
    if not state.counts[State.FAILED]:
        return []
    return [
        failed_job(state, job, manifest, labels, static=static)
        for job, now in enumerate(state.jobs)
        if now.state is State.FAILED
    ]


def failed_job(
    state: RunState, job: int, manifest: Manifest, labels: Mapping[str, str], *, static: bool
) -> FailedJob:
    """One failed job in words."""
    spec, now = state.graph.jobs[job], state.jobs[job]
    event, policy = now.event, policy_of(state.graph, job)
    kind = budget_of(event) if isinstance(event, Failed | Lost) else "tried"
    tried, most = getattr(now, kind), allowed(policy, kind)
    owner = owner_of(state.graph.elves[spec.elf])
    label = job_label(spec)
    shown: dict[str, object] = {"call": f"{owner}.{label}"}
    if isinstance(event, Lost):
        shown["error"] = lost_sentence(event, static=static)
        told = "Last output:" in event.why and len(event.last_output.splitlines()) <= 1
        shown["last_output"] = "" if static or told else event.last_output
    else:
        failure = event.failure if isinstance(event, Failed) else Failure("", "")
        if failure.inputs or event.outcome != "refused":
            shown["call"] = f"{owner}.{spec.task}({one_line(failure.inputs)})"
        shown["error"] = f"{failure.type}: {failure.message}".removesuffix(": ")
        shown["failure"] = failure
        shown["last_output"] = "" if static else failure.last_output
        if event.outcome == "out of memory" and not failure.frames:
            said = failure.message.partition("; ")[0] if static else failure.message  # how much differs
            shown |= {"call": f"{owner}.{label}", "error": f"OutOfMemory: {said}", "failure": None}
        if event.outcome == "timed out":
            sentence = timed_out_sentence(label, event, policy.timeout_s, labels, static=static)
            shown |= {"call": f"{owner}.{label}", "error": sentence, "failure": None}
    if not static:
        attempt = f"attempt {count(tried)} of {count(max(most + 1, tried))}"
        shown["where"] = f"on {event.worker}, {attempt}" if event.worker else f"in {attempt}"
        cell = manifest.origin.cell
        shown["started_by"] = f"{cell}, line {spec.line}" if cell and spec.line else ""
    return FailedJob(job=job, label=label, task=task_name(state.graph, spec), **shown)


def lost_sentence(event: Lost, *, static: bool) -> str:
    """`WorkerLost: worker-2 was killed by the system (signal 9) while doing parse[17]. …`"""
    why = event.why or f"{event.worker or 'the worker'} was not heard of any more"
    if static and event.worker:
        why = why.replace(event.worker, "the worker")
    return f"WorkerLost: {why}"


def timed_out_sentence(
    label: str, event: Failed, limit_s: float | None, labels: Mapping[str, str], *, static: bool
) -> str:
    """`TimedOut: parse[17] ran 60 s (limit 60 s), last seen at Cell In[6], line 12: for row …`"""
    if event.final:  # the limit of the whole flow, not of this attempt
        return f"TimedOut: {event.failure.message}"
    if static:
        return f"TimedOut: {label} ran longer than " + (limit(limit_s) if limit_s else "its limit")
    frame = last_own_frame(event.failure)
    if frame is None and event.failure.message:
        return f"TimedOut: {event.failure.message}"
    sentence = f"TimedOut: {label} ran {duration(event.elapsed_s)}"
    if limit_s:
        sentence += f" (limit {limit(limit_s)})"
    if frame is None:
        return sentence
    sentence += f", last seen at {label_of(frame.filename, labels)}, line {frame.line}"
    at = frame.line - frame.first
    return sentence + (f": {frame.context[at].strip()}" if 0 <= at < len(frame.context) else "")


def skipped_lines(state: RunState) -> tuple[str, ...]:
    """`skipped because of it: task_shout[2]`, or with the failed job's name if there are several."""
    if not state.counts[State.SKIPPED]:
        return ()
    jobs = state.graph.jobs
    roots = {root: skipped for root, skipped in roots_of_trouble(state).items() if skipped}
    alone = state.counts[State.FAILED] + state.counts[State.CANCELLED] == 1
    lines = [
        f"skipped because of {'it' if alone else job_label(jobs[root])}: "
        + listing((job_label(jobs[job]) for job in skipped), most=5)
        for root, skipped in list(roots.items())[:MOST_SKIPPED_LINES]
    ]
    rest = list(roots.values())[MOST_SKIPPED_LINES:]
    if rest:
        skipped_jobs = plural(sum(map(len, rest)), "more job")
        lines.append(f"{skipped_jobs} skipped because of {plural(len(rest), 'other job')}")
    return tuple(lines)
