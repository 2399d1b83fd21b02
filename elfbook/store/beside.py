"""Work beside a process's loops: tasks that someone owns, whose failure is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Beside:
    """The tasks that run beside the loops of one process."""

    failure: BaseException | None = None
    """The first one."""
    _tasks: set[asyncio.Task] = field(default_factory=set)
    _failed: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self, coroutine: Coroutine) -> asyncio.Task:
        """Run it from now on; `until_failure` raises what it raises."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Something that nobody waits for has failed."""
        self.failure = self.failure or error
        self._failed.set()

    async def until_failure(self) -> None:
        """Raises the first failure, once there is one."""
        await self._failed.wait()
        raise self.failure

    async def close(self) -> None:
        """Holds afterwards: none of the tasks runs."""
        await ended(self._tasks)


async def ended(tasks: Iterable[asyncio.Task]) -> None:
    """Holds afterwards: none of the tasks runs. Those that did were cancelled; what they raise is dropped."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
