"""A message to a panel as a frame of its WebSocket, as panelmessages.py describes it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from elfbook.view.panelmessages import NEWS, FromBoard

ENCODER = msgspec.json.Encoder()


def frame(news: NEWS) -> str:
    """A message without buffers."""
    return ENCODER.encode(news).decode()


def board_frame(told: FromBoard, buffers: Sequence[bytes]) -> str | bytes:
    """What a board is told, its buffers behind it."""
    if not buffers:
        return frame(told)
    sized = msgspec.structs.replace(told, sizes=tuple(map(len, buffers)))
    words = ENCODER.encode(sized)
    return b"".join([struct.pack("<I", len(words)), words, *buffers])
