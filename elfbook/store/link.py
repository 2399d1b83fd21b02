"""The connection to NATS: the one file that imports `nats`.

Everything above it speaks of messages, replies and refusals; no type of nats-py leaves here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import nats
import nats.aio.client
import nats.errors
from nats.aio.client import Client

from elfbook.errors import AccessDenied, MyceliumError
from elfbook.store.greeting import check_server, credentials_in, not_allowed, not_let_in, what_is_there
from elfbook.store.messages import Entry, Message, headers_in

log = logging.getLogger("elfbook")

nats.aio.client.DEFAULT_BUFFER_SIZE = 256 * 1024
"""nats-py reads 32 KB at a time, which costs large values a third of their speed."""

PING_S = 5
"""nats-py's default of 120 s would notice a dead server after four to six minutes."""
LOCATE_S = 0.25
AWAY_S = 8.0  # so long does a question wait for a server that is away
PENDING_BYTES = 64 * 1024 * 1024

WRONG_LAST_SEQUENCE = 10071
UNDER_WAY = 10164  # a cluster's word while an earlier write to the subject is not decided yet: ask again
TOO_MUCH = frozenset({10023, 10047, 10077})
"""Store full, or a limit of the stream reached."""
NOT_FOUND = frozenset({10014, 10037, 10059})
NOT_NOW = frozenset({10008, 10009})  # a cluster's words while it has no leader: as good as no answer
NO_RESPONDERS = "503"
DENIED = re.compile(r"authorization violation|authentication|revoked", re.IGNORECASE)
FORBIDDEN = re.compile(r'permissions violation for (\w+) to "?([^"\s]+)', re.IGNORECASE)


