"""Which workers there are, and which of them holds which named elf."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from elfbook.model import Beat, Graph
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Conflict, Mycelium


@dataclass(eq=False)
class Placement:
    """Workers as they were last heard of, and the holders of named elves.

    A holder is a record in the store, written compare-and-set, so that all schedulers agree.
    """

    mycelium: Mycelium
    beats: dict[str, Beat] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    """Worker to when it was last heard of (monotonic)."""
    holders: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Named elf to the worker that holds it, and the sequence of the record that says so."""
    _promised: dict[str, str] = field(default_factory=dict)
    """Named elf to the worker that is about to: it counts, as other elves are placed meanwhile."""
    wanted: set[str] = field(default_factory=set)
    """Packages that jobs need: of these each worker is asked whether its kernel has them."""

    def hear(self, beat: Beat) -> bool:
        """Take note of a sign of life; True for a worker that was not known, or has more to offer."""
        before = self.beats.get(beat.worker)
        new = before is None or before.modules != beat.modules
        self.beats[beat.worker] = beat
        self.heard[beat.worker] = time.monotonic()
        return new

    def hear_holder(self, name: str, worker: str, seq: int) -> bool:
        """Take note of a holder's record; True if the elf has moved, by another scheduler's choice.

        Only records count. A worker that was cut off for a while says that it holds what was given to
        another meanwhile, and refuses its jobs.
        """
        known, upto = self.holders.get(name, ("", 0))
        if seq <= upto:
            return False
        self.holders[name] = (worker, seq)
        return known not in ("", worker)

    def size(self, pool: str) -> int:
        """How many workers take jobs of a pool."""
        return len(self._takers(pool))

    def _takers(self, pool: str) -> list[Beat]:
        return [beat for beat in self.beats.values() if not beat.only and pool in (beat.pool, beat.worker)]

    def able(self, pool: str, needs: tuple[str, ...]) -> list[str] | None:
        """The workers of a pool whose kernels have these packages; None when it need not be looked at."""
        if not needs:
            return None
        takers = self._takers(pool)
        able = [beat.worker for beat in takers if all(map(beat.modules.get, needs))]
        return None if able and len(able) == len(takers) else able

    def lacking(self, pool: str) -> tuple[tuple[str, ...], ...]:
        """For each worker of a pool the packages that it is known not to have."""
        return tuple(
            tuple(sorted(name for name, there in beat.modules.items() if not there))
            for beat in self._takers(pool)
        )

    async def want(self, graph: Graph) -> None:
        """Have the workers tell whether their kernels have what the graph's jobs need."""
        for use in graph.elves:
            self.wanted.update(use.needs)
        await self.ask(self.beats.values())

    def unknown(self, beats: Iterable[Beat]) -> set[str]:
        """Wanted packages of which one of these workers has not told yet."""
        return {name for beat in beats for name in self.wanted - beat.modules.keys()}

    async def ask(self, beats: Iterable[Beat]) -> None:
        """Have these workers tell of what is not known of them."""
        if unknown := self.unknown(beats):
            with contextlib.suppress(Unanswered):  # each beat that says too little is asked again
                await self.mycelium.link.publish(self.mycelium.names.modules, " ".join(unknown).encode())

    def expect(self, worker: str) -> None:
        """A record names a worker: unless it is heard of within a lease from now, it is gone."""
        self.heard.setdefault(worker, time.monotonic())

    def expect_all(self) -> None:
        """Nobody could be heard for a while: everybody's lease begins anew."""
        self.heard = dict.fromkeys(self.heard, time.monotonic())

    def silent(self, lease_s: float) -> list[str]:
        """Workers not heard of for a lease."""
        before = time.monotonic() - lease_s
        return [worker for worker, at in self.heard.items() if at < before]

    def remove(self, worker: str) -> bool:
        """The worker is gone, and what it held is free; True if anybody had heard of it."""
        known = self.heard.pop(worker, None) is not None
        self.beats.pop(worker, None)
        return known

    async def place(self, name: str, pool: str) -> str | None:
        """The worker that holds a named elf, chosen now if none does; None when none may."""
        known, _ = self.holders.get(name, ("", 0))
        if known in self.beats:
            return known
        names = self.mycelium.names
        while True:
            holder, seq = await self.mycelium.holder(name)
            if holder in self.beats:
                self.hear_holder(name, holder, seq)
                return holder
            chosen = self._choose(name, pool)
            if chosen is None:
                return None
            self._promised[name] = chosen
            try:
                seq = await self.mycelium.jobs.write(names.holder(name), chosen.encode(), seq)
            except Conflict:
                continue  # another scheduler was faster: its choice counts
            finally:
                del self._promised[name]
            self.hear_holder(name, chosen, seq)
            return chosen

    def _choose(self, name: str, pool: str) -> str | None:
        """A worker started for the elf, else the one of the pool that holds the fewest."""
        for beat in sorted(self.beats.values(), key=lambda beat: beat.worker):
            if name in beat.only:
                return beat.worker
        load = {
            beat.worker: 0
            for beat in self.beats.values()
            if not beat.only and pool in (beat.pool, beat.worker)
        }
        held = {name: beat.worker for beat in self.beats.values() for name in beat.names}
        held |= {name: worker for name, (worker, _) in self.holders.items()}
        for worker in (*held.values(), *self._promised.values()):
            if worker in load:
                load[worker] += 1
        return min(load, key=lambda worker: (load[worker], worker), default=None)
