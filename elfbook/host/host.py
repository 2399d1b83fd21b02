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

from elfbook.errors import ElfbookError, MyceliumError
from elfbook.host.hostfile import ASK_S, IDLE_S, last_line
from elfbook.host.storekeeper import Storekeeper
from elfbook.store.link import Message, Refused, Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json, write_json
from elfbook.store.server import ensure_server, locked, stop_server
from elfbook.wire import digest_of

log = logging.getLogger("elfbook")

LOOK_S = 0.1
SERVER_LOOK_S = 0.5
FAST_DEATH_S = 10.0
TROUBLE_AFTER = 3
SAY_GONE_S = 60.0
IDLE_LOOK_S = 5.0
LEAVE_S = 8.0


@dataclass(eq=False)
class Child:
    """A process the host keeps going."""

    name: str
    command: list[str]
    elf: tuple[str, ...] = ()
    kernel: str = ""
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    fast_deaths: int = 0
    ready: bool = False
    kernel_pid: int = 0


@dataclass(eq=False)
class Host:
    """Everything that serves one place on this machine."""

    place: Place
    runtime: Path
    """A short private directory: socket paths may have at most 107 characters."""
    mycelium: Mycelium | None = None
    workers: dict[str, Child] = field(default_factory=dict)
    scheduler: Child | None = None
    keep: bool = False
    idle_s: float = IDLE_S
    next_worker: int = 1
    gone: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Workers that have died: when, and how."""
    trouble: str = ""
    store: Storekeeper | None = None
    started_server: bool = False
    server_pid: int = 0
    _needed_at: float = field(default_factory=time.monotonic)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Serve until told to stop or idle; holds afterwards: all children have ended."""
        earlier = read_json(self.place.host_file) or {}
        # A name is one life: claims of a worker that has ended must never look like a living one's.
        roll = read_json(self.place.roll_file) or {}
        self.next_worker = roll.get("next_worker", 1)
        for name in roll.get("workers", ()):
            self.gone[name] = (time.monotonic(), "was ended together with its host")
        answering = await asyncio.start_unix_server(self._answer, path=str(self.runtime / "host"))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self._connect()
            for known in earlier.get("wanted", ()):
                self._want(known["count"], known["kernel"], (), known["pool"])
                self._want(None, known["kernel"], tuple(known["elf"]), known["pool"])
            self.scheduler = Child("scheduler", self._command("host.schedulerprocess", "scheduler"))
            self._save()
            loops = [self._supervise(), self._mind_server(), self._mind_idle()]
            loops += [self.store.keep_comparing(), self.store.mind_room(), self.store.hear_asides()]
            tasks = [asyncio.create_task(loop) for loop in loops]
            stopped = asyncio.create_task(self._stop.wait())
            done, pending = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            for task in done - {stopped}:
                task.result()
        finally:
            answering.close()
            await self._end_children()
            if self.mycelium is not None:
                await self.mycelium.close()
            if not self.place.url:
                await asyncio.to_thread(stop_server, self.place)

    async def _connect(self) -> None:
        if not self.place.url:
            self.started_server = await asyncio.to_thread(ensure_server, self.place)
            self.server_pid = read_json(self.place.server_file)["pid"]
        self.mycelium = await Mycelium.open(
            self.place.address(),
            key=self.place.key(),
            namespace=self.place.namespace,
            name="elfbook host",
            locate=self.place.locate,
        )
        names = self.mycelium.names
        await self.mycelium.link.subscribe(names.every_beat, self._hear_beat)
        await self.mycelium.link.subscribe(names.client_beat, lambda _: self._needed())
        await self.mycelium.link.publish(names.census)
        self.store = Storekeeper(self.place, self.mycelium, self._server_restarted)
        await self.store.begin()

    def _server_restarted(self) -> None:
        self.server_pid = (read_json(self.place.server_file) or {}).get("pid", 0)

    def _save(self) -> None:
        groups: dict[tuple[str, str, tuple[str, ...]], int] = {}
        for child in self.workers.values():
            key = (child.kernel, child.command[child.command.index("--pool") + 1], child.elf)
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

    def _command(self, module: str, name: str) -> list[str]:
        command = [sys.executable, "-m", f"elfbook.{module}", "--state-dir", str(self.place.state_dir)]
        command += ["--namespace", self.place.namespace, "--name", name, "--parent"]
        return [*command, "--url", self.place.url] if self.place.url else command

    def _want(self, count: int | None, kernel: str, elf: tuple[str, ...], pool: str) -> None:
        """Have at least so many workers for all comers, and one for each named elf."""
        free = [c for c in self.workers.values() if not c.elf and c.kernel == kernel and pool in c.command]
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
        command = self._command("work.workerprocess", name)
        command += ["--kernel", kernel, "--pool", pool, "--runtime", str(self.runtime)]
        for each in elf:
            command += ["--elf", each]
        self.workers[name] = Child(name, command, elf, kernel)

    async def _start(self, child: Child) -> None:
        self.place.logs.mkdir(mode=0o700, exist_ok=True)
        with open(self.place.logs / f"{child.name}.log", "ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child.started_at, child.ready = time.monotonic(), False

    async def _supervise(self) -> None:
        """Start what is wanted; start again what has died."""
        while True:
            for child in [self.scheduler, *list(self.workers.values())]:
                if child.process is None:
                    if child is not self.scheduler or not child.started_at or await self.store.looked():
                        await self._start(child)
                elif child.process.returncode is not None:
                    await self._died(child)
            await self._say_gone()
            await asyncio.sleep(LOOK_S)

    async def _died(self, child: Child) -> None:
        code = child.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        child.process = None
        fast = time.monotonic() - child.started_at < FAST_DEATH_S and not child.ready
        child.fast_deaths = child.fast_deaths + 1 if fast else 0
        log.warning("%s %s", child.name, how)
        if child.fast_deaths >= TROUBLE_AFTER:
            words = last_line(self.place.logs / f"{child.name}.log") or "it left no message"
            self.trouble = f"{child.name} does not start: {words}"
            child.started_at = time.monotonic()
            await asyncio.sleep(1)
        if child is self.scheduler:
            return
        if child.kernel_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.kernel_pid, signal.SIGKILL)
        # A name is one life: its claims must not look alive because a successor is.
        del self.workers[child.name]
        self.gone[child.name] = (time.monotonic(), how)
        self._add_worker(child.kernel, child.elf, child.command[child.command.index("--pool") + 1])
        list(self.workers.values())[-1].fast_deaths = child.fast_deaths
        with contextlib.suppress(OSError):  # a full disk is no reason to have no worker
            self._save()

    async def _say_gone(self) -> None:
        now = time.monotonic()
        for worker, (at, how) in list(self.gone.items()):
            if now - at > SAY_GONE_S:
                del self.gone[worker]
                continue
            with contextlib.suppress(Unanswered, MyceliumError):
                await self.mycelium.link.publish(self.mycelium.names.gone(worker), how.encode())

    def _hear_beat(self, message: Message) -> None:
        beat = self.mycelium.beat_in(message)
        if beat is None:
            return
        child = self.workers.get(beat.worker)
        if child is not None:
            child.ready, child.kernel_pid = True, beat.kernel_pid
            child.fast_deaths, self.trouble = 0, ""
        if beat.running:
            self._needed()

    async def _end_children(self) -> None:
        """Ask them to leave by closing their pipes; end those that do not."""
        children = [child for child in [self.scheduler, *self.workers.values()] if child and child.process]
        for child in children:
            if child.process.stdin:
                child.process.stdin.close()
        for child in children:
            try:
                async with asyncio.timeout(LEAVE_S):
                    await child.process.wait()
            except TimeoutError:
                child.process.kill()
                await child.process.wait()
            if child.kernel_pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.kernel_pid, signal.SIGKILL)

    # ------------------------------------------------------------------ server and idleness

    async def _mind_server(self) -> None:
        while not self.place.url:
            await asyncio.sleep(SERVER_LOOK_S)
            if not self.mycelium.link.connected:
                try:
                    if await asyncio.to_thread(ensure_server, self.place):
                        log.warning("nats-server was started again")
                    self.server_pid = read_json(self.place.server_file)["pid"]
                except (MyceliumError, OSError) as error:
                    self.trouble = str(error)
        await asyncio.Event().wait()

    def _needed(self) -> None:
        self._needed_at = time.monotonic()

    async def _mind_idle(self) -> None:
        while True:
            await asyncio.sleep(min(IDLE_LOOK_S, self.idle_s / 2))
            if self.keep or time.monotonic() - self._needed_at < self.idle_s:
                continue
            try:
                settled = await self.mycelium.settled_runs()
                open_ones = [each.run async for each in self.mycelium.manifests() if each.run not in settled]
            except (Unanswered, Refused, MyceliumError):
                continue
            if not open_ones:
                log.warning("idle for %g s: ending", self.idle_s)
                self._stop.set()

    # ------------------------------------------------------------------ requests

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                request = json.loads(await reader.readline())
            self._needed()
            writer.write(json.dumps(self._reply(request)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("a request was not answered: %s", error)
        finally:
            writer.close()

    def _reply(self, request: dict) -> dict:
        match request["verb"]:
            case "up":
                self.keep = self.keep or request["keep"]
                self.idle_s = request["idle_s"]
                self._want(request["workers"], request["kernel"], tuple(request["elf"]), request["pool"])
                if self.scheduler is not None:
                    self._save()
                return {"wanted": len(self.workers), "started_server": self.started_server}
            case "down":
                self._stop.set()
        return {
            "pid": os.getpid(),
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
            "server_pid": self.server_pid,
            "scheduler_pid": self.scheduler.process.pid if self.scheduler and self.scheduler.process else 0,
            "url": self.mycelium.address.url if self.mycelium else "",
            "durability": self.mycelium.durability if self.mycelium else "",
            "trouble": self.trouble,
            "losses": self.store.losses if self.store else [],
            "asides": list(self.store.asides) if self.store else [],
            "pressure": self.store.trouble if self.store else "",
        }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="elfbook host", description="Serve one mycelium on this machine.")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--namespace", default="main")
    parser.add_argument("--url")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    place = Place(args.state_dir, args.url, args.namespace)
    place.prepare()
    try:
        # A host that is just ending holds its lock until its last child has gone.
        with locked(place.state_dir / "host.lock", LEAVE_S + 2), place.runtime() as runtime:
            asyncio.run(Host(place, runtime).run())
            place.host_file.unlink(missing_ok=True)
            shutil.rmtree(place.shelf, ignore_errors=True)
    except ElfbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
