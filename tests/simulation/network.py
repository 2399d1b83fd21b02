"""The wire between simulated processes and the model: delays, losses, lost connections.

`Wire` takes the place of nats-py's client under elfbook's own `Link`, so that everything of elfbook
from there upwards is the real thing. It behaves as nats-py does: what was handed to a connection
that dies is lost without a word, what is sent meanwhile is buffered, subscriptions come back with
the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import NamedTuple

from nats import errors

from tests.simulation.jetstream import Server
from tests.simulation.loop import CURRENT, EPOCH_S, Loop, Process


class Version(NamedTuple):
    major: int
    minor: int
    patch: int


SERVER = Version(2, 15, 1)
SERVER_SAYS = {"version": "2.15.1", "jetstream": True, "headers": True}


RETRY_S = 0.2
DEAF_S = 12.0
"""So long a client takes to notice, by pings, that nothing comes any more."""
TICK_S = 1e-9
"""Between two messages of one connection: they arrive in order."""


@dataclass(frozen=True)
class Weather:
    """What may happen to each message, apart from the death of its connection."""

    delay_s: float = 0.002
    """At most."""
    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    """Chance to be overtaken by later messages of the same connection."""


CALM = Weather()


@dataclass(slots=True)
class Msg:
    """As nats-py hands it to a callback."""

    subject: str
    data: bytes
    reply: str
    headers: dict[str, str] | None


@dataclass(eq=False)
class Trace:
    """A digest of all that happened, and its last lines."""

    keep: int = 0
    """How many lines to remember; 0 for none."""
    lines: list[str] = field(default_factory=list)
    _sha: object = field(default_factory=hashlib.sha256)

    def note(self, line: str) -> None:
        self._sha.update(line.encode())
        if self.keep:
            self.lines.append(line)
            del self.lines[: -self.keep]

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()


@dataclass(eq=False)
class Network:
    """One server, and everybody's way to it."""

    loop: Loop
    chance: random.Random
    trace: Trace = field(default_factory=Trace)
    weather: Weather = CALM
    up: bool = True
    wires: list[Wire] = field(default_factory=list)
    numbers: count = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.outside = Context()
        """The server's own: it is no process that can be killed here."""
        self.server = Server(
            now=lambda: EPOCH_S + self.loop.now,
            later=lambda wait_s, call: self.loop.call_later(wait_s, call, context=self.outside),
        )

    def note(self, what: str) -> None:
        self.trace.note(f"{self.loop.now:.6f} {what}")

    def carry(self, flow: Flow, call: Callable[[], None], context: Context) -> None:
        """Have `call` made when the message that it stands for arrives, if it does."""
        weather, chance = self.weather, self.chance
        copies = 1
        if weather.lost and chance.random() < weather.lost:
            copies = 0
        elif weather.twice and chance.random() < weather.twice:
            copies = 2
        for _ in range(copies):
            at = self.loop.now + chance.random() * weather.delay_s
            if weather.late and chance.random() < weather.late:
                at += chance.random() * 0.5
            else:
                at = flow.last = max(at, flow.last + TICK_S)
            self.loop.call_at(at, call, context=context)

    def restart_server(self, away_s: float) -> None:
        """Kill the server; what is on disk is there when it comes back."""
        self.note("server killed")
        self.up = False
        for wire in list(self.wires):
            wire.drop()
        self.server.restart()

        def back() -> None:
            self.note("server back")
            self.up = True

        self.loop.call_later(away_s, back, context=self.outside)

    def connections(self, process: Process) -> list[Wire]:
        return [wire for wire in self.wires if wire.process is process]


@dataclass
class Flow:
    """One direction of one connection: when its last message arrives."""

    last: float = 0.0


