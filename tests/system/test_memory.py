"""Fault 6: kernels that run out of memory, under a real limit of a cgroup of their own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfbook.facts import Claimed, Failed, State, Succeeded
from tests.system.test_accept import worker_here

LIMIT = 200 * 10**6
PLACES = (
    (Path("/sys/fs/cgroup/memory"), {"memory.limit_in_bytes": LIMIT, "memory.swappiness": 0}),
    (Path("/sys/fs/cgroup"), {"memory.max": LIMIT, "memory.swap.max": 0}),
)
GREEDY = """\
import os
import time


class Greedy:
    def task_eat(self, path, first, hungry):
        with open(path, "a") as file:
            file.write(f"{os.getpid()} ")
        print("eating", flush=True)
        food = [bytearray(first)]
        while not os.path.exists(hungry):
            time.sleep(0.01)
        while True:
            food.append(bytearray(10**6))

    def task_refuse(self):
        raise MemoryError("no room for the table")

    def task_small(self):
        return 1
"""


@pytest.fixture(scope="module")
def limited(folder: Path) -> Iterator[str]:
    """A kernelspec whose kernels put themselves into a cgroup with a limit."""
    group = made = None
    for place, limits in PLACES:
        if not (place / next(iter(limits))).exists() and "memory.max" not in limits:
            continue
        made = place / f"elfbook-test-{os.getpid()}"
        try:
            made.mkdir()
            for name, value in limits.items():
                with contextlib.suppress(FileNotFoundError):
                    (made / name).write_text(str(value))
            if (made / next(iter(limits))).exists():
                group = made
                break
            made.rmdir()
        except OSError:
            continue
    if group is None:
        pytest.skip("this machine lets nobody make a cgroup with a limit of memory")
    spec = folder / "jupyter" / "kernels" / "limited"
    spec.mkdir(parents=True)
    start = f'echo $$ > {group}/cgroup.procs; exec "$0" -m ipykernel_launcher -f "$1"'
    argv = ["/bin/sh", "-c", start, sys.executable, "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "l", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        yield "limited"
    group.rmdir()


@pytest.fixture
def short_path(folder: Path) -> Path:
    made = folder / "w"
    made.mkdir(exist_ok=True)
    return made


async def test_a_kernel_that_runs_out_of_memory(
    tree, client, book, short_path, limited, tmp_path, until
):
    greedy = book.cell(GREEDY)["Greedy"]()
    path, hungry = tmp_path / "kernels", tmp_path / "hungry"
    async with worker_here(tree.place, short_path, "small", spec=limited) as worker:
        run = await book.submit(
            "eat",
            lambda: [greedy.task_eat(str(path), LIMIT // 4, str(hungry)), greedy.task_small()],
            pool="here",
            backoff_s=0.01,
        )
        await until(path.exists)
        await until(lambda: worker.bench.kernel._memory.used > LIMIT // 4)
        hungry.touch()
        await book.settled(run)
        assert [job.state for job in run.state.jobs] == [State.FAILED, State.DONE]
        facts = [
            fact.event
            for fact in await book.facts(run)
            if fact.job == 0 and not isinstance(fact.event, Claimed)
        ]
        assert [(type(event), event.outcome) for event in facts] == [(Failed, "out of memory")] * 2
        assert len(set(path.read_text().split())) == 2, "tried once more in a new kernel, as the policy says"
        failure = facts[0].failure
        assert failure.type == "OutOfMemory"
        assert failure.message.startswith(
            "the system ended its kernel's process while it was doing task_eat[0]; it"
        )
        amount, unit = failure.message.removesuffix(".").split()[-2:]
        assert unit == "MB"
        assert LIMIT / 4 < float(amount) * 10**6 < 2 * LIMIT, "shared pages are somebody else's"
        assert failure.last_output.strip() == "eating"


async def test_a_kernel_that_somebody_kills_has_not_run_out_of_memory(
    tree, client, book, gates, short_path, limited, until
):
    gate = book.names["Gate"]()
    async with worker_here(tree.place, short_path, "killed", spec=limited) as worker:
        run = await book.submit("killed", lambda: gate.task_pass(str(gates.folder), "x"), pool="here")
        await until(gates.begun)
        worker.bench.kernel.kill()
        await until(lambda: len(gates.begun()) == 2)
        gates.open()
        await book.settled(run)
        names = [type(fact.event).__name__ for fact in await book.facts(run)]
        assert names == ["Claimed", "Lost", "Claimed", "Succeeded"]


async def test_a_task_that_raises_for_want_of_memory(book):
    greedy = book.cell(GREEDY)["Greedy"]()
    run = await book.submit("refuse", greedy.task_refuse, memory_retries=2, backoff_s=0.01)
    await book.settled(run)
    assert isinstance(run.state.jobs[0].event, Failed)
    assert not isinstance(run.state.jobs[0].event, Succeeded)
    assert [fact.event.outcome for fact in run.state.jobs[0].history] == ["out of memory"] * 3
    failure = run.state.jobs[0].event.failure
    assert (failure.type, failure.message) == ("MemoryError", "no room for the table")
    assert [frame.function for frame in failure.frames if frame.own] == ["task_refuse"]
