"""When a run has had its time: pure decisions about the limit that its policy sets for it."""

from __future__ import annotations

from elfbook.facts import ENDED, State
from elfbook.log.fold import RunState


def ends_at(state: RunState, submitted_at: float) -> float | None:
    """Seconds since the epoch at which the run's time is over, counted anew from its last retry.

    None when there is no limit or nothing is left to be ended.
    """
    limit_s = state.graph.policy.deadline_s
    if limit_s is None or state.settled:
        return None
    return max(submitted_at, *(now.reopened_at for now in state.jobs)) + limit_s


def overdue(state: RunState) -> list[tuple[int, int]]:
    """The jobs that are to be ended when the time is over, each with its last record.

    They are those that run or could begin; what waits for them is skipped, like below any failure.
    """
    return [
        (job, now.seq)
        for job, now in enumerate(state.jobs)
        if now.state not in ENDED and (now.state is State.RUNNING or (now.because is None and not now.unmet))
    ]
