"""A notebook's way to its mycelium: opened at first use, given up when nothing answers."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from elfbook.client.outward import named
from elfbook.client.portal import PORTAL
from elfbook.errors import MyceliumUnreachable
from elfbook.model import Beat, Situation, ValueRef
from elfbook.store.place import Place

if TYPE_CHECKING:
    from elfbook.client.client import Client

T = TypeVar("T")

CLOSE_S = 3.0
SILENT_S = 4.0
AWAY = "the server does not answer"
START_AGAIN = "Start it again with  %elf up"
AWAY_S = 5.0
"""A host that died is started again within two seconds; after this nobody will."""

BEHIND = contextvars.ContextVar("BEHIND", default=False)
"""True in threads of our own: what they printed would be shown under whatever cell runs then."""


class Connection:
    """One client at a time, on the background loop, and what is asked of it from here."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.portal = PORTAL
        self.workers_now: int | None = None
        """How many workers there were at the last look."""
        self.seen_workers: tuple[str, ...] = ()
        self.situation: Situation | None = None
        """What may keep jobs waiting, at the last look."""
        self._client: Client | None = None
        self._key: bytes | None = None

    @property
    def key(self) -> bytes:
        """The mycelium's key, read once: each value that is opened or signed asks for it."""
        if self._key is None:
            self._key = self.place.key()
        return self._key

    @property
    def client(self) -> Client:
        """The client; MyceliumUnreachable when nothing answers."""
        return self.connect()

    def connect(self, timeout_s: float | None = None) -> Client:
        """The same; TimeoutError when it takes too long."""
        if self._client is None:
            from elfbook.client.client import Client  # a notebook without workers need not wait for it

            self._client = self.portal.call(Client.open, self.place, timeout_s=timeout_s)
        return self._client

    @property
    def connected(self) -> Client | None:
        """The client as it is, for those who must not wait; None while there is none."""
        return self._client

    def disconnect(self) -> None:
        """The connection is closed; the next use opens another one."""
        client, self._client = self._client, None
        self._key = None
        if client is not None:
            with contextlib.suppress(TimeoutError):  # a server that is away need not be told
                self.portal.call(client.close, timeout_s=CLOSE_S)

    def move(self, place: Place) -> None:
        """From now on the runs are those of `place`."""
        if place != self.place:
            self.disconnect()
            self.place = place

    @property
    def durability(self) -> str:
        """What the store promises; empty while there is no connection."""
        return self._client.durability if self._client is not None else ""

    def ask(self, verb: Callable[..., Awaitable[T]], *args: object) -> T:
        """What a verb of the client gives; MyceliumUnreachable when the server has gone away.

        What keeps it waiting is said within five seconds: a store that is full, or does not answer.
        """
        watch = self.watching(self.client, verb.__name__)
        return self.portal.call(verb, *args, check=watch)

    def watching(self, client: Client | None = None, verb: str = "") -> Callable[[], None]:
        """What to call while something is waited for: it says, once, why that takes so long.

        Of a `verb` it says by raising that the server has gone away. Without one it is only said.
        """
        mycelium = (client or self._client).mycelium if client or self._client else None
        heard_at = time.monotonic()
        said = ""

        def check() -> None:
            nonlocal heard_at, said
            if mycelium is None:
                return
            if mycelium.link.connected:
                heard_at = time.monotonic()
            away = time.monotonic() > heard_at + AWAY_S
            if away and verb:
                gone = MyceliumUnreachable("the server does not answer any more", hint=START_AGAIN)
                raise named(gone, verb)
            hangs = mycelium.link.connected and mycelium.silent_s() > SILENT_S
            why = mycelium.pressure.why or (AWAY if away or hangs else "")
            if why and why != said and not BEHIND.get():
                said = why
                print(f"waiting: {why}", flush=True)

        return check

    def fetch(self, ref: ValueRef) -> bytes:
        """The bytes that `ref` names, checked."""
        return self.ask(self.client.fetch, ref)

    def workers(self) -> list[Beat]:
        """The workers that are there now."""
        return self.note_workers(self.ask(self.client.workers))

    def note_workers(self, census: list[Beat]) -> list[Beat]:
        """Those that stay, which are the ones there are now."""
        beats = [beat for beat in census if not beat.leaving]
        self.workers_now = len(beats)
        self.seen_workers = tuple(beat.worker for beat in beats)
        return beats

    def count_workers(self) -> None:
        """`workers_now` is up to date."""
        self.workers()

    def look_around(self) -> None:
        """`situation` is up to date."""
        self.situation = self.ask(self.client.situation)
