"""High-water marks: how far the store had come, so that a loss is noticed and named.

JetStream itself says nothing when a damaged or older store comes up shorter: sequences simply
go on from where it ends (seen with nats-server 2.15 after a flipped bit). RUNS, JOBS and BLOBS
are never trimmed, so a stream that ends earlier than it did, or has holes, has lost records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from elfbook.model import Struct
from elfbook.words import listing


class Mark(Struct, frozen=True):
    """How far one stream had come."""

    created: str
    """When the stream was made, by the server's clock: another time is another stream."""
    last: int
    """Its newest sequence."""
    messages: int
    """How many it holds."""


class RunMark(Struct, frozen=True):
    """How far one run had come."""

    manifest: int
    """Sequence of its manifest in RUNS."""
    last: int = 0
    """The newest record about it in JOBS."""
    settled: bool = False


class Marks(Struct, frozen=True):
    """All that is remembered of a store outside of it."""

    streams: dict[str, Mark] = msgspec.field(default_factory=dict)
    epoch: int = 0
    """The largest that the store has had."""
    runs: dict[str, RunMark] = msgspec.field(default_factory=dict)
    """The newest of them."""
    read_to: int = 0
    """How far RUNS was read for that."""


def remembered(stored: dict) -> Marks:
    """The marks in a file; those of earlier versions had the streams only."""
    return msgspec.convert(stored if "streams" in stored or not stored else {"streams": stored}, Marks)


def losses(before: dict[str, Mark], now: dict[str, Mark]) -> list[str]:
    """What has been lost since the marks were taken, a sentence for each stream; mostly none."""
    lines = []
    for stream, mark in before.items():
        found = now.get(stream)
        if found is None or found.created != mark.created:
            lines.append(f"{stream} with its {mark.messages} records is gone")
        elif found.last < mark.last:
            lines.append(
                f"{stream} has lost its newest records: it was at {mark.last} and is at {found.last} now"
            )
    for stream, mark in now.items():
        missing = mark.last - mark.messages
        known = before[stream].last - before[stream].messages if stream in before else 0
        if missing > known:
            lines.append(f"{stream} has {missing - known} records less than it had written")
    return lines


def runs_hit(runs: dict[str, RunMark], stream_end: int, *, manifests: bool) -> list[str]:
    """The runs of which something was stored after `stream_end`, where a stream ends now."""
    return sorted(
        run for run, mark in runs.items() if (mark.manifest if manifests else mark.last) > stream_end
    )


def ranges(numbers: Iterable[int]) -> str:
    """`3, 5 to 9 and 12`; the first few when there are many."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return listing(str(a) if a == b else f"{a} to {b}" for a, b in runs)


class Missing(Struct, frozen=True):
    """A record that is gone, as the one that was written over it tells."""

    subject: str
    seq: int


@dataclass
class Chain:
    """Records in the order in which they are stored, and those that turn out to be missing.

    The compare-and-set of every write chains the records of a subject: each names the one that it
    was written over. Only the last of them has no other to tell of it.
    """

    missing: list[Missing] = field(default_factory=list)
    _newest: dict[str, int] = field(default_factory=dict)

    def take(self, subject: str, seq: int, over: int | None) -> None:
        """The next record; `over` is None for one that was written over whatever was there."""
        if over and self._newest.get(subject, 0) != over:
            self.missing.append(Missing(subject, over))
        self._newest[subject] = seq
