"""A server that is none, that will not do, or does not let us in: each is named, and none is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from elfbook.errors import AccessDenied, MyceliumError, MyceliumUnreachable, WrongServer
from elfbook.store.address import Address
from elfbook.store.follow import Follower
from elfbook.store.mycelium import Mycelium
from elfbook.store.server import server_program
from tests.frozen import freeze

KEY = b"k" * 32
CONFIG = """\
listen: "127.0.0.1:{port}"
accounts {{
  ONE: {{ jetstream: enabled, users: [ {users} ] }}
  POOR: {{ users: [ {{ user: "poor", password: "pass" }} ] }}
}}
{jetstream}
"""
ELF = '{ user: "elf", password: "pass" }'
READER = '{ user: "reader", password: "pass", permissions: { publish: "$JS.API.>", subscribe: ">" } }'
OTHER = '{ user: "other", password: "pass" }'


@dataclass
class Own:
    """A server of one's own, whose configuration can be changed while it runs."""

    folder: Path
    process: subprocess.Popen | None = None
    port: int = -1

    def configure(self, *users: str, jetstream: bool = True) -> None:
        store = f'jetstream {{ store_dir: "{self.folder / "store"}" }}' if jetstream else ""
        text = CONFIG.format(port=self.port, users=", ".join(users), jetstream=store)
        if not jetstream:
            text = text.replace("jetstream: enabled, ", "")
        (self.folder / "conf").write_text(text)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        words = [server_program(), "-c", str(self.folder / "conf"), "--ports_file_dir", str(self.folder)]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)

    async def address(self, until, user: str = "elf", password: str = "pass") -> Address:
        file = self.folder / f"nats-server_{self.process.pid}.ports"

        def port() -> int | None:
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
            return None

        self.port = await until(port)
        return Address(f"nats://127.0.0.1:{self.port}", user, password)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    made = Own(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


async def open_at(address: Address) -> Mycelium:
    return await asyncio.wait_for(Mycelium.open(address, key=KEY, timeout_s=3), 20)


# ---------------------------------------------------------------------- what listens there


@contextlib.asynccontextmanager
async def listening(words: bytes, answer: bytes = b""):
    """A server on this machine that says the words, and the answer to whatever it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(asyncio.current_task())
        writer.write(words)
        try:
            while await reader.readline():
                writer.write(answer)
        except OSError:
            pass
        finally:
            writer.close()

    callers: list[asyncio.Task] = []
    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


def greeting(**facts: object) -> bytes:
    said = {"server_id": "x", "version": "2.15.1", "jetstream": True, "max_payload": 10**6, **facts}
    return b"INFO " + json.dumps(said).encode() + b"\r\n"


@pytest.mark.parametrize(
    ("words", "kind", "said", "next_step"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", WrongServer, "no NATS server: it says 'SSH-2.0-OpenSSH_9", "Check the URL"),
        (b"", MyceliumUnreachable, "says nothing: a NATS server that hangs, or none at all", "Check the URL"),
        (greeting(version="2.9.10"), WrongServer, "is version 2.9.10; elfbook needs 2.12 or newer", "Upgrade"),
        (greeting(version=""), WrongServer, "needs 2.12", "Upgrade"),
        (greeting(jetstream=False), WrongServer, "version 2.15.1) runs without JetStream", "nats-server -js"),
    ],
)
async def test_a_server_that_will_not_do_is_named(words, kind, said, next_step) -> None:
    async with listening(words, b"PONG\r\n") as where:
        with pytest.raises(kind, match=re.escape(said)) as told:
            await open_at(Address(f"nats://{where}"))
    assert where in str(told.value)
    assert next_step in told.value.hint


async def test_nothing_that_listens_is_unreachable() -> None:
    async with listening(b"") as where:
        pass
    with pytest.raises(MyceliumUnreachable, match=f"no NATS server answers at {where}"):
        await open_at(Address(f"nats://somebody:secret@{where}"))


async def test_a_server_that_never_answers_is_unreachable() -> None:
    async with listening(greeting()) as where:
        with pytest.raises(MyceliumUnreachable, match="does not answer in time"):
            await open_at(Address(f"nats://{where}"))


async def test_a_server_without_jetstream_is_named(own: Own, until) -> None:
    own.configure(ELF, jetstream=False)
    own.start()
    with pytest.raises(WrongServer, match="runs without JetStream"):
        await open_at(await own.address(until))


async def test_an_account_without_jetstream_is_named(own: Own, until) -> None:
    own.configure(ELF)
    own.start()
    with pytest.raises(WrongServer, match="gives user 'poor' no JetStream") as told:
        await open_at(await own.address(until, "poor"))
    assert "operator" in told.value.hint


# ---------------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    ("user", "password", "said"),
    [("elf", "wrong", "let user 'elf' in"), ("nobody", "pass", "let user 'nobody' in"), ("", "", "let us in without")],
)
async def test_wrong_credentials_are_named(own: Own, until, user, password, said) -> None:
    own.configure(ELF)
    own.start()
    address = await own.address(until)
    with pytest.raises(AccessDenied, match=said) as told:
        await open_at(Address(address.url, user, password))
    assert f"127.0.0.1:{own.port}" in str(told.value)
    assert "pass" not in str(told.value)
    assert "ELFBOOK_URL" in told.value.hint


async def test_a_user_who_may_not_write_is_told_what_is_missing(own: Own, until) -> None:
    own.configure(ELF, READER)
    own.start()
    address = await own.address(until)
    await (await open_at(address)).close()
    reader = await open_at(Address(address.url, "reader", "pass"))
    reader.pressure.patience_s = 0.5
    with pytest.raises(AccessDenied, match=r"does not allow user 'reader' the publish of elf\.main\.barrier"):
        await asyncio.wait_for(reader.barrier(), 20)
    await reader.close()


async def test_credentials_that_are_revoked_are_named_and_work_again_once_given_back(own: Own, until) -> None:
    own.configure(ELF)
    own.start()
    mycelium = await open_at(await own.address(until))
    names = mycelium.names
    seen: list[int] = []

    async def follow() -> None:
        async for batch in Follower(mycelium.link, names.jobs, (names.every_job,)).batches():
            seen.extend(entry.seq for entry in batch)

    following = asyncio.create_task(follow())
    assert await mycelium.jobs.write(names.job("crawl.1", 0), b"x", 0) == 1
    await until(lambda: seen == [1])
    own.configure(OTHER)
    await until(lambda: mycelium.link.denied)
    with pytest.raises(AccessDenied, match="user 'elf'"):
        await mycelium.end_of(mycelium.names.jobs)
    with pytest.raises(AccessDenied, match="user 'elf'"):
        await asyncio.wait_for(following, 20)
    kept = mycelium.jobs.write(names.job("crawl.1", 1), b"y", 0)
    await until(lambda: "does not let" in mycelium.pressure.why)
    assert not kept.done()
    own.configure(OTHER, ELF)
    assert await asyncio.wait_for(kept, 20) == 2, "what was to be written meanwhile is written now"
    assert mycelium.link.denied is None
    await mycelium.close()


async def test_without_patience_a_write_says_that_access_is_denied(own: Own, until) -> None:
    own.configure(ELF)
    own.start()
    mycelium = await open_at(await own.address(until))
    mycelium.pressure.patience_s = 0.2
    own.configure(OTHER)
    await until(lambda: mycelium.link.denied)
    with pytest.raises(AccessDenied) as told:
        await asyncio.wait_for(mycelium.jobs.write(mycelium.names.job("crawl.1", 1), b"y", 0), 20)
    assert isinstance(told.value, MyceliumError)
    await mycelium.close()


async def test_a_server_that_is_only_frozen_is_waited_for(own: Own, until) -> None:
    own.configure(ELF)
    own.start()
    mycelium = await open_at(await own.address(until))
    freeze(own.process.pid)
    try:
        write = mycelium.jobs.write(mycelium.names.job("crawl.1", 0), b"x", 0)
        await until(lambda: "does not answer" in mycelium.pressure.why)
        assert "disk" not in mycelium.pressure.why
    finally:
        os.kill(own.process.pid, signal.SIGCONT)
    assert await asyncio.wait_for(write, 30) == 1
    await mycelium.close()
