"""How jobs of lots end: many ends in one message, as many as come while the one before is stored."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from elfbook.errors import ElfbookError
from elfbook.facts import AnyEvent, EndedTogether, Ending, Succeeded, Success
from elfbook.model import ValueRef
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.work.attempts import Held

MESSAGE_BYTES = 512 * 1024
"""At most about so much of values in one message."""


@dataclass(eq=False)
class Ends:
    """Stores what became of a worker's lot jobs."""

    mycelium: Mycelium
    worker: str
    own: Callable[[Coroutine], asyncio.Task]
    on_stored: Callable[[list[tuple[Held, AnyEvent]], Exception | None], None]
    """These ends are stored, or could not be."""
    certain: Callable[[], Awaitable[None]]
    """Returns once it is known which jobs are still the worker's: no compare-and-set guards these ends."""
    _waiting: dict[tuple[str, str], list[tuple[Held, AnyEvent]]] = field(default_factory=dict)
    """(run, revision) to what has to be stored."""
    _done: dict[tuple[str, str], asyncio.Future] = field(default_factory=dict)
    """Of what waits: done once it is stored, or could not be."""
    _busy: set[tuple[str, str]] = field(default_factory=set)

    def add(self, held: Held, event: AnyEvent) -> asyncio.Future:
        """Store the end of an attempt; done when that is over, whatever came of it."""
        key = (held.dispatch.run, held.dispatch.elf.revision)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = waiting = []
            self._done[key] = asyncio.get_running_loop().create_future()
            if key not in self._busy:
                self._busy.add(key)
                self.own(self._store(key))
        waiting.append((held, event))
        return self._done[key]

    async def _store(self, key: tuple[str, str]) -> None:
        await asyncio.sleep(0)  # everything that has just come belongs to this message
        try:
            while key in self._waiting:
                await self.certain()
                ended, done = self._waiting.pop(key), self._done.pop(key)
                error = None
                try:
                    for part in parts_of([pair for pair in ended if not pair[0].fenced]):
                        await self.mycelium.end_lots(key[0], message_of(part, self.worker, key[1]))
                except (ElfbookError, Unanswered) as reason:
                    error = reason
                self.on_stored(ended, error)
                if not done.done():
                    done.set_result(None)
        finally:
            self._busy.discard(key)


def parts_of(ended: list[tuple[Held, AnyEvent]]) -> list[list[tuple[Held, AnyEvent]]]:
    """The same in portions that fit into messages."""
    parts: list[list[tuple[Held, AnyEvent]]] = []
    size = 0
    for held, event in ended:
        weight = len(event.value.inline or b"") if isinstance(event, Succeeded) else 4096
        if not parts or size + weight > MESSAGE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append((held, event))
        size += weight
    return parts


def message_of(ended: list[tuple[Held, AnyEvent]], worker: str, revision: str) -> EndedTogether:
    """One message for these ends; equal values are in it once."""
    values: dict[str, int] = {}
    refs: list[ValueRef] = []
    successes: list[Success] = []
    others: list[Ending] = []
    for held, event in ended:
        claim, job = held.lot.claim, held.dispatch.job
        if not isinstance(event, Succeeded):
            others.append(Ending(claim, job, event))
            continue
        digest = event.value.digest
        if digest not in values:
            values[digest] = len(refs)
            refs.append(event.value)
        successes.append(Success(claim, job, values[digest], event.elapsed_s))
    nonce = os.urandom(8).hex()
    return EndedTogether(nonce, worker, revision, tuple(refs), tuple(successes), tuple(others))
