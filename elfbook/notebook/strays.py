"""Processes of one state directory: which there are, and an end to those that nobody looks after."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from elfbook.errors import ElfbookError
from elfbook.host import hostfile
from elfbook.store.place import Place

PATIENCE_S = 3.0
LOOK_S = 0.05


def end_all(place: Place) -> None:
    """No process that was started for the place runs any more, even if it was only starting."""
    if hostfile.find(place) is not None:
        with contextlib.suppress(ElfbookError, OSError):
            hostfile.stop(place, PATIENCE_S)
    # What is left was only starting, or does not listen. The store goes too, so be short with it;
    # hosts first, because they start the others again. What was forked from one is called like it.
    end(with_children(processes_of(place, "elfbook.host.host")))
    end(with_children(processes_of(place)))


def end(pids: set[int]) -> None:
    """The processes have ended."""
    begun = time.monotonic()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    while any(map(is_running, pids)) and time.monotonic() < begun + PATIENCE_S:
        time.sleep(LOOK_S)


def processes_of(place: Place, module: str = "") -> Iterator[int]:
    """Processes of ours that were started for this state directory, or those that run `module`."""
    wanted = str(place.state_dir)
    for pid, words in command_lines():
        ours = any(word.startswith("elfbook.") or word.endswith("nats-server") for word in words[:4])
        here = any(word == wanted or word.startswith(wanted + os.sep) for word in words)
        if ours and here and (not module or module in words):
            yield pid


def with_children(pids: Iterable[int]) -> set[int]:
    """The processes and all that they have started."""
    found = set(pids)
    grew = True
    while grew:
        children = {pid for pid, _ in command_lines() if parent_of(pid) in found}
        grew = not children <= found
        found |= children
    return found


def parent_of(pid: int) -> int:
    """The process that started it; 0 when it has ended."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def is_running(pid: int) -> bool:
    """True unless it has ended; a zombie has."""
    return any(number == pid for number, _ in command_lines())


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Every process that this user may look at, with the words that started it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = words_of(entry)
        except OSError:
            continue  # it has ended in between
        if words[0]:  # a zombie has none: it has ended, its parent has yet to notice
            yield int(entry.name), words


def words_of(entry: Path) -> list[str]:
    """The words that started a process; one empty word when it has none.

    The system gives a new process its program a moment before its words, and whoever started it
    may look in between. Zombies and the system's own threads have neither.
    """
    patience = time.monotonic() + LOOK_S
    while True:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if words[0] or not os.readlink(entry / "exe") or time.monotonic() > patience:
            return words
        time.sleep(0.001)
