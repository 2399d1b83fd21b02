"""The mycelium as the pages of one server see it: looked at while a page is there, otherwise let be.

All of it lives on a background loop of its own, so that the server's loop waits for nothing. Looking starts
nothing and keeps nothing alive; only what a page asks for is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from elfbook.client.client import Client
from elfbook.client.outward import named, told
from elfbook.client.runlist import RunList
from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.host import hostfile
from elfbook.model import Beat, Situation
from elfbook.notebook.texts import below_home
from elfbook.server.boards import PanelBoard
from elfbook.server.doing import done, run_named, started
from elfbook.server.frames import board_frame, frame
from elfbook.store.greeting import shown
from elfbook.store.link import Unanswered
from elfbook.store.place import Place, read_json
from elfbook.store.server import answers
from elfbook.view.acted import in_words
from elfbook.view.messages import TOLD
from elfbook.view.overview import elves, run_line, workers
from elfbook.view.panelmessages import (
    NEWS,
    WISH,
    Do,
    FromBoard,
    Look,
    More,
    NoBoard,
    Older,
    Overview,
    Reach,
    Reply,
    ToBoard,
    Up,
)

log = logging.getLogger("elfbook")

TURN_S = 0.5
LOOK_S = 2.0
"""Between two looks at who works, and at what the host says."""
AWAY_S = 3.0
"""A connection that has been lost for so long is given up, and made anew once there is a server."""
CLOSE_S = 3.0
MOST_RUNS = 50
NONE = "Nothing runs here: no workers and no server."
STEP = "%elf up"
AGAIN = "the mycelium does not answer"
REACH_S = 5.0
"""What is asked of a server that has just begun waits so long for its first try to reach the mycelium."""


class Page:
    """One page that has connected, as the desk sees it."""

    def __init__(self, send: Callable[[str | bytes], None]) -> None:
        self._send = send
        self.looks = True
        """False while nobody sees it."""
        self.told: Overview | None = None
        self.boards: dict[str, PanelBoard] = {}

    def say(self, news: NEWS) -> None:
        """The message is on its way."""
        self._send(frame(news))

    def say_of_board(self, run: str, message: TOLD, buffers: Sequence[bytes]) -> None:
        """The same for a board's message."""
        self._send(board_frame(FromBoard(run, message), buffers))


