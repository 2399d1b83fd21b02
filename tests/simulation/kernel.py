"""A worker's kernel as it looks from its worker: takes jobs in order, answers, prints, dies.

It keeps to the shim's rules (elfbook/work/shim.py, room.py) and computes nothing: what a job does is
written in its arguments and drawn by chance, and what it did is noted in a ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from elfbook.work.kernel import Job
from tests.simulation.loop import CURRENT, Process

START_S = 0.5
LARGE = 40 * 1024
"""Bytes of a result that does not fit into a record."""


@dataclass(frozen=True)
class Habits:
    """What may happen when a job runs; part of its arguments."""

    job: str
    """`flow/number`: the same in every run of the flow."""
    quick: bool = False
    """Takes less than a thousandth of a second, unless it is slow for once."""
    slow: float = 0.0
    raises: float = 0.0
    dies: float = 0.0
    stubborn: float = 0.0
    """Does not listen to interrupts."""
    prints: float = 0.0
    large: float = 0.0

    def encoded(self) -> bytes:
        return json.dumps(self.__dict__).encode()


@dataclass
class Execution:
    """One time that a job's code ran."""

    job: str
    worker: str
    revision: str
    inputs: dict[int, str]
    """Each parent's value, by its digest, as the job read it."""
    started_at: float
    value: str = ""
    """The digest of what it returned; empty unless it returned."""
    word: str = ""


@dataclass(eq=False)
class Ledger:
    """What really ran, in all kernels."""

    chance: random.Random
    executions: list[Execution] = field(default_factory=list)
    peaceful: bool = False
    """True once nothing bad happens any more by itself."""

    def draws(self, likely: float, *, bad: bool = True) -> bool:
        return self.chance.random() < likely and not (bad and self.peaceful)


