"""Mixed flows by chance: fans, chains, grids, named elves that keep, failures, retries, pauses, large values.

Jobs are numbered in the order of their calls, and that number is the word each leaves in the trail.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ground import Ground, need

from elfbook.client.watched import Watched
from elfbook.errors import MyceliumUnreachable, StoreFull
from elfbook.facts import State
from elfbook.log.fold import to_reopen
from elfbook.model import Origin
from elfbook.store.link import Unanswered

KINDS = ("fan", "chain", "grid", "ledger", "shaky", "failing", "large", "cancelled", "reopened", "paused")
WEIGHTS = (4, 3, 4, 4, 3, 2, 1, 2, 1, 2)
LEDGERS = 4
AWAY_S = 60.0

T = TypeVar("T")


class Words:
    """The number of the next job, as it stands in the trail."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def __call__(self) -> str:
        return str(next(self.count))


@dataclass
class Draft:
    """One flow that chance has made: its calls, and how it has to end."""

    kind: str
    calls: Callable[[str], object]
    policy: dict
    ends: tuple[State, ...] = (State.DONE,)
    """The states in which its jobs may be at the end."""


def draft(ground: Ground, chance: random.Random, kind: str = "", pace_s: float = 0.03) -> Draft:
    """A flow of that kind, or of any; the same for the same chance."""
    kind = kind or chance.choices(KINDS, WEIGHTS)[0]
    trail, seed = ground.trail, chance.randrange(2**32)
    grown = DRAWN[kind]

    def calls(path: str) -> object:
        return grown(ground, trail, path, Words(), random.Random(seed), pace_s)

    policy = {"retries": 3, "lost_retries": 200, "backoff_s": 0.05}
    ends = (State.DONE,)
    if kind == "failing":
        policy["retries"], ends = 1, (State.DONE, State.FAILED, State.SKIPPED)
    if kind == "cancelled":
        ends = (State.DONE, State.CANCELLED, State.SKIPPED)
    if kind == "reopened":
        policy["retries"] = 0
    return Draft(kind, calls, policy, ends)


def fan(_, trail, path, word, chance, pace_s):
    root = trail.task_step(path, word())
    leaves = [
        trail.task_step(path, word(), root, seconds=chance.uniform(0, pace_s))
        for _ in range(chance.randint(5, 40))
    ]
    return trail.task_join(path, word(), leaves)


def chain(_, trail, path, word, chance, pace_s):
    value = trail.task_step(path, word())
    for _ in range(chance.randint(5, 25)):
        value = trail.task_step(path, word(), value, seconds=chance.uniform(0, pace_s / 2))
    return value


def grid(_, trail, path, word, chance, pace_s):
    row = [trail.task_step(path, word()) for _ in range(chance.randint(2, 6))]
    for _ in range(chance.randint(2, 6)):
        row = [
            trail.task_step(
                path, word(), *chance.sample(row, min(2, len(row))), seconds=chance.uniform(0, pace_s)
            )
            for _ in range(len(row))
        ]
    return trail.task_join(path, word(), row)


def ledger(ground, trail, path, word, chance, pace_s):
    root, entries = trail.task_step(path, word()), []
    ledgers = [ground.ledger(f"ledger{number}") for number in range(LEDGERS)]
    for _ in range(chance.randint(3, 12)):
        entries.append(chance.choice(ledgers).task_enter(path, word(), root))
    return trail.task_join(path, word(), entries)


def shaky(_, trail, path, word, chance, pace_s):
    tried = [trail.task_shaky(path, word(), chance.randint(0, 2)) for _ in range(chance.randint(2, 8))]
    return trail.task_join(path, word(), tried)


def failing(_, trail, path, word, chance, pace_s):
    good = [trail.task_step(path, word()) for _ in range(4)]
    bad = trail.task_shaky(path, word(), 10**6, good[0])
    return trail.task_step(path, word(), bad), trail.task_join(path, word(), good)


def large(_, trail, path, word, chance, pace_s):
    made = [trail.task_step(path, word(), size=chance.randint(40_000, 3_000_000)) for _ in range(2)]
    return trail.task_join(path, word(), made)


def slow(_, trail, path, word, chance, pace_s):
    return [trail.task_step(path, word(), seconds=0.3) for _ in range(chance.randint(3, 10))]


def reopened(_, trail, path, word, chance, pace_s):
    first = trail.task_shaky(path, word(), 1)
    return trail.task_step(path, word(), first)


DRAWN = {
    "fan": fan, "chain": chain, "grid": grid, "ledger": ledger, "shaky": shaky, "failing": failing,
    "large": large, "cancelled": slow, "reopened": reopened, "paused": grid,
}  # fmt: skip


async def patiently(act: Callable[[], Awaitable[T]], what: str) -> T:
    """What a person gets who does it again when told that the server is away; Broken if it stays so."""
    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            return await act()
        except (MyceliumUnreachable, StoreFull, Unanswered) as error:
            need(time.monotonic() < deadline, f"{what} could not be done for {AWAY_S:g} s: {error!r}")
            await asyncio.sleep(0.5)


async def submit(ground: Ground, made: Draft, flow: str, path: Path) -> Watched:
    """The run of a draft, stored."""
    drawn = ground.book.draw(lambda: made.calls(str(path)), flow, **made.policy)
    watched, _ = await patiently(lambda: ground.client.submit(flow, drawn, Origin()), f"submitting {flow}")
    return watched


async def play(
    ground: Ground, made: Draft, watched: Watched, chance: random.Random, timeout_s: float = 120
) -> None:
    """What a person does with such a run, until it has ended as it may; Broken otherwise."""
    if made.kind == "cancelled":
        await _some_time(watched, chance.uniform(0, 1.0))
        await patiently(lambda: ground.client.cancel(watched, "by chance"), f"cancelling {watched.run}")
    if made.kind == "paused":
        await _some_time(watched, chance.uniform(0, 0.5))
        await patiently(lambda: ground.client.pause(watched, "by chance"), f"pausing {watched.run}")
        await _some_time(watched, chance.uniform(0, 3.0))
        await patiently(lambda: ground.client.resume(watched), f"resuming {watched.run}")
    await ground.settled(watched, timeout_s)
    if made.kind == "reopened" and watched.state.counts[State.FAILED]:
        again = to_reopen(watched.state)
        await patiently(lambda: ground.client.reopen(watched, again), f"retrying {watched.run}")
        await ground.settled(watched, timeout_s)
    odd = {job.state for job in watched.state.jobs} - set(made.ends)
    need(not odd, f"{watched.run} ({made.kind}) has jobs that are {', '.join(odd)}")
    if made.kind == "failing":
        need(watched.state.counts[State.FAILED] == 1, f"{watched.run}: {watched.state.counts}")


async def _some_time(watched: Watched, seconds: float) -> None:
    """Let the run go on for so long, or until it has ended."""
    ended = asyncio.create_task(watched.settled())
    await asyncio.wait([ended], timeout=seconds)
    ended.cancel()
