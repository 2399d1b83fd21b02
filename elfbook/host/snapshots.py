"""Snapshots of runs on this machine's disk, so that a scheduler that starts over need not fold all.

A snapshot is a saving of time and never the truth. It is used only if it was made of this very run
in this very life of the store, and what was stored since is folded on top of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elfbook.errors import InternalError, StoreCorrupt
from elfbook.host.card import Card
from elfbook.log.fold import RunState
from elfbook.log.snapshot import Slice, restore, slice_of
from elfbook.model import Graph, Manifest, Struct
from elfbook.wire import decode, digest_of, encode

log = logging.getLogger("elfbook")

SLICE_JOBS = 4000
"""About 10 ms of work: the scheduler goes on in between."""
FACTS = 20_000
GROWTH = 1.2
"""The next snapshot comes when the run's log has grown by a fifth: their number grows only with its
logarithm, and what has to be folded on top is at most a sixth of the log."""
SIZE = struct.Struct(">I")
DIGEST_BYTES = 32


class Head(Struct, frozen=True):
    """Of what a snapshot was made."""

    run: str
    nonce: str
    """The manifest's: a remade store may have another run of that name."""
    epoch: int
    upto: int
    """Everything in JOBS up to this sequence is in it."""
    facts: int
    lots: tuple[int, ...]
    paused: bool = False
    pause_why: str = ""
    pause_seq: int = 0


@dataclass(eq=False)
class Snapshots:
    """The snapshots of one place."""

    folder: Path
    _next: dict[str, int] = field(default_factory=dict)
    """Run to the number of its facts at which the next snapshot is due."""

    def path(self, run: str) -> Path:
        return self.folder / f"{run}.snapshot"

    def is_due(self, card: Card) -> bool:
        return card.facts >= self._next.get(card.run, FACTS)

    async def save(self, card: Card, upto: int, epoch: int) -> None:
        """Write the run's snapshot; everything in JOBS up to `upto` has been folded into it."""
        draft = self.path(card.run).with_suffix(".new")
        try:
            self._next[card.run] = int(card.facts * GROWTH) + 1
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with open(draft, "wb") as file:
                for first in range(0, len(card.state.jobs), SLICE_JOBS):
                    _put(file, encode(slice_of(card.state, first, first + SLICE_JOBS)))
                    await asyncio.sleep(0)
                # Last, since facts were folded meanwhile: a lot's sequence must not be older than its rows.
                state = card.state
                head = Head(
                    card.run, card.manifest.nonce, epoch, upto, card.facts, tuple(state.lots),
                    state.paused, state.pause_why, state.pause_seq,
                )  # fmt: skip
                _put(file, encode(head))
            os.replace(draft, self.path(card.run))
        except OSError as error:  # a full disk, for one: then the log is folded from its beginning
            log.warning("no snapshot of %s: %s", card.run, error)
            draft.unlink(missing_ok=True)

    def load(self, manifest: Manifest, graph: Graph, epoch: int) -> tuple[RunState, Head] | None:
        """The run's state as of its snapshot; None when there is none that can be used."""
        try:
            *slices, head = (body for body in _bodies(self.path(manifest.run)))
            facts = decode(head, Head)
            if (facts.run, facts.nonce, facts.epoch) != (manifest.run, manifest.nonce, epoch):
                return None
            state = restore(graph, manifest.run, list(facts.lots), (decode(each, Slice) for each in slices))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, IndexError, StoreCorrupt, InternalError) as error:
            log.warning("the snapshot of %s is not used: %s", manifest.run, error)
            return None
        state.paused, state.pause_why, state.pause_seq = facts.paused, facts.pause_why, facts.pause_seq
        self._next[manifest.run] = int(facts.facts * GROWTH) + 1
        return state, facts

    def drop(self, run: str) -> None:
        """The run has settled: its snapshot is of no use any more."""
        self._next.pop(run, None)
        with contextlib.suppress(OSError):
            self.path(run).unlink(missing_ok=True)


def _put(file, body: bytes) -> None:
    file.write(SIZE.pack(len(body)) + bytes.fromhex(digest_of(body)) + body)


def _bodies(path: Path) -> Iterator[bytes]:
    """The parts of a snapshot file; ValueError when it is damaged or was cut short."""
    with open(path, "rb") as file:
        while size := file.read(SIZE.size):
            digest = file.read(DIGEST_BYTES).hex()
            body = file.read(SIZE.unpack(size)[0])
            if digest_of(body) != digest:
                raise ValueError("its bytes are not what they were")
            yield body
