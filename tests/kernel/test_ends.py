"""Failures, interrupts and deaths in a real ipykernel cost the job that is meant and no other."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from elfbook.errors import KernelError
from elfbook.work.memory import ending


async def test_a_failure_is_data_and_the_next_job_runs(desk, until) -> None:
    await desk.start()
    bad, good = desk.put("fail"), desk.put("double", 4)
    await until(lambda: good in desk.done)
    failure = desk.failure(bad)
    assert (failure["type"], failure["message"]) == ("ZeroDivisionError", "division by zero")
    (frame,) = failure["frames"]
    assert (frame["line"], frame["function"], frame["own"]) == (11, "task_fail", True)
    assert desk.value(good) == 8


@pytest.mark.parametrize("task", ["leave", "leave_later"])
async def test_sys_exit_costs_the_job_and_not_the_kernel(desk, until, task: str) -> None:
    await desk.start()
    bad, good = desk.put(task), desk.put("double", 4)
    await until(lambda: good in desk.done)
    assert (desk.failure(bad)["type"], desk.failure(bad)["message"]) == ("SystemExit", "3")
    assert desk.deaths == []


@pytest.mark.parametrize("task", ["spin", "wait"])
async def test_an_interrupt_hits_the_named_job_only(desk, until, task: str) -> None:
    kernel = await desk.start()
    path = desk.folder / "begun"
    stuck, after = desk.put(task, str(path)), desk.put("double", 4)
    await until(path.exists)
    await kernel.interrupt("w1.999")  # one that ended long ago
    await kernel.interrupt(after)  # one that has not begun
    asked = await kernel._client.kernel_info(reply=True, timeout=20) if task == "wait" else None
    assert stuck not in desk.done
    assert asked is None or asked["content"]["status"] == "ok"
    await kernel.interrupt(stuck)
    await until(lambda: after in desk.done)
    assert desk.failure(stuck)["type"] == "KeyboardInterrupt"
    assert desk.value(after) == 8


async def test_an_interrupt_that_comes_too_late_hits_nobody(desk, until) -> None:
    kernel = await desk.start()
    ended = desk.put("double", 1)
    await until(lambda: ended in desk.done)
    path = desk.folder / "begun"
    running = desk.put("stubborn", str(path))
    await until(path.exists)
    await kernel.interrupt(ended)
    (desk.folder / "begun.go").touch()
    await until(lambda: running in desk.done)
    assert desk.value(running) == "ready"


@pytest.mark.parametrize(
    ("how", "words"),
    [(0, "exit code 0"), (7, "ended itself with exit code 7"), (-signal.SIGSEGV, "signal 11 (SIGSEGV)")],
)
async def test_a_death_says_how(desk, until, how: int, words: str) -> None:
    await desk.start()
    token = desk.put("die", how, str(desk.folder / "heard"))
    await until(lambda: desk.text(token) == "last words\n")
    (desk.folder / "heard").touch()
    await until(lambda: desk.deaths)
    assert words in desk.deaths[0]
    assert token not in desk.done


async def test_a_kernel_that_is_killed_can_be_started_again(desk, until) -> None:
    kernel = await desk.start()
    kernel.kill()
    await until(lambda: desk.deaths == ["was killed by signal 9 (SIGKILL)"])
    await kernel.stop()
    await kernel.start()
    assert not kernel.knows("r1")
    desk.learn()
    token = desk.put("double", 4)
    await until(lambda: token in desk.done)
    assert desk.value(token) == 8


async def test_stopping_is_no_death(desk, processes) -> None:
    kernel = await desk.start()
    await kernel.stop()
    assert desk.deaths == []
    assert processes(desk.folder) == {}
    await kernel.stop()


async def test_there_is_no_such_kernel(folder: Path, new_desk, processes) -> None:
    desk = new_desk(folder / "k")
    with pytest.raises(KernelError, match="no kernel called 'cobol'") as caught:
        await desk.start(spec="cobol")
    assert "kernelspec list" in caught.value.hint
    await desk.kernel.stop()
    assert processes(folder) == {}


async def test_a_kernel_that_ends_while_it_starts_is_named(folder: Path, new_desk, processes) -> None:
    desk = new_desk(folder / "k")
    (folder / "ipykernel_launcher.py").write_text("raise SystemExit(5)")
    with pytest.raises(KernelError):
        await desk.start(PYTHONPATH=str(folder))
    await desk.kernel.stop()
    assert processes(folder) == {}


async def test_a_kernel_whose_worker_is_gone_ends(desk, until) -> None:
    kernel = await desk.start()
    process = kernel._manager.provisioner.process
    kernel._stopping = True
    kernel._channel.close()
    await until(lambda: process.poll() is not None)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended itself with exit code 0"),
        (137, "ended itself with exit code 137"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-250, "was killed by signal 250 (unknown)"),
    ],
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert ending(code) == words
