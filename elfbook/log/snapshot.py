"""A run's state in few bytes: what deciding needs, and not how it came about.

A scheduler that starts over could fold the whole log again; of a million jobs that takes a minute.
From a snapshot it takes up the run and folds only what was stored since. How attempts ended and
how long they took is not in it, since no decision rests on that.

A snapshot may be taken in slices while facts go on being folded: each job's own state depends on
nothing but the facts about it, `upto` keeps a fact from being applied twice, and what jobs mean for
one another is worked out anew by `restore`.
"""

from __future__ import annotations

from collections.abc import Iterable

from elfbook.errors import InternalError
from elfbook.facts import ENDED, Claimed, State, Succeeded
from elfbook.log.fold import RunState, start
from elfbook.log.states import DONE, MET, OPEN, RUNNING, SKIPPED, SPOILT, WAITING, JobNow
from elfbook.model import Graph, Struct, ValueRef

STATES = tuple(State)
"""A row names a state by its place here; the order is part of the format."""


class Row(Struct, frozen=True, array_like=True):
    """One job of which the log has said something; `JobNow` explains the fields."""

    job: int
    state: int
    attempt: int
    seq: int
    upto: int
    mark: int
    held: int
    value: int = -1
    """Index into the slice's values, of a job that is done."""
    tried: int = 0
    lost: int = 0
    timed_out: int = 0
    out_of_memory: int = 0
    worker: str = ""
    nonce: str = ""
    """Of the claim that holds it."""
    revision: str = ""
    code: ValueRef | None = None
    reopened_at: float = 0.0
    not_before: float = 0.0
    because: int | None = None


class Slice(Struct, frozen=True):
    """Some jobs' rows."""

    rows: tuple[Row, ...]
    values: tuple[ValueRef, ...] = ()
    """The results of those that are done, each distinct one once."""


def slice_of(state: RunState, first: int, stop: int) -> Slice:
    """The rows of jobs `first` to `stop`, which is not included; jobs nothing was said of have none."""
    places: dict[str, int] = {}
    values: list[ValueRef] = []
    rows = []
    for job in range(first, min(stop, len(state.jobs))):
        now = state.jobs[job]
        if not now.upto:
            continue
        value, nonce = -1, ""
        if now.state is DONE:
            ref = now.event.value
            value = places.setdefault(ref.digest, len(values))
            if value == len(values):
                values.append(ref)
        elif now.state is RUNNING:
            nonce = now.event.nonce
        rows.append(
            Row(
                job, STATES.index(now.state), now.attempt, now.seq, now.upto, now.mark, now.held, value,
                now.tried, now.lost, now.timed_out, now.out_of_memory,
                now.worker if nonce else "", nonce, now.revision, now.code, now.reopened_at, now.not_before,
                now.because if now.state is SKIPPED else None,
            )
        )  # fmt: skip
    return Slice(tuple(rows), tuple(values))


def restore(graph: Graph, run_key: str, lots: list[int], slices: Iterable[Slice]) -> RunState:
    """The run as the slices tell it; InternalError when they are of another graph."""
    state = start(graph, run_key)
    if len(lots) != len(state.lots):
        raise InternalError(f"a snapshot of {run_key} is of another graph")
    state.lots[:] = lots
    for each in slices:
        for row in each.rows:
            _put_back(state.jobs[row.job], row, each.values)
    _relate(state)
    return state


def _put_back(now: JobNow, row: Row, values: tuple[ValueRef, ...]) -> None:
    now.state = STATES[row.state]
    now.attempt, now.seq, now.upto, now.mark, now.held = row.attempt, row.seq, row.upto, row.mark, row.held
    now.tried, now.lost = row.tried, row.lost
    now.timed_out, now.out_of_memory = row.timed_out, row.out_of_memory
    now.worker, now.revision, now.code = row.worker, row.revision, row.code
    now.reopened_at, now.not_before, now.because = row.reopened_at, row.not_before, row.because
    if now.state is DONE:
        now.event = Succeeded(nonce="", value=values[row.value])
    elif now.state is RUNNING:
        now.event = Claimed(nonce=row.nonce, attempt=row.attempt, worker=row.worker)


def _relate(state: RunState) -> None:
    """Work out what the jobs' states mean for one another; parents come before their children."""
    counts = dict.fromkeys(State, 0)
    for job, now in enumerate(state.jobs):
        counts[now.state] += 1
        spec = state.graph.jobs[job]
        needs = spec.parents + spec.after
        if needs:
            standings = [state.jobs[need].standing for need in needs]
            now.unmet = len(needs) - standings.count(MET)
            now.spoilt = standings.count(SPOILT)
            if now.spoilt and now.state is WAITING:
                root = needs[standings.index(SPOILT)]
                because = state.jobs[root].because
                now.because = root if because is None else because
        if now.state is DONE:
            now.standing = MET
        else:
            bad = now.state in ENDED or (now.spoilt and now.state is WAITING)
            now.standing = SPOILT if bad else OPEN
    state.counts.update(counts)
