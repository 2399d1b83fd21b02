"""Why a job that waits is waiting, in one sentence, from graph, state and what the scheduler sees."""

from __future__ import annotations

from elfbook.facts import ENDED, Failed, State
from elfbook.log.fold import JobNow, RunState, policy_of
from elfbook.model import PRIORITIES, Situation
from elfbook.view.outline import job_label, owner_of
from elfbook.wire import limit_parts
from elfbook.words import duration, listing, one_line, plural

MOST_REASONS = 3
MOST_HOLDERS = 3


def why(
    state: RunState,
    job: int,
    now: float = 0.0,
    workers: int | None = None,
    situation: Situation | None = None,
) -> str:
    """`waits for task_parse[3]`, `waits for a worker`, `limit api:3 is full: crawl/task_fetch[1]`.

    `now` is in seconds since the epoch, `workers` how many there are, `situation` what the
    scheduler says of limits, queues and store, as far as that is known. Empty for a job that does
    not wait.
    """
    spec, job_now = state.graph.jobs[job], state.jobs[job]
    if job_now.state is not State.WAITING:
        return ""
    if job_now.because is not None:
        return f"never starts, because {label(state, job_now.because)} {ending(state, job_now.because)}"
    if job_now.unmet:
        needs = dict.fromkeys(spec.parents + spec.after)
        unmet = [other for other in needs if state.jobs[other].state is not State.DONE]
        others = f" and {plural(len(unmet) - 1, 'other')}" if len(unmet) > 1 else ""
        return f"waits for {label(state, unmet[0])}{others}"
    if spec.turn is not None and state.jobs[spec.turn].state not in ENDED:
        return f"waits for its turn after {label(state, spec.turn)}"
    if state.paused:
        because = f": {one_line(state.pause_why)}" if state.pause_why else ""
        return f"waits because its run is paused{because}"
    if job_now.not_before > now:
        return f"tries again in {duration(job_now.not_before - now)} after {last_trouble(job_now)}"
    if situation is not None and (kept := kept_by(state, job, situation)):
        return kept
    use = state.graph.elves[spec.elf]
    holder = f" that holds {owner_of(use)}" if use.name else ""
    return f"waits for a worker{holder}" + ("; there is none" if workers == 0 else "")


def kept_by(state: RunState, job: int, situation: Situation) -> str:
    """What keeps a due job from a worker, other than that all are busy; empty when nothing does."""
    policy, use = policy_of(state.graph, job), state.graph.elves[state.graph.jobs[job].elf]
    if situation.store:
        return f"waits until the store takes records again: {situation.store}"
    if not use.name and not situation.workers.get(policy.pool):
        if not situation.workers:
            return "waits for a worker; there is none"
        return f"waits for a worker; there is none of pool {policy.pool}"
    needs = () if state.jobs[job].revision else use.needs
    lacks = situation.lacks.get(policy.pool, ())
    if lacks and all(not set(needs).isdisjoint(each) for each in lacks):
        nowhere = [name for name in needs if all(name in each for each in lacks)]
        return f"no worker has {listing(nowhere)}" if nowhere else f"no worker has all of {listing(needs)}"
    if policy.limit:
        name, size = limit_parts(policy.limit)
        taken = situation.taken.get(name, ())
        if len(taken) >= size:
            return f"limit {policy.limit} is full: {listing(taken, most=MOST_HOLDERS)}"
    ahead = () if use.name else situation.ahead.get(policy.pool, ())
    for number, count in enumerate(ahead[: policy.priority]):
        if count:
            return f"waits behind {plural(count, 'job')} of {PRIORITIES[number]} priority"
    return ""


def label(state: RunState, job: int) -> str:
    """`task_hello[2]`."""
    return job_label(state.graph.jobs[job])


def ending(state: RunState, job: int) -> str:
    """How a job's bad end is told: `failed`, `was cancelled`."""
    return "was cancelled" if state.jobs[job].state is State.CANCELLED else "failed"


def last_trouble(now: JobNow) -> str:
    """What ended the last attempt: `ValueError`, `a lost worker`, `a timeout`."""
    match now.event:
        case Failed(outcome="timed out"):
            return "a timeout"
        case Failed(outcome="out of memory"):
            return "it ran out of memory"
        case Failed(failure=failure):
            return one_line(failure.type) or "a failure"
        case _:
            return "a lost worker"


def reasons_of(
    state: RunState,
    now: float = 0.0,
    workers: int | None = None,
    situation: Situation | None = None,
) -> tuple[str, ...]:
    """For each task that waits the reason of its first waiting job; at most three."""
    first: dict[tuple[int, str], int] = {}
    for job, (spec, job_now) in enumerate(zip(state.graph.jobs, state.jobs, strict=True)):
        if job_now.state is State.WAITING and (spec.elf, spec.task) not in first:
            first[spec.elf, spec.task] = job
            if len(first) == MOST_REASONS:
                break
    return tuple(reason_of(state, job, now, workers, situation) for job in first.values())


def reason_of(state: RunState, job: int, now: float, workers: int | None, situation: Situation | None) -> str:
    """`task_parse[3] waits for task_fetch[3]`."""
    return f"{label(state, job)} {why(state, job, now, workers, situation)}"
