"""The background loop: what calls into it give, how waits end, what leaves it whole."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from elfbook.client.portal import Portal
from elfbook.errors import ElfbookError, InternalError, MyceliumUnreachable


@pytest.fixture
def portal() -> Iterator[Portal]:
    made = Portal()
    yield made
    made.close()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail(error: Exception) -> None:
    raise error


async def for_ever(noted: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        noted.append("ended")


def interrupt_soon(begun: threading.Event) -> threading.Thread:
    """SIGINT for the main thread, once `begun` is set."""

    def send() -> None:
        begun.wait(5)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_call_gives_the_coroutines_result(portal: Portal) -> None:
    assert portal.call(double, 21) == 42


def test_the_thread_starts_with_the_first_call(portal: Portal) -> None:
    assert not portal.running
    portal.call(double, 1)
    assert portal.running


def test_an_exception_comes_back_as_it_is(portal: Portal) -> None:
    error = MyceliumUnreachable("nothing answers", hint="%elf up")
    with pytest.raises(MyceliumUnreachable) as caught:
        portal.call(fail, error)
    assert caught.value is error
    assert portal.call(double, 2) == 4


@pytest.mark.parametrize("inside", [True, False], ids=["in a group", "beside a group"])
def test_no_exception_group_hangs_on_an_error(portal: Portal, inside: bool) -> None:
    """IPython shows an error with a group in its context without telling that the cell failed."""

    async def task_group() -> None:
        error = MyceliumUnreachable("nothing answers")
        if inside:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(error))
        try:
            raise ExceptionGroup("several", [ValueError("a"), ValueError("b")])
        except ExceptionGroup:
            raise error from None

    with pytest.raises(MyceliumUnreachable) as caught:
        portal.call(task_group)
    context = caught.value.__context__
    while context is not None:
        assert not isinstance(context, BaseExceptionGroup)
        context = context.__context__


def test_a_limit_ends_the_wait_and_the_coroutine(portal: Portal) -> None:
    noted: list[str] = []
    with pytest.raises(TimeoutError, match="no answer within 0.05 s"):
        portal.call(for_ever, noted, timeout_s=0.05)
    portal.call(double, 1)
    assert noted == ["ended"]


def test_a_timeout_inside_is_not_taken_for_the_limit(portal: Portal) -> None:
    with pytest.raises(TimeoutError, match="from inside"):
        portal.call(fail, TimeoutError("from inside"), timeout_s=5)


def test_an_interrupt_ends_the_wait_at_once_and_leaves_the_thread(portal: Portal) -> None:
    begun = threading.Event()
    noted: list[str] = []

    async def wait() -> None:
        begun.set()
        await for_ever(noted)

    thread = interrupt_soon(begun)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        portal.call(wait)
    thread.join()
    assert time.monotonic() - started < 2
    assert portal.call(double, 3) == 6
    assert noted == ["ended"]


async def test_await_gives_the_result_on_another_loop(portal: Portal) -> None:
    assert await portal.wait(double, 21) == 42


async def test_await_raises_what_was_raised(portal: Portal) -> None:
    with pytest.raises(ValueError, match="no"):
        await portal.wait(fail, ValueError("no"))


async def test_an_awaiting_task_can_be_cancelled(portal: Portal) -> None:
    noted: list[str] = []
    task = asyncio.create_task(portal.wait(for_ever, noted))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    portal.call(double, 1)
    assert noted == ["ended"]


async def test_await_wakes_by_itself_so_that_an_interrupt_is_heard(portal: Portal) -> None:
    """Finding 5 of notebook.md: a handler that cancels the cell's task does not wake the loop."""
    noted: list[str] = []
    task = asyncio.create_task(portal.wait(for_ever, noted))
    await asyncio.sleep(0.01)  # work of the kind that a cell awaits
    loop = asyncio.get_running_loop()
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert min(handle.when() for handle in timers) - loop.time() <= 0.1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_reading_happens_between_two_steps_of_the_loop(portal: Portal) -> None:
    assert portal.read(threading.current_thread) is threading.current_thread()
    portal.call(double, 1)
    assert portal.read(threading.current_thread) is not threading.current_thread()


def test_the_loops_own_thread_may_read_but_not_wait(portal: Portal) -> None:
    async def wait_for_itself() -> int:
        assert portal.read(lambda: 5) == 5
        return portal.call(double, 1)

    with pytest.raises(InternalError):
        portal.call(wait_for_itself)


def test_closing_ends_what_runs_and_a_later_call_starts_anew(portal: Portal) -> None:
    noted: list[str] = []
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        await for_ever(noted)

    future = portal.start(wait)
    assert begun.wait(5)
    portal.close()
    assert noted == ["ended"]
    assert future.cancelled()
    assert not portal.running
    assert portal.call(double, 4) == 8


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_told_instead_of_hanging(portal: Portal) -> None:
    portal.call(double, 1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # it would hang without the guard
        try:
            portal.call(double, 1)
        except ElfbookError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as told:
        assert b"forked" in told.read()
    assert portal.call(double, 2) == 4
