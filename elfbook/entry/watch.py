"""A run's board as text: drawn over itself in a terminal, line after line anywhere else."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TextIO

from elfbook.notebook.live import CENSUS_EVERY_S, EVERY_S, SHARE, Lookout
from elfbook.notebook.runs import Run
from elfbook.view.textform import text
from elfbook.view.view import RunView, first_words
from elfbook.words import plural, shorten

LINE_EVERY_S = 1.0


class Screen:
    """Where frames are drawn, each over the one before."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0

    def draw(self, lines: list[str]) -> None:
        """The lines, as many and as much of each as there is room for."""
        columns, rows = shutil.get_terminal_size()
        if len(lines) > rows - 1:
            kept = max(rows - 2, 1)
            lines = [*lines[:kept], f"… {plural(len(lines) - kept, 'more line')}"]
        self.clear()
        self._out.write("".join(f"{shorten(line, columns - 1)}\n" for line in lines))
        self._out.flush()
        self._height = len(lines)

    def clear(self) -> None:
        """Nothing of the last frame is left."""
        if self._height:
            self._out.write(f"\x1b[{self._height}A\x1b[J")
        self._height = 0


def watch(run: Run, out: TextIO) -> None:
    """Returns when the run has settled, with all that is told of it written out.

    KeyboardInterrupt ends the watching and leaves the run as it is.
    """
    screen = Screen(out) if out.isatty() else None
    told, lookout = "", Lookout(run)
    while True:
        begun = time.monotonic()
        version, over = run.watched.version, run.settled
        if run.watched.error is not None:
            raise run.watched.error
        if over:
            break
        lookout.look()
        told = show(run.look(static=False), screen, out, told)
        made_s = time.monotonic() - begun
        time.sleep(max(EVERY_S if screen else LINE_EVERY_S, SHARE * made_s) - made_s)
        with contextlib.suppress(TimeoutError):
            run._notebook.portal.call(run.watched.changed, version, timeout_s=CENSUS_EVERY_S)
    complete = getattr(run.watched, "complete_outputs", None)
    if complete is not None:
        run._notebook.ask(complete)
    if screen is not None:
        screen.clear()
    print(text(run.look(static=False)), file=out, flush=True)


def show(view: RunView, screen: Screen | None, out: TextIO, told: str) -> str:
    """The run as it stands is to be seen; gives the line that says so."""
    line = first_words(view)
    if screen is not None:
        screen.draw(text(view).splitlines())
    elif line != told:
        print(line, file=out, flush=True)
    return line


def stopped(run: Run, again: str) -> str:
    """What is said to who stops watching."""
    return f"stopped watching. {run.flow} goes on: {run._progress()}.  {again} {run.flow}  shows it again"
