"""Whether the store takes what it is given, and patience with one that does not.

A store without room says no; one whose disk is really full says nothing at all, to writes, while
it answers questions as ever, and goes on so until it is started again (nats-server 2.15). Either
way nothing is lost: who has something to write keeps it, waits here, and tries again. One tries
for all.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from elfbook.errors import AccessDenied, MyceliumError, MyceliumUnreachable, StoreFull, StoreRegressed
from elfbook.model import Struct
from elfbook.store.answers import NOT_FOUND, NOT_NOW, TOO_MUCH, UNDER_WAY, refusal
from elfbook.store.link import Link, Refused, Unanswered, reply_of
from elfbook.store.questions import LEAVE_S, PROBE_S
from elfbook.words import listing

SILENT_S = 3.0
"""A write that is not answered for so long makes us ask whether the server is there at all."""
ANSWER_S = 10.0
"""After so long without an answer it is looked up what became of a write."""
LOOK_S = 0.5
RETRY_S = 0.1
PATIENCE_S = 60.0
GONE_S = 8.0
"""A server that has just started may not have its streams yet, and the host makes some of them again."""
ROOM = 0.1
ROOM_BYTES = 64 * 1000**2
"""Room is: a tenth of the disk, or this, whichever is less."""
AWAY = "See  %elf doctor   (in a shell:  elfbook doctor) ;  %elf up  starts a server that has ended."
SLOW = "See the server's log, how busy its disk is, and how much of it is free."
SPLIT = "See which of its servers reach each other:  nats server report jetstream"
MAKE_ROOM = (
    "Make room on the server's disk, or raise its limit:  elfbook up --store-limit 20GB.  "
    "What waits to be written is written then."
)


class Trouble(StrEnum):
    """Why nothing is stored; the values are what people read."""

    NONE = ""
    FULL = "the store is full"
    DISK = "the store does not answer writes, and its disk is full"
    SILENT = "the store does not answer writes: its disk is very slow, or full"
    SPLIT = "the cluster does not answer writes"
    AWAY = "the server does not answer"
    GONE = "a stream of the store is gone"
    DENIED = "the server does not let us in"


GONE = "Somebody has deleted it. Bring back a copy of the whole store, or begin anew:  %elf doctor  says how."


class Silent(Unanswered):
    """The connection was there all the time, and no answer came."""


class Complaint(Struct, frozen=True):
    """What a process says of the store that does not take what it has; `trouble` is empty when it does."""

    who: str
    trouble: str
    words: str = ""

    def __str__(self) -> str:
        return f"{self.trouble} ({self.words})" if self.words else self.trouble


def has_room(folder: str) -> bool:
    """True when the disk that the folder is on takes more files and more bytes."""
    try:
        disk = os.statvfs(folder)
    except FileNotFoundError:  # somebody has removed it all
        return True
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return free > min(ROOM * total, ROOM_BYTES) and not (disk.f_files and not disk.f_favail)


def no_room(words: str) -> StoreFull:
    """A refusal for want of room, which `words` says in the server's own."""
    return StoreFull(f"{Trouble.FULL}: {words}", hint=MAKE_ROOM)


@dataclass(eq=False)
class Pressure:
    """What one process knows of its store's readiness to take more, stream by stream."""

    patience_s: float = PATIENCE_S
    """How long a write is kept and tried again before it fails."""
    disk: str = ""
    """A folder on the store's disk, if that is a disk of this machine."""
    on_change: list[Callable[[], None]] = field(default_factory=list)
    _gauges: dict[str, Gauge] = field(default_factory=dict)

    def of(self, stream: str) -> Gauge:
        """What is known of one stream."""
        return self._gauges.setdefault(stream, Gauge(self, stream))

    @property
    def worst(self) -> Gauge | None:
        """A stream that takes nothing; None when all do."""
        return next((gauge for gauge in self._gauges.values() if gauge.trouble), None)

    @property
    def trouble(self) -> Trouble:
        return self.worst.trouble if self.worst else Trouble.NONE

    @property
    def why(self) -> str:
        """One sentence about what keeps the store from taking more; empty when nothing does."""
        return self.worst.why if self.worst else ""

    def complaint(self, who: str) -> Complaint:
        """The present state, for others to hear."""
        worst = self.worst
        return Complaint(who, str(worst.trouble), worst.words) if worst else Complaint(who, "")