@dataclass(eq=False)
class SimulatedKernel:
    """Has the face of elfbook.work.kernel.Kernel."""

    ledger: Ledger
    processes: list[Process]
    """Its own will be among them."""
    spec: str
    folder: Path
    key: bytes
    worker: str
    on_done: Callable[[dict, list[bytes]], None]
    on_dropped: Callable[[list[str]], None]
    on_output: Callable[[str, str, dict], None]
    on_death: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    values: Path | None = None
    pid: int = 0
    python: str = "3"
    used_up: int | None = None
    """It never runs out of memory."""
    process: Process | None = None
    _owner: Process | None = None
    _queue: deque = field(default_factory=deque)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    _current: str = ""
    _known: set[str] = field(default_factory=set)
    _learned: set[str] = field(default_factory=set)
    _named: dict[str, list[str]] = field(default_factory=dict)
    _kept: dict[str, bytes] = field(default_factory=dict)
    _tail: str = ""

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._owner = CURRENT.get()
        await asyncio.sleep(START_S * (0.5 + self.ledger.chance.random()))
        self.process = Process(f"kernel of {self.worker}")
        self.processes.append(self.process)
        self._owner.on_death.append(self.process.kill)  # its channel closes, and it ends itself
        self.process.start(self._work())

    async def stop(self) -> None:
        if self.process is not None:
            self.process.on_death.clear()
            self.process.kill()

    def kill(self) -> None:
        self._die("was killed by signal 9 (SIGKILL)")

    def _die(self, how: str) -> None:
        if self.process.alive:
            self.process.kill()
            self._tell(self.on_death, how)

    def _tell(self, call: Callable, *what: object) -> None:
        """Through the channel: the worker hears it when it runs next."""
        asyncio.get_running_loop().call_soon(call, *what, context=self._owner.context)

    # ------------------------------------------------------------------ what the worker asks

    def look(self) -> None:
        """It uses no memory worth mentioning."""

    async def find(self, modules: Iterable[str]) -> dict[str, bool]:
        """It has every package."""
        return dict.fromkeys(modules, True)

    def knows(self, digest: str) -> bool:
        return digest in self._known

    def learn(self, revision: dict, captures: list[bytes]) -> None:
        self._known.add(revision["digest"])
        self._put("learn", revision["digest"])

    def forget(self, names: list[str]) -> None:
        self._put("forget", names)

    def run(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._put("run", job)

    def _put(self, kind: str, what: object) -> None:
        self._queue.append((kind, what))
        self._woken.set()

    def drop(self, tokens: list[str]) -> None:
        dropped = [job.token for kind, job in self._queue if kind == "run" and job.token in tokens]
        self._queue = deque(item for item in self._queue if item[0] != "run" or item[1].token not in dropped)
        if self.process is not None and self.process.alive:
            self._tell(self.on_dropped, dropped)

    async def interrupt(self, token: str) -> None:
        if token == self._current:
            self._interrupted.set()

    def begun(self) -> str:
        return self._current or ""

    def last_words(self) -> str:
        return self._tail

    def said(self, token: str) -> None:
        """Its jobs do not say how far they are."""

    # ------------------------------------------------------------------ what it does

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._woken.clear()
                await self._woken.wait()
            kind, what = self._queue.popleft()
            if kind == "learn":
                self._learned.add(what)
            elif kind == "forget":
                for name in what:
                    self._named.pop(name, None)
                    self._kept.pop(name, None)
            else:
                await self._run(what)

    async def _run(self, job: Job) -> None:
        loop, ledger = asyncio.get_running_loop(), self.ledger
        told = {**(job.shared or {}), **job.header}
        parts = list(job.parts)
        habits = Habits(**json.loads(parts.pop(0)))
        parts.pop(0)
        inputs = {parent: digest_at(path) if path else sha(parts.pop(0)) for parent, path in told["inputs"]}
        use = told["elf"]
        assert use["revision"] in self._learned, "a job came before its code"
        execution = Execution(habits.job, self.worker, use["revision"], inputs, loop.time())
        ledger.executions.append(execution)
        if told["kept"]:
            self._kept.setdefault(use["name"], parts.pop(0))
        if use["name"] and use["name"] not in self._named:
            self._named[use["name"]] = json.loads(self._kept.get(use["name"], b"[]"))
        self._current, self._tail = job.token, ""
        self._interrupted.clear()
        began = loop.time()
        ended = await self._wait(habits)
        header = {"done": job.token, "elapsed": loop.time() - began}
        if ledger.draws(habits.dies):
            self._tail = "its last words\n"
            self._die("was killed by signal 11 (SIGSEGV)")
            await asyncio.sleep(3600)  # never goes on: the process is dead
        if ledger.draws(habits.prints, bad=False):
            self._print(job.token, header)
        if not ended or ledger.draws(habits.raises):
            name = "ValueError" if ended else "KeyboardInterrupt"
            failure = {"type": name, "message": "by chance"}
            self._current = ""
            told = {"ok": False, "failure": failure, "refused": False, "memory": False}
            self._tell(self.on_done, header | told, [])
            return
        self._current = ""
        self._return(job.token, use["name"], habits, execution, header)

    async def _wait(self, habits: Habits) -> bool:
        """Take the job's time; False when it was interrupted."""
        ledger = self.ledger
        takes_s = ledger.chance.random() * (0.0005 if habits.quick else 0.01)
        if ledger.draws(habits.slow):
            takes_s = 0.2 + 5 * ledger.chance.random() ** 2
        if ledger.draws(habits.stubborn):
            await asyncio.sleep(takes_s + 20 * ledger.chance.random())
            return True
        try:
            async with asyncio.timeout(takes_s):
                await self._interrupted.wait()
        except TimeoutError:
            return True
        return False

    def _print(self, token: str, header: dict) -> None:
        self._tail = f"{token} was here\n"
        self._tell(self.on_output, token, "stream", {"name": "stdout", "text": self._tail})
        self._tell(self.on_output, token, "status", {"execution_state": "idle"})
        header["output"] = True

    def _return(self, token: str, name: str, habits: Habits, execution: Execution, header: dict) -> None:
        execution.word = f"{habits.job} {token}"
        data, parts = execution.word.encode(), []
        if self.ledger.draws(habits.large, bad=False):
            data = data.ljust(LARGE, b".")
            path = self.values / f"out-{uuid.uuid4().hex}"
            path.write_bytes(data)
            header["file"] = {"path": str(path), "digest": sha(data), "size": len(data)}
        else:
            parts.append(data)
        execution.value = sha(data)
        if name:
            self._named[name] = [*self._named[name], execution.value]
            self._kept[name] = json.dumps(self._named[name]).encode()
            header["keep"] = True
            parts.append(self._kept[name])
        self._tell(self.on_done, header | {"ok": True, "preview": execution.word}, parts)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_at(path: str) -> str:
    return sha(Path(path).read_bytes())
