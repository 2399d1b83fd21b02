"""Claiming offers: reading them, checking that they are for this worker, writing the claims."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from elfbook.errors import ElfbookError, StoreCorrupt, Untrusted
from elfbook.facts import Claimed, ClaimedTogether
from elfbook.model import Dispatch, LotOffer
from elfbook.store.follow import Taker
from elfbook.store.link import Message, Unanswered
from elfbook.store.mycelium import Conflict, Mycelium
from elfbook.wire import decode_sealed

log = logging.getLogger("elfbook")

T = TypeVar("T")


@dataclass(eq=False)
class Claims:
    """One worker's way from an offer to a job that is its own."""

    mycelium: Mycelium
    worker: str
    names: set[str]
    """Named elves that the worker holds; the worker changes it."""
    doubtful: Callable[[BaseException], None]
    """Called when nobody can tell whether a claim was stored. The worker ends then: as long as it lives,
    a job that it holds without knowing is nobody else's."""

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
            if dispatch.slot is not None:
                future = self.mycelium.claim_with_slot(dispatch, event)
            else:
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
                self.doubtful(error)
        return mine

    async def claim_lot(
        self, taker: Taker, message: Message, *, leaving: bool
    ) -> tuple[LotOffer, int] | None:
        """The offer of many jobs with the sequence of its claim, if they are the worker's from now on."""
        offer = await self._opened(taker, message, LotOffer, leaving)
        if offer is None:
            return None
        nonce = self.worker + os.urandom(6).hex()
        jobs = tuple((each.job, each.seq, each.attempt) for each in offer.jobs)
        claim = ClaimedTogether(nonce=nonce, worker=self.worker, jobs=jobs)
        try:
            return offer, await self.mycelium.claim_lot(offer.run, offer.lot, claim, offer.seq)
        except Conflict:
            await taker.accept(message)  # the lot has moved on; what of it is still due is offered anew
        except (ElfbookError, Unanswered) as error:
            log.warning("claiming %s jobs of %s failed: %s", len(jobs), offer.run, error)
            self.doubtful(error)
        return None

    async def _readable(self, taker: Taker, message: Message, leaving: bool) -> Dispatch | None:
        """The offer if the worker may take it; otherwise it is off the queue."""
        dispatch = await self._opened(taker, message, Dispatch, leaving)
        if dispatch is not None and not await self._may_take(dispatch):
            await taker.accept(message)
            return None
        return dispatch

    async def _opened(self, taker: Taker, message: Message, kind: type[T], leaving: bool) -> T | None:
        """What the message offers, None if it cannot be read or the worker is about to end."""
        try:
            offer = decode_sealed(message.data, kind, self.mycelium.key, "an offer")
        except (StoreCorrupt, Untrusted) as error:
            log.warning("an offer that cannot be read is dropped: %s", error)
            self.mycelium.set_aside(message, str(error))
            await taker.accept(message)
            return None
        if leaving:
            await taker.give_back(message)
            return None
        return offer

    async def _may_take(self, dispatch: Dispatch) -> bool:
        """A named elf's job is the worker's only while the elf's holder record names it."""
        name = dispatch.elf.name
        if not name or name in self.names:
            return True
        return (await self.mycelium.holder(name))[0] == self.worker
