"""The simulated loop: its time, and what becomes of processes that die or stop."""

from __future__ import annotations

import asyncio
import os
import time
import uuid

import pytest

from tests.simulation.loop import Process, Stuck, end_all, simulated


def test_time_passes_only_when_nobody_has_anything_to_do() -> None:
    with simulated(1) as (loop, _):

        async def wait() -> list[float]:
            before = time.monotonic(), time.time()
            await asyncio.sleep(86_400)
            return [
                after - start for after, start in zip((time.monotonic(), time.time()), before, strict=True)
            ]

        began = os.times().elapsed
        assert loop.run_until_complete(wait()) == [86_400, 86_400]
        assert os.times().elapsed - began < 3600


def test_the_same_seed_is_the_same_chance() -> None:
    def drawn(seed: int) -> tuple:
        with simulated(seed) as (_, chance):
            return chance.random(), os.urandom(8), uuid.uuid4()

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_waiting_for_nothing_is_noticed() -> None:
    with simulated(1) as (loop, _):

        async def wait() -> None:
            await asyncio.Event().wait()

        with pytest.raises(Stuck):
            loop.run_until_complete(wait())
        end_all(loop)


def test_a_process_that_is_killed_does_nothing_more_and_others_go_on() -> None:
    said: list[str] = []
    with simulated(1) as (loop, _):

        async def count(name: str) -> None:
            try:
                for number in range(5):
                    said.append(f"{name}{number}")
                    await asyncio.sleep(1)
            finally:
                said.append(f"{name} cleans up")

        async def both() -> None:
            dying = Process("dying")
            dying.start(count("dying"))
            staying = Process("staying").start(count("staying"))
            await asyncio.sleep(2.5)
            dying.kill()
            await staying
            assert "dying2" in said and "dying3" not in said and "dying cleans up" not in said
            assert said[-2:] == ["staying4", "staying cleans up"]
            end_all_of.append(dying)

        end_all_of: list[Process] = []
        loop.run_until_complete(both())
        end_all(loop, end_all_of)


def test_a_fuse_kills_before_that_step() -> None:
    steps: list[int] = []
    with simulated(1) as (loop, _):

        async def step() -> None:
            for number in range(100):
                steps.append(number)
                await asyncio.sleep(0)

        async def main() -> None:
            process = Process("short")
            process.fuse = 7
            process.start(step())
            await asyncio.sleep(1)
            assert not process.alive
            processes.append(process)

        processes: list[Process] = []
        loop.run_until_complete(main())
        assert steps == list(range(7))
        end_all(loop, processes)


def test_a_frozen_process_misses_time_and_nothing_else() -> None:
    heard: list[tuple[float, int]] = []
    with simulated(1) as (loop, _):

        async def tick() -> None:
            for number in range(4):
                await asyncio.sleep(1)
                heard.append((loop.time(), number))

        async def main() -> None:
            process = Process("sleepy")
            ticking = process.start(tick())
            await asyncio.sleep(1.5)
            process.freeze()
            await asyncio.sleep(10)
            process.thaw()
            await ticking

        loop.run_until_complete(main())
    assert heard == [(1.0, 0), (11.5, 1), (12.5, 2), (13.5, 3)]
