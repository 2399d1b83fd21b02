"""A run's boards in one page, told of it by the server; the talk is that of a notebook's boards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from elfbook.client.client import Client
from elfbook.client.outward import told
from elfbook.client.talk import ALIVE_S, CAN, EVERY_S, Talk, census
from elfbook.client.watched import Watched
from elfbook.errors import ElfbookError, MyceliumUnreachable
from elfbook.model import Beat, Situation
from elfbook.notebook import pages
from elfbook.notebook.board import asset
from elfbook.notebook.live import LAST_WORDS_S
from elfbook.server.doing import done, run_named
from elfbook.view.acted import in_words
from elfbook.view.board import identity
from elfbook.view.detail import Code
from elfbook.view.messages import ASKED, TOLD, Act, Alive, Answer, Asset, Page, Snapshot, Want
from elfbook.view.view import Known, look

log = logging.getLogger("elfbook")

AWAY = "nothing was done: the mycelium does not answer. See  %elf doctor"
AGAIN_S = 1.0
"""Between two tries to follow a run again."""


class Seen(Protocol):
    """What a board has to know of the mycelium besides its run."""

    client: Client | None
    """None while there is no connection."""
    beats: Sequence[Beat]
    situation: Situation | None
    looked: int
    """Grows with every look at workers and situation."""

    def name_of(self, flow: str, number: int) -> str:
        """What `%elf` calls the run."""
        ...


class PanelBoard:
    """One run's boards in one page; lives while there is a view of it."""

    def __init__(
        self,
        run: str,
        seen: Seen,
        say: Callable[[TOLD, Sequence[bytes]], None],
        refuse: Callable[[str], None],
    ) -> None:
        self.run = run
        self._seen, self._say_on, self._refuse = seen, say, refuse
        self._talk: Talk | None = None
        self._inbox: asyncio.Queue[ASKED] = asyncio.Queue()
        self._said_at = 0.0
        self._settled_at: float | None = None
        """When the run was first seen to have settled; None while it has not."""
        self._paged = False
        """True when its views have been told the page of the settled run."""
        self._looked = -1
        self._tried_at = 0.0
        self._acts: set[asyncio.Task] = set()
        self._task = asyncio.create_task(self._keep_current())

    @property
    def over(self) -> bool:
        """True when nobody looks any more."""
        return self._task.done()

    def hear(self, asked: ASKED) -> None:
        """Takes what a board of the page says."""
        self._inbox.put_nowait(asked)

    async def close(self) -> None:
        """Nothing is told any more. What was begun is done all the same."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # ------------------------------------------------------------------ its own task

    async def _keep_current(self) -> None:
        try:
            while self._talk is None or self._talk.views or not self._inbox.empty():
                await self._turn()
        except ElfbookError as error:
            self._refuse(in_words(error))
        except Exception as error:
            log.exception("the board of run %s is no longer kept current", self.run)
            self._refuse(f"This board has failed: {type(error).__name__}: {error}")
        finally:
            if self._talk is not None:
                self._talk.leave()

    async def _turn(self) -> None:
        """What was asked is heard, what has changed is told; takes about a tenth of a second."""
        talk = await self._present_talk()
        if talk is None:
            await asyncio.sleep(EVERY_S)
        else:
            await self._take(talk)
            talk.forget_silent(time.monotonic())
            self._look_around(talk)
            self._tell(talk)
        if time.monotonic() > self._said_at + ALIVE_S:
            self._say(Alive())

    async def _take(self, talk: Talk) -> None:
        """Hears everything that has been asked, and waits a while for something to be."""
        # Not wait_for, which loses a cancel that comes just when what it waits for has come.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_S):
                asked = await self._inbox.get()
            self._hear_one(talk, asked)
        while not self._inbox.empty():
            self._hear_one(talk, self._inbox.get_nowait())

    def _hear_one(self, talk: Talk, asked: ASKED) -> None:
        match asked:
            case Act():
                task = asyncio.create_task(self._do(talk, asked))
                self._acts.add(task)
                task.add_done_callback(self._acts.discard)
            case Want(name=name):
                self._say(Asset(name), [asset(name)])
            case _:
                talk.hear(asked, time.monotonic())

    async def _do(self, talk: Talk, act: Act) -> None:
        client = self._seen.client
        try:
            if client is None:
                self._say(Answer(act.id, AWAY, ok=False))
                return
            self._say(Answer(act.id, await done(client, act.verb, talk.watched, act.jobs, act.why), ok=True))
        except Exception as error:
            words = told(error, f"{act.verb} of run {self.run}, asked by its board,")
            self._say(Answer(act.id, words, ok=False))

    # ------------------------------------------------------------------ telling

    def _tell(self, talk: Talk) -> None:
        # Who is away the page says itself: it knows of the overview, and of this server.
        if talk.is_due and self._seen.client is not None:
            for message, buffers in talk.step():
                self._say(message, buffers)
                self._paged = self._paged and not isinstance(message, Snapshot)
        self._tell_page(talk.watched)

    def _tell_page(self, watched: Watched) -> None:
        """A board in a notebook's output gives way to the page, once all that was printed is in it."""
        now = time.monotonic()
        if not watched.state.settled:
            self._settled_at, self._paged = None, False
        elif self._settled_at is None:
            self._settled_at = now
        elif not self._paged and now > self._settled_at + LAST_WORDS_S:
            self._paged = True
            self._say(Page(identity(watched.manifest), self._page(watched), settled=True))

    def _page(self, watched: Watched) -> pages.Bundle:
        known = replace(
            self._known(watched),
            revisions=tuple(watched.revisions.values()),
            outputs=pages.told_by(watched),
        )
        return pages.bundle_of(look(watched.manifest, watched.state, known, static=False))

    def _say(self, message: TOLD, buffers: Sequence[bytes] = ()) -> None:
        self._said_at = time.monotonic()
        self._say_on(message, buffers)

    async def _present_talk(self) -> Talk | None:
        """The talk about the run as it is followed now; the one before while nothing answers."""
        client, before = self._seen.client, self._talk
        now = time.monotonic()
        if client is None or (before is not None and is_followed(before.watched, client)):
            return before
        if now < self._tried_at + AGAIN_S:
            return before
        self._tried_at = now
        try:
            watched = await run_named(client, self.run)
        except MyceliumUnreachable:
            return before
        if before is not None and before.watched is watched:
            return before
        self._talk = Talk(watched, lambda: self._known(watched), lambda: code_of(watched), CAN)
        if before is not None:
            before.leave()
            self._talk.take_over(before)
        return self._talk

    def _known(self, watched: Watched) -> Known:
        seen = self._seen
        durability = watched.mycelium.durability
        return Known(
            durability=durability,
            workers=len(seen.beats),
            situation=seen.situation,
            now=time.time(),
            reference=seen.name_of(watched.manifest.flow, watched.manifest.number),
        )

    def _look_around(self, talk: Talk) -> None:
        """What others have found out about workers is told where somebody looks at that."""
        if self._looked != self._seen.looked:
            self._looked = self._seen.looked
            talk.look_again()
            if talk.counts:
                self._say(census(self._seen.beats))


def is_followed(watched: Watched, client: Client) -> bool:
    """True while the client hears of the run, or need not any more."""
    return watched.mycelium is client.mycelium and watched.error is None


def code_of(watched: Watched) -> Code:
    """The code of the run, and the cell that its flow stands in."""
    origin = watched.manifest.origin
    return Code(watched.revisions, {origin.cell: origin.cell_id})
