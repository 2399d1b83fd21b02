"""Speaking to a machine's host: start it, ask it, stop it, from any process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elfbook.errors import ElfbookError, KernelError
from elfbook.store.place import Place, read_json
from elfbook.store.server import (
    START_S,
    alive,
    ask_mode,
    inherited,
    limit_is_new,
    limit_store,
    locked,
    stop_server,
)

ASK_S = 5.0
READY_S = 90.0
POLL_S = 0.02
IDLE_S = 600.0


@dataclass(frozen=True)
class HostReport:
    """What a call of `ensure` found and did."""

    started_host: bool
    started_server: bool
    workers: tuple[str, ...]
    """Names of the workers that are ready."""
    elapsed_s: float
    state_dir: Path
    url: str
    durability: str
    losses: tuple[str, ...] = ()
    """What the store has lost, a sentence each."""
    pressure: str = ""
    """What keeps it from taking more; empty when nothing does."""


@dataclass(frozen=True)
class HostFacts:
    """What a running host says of itself."""

    pid: int
    workers: tuple[dict, ...]
    """Each with `name`, `pid`, `ready`, `elf`, `kernel`."""
    server_pid: int
    scheduler_pid: int
    url: str
    durability: str
    losses: tuple[str, ...] = ()
    """What the store has lost since this host, or one before it, last looked."""
    asides: tuple[str, ...] = ()
    """What could not be used and was set aside, with the reasons; the newest last."""
    pressure: str = ""
    """What keeps the store from taking more; empty when nothing does."""
    started_server: bool = False
    """True when it found none that ran."""
    trouble: str = ""
    """Why something cannot start; empty when all is well."""

    @property
    def ready(self) -> tuple[str, ...]:
        return tuple(worker["name"] for worker in self.workers if worker["ready"])


@dataclass(frozen=True)
class StopReport:
    """What `stop` ended."""

    host: bool
    workers: int
    server: bool


def ask(place: Place, verb: str, timeout_s: float = ASK_S, **words: object) -> dict | None:
    """The host's answer; None when no host answers here."""
    facts = read_json(place.host_file)
    if not facts:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(facts["socket"])
            connection.sendall(json.dumps({"verb": verb, **words}).encode() + b"\n")
            line = connection.makefile("rb").readline()
    except OSError:
        return None
    return json.loads(line) if line else None


def find(place: Place, *, onlooker: bool = False) -> HostFacts | None:
    """The host that runs here, None when there is none; starts nothing.

    An idle host stays for whoever asks, unless that is an onlooker.
    """
    answer = ask(place, "facts", onlooker=onlooker)
    return _facts(answer) if answer else None


def _facts(answer: dict) -> HostFacts:
    lists = {name: tuple(answer[name]) for name in ("workers", "losses", "asides")}
    return HostFacts(**{**answer, **lists})


def ensure(  # noqa: PLR0913 (keywords, each a flag of `%elf up`)
    place: Place,
    *,
    workers: int | None = None,
    kernel: str = "python3",
    elf: Sequence[str] = (),
    pool: str = "main",
    keep: bool = False,
    idle_s: float = IDLE_S,
    store_limit: int | None = None,
    fast: bool | None = None,
    timeout_s: float = READY_S,
) -> HostReport:
    """Holds afterwards: the place's server, scheduler and at least so many workers are ready.

    Each name in `elf` gets a worker of its own. None for `workers` means as many as before,
    or none. With `store_limit` the embedded server keeps at most so many bytes, from now on.
    `fast` says whether a server that is started now acknowledges before it has flushed to disk;
    None leaves that as it was. ElfbookError when one runs that is durable, and it was to be fast.
    KernelError when they are not ready within `timeout_s`, with the reason.
    """
    began = time.monotonic()
    place.prepare()
    if store_limit is not None:
        limit_store(place, store_limit)
    _choose_mode(place, fast)
    words: dict[str, object] = {
        "workers": workers,
        "kernel": kernel,
        "elf": list(elf),
        "pool": pool,
        "keep": keep,
        "idle_s": idle_s,
    }
    with locked(place.state_dir / "host.start.lock", START_S + timeout_s):
        host, answer = None, ask(place, "up", **words)
        started = answer is None
        if started:
            host = _launch(place, words)
            answer = _first_answer(place, host, words, began + timeout_s)
    try:
        facts = _until_ready(place, answer["wanted"], began + timeout_s, host)
    finally:
        if host is not None and host.poll() is None:
            host.returncode = 0  # it is meant to outlive us, of which Python would warn
    return HostReport(
        started_host=started,
        started_server=started and facts.started_server,
        workers=facts.ready,
        elapsed_s=time.monotonic() - began,
        state_dir=place.state_dir,
        url=facts.url,
        durability=facts.durability,
        losses=facts.losses,
        pressure=facts.pressure,
    )