class Desk:
    """The mycelium at a place, for all pages of this server; used from its own loop only."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pages: set[Page] = set()
        self.client: Client | None = None
        self.beats: Sequence[Beat] = ()
        self.situation: Situation | None = None
        self.looked = 0
        self._facts: hostfile.HostFacts | None = None
        self._list: RunList | None = None
        self._looked_at = self._heard_at = 0.0
        self._why: tuple[Reach, str, str] = ("none", "", "")
        self._nudge = asyncio.Event()
        self._tried = asyncio.Event()
        """Set once it is known whether the mycelium can be reached."""
        self._task: asyncio.Task | None = None
        self._doing: set[asyncio.Task] = set()

    # ------------------------------------------------------------------ pages

    async def join(self, page: Page) -> None:
        """The page is told of the mycelium from now on."""
        self.pages.add(page)
        self._nudge.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_looking())

    async def leave(self, page: Page) -> None:
        """The page is gone; with the last one goes the connection."""
        self.pages.discard(page)
        self._nudge.set()
        for board in page.boards.values():
            await board.close()

    async def hear(self, page: Page, wish: WISH) -> None:
        """Takes what a page asks for."""
        match wish:
            case Look(on=on):
                page.looks = on
                self._nudge.set()
            case ToBoard(run=run, message=message):
                board = page.boards.get(run)
                if board is None or board.over:
                    board = page.boards[run] = self._board(page, run)
                board.hear(message)
            case _:
                task = asyncio.create_task(self._answer(page, wish))
                self._doing.add(task)
                task.add_done_callback(self._doing.discard)

    def _board(self, page: Page, run: str) -> PanelBoard:
        return PanelBoard(
            run,
            self,
            lambda message, buffers: page.say_of_board(run, message, buffers),
            lambda words: page.say(NoBoard(run, words)),
        )

    async def _answer(self, page: Page, wish: Do | Up | More) -> None:
        """The wish is done, or could not be, and the page is told."""
        try:
            match wish:
                case More(id=number, before=before):
                    await self._connected()
                    page.say(self._older(number, before))
                case Up(id=number, workers=workers):
                    page.say(Reply(number, await started(self.place, workers), ok=True))
                case Do(id=number, verb=verb, run=run, jobs=jobs, why=why):
                    client = await self._connected()
                    watched = await run_named(client, run)
                    page.say(Reply(number, await done(client, verb, watched, jobs, why), ok=True))
        except Exception as error:
            page.say(Reply(wish.id, told(error, f"{wish!r}, asked by a panel,"), ok=False))
        self._looked_at = 0.0
        self._nudge.set()

    async def _connected(self) -> Client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REACH_S):
                await self._tried.wait()
        if self.client is None:
            _, why, step = self._why
            raise ElfbookError(f"nothing was done: {why.rstrip('.') or AGAIN}", hint=step)
        return self.client

    def _older(self, number: int, before: str) -> Older:
        runs = self._list.newest_first(before) if self._list is not None else iter(())
        try:
            found = list(itertools.islice(runs, MOST_RUNS + 1))
        except KeyError:
            raise ElfUsageError(f"there is no run {before} here") from None
        return Older(number, tuple(map(self._line, found[:MOST_RUNS])), more=len(found) > MOST_RUNS)

    # ------------------------------------------------------------------ looking

    async def _keep_looking(self) -> None:
        """Until the last page has gone, and none has come while the connection was closed."""
        while self.pages:
            self._nudge.clear()
            try:
                await self._turn()
            except Exception:
                # The pages keep what they were told last; the next turn may fare better.
                log.exception("the mycelium could not be looked at for the side panel")
            # Not wait_for, which loses a cancel that comes just when what it waits for has come.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await self._nudge.wait()
            if not self.pages:
                await self._disconnect()
        self._task = None

    async def _turn(self) -> None:
        if not any(page.looks or page.boards for page in self.pages):
            return
        await self._reach()
        self._tried.set()
        if self.client is not None and self._why[0] == "connected":
            try:
                await self._look(self.client)
            except (ElfbookError, Unanswered) as error:
                self._why = self._away(named(error))
        overview = self._overview()
        for page in [page for page in self.pages if page.looks]:
            if overview != page.told:
                page.told = overview
                page.say(overview)

    async def _reach(self) -> None:
        """There is a client if there is a mycelium."""
        now = time.monotonic()
        if self.client is not None:
            if self.client.mycelium.link.connected:
                self._heard_at = now
                self._why = ("connected", "", "")
                return
            self._why = self._away(None)
            if now < self._heard_at + AWAY_S:
                return
            await self._disconnect()
        self._facts = await asyncio.to_thread(hostfile.find, self.place, onlooker=True)
        if self._facts is None and not await asyncio.to_thread(answering, self.place):
            self._why = ("none", NONE, STEP)
            return
        try:
            self.client = await Client.open(self.place, onlooker=True)
        except (ElfbookError, Unanswered, OSError) as error:
            self._why = self._away(error)
        else:
            self._list, self._looked_at, self._heard_at = RunList(self.client), 0.0, now
            self._why = ("connected", "", "")

    def _away(self, error: Exception | None) -> tuple[Reach, str, str]:
        step = "" if self.place.url else STEP
        if error is None:
            return "away", "The server does not answer any more.", step
        return "away", in_words(error) if isinstance(error, ElfbookError) else str(error), step

    async def _look(self, client: Client) -> None:
        """Everything that changes by itself is known as it is now."""
        if time.monotonic() > self._looked_at + LOOK_S:
            self._looked_at = time.monotonic()
            self._facts, self.beats, self.situation = await asyncio.gather(
                asyncio.to_thread(hostfile.find, self.place, onlooker=True),
                client.workers(),
                client.situation(),
            )
            self.looked += 1
        if self._list is not None:
            await self._list.refresh()

    async def _disconnect(self) -> None:
        client, self.client = self.client, None
        self._tried.clear()
        self._list, self.beats, self.situation, self._facts = None, (), None, None
        if client is not None:
            with contextlib.suppress(TimeoutError):  # a server that is away need not be told
                async with asyncio.timeout(CLOSE_S):
                    await client.close()

    # ------------------------------------------------------------------ the overview

    def name_of(self, flow: str, number: int) -> str:
        """What `%elf` calls the run: its flow's name, with its number unless it is the newest."""
        newest = self._list.newest.get(flow) if self._list is not None else None
        return flow if number == newest else f"{flow}.{number}"

    def _line(self, run: str) -> Any:
        now = self._list.now(run)  # type: ignore[union-attr]
        return run_line(now, self._list.newest[now.flow])  # type: ignore[union-attr]

    def _overview(self) -> Overview:
        reach, why, step = self._why
        facts, place = self._facts, self.place
        seen = Overview(
            reach=reach,
            why=why,
            step=step,
            place=shown(place.url) if place.url else "this machine only",
            kept="" if place.url else below_home(place.state_dir),
            attention=attention(facts),
        )
        if self.client is None or self._list is None:
            return seen
        ids = list(self._list.newest_first())
        shown_ids = dict.fromkeys([*ids[:MOST_RUNS], *reversed(self._list.unsettled())])
        lines = tuple(map(self._line, shown_ids))
        return msgspec.structs.replace(
            seen,
            durability=self.client.durability,
            workers=workers(self.beats, facts.workers if facts is not None else ()),
            elves=elves(self._list.code_uses()),
            runs=lines,
            more=len(ids) > len(lines),
            running=sum(line.counts.get("running", 0) for line in lines),
            failed=sum(bool(line.counts.get("failed")) for line in lines),
        )


def answering(place: Place) -> bool:
    """True when there is a server to be asked, also without a host that looks after it."""
    left = {} if place.url else read_json(place.server_file) or {}
    return bool(place.url) or bool(left and answers(left["url"], left["name"]))


def attention(facts: hostfile.HostFacts | None) -> tuple[str, ...]:
    """What is amiss with the store or the host."""
    if facts is None:
        return ()
    return tuple(words for words in (*facts.losses, *facts.asides, facts.pressure, facts.trouble) if words)
