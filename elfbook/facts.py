"""What happens to jobs: the stored events, their place in the log, and the states they lead to."""

from __future__ import annotations

from enum import StrEnum

from elfbook.model import Failure, Struct, ValueRef


class Event(Struct, frozen=True, tag_field="event"):
    """One stored fact about a job; the latest is the job's record."""

    nonce: str
    """The writer's mark: a refused write whose record bears my nonce was mine."""
    attempt: int = 0
    """Which attempt the fact is about, from 1; 0 when it is about none."""


class Claimed(Event, frozen=True, tag="claimed"):
    """A worker holds the job and runs it."""

    worker: str = ""


class Released(Event, frozen=True, tag="released"):
    """The worker gave the job back: the attempt does not count, unless it had begun."""

    worker: str = ""
    begun: bool = False
    """True when it may have run, and what came of it is lost with the kernel of another job. The attempt
    counts then, but takes nothing from any budget: the job was not to blame."""


class Succeeded(Event, frozen=True, tag="succeeded"):
    value: ValueRef = ValueRef(digest="", size=0)
    worker: str = ""
    elapsed_s: float = 0.0
    revision: str = ""


class Failed(Event, frozen=True, tag="failed"):
    """The attempt ended with an exception."""

    failure: Failure = Failure(type="", message="")
    outcome: str = "crashed"
    """`failed` for an exception that says it was anticipated, `crashed` for any other, `timed out`,
    `out of memory`, or `refused` when the code or arguments could not be loaded."""
    worker: str = ""
    elapsed_s: float = 0.0
    final: bool = False
    """True when another attempt cannot help (arguments or code that do not load)."""


class Lost(Event, frozen=True, tag="lost"):
    """The attempt's worker or kernel died, or was not heard of for a lease."""

    why: str = ""
    """One sentence: signal, job, last output."""
    worker: str = ""
    last_output: str = ""
    claim: int = 0
    """Sequence of the claim that it ends, and no other; 0 for whichever holds the job."""


class Skipped(Event, frozen=True, tag="skipped"):
    """Something upstream ended badly, so the job never starts."""

    because: int = 0
    """The job that failed or was cancelled."""


class Cancelled(Event, frozen=True, tag="cancelled"):
    why: str = ""


class Reopened(Event, frozen=True, tag="reopened"):
    """A person asked for the job to run again."""

    revision: str = ""
    """Digest of the code to run now; empty to keep the run's own."""
    code: ValueRef | None = None
    """The encoded Revision, when `revision` is not in the manifest."""


AnyEvent = Claimed | Released | Succeeded | Failed | Lost | Skipped | Cancelled | Reopened

# ---------------------------------------------------------------------------- many jobs at once

LOT = 128
"""Jobs of a run that have neighbouring numbers form a lot: job n is in lot n // LOT.

Short jobs of one lot are claimed with one message and ended with one message, which makes them
several times cheaper than jobs that have records of their own.
"""


class ClaimedTogether(Struct, frozen=True, tag_field="event", tag="claimed together"):
    """A worker holds these jobs of one lot. It is stored only if nothing else has been, in that lot,
    since the offer: no claim, no cancel, no fact that stands on a job's own subject."""

    nonce: str
    worker: str
    jobs: tuple[tuple[int, int, int], ...]
    """Of each job: its number, its own last record when it was offered, which attempt this is."""


class Success(Struct, frozen=True, array_like=True):
    """One job of `EndedTogether` that succeeded."""

    claim: int
    """Sequence of the ClaimedTogether under which it ran."""
    job: int
    value: int
    """Index into the message's values."""
    elapsed_s: float


class Ending(Struct, frozen=True, array_like=True):
    """One job of `EndedTogether` that ended otherwise, or was given back."""

    claim: int
    job: int
    event: Failed | Lost | Released


class EndedTogether(Struct, frozen=True, tag_field="event", tag="ended together"):
    """What became of jobs that were claimed together. No compare-and-set guards this message: each
    part of it counts only while the claim that it names still holds the job, which the fold decides."""

    nonce: str
    worker: str
    revision: str = ""
    values: tuple[ValueRef, ...] = ()
    """What the successes gave, each distinct value once."""
    successes: tuple[Success, ...] = ()
    others: tuple[Ending, ...] = ()


class SlotTaken(Struct, frozen=True):
    """A job runs in one of the slots of a named limit; stored in one batch with the job's claim."""

    run: str
    job: int
    nonce: str
    """Of the claim: the slot is taken for as long as that claim holds the job."""


class Unreadable(Event, frozen=True):
    """Stands for a message about many jobs that cannot be read; never stored. What it means for
    which jobs only a run's state tells (log/doubt.py)."""

    failure: Failure = Failure(type="", message="")
    lot: int | None = None
    """Whose claim it was; None for ends, of which nobody knows the lots."""


class Paused(Struct, frozen=True, tag_field="event", tag="paused"):
    """A run is to rest, or to go on: its last such record says which. It is about no job, and each job's
    state stays what it is; what no longer follows from a job's being due is its offer."""

    nonce: str
    on: bool | None
    """False when it is to go on. None stands for a record that cannot be read, which leaves things as they
    are; that is never stored."""
    why: str = ""


AnyRecord = AnyEvent | ClaimedTogether | EndedTogether | Paused
"""What a message of the log can be."""


class Stored(Struct, frozen=True):
    """An event with its place in the log."""

    job: int
    """-1 for what is about the run as a whole."""
    seq: int
    """Stream sequence: later facts have larger ones."""
    at: float
    """Seconds since the epoch by the server's clock."""
    event: AnyEvent | Paused
    rests_on: int | None = None
    """None for a job's own record. Otherwise the fact was told together with others, and counts only
    if this is (for a Claimed) the job's own last record, or (for its end) the claim that holds it."""


def told(record: AnyRecord, job: int, seq: int, at: float) -> list[Stored]:
    """The facts that a stored message tells; `job` is whose own record it is, if it is one."""
    if isinstance(record, ClaimedTogether):
        nonce, worker = record.nonce, record.worker
        return [
            Stored(each, seq, at, Claimed(nonce, attempt, worker), over)
            for each, over, attempt in record.jobs
        ]
    if not isinstance(record, EndedTogether):
        return [Stored(job, seq, at, record)]
    nonce, worker, revision = record.nonce, record.worker, record.revision
    values = record.values
    facts = [
        Stored(
            each.job,
            seq,
            at,
            Succeeded(nonce, 0, values[each.value], worker, each.elapsed_s, revision),
            each.claim,
        )
        for each in record.successes
    ]
    return facts + [Stored(each.job, seq, at, each.event, each.claim) for each in record.others]


class State(StrEnum):
    """What a job is doing, in the words people see."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.SKIPPED})
