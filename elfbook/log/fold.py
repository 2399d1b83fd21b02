"""A run as a fold over its log: `fold` takes one stored fact, `due` says what to do now.

Deciding is pure: no clock, no network. Nothing here needs to be remembered either: a scheduler
that starts over folds the log again and asks `due`. Each action names the record it was decided
on (`seq`), and whoever carries it out writes only if that is still the job's last record.
So actions may be repeated, late, or carried out by two schedulers at once.

What jobs mean for one another (states.py has the life of a single one):

- A job is offered once its parents and its `after` jobs are DONE and its `turn` job has ended.
- A job that waits for one that FAILED, was CANCELLED or SKIPPED, or is itself to be skipped,
  is to be skipped, however far down. Order (`turn`) alone never skips a job.
- A Reopened job makes everything wait again that still waits for it. What is SKIPPED stays so
  until its own Reopened, therefore a retry reopens all that `to_reopen` names.
- A job that has started is never called back: a Reopened parent does not touch it.
- While the run is paused no job is offered. All else goes on: what is held may end, what cannot start
  any more is skipped. Resuming offers what is due then.

Edges point from later jobs to earlier ones, as a flow draws them. So one pass in the order of
the jobs meets every parent first, and nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from elfbook.errors import InternalError
from elfbook.facts import ENDED, LOT, Claimed, Paused, State, Stored
from elfbook.log.states import (
    CANCELLED,
    DONE,
    FAILED,
    MET,
    OPEN,
    RUNNING,
    SKIPPED,
    SPOILT,
    TRANSITIONS,
    WAITING,
    JobNow,
    backoff,
    counts_still,
    policy_of,
    step,
)
from elfbook.model import Graph, Struct

__all__ = [
    "TRANSITIONS",
    "Action",
    "JobNow",
    "Offer",
    "RunState",
    "Skip",
    "backoff",
    "due",
    "fold",
    "next_action",
    "offer_of",
    "policy_of",
    "roots_of_trouble",
    "run_outcome",
    "start",
    "to_cancel",
    "to_reopen",
]

BAD_ENDS = ENDED - {DONE}


class Offer(Struct, frozen=True):
    """Hand the job to whoever takes it, as long as `seq` is its last record."""

    job: int
    seq: int
    attempt: int
    """Which attempt it would be, from 1."""
    not_before: float = 0.0
    """Seconds since the epoch; 0.0 for at once."""


class Skip(Struct, frozen=True):
    """Store that the job never starts, as long as `seq` is its last record."""

    job: int
    seq: int
    because: int
    """The job at the root of the trouble: the one that failed or was cancelled."""


Action = Offer | Skip


@dataclass(slots=True)
class RunState:
    """A run as the facts so far leave it; owned by whoever folds."""

    graph: Graph
    run_key: str
    """Makes the back-off of one run differ from another's."""
    jobs: list[JobNow]
    counts: dict[State, int]
    """How many jobs are in each state; every state has an entry."""
    dependents: dict[int, list[int]]
    """To each job on which others depend the jobs that name it as parent or `after`, once a mention."""
    followers: dict[int, list[int]]
    """To each job the jobs whose `turn` comes after it, where there are any."""
    lots: list[int]
    """For each lot the last message about its claims or a job's own record: what a claim of many expects."""
    paused: bool = False
    """True while nothing of it is offered, because a person said so."""
    pause_why: str = ""
    pause_seq: int = 0
    """Of the last record that paused or resumed it: what the next one expects."""

    @property
    def settled(self) -> bool:
        """True when every job has ended."""
        return not (self.counts[WAITING] or self.counts[RUNNING])


