"""The record writer: gathers writes of one process and stores many with one disk flush.

In durable mode the server flushes its file before each acknowledgement, so single writes
reach about 1,300 a second and atomic batches 27,000 (nats-server 2.15 on two cores). While a
batch is on its way the next one gathers: load sets the batch size and nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field

from elfbook.errors import AccessDenied, MyceliumError
from elfbook.seals import RecordSeal
from elfbook.store.answers import TOO_MUCH, WRONG_LAST_SEQUENCE
from elfbook.store.beside import ended
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.messages import Among, Expected, headers_of, told_in
from elfbook.store.pressure import Gauge, Pressure

BATCH_MESSAGES = 400
"""The server's limit is 1,000 messages a batch."""
BATCH_BYTES = 4 * 1024 * 1024
SINGLY = 4
"""Up to this many waiting writes go out one by one: a batch has a fixed cost of 3 to 4 ms."""
UNITS_IN_FLIGHT = 2
BATCH_INCOMPLETE = 10176


class Conflict(Exception):
    """The subject's last record is not the one that was expected."""


Record = tuple[str, bytes, Expected]
"""Subject, data, and what is expected."""


@dataclass(slots=True, eq=False)
class Write:
    """Messages to store together."""

    messages: tuple[Record, ...]
    done: asyncio.Future
    since: float = field(default_factory=time.monotonic)

    @property
    def bytes(self) -> int:
        return sum(len(data) for _, data, _ in self.messages)


