"""What jobs print and display on a worker, gathered per job and stored a few times a second."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from elfbook.errors import MyceliumError
from elfbook.model import Output
from elfbook.progress import Progress, in_line
from elfbook.store.link import Unanswered
from elfbook.work.lines import Lines

log = logging.getLogger("elfbook")

TEXT_LIMIT = 1024 * 1024
DISPLAY_LIMIT = 20
MESSAGE_LIMIT = 700 * 1024
STORE_EVERY_S = 0.25
TAIL = 2000
RECENT_TOKENS = 1024


@dataclass(eq=False)
class Box:
    """One job's output on its way to the store."""

    run: str
    job: int
    attempt: int
    waiting: list[Output] = field(default_factory=list)
    text: int = 0
    displays: int = 0
    settled: str = ""
    """The end of what it has printed and will not write over any more."""
    lines: dict[str, Lines] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last: str = ""
    """The stream that it printed to last."""
    over: bool = False
    """True when the job has ended; threads of it may go on."""

    def add_text(self, kind: str, text: str) -> None:
        """Take what was printed; a line that may still be written over is kept back until it is done with."""
        self.last = kind
        self._keep(kind, self.lines.setdefault(kind, Lines()).add(text))

    def settle(self) -> None:
        """To be called a few times a second: what has become certain is kept."""
        for kind, lines in self.lines.items():
            self._keep(kind, lines.end() if self.over else lines.settle())

    def end(self) -> None:
        """The job has ended."""
        self.over = True
        self.settle()

    @property
    def tail(self) -> str:
        """The end of what it has printed."""
        return "".join([self.settled, *(lines.open for lines in self.lines.values())])[-TAIL:]

    @property
    def live(self) -> Progress | None:
        """How far the job is by the line that it writes over again and again; None without one."""
        lines = self.lines.get(self.last)
        return in_line(lines.live) if lines is not None else None

    def _keep(self, kind: str, text: str) -> None:
        if not text:
            return
        self.settled = (self.settled + text)[-TAIL:]
        room = TEXT_LIMIT - self.text
        if room <= 0:
            return
        self.text += len(text)
        if len(text) > room:
            text = text[:room] + f"\n… output beyond {TEXT_LIMIT // 1024} KB is not kept\n"
        last = self.waiting[-1] if self.waiting else None
        if last is not None and last.kind == kind and len(last.text) + len(text) < MESSAGE_LIMIT:
            text = last.text + text
            self.waiting.pop()
        self.waiting.append(Output(job=self.job, attempt=self.attempt, kind=kind, text=text))

    def add_display(self, kind: str, bundle: dict[str, str]) -> None:
        self.displays += 1
        if self.displays > DISPLAY_LIMIT:
            return
        if sum(len(data) for data in bundle.values()) > MESSAGE_LIMIT:
            plain = bundle.get("text/plain", "a display")
            bundle = {
                "text/plain": f"{plain[:200]} (too large to keep: the limit is {MESSAGE_LIMIT // 1024} KB)"
            }
        self.waiting.append(Output(job=self.job, attempt=self.attempt, kind=kind, bundle=bundle))


@dataclass(eq=False)
class Outputs:
    """The boxes of one worker's recent jobs, by token."""

    store: Callable[[str, int, tuple[Output, ...]], object]
    _tokens: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Token to run, job and attempt."""
    _boxes: dict[str, Box] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def open(self, token: str, run: str, job: int, attempt: int) -> None:
        """From now on output with this token is that job's."""
        self._tokens[token] = (run, job, attempt)
        # Old ones stay a while: threads of a job may print after it has ended.
        while len(self._tokens) > RECENT_TOKENS:
            oldest = next(iter(self._tokens))
            box = self._boxes.get(oldest)
            if box is not None and box.waiting:
                break
            del self._tokens[oldest]
            self._boxes.pop(oldest, None)

    def _box(self, token: str) -> Box | None:
        """The job's box, made when something is first heard: most short jobs say nothing."""
        if token not in self._boxes and token in self._tokens:
            self._boxes[token] = Box(*self._tokens[token])
        return self._boxes.get(token)

    def heard(self, token: str, kind: str, content: dict) -> None:
        """A message of the kernel's IOPub channel."""
        box = self._box(token)
        if box is None:
            return
        if kind == "stream":
            box.add_text(content["name"], content["text"])
        elif kind in ("display_data", "execute_result", "update_display_data"):
            box.add_display("display", text_of_display(content))
        elif kind == "status" and content["execution_state"] == "idle":
            box.ended.set()

    def end(self, token: str) -> None:
        """The job has ended: nothing that it has printed is kept back any more."""
        if (box := self._boxes.get(token)) is not None:
            box.end()

    def live(self, token: str) -> Progress | None:
        """How far the job is by a bar that it prints."""
        box = self._boxes.get(token)
        return box.live if box else None

    def tail(self, token: str) -> str:
        box = self._boxes.get(token)
        return box.tail if box else ""

    async def complete(self, token: str, wait_s: float = 2.0) -> None:
        """Holds afterwards: all that the job wrote before it ended is stored."""
        box = self._box(token)
        if box is None:
            return
        try:
            async with asyncio.timeout(wait_s):
                await box.ended.wait()
        except TimeoutError:
            log.warning("the kernel did not say that a job's output was complete")
        box.end()
        await self.store_waiting(box)

    async def store_waiting(self, box: Box) -> None:
        async with self._lock:
            while box.waiting:
                taken, size = [], 0
                for output in box.waiting:
                    size += len(output.text) + sum(len(data) for data in output.bundle.values())
                    if taken and size > MESSAGE_LIMIT:
                        break
                    taken.append(output)
                del box.waiting[: len(taken)]
                try:
                    await self.store(box.run, box.job, tuple(taken))
                except (MyceliumError, Unanswered) as error:
                    log.warning("output of job %s of %s is lost: %s", box.job, box.run, error)

    async def keep_storing(self) -> None:
        """Store what has gathered, a few times a second, until cancelled."""
        while True:
            await asyncio.sleep(STORE_EVERY_S)
            for box in self._boxes.values():
                box.settle()
            for box in [box for box in self._boxes.values() if box.waiting]:
                await self.store_waiting(box)


def text_of_display(content: dict) -> dict[str, str]:
    """A display's MIME bundle as text; binary data stays base64, as Jupyter sends it."""
    bundle = {}
    for mime, data in content.get("data", {}).items():
        if isinstance(data, str):
            bundle[mime] = data
        elif isinstance(data, bytes):
            bundle[mime] = base64.b64encode(data).decode()
        elif isinstance(data, list) and all(isinstance(line, str) for line in data):
            bundle[mime] = "".join(data)
        else:
            bundle[mime] = json.dumps(data)
    return bundle