def start(graph: Graph, run_key: str = "") -> RunState:
    """The run before its first fact: every job waits."""
    size = len(graph.jobs)
    dependents: dict[int, list[int]] = {}
    followers: dict[int, list[int]] = {}
    jobs = []
    for job, spec in enumerate(graph.jobs):
        needs = spec.parents + spec.after
        earlier = needs if spec.turn is None else (*needs, spec.turn)
        if earlier and not 0 <= min(earlier) <= max(earlier) < job:
            raise InternalError(f"job {job} of the graph waits for one that is not before it")
        for parent in needs:
            dependents.setdefault(parent, []).append(job)
        if spec.turn is not None:
            followers.setdefault(spec.turn, []).append(job)
        jobs.append(JobNow(unmet=len(needs)))
    numbers = dict.fromkeys(State, 0)
    numbers[WAITING] = size
    lots = [0] * (-(-size // LOT))
    return RunState(graph, run_key, jobs, numbers, dependents, followers, lots)


def fold(state: RunState, stored: Stored) -> list[Action]:
    """What has become due by `stored`, after applying it in place; duplicates change nothing."""
    if type(stored.event) is Paused:
        return _fold_pause(state, stored)
    if not 0 <= stored.job < len(state.jobs):
        raise InternalError(f"the log has a fact about job {stored.job} of {len(state.jobs)}")
    now = state.jobs[stored.job]
    own = stored.rests_on is None
    if own or type(stored.event) is Claimed:
        if stored.seq <= now.upto:
            return []
        now.upto = stored.seq
        lot = stored.job // LOT
        state.lots[lot] = max(state.lots[lot], stored.seq)
    counts = counts_still(now, stored)
    if own:
        now.seq = stored.seq
    elif not counts:
        return []  # among them each end that is told again, and one of two in the same message
    now.mark = stored.seq
    old = now.state
    if counts and step(now, stored, policy_of(state.graph, stored.job), state.run_key):
        state.counts[old] -= 1
        state.counts[now.state] += 1
        now.because = _because(state, stored)
    # Also when the fact was ignored: what was due names a record that is no longer the last.
    touched = [stored.job]
    standing = _standing(now)
    if standing != now.standing:
        _spread(state, stored.job, standing, touched)
    if now.state in ENDED and old not in ENDED:
        touched += [job for job in state.followers.get(stored.job, ()) if state.jobs[job].because is None]
    return [action for job in sorted(set(touched)) if (action := next_action(state, job))]


def _fold_pause(state: RunState, stored: Stored) -> list[Action]:
    """A run that goes on offers everything that is due; skips went on meanwhile."""
    if stored.seq <= state.pause_seq:
        return []
    state.pause_seq = stored.seq
    was = state.paused
    if stored.event.on is not None:
        state.paused, state.pause_why = stored.event.on, stored.event.why if stored.event.on else ""
    return [action for action in due(state) if type(action) is Offer] if was and not state.paused else []


def due(state: RunState) -> list[Action]:
    """Everything that is due now, for whoever starts or starts over."""
    return [action for job in range(len(state.jobs)) if (action := next_action(state, job))]


def next_action(state: RunState, job: int) -> Action | None:
    """What is due for one job, None for nothing."""
    now = state.jobs[job]
    if now.state is not WAITING:
        return None
    if now.because is not None:
        return Skip(job, now.seq, now.because)
    return None if state.paused else offer_of(state, job)


def offer_of(state: RunState, job: int) -> Offer | None:
    """The offer that is due for a job, or would be if its run were not paused."""
    now = state.jobs[job]
    if now.state is not WAITING or now.because is not None:
        return None
    turn = state.graph.jobs[job].turn
    if now.unmet or (turn is not None and state.jobs[turn].state not in ENDED):
        return None
    return Offer(job, now.seq, now.attempt + 1, now.not_before)


def _standing(now: JobNow) -> str:
    """What the job's state makes it to those that depend on it."""
    if now.state is DONE:
        return MET
    return SPOILT if now.state in BAD_ENDS or (now.spoilt and now.state is WAITING) else OPEN


def _because(state: RunState, stored: Stored) -> int | None:
    """The root of the trouble of a job that has just taken `stored`."""
    now = state.jobs[stored.job]
    if now.state is SKIPPED:
        return stored.event.because
    if now.state is not WAITING or not now.spoilt:
        return None
    spec = state.graph.jobs[stored.job]
    return next(_root(state, p) for p in spec.parents + spec.after if state.jobs[p].standing == SPOILT)


def _root(state: RunState, job: int) -> int:
    """The root of the trouble that a SPOILT job makes for its dependents."""
    because = state.jobs[job].because
    return job if because is None else because


def _spread(state: RunState, job: int, standing: str, touched: list[int]) -> None:
    """Give a job its new standing, and all that depend on it the one that follows from it.

    Jobs for which something may have become due are added to `touched`. All changes of one
    fact go the same way, so each job changes at most once.
    """
    changes = [(job, standing)]
    for source, new in changes:  # grows while it is walked
        old = state.jobs[source].standing
        state.jobs[source].standing = new
        met = (new == MET) - (old == MET)
        spoil = (new == SPOILT) - (old == SPOILT)
        for dependent in state.dependents.get(source, ()):
            now = state.jobs[dependent]
            now.unmet -= met
            now.spoilt += spoil
            if now.state is not WAITING:
                continue
            if now.spoilt and now.because is None:
                now.because = _root(state, source)
                changes.append((dependent, SPOILT))
                touched.append(dependent)
            elif not now.spoilt and now.because is not None:
                now.because = None
                changes.append((dependent, OPEN))
            elif not now.unmet:
                touched.append(dependent)


# ---------------------------------------------------------------------------- questions


def run_outcome(state: RunState) -> Literal["done", "failed", "cancelled", "running", "waiting", "paused"]:
    """The run in one word; `waiting` until its first job has been claimed or has ended."""
    counts = state.counts
    if not state.settled:
        if state.paused:
            return "paused"
        return "waiting" if counts[WAITING] == len(state.jobs) else "running"
    if counts[FAILED]:
        return "failed"
    if counts[CANCELLED]:
        return "cancelled"
    return "failed" if counts[SKIPPED] else "done"


def roots_of_trouble(state: RunState) -> dict[int, list[int]]:
    """Each failed or cancelled job with the jobs that never start because of it, ascending."""
    bad = (FAILED, CANCELLED)
    roots: dict[int, list[int]] = {job: [] for job, now in enumerate(state.jobs) if now.state in bad}
    for job, now in enumerate(state.jobs):
        if now.because in roots:
            roots[now.because].append(job)
    return roots


def to_reopen(
    state: RunState,
    only: Collection[int] | None = None,
    *,
    include_cancelled: bool = True,
    include_done: bool = False,
) -> list[int]:
    """The jobs for which a retry stores Reopened, in the order in which it must store them.

    All failed jobs and what is skipped because of them; with `only`, those of them and what
    depends on them. Ascending: a job that is reopened before its parents would be skipped
    again. Jobs still to be skipped are among them, so that a skip under way is refused. A job
    that another bad end, not reopened, would skip at once is left out.
    """
    wanted = {FAILED, SKIPPED}
    wanted |= {CANCELLED} if include_cancelled else set()
    wanted |= {DONE} if include_done else set()
    named = range(len(state.jobs)) if only is None else frozenset(only)
    chosen: set[int] = set()
    for job, now in enumerate(state.jobs):
        needs = state.graph.jobs[job].parents + state.graph.jobs[job].after
        doomed = now.state is WAITING and now.because is not None
        if not doomed and now.state not in wanted:
            continue
        if job not in named and chosen.isdisjoint(needs):
            continue
        if all(p in chosen or state.jobs[p].standing != SPOILT for p in needs):
            chosen.add(job)
    return sorted(chosen)


def to_cancel(state: RunState) -> list[tuple[int, int]]:
    """Each job that has not ended with its last record, dependents before their parents.

    In this order no cancelled parent leads to a skip of a job that is about to be cancelled.
    """
    return [
        (job, state.jobs[job].seq)
        for job in range(len(state.jobs) - 1, -1, -1)
        if state.jobs[job].state not in ENDED
    ]
