"""The host: one detached process per machine and mycelium, parent of everything that serves it.

It starts the embedded nats-server, a scheduler and the workers, starts again what dies, answers
on a socket of its own, and ends by itself when nobody has needed it for a while. Children
hold the read end of a pipe from it: when it dies, however it dies, they leave.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.host.children import Child, execute, fork
from elfbook.host.hostfile import ASK_S, IDLE_S, last_line
from elfbook.host.serving import Serving
from elfbook.model import Beat
from elfbook.store.beside import ended
from elfbook.store.place import Place, read_json, write_json
from elfbook.store.server import ensure_server, locked, stop_server
from elfbook.wire import digest_of
from elfbook.work.processes import life_of

log = logging.getLogger("elfbook")

LOOK_S = 0.1
FAST_DEATH_S = 10.0
TROUBLE_AFTER = 3
SAY_GONE_S = 60.0
IDLE_LOOK_S = 5.0
LEAVE_S = 8.0


@dataclass(eq=False)
class Host:
    """Everything that serves one place on this machine."""

    place: Place
    runtime: Path
    """A short private directory: socket paths may have at most 107 characters."""
    serving: Serving | None = None
    """None until the server is there and what its store has lost is known."""
    workers: dict[str, Child] = field(default_factory=dict)
    scheduler: Child | None = None
    keep: bool = False
    idle_s: float = IDLE_S
    next_worker: int = 1
    gone: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Workers that have died: when, and how."""
    trouble: str = ""
    """Why the server cannot be started again."""
    started_server: bool = False
    _needed_at: float = field(default_factory=time.monotonic)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _look: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be a child to start, or to let begin."""
    _new: bool = True
    """True when none was here before that was killed."""
    _scheduled: bool = False
    """True once a scheduler was let begin; whoever comes after it has to wait for a look at the store."""

    # ------------------------------------------------------------------ life

    def recall(self, asked: dict | None) -> None:
        """Want what the host before this one had, and what is asked for with its start."""
        earlier = read_json(self.place.host_file) or {}
        self._new = not earlier
        # A name is one life: claims of a worker that has ended must never look like a living one's.
        roll = read_json(self.place.roll_file) or {}
        self.next_worker = roll.get("next_worker", 1)
        for name in roll.get("workers", ()):
            self.gone[name] = (time.monotonic(), "was ended together with its host")
        for known in earlier.get("wanted", ()):
            self._want(known["count"], known["kernel"], (), known["pool"])
            self._want(None, known["kernel"], tuple(known["elf"]), known["pool"])
        if asked:
            self._up(asked)
        self.scheduler = self._child("host.schedulerprocess", "scheduler", [])
        self._save()

    def fork(self) -> None:
        """Start all children that are wanted, while this process has one thread and no event loop."""
        for child in self.children:
            child.start(fork)

    async def run(self) -> None:
        """Serve until told to stop or idle; holds afterwards: all children have ended."""
        answering = await asyncio.start_unix_server(self._answer, path=str(self.runtime / "host"))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            tasks = [asyncio.create_task(loop) for loop in (self._supervise(), self._serve())]
            stopped = asyncio.create_task(self._stop.wait())
            done, pending = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await ended(pending)
            for task in done - {stopped}:
                task.result()
        except BaseException:
            if self.serving is None and self._new:
                self.place.host_file.unlink(missing_ok=True)  # it never served anybody
            raise
        finally:
            answering.close()
            await self._end_children()
            if self.serving is not None:
                await self.serving.mycelium.close()
            if not self.place.url:
                await asyncio.to_thread(stop_server, self.place)

    async def _serve(self) -> None:
        """Have a server, and look after it until cancelled."""
        if not self.place.url:
            self.started_server = await asyncio.to_thread(ensure_server, self.place)
        self.serving = await Serving.open(
            self.place, on_beat=self._hear_beat, on_client=self._needed, on_trouble=self._troubled,
            on_scheduler=self._hear_scheduler,
        )  # fmt: skip
        self._look.set()
        await asyncio.gather(self.serving.keep(), self._mind_idle())

    def _troubled(self, why: str) -> None:
        self.trouble = why

    def _save(self) -> None:
        groups: dict[tuple[str, str, tuple[str, ...]], int] = {}
        for child in self.workers.values():
            key = (child.kernel, child.pool, child.elf)
            groups[key] = groups.get(key, 0) + 1
        wanted = [
            {"kernel": kernel, "pool": pool, "elf": list(elf), "count": None if elf else count}
            for (kernel, pool, elf), count in groups.items()
        ]
        write_json(self.place.roll_file, {"next_worker": self.next_worker, "workers": sorted(self.workers)})
        write_json(
            self.place.host_file,
            {
                "pid": os.getpid(),
                "socket": str(self.runtime / "host"),
                "wanted": wanted,
            },
        )

    # ------------------------------------------------------------------ children

    @property
    def children(self) -> list[Child]:
        """All that it keeps going, the workers first."""
        return [*self.workers.values(), *([self.scheduler] if self.scheduler else [])]

    def _child(self, module: str, name: str, words: list[str]) -> Child:
        usual = ["--state-dir", str(self.place.state_dir), "--namespace", self.place.namespace]
        usual += ["--name", name, "--parent", *(["--url", self.place.url] if self.place.url else [])]
        return Child(name, module, usual + words, self.place.logs / f"{name}.log")

    def _want(self, count: int | None, kernel: str, elf: tuple[str, ...], pool: str) -> None:
        """Have at least so many workers for all comers, and one for each named elf."""
        free = [c for c in self.workers.values() if not c.elf and c.kernel == kernel and c.pool == pool]
        for _ in range((count or 0) - len(free)):
            self._add_worker(kernel, (), pool)
        for name in elf:
            if not any(name in child.elf for child in self.workers.values()):
                self._add_worker(kernel, (name,), pool)

    def _add_worker(self, kernel: str, elf: tuple[str, ...], pool: str) -> None:
        prefix = ""
        if self.place.url:
            # A name is one life in the whole mycelium: two hosts on one machine, or two containers with
            # one host name, number their workers from one each.
            where = digest_of(str(self.place.state_dir).encode())[:4]
            prefix = f"{socket.gethostname().split('.')[0]}-{where}-"
        name = f"{prefix}worker-{self.next_worker}"
        self.next_worker += 1
        words = ["--kernel", kernel, "--pool", pool, "--runtime", str(self.runtime)]
        for each in elf:
            words += ["--elf", each]
        child = self._child("work.workerprocess", name, words)
        child.elf, child.kernel, child.pool = elf, kernel, pool
        self.workers[name] = child

    async def _supervise(self) -> None:
        """Start what is wanted; start again what has died."""
        while True:
            self._look.clear()
            for child in self.children:
                if child.process is not None and child.process.look() is not None:
                    await self._died(child)
            for child in self.children:
                if child.process is None:
                    child.start(execute)
                if not child.told and self.serving is not None and await self._may_begin(child):
                    child.process.begin()
                    child.told = True
            if self.serving is not None:
                await self._say_gone()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()

    async def _may_begin(self, child: Child) -> bool:
        """True when the child may connect; a scheduler once the store was looked at since the last one."""
        if child is not self.scheduler or not self._scheduled:
            self._scheduled |= child is self.scheduler
            return True
        return await self.serving.store.looked()

    async def _died(self, child: Child) -> None:
        code = child.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        child.process = None
        fast = time.monotonic() - child.started_at < FAST_DEATH_S and not child.ready
        child.fast_deaths = child.fast_deaths + 1 if fast else 0
        log.warning("%s %s", child.name, how)
        if child.fast_deaths >= TROUBLE_AFTER:
            words = last_line(self.place.logs / f"{child.name}.log") or "it left no message"
            child.trouble = f"{child.name} does not start: {words}"
            child.started_at = time.monotonic()
            await asyncio.sleep(1)
        if child is self.scheduler:
            return
        child.end_kernel()
        # A name is one life: its claims must not look alive because a successor is.
        del self.workers[child.name]
        self.gone[child.name] = (time.monotonic(), how)
        self._add_worker(child.kernel, child.elf, child.pool)
        successor = list(self.workers.values())[-1]
        successor.fast_deaths, successor.trouble = child.fast_deaths, child.trouble
        with contextlib.suppress(OSError):  # a full disk is no reason to have no worker
            self._save()

    async def _say_gone(self) -> None:
        now = time.monotonic()
        for worker, (at, how) in list(self.gone.items()):
            if now - at > SAY_GONE_S:
                del self.gone[worker]
            else:
                await self.serving.say_gone(worker, how)

    def _hear_beat(self, beat: Beat) -> None:
        child = self.workers.get(beat.worker)
        if child is not None:
            child.heard()
            child.kernel_pid, self.trouble = beat.kernel_pid, ""
        if beat.running:
            self._needed()

    def _hear_scheduler(self, who: str) -> None:
        process = self.scheduler.process
        if process is not None and who.startswith(life_of(process.pid)):
            self.scheduler.heard()

    async def _end_children(self) -> None:
        """Ask them to leave by closing their pipes; end those that do not."""
        children = [child for child in [self.scheduler, *self.workers.values()] if child and child.process]
        for child in children:
            child.process.close()
        for child in children:
            try:
                async with asyncio.timeout(LEAVE_S):
                    await child.process.wait()
            except TimeoutError:
                child.process.kill()
                await child.process.wait()
            child.end_kernel()

    # ------------------------------------------------------------------ idleness

    def _needed(self) -> None:
        self._needed_at = time.monotonic()

    async def _mind_idle(self) -> None:
        while True:
            await asyncio.sleep(min(IDLE_LOOK_S, self.idle_s / 2))
            if self.keep or time.monotonic() - self._needed_at < self.idle_s:
                continue
            if not await self.serving.has_open_runs():
                log.warning("idle for %g s: ending", self.idle_s)
                self._stop.set()

    # ------------------------------------------------------------------ requests

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                request = json.loads(await reader.readline())
            if not request.get("onlooker"):
                self._needed()
            writer.write(json.dumps(self._reply(request)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("a request was not answered: %s", error)
        finally:
            writer.close()

    def _up(self, asked: dict) -> None:
        self.keep = self.keep or asked["keep"]
        self.idle_s = asked["idle_s"]
        self._want(asked["workers"], asked["kernel"], tuple(asked["elf"]), asked["pool"])

    def _reply(self, request: dict) -> dict:
        match request["verb"]:
            case "up":
                self._up(request)
                self._save()
                self._look.set()
                return {"wanted": len(self.workers)}
            case "down":
                self._stop.set()
        serving, store = self.serving, self.serving and self.serving.store
        return {
            "pid": os.getpid(),
            "started_server": self.started_server,
            "workers": [
                {
                    "name": child.name,
                    "pid": child.process.pid if child.process else 0,
                    "ready": child.ready,
                    "elf": list(child.elf),
                    "kernel": child.kernel,
                }
                for child in self.workers.values()
            ],
            "server_pid": serving.server_pid if serving else 0,
            "scheduler_pid": self.scheduler.process.pid if self.scheduler and self.scheduler.process else 0,
            "url": serving.mycelium.address.url if serving else "",
            "durability": serving.mycelium.durability if serving else "",
            "trouble": self.trouble or next((child.trouble for child in self.children if child.trouble), ""),
            "losses": store.losses if store else [],
            "asides": list(store.asides) if store else [],
            "pressure": store.trouble if store else "",
        }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="elfbook host", description="Serve one mycelium on this machine.")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--namespace", default="main")
    parser.add_argument("--url")
    parser.add_argument("--up", type=json.loads, metavar="JSON", help="what `up` asks for, for a quick start")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    place = Place(args.state_dir, args.url, args.namespace)
    place.prepare()
    try:
        # A host that is just ending holds its lock until its last child has gone.
        with locked(place.state_dir / "host.lock", LEAVE_S + 2), place.runtime() as runtime:
            host = Host(place, runtime)
            host.recall(args.up)
            host.fork()
            asyncio.run(host.run())
            place.host_file.unlink(missing_ok=True)
            shutil.rmtree(place.shelf, ignore_errors=True)
    except ElfbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
