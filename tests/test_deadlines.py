"""A run's own limit: when its time is over, and what is ended then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.facts import ENDED, AnyEvent, Claimed, Failed, Reopened, Skipped, State, Stored, Succeeded
from elfbook.log.deadlines import ends_at, overdue
from elfbook.log.fold import Offer, RunState, Skip, due, fold, start
from elfbook.model import Graph, JobSpec, Policy

CLAIMED, SUCCEEDED, FAILED, REOPENED = Claimed("n", worker="w"), Succeeded("n"), Failed("n"), Reopened("n")
OVER = Failed("n", outcome="timed out", final=True)


def run(*jobs: JobSpec, deadline_s: float | None = 60.0, **policy: object) -> RunState:
    return start(Graph((), jobs, b"", Policy(deadline_s=deadline_s, backoff_s=0.0, **policy)), "r.1")


def job(*parents: int, **more: object) -> JobSpec:
    return JobSpec(0, "task_t", b"", parents=parents, **more)


class Log:
    def __init__(self, state: RunState) -> None:
        self.state, self.seq = state, 0

    def __call__(self, number: int, *events: AnyEvent, at: float = 0.0) -> None:
        for event in events:
            self.seq += 1
            fold(self.state, Stored(number, self.seq, at or 1000.0 + self.seq, event))


def test_a_run_without_a_limit_is_never_over() -> None:
    assert ends_at(run(job(), deadline_s=None), 1000.0) is None


def test_time_counts_from_the_submission_and_anew_from_a_retry() -> None:
    state = run(job(), job())
    assert ends_at(state, 1000.0) == 1060.0
    log = Log(state)
    log(0, CLAIMED, OVER)
    assert ends_at(state, 1000.0) == 1060.0
    log(0, REOPENED, at=1500.0)
    assert ends_at(state, 1000.0) == 1560.0
    log(0, CLAIMED, SUCCEEDED)
    log(1, CLAIMED, SUCCEEDED)
    assert ends_at(state, 1000.0) is None, "it has ended"


@pytest.mark.parametrize(
    ("jobs", "facts", "ended"),
    [
        ([job()], [], [(0, 0)]),
        ([job()], [(0, CLAIMED)], [(0, 1)]),
        ([job()], [(0, CLAIMED), (0, SUCCEEDED)], []),
        ([job(), job(0)], [], [(0, 0)]),  # the second is skipped because of the first
        ([job(), job(0)], [(0, CLAIMED), (0, SUCCEEDED)], [(1, 0)]),
        ([job(), job(turn=0)], [], [(0, 0), (1, 0)]),  # order alone skips nothing
        ([job(), job(0)], [(0, CLAIMED), (0, OVER)], []),
        ([job()], [(0, CLAIMED), (0, FAILED)], [(0, 2)]),  # it would be tried again
        ([job(), job(0)], [(0, CLAIMED), (0, SUCCEEDED), (1, CLAIMED), (0, REOPENED)], [(0, 4), (1, 3)]),
    ],
)
def test_what_is_ended(jobs: list[JobSpec], facts: list[tuple], ended: list[tuple[int, int]]) -> None:
    state = run(*jobs, retries=1)
    log = Log(state)
    for number, event in facts:
        log(number, event)
    assert overdue(state) == ended


@st.composite
def anything(draw: st.DrawFn) -> Log:
    jobs = []
    for number in range(draw(st.integers(1, 7))):
        earlier = st.sets(st.integers(0, number - 1), max_size=3) if number else st.just(set())
        turn = draw(st.sampled_from([None, number - 1])) if number else None
        jobs.append(job(*sorted(draw(earlier)), turn=turn))
    log = Log(run(*jobs, retries=9))
    events = st.sampled_from([CLAIMED, SUCCEEDED, FAILED, OVER, REOPENED])
    for number, event in draw(st.lists(st.tuples(st.integers(0, len(jobs) - 1), events), max_size=20)):
        log(number, event)
    return log


@given(anything())
def test_when_the_time_is_over_everything_ends_and_nothing_begins(log: Log) -> None:
    """Whatever was going on: ended and skipped until there is nothing to do, and no retry brings it back."""
    for number, seq in overdue(log.state):
        assert seq == log.state.jobs[number].seq
        log(number, OVER)
    while actions := due(log.state):
        assert not [action for action in actions if isinstance(action, Offer)]
        for action in actions:
            assert isinstance(action, Skip)
            log(action.job, Skipped("n", because=action.because))
    assert all(now.state in ENDED for now in log.state.jobs)
    assert log.state.counts[State.RUNNING] == 0
