"""What a server answers, and what is made of it when it does not."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import datetime

from elfbook.store.messages import Entry, Message, headers_in

WRONG_LAST_SEQUENCE = 10071
UNDER_WAY = 10164  # a cluster's word while an earlier write to the subject is not decided yet: ask again
TOO_MUCH = frozenset({10023, 10047, 10077})
"""Store full, or a limit of the stream reached."""
NOT_FOUND = frozenset({10014, 10037, 10059})
NOT_NOW = frozenset({10008, 10009})  # a cluster's words while it has no leader: as good as no answer
NO_RESPONDERS = "503"


class Refused(Exception):
    """JetStream said no; `code` is its err_code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


class Unanswered(Exception):
    """No reply came: the write may or may not have happened."""


def refusal(reply: dict) -> Refused | None:
    error = reply.get("error")
    return Refused(error.get("err_code", 0), error.get("description", "refused")) if error else None


async def reply_of(future: asyncio.Future, timeout_s: float) -> Message:
    """The reply that `send` promised; Unanswered when it does not come in time.

    Not asyncio.wait_for: in Python 3.11 that loses a cancellation which comes together with the
    result, and a loop that tries again would then never end.
    """
    if future.done():
        return future.result()
    try:
        async with asyncio.timeout(timeout_s):
            return await future
    except TimeoutError as error:
        raise Unanswered(f"no answer within {timeout_s:g} s") from error


async def while_it_speaks(
    future: asyncio.Future, heard: Callable[[], int], timeout_s: float, quiet_s: float
) -> None:
    """Wait for the future for as long as `heard` gives another number after each `quiet_s`."""
    deadline, before = time.monotonic() + timeout_s, -1
    while not future.done() and time.monotonic() < deadline and heard() != before:
        before = heard()
        await asyncio.wait([future], timeout=quiet_s)


def entry_in(message: dict) -> Entry:
    """The stored message in an answer of the JetStream API."""
    at = datetime.fromisoformat(message["time"]).timestamp()
    data, headers = (base64.b64decode(message.get(part, "")) for part in ("data", "hdrs"))
    return Entry(message["subject"], data, message["seq"], at, headers=headers_in(headers))
