"""A soak: mixed flows for as long as you like, while something is killed every few seconds.

    python tests/faults/soak.py --minutes 60
    python tests/faults/soak.py --minutes 10 --kill worker,kernel --every 10
    python tests/faults/soak.py --minutes 5 --seed 1234          the same flows and kills again

A line a minute: runs, jobs and kills so far, and the memory (RSS, MB) of each role, the largest
process of it. At the end the checker goes over every run, from a log that is read anew, and memory is
judged: for each role, a straight line through the minutes after the first fifth must not rise by more
than 10 % or 16 MB, whichever is more, over the whole time. The server is the exception: it holds an
entry for each job's subject, which is meant to grow; it may rise by at most 2 KB a job that was run:
some 0.9 KB were seen to be in use for a job, and Go's collector lets a heap grow to twice what is in use.
Processes that are killed begin anew, so a role's memory then shows what a fresh process needs
with all that is stored; the client is never killed, and `--kill worker,kernel` spares all others.
Exit code 1 when something did not hold. About half of two cores is used; --pace makes it less or more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mixed
from checker import Submitted, check_chain, check_quiet, check_run, told
from ground import Broken, Ground, fresh, hostfile

from elfbook.facts import State
from elfbook.store.place import read_json

ROLES = {"worker": 6, "kernel": 6, "scheduler": 5, "host": 2, "server": 4, "everything": 1}
MB = 2**20
SETTLE_S = 240.0
RISE, RISE_MB = 0.10, 16.0
ENOUGH = 10
"""Minutes without which a straight line tells nothing: a server's heap goes up and down by 50 MB."""
A_JOB = 2048
"""Bytes by which the server may grow for each job that was run."""


@dataclass
class Soak:
    """What is under way, and what has been seen."""

    ground: Ground
    chance: random.Random
    kill: dict[str, int]
    every_s: float
    pace_s: float
    ends_at: float
    began_at: float = field(default_factory=time.monotonic)
    submitted: list[Submitted] = field(default_factory=list)
    jobs: int = 0
    kinds: Counter = field(default_factory=Counter)
    killed: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, int, dict[str, float]]] = field(default_factory=list)
    """Minutes, jobs so far, and MB of the largest process of each role."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends_at or bool(self.wrong)

    # ------------------------------------------------------------------ load

    async def player(self, number: int) -> None:
        """Submit one flow after the other; each is checked when it has ended."""
        chance, count = random.Random(self.chance.randrange(2**32)), 0
        while not self.over:
            count += 1
            made = mixed.draft(self.ground, chance, pace_s=self.pace_s)
            flow = f"{made.kind}_{number}"
            path = self.ground.folder / "trails" / f"{flow}-{count}"
            try:
                watched = await mixed.submit(self.ground, made, flow, path)
                submitted = Submitted(flow, watched.manifest.number, watched.manifest.nonce, path)
                await mixed.play(self.ground, made, watched, chance, SETTLE_S)
                look = partial(check_run, self.ground.client.mycelium, submitted, watched)
                self.wrong += await mixed.patiently(look, f"checking {watched.run}")
            except Broken as error:
                self.wrong.append(str(error))
                return
            self.submitted.append(submitted)
            self.kinds[made.kind] += 1
            self.jobs += sum(job.state is not State.SKIPPED for job in watched.state.jobs)

    async def killer(self) -> None:
        """Every few seconds something dies, if there is something whole to kill."""
        chance = random.Random(self.chance.randrange(2**32))
        while not self.over:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * self.every_s)
            role = chance.choices(list(self.kill), list(self.kill.values()))[0]
            ready = await asyncio.to_thread(self.ground.tree.live_workers)
            if ready and await self.ground.tree.kill(role, self.ground.client, chance.choice(ready)):
                self.killed[role] += 1

    # ------------------------------------------------------------------ memory

    async def teller(self) -> None:
        told_at = time.monotonic()
        while not self.over:
            await asyncio.sleep(0.5)
            if time.monotonic() - told_at >= 60 or self.over:
                told_at = time.monotonic()
                await self.tell()

    async def tell(self) -> None:
        """A line of what there is now."""
        minutes, now = (time.monotonic() - self.began_at) / 60, await self.sizes()
        self.memory.append((minutes, self.jobs, now))
        kills = " ".join(f"{role} {count}" for role, count in sorted(self.killed.items()))
        sizes = " ".join(f"{role} {size:.0f}" for role, size in now.items())
        print(
            f"{minutes:5.1f} min  {len(self.submitted)} runs  {self.jobs} jobs  killed: {kills}  MB: {sizes}",
            flush=True,
        )

    async def sizes(self) -> dict[str, float]:
        facts = await asyncio.to_thread(hostfile.find, self.ground.place)
        beats = await mixed.patiently(self.ground.client.workers, "asking who works")
        pids = {"client": [os.getpid()], "server": [read_json(self.ground.place.server_file)["pid"]]}
        if facts is not None:
            pids |= {"host": [facts.pid], "scheduler": [facts.scheduler_pid]}
        pids |= {"worker": [beat.pid for beat in beats], "kernel": [beat.kernel_pid for beat in beats]}
        sizes = {role: max(map(resident, each), default=0.0) for role, each in pids.items()}
        return {role: size for role, size in sizes.items() if size}

    def flat(self) -> list[tuple[str, bool, str]]:
        """Each role, whether its memory stayed flat, and the figures."""
        verdicts = []
        for role in ("client", "host", "scheduler", "worker", "kernel", "server"):
            first = self.memory[-1][0] / 5 if self.memory else 0
            points = [
                (at, jobs, size[role]) for at, jobs, size in self.memory if at >= first and role in size
            ]
            if len(points) < ENOUGH:
                verdicts.append((role, True, "too few minutes to tell"))
                continue
            slope = slope_of([(at, size) for at, _, size in points])
            span, mean = points[-1][0] - points[0][0], sum(size for *_, size in points) / len(points)
            rise = slope * span
            allowed = max(RISE * mean, RISE_MB)
            if role == "server":
                allowed += (points[-1][1] - points[0][1]) * A_JOB / MB
            words = f"{mean:.0f} MB, {slope * 60:+.1f} MB an hour, {rise:+.1f} MB seen of {allowed:.0f} MB allowed"
            verdicts.append((role, rise <= allowed, words))
        return verdicts


def resident(pid: int) -> float:
    """MB in memory of a process; 0 when it has ended."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def slope_of(points: list[tuple[float, float]]) -> float:
    """Of the straight line that is nearest to the points, by least squares."""
    x, y = (sum(each) / len(points) for each in zip(*points, strict=True))
    below = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / below if below else 0.0