@dataclass(eq=False)
class Writer:
    """Stores records in one stream, sealed; each write is all or nothing and compare-and-set."""

    link: Link
    stream: str
    pressure: Pressure
    seal: RecordSeal
    atomic: bool = True
    """False on servers before 2.12.1, which know no atomic batches."""
    gauge: Gauge = field(init=False)
    _open: bool = False
    _due: bool = False
    """True while it is about to begin units."""
    _waiting: deque[Write] = field(default_factory=deque)
    _units: dict[asyncio.Task, list[Write]] = field(default_factory=dict)
    """What is under way, with what it stores."""
    _mark: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _batch: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.gauge = self.pressure.of(self.stream)

    def start(self) -> None:
        self._open = True
        self._begin_soon()

    async def close(self) -> None:
        """End; whoever still waits for a write gets Unanswered."""
        self._open, units = False, dict(self._units)
        await ended(units)
        for write in itertools.chain(*units.values()):  # of a unit that had not begun nothing else tells
            _fail(write, Unanswered("closed before the answer came"))
        while self._waiting:
            _fail(self._waiting.popleft(), Unanswered("closed before it was written"))

    def write(self, subject: str, data: bytes, expect: Expected) -> asyncio.Future:
        """The record's sequence once stored; Conflict when another has been stored than is expected."""
        return self.write_all(((subject, data, expect),))

    def write_all(self, messages: tuple[Record, ...]) -> asyncio.Future:
        """The first message's sequence once all of them are stored, or Conflict and none is."""
        sealed = tuple(
            (subject, self.seal.put_on(data, subject, told_in(headers_of(expect))), expect)
            for subject, data, expect in messages
        )
        write = Write(sealed, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        self._begin_soon()
        return write.done

    def _begin_soon(self) -> None:
        """Everyone who is ready now joins the next unit. A task for that would cost each write two turns."""
        if self._open and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._due = False
        while self._open and self._waiting and len(self._units) < UNITS_IN_FLIGHT:
            writes = self._take()
            unit = asyncio.get_running_loop().create_task(self._store(writes))
            self._units[unit] = writes
            unit.add_done_callback(self._ended)

    def _ended(self, unit: asyncio.Task) -> None:
        del self._units[unit]
        self._begin()

    def _take(self) -> list[Write]:
        """The writes of the next unit: no subject twice, within the server's limits.

        And none that expects something of subjects that another one writes: the server compares with
        what was there before the unit, so one of them would not be seen by the other.
        """
        taken: list[Write] = []
        subjects: set[str] = set()
        lots: set[str] = set()
        messages = size = 0
        while self._waiting:
            write = self._waiting[0]
            names = {subject for subject, _, _ in write.messages}
            among = tuple(each.subjects[:-1] for *_, each in write.messages if isinstance(each, Among))
            meets = begins(names, tuple(lots)) or begins(subjects, among)
            messages += len(write.messages)
            size += write.bytes
            if taken and (messages > BATCH_MESSAGES or size > BATCH_BYTES or names & subjects or meets):
                break
            subjects |= names
            lots.update(among)
            taken.append(self._waiting.popleft())
        return taken

    async def _store(self, writes: list[Write]) -> None:
        try:
            if len(writes) > SINGLY and self.atomic:
                await self._store_batch(writes)
            else:
                # Sent before the next unit is: what one of them expects, that may change.
                wanted = [write for write in writes if not write.done.done()]
                posted = [await self._post(write) for write in wanted]
                await together(list(map(self._store_one, wanted, posted)))
        except Exception as error:
            for write in writes:
                _fail(write, error)

    async def _store_batch(self, writes: list[Write]) -> None:
        try:
            reply = await self._post_batch([message for write in writes for message in write.messages])
            last = (await self.gauge.answer(self.link, reply))["seq"]
        except (Refused, Unanswered, MyceliumError):
            # All or nothing was stored, or nobody can tell: each write finds out for itself.
            await together(list(map(self._store_one, writes)))
            return
        seq = last - sum(len(write.messages) for write in writes) + 1
        for write in writes:
            if not write.done.done():
                write.done.set_result(seq)
            seq += len(write.messages)

    async def _store_one(self, write: Write, posted: asyncio.Future | None = None) -> None:
        """Holds afterwards: the write is stored, or has failed and its future says why.

        `posted` is what `_post` gave, if it has been sent already.
        """
        try:
            while not write.done.done():
                try:
                    reply, posted = posted or await self._post(write), None
                    self._stored(write, await self._answered(write, reply))
                except Refused as error:
                    await self._after_refusal(write, error)
                except Unanswered as error:
                    await self._after_silence(write, error)
                except AccessDenied as error:
                    self.gauge.denied(error)
                    await self._keep(write)
                except MyceliumError as error:  # too large, for one: no other write's fault
                    _fail(write, error)
        finally:
            self.gauge.done(write)

    async def _post(self, write: Write) -> asyncio.Future:
        """Send a write; gives the future of its answer, which has failed if it could not be sent."""
        try:
            if len(write.messages) > 1 and self.atomic:
                return await self._post_batch(list(write.messages))
            return await self._post_single(*write.messages[0])
        except (Unanswered, MyceliumError) as error:
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    async def _answered(self, write: Write, reply: asyncio.Future) -> int:
        """The sequence of the write's first message."""
        seq = (await self.gauge.answer(self.link, reply))["seq"]
        if self.atomic:
            return seq - len(write.messages) + 1
        for message in write.messages[1:]:  # a server without batches: one after the other
            await self.gauge.answer(self.link, await self._post_single(*message))
        return seq

    @staticmethod
    def _stored(write: Write, seq: int) -> None:
        if not write.done.done():
            write.done.set_result(seq)

    async def _after_refusal(self, write: Write, error: Refused) -> None:
        if error.code == WRONG_LAST_SEQUENCE:
            # A refused write may be the second copy of one that succeeded: its bytes tell.
            try:
                seq = await self._mine(write)
            except (Unanswered, AccessDenied):
                return  # nobody can tell now: the next try will be refused again
            if seq is None:
                _fail(write, Conflict(str(error)))
            else:
                self._stored(write, seq)
        elif error.code in TOO_MUCH:
            self.gauge.refused(error)
            await self._keep(write)
        elif error.code == BATCH_INCOMPLETE:
            await self._keep(write)  # the connection was lost in its midst, and nothing of it is stored
        else:
            _fail(write, MyceliumError(f"the server refused a record: {error}"))

    async def _after_silence(self, write: Write, error: Unanswered) -> None:
        """The write may have been stored: look, and try again if it was not."""
        try:
            if (seq := await self._mine(write)) is not None:
                self._stored(write, seq)
                return
        except (Unanswered, AccessDenied):
            pass  # what is asked next says the same
        await self.gauge.missed(self.link, error)
        await self._keep(write)

    async def _keep(self, write: Write) -> None:
        """Wait until it is time to try again; the write has failed if that took too long."""
        if not await self.gauge.again(write, write.since):
            _fail(write, self.gauge.error())

    async def _mine(self, write: Write) -> int | None:
        """The sequence of the first message if the store holds exactly what I wrote.

        What expects something is, if it was stored, the first of its subject since then; there may
        have been others after it.
        """
        subject, data, expect = write.messages[0]
        if expect is None:
            found = await self.link.last(self.stream, subject)
        else:
            since = expect.seq if isinstance(expect, Among) else expect
            found = await self.link.first_since(self.stream, subject, since + 1)
        return found.seq if found is not None and found.data == data else None

    async def _post_single(self, subject: str, data: bytes, expect: Expected) -> asyncio.Future:
        return await self.link.send(subject, data, headers_of(expect) or None)

    async def _post_batch(self, messages: list[Record]) -> asyncio.Future:
        """Send messages that are stored all or not at all; the answer names the last one's sequence."""
        batch = f"{self._mark}-{next(self._batch)}"
        for index, (subject, data, expect) in enumerate(messages, 1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index), **headers_of(expect)}
            if index < len(messages):
                await self.link.publish(subject, data, "", headers)
        return await self.link.send(subject, data, headers | {"Nats-Batch-Commit": "1"})


async def together(stores: list[Coroutine]) -> None:
    """Holds afterwards: all of them have ended. One on its own needs no task."""
    if len(stores) == 1:
        await stores[0]
    else:
        await asyncio.gather(*stores)


def _fail(write: Write, error: Exception) -> None:
    if not write.done.done():
        write.done.set_exception(error)


def begins(subjects: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    """True when one of the subjects begins with one of the prefixes."""
    return bool(prefixes) and any(subject.startswith(prefixes) for subject in subjects)
