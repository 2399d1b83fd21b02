"""The host's care for its store: what it has lost, its epoch, and room for more.

A server whose disk was full does not store again by itself once there is room: it has to be
started anew. What its clients could not store meanwhile they have kept, and store it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from elfbook.errors import ElfbookError, MyceliumError, StoreCorrupt
from elfbook.host.ledger import in_doubt, runs_now, who_was_hit
from elfbook.host.withheld import withhold
from elfbook.store.aside import Aside
from elfbook.store.link import Message, Refused, Unanswered
from elfbook.store.marks import Mark, Marks, losses, remembered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json, write_json
from elfbook.store.pressure import Complaint, Trouble, has_room
from elfbook.store.server import ensure_server, limit_is_new, stop_server
from elfbook.wire import decode
from elfbook.words import listing, plural, size

log = logging.getLogger("elfbook")

MARK_EVERY_S = 3.0
ROOM_LOOK_S = 0.5
COMPLAINT_S = 6.0
"""A complaint that was not repeated for so long is over."""
SILENT_S = 2.0
"""A store has to be silent for so long before its server is started anew, once its disk has room."""
RESTART_EVERY_S = 20.0
ASIDES = 50
MUTE_S = 45.0
"""A disk that has room may be slow: only after so long without one answer is its server taken for stuck."""


@dataclass(eq=False)
class Storekeeper:
    """Looks after the store of one place for as long as its host runs."""

    place: Place
    mycelium: Mycelium
    restarted: Callable[[], None]
    """Called after the embedded server was started anew."""
    losses: list[str] = field(default_factory=list)
    """What the store has lost, a sentence each, until somebody removes the file of it."""
    asides: deque[str] = field(default_factory=lambda: deque(maxlen=ASIDES))
    """What was set aside because it could not be used, the newest last."""
    _complaints: dict[str, tuple[float, Complaint]] = field(default_factory=dict)
    _silent_since: float = 0.0
    _was_full: bool = False
    """The disk had no room at some moment since writes are not answered."""
    _restarted_at: float = float("-inf")

    async def begin(self) -> None:
        """Holds afterwards: what was lost before now is known."""
        self.losses = list((read_json(self.place.losses_file) or {}).get("losses", ()))
        await self.mycelium.link.subscribe(self.mycelium.names.trouble, self._hear)
        await self.compare()

    async def keep_comparing(self) -> None:
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            with contextlib.suppress(Unanswered, Refused, MyceliumError, OSError):  # the disk may be full
                await self.mycelium.streams.mend()
                await self.compare()

    # ------------------------------------------------------------------ losses

    async def compare(self) -> None:
        """Notice a store that is shorter than it was, and remember how far it has come now."""
        before = remembered(read_json(self.place.marks_file) or {})
        now = await self.mycelium.marks()
        lost = losses(before.streams, now)
        fresh = [line for line in lost if line not in self.losses]
        if fresh:
            hit = await who_was_hit(self.mycelium, before, now)
            fresh += [line for line in hit if line not in self.losses]
        for line in fresh:
            log.error("%s", line)
        if fresh:
            await self._withhold(before, now)
            self.losses += fresh
            write_json(self.place.losses_file, {"losses": self.losses})
        epoch = await self.mycelium.streams.epoch()
        if epoch and (lost or epoch < before.epoch):
            await self.mycelium.renew_epoch(before.epoch)
        # A stream that is gone stays in mind: whoever makes it anew must not make it look whole.
        runs = await runs_now(self.mycelium, before, now)
        epoch = max(before.epoch, self.mycelium.epoch)
        after = Marks(before.streams | now, epoch, runs.runs, runs.read_to)
        if after != before:
            write_json(self.place.marks_file, msgspec.to_builtins(after))

    async def _withhold(self, before: Marks, now: dict[str, Mark]) -> None:
        runs = await in_doubt(self.mycelium, before, now)
        count = await withhold(self.mycelium, runs) if runs else 0
        if count:
            log.error(
                "%s of %s ended: it is not known whether they were done", plural(count, "job"), listing(runs)
            )

    async def looked(self) -> bool:
        """True once the store has been looked at: no scheduler may decide by one that is not whole."""
        try:
            await self.compare()
        except (Unanswered, Refused, MyceliumError):
            return False
        except OSError as error:  # the disk is full; what was seen was said
            log.error("the marks could not be kept: %s", error)
        return True

    async def hear_asides(self) -> None:
        """Know of everything that was set aside, by whomever."""
        while True:
            with contextlib.suppress(MyceliumError, Refused):
                self.asides.clear()
                async for batch in self.mycelium.follow_asides().batches():
                    for entry in batch:
                        with contextlib.suppress(StoreCorrupt):
                            self.asides.append(str(decode(entry.data, Aside)))
            await asyncio.sleep(MARK_EVERY_S)

    # ------------------------------------------------------------------ room

    @property
    def trouble(self) -> str:
        """What keeps the store from taking more, as those say who have something to store."""
        now = time.monotonic()
        said = [each for at, each in self._complaints.values() if now - at < COMPLAINT_S]
        if self.mycelium.link.denied is not None:
            return str(self.mycelium.link.denied)
        if not said:
            return ""
        room = "" if self.place.url else f"; {size(self._disk().free)} are free on its disk"
        who = listing(sorted(each.who.removeprefix("elfbook ") for each in said))
        return f"{said[0]}{room}; kept until then is what the {who} would store"

    def _hear(self, message: Message) -> None:
        with contextlib.suppress(StoreCorrupt):
            said = decode(message.data, Complaint)
            if said.trouble:
                self._complaints[said.who] = (time.monotonic(), said)
            else:
                self._complaints.pop(said.who, None)

    async def mind_room(self) -> None:
        """Start the embedded server anew when that lets it store again, or take more than before."""
        while not self.place.url:
            await asyncio.sleep(ROOM_LOOK_S)
            if limit_is_new(self.place):
                await self._restart("it has another limit now")
            elif why := self._is_stuck():
                await self._restart(why)
        await asyncio.Event().wait()

    def _is_stuck(self) -> str:
        """Why the server would store again if it were started anew; empty when nothing says that it would."""
        now = time.monotonic()
        kinds = {said.trouble for at, said in self._complaints.values() if now - at < COMPLAINT_S}
        if kinds.isdisjoint({Trouble.SILENT, Trouble.DISK}):
            self._silent_since, self._was_full = now, False
        # A server that is only slow is silent too; what has been seen full was the reason.
        room = has_room(str(self.place.state_dir))
        self._was_full |= not room or Trouble.DISK in kinds
        silent_s = now - self._silent_since
        if not room or now - self._restarted_at < RESTART_EVERY_S:
            return ""
        if self._was_full and silent_s > SILENT_S:
            return "its disk was full and has room again"
        return f"it has answered no write for {MUTE_S:g} s" if silent_s > MUTE_S else ""

    def _disk(self) -> shutil._ntuple_diskusage:
        return shutil.disk_usage(self.place.state_dir)

    async def _restart(self, why: str) -> None:
        log.warning("nats-server is started anew: %s", why)
        self._restarted_at = time.monotonic()
        try:
            await asyncio.to_thread(stop_server, self.place)
            await asyncio.to_thread(ensure_server, self.place)
        except (ElfbookError, OSError) as error:
            log.error("nats-server could not be started anew: %s", error)
        self._complaints.clear()
        self.restarted()