async def judge(soak: Soak) -> bool:
    """The end: everything whole again, then the seven points over all runs; True when all held."""
    ground = soak.ground
    kinds = ", ".join(f"{count} {kind}" for kind, count in soak.kinds.most_common())
    print(f"runs: {kinds}; each was checked when it had ended: {len(soak.wrong)} wrong")
    flat = True
    for role, good, words in soak.flat():
        print(f"memory of {role}: {'flat' if good else 'GROWS'} ({words})", flush=True)
        flat &= good
    await ground.tree.whole()
    await ground.connect()  # a fresh client: nothing it knew before counts
    mycelium, wrong = ground.client.mycelium, list(soak.wrong)
    stored = {manifest.run: manifest for manifest in (await mycelium.all_runs())[0]}
    for submitted in soak.submitted:
        wrong += await check_run(mycelium, submitted, stored=stored.get(submitted.run))
    print(f"each of {len(soak.submitted)} runs was read again: {len(wrong)} wrong", flush=True)
    wrong += await check_chain(mycelium) + await check_quiet(mycelium)
    print("checker over all: " + (f"\n{told(wrong)}" if wrong else "nothing wrong"))
    return not wrong and flat


async def run(given: argparse.Namespace) -> int:
    seed = given.seed if given.seed is not None else random.randrange(2**32)
    kill = {role: ROLES[role] for role in given.kill.split(",")} if given.kill != "nothing" else {}
    print(
        f"seed {seed}, {given.minutes:g} minutes, kills {given.kill} about every {given.every:g} s",
        flush=True,
    )
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    async with fresh() as ground:
        (ground.folder / "trails").mkdir()
        ends_at = began + given.minutes * 60
        soak = Soak(ground, random.Random(seed), kill, given.every, given.pace, ends_at)
        parts = [soak.player(number) for number in range(given.players)] + [soak.teller()]
        parts += [soak.killer()] if kill else []
        await asyncio.gather(*parts)
        held = await judge(soak)
    now = resource.getrusage(resource.RUSAGE_SELF)
    mine = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(f"the client used {mine / (time.monotonic() - began):.0%} of one core")
    print(f"seed {seed}: " + ("everything held" if held else "SOMETHING DID NOT HOLD"), flush=True)
    return 0 if held else 1


def main() -> int:
    """Parse, run."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of the flows and kills; printed")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="between kills, on average"
    )
    parser.add_argument(
        "--kill", default=",".join(ROLES), metavar="ROLES", help="such as worker,kernel; or nothing"
    )
    parser.add_argument("--players", type=int, default=3, help="flows at once")
    parser.add_argument(
        "--pace", type=float, default=0.05, metavar="SECONDS", help="how long jobs take, at most"
    )
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
