"""The life of one job: the table of its states, and what each stored fact changes.

          +----- Released; Failed or Lost with budget left -----+
          v                                                     |
       WAITING -------------------- Claimed --------------> RUNNING <--+ Claimed: another
        |  ^                                                 |  |  |   | worker took over
        |  |                          DONE <---- Succeeded --+  |  +---+
        +--|-- Failed, no budget --> FAILED <--- Failed, Lost --+ no budget
        +--|-- Skipped ----------> SKIPPED <---- Skipped -------+
        +--|-- Cancelled -------> CANCELLED <--- Cancelled -----+
           |
           +--- Reopened: from every state, also from WAITING and RUNNING

Why the cells are as they are. A fact reaches the log only if its writer named the record it
follows (compare-and-set), so the log is the truth and attempt numbers are not checked again:

- RUNNING takes every fact. Whatever was written over a claim has moved the record on, so the
  claim's holder can no longer commit: ignoring the fact would leave the job running for ever.
- WAITING takes a Failed: it says that the job could not even be offered, and counts as a try.
  Released, Succeeded and Lost are about an attempt, and none is under way: ignored.
- An ended job takes nothing but Reopened: the first end is the job's end.
- A fact that the table ignores is still the job's last record: the next write has to expect it.
- Facts told together with others are no records of the job's own. They count only if they rest on
  what is still so: a Claimed on the own record that the offer named, an end on the claim it ran under.
- A claim of many does not move the job's own record on. So what a scheduler decided before it had heard
  of that claim may be stored over it. A Lost names the claim that it is about, and takes nothing from
  another one; a Skipped is about a job that nobody holds, and takes nothing from a claim of many.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from elfbook.facts import (
    AnyEvent,
    Cancelled,
    Claimed,
    Event,
    Failed,
    Lost,
    Released,
    Reopened,
    Skipped,
    State,
    Stored,
    Succeeded,
)
from elfbook.model import Graph, Policy, ValueRef

# Local names: this runs for every fact of every run, and an enum's members are slow to look up.
WAITING, RUNNING, DONE = State.WAITING, State.RUNNING, State.DONE
FAILED, CANCELLED, SKIPPED = State.FAILED, State.CANCELLED, State.SKIPPED

BUDGETED = (WAITING, FAILED)
"""The first while the policy allows another attempt, the second after that."""

TRANSITIONS: dict[State, dict[type[Event], State | tuple[State, State]]] = {
    WAITING: {
        Claimed: RUNNING,
        Failed: BUDGETED,
        Skipped: SKIPPED,
        Cancelled: CANCELLED,
        Reopened: WAITING,
    },
    RUNNING: {
        Claimed: RUNNING,
        Released: WAITING,
        Succeeded: DONE,
        Failed: BUDGETED,
        Lost: BUDGETED,
        Skipped: SKIPPED,
        Cancelled: CANCELLED,
        Reopened: WAITING,
    },
    DONE: {Reopened: WAITING},
    FAILED: {Reopened: WAITING},
    CANCELLED: {Reopened: WAITING},
    SKIPPED: {Reopened: WAITING},
}

OPEN, MET, SPOILT = "open", "met", "spoilt"
"""A job that may yet succeed; that has succeeded; that ended badly, or will not start."""

MOST_DOUBLINGS = 1000
"""Of the back-off: further ones would overflow a float, and every limit is far below."""


class JobNow(msgspec.Struct, gc=False):
    """A job as the facts so far leave it. Only `fold` changes it. (It holds no other that holds it.)"""

    state: State = WAITING
    attempt: int = 0
    """Claims that count, the one under way included; a Released claim does not count."""
    seq: int = 0
    """Of the job's own last record, ignored ones too: what the next write expects. 0 for none."""
    upto: int = 0
    """Of its last claim or record of its own, whatever came of it."""
    mark: int = 0
    """Of the last message that changed the job or was its own record: names its present state."""
    held: int = 0
    """Of the claim that holds it; 0 unless it is running."""
    tried: int = 0
    """Attempts that raised, since the last Reopened; each of the other ends has its own count."""
    lost: int = 0
    timed_out: int = 0
    out_of_memory: int = 0
    event: AnyEvent | None = None
    """The last fact that the table took; a Succeeded while, and only while, it is DONE."""
    started_at: float | None = None
    """When the attempt under way, or the one that ended the job, began; None while waiting."""
    ended_at: float | None = None
    """When the job ended; None until then."""
    worker: str = ""
    """Who holds it, or held it at its end."""
    history: tuple[Stored, ...] = ()
    """How its attempts ended, in order, across every Reopened."""
    revision: str = ""
    """The code that the last Reopened asked for; empty for the run's own."""
    code: ValueRef | None = None
    """The encoded Revision of `revision`, when the manifest does not hold it."""
    reopened_at: float = 0.0
    """When it was last Reopened, by the server's clock; 0.0 for never."""
    not_before: float = 0.0
    """Seconds since the epoch before which it is not to start; 0.0 for at once."""
    because: int | None = None
    """The failed or cancelled job that keeps this one from ever starting, once there is one."""
    standing: str = OPEN
    """What it is to those that depend on it: OPEN, MET or SPOILT."""
    unmet: int = 0
    """How many of its parents and `after` jobs are not MET."""
    spoilt: int = 0
    """How many of those are SPOILT."""


