"""The connection to NATS: the one file that imports `nats`.

Everything above it speaks of messages, replies and refusals; no type of nats-py leaves here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import nats
import nats.errors
from nats.aio.client import Client as NatsClient

from elfbook.errors import MyceliumError, MyceliumUnreachable

log = logging.getLogger("elfbook")

PING_S = 5
"""nats-py's default of 120 s would notice a dead server after four to six minutes."""
LOCATE_S = 0.25
PENDING_BYTES = 64 * 1024 * 1024

WRONG_LAST_SEQUENCE = 10071
TOO_MUCH = frozenset({10023, 10047, 10077})
"""Store full, or a limit of the stream reached."""
NOT_FOUND = frozenset({10014, 10037, 10059})
NO_RESPONDERS = "503"


class Refused(Exception):
    """JetStream said no; `code` is its err_code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


class Unanswered(Exception):
    """No reply came: the write may or may not have happened."""


@dataclass(slots=True, frozen=True)
class Message:
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None


@dataclass(slots=True, frozen=True)
class Entry:
    """One stored message with its place in its stream."""

    subject: str
    data: bytes
    seq: int
    at: float = 0.0
    pending: int = 0
    """Messages behind it when it was sent; 0 means that this was the newest."""


def refusal(reply: dict) -> Refused | None:
    error = reply.get("error")
    return Refused(error.get("err_code", 0), error.get("description", "refused")) if error else None


async def reply_of(future: asyncio.Future, timeout_s: float) -> Message:
    """The reply that `send` promised; Unanswered when it does not come in time.

    Not asyncio.wait_for: in Python 3.11 that loses a cancellation which comes together with the
    result, and a loop that tries again would then never end.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await future
    except TimeoutError as error:
        raise Unanswered(f"no answer within {timeout_s:g} s") from error


