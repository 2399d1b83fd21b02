"""Inside a notebook's kernel: facts about a run as fast as asked, folded where stored ones are folded.

The jobs wait for workers that do not exist; what is told of them here is stored nowhere. So any number of jobs
can change at any pace, and everything from the fold on is what a run does: the board, its messages, its page.
"""

from __future__ import annotations

import asyncio
import json
import time

from elfbook.facts import Claimed, Reopened, Stored, Succeeded
from elfbook.log.fold import fold

EVERY_S = 0.01
AT_ONCE = 2
"""Jobs that run at a time."""


def feed(run, a_second: int, for_s: float, turn: int) -> None:
    """So many changes a second for so long; then a line of JSON says what that took."""
    print(f"round {turn} has begun", flush=True)
    told = run._notebook.portal.call(_feed, run.watched, a_second, for_s)
    print(json.dumps(told), flush=True)


async def _feed(watched, a_second: int, for_s: float) -> dict[str, float]:
    state = watched.state
    jobs, done, own_s = len(state.jobs), 0, 0.0
    begun, begun_cpu = time.monotonic(), time.process_time()
    while (elapsed_s := time.monotonic() - begun) < for_s:
        before = time.thread_time()
        while done < elapsed_s * a_second:
            for fact in _round(done // 3, jobs, time.time()):
                fold(state, fact)
                for touched in watched._touched:
                    touched.add(fact.job)
            done += 3
        watched._note_change()
        own_s += time.thread_time() - before
        await asyncio.sleep(EVERY_S)
    for_s = time.monotonic() - begun
    return {"changes": done, "for_s": for_s, "kernel_s": time.process_time() - begun_cpu, "feed_s": own_s}


def _round(turn: int, jobs: int, now: float) -> tuple[Stored, ...]:
    """A job begins, an earlier one ends, and one that has ended long ago is to run again."""
    begins, ends, waits = (behind % jobs for behind in (turn, turn - AT_ONCE, turn - jobs // 2))
    seq = 1_000_000 + 3 * turn
    return (
        Stored(begins, seq, now, Claimed("", 1, f"worker-{1 + turn % AT_ONCE}")),
        Stored(ends, seq + 1, now, Succeeded("", 1, worker=f"worker-{1 + turn % AT_ONCE}")),
        Stored(waits, seq + 2, now, Reopened("")),
    )
