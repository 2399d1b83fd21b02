"""Faults 12 to 15: servers that are killed or frozen while they are under load, one alone or of three."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable

import mixed
from clusters import Cluster, on_three
from ground import Ground, need, until
from table import fault

from elfbook.store.link import Refused, Unanswered

SEED = 20261122
PLAYERS = 3


@contextlib.asynccontextmanager
async def under_load(
    ground: Ground, kinds: tuple[str, ...] = (), players: int = PLAYERS
) -> AsyncIterator[Callable[[], int]]:
    """Mixed flows, one after the other, for as long as the block lasts; then each has to end.

    Gives a function that counts the runs that have ended so far. All of them are checked later.
    """
    chance, over, ended, numbers = random.Random(SEED), asyncio.Event(), [], itertools.count()

    async def play(number: int) -> None:
        own = random.Random(chance.randrange(2**32))
        while not over.is_set():
            made = mixed.draft(ground, own, own.choice(kinds) if kinds else "")
            flow = f"{made.kind}{number}_{os.urandom(2).hex()}"
            path = ground.folder / f"{flow}-{next(numbers)}.trail"
            watched = ground.note(await mixed.submit(ground, made, flow, path), path)
            await mixed.play(ground, made, watched, own)
            ended.append(watched)

    tasks = [asyncio.create_task(play(number)) for number in range(players)]
    try:
        yield lambda: len(ended)
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def next_end(count: Callable[[], int], timeout_s: float) -> float:
    """Seconds until one run more has ended."""
    began, before = time.monotonic(), count()

    def more() -> bool:
        return count() > before

    await until(more, "a run has ended", timeout_s)
    return time.monotonic() - began


async def some(count: Callable[[], int], more: int, timeout_s: float = 60.0) -> None:
    """Returns when so many runs more have ended."""
    wanted = count() + more
    await until(lambda: count() >= wanted, f"{more} runs have ended", timeout_s)


@fault(
    "12", "kill -9 of the server under load", quick=True,
    done="SIGKILL to nats-server three times while mixed flows run",
    allowed="a pause until it is back; nothing lost, no result twice",
)  # fmt: skip
async def server_killed(ground: Ground) -> str:
    pauses = []
    async with under_load(ground) as count:
        await some(count, 2)
        for _ in range(3):
            need(await ground.tree.kill("server", ground.client), "there was no server")
            pauses.append(await next_end(count, 30))
    return f"runs went on after {', '.join(f'{pause:.1f}' for pause in pauses)} s; {count()} runs in all"


@fault(
    "13", "kill -9 of all three servers of a cluster under load", own=True, workers=0,
    done="three nats-servers with every stream three times; SIGKILL to all at once, started again",
    allowed="as 12",
)  # fmt: skip
async def cluster_killed(_: Ground) -> str:
    async with on_three() as (cluster, ground):
        async with under_load(ground) as count:
            await some(count, 3)
            for server in cluster.servers:
                server.kill()
            began = time.monotonic()
            for server in cluster.servers:
                server.start()
            await next_end(count, 90)
            pause = time.monotonic() - began
            await some(count, 3)
        await ground.checked()
        return f"runs went on {pause:.1f} s after the servers were started again; {count()} runs in all"


async def leader_gone(harm: Callable, mend: Callable, allowed_s: float) -> str:
    async with on_three() as (cluster, ground):
        async with under_load(ground) as count:
            await some(count, 3)
            leader = await cluster.leader(ground, ground.client.mycelium.names.jobs)
            began = time.monotonic()
            await harm(leader)
            await next_end(count, 60)
            pause = time.monotonic() - began
            await some(count, 2)
            await mend(leader)
            await cluster.whole()
            await some(count, 3)
        await ground.checked()
        need(pause <= allowed_s, f"runs went on only after {pause:.1f} s")
        return f"runs went on after {pause:.1f} s; {count()} runs in all"


@fault(
    "14", "kill -9 of the server that leads the log, of three", own=True, workers=0,
    done="SIGKILL to the leader of JOBS under load; it comes back later",
    allowed="the other two go on; nothing lost, no result twice",
)  # fmt: skip
async def leader_killed(_: Ground) -> str:
    async def kill(leader) -> None:
        leader.kill()

    async def start(leader) -> None:
        leader.start()

    return await leader_gone(kill, start, 45)


@fault(
    "15", "the server that leads the log, of three, is frozen for 5 s", own=True, workers=0,
    done="SIGSTOP to the leader of JOBS under load, SIGCONT after 5 s",
    allowed="as 14",
)  # fmt: skip
async def leader_frozen(_: Ground) -> str:
    async def freeze(leader) -> None:
        leader.send(signal.SIGSTOP)
        thaw_at = time.monotonic() + 5
        while time.monotonic() < thaw_at:
            await asyncio.sleep(0.1)
        leader.send(signal.SIGCONT)

    async def nothing(_) -> None:
        return

    return await leader_gone(freeze, nothing, 45)


__all__ = ["Cluster", "Refused", "Unanswered", "next_end", "some", "under_load"]
