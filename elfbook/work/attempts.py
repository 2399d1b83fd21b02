"""What came of an attempt, as the event that is stored: pure decisions of the worker."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

import msgspec

from elfbook.facts import AnyEvent, Failed, Lost, Released, Succeeded
from elfbook.model import Dispatch, Failure, ValueRef
from elfbook.store.follow import Taker
from elfbook.store.link import Message
from elfbook.wire import digest_of
from elfbook.words import size

OUT_OF_MEMORY = "OutOfMemory"
"""In the place of an exception's type, of an attempt that the system has ended."""


def _begin_life() -> None:
    global LIFE  # noqa: PLW0603 (it is this process's own)
    LIFE = os.urandom(6).hex()


_begin_life()
os.register_at_fork(after_in_child=_begin_life)  # workers are forked from their host
WRITES = itertools.count()
"""Together they make a nonce, at a twentieth of the price of asking the system for random bytes."""


@dataclass(slots=True, eq=False)
class HeldLot:
    """A claim of many jobs, and the offer that is accepted when all of them have ended."""

    claim: int
    message: Message
    taker: Taker
    left: int
    fenced: bool = False
    """True when one of them had been taken away: nothing more is said of the offer."""


@dataclass(eq=False)
class Held:
    """A job that this worker has claimed."""

    token: str
    dispatch: Dispatch
    message: Message
    taker: Taker
    seq: int
    """Of the job's own last record: my claim, which my commit expects; the one before it in a lot."""
    lot: HeldLot | None = None
    """The claim of many that this job is part of."""
    begun_at: float = 0.0
    """Monotonic time since when the kernel has been at it; 0 while it waits its turn."""
    looked_at: float = 0.0
    """Monotonic time at which it was mine for sure, if it ever was: when its claim, or its record, was
    asked for. The answer may have come much later."""
    stopping: str = ""
    """Why it is being interrupted: `timed out`, `cancelled`, `fenced` or `leaving`."""
    fenced: bool = False
    """True once its record is known to have moved on: then no word about its offer any more."""
    stop_at: float = 0.0
    interrupts: int = 0

    @property
    def claim(self) -> int:
        """Sequence of the claim: with the store's epoch, the token of the attempt."""
        return self.lot.claim if self.lot else self.seq

    @property
    def nonce(self) -> str:
        return f"{self.token}-{LIFE}-{next(WRITES)}"


def event_of(held: Held, header: dict, value: ValueRef | None, data: bytes, worker: str, tail: str):
    """The event for a job that the kernel says has ended; `value` when it is a stored blob."""
    dispatch, elapsed_s = held.dispatch, header["elapsed"]
    if header["ok"]:
        if value is None:
            value = ValueRef(digest=digest_of(data), size=len(data), preview=header["preview"], inline=data)
        return Succeeded(
            nonce=held.nonce,
            attempt=dispatch.attempt,
            value=value,
            worker=worker,
            elapsed_s=elapsed_s,
            revision=dispatch.elf.revision,
        )
    failure = msgspec.structs.replace(msgspec.convert(header["failure"], Failure), last_output=tail)
    if failure.type == "KeyboardInterrupt" and held.stopping == "leaving":
        return lost(held, stopped(worker, held), worker, tail)
    if failure.type == "KeyboardInterrupt" and held.stopping == "timed out":
        failure = msgspec.structs.replace(failure, type="TimedOut", message=limit_words(held))
        return failed(held, failure, "timed out", worker, elapsed_s)
    outcome = "refused" if header["refused"] else "out of memory" if header["memory"] else "crashed"
    return failed(held, failure, outcome, worker, elapsed_s)


def failed(held: Held, failure: Failure, outcome: str, worker: str, elapsed_s: float = 0.0) -> Failed:
    return Failed(
        nonce=held.nonce,
        attempt=held.dispatch.attempt,
        failure=failure,
        outcome=outcome,
        worker=worker,
        elapsed_s=elapsed_s,
        final=outcome == "refused",
    )


def lost(held: Held, why: str, worker: str, tail: str) -> Lost:
    return Lost(nonce=held.nonce, attempt=held.dispatch.attempt, why=why, worker=worker, last_output=tail)


def released(held: Held, worker: str, *, begun: bool = False) -> Released:
    return Released(nonce=held.nonce, attempt=held.dispatch.attempt, worker=worker, begun=begun)


def of_death(held: Held, how: str, worker: str, tail: str, ran_s: float, used: int | None = None):
    """The event for the job that was under way when the kernel ended by itself or was replaced.

    `used` is how many bytes the kernel had used if it was ended for want of memory, else None.
    """
    if held.stopping == "timed out":
        words = f"{limit_words(held)}, did not stop when interrupted, and its kernel was replaced"
        failure = Failure(type="TimedOut", message=words, last_output=tail)
        return failed(held, failure, "timed out", worker, ran_s)
    if used is not None:
        failure = Failure(type=OUT_OF_MEMORY, message=memory_words(held, used), last_output=tail)
        return failed(held, failure, "out of memory", worker, ran_s)
    why = f"the kernel of {worker} {how} while doing {held.dispatch.label}."
    if lines := tail.rstrip().splitlines():
        why += f' Last output: "{lines[-1][:200]}".'
    return lost(held, why, worker, tail)


def limit_words(held: Held) -> str:
    return f"{held.dispatch.label} ran longer than its limit of {held.dispatch.timeout_s:g} s"


def memory_words(held: Held, used: int) -> str:
    had = f"; it had used {size(used)}" if used else ""
    return f"the system ended its kernel's process while it was doing {held.dispatch.label}{had}"


def stopped(worker: str, held: Held) -> str:
    return f"its worker {worker} was stopped while doing {held.dispatch.label}"


def late_words(event: AnyEvent, worker: str) -> str:
    """An attempt that ended after the job had been given to someone else, in a sentence."""
    what = type(event).__name__.lower()
    came = f": {event.value.preview}" if isinstance(event, Succeeded) else ""
    return f"attempt {event.attempt} on {worker} {what} when the job was no longer its own{came}"
