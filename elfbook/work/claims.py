"""Claiming offers: reading them, checking that they are for this worker, writing the claims."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

from elfbook.errors import StoreCorrupt, Untrusted
from elfbook.facts import Claimed
from elfbook.model import Dispatch
from elfbook.store.follow import Taker
from elfbook.store.link import Message
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.wire import decode_sealed

log = logging.getLogger("elfbook")


@dataclass(eq=False)
class Claims:
    """One worker's way from an offer to a job that is its own."""

    mycelium: Mycelium
    worker: str
    names: set[str]
    """Named elves that the worker holds; the worker changes it."""

    async def claim(
        self, taker: Taker, messages: list[Message], *, leaving: bool
    ) -> list[tuple[Dispatch, Message, int]]:
        """The offers that are the worker's from now on, each with the sequence of its claim."""
        writes = []
        for message in messages:
            dispatch = await self._readable(taker, message, leaving)
            if dispatch is None:
                continue
            nonce = self.worker + os.urandom(6).hex()
            event = Claimed(nonce=nonce, attempt=dispatch.attempt, worker=self.worker)
            future = self.mycelium.record(dispatch.run, dispatch.job, event, dispatch.seq)
            writes.append((dispatch, message, future))
        if writes:
            await asyncio.wait([future for *_, future in writes])
        mine = []
        for dispatch, message, future in writes:
            error = future.exception()
            if error is None:
                mine.append((dispatch, message, future.result()))
            elif isinstance(error, Conflict):
                # The job has moved on, and whoever moved it sees to its next offer.
                await taker.accept(message)
            else:
                log.warning("claiming %s of %s failed: %s", dispatch.label, dispatch.run, error)
                await taker.give_back(message)
        return mine

    async def _readable(self, taker: Taker, message: Message, leaving: bool) -> Dispatch | None:
        """The offer if the worker may take it; otherwise it is off the queue."""
        try:
            dispatch = decode_sealed(message.data, Dispatch, self.mycelium.key, "an offer")
        except (StoreCorrupt, Untrusted) as error:
            log.warning("an offer that cannot be read is dropped: %s", error)
            await taker.accept(message)
            return None
        if leaving:
            await taker.give_back(message)
            return None
        if not await self._may_take(dispatch):
            await taker.accept(message)
            return None
        return dispatch

    async def _may_take(self, dispatch: Dispatch) -> bool:
        """A named elf's job is the worker's only while the elf's holder record names it."""
        name = dispatch.elf.name
        if not name or name in self.names:
            return True
        names = self.mycelium.names
        entry = await self.mycelium.link.last(names.jobs, names.holder(name))
        return entry is not None and entry.data.decode() == self.worker
