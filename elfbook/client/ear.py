"""What is stored about the runs of a flow, heard as it is stored.

One pair of consumers serves all runs of a flow that this process watches, and stays for a while when
the last of them has settled: whoever starts a flow again and again pays for them once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from elfbook.errors import ElfbookError, MyceliumError
from elfbook.progress import Report
from elfbook.store.beside import ended
from elfbook.store.follow import Follower
from elfbook.store.link import Entry, Message, Unanswered
from elfbook.store.mycelium import Mycelium

BEGIN_S = 15.0
"""So long it may take until something is heard: a cluster may elect a leader meanwhile."""


class Listener(Protocol):
    """A run that wants to hear what is stored about it."""

    @property
    def run(self) -> str: ...

    def hear_facts(self, entries: list[Entry]) -> None: ...
    def hear_outputs(self, entries: list[Entry]) -> None: ...
    def hear_report(self, report: Report) -> None: ...
    def hear_nothing_more(self, error: Exception) -> None: ...


@dataclass(eq=False)
class Ear:
    """Hands on all that is stored about a flow's runs from now on, in order, to those who listen."""

    mycelium: Mycelium
    flow: str
    error: Exception | None = None
    """Why nothing more is heard; None while all is well."""
    idle_since: float = field(default_factory=time.monotonic)
    """Monotonic time at which the last listener left; means nothing while there is one."""
    _wanted: int = 0
    _listeners: dict[str, list[Listener]] = field(default_factory=dict)
    """By run; there are two while this process submits a run that somebody else is submitting."""
    _followers: tuple[Follower, ...] = ()
    _tasks: list[asyncio.Task] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """True while nobody listens or is about to."""
        return not self._listeners and not self._wanted

    @contextlib.contextmanager
    def wanted(self) -> Iterator[None]:
        """Inside, it is kept for somebody who is going to listen, however long that takes."""
        self._wanted += 1
        try:
            yield
        finally:
            self._wanted -= 1
            self.idle_since = time.monotonic()

    def begin(self) -> Ear:
        """Itself, about to hear; `ready` says from when on."""
        facts, outputs = self.mycelium.follow_flow(self.flow)
        self._followers = facts, outputs
        self._tasks = [
            asyncio.create_task(self._follow(facts, lambda listener: listener.hear_facts)),
            asyncio.create_task(self._follow(outputs, lambda listener: listener.hear_outputs)),
            asyncio.create_task(self._hear_reports()),
        ]
        return self

    async def ready(self) -> None:
        """Holds afterwards: whatever is stored from now on is heard. Raises what keeps it from that."""
        for follower, task in zip(self._followers, self._tasks, strict=False):
            if not follower.begun.is_set():
                begun = asyncio.create_task(follower.begun.wait())
                try:
                    done, _ = await asyncio.wait(
                        {begun, task}, timeout=BEGIN_S, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    begun.cancel()
                if not done:
                    raise Unanswered(f"no answer within {BEGIN_S:g} s")
        if self.error is not None:
            raise self.error

    def add(self, listener: Listener) -> None:
        """From now on the listener hears of its run."""
        self._listeners.setdefault(listener.run, []).append(listener)
        if self.error is not None:
            listener.hear_nothing_more(self.error)

    def remove(self, listener: Listener) -> None:
        """The listener hears no more."""
        there = self._listeners.get(listener.run, [])
        if listener in there:
            there.remove(listener)
            if not there:
                del self._listeners[listener.run]
            self.idle_since = time.monotonic()

    async def close(self) -> None:
        """Nobody hears any more; the server keeps nothing of it."""
        self.error = self.error or MyceliumError("this process has stopped listening")
        await ended(self._tasks)

    async def _hear_reports(self) -> None:
        """Hand on what workers say of their progress. Nothing rests on that, so nobody waits for it."""

        def heard(message: Message) -> None:
            report = self.mycelium.report_in(message)
            for listener in list(self._listeners.get(report.run, ())) if report is not None else ():
                listener.hear_report(report)

        with contextlib.suppress(Unanswered):
            undo = await self.mycelium.link.subscribe(self.mycelium.names.progress_of_flow(self.flow), heard)
            try:
                await asyncio.Event().wait()
            finally:
                await undo()

    async def _follow(
        self, follower: Follower, hearing: Callable[[Listener], Callable[[list[Entry]], None]]
    ) -> None:
        run_of = self.mycelium.names.run_of
        try:
            async for batch in follower.batches():
                heard: dict[str, list[Entry]] = {}
                for entry in batch:
                    heard.setdefault(run_of(entry.subject), []).append(entry)
                for run, entries in heard.items():
                    for listener in list(self._listeners.get(run, ())):
                        hearing(listener)(entries)
        except (ElfbookError, Unanswered) as error:
            self.error = error
            for listener in [each for there in self._listeners.values() for each in there]:
                listener.hear_nothing_more(error)
