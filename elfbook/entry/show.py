"""`elfbook demo`: the animals on a mycelium of their own, from nothing to a page and back to nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from elfbook.demo import orchestrate
from elfbook.host import hostfile
from elfbook.notebook import pages
from elfbook.notebook.flows import Flow, Options
from elfbook.notebook.notebook import Notebook
from elfbook.notebook.runs import Run
from elfbook.notebook.strays import end_all
from elfbook.store.place import Place
from elfbook.view.view import first_words
from elfbook.words import count, duration, plural

WORKERS = 2
IDLE_S = 60.0
"""Should this process be killed outright, what it has started ends by itself after this."""
BAR = 40
LINE_EVERY_S = 0.5
LAST_REPORTS = 4


def demo(output: Path, rounds: int, out: TextIO = sys.stdout) -> Path:
    """The page that tells of the run; nothing else is left of it."""
    with place_of_its_own() as place:
        say(out, f"starting a NATS server and {plural(WORKERS, 'worker')} …")
        report = hostfile.ensure(place, workers=WORKERS, idle_s=IDLE_S)
        say(out, f"ready in {duration(report.elapsed_s)} ({report.durability})")
        notebook = Notebook(None, place)
        try:
            run = animals(notebook, rounds)
            say(out, f"flow animals: {plural(len(run), 'job')} for six elves, submitted")
            follow(run, out)
            for line in run.result()[-LAST_REPORTS:]:
                say(out, f"  {line}")
            output.write_text(pages.report(run), encoding="utf-8")
        finally:
            notebook.disconnect()
            notebook.portal.close()
    say(out, f"the whole run on one page: {output}")
    return output


def animals(notebook: Notebook, rounds: int) -> Run:
    """The orchestration, submitted."""
    with Flow("animals", Options(), notebook) as run:
        run.returns(orchestrate(rounds))
    return run


def follow(run: Run, out: TextIO) -> None:
    """Returns when the run has settled; meanwhile says how far it is."""
    drawn = out.isatty()
    begun, shown = time.monotonic(), 0.0
    last = ""
    while True:
        version, over = run.watched.version, run.settled
        if over or time.monotonic() - shown >= (0.1 if drawn else LINE_EVERY_S):
            shown = time.monotonic()
            line = progress(run, shown - begun)
            if drawn:
                out.write(f"\r\x1b[K{line}")
                out.flush()
            elif line != last:
                say(out, line)
            last = line
        if over:
            break
        with contextlib.suppress(TimeoutError):
            run._notebook.portal.call(run.watched.changed, version, timeout_s=0.5)
    say(out, f"\n{first_words(run.look(static=True))}" if drawn else first_words(run.look(static=True)))


def progress(run: Run, elapsed_s: float) -> str:
    """`████░░░░ 120 of 280 done, 2 running  1.2 s`."""
    counts, total = run.counts, len(run)
    full = BAR * counts["done"] // max(total, 1)
    bar = "█" * full + "░" * (BAR - full)
    bad = f", {count(counts['failed'])} failed" if counts["failed"] else ""
    return (
        f"{bar} {count(counts['done'])} of {count(total)} done, "
        f"{count(counts['running'])} running{bad}  {elapsed_s:.1f} s"
    )


@contextlib.contextmanager
def place_of_its_own() -> Iterator[Place]:
    """A fresh state directory; at the end everything that runs for it has ended, and it is gone."""
    folder = Path(tempfile.mkdtemp(prefix="elfbook-demo-"))
    place = Place(folder)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield place
    finally:
        # A second Ctrl-C must not leave the half of it behind.
        waiting = signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_all(place)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, waiting)
        signal.signal(signal.SIGTERM, before)


def interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def say(out: TextIO, line: str) -> None:
    """The line is on the terminal."""
    print(line, file=out, flush=True)
