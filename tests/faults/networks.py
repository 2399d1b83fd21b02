"""Machines of our own: network namespaces on a bridge, each with one address, and what cuts them off.

Only what is inside these namespaces listens there. The namespace of whoever calls has an address
on the bridge too, as the machine of the notebook. Off loopback elfbook wants TLS and credentials,
so there is a certificate made for the occasion.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clusters import CONFIG, ROUTES, Server
from ground import LEASE_S, Ground, NotHere, environment, fresh, hostfile, make_folder, until
from images import tell

from elfbook.errors import ElfbookError
from elfbook.store.link import Link, Refused, Unanswered
from elfbook.store.place import Place

NET = "10.213.77"
PORT = 4222
TLS = 'tls {{ cert_file: "{folder}/cert.pem", key_file: "{folder}/key.pem" }}\n'


def missing() -> str:
    """Why no namespaces can be made here; empty when they can."""
    if os.geteuid():
        return "making network namespaces needs root"
    for program in ("ip", "openssl"):
        if shutil.which(program) is None:
            return f"the program {program} is not here"
    return ""


@dataclass
class Net:
    """Namespaces around a hub; the one called `here` is our own."""

    mark: str = field(default_factory=lambda: secrets.token_hex(2))
    machines: dict[str, int] = field(default_factory=dict)
    """Name to the last part of its address."""

    @property
    def hub(self) -> str:
        return f"elf{self.mark}hub"

    def name(self, machine: str) -> str:
        return f"elf{self.mark}{machine}"

    def address(self, machine: str) -> str:
        return f"{NET}.{self.machines[machine]}"

    def inside(self, machine: str) -> tuple[str, ...]:
        """Words that start a program there."""
        return () if machine == "here" else ("ip", "netns", "exec", self.name(machine))

    def named(self, machine: str) -> tuple[str, ...]:
        """The same, with a host name of its own, as machines have."""
        own = ("unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', machine)
        return (*self.inside(machine), *own)

    def _in_hub(self, *words: object) -> None:
        tell("ip", "netns", "exec", self.hub, "ip", *words)

    def make(self, *machines: str) -> None:
        tell("ip", "netns", "add", self.hub)
        self._in_hub("link", "add", "bridge", "type", "bridge")
        self._in_hub("link", "set", "bridge", "up")
        for machine in machines:
            self.add(machine)

    def add(self, machine: str) -> None:
        number = self.machines[machine] = 10 + len(self.machines)
        outer, inner = f"e{self.mark}o{number}", f"e{self.mark}i{number}"
        tell("ip", "link", "add", inner, "type", "veth", "peer", "name", outer, "netns", self.hub)
        if machine != "here":
            tell("ip", "netns", "add", self.name(machine))
            tell("ip", "link", "set", inner, "netns", self.name(machine))
        for words in (
            ("addr", "add", f"{self.address(machine)}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            tell(*self.inside(machine), "ip", *words)
        self._in_hub("link", "set", outer, "master", "bridge", "up")

    def cut(self, machine: str) -> None:
        """Holds afterwards: nothing goes to or from the machine, and nobody is told."""
        self._in_hub("link", "set", f"e{self.mark}o{self.machines[machine]}", "nomaster")

    def heal(self, machine: str) -> None:
        self._in_hub("link", "set", f"e{self.mark}o{self.machines[machine]}", "master", "bridge")

    def deafen(self, machine: str, *to: str) -> None:
        """Holds afterwards: the machine hears nothing from those, while they hear it."""
        if shutil.which("nft") is None:
            raise NotHere("the program nft is not here (Debian package nftables)")
        rules = ["add table inet elf", "add chain inet elf in { type filter hook input priority 0; }"]
        rules += [f"add rule inet elf in ip saddr {self.address(other)} drop" for other in to]
        for rule in rules:
            tell(*self.inside(machine), "nft", rule)

    def hear(self, machine: str) -> None:
        tell(*self.inside(machine), "nft", "delete table inet elf")

    def unmake(self) -> None:
        for machine in self.machines:
            if machine == "here":
                tell("ip", "link", "del", f"e{self.mark}i{self.machines[machine]}")
            else:
                tell("ip", "netns", "del", self.name(machine))
        tell("ip", "netns", "del", self.hub)


@contextlib.contextmanager
def net_of(*machines: str) -> Iterator[Net]:
    """A network of these machines; gone afterwards."""
    if reason := missing():
        raise NotHere(reason)
    net = Net()
    try:
        net.make(*machines)
        yield net
    finally:
        net.unmake()


def certificate(folder: Path, addresses: list[str]) -> Path:
    """A certificate for these addresses and its key; gives the file that vouches for it."""
    names = ",".join(f"IP:{address}" for address in addresses)
    tell(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=elfbook", "-addext", f"subjectAltName={names}",
        "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
    )  # fmt: skip
    return folder / "cert.pem"


@dataclass
class Wide:
    """A mycelium over several machines: servers here, hosts with workers there, the notebook with us."""

    net: Net
    folder: Path
    ground: Ground | None = None
    servers: list[Server] = field(default_factory=list)
    hosts: list[subprocess.Popen] = field(default_factory=list)
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    def url(self, machine: str) -> str:
        return f"tls://elf:{self.password}@{self.net.address(machine)}:{PORT}"

    def serve(self, *machines: str) -> None:
        """Start a server on each; several are a cluster."""
        others = ", ".join(f'"nats://r:{self.password}@{self.net.address(each)}:6222"' for each in machines)
        for machine in machines:
            store = self.folder / f"store-{machine}"
            cluster = TLS.format(folder=self.folder)
            if len(machines) > 1:
                address = self.net.address(machine)
                cluster += ROUTES.format(host=address, port=6222, password=self.password, routes=others)
            config = CONFIG.format(
                host=self.net.address(machine), port=PORT, name=f"n{machine}", password=self.password,
                store=store, sync="always", log=store / "server.log", cluster=cluster,
            )  # fmt: skip
            server = Server(f"n{machine}", store, PORT, config, inside=self.net.inside(machine))
            server.start()
            self.servers.append(server)

    async def host(self, machine: str, workers: int, at: str) -> Place:
        """Holds afterwards: a host on the machine has so many workers ready."""
        place = Place(self.folder / f"host-{machine}", self.url(at))
        place.prepare()
        log = (self.folder / f"host-{machine}.log").open("wb")
        command = [*self.net.named(machine), sys.executable, "-m", "elfbook.host.host", "--state-dir"]
        command += [str(place.state_dir), "--url", place.url]
        quiet = subprocess.DEVNULL
        self.hosts.append(
            subprocess.Popen(command, stdin=quiet, stdout=log, stderr=log, start_new_session=True)
        )
        await until(place.host_file.exists, f"the host on {machine} is up", 30)
        await asyncio.to_thread(hostfile.ensure, place, workers=workers)
        return place

    def stop_hosts(self) -> None:
        for process in self.hosts:
            process.terminate()
        for process in self.hosts:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.hosts.clear()

    def stop(self) -> None:
        self.stop_hosts()
        for server in self.servers:
            server.kill()


async def answers(url: str) -> bool:
    """True once a server's JetStream answers; one of a cluster does not before they have found each other."""
    try:
        link = await Link.open(url, timeout_s=2)
    except ElfbookError:
        return False
    try:
        await link.api("STREAM.NAMES", timeout_s=1)
        return True
    except (Refused, Unanswered):
        return False
    finally:
        await link.close()


@contextlib.asynccontextmanager
async def wide(*servers: str, others: tuple[str, ...] = ()) -> AsyncIterator[Wide]:
    """Servers on these machines, and the notebook's ground; hosts are started by whoever needs them."""
    folder = make_folder()
    try:
        with net_of("here", *servers, *others) as net:
            made = Wide(net, folder)
            trusted = certificate(folder, [net.address(each) for each in servers])
            words = [("SSL_CERT_FILE", str(trusted)), ("ELFBOOK_KEY_FILE", str(folder / "key"))]
            with environment(folder, words):
                made.serve(*servers)
                try:
                    for each in servers:
                        await until(
                            lambda each=each: answers(made.url(each)), f"the server on {each} answers", 60
                        )
                    async with fresh(0, url=made.url(servers[0]), extra=words) as ground:
                        made.ground = ground
                        try:
                            yield made
                        finally:
                            await asyncio.to_thread(made.stop_hosts)
                finally:
                    made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["LEASE_S", "Net", "Wide", "wide"]
