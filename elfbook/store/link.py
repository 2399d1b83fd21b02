"""The connection to NATS: the one file that imports `nats`.

Everything above it speaks of messages, replies and refusals; no type of nats-py leaves here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import nats
import nats.aio.client
import nats.errors
from nats.aio.client import Client

from elfbook.errors import AccessDenied, MyceliumError
from elfbook.store.answers import NO_RESPONDERS, Refused, Unanswered, reply_of, while_it_speaks
from elfbook.store.beside import ended
from elfbook.store.greeting import check_server, credentials_in, not_allowed, not_let_in, shown, what_is_there
from elfbook.store.messages import Entry, Message
from elfbook.store.questions import Questions

log = logging.getLogger("elfbook")

nats.aio.client.DEFAULT_BUFFER_SIZE = 256 * 1024
"""nats-py reads 32 KB at a time, which costs large values a third of their speed."""

PING_S = 5
"""nats-py's default of 120 s would notice a dead server after four to six minutes."""
LOCATE_S = 0.25
FLUSH_S = 5
PENDING_BYTES = 64 * 1024 * 1024

DENIED = re.compile(r"authorization violation|authentication|revoked", re.IGNORECASE)
FORBIDDEN = re.compile(r'permissions violation for (\w+) to "?([^"\s]+)', re.IGNORECASE)


class NatsClient(Client):
    """nats-py's client closes for good at most errors that a server reports; this one reconnects.

    Credentials that were revoked may be given back, and a server that was full has room again.

    And it hands on what it hears at once. nats-py puts each message into a queue, for a task of its
    subscription: one turn of the loop more on each of the ten hops of a job. No call here waits.
    """

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        subscription = self._subs.get(sid)
        if subscription is None:
            return  # it has just ended
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        told = await self._process_headers(headers)
        try:
            await subscription._cb(self._build_message(sid, subject, reply, data, told))
        except Exception as error:
            await self._error_cb(error)  # raised, it would end the reading

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


@dataclass(eq=False)
class Link(Questions):
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
    _waiting: dict[str, tuple[asyncio.Future, str, float]] = field(default_factory=dict)
    """Token to the reply's future, the subject asked, and when (monotonic)."""
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
            await ended([connecting, refused])
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
        for token, (future, asked, _) in list(self._waiting.items()):
            if asked == subject and not future.done():
                del self._waiting[token]
                future.set_exception(not_allowed(self.where, self.user, what, subject))

    async def _open_inbox(self) -> None:
        self._inbox = self.nc.new_inbox()
        await self.subscribe(f"{self._inbox}.*", self._answered)

    def _answered(self, message: Message) -> None:
        future, *_ = self._waiting.pop(message.subject.rpartition(".")[2], (None,))
        if future is not None and not future.done():
            future.set_result(message)

    def _fail_waiting(self, error: MyceliumError | None = None) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, *_ in waiting.values():
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
        self._waiting[token] = (future, subject, time.monotonic())
        try:
            await self.publish(subject, data, f"{self._inbox}.{token}", headers)
        except BaseException:
            self._waiting.pop(token, None)
            raise
        return future

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float = 5.0,
        quiet_s: float | None = None,
    ) -> Message:
        """The reply to a message; Unanswered when none comes in time or nobody listens.

        With `quiet_s` also when the server has said nothing at all for so long: what is large takes its time.
        """
        future = await self.send(subject, data, headers)
        if quiet_s:
            await while_it_speaks(future, lambda: self.nc.stats["in_bytes"], timeout_s, quiet_s)
            timeout_s = quiet_s
        message = await reply_of(future, timeout_s)
        if message.headers and message.headers.get("Status") == NO_RESPONDERS:
            raise Unanswered("nobody listens there")
        return message

    async def subscribe(self, subject: str, call: Callable[[Message], None]) -> Callable[[], Awaitable[None]]:
        """Have `call` run on the loop for each message; gives the undo."""

        async def deliver(msg) -> None:
            call(Message(msg.subject, msg.data, msg.reply, msg.headers))

        try:
            # Limits 0: what is asked for is bounded by the credit given to the server.
            subscription = await self.nc.subscribe(
                subject, cb=deliver, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except nats.errors.ConnectionClosedError as error:
            raise Unanswered("the connection is closed") from error

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
        """Holds afterwards: the server has had all that was published; Unanswered when it does not say so."""
        try:
            async with asyncio.timeout(FLUSH_S):
                while not self.connected:  # nats-py would say at once that it is done
                    await asyncio.sleep(LOCATE_S)
                await self.nc.flush(FLUSH_S)
        except (OSError, nats.errors.Error) as error:  # TimeoutError is an OSError
            raise Unanswered(f"no answer within {FLUSH_S} s") from error

    def silent_s(self) -> float:
        """How long the oldest question has waited for its answer, whatever is asked."""
        asked = [at for future, _, at in self._waiting.values() if not future.done()]
        return time.monotonic() - min(asked) if asked else 0.0

    @property
    def has_others(self) -> bool:
        """True when there are more servers than the one that this is connected to."""
        return len(self.nc.servers) > 1

    @property
    def server(self) -> str:
        """The server that this is connected to; empty while there is none."""
        return shown(self.nc.connected_url.netloc) if self.nc.connected_url else ""

    async def leave(self) -> None:
        """Go to another server of the cluster, if there is one; what waits for an answer hears of it."""
        self._deaf_since = 0.0
        if self.has_others and self.nc.is_connected:
            log.warning("%s answers, and its streams do not: trying another server", self.server)
            here = self.nc._current_server
            self.nc._server_pool.sort(key=lambda each: (each is here, random.random()))  # this one last
            self.nc.options["dont_randomize"] = True
            await self.nc._process_op_err(nats.errors.StaleConnectionError())

    async def close(self) -> None:
        self._fail_waiting()
        if self._search is not None:
            await ended([self._search])
        await _abandon(self.nc)


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


__all__ = ["Entry", "Link", "Message", "Refused", "Unanswered", "reply_of"]