@dataclass(eq=False)
class Link:
    """One connection; it comes back by itself for as long as it is open."""

    nc: NatsClient
    where: str
    locate: Callable[[], str | None] | None = None
    """Asked for the server's present address whenever the connection is lost."""
    on_return: list[Callable[[], None]] = field(default_factory=list)
    """Called after each reconnect, on the loop."""
    _search: asyncio.Task | None = None
    _inbox: str = ""
    _waiting: dict[str, asyncio.Future] = field(default_factory=dict)
    _next: int = 0

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        user: str = "",
        password: str = "",
        name: str = "elfbook",
        timeout_s: float = 5.0,
        locate: Callable[[], str | None] | None = None,
    ) -> Link:
        """A connection that answers; MyceliumUnreachable within `timeout_s`.

        `locate` is asked for the server's present address whenever the connection is lost.
        """
        link = cls(NatsClient(), url, locate)
        try:
            async with asyncio.timeout(timeout_s):
                await link._connect(name, {"user": user, "password": password} if user else {})
        except (OSError, nats.errors.Error) as error:  # TimeoutError is an OSError
            await _abandon(link.nc)
            raise MyceliumUnreachable(
                f"no NATS server answers at {_shown(url)}",
                hint="Start one with  %elf up   (in a shell:  elfbook up)",
            ) from error
        await link._open_inbox()
        return link

    async def _connect(self, name: str, options: dict[str, str]) -> None:
        await self.nc.connect(
            [self.where],
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,
            ping_interval=PING_S,
            max_outstanding_pings=2,
            pending_size=PENDING_BYTES,
            skip_subject_validation=True,
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
            error_cb=self._noted,
            **options,
        )

    async def _lost(self) -> None:
        self._fail_waiting()
        if self.locate is not None and self._search is None:
            self._search = asyncio.create_task(self._find_again())

    async def _find_again(self) -> None:
        """Follow the server to another port: somebody may have taken its old one meanwhile."""
        while not self.nc.is_connected and not self.nc.is_closed:
            fresh = self.locate()
            if fresh and fresh != self.where:
                self.where = fresh
                self.nc.set_server_pool([fresh])
            await asyncio.sleep(LOCATE_S)
        self._search = None

    async def _back(self) -> None:
        self._fail_waiting()
        for call in list(self.on_return):
            call()

    async def _noted(self, error: Exception) -> None:
        # Raising here would end nats-py's read loop while it still calls itself connected.
        log.debug("connection: %r", error)

    async def _open_inbox(self) -> None:
        self._inbox = self.nc.new_inbox()
        await self.subscribe(f"{self._inbox}.*", self._answered)

    def _answered(self, message: Message) -> None:
        future = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if future is not None and not future.done():
            future.set_result(message)

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Unanswered("the connection was lost before the answer came"))

    # ------------------------------------------------------------------ plain messages

    @property
    def connected(self) -> bool:
        return self.nc.is_connected

    async def publish(
        self, subject: str, data: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Hand a message to the connection; nothing says that it arrived."""
        try:
            await self.nc.publish(subject, data, reply, headers)
        except nats.errors.ConnectionClosedError as error:
            raise Unanswered("the connection is closed") from error
        except nats.errors.OutboundBufferLimitError as error:
            raise Unanswered("the server is away and the buffer is full") from error
        except nats.errors.MaxPayloadError as error:
            raise MyceliumError(f"a message of {len(data)} bytes is above the server's limit") from error

    async def send(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> asyncio.Future:
        """Publish with a reply address; the future gives the reply Message or Unanswered.

        Far cheaper than nats-py's own request, and it hears of a lost connection at once.
        """
        self._next += 1
        token = str(self._next)
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            await self.publish(subject, data, f"{self._inbox}.{token}", headers)
        except BaseException:
            self._waiting.pop(token, None)
            raise
        return future

    async def request(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """The reply to a message; Unanswered when none comes in time or nobody listens."""
        future = await self.send(subject, data, headers)
        message = await reply_of(future, timeout_s)
        if message.headers and message.headers.get("Status") == NO_RESPONDERS:
            raise Unanswered("nobody listens there")
        return message

    async def subscribe(self, subject: str, call: Callable[[Message], None]) -> Callable[[], Awaitable[None]]:
        """Have `call` run on the loop for each message; gives the undo."""

        async def deliver(msg) -> None:
            call(Message(msg.subject, msg.data, msg.reply, msg.headers))

        # Limits 0: what is asked for is bounded by the credit given to the server.
        subscription = await self.nc.subscribe(
            subject, cb=deliver, pending_msgs_limit=0, pending_bytes_limit=0
        )

        async def undo() -> None:
            if not self.nc.is_closed:
                with contextlib.suppress(OSError, nats.errors.Error):
                    await subscription.unsubscribe()

        return undo

    async def flush(self) -> None:
        await self.nc.flush()

    async def close(self) -> None:
        self._fail_waiting()
        if self._search is not None:
            self._search.cancel()
            await asyncio.gather(self._search, return_exceptions=True)
        await _abandon(self.nc)

    # ------------------------------------------------------------------ JetStream

    async def api(self, verb: str, body: dict | None = None, timeout_s: float = 5.0) -> dict:
        """A call of the JetStream API; Refused when the server says no."""
        reply = await self.request(f"$JS.API.{verb}", json.dumps(body or {}).encode(), timeout_s=timeout_s)
        answer = json.loads(reply.data)
        if error := refusal(answer):
            raise error
        return answer

    async def last(self, stream: str, subject: str) -> Entry | None:
        """The newest message of a subject as its leader has it, None when there is none."""
        return await self._get(stream, {"last_by_subj": subject})

    async def at(self, stream: str, seq: int) -> Entry | None:
        """The message at a sequence, None when it is gone."""
        return await self._get(stream, {"seq": seq})

    async def _get(self, stream: str, body: dict) -> Entry | None:
        try:
            answer = await self.api(f"STREAM.MSG.GET.{stream}", body)
        except Refused as error:
            if error.code in NOT_FOUND:
                return None
            raise
        message = answer["message"]
        at = datetime.fromisoformat(message["time"]).timestamp()
        return Entry(message["subject"], base64.b64decode(message.get("data", "")), message["seq"], at)


def _shown(url: str) -> str:
    return url.rpartition("@")[2].removeprefix("nats://")


async def _abandon(nc: NatsClient) -> None:
    """Close whatever state the client is in; it may never have connected."""
    try:
        await nc.close()
    except (OSError, RuntimeError, AttributeError, nats.errors.Error) as error:
        log.debug("close: %r", error)
