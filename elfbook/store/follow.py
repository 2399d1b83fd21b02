"""Reading streams in order and without gaps, and taking offers from the work queue.

nats-py's ordered consumer takes 10 to 20 s to notice a restarted server (2.16).
These pull with credit, hear a heartbeat every second, and start over from the last
sequence they saw when it stops or the connection comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from elfbook.errors import AccessDenied, MyceliumError, MyceliumUnreachable, StoreCorrupt, StoreRegressed
from elfbook.store.answers import NOT_FOUND
from elfbook.store.beside import ended
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.messages import Entry, Message
from elfbook.store.questions import AWAY_S, ELECTING_S

HEARTBEAT_S = 1.0
SILENCE_S = 3.5
PULL_EXPIRES_S = 30.0
FOLLOW_CREDIT = 2000
RETRY_S = 0.2
STUCK = 5
"""Heartbeats in a row by which a server says that it has handed over all it can; if it still counts some, it
cannot read them. The time alone would tell nothing: a server that is back late is as silent."""
GIVEN = "Nats-Last-Consumer"
"""In a heartbeat: how many messages the server has handed to the consumer."""
LOST = (
    "The server lost its disk's last writes or was given another store. "
    "Runs submitted since then must be submitted again."
)
NANO = 1_000_000_000
FROM_NOW = 0
"""As `start` of a follower: what is stored after it has begun."""


def place_of(reply: str) -> tuple[int, int, float, int]:
    """Stream sequence, consumer sequence, server time and pending count of a delivery."""
    tokens = reply.split(".")
    start = 5 if len(tokens) == 9 else 7  # newer servers name domain and account first
    return int(tokens[start]), int(tokens[start + 1]), int(tokens[start + 2]) / NANO, int(tokens[start + 3])


def pull_of(count: int) -> bytes:
    """A request for so many messages, with a heartbeat while there are none."""
    expires, heartbeat = int(PULL_EXPIRES_S * NANO), int(HEARTBEAT_S * NANO)
    return f'{{"batch":{count},"expires":{expires},"idle_heartbeat":{heartbeat}}}'.encode()


@dataclass(eq=False)
class Follower:
    """All messages of some subjects of a stream, from a sequence on, then live, each once."""

    link: Link
    stream: str
    subjects: tuple[str, ...]
    start: int = 1
    """First stream sequence wanted, or FROM_NOW."""
    last_only: bool = False
    """Begin with only the newest message of each subject."""
    stop_at_end: bool = False
    """End when everything stored at the time of the call has been given."""
    seen: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is settled from where on it follows."""
    _entries: list[Entry] = field(default_factory=list)
    _waiting: asyncio.Future | None = None
    """Of who waits for something to happen."""
    _heard: float = 0.0
    _consumer: str = ""
    _next: int = 1
    _broken: bool = True
    _credit: int = 0
    _left: int | None = None
    """Messages still to come that were stored when the consumer was made."""

    _idle: int = 0
    """Heartbeats since a message came last, or the consumer was made."""

    async def batches(self) -> AsyncIterator[list[Entry]]:
        """Lists of entries as they arrive; StoreRegressed when the stream has gone backwards.

        StoreCorrupt when the server has records that it does not hand over.
        """
        undo = None
        returned = self._note_return
        self.link.on_return.append(returned)
        try:
            while True:
                if self._broken:
                    if undo:
                        await undo()
                        await self._remove()
                    undo = await self._begin_again()
                if self._entries:
                    entries, self._entries = self._entries, []
                    self._credit -= len(entries)
                    if self._credit < FOLLOW_CREDIT // 2:
                        await self._pull(FOLLOW_CREDIT - self._credit)
                    yield entries
                    continue
                if self.stop_at_end and self._left is not None and self._left <= 0:
                    return
                await self._wait()
                self._check_movement()
        finally:
            self.link.on_return.remove(returned)
            if undo:
                await undo()
                await self._remove()

    def _note_return(self) -> None:
        self._broken = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self) -> None:
        """Return when something has happened, or nothing for a while; then it may begin anew."""
        if self._entries or self._broken:
            return
        loop = asyncio.get_running_loop()
        # Not asyncio.timeout and an event: of a quiet stream each message would pay for both.
        self._waiting = loop.create_future()
        timer = loop.call_later(SILENCE_S / 2, self._wake)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None
        if not self._entries and not self._broken:
            asked_in_vain = self.link.connected or self.stop_at_end or self.link.denied
            if time.monotonic() - self._heard > SILENCE_S and asked_in_vain:
                self._broken = True

    def _check_movement(self) -> None:
        """A damaged record is passed over by the server in silence, and still counted (nats-server 2.15)."""
        stuck = self.stop_at_end and not self._broken and not self._entries and (self._left or 0) > 0
        if stuck and self._idle >= STUCK:
            raise StoreCorrupt(
                f"{self._left} records of {self.stream} are counted and cannot be read any more",
                hint="The disk has damaged them. Bring back a copy of the store, or retry their runs.",
            )

    async def _begin_again(self) -> Callable[[], Awaitable[None]]:
        asked = began = time.monotonic()
        while True:
            try:
                return await self._begin()
            except Refused as error:
                if error.code not in NOT_FOUND:
                    raise MyceliumError(f"the server does not let us read {self.stream}: {error}") from error
                if time.monotonic() - began > SILENCE_S:
                    raise StoreRegressed(f"the store has lost all of {self.stream}", hint=LOST) from error
                await asyncio.sleep(RETRY_S)
            except Unanswered as error:
                began = time.monotonic()
                if self.stop_at_end and began - asked > (ELECTING_S if self.link.has_others else AWAY_S):
                    raise MyceliumUnreachable(
                        f"the server does not answer: {error}", hint="Start it again with  %elf up"
                    ) from error
                await asyncio.sleep(RETRY_S)

    async def _begin(self):
        self._consumer = f"f{uuid.uuid4().hex[:16]}"
        first = self.seen + 1 if self.seen else self.start
        policy: dict[str, object] = {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, first)}
        if self.last_only and not self.seen:
            policy = {"deliver_policy": "last_per_subject"}
        elif first == FROM_NOW:
            policy = {"deliver_policy": "new"}
        name = (
            {"filter_subject": self.subjects[0]}
            if len(self.subjects) == 1
            else {"filter_subjects": list(self.subjects)}
        )
        config = {
            "name": self._consumer,
            "ack_policy": "none",
            "max_deliver": -1,
            "inactive_threshold": 60 * NANO,
            "mem_storage": True,
            "num_replicas": 1,
            **name,
            **policy,
        }
        made = await self.link.api(
            f"CONSUMER.CREATE.{self.stream}.{self._consumer}",
            {"stream_name": self.stream, "config": config, "action": "create"},
        )
        await self._check_progress()
        if self.start == FROM_NOW:  # if the server goes away it goes on from here, and misses nothing
            self.start = made["delivered"]["stream_seq"] + 1
        inbox = f"_INBOX.{uuid.uuid4().hex}"
        undo = await self.link.subscribe(inbox, self._received)
        self._inbox, self._next, self._credit, self._broken = inbox, 1, 0, False
        self._idle = 0
        self._left = made.get("num_pending", 0)
        self._heard = time.monotonic()
        await self._pull(FOLLOW_CREDIT)
        self.begun.set()
        return undo

    async def _remove(self) -> None:
        """Have the server forget the consumer now: a thousand forgotten ones would slow it down."""
        with contextlib.suppress(Unanswered):
            await self.link.publish(f"$JS.API.CONSUMER.DELETE.{self.stream}.{self._consumer}")

    async def _check_progress(self) -> None:
        if not self.seen:
            return
        facts = await self.link.api(f"STREAM.INFO.{self.stream}")
        newest = facts["state"]["last_seq"]
        if newest < self.seen:
            raise StoreRegressed(
                f"the store has lost records: {self.stream} was at {self.seen} and is at {newest} now",
                hint=LOST,
            )

    async def _pull(self, count: int) -> None:
        self._credit += count
        await self.link.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self._consumer}", pull_of(count), self._inbox
        )

    def _received(self, message: Message) -> None:
        self._heard = time.monotonic()
        if message.headers and (status := message.headers.get("Status")):
            # 100 is a heartbeat; anything else ends a pull: make a new consumer, which is cheap. So is one
            # in place of a consumer whose messages were lost on their way here: they are not lost there.
            self._idle += 1
            if status != "100" or int(message.headers.get(GIVEN, 0)) >= self._next:
                self._note_return()
            return
        seq, order, at, pending = place_of(message.reply)
        if order != self._next:
            self._note_return()
            return
        self._next += 1
        self._idle = 0
        if self._left is not None:
            self._left -= 1
        if seq <= self.seen:
            return  # the consumer before this one had still brought it
        self.seen = seq
        self._entries.append(Entry(message.subject, message.data, seq, at, pending, message.headers))
        self._wake()