@dataclass(eq=False)
class Gauge:
    """Whether one stream takes what it is given, and who waits until it does."""

    pressure: Pressure
    stream: str
    trouble: Trouble = Trouble.NONE
    words: str = ""
    """More about it, from the server."""
    noticed_at: float = 0.0
    """When this became so (monotonic)."""
    _mute_since: float = 0.0
    """Since when nothing was answered, or another server was tried last (monotonic); 0 when all is well."""
    _scout: object = None
    """Who tries again while the others wait."""
    _kept: set[object] = field(default_factory=set)
    """All who wait to try again."""
    _better: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def why(self) -> str:
        """One sentence about what keeps the store from taking more; empty when nothing does."""
        return f"{self.trouble} ({self.words})" if self.words else str(self.trouble)

    def error(self) -> MyceliumError:
        """What a write fails with when patience ends."""
        tried = f"It was tried for {self.pressure.patience_s:g} s"
        match self.trouble:
            case Trouble.GONE:
                return StoreRegressed(self.why, hint=GONE)
            case Trouble.DENIED:
                hint = "See  %elf doctor   (in a shell:  elfbook doctor)"
                return AccessDenied(f"{self.why}. {tried}, and was not stored", hint=hint)
            case Trouble.FULL:
                return StoreFull(f"{self.why}. {tried}, and was not stored", hint=MAKE_ROOM)
            case Trouble.DISK:  # what arrived before the disk was full may have been stored all the same
                words = f"{self.why}. {tried}, and it is not known whether it was stored"
                return StoreFull(words, hint=MAKE_ROOM)
        why = self.why or "the server's answers are lost"
        hint = {Trouble.SILENT: SLOW, Trouble.SPLIT: SPLIT}.get(self.trouble, AWAY)
        return MyceliumUnreachable(f"{why}. {tried}", hint=hint)

    # ------------------------------------------------------------------ writing

    async def store(self, link: Link, send: Callable[[], Awaitable[asyncio.Future]]) -> dict:
        """The server's answer to what `send` sends, sent again until it is stored.

        Refused for another reason than want of room; the error of `error` when patience ends.
        """
        who, since = object(), time.monotonic()
        try:
            while True:
                try:
                    return await self.answer(link, await send())
                except Unanswered as error:
                    await self.missed(link, error)
                except Refused as error:
                    if error.code not in TOO_MUCH:
                        raise
                    self.refused(error)
                except AccessDenied as error:
                    self.denied(error)
                if not await self.again(who, since):
                    raise self.error()
        finally:
            self.done(who)

    async def answer(self, link: Link, reply: asyncio.Future) -> dict:
        """What the server says to a message for a stream; Refused or Unanswered."""
        try:
            done, _ = await asyncio.wait([reply], timeout=SILENT_S)
        except asyncio.CancelledError:
            reply.cancel()
            raise
        if not done:
            await self._ask(link, Trouble.SILENT)
        try:
            message = await reply_of(reply, ANSWER_S - SILENT_S)
        except Unanswered as error:
            raise Silent(str(error)) if reply.cancelled() else error from None
        if not message.data:
            raise Unanswered("the stream is not there")
        answer = json.loads(message.data)
        if error := refusal(answer):
            raise Unanswered(str(error)) if error.code in {UNDER_WAY, *NOT_NOW} else error
        self.stored()
        return answer

    # ------------------------------------------------------------------ what is seen

    def stored(self) -> None:
        """The store has taken something."""
        self._mute_since = 0.0
        if self.trouble:
            self._note(Trouble.NONE)

    def refused(self, error: Refused) -> None:
        """The store has said that it has no room."""
        self._note(Trouble.FULL, error.description)

    def denied(self, error: AccessDenied) -> None:
        self._note(Trouble.DENIED, str(error))

    async def missed(self, link: Link, error: Unanswered) -> None:
        """An answer never came, was lost with its connection, or nobody was there to give it."""
        await self._ask(link, Trouble.SILENT if isinstance(error, Silent) else self.trouble, str(error))

    async def _ask(self, link: Link, otherwise: Trouble, words: str = "") -> None:
        """Find out whether the server answers at all and has the stream; if so, it is `otherwise`."""
        if not await link.answers(PROBE_S):
            self._note(Trouble.DENIED if link.denied else Trouble.AWAY, words)
            return
        cluster: dict | None = None
        try:
            # What cannot store may be slow to speak of itself, so silence means nothing here.
            facts = await link.api(f"STREAM.INFO.{self.stream}", timeout_s=PROBE_S)
            cluster = facts.get("cluster")
        except Refused as error:
            self._note(
                *((Trouble.GONE, self.stream) if error.code in NOT_FOUND else (Trouble.AWAY, str(error)))
            )
            return
        except (Unanswered, AccessDenied):
            pass
        headless = link.has_others and not (cluster or {}).get("leader")
        if otherwise is Trouble.SILENT or (headless and otherwise in (Trouble.NONE, Trouble.SPLIT)):
            self._note(*self._silence(link, cluster))
            await self._go_elsewhere(link)
        else:
            self._note(otherwise, self.words if otherwise is self.trouble else "")

    def _silence(self, link: Link, cluster: dict | None) -> tuple[Trouble, str]:
        """What it is when the server is there and writes are not answered, as far as it can be told."""
        if self.pressure.disk:
            return Trouble.SILENT if has_room(self.pressure.disk) else Trouble.DISK, ""
        others = (cluster or {}).get("replicas") or ()
        if cluster is None and link.has_others:
            return Trouble.SPLIT, f"no server that leads {self.stream} answers at {link.server}"
        if not others:
            return Trouble.SILENT, ""
        lost = [each["name"] for each in others if each.get("offline") or not each.get("current")]
        leader = cluster.get("leader") or "no server"
        return Trouble.SPLIT, f"{leader} leads {self.stream}" + (f", without {listing(lost)}" if lost else "")

    async def _go_elsewhere(self, link: Link) -> None:
        """Another server of the cluster may reach a leader that this one does not."""
        now = time.monotonic()
        self._mute_since = self._mute_since or now
        if now - self._mute_since > LEAVE_S:
            self._mute_since = now
            await link.leave()

    def _note(self, trouble: Trouble, words: str = "") -> None:
        if (trouble, words) != (self.trouble, self.words):
            self.trouble, self.words = trouble, words
            self.noticed_at = time.monotonic()
            if trouble:
                self._better.clear()
            else:
                self._better.set()
            for call in list(self.pressure.on_change):
                call()

    # ------------------------------------------------------------------ patience

    async def again(self, who: object, since: float) -> bool:
        """True when `who`, kept since then (monotonic), is to try again; False when it waited enough."""
        left = since + self.pressure.patience_s - time.monotonic()
        if self.trouble is Trouble.GONE:
            left = min(left, self.noticed_at + GONE_S - time.monotonic())
        if left <= 0:
            return False
        self._kept.add(who)
        if not self.trouble:
            await asyncio.sleep(RETRY_S)
            return True
        if self._scout is None:
            self._scout = who
            self._better.clear()
        if self._scout is who:
            await asyncio.sleep(min(left, LOOK_S))
            return True
        try:
            async with asyncio.timeout(left):
                await self._better.wait()
        except TimeoutError:
            return False
        return True

    def done(self, who: object) -> None:
        """`who` tries no more: it was stored, or it has failed. Another may take its place."""
        self._kept.discard(who)
        if self._scout is who:
            self._scout = None
            self._better.set()
        if not self._kept:
            self._note(Trouble.NONE)  # nobody has anything to store, so nobody knows
