"""kill -9 of every process, at chosen and at random moments: each run ends right, and once."""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from elfbook import demo
from elfbook.facts import Lost, State, Succeeded

ROLES = ["worker", "kernel", "scheduler", "host", "server", "everything"]
DISTURBING = {"worker", "kernel", "host", "everything"}
"""Whose death ends a job that is under way."""
KILLS = 15
SEED = "ELFBOOK_TEST_SEED"
"""Environment variable with the seed that a failure has named, to see it again."""


@pytest.mark.parametrize("role", ROLES)
async def test_a_run_survives_the_death_of(role, tree, client, book, gates, until):
    gate, sums = book.names["Gate"](), book.names["Sums"]()

    def calls():
        first = [sums.task_same(number) for number in range(3)]
        held = gate.task_pass(str(gates.folder), "held", *first)
        return sums.task_add(*first, 10), sums.task_same([held])

    run = await book.submit(f"kill_{role}", calls)
    holder = await book.running(run, 3)
    await until(gates.begun)
    assert await tree.kill(role, client, holder)
    if role in DISTURBING:
        await until(lambda: len(gates.begun()) == 2, 30)
    gates.open()
    await book.settled(run)
    assert await book.values(run) == [0, 1, 2, "held", 13, ["held"]]
    await book.check(run)
    held = run.state.jobs[3]
    assert len(gates.begun()) == held.attempt == (2 if role in DISTURBING else 1)
    assert isinstance(held.history[-1].event, Succeeded)
    if role == "kernel":
        lost = held.history[0].event
        assert isinstance(lost, Lost)
        assert "was killed by signal 9 (SIGKILL)" in lost.why
        assert "task_pass[0]" in lost.why


async def test_what_was_submitted_survives_though_nothing_of_it_had_begun(tree, client, book):
    """G1: the whole tree dies as soon as submit has returned."""
    sums = book.names["Sums"]()
    run = await book.submit("at_once", lambda: sums.task_add(*sums.task_same.map(range(200))))
    assert await tree.kill("everything", client)
    await tree.whole()
    await book.settled(run)
    assert await book.value(run, 200) == sum(range(200))
    await book.check(run)


@pytest.mark.timeout(180)
async def test_300_jobs_while_something_is_killed_every_second(tree, client, book, tmp_path):
    seed = int(os.environ.get(SEED) or random.randrange(2**32))
    chance = random.Random(seed)
    book.cell(STEPS)
    steps = book.names["Steps"]()
    path = tmp_path / "steps"
    width, rows = 20, 15
    uses = [[chance.sample(range(width), 2) for _ in range(width)] for _ in range(rows)]

    def grown(step, first):
        row = [step(number, first) for number in range(width)]
        for level in range(1, rows):
            row = [step(level * width + number, *(row[u] for u in uses[level][number])) for number in range(width)]
        return row

    expected = []
    grown(lambda number, *given: expected.append((number + sum(given)) % 1009) or expected[-1], 1)
    run = await book.submit(
        "chaos", lambda: grown(lambda *given: steps.task_step(str(path), *given), 1), lost_retries=100
    )
    ended = asyncio.create_task(run.settled())
    began, killed = time.monotonic(), []
    while not ended.done() and len(killed) < KILLS and time.monotonic() < began + 90:
        await asyncio.wait([ended], timeout=chance.uniform(0.5, 1.5))
        if role := await strike(tree, client, chance):
            killed.append(f"{role} at {time.monotonic() - began:.1f} s")
    await asyncio.wait([ended], timeout=60)
    assert ended.done(), f"seed {seed}: stuck; killed {killed}; {run.state.counts}"
    await tree.whole()  # the last kill may have come when nothing was left to do
    assert len(killed) >= 3, "the run was over before anything had happened to it"
    assert await book.values(run) == expected, f"seed {seed}"
    await book.check(run)
    begun = [int(line) for line in path.read_text().splitlines()]
    for number, job in enumerate(run.state.jobs):
        assert 1 <= begun.count(number) <= job.attempt, f"seed {seed}: job {number}"


async def strike(tree, client, chance) -> str:
    """Kills something that is alive; gives what, or nothing when the place is being rebuilt."""
    ready = await asyncio.to_thread(tree.live_workers)
    role = chance.choices(ROLES, weights=[6, 6, 4, 1, 4, 1])[0]
    if not ready:
        return ""
    return role if await tree.kill(role, client, chance.choice(ready)) else ""


STEPS = '''\
import time


class Steps:
    def task_step(self, path, number, *given):
        with open(path, "a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.05)
        return (number + sum(given)) % 1009
'''


@pytest.mark.timeout(240)
async def test_the_animals_while_something_is_killed_in_each_of_20_rounds(tree, client, book):
    """What the storage keeps is committed with its result: no animal is stored twice or lost."""
    seed = int(os.environ.get(SEED) or random.randrange(2**32))
    chance = random.Random(seed)
    for attempt in range(20):
        run = await book.submit("animals", lambda: demo.orchestrate(20), lost_retries=20)
        ended = asyncio.create_task(run.settled())
        await asyncio.wait([ended], timeout=chance.uniform(0, 0.4))
        role = await strike(tree, client, chance)
        await asyncio.wait([ended], timeout=40)
        assert ended.done(), f"seed {seed}: stuck after {role} was killed in round {attempt}"
        await tree.whole()  # it may have been killed when nothing was left to do
        labels = [(spec.task, job) for job, spec in enumerate(run.graph.jobs)]
        stored = [await book.value(run, job) for task, job in labels if task == "task_save"]
        assert stored == [20 * attempt + n for n in range(1, 21)], f"seed {seed}: {role} in round {attempt}"
        drawn = [(await book.value(run, job))["weight"] for task, job in labels if task == "task_draw"]
        lightest = [await book.value(run, job) for task, job in labels if task == "task_lightest"]
        assert lightest == [min(drawn[: 5 * n]) for n in range(1, 5)]
        assert all(job.state is State.DONE for job in run.state.jobs)
        await book.check(run)
