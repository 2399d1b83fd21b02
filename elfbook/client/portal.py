"""The notebook's background event loop: ordinary calls in, coroutines over there.

One daemon thread owns the loop. Waiting for it goes in short ticks, so that an interrupt
ends the wait at once and leaves the thread as it was. Nothing prints from the thread.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from elfbook.errors import ElfbookError, InternalError

T = TypeVar("T")

TICK_S = 0.1
"""Longest single wait: an `await` in a notebook hears an interrupt only when it wakes by itself
(ipython/ipykernel#881)."""
STOP_S = 2.0


class Portal:
    """A way into one event loop in its own thread; the thread starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._owned: set[concurrent.futures.Future[Any]] = set()

    @property
    def running(self) -> bool:
        """True while the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def call(
        self,
        make: Callable[..., Awaitable[T]],
        *args: object,
        timeout_s: float | None = None,
        check: Callable[[], None] | None = None,
        **named: object,
    ) -> T:
        """What the coroutine `make(*args)` returns, once it has.

        Raises TimeoutError after `timeout_s`; `check` is called at each tick and may raise. When
        the wait ends early, by these or by KeyboardInterrupt, the coroutine is cancelled and
        the thread goes on.
        """
        future = self.start(make, *args, **named)
        left_s = timeout_s
        try:
            while not future.done():
                tick_s = TICK_S if left_s is None else min(TICK_S, left_s)
                with suppress(TimeoutError, concurrent.futures.CancelledError):
                    future.exception(tick_s)
                if check is not None and not future.done():
                    check()
                if left_s is not None and not future.done():
                    left_s -= tick_s
                    if left_s <= 0:
                        raise TimeoutError(f"no answer within {timeout_s:g} s")
        finally:
            future.cancel()  # does nothing to one that is done
        return outcome(future)

    async def wait(
        self,
        make: Callable[..., Awaitable[T]],
        *args: object,
        check: Callable[[], None] | None = None,
        **named: object,
    ) -> T:
        """The same for code that itself runs on a loop, such as a cell's `await`."""
        future = self.start(make, *args, **named)
        try:
            mirror = asyncio.wrap_future(future)
            while not mirror.done():
                await asyncio.wait([mirror], timeout=TICK_S)
                if check is not None and not mirror.done():
                    check()
        finally:
            future.cancel()
        with suppress(BaseException):  # `outcome` raises it; this marks it as seen
            mirror.exception()
        return outcome(future)

    def read(self, function: Callable[..., T], *args: object) -> T:
        """What `function(*args)` returns, run between two steps of the loop.

        State that the loop's tasks keep is whole then. From the loop's own thread, and
        before the loop exists, it is simply called.
        """
        if self._loop is None or threading.current_thread() is self._thread:
            return function(*args)

        async def calling() -> T:
            return function(*args)

        return self.call(calling)

    def start(
        self, make: Callable[..., Awaitable[T]], *args: object, **named: object
    ) -> concurrent.futures.Future[T]:
        """The future of a coroutine that runs from now on; it ends with the portal."""
        loop = self._running_loop()

        async def run() -> T:
            return await make(*args, **named)

        coroutine: Coroutine[Any, Any, T] = run()
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        self._owned.add(future)
        future.add_done_callback(self._owned.discard)
        return future

    def close(self) -> None:
        """The thread has ended, and with it everything that ran there. A later call starts anew."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._pid != os.getpid() or loop.is_closed():
            return
        for future in tuple(self._owned):
            future.cancel()
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(STOP_S)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            raise ElfbookError(
                "this process was forked from the one that uses elfbook; its connection did not come along",
                hint="Call elfbook in the first process, or in one that was spawned and not forked.",
            )
        if threading.current_thread() is self._thread:
            raise InternalError("the background loop was asked to wait for itself")
        with self._lock:
            if self._loop is None:
                started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
                self._thread = threading.Thread(
                    target=keep_running, args=(started,), name="elfbook portal", daemon=True
                )
                self._thread.start()
                self._loop = started.result()
                atexit.register(self.close)
            return self._loop


def keep_running(started: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
    """A fresh loop runs in this thread until it is stopped; then its tasks are cancelled."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.call_soon(started.set_result, loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=STOP_S / 2))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def outcome(future: concurrent.futures.Future[T]) -> T:
    """The future's result, or its exception in a form that a notebook shows well."""
    if future.cancelled():
        raise InternalError("the background loop ended while something waited for it")
    error = future.exception()
    if error is None:
        return future.result()
    error = single(error)
    # IPython looks for groups along __context__, and shows any error that has one there as
    # plain text without an error message, so that a failed cell passes for a good one.
    if has_group(error.__context__):
        error.__context__ = None
    if has_group(error.__cause__):
        error.__cause__ = None
    raise error


def single(error: BaseException) -> BaseException:
    """The one error inside a group of one, otherwise the error as it is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        return next(
            (part for part in error.exceptions if isinstance(part, ElfbookError)), error.exceptions[0]
        )
    return error


def has_group(error: BaseException | None) -> bool:
    """True when an ExceptionGroup hangs on the chain of contexts."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return True
        error = error.__context__
    return False


PORTAL = Portal()
"""The one of this process."""