def _choose_mode(place: Place, fast: bool | None) -> None:
    running = find(place) if fast is not None else None
    if running is None:
        if fast is not None:
            ask_mode(place, "fast" if fast else "durable")
    elif fast and running.durability != "fast":
        raise ElfbookError(
            f"the server here runs already, and is {running.durability}",
            hint="End it first with  %elf down , then start it with  %elf up --fast",
        )


def _until_ready(
    place: Place, wanted: int, deadline: float, host: subprocess.Popen | None = None
) -> HostFacts:
    """The host's facts once so many workers are ready; KernelError when they do not become so.

    A `host` that was started for that, and ends instead, says why in its log.
    """
    while True:
        if host is not None and host.poll() is not None:
            raise _not_started(place)
        facts = find(place)
        if facts is not None:
            limited = bool(place.url) or not limit_is_new(place)
            if len(facts.ready) >= wanted and facts.url and facts.scheduler_pid and limited:
                return facts
            if facts.trouble:
                raise KernelError(facts.trouble, hint=f"Logs are in {place.logs}")
        if time.monotonic() > deadline:
            ready = len(facts.ready) if facts else 0
            raise KernelError(
                f"only {ready} of {wanted} workers became ready in time", hint=f"Logs are in {place.logs}"
            )
        time.sleep(POLL_S)


def _launch(place: Place, words: dict) -> subprocess.Popen:
    place.logs.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "elfbook.host.host", "--state-dir", str(place.state_dir)]
    command += ["--namespace", place.namespace, "--up", json.dumps(words)]
    if place.url:
        command += ["--url", place.url]
    with open(place.logs / "host.log", "ab") as output:
        host = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=inherited(dict(os.environ)),
            start_new_session=True,
        )
    return host


def _first_answer(place: Place, host: subprocess.Popen, words: dict, deadline: float) -> dict:
    while time.monotonic() < deadline and host.poll() is None:
        answer = ask(place, "up", **words)
        if answer is not None:
            return answer
        time.sleep(POLL_S)
    host.kill()
    host.wait()
    raise _not_started(place)


def _not_started(place: Place) -> ElfbookError:
    tail = last_line(place.logs / "host.log")
    return ElfbookError(
        f"the host did not start{': ' + tail if tail else ''}", hint=f"Its log is {place.logs}/host.log"
    )


def last_line(path: Path) -> str:
    """The last line of a log; empty when there is none."""
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""


def stop(place: Place, timeout_s: float = 20.0) -> StopReport:
    """Holds afterwards: host, workers, scheduler and embedded server of the place have ended."""
    facts = find(place)
    if facts is None:
        if place.host_file.exists():
            # Of a host that was killed; one that only does not answer has the lock.
            with contextlib.suppress(ElfbookError), locked(place.state_dir / "host.lock", 0):
                place.remove_runtimes()
        return StopReport(host=False, workers=0, server=not place.url and stop_server(place))
    ask(place, "down")
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and alive(facts.pid):
        time.sleep(POLL_S)
    if alive(facts.pid):
        raise ElfbookError(f"the host (process {facts.pid}) did not end within {timeout_s:g} s")
    server = False if place.url else bool(facts.server_pid) | stop_server(place)
    return StopReport(host=True, workers=len(facts.workers), server=server)
