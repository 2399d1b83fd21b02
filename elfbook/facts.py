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
    """The worker gave the job back before starting it: the attempt does not count."""

    worker: str = ""


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


class Stored(Struct, frozen=True):
    """An event with its place in the log."""

    job: int
    seq: int
    """Stream sequence: later facts have larger ones."""
    at: float
    """Seconds since the epoch by the server's clock."""
    event: AnyEvent


class State(StrEnum):
    """What a job is doing, in the words people see."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.SKIPPED})
