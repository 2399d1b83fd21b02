"""High-water marks: how far the store had come, so that a loss is noticed and named.

JetStream itself says nothing when a damaged or older store comes up shorter: sequences simply
go on from where it ends (seen with nats-server 2.15 after a flipped bit). RUNS, JOBS and BLOBS
are never trimmed, so a stream that ends earlier than it did, or has holes, has lost records.
"""

from __future__ import annotations

import msgspec

from elfbook.model import Struct


class Mark(Struct, frozen=True):
    """How far one stream had come."""

    created: str
    """When the stream was made, by the server's clock: another time is another stream."""
    last: int
    """Its newest sequence."""
    messages: int
    """How many it holds."""


class Marks(Struct, frozen=True):
    """All that is remembered of a store outside of it."""

    streams: dict[str, Mark] = msgspec.field(default_factory=dict)
    epoch: int = 0
    """The largest that the store has had."""


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