@dataclass(eq=False)
class Wire:
    """A connection of one process, with the face of `nats.aio.client.Client`."""

    network: Network
    process: Process | None = field(default_factory=CURRENT.get)
    is_connected: bool = False
    is_closed: bool = False
    connected_server_version: Version = SERVER
    _server_info: dict = field(default_factory=lambda: SERVER_SAYS)
    _transport: None = None
    reachable: bool = True
    """False while the network between this process and the server is cut."""
    deaf: bool = False
    """Cut, and not noticed yet."""
    servers: tuple[str, ...] = ("here",)
    _flows: tuple[Flow, Flow] = field(default_factory=lambda: (Flow(), Flow()))
    _subscriptions: dict[int, tuple[str, Callable]] = field(default_factory=dict)
    _numbers: count = field(default_factory=lambda: count(1))
    _buffer: list[tuple] = field(default_factory=list)
    _calls: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _life: int = 0
    """Which connection this is: what belongs to an earlier one never arrives."""
    _search: asyncio.Task | None = None

    def __post_init__(self) -> None:
        self.number = next(self.network.numbers)
        self.context = self.process.context if self.process else self.network.outside
        if self.process is not None:
            self.process.on_death.append(self.vanish)

    def __repr__(self) -> str:
        return f"{self.process.name if self.process else 'test'}/{self.number}"

    @property
    def stats(self) -> dict[str, int]:
        """Nothing is heard but what was asked for."""
        return {"in_bytes": 0}

    # ------------------------------------------------------------------ connecting

    async def connect(self, servers: list[str], **options) -> None:
        self._calls = {name: call for name, call in options.items() if name.endswith("_cb")}
        self.network.wires.append(self)
        await self._search_server()

    async def _search_server(self) -> None:
        while not (self.network.up and self.reachable):
            await asyncio.sleep(RETRY_S)
        await asyncio.sleep(self.network.chance.random() * self.network.weather.delay_s)
        if not (self.network.up and self.reachable):
            await self._search_server()
            return
        self._life += 1
        self.is_connected, self.deaf = True, False
        self._flows = (Flow(), Flow())
        for number, (subject, _) in self._subscriptions.items():
            self._listen(number, subject)
        buffer, self._buffer = self._buffer, []
        for message in buffer:
            self._carry_up(*message)

    async def _come_back(self) -> None:
        await self._calls["disconnected_cb"]()
        await self._search_server()
        self._search = None
        self.network.note(f"{self!r} is back")
        await self._calls["reconnected_cb"]()

    def drop(self) -> None:
        """The connection is gone; the client notices at once and looks for the server."""
        if self.is_connected:
            self.network.note(f"{self!r} disconnected")
            self.is_connected = False
            self.network.server.disconnect((self, self._life))
            if self._search is None and (self.process is None or self.process.alive):
                self._search = self.context.run(asyncio.get_running_loop().create_task, self._come_back())

    def cut(self, for_s: float) -> None:
        """Nothing gets through for a while. The server holds on to what listens there."""
        if not self.is_connected:
            return
        self.network.note(f"{self!r} cut off")
        self.deaf, self.reachable = True, False
        life, loop, outside = self._life, self.network.loop, self.network.outside

        def notice() -> None:
            if self._life == life:
                self.drop()

        def heal() -> None:
            self.reachable = True

        loop.call_later(DEAF_S, notice, context=outside)
        loop.call_later(max(for_s, DEAF_S), heal, context=outside)

    def vanish(self) -> None:
        """The process has died: the server sees its end of the connection close."""
        self.network.server.disconnect((self, self._life))
        if self in self.network.wires:
            self.network.wires.remove(self)
        self.is_connected, self.is_closed = False, True

    async def close(self) -> None:
        if self._search is not None:
            self._search.cancel()
        self.vanish()

    def set_server_pool(self, servers: list[str]) -> None:
        """There is one server here, always at the same address."""

    # ------------------------------------------------------------------ messages

    def new_inbox(self) -> str:
        return f"_INBOX.{uuid.uuid4().hex}"

    async def publish(
        self, subject: str, data: bytes = b"", reply: str = "", headers: dict | None = None
    ) -> None:
        if self.is_closed:
            raise errors.ConnectionClosedError
        message = (subject, bytes(data), reply, dict(headers) if headers else None)
        if self.is_connected:
            self._carry_up(*message)
        else:
            self._buffer.append(message)

    def _carry_up(self, subject: str, data: bytes, reply: str, headers: dict | None) -> None:
        life, network = self._life, self.network

        def arrive() -> None:
            if life == self._life and self.is_connected and not self.deaf:
                network.note(f"{self!r} > {subject} {hashlib.sha256(data).hexdigest()[:12]} {reply}")
                network.server.receive(subject, data, reply, headers)

        network.carry(self._flows[0], arrive, network.outside)

    async def subscribe(self, subject: str, cb: Callable[[Msg], Awaitable[None]], **limits: int):
        number = next(self._numbers)
        self._subscriptions[number] = (subject, cb)
        if self.is_connected:
            self._listen(number, subject)

        async def unsubscribe() -> None:
            self._subscriptions.pop(number, None)
            self.network.server.unlisten((self, self._life), number)

        return SimpleNamespace(unsubscribe=unsubscribe)

    def _listen(self, number: int, subject: str) -> None:
        """Told to the server at once: what follows on the connection comes after it anyway."""
        life = self._life

        def take(name: str, data: bytes, reply: str, headers: dict | None) -> None:
            message = Msg(name, data, reply, dict(headers) if headers else None)

            def arrive() -> None:
                if life == self._life and self.is_connected and not self.deaf:
                    self._hand_over(number, message)

            self.network.carry(self._flows[1], arrive, self.context)

        self.network.server.listen((self, life), number, subject, take)

    def _hand_over(self, number: int, message: Msg) -> None:
        if number in self._subscriptions:
            self.network.note(f"{self!r} < {message.subject} {hashlib.sha256(message.data).hexdigest()[:12]}")
            work = self._subscriptions[number][1](message)
            try:
                work.send(None)
            except StopIteration:
                return
            raise AssertionError("a callback for messages waits: nothing would come after it")

    async def flush(self) -> None:
        """A round trip."""
        await asyncio.sleep(self.network.weather.delay_s)