def counts_still(now: JobNow, stored: Stored) -> bool:
    """True unless the fact rests on what is no longer so. To be asked before `now` has heard of it."""
    event = stored.event
    if stored.rests_on is None:
        if now.state is not RUNNING:
            return True
        if type(event) is Lost:
            return event.claim in (0, now.held)
        return type(event) is not Skipped or now.held <= now.seq
    if type(event) is Claimed:
        return now.state is WAITING and now.seq == stored.rests_on
    return now.state is RUNNING and now.held == stored.rests_on


def step(now: JobNow, stored: Stored, policy: Policy, run_key: str) -> bool:
    """Change the job in place to what `stored` makes of it; False if the table ignores the fact."""
    event = stored.event
    kind = type(event)
    target = TRANSITIONS[now.state].get(kind)
    if target is None:
        return False
    now.event = event
    now.not_before = 0.0
    now.held = 0
    if kind is Claimed:
        now.attempt += 1
        now.held = stored.seq
        now.worker = event.worker
        now.started_at = stored.at
    elif kind is Released:
        now.attempt -= not event.begun
    elif kind is Reopened:
        _renew(now, stored)
    else:
        now.history = (*now.history, stored)
    if target is BUDGETED:
        target = _spend(now, stored, policy, run_key)
    if target is WAITING:
        now.started_at = now.ended_at = None
        now.worker = ""
    elif target is not RUNNING:
        now.ended_at = stored.at
    now.state = target
    return True


def _renew(now: JobNow, stored: Stored) -> None:
    """Give the job its budgets back, and the code to run from now on."""
    event = stored.event
    now.tried = now.lost = now.timed_out = now.out_of_memory = 0
    now.reopened_at = stored.at
    # Without a revision the code stays what it is: a retry from a shell, which knows no cells,
    # must not go back to the code that a retry in the notebook has mended.
    if event.revision:
        now.revision, now.code = event.revision, event.code


def _spend(now: JobNow, stored: Stored, policy: Policy, run_key: str) -> State:
    """Count a bad attempt: WAITING, and since when, if there may be another; else FAILED."""
    kind = budget_of(stored.event)
    count = getattr(now, kind) + 1
    setattr(now, kind, count)
    if getattr(stored.event, "final", False) or count > allowed(policy, kind):
        return FAILED
    now.not_before = stored.at + backoff(policy, run_key, stored.job, count)
    return WAITING


def budget_of(event: Failed | Lost) -> str:
    """Which count of JobNow an attempt goes to that ended so."""
    if isinstance(event, Lost):
        return "lost"
    return {"timed out": "timed_out", "out of memory": "out_of_memory"}.get(event.outcome, "tried")


def allowed(policy: Policy, budget: str) -> int:
    """How many attempts may end so and still be followed by another."""
    # With `fail` nothing is repeated whose effect nobody can know, and a kernel that was ended
    # for want of memory may have had its effect like any other that was lost.
    if policy.on_lost == "fail" and budget in ("lost", "out_of_memory"):
        return 0
    if budget == "timed_out" and policy.timeout_retries is not None:
        return policy.timeout_retries
    return {"lost": policy.lost_retries, "out_of_memory": policy.memory_retries}.get(budget, policy.retries)


def policy_of(graph: Graph, job: int) -> Policy:
    """How one job is tried: as its run says, unless its task has said otherwise."""
    spec = graph.jobs[job]
    if spec.retries is None and spec.timeout_s is None and not spec.limit:
        return graph.policy
    given = {name: getattr(spec, name) for name in ("retries", "timeout_s", "limit")}
    own = {name: value for name, value in given.items() if value not in (None, "")}
    return msgspec.structs.replace(graph.policy, **own)


def backoff(policy: Policy, run_key: str, job: int, tried: int) -> float:
    """Seconds to wait after the `tried`-th bad attempt, the same in every process.

    "Equal jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter" (M. Brooker,
    2015): full = min(limit, base * 2 ** (tried - 1)); wait = full / 2 + random(0, full / 2).
    The random number is a hash of run, job and try: jobs that failed together do not come
    back together, yet every scheduler that folds the log computes the same moment.
    """
    full = min(policy.backoff_limit_s, policy.backoff_s * 2.0 ** min(tried - 1, MOST_DOUBLINGS))
    digest = blake2b(f"{run_key}/{job}/{tried}".encode(), digest_size=6).digest()
    return full / 2 * (1 + int.from_bytes(digest, "big") / 2**48)
