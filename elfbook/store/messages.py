"""Messages as they come from the server, and what a record says that it was written over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

EXPECT = "Nats-Expected-Last-Subject-Sequence"
EXPECT_AMONG = "Nats-Expected-Last-Subject-Sequence-Subject"


class Among(NamedTuple):
    """Expect that `seq` is the last sequence of all these subjects, a pattern, and not of one's own only."""

    subjects: str
    seq: int


Expected = int | Among | None
"""A subject's last sequence, 0 for nothing stored yet; None to store whatever is there."""


def headers_of(expect: Expected) -> dict[str, str]:
    """The headers by which the server checks what is expected."""
    if expect is None:
        return {}
    if isinstance(expect, Among):
        return {EXPECT: str(expect.seq), EXPECT_AMONG: expect.subjects}
    return {EXPECT: str(expect)}


def told_in(headers: dict[str, str] | None) -> str:
    """What the headers say of what is expected, in one word for seals; empty for nothing."""
    if not headers or EXPECT not in headers:
        return ""
    return f"{headers[EXPECT]} {headers.get(EXPECT_AMONG, '')}"


@dataclass(slots=True, frozen=True)
class Message:
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None


@dataclass(slots=True, frozen=True)
class Entry:
    """One stored message with its place in its stream."""

    subject: str
    data: bytes
    seq: int
    at: float = 0.0
    pending: int = 0
    """Messages behind it when it was sent; 0 means that this was the newest."""
    headers: dict[str, str] | None = None

    @property
    def over(self) -> Expected:
        """What it was to be written over; the server keeps that with the message."""
        headers = self.headers or {}
        if not (text := headers.get(EXPECT, "")).isdecimal():
            return None
        return Among(headers[EXPECT_AMONG], int(text)) if EXPECT_AMONG in headers else int(text)


def headers_in(raw: bytes) -> dict[str, str]:
    """The headers in the form in which the server keeps them."""
    lines = (line.partition(":") for line in raw.decode(errors="replace").split("\r\n")[1:])
    return {name: value.strip() for name, colon, value in lines if colon}
