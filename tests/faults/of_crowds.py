"""Fault 30: very many who all lose the server at once, and one who reads too slowly."""

from __future__ import annotations

import asyncio
import signal
import time

from ground import Ground, need, until
from of_clients import notebook, told, where
from soak import resident
from table import fault

from elfbook.facts import State
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import read_json

CROWD = 60
"""Connections with a follower and a taker each: what 60 workers have, without their 60 kernels."""


async def consumers(ground: Ground) -> dict[str, int]:
    """How many consumers each stream has."""
    link, found = ground.client.mycelium.link, {}
    for stream in ground.client.mycelium.names.stream_subjects():
        found[stream] = (await link.api(f"STREAM.INFO.{stream}"))["state"]["consumer_count"]
    return found


async def stand(ground: Ground, number: int, seen: set[int], taken: list) -> None:
    """One of the crowd: follows the log, and waits for offers of its own."""
    place = ground.place
    mycelium = await Mycelium.open(
        place.address(), key=place.key(), locate=place.locate, name=f"crowd {number}"
    )
    name = f"crowd-{number}"
    taker = mycelium.taker(f"worker-{name}", mycelium.names.worker_offers(name), brief=True, hold_s=30.0)
    await taker.start()
    await taker.want(1)
    try:
        async for batch in mycelium.follow_jobs(await mycelium.end_of(mycelium.names.jobs) + 1).batches():
            if batch:
                seen.add(number)
    finally:
        taken.append(taker.asked)
        await taker.close()
        await mycelium.close()


@fault(
    "30", "a crowd loses the server at once", own=True,
    done=f"{CROWD} more connections (200 workers with kernels do not fit on this machine), SIGKILL to the server",
    allowed="all are back within 30 s, and there are not more consumers than before",
)  # fmt: skip
async def crowd_returns(ground: Ground) -> str:
    seen, taken = set(), []
    crowd = [asyncio.create_task(stand(ground, number, seen, taken)) for number in range(CROWD)]
    trail = ground.trail

    async def all_hear(flow: str, timeout_s: float) -> float:
        began = time.monotonic()
        seen.clear()
        while len(seen) < CROWD:
            need(time.monotonic() < began + timeout_s, f"{len(seen)} of {CROWD} have heard of the run {flow}")
            run = await ground.submit(flow, lambda path: [trail.task_step(path, str(n)) for n in range(5)])
            await ground.settled(run)
        return time.monotonic() - began

    try:
        await all_hear("crowd", 60)
        before = await consumers(ground)
        await ground.tree.kill("server", ground.client)
        took = await all_hear("crowd", 60)
        need(took <= 30, f"only after {took:.0f} s")

        async def as_before() -> bool:
            return all(count <= before[stream] for stream, count in (await consumers(ground)).items())

        # A consumer that nobody uses any more is forgotten after a minute.
        await until(as_before, f"there are not more consumers than {before}", 90)
    finally:
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    need(
        not any(crowd_.done() and not crowd_.cancelled() and crowd_.exception() for crowd_ in crowd),
        "one of them fell out",
    )
    return (
        f"all {CROWD} were back after {took:.1f} s; {sum(before.values())} consumers before, not more after"
    )


@fault(
    "30b", "a notebook stands still while much happens", own=True,
    done="SIGSTOP to a notebook that watches, 3,000 jobs run, SIGCONT",
    allowed="the server's memory stays bounded; the notebook has it all afterwards",
)  # fmt: skip
async def stalled(ground: Ground) -> str:
    pid = read_json(ground.place.server_file)["pid"]
    with notebook(ground, "watch", where(ground), "much", 3000) as process:
        facts = await told(process)
        before = resident(pid)
        process.send_signal(signal.SIGSTOP)
        watched = await ground.client.watch(facts["flow"], facts["number"])
        await ground.settled(watched, 180)
        grown = resident(pid) - before
        process.send_signal(signal.SIGCONT)
        ends = await told(process)
    need(ends["done"] == 3000 == watched.state.counts[State.DONE], f"the notebook knows of {ends}")
    need(grown < 200, f"the server grew by {grown:.0f} MB")
    return f"the server grew by {grown:.0f} MB meanwhile; the notebook caught up"
