"""What can be asked of JetStream over a connection, and for how long an answer is waited for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from elfbook.store.answers import NOT_FOUND, NOT_NOW, Refused, Unanswered, entry_in, refusal
from elfbook.store.messages import Entry, Message

ASK_AGAIN_S = 0.25
AWAY_S = 8.0  # so long does a question, or a read that has an end, wait for a server that is away
ELECTING_S = 30.0  # and so long for one that is there: in a cluster, until its others have a leader again
LEAVE_S = 10.0  # a server of a cluster whose streams stay silent for so long is left for another one
PROBE_S = 1.5


class Questions:
    """The JetStream side of a connection; link.py has the connection itself."""

    _deaf_since: float = 0.0
    """Since when no question was answered (monotonic); 0 when the last one was."""

    # What the connection itself does.
    request: Callable[..., Awaitable[Message]]
    """(subject, data, timeout_s=…) to the reply; Unanswered when there is none."""
    answers: Callable[[float], Awaitable[bool]]
    """True when the server itself answers within so many seconds."""
    leave: Callable[[], Awaitable[None]]
    """Go to another server of the cluster, if there is one."""
    has_others: bool
    """True when there are more servers than the one that this is connected to."""

    async def api(self, verb: str, body: dict | None = None, timeout_s: float = 5.0) -> dict:
        """A call of the JetStream API; Refused when the server says no."""
        try:
            asked = json.dumps(body or {}).encode()
            answer = json.loads((await self.request(f"$JS.API.{verb}", asked, timeout_s=timeout_s)).data)
            if error := refusal(answer):
                raise Unanswered(str(error)) if error.code in NOT_NOW else error
        except Unanswered:
            now = time.monotonic()
            self._deaf_since = self._deaf_since or now
            if now - self._deaf_since > LEAVE_S:
                await self.leave()
            raise
        self._deaf_since = 0.0
        return answer

    async def ask(self, verb: str, body: dict | None = None) -> dict:
        """As `api`, for questions: a server that is away for a moment is waited for and asked again.

        One of a cluster is waited for longer, as long as it answers for itself.
        """
        began = time.monotonic()
        while True:
            try:
                return await self.api(verb, body)
            except Unanswered:
                waited = time.monotonic() - began
                elects = self.has_others and waited < ELECTING_S
                if waited > AWAY_S and not (elects and await self.answers(PROBE_S)):
                    raise
                await asyncio.sleep(ASK_AGAIN_S)

    async def last(self, stream: str, subject: str) -> Entry | None:
        """The newest message of a subject as its leader has it, None when there is none."""
        return await self._get(stream, {"last_by_subj": subject})

    async def at(self, stream: str, seq: int) -> Entry | None:
        """The message at a sequence, None when it is gone."""
        return await self._get(stream, {"seq": seq})

    async def first_since(self, stream: str, subject: str, seq: int) -> Entry | None:
        """The first message of a subject at that sequence or after it, None when there is none."""
        return await self._get(stream, {"next_by_subj": subject, "seq": seq})

    async def _get(self, stream: str, body: dict) -> Entry | None:
        try:
            answer = await self.ask(f"STREAM.MSG.GET.{stream}", body)
        except Refused as error:
            if error.code in NOT_FOUND:
                return None
            raise
        return entry_in(answer["message"])
