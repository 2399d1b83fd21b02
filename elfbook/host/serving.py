"""What a host does on its mycelium: it holds the server, hears workers, looks after the store.

Apart from host.py, since to import what speaks to a server takes as long as to start one: the host
starts its children first, and imports this beside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from elfbook.errors import MyceliumError
from elfbook.host.storekeeper import Storekeeper
from elfbook.model import Beat
from elfbook.store.link import Message, Refused, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json
from elfbook.store.server import ensure_server

log = logging.getLogger("elfbook")

SERVER_LOOK_S = 0.5


@dataclass(eq=False)
class Serving:
    """A host's connection, and what it does with it."""

    place: Place
    mycelium: Mycelium
    on_beat: Callable[[Beat], None]
    on_client: Callable[[], None]
    """Called when a notebook says that it is there."""
    on_scheduler: Callable[[str], None]
    """Called with who says of itself that it schedules, here or elsewhere."""
    on_trouble: Callable[[str], None]
    """Called with the reason why the server cannot be started again."""
    store: Storekeeper = field(init=False)
    server_pid: int = 0

    def __post_init__(self) -> None:
        self.store = Storekeeper(self.place, self.mycelium, self._read_pid)

    @classmethod
    async def open(cls, place: Place, **calls: Callable) -> Serving:
        """Connected to the server, which is there; what the store had lost before now is known."""
        mycelium = await Mycelium.at(place, "elfbook host")
        serving = cls(place, mycelium, **calls)
        try:
            await serving._begin()
        except BaseException:
            await mycelium.close()
            raise
        return serving

    async def _begin(self) -> None:
        if not self.place.url:
            self._read_pid()
        link, names = self.mycelium.link, self.mycelium.names
        await link.subscribe(names.every_beat, self._hear_beat)
        await link.subscribe(names.client_beat, lambda _: self.on_client())
        await link.subscribe(names.schedulers, self._hear_scheduler)
        await link.publish(names.census)
        await self.store.begin()

    async def keep(self) -> None:
        """Look after server and store until cancelled."""
        loops = [self._mind_server(), self.store.keep_comparing(), self.store.mind_room()]
        await asyncio.gather(*loops, self.store.hear_asides())

    def _read_pid(self) -> None:
        self.server_pid = (read_json(self.place.server_file) or {}).get("pid", 0)

    def _hear_beat(self, message: Message) -> None:
        if (beat := self.mycelium.beat_in(message)) is not None:
            self.on_beat(beat)

    def _hear_scheduler(self, message: Message) -> None:
        self.on_scheduler(message.data.decode(errors="replace").partition(" ")[2])

    async def say_gone(self, worker: str, how: str) -> None:
        """Tell everybody that a worker has died."""
        with contextlib.suppress(Unanswered, MyceliumError):
            await self.mycelium.link.publish(self.mycelium.names.gone(worker), how.encode())

    async def has_open_runs(self) -> bool:
        """True unless it is certain that every run has settled."""
        try:
            settled = await self.mycelium.settled_runs()
            return any([each.run not in settled async for each in self.mycelium.manifests()])
        except (Unanswered, Refused, MyceliumError):
            return True

    async def _mind_server(self) -> None:
        while not self.place.url:
            await asyncio.sleep(SERVER_LOOK_S)
            if not self.mycelium.link.connected:
                try:
                    if await asyncio.to_thread(ensure_server, self.place):
                        log.warning("nats-server was started again")
                    self._read_pid()
                except (MyceliumError, OSError) as error:
                    self.on_trouble(str(error))
        await asyncio.Event().wait()