class Refused(Exception):
    """JetStream said no; `code` is its err_code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


class Unanswered(Exception):
    """No reply came: the write may or may not have happened."""


class NatsClient(Client):
    """nats-py's client closes for good at most errors that a server reports; this one reconnects.

    Credentials that were revoked may be given back, and a server that was full has room again.
    """

    async def _process_op_err(self, e: Exception) -> None:
        # Without a word: over TLS, leave-taking would wait 30 s for the answer of a server that is away.
        if writer := getattr(self._transport, "_io_writer", None):
            writer.transport.abort()
        await super()._process_op_err(e)

    async def _process_err(self, err_msg: str) -> None:
        if FORBIDDEN.search(err_msg):
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)


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
    denied: AccessDenied | None = None
    """Why the server does not let us in, while it does not."""
    user: str = ""
    _search: asyncio.Task | None = None
    _inbox: str = ""
    _waiting: dict[str, tuple[asyncio.Future, str]] = field(default_factory=dict)
    """Token to the reply's future and the subject asked."""
    _refused: asyncio.Event = field(default_factory=asyncio.Event)
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
        """A connection that answers, of a server that will do.

        Otherwise MyceliumUnreachable, AccessDenied or WrongServer within `timeout_s`. `locate`
        is asked for the server's present address whenever the connection is lost.
        """
        options = {"user": user, "password": password} if user else credentials_in(url)
        link = cls(NatsClient(), url, locate, user=options.get("user", ""))
        try:
            await link._connect_within(timeout_s, name, options)
            check_server(url, link.nc._server_info)
        except BaseException:
            await _abandon(link.nc)
            raise
        await link._open_inbox()
        return link

    async def _connect_within(self, timeout_s: float, name: str, options: dict[str, str]) -> None:
        connecting = asyncio.ensure_future(self._connect(name, options))
        refused = asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait([connecting, refused], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if self.denied is not None:
                raise self.denied
            if connecting.done():
                connecting.result()
                return
        except (OSError, nats.errors.Error):
            pass  # what it is, the server's own first words tell best
        finally:
            for task in (connecting, refused):
                task.cancel()
            await asyncio.gather(connecting, refused, return_exceptions=True)
        raise await what_is_there(self.where)

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
        # What was asked meanwhile has only been kept, and is sent now.
        self.denied = None
        for call in list(self.on_return):
            call()

    async def _noted(self, error: Exception) -> None:
        # Raising here would end nats-py's read loop while it still calls itself connected.
        log.debug("connection: %r", error)
        if not self.nc.is_connected and self.nc._transport is not None:
            self.nc._transport.close()  # nats-py leaves it open when the server was not content
        text = str(error)
        if isinstance(error, nats.errors.AuthorizationError) or DENIED.search(text):
            self.denied = not_let_in(self.where, self.user)
            self._refused.set()
            self._fail_waiting(self.denied)
        elif found := FORBIDDEN.search(text):
            self._forbid(found[1], found[2])

    def _forbid(self, what: str, subject: str) -> None:
        """Who waits for an answer to a message that was not let through need not wait longer."""
        for token, (future, asked) in list(self._waiting.items()):
            if asked == subject and not future.done():
                del self._waiting[token]
                future.set_exception(not_allowed(self.where, self.user, what, subject))

    async def _open_inbox(self) -> None:
        self._inbox = self.nc.new_inbox()
        await self.subscribe(f"{self._inbox}.*", self._answered)

    def _answered(self, message: Message) -> None:
        future, _ = self._waiting.pop(message.subject.rpartition(".")[2], (None, ""))
        if future is not None and not future.done():
            future.set_result(message)

    def _fail_waiting(self, error: MyceliumError | None = None) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(error or Unanswered("the connection was lost before the answer came"))

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
        AccessDenied while the server does not let us in.
        """
        if self.denied is not None:
            raise self.denied
        self._next += 1
        token = str(self._next)
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = (future, subject)
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

    async def answers(self, timeout_s: float) -> bool:
        """True when the server itself answers within the time, whatever its streams do."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.nc.flush()
        except (OSError, nats.errors.Error):  # TimeoutError is an OSError
            return False
        return self.nc.is_connected

    async def flush(self) -> None:
        await self.nc.flush()

    async def close(self) -> None:
        self._fail_waiting()
        if self._search is not None:
            self._search.cancel()
            await asyncio.gather(self._search, return_exceptions=True)
        await _abandon(self.nc)

    async def api(self, verb: str, body: dict | None = None, timeout_s: float = 5.0) -> dict:
        """A call of the JetStream API; Refused when the server says no."""
        reply = await self.request(f"$JS.API.{verb}", json.dumps(body or {}).encode(), timeout_s=timeout_s)
        answer = json.loads(reply.data)
        if error := refusal(answer):
            raise Unanswered(str(error)) if error.code in NOT_NOW else error
        return answer

    async def ask(self, verb: str, body: dict | None = None) -> dict:
        """As `api`, for questions: a server that is away for a moment is waited for and asked again."""
        deadline = time.monotonic() + AWAY_S
        while True:
            try:
                return await self.api(verb, body)
            except Unanswered:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOCATE_S)

    async def last(self, stream: str, subject: str) -> Entry | None:
        """The newest message of a subject as its leader has it, None when there is none."""
        return await self._get(stream, {"last_by_subj": subject})

    async def at(self, stream: str, seq: int) -> Entry | None:
        """The message at a sequence, None when it is gone."""
        return await self._get(stream, {"seq": seq})

    async def first_since(self, stream: str, subject: str, seq: int) -> Entry | None:
        """The first message of a subject at that sequence or after it, None when there is none."""
        return await self._get(stream, {"next_by_subj": subject, "seq": seq})

    async def _get(self, stream: str, body: dict) -> Entry | None:
        try:
            answer = await self.ask(f"STREAM.MSG.GET.{stream}", body)
        except Refused as error:
            if error.code in NOT_FOUND:
                return None
            raise
        message = answer["message"]
        at = datetime.fromisoformat(message["time"]).timestamp()
        data, headers = (base64.b64decode(message.get(part, "")) for part in ("data", "hdrs"))
        return Entry(message["subject"], data, message["seq"], at, headers=headers_in(headers))


async def _abandon(nc: NatsClient) -> None:
    """Close whatever state the client is in; it may never have connected."""
    try:
        await nc.close()
    except (OSError, RuntimeError, AttributeError, nats.errors.Error) as error:
        log.debug("close: %r", error)
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # else nats-py waits for what it has cancelled itself
            raise
    if nc._transport is not None:  # which nats-py leaves open when it was only connecting
        nc._transport.close()
