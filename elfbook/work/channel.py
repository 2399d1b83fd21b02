"""The private socket between a worker and its kernel, on the worker's side.

Frames: a length, a JSON header, the header's binary parts (shim.py has the other side). Short jobs
come back by the thousand a second, so frames are cut straight out of what the socket brings, without
a coroutine for each piece.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Sequence

import msgspec

SIZE = struct.Struct(">I")


def loaded(body: bytes) -> dict:
    """A header; Python's own reader takes texts that are not UTF-8, which msgspec refuses."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(body)


def dumped(header: dict) -> bytes:
    try:
        return msgspec.json.encode(header)
    except UnicodeEncodeError:
        return json.dumps(header, separators=(",", ":")).encode()


class Channel(asyncio.Protocol):
    """One connection."""

    def __init__(self, on_frame: Callable[[dict, list[bytes]], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()

    def data_received(self, data: bytes) -> None:
        self._data += data
        at, have = 0, len(self._data)
        view = bytes(self._data) if have < 1 << 20 else self._data
        while have - at >= SIZE.size:
            (size,) = SIZE.unpack_from(view, at)
            start = at + SIZE.size + size
            if start > have:
                break
            header = loaded(bytes(view[at + SIZE.size : start]))
            sizes = header.get("sizes", ())
            end = start + sum(sizes)
            if end > have:
                break
            parts = []
            for each in sizes:
                parts.append(bytes(view[start : start + each]))
                start += each
            at = end
            self._on_frame(header, parts)
        if at:
            del self._data[:at]

    def send(self, header: dict, parts: Sequence[bytes] = ()) -> None:
        """Hand a frame to the connection; nothing happens when that has ended."""
        if parts:
            header["sizes"] = [len(part) for part in parts]
        body = dumped(header)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join([SIZE.pack(len(body)), body, *parts]))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
