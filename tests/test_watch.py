"""The text board: in place on a terminal, line after line elsewhere, and what its end says."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import elfbook
from elfbook.entry import watch
from elfbook.entry.watch import Screen
from elfbook.host import hostfile
from elfbook.notebook.flows import Flow, Options
from elfbook.notebook.notebook import Notebook
from elfbook.store.place import Place
from elfbook.tracing.elves import adopt
from elfbook.view.page import page

WAIT_S = 40


class Terminal(io.StringIO):
    """Keeps what a terminal would show."""

    def lines(self) -> list[str]:
        rows: list[str] = [""]
        at = 0
        for part in re.split(r"(\x1b\[\d*[AJ]|\n)", self.getvalue()):
            if part == "\n":
                at += 1
                rows += [""] * (at + 1 - len(rows))
            elif part.endswith("A") and part.startswith("\x1b"):
                at -= int(part[2:-1])
            elif part == "\x1b[J":
                rows = [*rows[:at], ""]
            else:
                rows[at] += part
        return rows[:-1]


def test_a_frame_is_drawn_over_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: os.terminal_size((12, 5)))
    screen = Screen(out)
    screen.draw(["one", "two", "three"])
    screen.draw(["four"])
    assert out.lines() == ["four"]
    screen.draw(["a line that is too long", "2", "3", "4", "5", "6"])
    assert out.lines() == ["a line tha…", "2", "3", "… 3 more l…"]
    screen.clear()
    assert out.lines() == []


class Counter:
    """An elf of a module, so that a shell can start its flows."""

    def task_pass(self, path: str) -> str:
        while not os.path.exists(path):
            time.sleep(0.01)
        return path

    def task_fail(self) -> float:
        return 1 / 0

    def task_count(self, path: str) -> None:
        self.progress(3, 10, "sheep <b>jumped</b>")
        self.task_pass(path)


@pytest.fixture(scope="module")
def notebook(folder: Path):
    place = Place(folder / "state")
    hostfile.ensure(place, workers=1)
    made = Notebook(None, place)
    yield made
    made.disconnect()


def start(notebook: Notebook, flow: str, *paths: str, bad: bool = False) -> None:
    adopt(Counter)
    with Flow(flow, Options(), notebook):
        for path in paths:
            Counter().task_pass(path)
        if bad:
            Counter().task_fail()


def command(flow: str, state: Path) -> tuple[list[str], dict[str, str]]:
    environ = {**os.environ, "PYTHONPATH": str(Path(elfbook.__file__).parent.parent), "COLUMNS": "90", "LINES": "40"}
    return [sys.executable, "-m", "elfbook", "watch", flow, "--state-dir", str(state)], environ


@pytest.mark.system
def test_lines_are_appended_where_there_is_no_terminal(notebook: Notebook, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    start(notebook, "lines", str(gate), bad=True)
    words, environ = command("lines", notebook.place.state_dir)
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert re.match(r"[●○] flow lines: 0 of 2 jobs done", first)
    gate.touch()
    rest, errors = process.communicate(timeout=WAIT_S)
    assert "✗ flow lines: 1 of 2 jobs done, 1 failed\n" in rest and "ZeroDivisionError" in rest
    assert "\x1b" not in first + rest and errors == ""
    assert process.returncode == 1


class InTerminal:
    """The command with a terminal in front of it."""

    def __init__(self, words: list[str], environ: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(words, env=environ, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def until(self, pattern: str) -> None:
        """Returns once that has been written; fails when it ends without."""
        deadline = time.monotonic() + WAIT_S
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode()
                except OSError:  # the other end has been closed
                    assert re.search(pattern, self.seen), self.seen

    def end(self) -> int:
        code = self.process.wait(WAIT_S)
        os.close(self.master)
        return code


@pytest.mark.system
def test_a_terminal_is_drawn_in_place_until_the_end_or_an_interrupt(notebook: Notebook, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    start(notebook, "drawn", str(gate))
    first = InTerminal(*command("drawn", notebook.place.state_dir))
    first.until("flow drawn: 0 of 1 job done, 1 running")
    first.until(r"\x1b\[\d+A\x1b\[J")
    first.process.send_signal(signal.SIGINT)
    first.until("stopped watching. drawn goes on: 0 of 1 done.  elfbook watch drawn  shows it again")
    assert first.end() == 130
    second = InTerminal(*command("drawn", notebook.place.state_dir))
    second.until("1 running")
    gate.touch()
    second.until("✓ flow drawn: 1 of 1 job done")
    assert second.end() == 0


@pytest.mark.system
def test_progress_is_a_bar_of_characters_and_a_property_of_the_job(notebook: Notebook, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    adopt(Counter)
    with Flow("sheep", Options(), notebook) as run:
        Counter().task_count(str(gate))
    assert run is not None
    shown = InTerminal(*command("sheep", notebook.place.state_dir))
    shown.until(r"task_count\[0\]  ██████░{14} 30 % · 3/10 · sheep <b>jumped</b>")
    job = run["task_count[0]"]
    deadline = time.monotonic() + WAIT_S
    while (told := job.progress) is None:
        assert time.monotonic() < deadline
    assert (told.done, told.total, told.text, told.share) == (3.0, 10.0, "sheep <b>jumped</b>", 0.3)
    assert "sheep &lt;b&gt;jumped" in page(run.look(static=False))
    assert "sheep" not in run.look(static=True).progress
    gate.touch()
    shown.until("✓ flow sheep: 1 of 1 job done")
    assert shown.end() == 0
    assert job.progress is None and run.look(static=False).progress == ()


@pytest.mark.system
def test_a_flow_that_there_is_not(notebook: Notebook) -> None:
    words, environ = command("nobody", notebook.place.state_dir)
    told = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert told.returncode == 2 and "there is no flow called nobody here" in told.stderr
