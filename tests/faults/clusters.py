"""Servers of our own beside the embedded one: a cluster of three on loopback, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ground import Ground, environment, fresh, make_folder, need, until

from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.place import Place
from elfbook.store.server import server_program

CONFIG = """\
listen: "{host}:{port}"
server_name: "{name}"
max_payload: 8MB
accounts {{
  ELFBOOK: {{ jetstream: enabled, users: [ {{ user: "elf", password: "{password}" }} ] }}
  SYSTEM: {{ users: [ {{ user: "system", password: "{password}" }} ] }}
}}
system_account: SYSTEM
jetstream {{ store_dir: "{store}", sync_interval: {sync} }}
log_file: "{log}"
{cluster}
"""
ROUTES = """\
cluster {{ name: three, listen: "{host}:{port}", authorization {{ user: r, password: "{password}" }}, routes: [{routes}] }}
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Server:
    """One nats-server with a folder of its own."""

    name: str
    folder: Path
    port: int
    config: str
    program: str = ""
    inside: tuple[str, ...] = ()
    """Words before the program, such as those that start it in a network namespace."""
    process: subprocess.Popen | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "server.conf"
        path.write_text(self.config)
        command = [*self.inside, self.program or server_program(), "-c", str(path)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def send(self, what: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, what)

    def kill(self) -> None:
        """Holds afterwards: it has ended, by SIGKILL."""
        self.send(signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """Three servers that keep every stream three times."""

    folder: Path
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    servers: list[Server] = field(default_factory=list)

    def arrange(self, stores: list[Path], sync: str = "always") -> None:
        """Decide on ports and configurations; starts nothing."""
        ports, routes = free_ports(3), free_ports(3)
        others = ", ".join(f'"nats://r:{self.password}@127.0.0.1:{port}"' for port in routes)
        for number, store in enumerate(stores):
            name = f"n{number}"
            cluster = ROUTES.format(
                host="127.0.0.1", port=routes[number], password=self.password, routes=others
            )
            config = CONFIG.format(
                host="127.0.0.1", port=ports[number], name=name, password=self.password, store=store,
                sync=sync, log=store / "server.log", cluster=cluster,
            )  # fmt: skip
            self.servers.append(Server(name, store, ports[number], config))

    def url(self, number: int = 0) -> str:
        return f"nats://elf:{self.password}@127.0.0.1:{self.servers[number].port}"

    async def start(self) -> None:
        """Holds afterwards: all three run and one of them leads."""
        for server in self.servers:
            server.start()
        await self.whole()

    async def whole(self, timeout_s: float = 40.0) -> None:
        """Holds afterwards: JetStream of the cluster answers through each of the servers."""
        for number in range(len(self.servers)):
            await until(lambda number=number: self._answers(number), f"server {number} answers", timeout_s)

    async def _answers(self, number: int) -> bool:
        try:
            link = await Link.open(self.url(number), timeout_s=1)
        except Exception:
            return False
        try:
            await link.api("INFO", timeout_s=1)
            await link.api("STREAM.NAMES", timeout_s=1)
            return True
        except (Unanswered, Refused):
            return False
        finally:
            await link.close()

    def stop(self) -> None:
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                server.send(signal.SIGCONT)
                server.kill()

    async def leader(self, ground: Ground, stream: str) -> Server:
        """The server that leads a stream now."""

        async def found() -> str:
            try:
                facts = await ground.client.mycelium.link.api(f"STREAM.INFO.{stream}", timeout_s=1)
            except (Unanswered, Refused):
                return ""
            return facts.get("cluster", {}).get("leader", "")

        name = await until(found, f"{stream} has a leader")
        return next(server for server in self.servers if server.name == name)


async def replicate(ground: Ground, copies: int = 3) -> None:
    """Have every stream on all servers, as an operator would; elfbook makes them with one copy."""
    link, names = ground.client.mycelium.link, ground.client.mycelium.names
    for stream in names.stream_subjects():
        facts = await link.api(f"STREAM.INFO.{stream}")
        if facts["config"]["num_replicas"] != copies:
            config = facts["config"] | {"num_replicas": copies}
            await link.api(f"STREAM.UPDATE.{stream}", config, timeout_s=10)

        async def current(stream: str = stream) -> bool:
            try:
                facts = await link.api(f"STREAM.INFO.{stream}")
            except (Unanswered, Refused):
                return False
            replicas = facts.get("cluster", {}).get("replicas") or ()
            return len(replicas) == copies - 1 and all(each.get("current") for each in replicas)

        await until(current, f"{stream} is on {copies} servers", 40)


@contextlib.asynccontextmanager
async def on_three(workers: int = 2) -> AsyncIterator[tuple[Cluster, Ground]]:
    """A mycelium on a cluster of three, with every stream three times."""
    folder = make_folder()
    cluster = Cluster(folder)
    try:
        with environment(folder):
            cluster.arrange([folder / f"n{number}" for number in range(3)])
            await cluster.start()
            async with fresh(0, url=cluster.url()) as ground:
                await replicate(ground)
                ground.workers = workers
                await ground.tree.whole(workers)
                try:
                    yield cluster, ground
                finally:
                    for server in cluster.servers:
                        server.send(signal.SIGCONT)
    finally:
        cluster.stop()
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Cluster", "Place", "Server", "asyncio", "need", "on_three", "replicate", "time"]