@dataclass(eq=False)
class Taker:
    """Takes offers from one consumer of the work queue, never more than asked for."""

    link: Link
    stream: str
    consumer: str
    subject: str
    hold_s: float
    """How long an offer stays mine without a sign of life."""
    brief: bool = True
    """Forget the consumer a minute after its last user has gone."""
    taken: asyncio.Queue = field(default_factory=asyncio.Queue)
    """Messages; each has the reply address that accepts it."""
    _inbox: str = ""
    _wanted: int = 0
    _heard: float = 0.0
    _broken: bool = True
    _undo: object = None
    _watch: asyncio.Task | None = None

    async def start(self) -> None:
        self.link.on_return.append(self._note_return)
        self._watch = asyncio.get_running_loop().create_task(
            self._keep_going(), name=f"taker {self.consumer}"
        )

    async def close(self) -> None:
        self.link.on_return.remove(self._note_return)
        if self._watch:
            await ended([self._watch])
        if self._undo:
            await self._undo()

    def _note_return(self) -> None:
        self._broken = True

    @property
    def asked(self) -> int:
        """Offers asked for that have not come yet."""
        return self._wanted

    async def want(self, count: int) -> None:
        """Ask for `count` offers more."""
        if count <= 0:
            return
        self._wanted += count
        if not self._broken:
            await self._pull(count)

    async def _keep_going(self) -> None:
        while True:
            if self._broken and self.link.connected:
                try:
                    await self._begin()
                except (Unanswered, Refused, AccessDenied):
                    await asyncio.sleep(RETRY_S)
                    continue
            elif self._wanted and not self._broken and time.monotonic() - self._heard > SILENCE_S:
                self._broken = True
                continue
            await asyncio.sleep(RETRY_S)

    async def _begin(self) -> None:
        config = {
            "durable_name": self.consumer,
            "name": self.consumer,
            "ack_policy": "explicit",
            "ack_wait": int(self.hold_s * NANO),
            "max_deliver": -1,
            "max_ack_pending": 100_000,
            "filter_subject": self.subject,
            **({"inactive_threshold": 60 * NANO} if self.brief else {}),
        }
        await self.link.api(
            f"CONSUMER.CREATE.{self.stream}.{self.consumer}", {"stream_name": self.stream, "config": config}
        )
        if self._undo:
            await self._undo()
        self._inbox = f"_INBOX.{uuid.uuid4().hex}"
        self._undo = await self.link.subscribe(self._inbox, self._received)
        self._broken = False
        self._heard = time.monotonic()
        if self._wanted:
            await self._pull(self._wanted)

    async def _pull(self, count: int) -> None:
        try:
            await self.link.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}", pull_of(count), self._inbox
            )
        except Unanswered:
            self._broken = True

    def _received(self, message: Message) -> None:
        self._heard = time.monotonic()
        if message.headers and (status := message.headers.get("Status")):
            if status != "100":
                # The pull ended (expired, consumer gone, server restarted): ask anew for the rest.
                self._broken = True
            return
        self._wanted = max(0, self._wanted - 1)
        self.taken.put_nowait(message)

    async def accept(self, message: Message) -> None:
        """The offer is dealt with: take it off the queue."""
        await self.link.publish(message.reply, b"+ACK")

    async def still_at_it(self, message: Message) -> None:
        await self.link.publish(message.reply, b"+WPI")

    async def give_back(self, message: Message) -> None:
        await self.link.publish(message.reply, b"-NAK")
