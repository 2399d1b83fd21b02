"""The jobs that a message about many, which cannot be read, leaves in doubt: they end by name."""

from __future__ import annotations

from collections.abc import Iterator

from elfbook.facts import LOT, Claimed, Failed, State, Stored
from elfbook.log.fold import RunState, offer_of
from elfbook.model import Failure

WHY = "a message that may have been about this job cannot be used, so nobody knows whether it was done: {}"


def in_doubt(state: RunState, stored: Stored) -> Iterator[Stored]:
    """The facts that stand for an Unreadable one, to be folded in turn: they end those jobs, by name.

    Of a claim any job may have been that could be offered; of ends any that was claimed together with
    others. Told again, or after they have moved on, it changes nothing.
    """
    event = stored.event
    failure = Failure(type=event.failure.type, message=WHY.format(event.failure.message))
    failed = Failed("", 0, failure, "refused", final=True)
    if event.lot is None:
        for job, now in enumerate(state.jobs):
            together = now.state is State.RUNNING and now.held != now.seq
            if together and now.mark < stored.seq:
                yield Stored(job, stored.seq, stored.at, failed, now.held)
        return
    lot = range(event.lot * LOT, min(len(state.jobs), event.lot * LOT + LOT))
    # Also of a paused run: the claim may be of an offer that was made before.
    offered = {job for job in lot if offer_of(state, job) is not None}
    for job in lot:
        now = state.jobs[job]
        held = job in offered and now.mark < stored.seq
        # Also where it holds nothing: what is stored next about the lot expects this message.
        claim = Claimed("", now.attempt + 1, "")
        yield Stored(job, stored.seq, stored.at, claim, now.seq if held else -1)
        if held:
            yield Stored(job, stored.seq, stored.at, failed, stored.seq)
