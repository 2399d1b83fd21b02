"""Whether a process was ended for want of memory: read from the system's own counters."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from elfbook.work import memory
from elfbook.work.memory import Memory, Usage, count_in, counters_of, mounted, used_by

V2 = "30 23 0:26 / {0}/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 / {0}/memory rw,relatime - cgroup cgroup rw,memory"
V1_CPU = "32 31 0:29 / {0}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct"
PART = "40 31 0:33 /docker/ab12 {0}/memory rw,relatime - cgroup cgroup rw,memory"


class System:
    """A made-up /proc with one process, and its cgroups."""

    def __init__(self, folder: Path, mounts: list[str], groups: str) -> None:
        self.folder, self.proc = folder, folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "7").mkdir()
        (self.proc / "self" / "mountinfo").write_text(
            "\n".join(line.format(folder) for line in mounts) + "\n"
        )
        (self.proc / "7" / "cgroup").write_text(groups)
        (self.proc / "7" / "statm").write_text("5000 100 20 1 0 90 0\n")
        (self.proc / "vmstat").write_text("pgfault 12\noom_kill 4\n")

    def put(self, path: str, text: str) -> Path:
        made = self.folder / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        return made


EVENTS = "low 0\nhigh 0\nmax 9\noom 2\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


@pytest.mark.parametrize(
    ("mounts", "groups", "files", "expected"),
    [
        (
            [V2],
            "0::/user/work\n",
            {"unified/user/work/memory.events": EVENTS},
            ["unified/user/work/memory.events"],
        ),
        (
            [V1_CPU, V1],
            "4:memory:/job\n3:cpu,cpuacct:/\n",
            {"memory/job/memory.oom_control": CONTROL},
            ["memory/job/memory.oom_control"],
        ),
        (  # both mounted, version 2 without memory in it
            [V1, V2],
            "4:memory:/\n0::/\n",
            {"memory/memory.oom_control": CONTROL, "unified/cgroup.procs": ""},
            ["memory/memory.oom_control"],
        ),
        (  # in a container that sees its own part only
            [PART],
            "4:memory:/docker/ab12/job\n",
            {"memory/job/memory.oom_control": CONTROL},
            ["memory/job/memory.oom_control"],
        ),
        ([V1], "4:memory:/gone\n", {}, ["proc/vmstat"]),
        (
            [V2],
            "0::/\n",
            {"unified/memory.events": "low 0\n"},
            ["proc/vmstat"],
        ),  # an old kernel counts no kills
        ([], "", {}, ["proc/vmstat"]),
    ],
)
def test_where_such_ends_are_counted(
    tmp_path: Path, mounts: list[str], groups: str, files: dict[str, str], expected: list[str]
) -> None:
    system = System(tmp_path, mounts, groups)
    for path, text in files.items():
        system.put(path, text.format(1))
    assert counters_of(7, system.proc) == [tmp_path / path for path in expected]


def test_without_proc_nothing_is_counted(tmp_path: Path) -> None:
    found = counters_of(7, tmp_path / "nothing")
    assert [count_in(path) for path in found] == [0]
    assert used_by(7, tmp_path / "nothing") == 0


def test_a_folder_outside_of_what_is_mounted_is_taken_from_its_top() -> None:
    assert mounted([PART.format("/c")], "/docker/ab12", 1) == [Path("/c/memory")]
    assert mounted([V1.format("/c")], "/a/b", 2) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> object:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    made = Clock()
    monkeypatch.setattr(memory, "time", made)
    return made


@pytest.mark.parametrize(
    ("steps", "ran_out"),
    [
        ([], False),
        (["killed"], True),
        (["look", "killed"], True),
        (["killed", "look"], True),  # a look between the end and the moment when it is noticed
        (["killed", "wait", "look"], True),
        (["killed", "wait", "look", "wait", "look"], False),  # then it was a neighbour, a while ago
        (["killed", "long", "look"], False),  # while this worker did nothing
        (["killed", "long", "look", "killed"], True),
    ],
)
def test_only_an_end_of_this_moment_counts(tmp_path: Path, clock, steps: list[str], ran_out: bool) -> None:
    system = System(tmp_path, [V2], "0::/w\n")
    kills = 3
    events = system.put("unified/w/memory.events", EVENTS.format(kills))
    process = Memory(7, system.proc)
    for step in steps:
        if step == "killed":
            kills += 1
            events.write_text(EVENTS.format(kills))
        elif step == "look":
            process.look()
        else:
            clock.now += {"wait": 1.5, "long": 60.0}[step]
    process.ended()
    assert process.ran_out is ran_out


def test_what_it_used_is_the_most_that_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(tmp_path, [V2], "0::/w\n")
    process = Memory(7, system.proc)
    for pages in (100, 900, 300):
        (system.proc / "7" / "statm").write_text(f"5000 {pages} 20 1 0 90 0\n")
        process.look()
    (system.proc / "7" / "statm").unlink()
    process.look()
    assert process.used == 900 * memory.PAGE
    process.ended(process._own)
    assert process.used == 900 * memory.PAGE, "this may be what the worker itself used"
    process.ended(process._own + 10**9)
    assert process.used == process._own + 10**9


def test_of_a_real_process() -> None:
    assert used_by(os.getpid()) > 10**6
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    code = f"import os, signal; bytearray({own + 50 * 10**6}); os.kill(os.getpid(), signal.SIGKILL)"
    process = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    code, most = memory.reap(process)
    assert (code, process.returncode) == (-9, -9)
    assert own + 50 * 10**6 <= most < own + 300 * 10**6
    assert memory.reap(process) == (-9, 0), "how much is known once"


def test_a_process_that_runs_and_one_that_somebody_else_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert memory.reap(process) == (None, 0)
    finally:
        process.communicate(b"\n")
    assert memory.reap(process) == (0, 0)
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitpid(process.pid, 0)
    assert memory.reap(process)[1] == 0


# ---------------------------------------------------------------------------- what it uses now


@pytest.fixture
def usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, float]]:
    """Looks at a process that has had so many ticks by that time; None for one that has ended."""
    made, clock = Usage(tmp_path), SimpleNamespace(now=0.0)
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def look(at: float, ticks: int | None, pid: int = 7) -> tuple[int, float]:
        clock.now = at
        folder = tmp_path / str(pid)
        shutil.rmtree(folder, ignore_errors=True)
        if ticks is not None:
            folder.mkdir()
            (folder / "stat").write_text(f"{pid} (py) 3 (x) S {'0 ' * 10}{ticks - 1} 1 99 99 0")
            (folder / "statm").write_text("900 100 50")
        return made.of(pid)

    return look


def test_the_cores_that_were_kept_busy_between_two_looks(usage: Callable[..., tuple[int, float]]) -> None:
    second, size = memory.TICKS_PER_S, 100 * memory.PAGE
    assert usage(100.0, 50 * second) == (size, 0.0), "nobody knows when it had them"
    assert usage(102.0, 51 * second) == (size, 0.5)
    assert usage(102.5, 52 * second) == (size, 0.5), "too soon to tell"
    assert usage(104.0, 57 * second) == (size, 3.0)
    assert usage(106.0, 57 * second) == (size, 0.0)
    assert usage(108.0, 61 * second, pid=8) == (size, 0.0), "another kernel"
    assert usage(110.0, 63 * second, pid=8) == (size, 1.0)
    assert usage(112.0, None, pid=8) == (0, 0.0), "it has ended"
    assert usage(114.0, None, pid=0) == (0, 0.0)


def test_this_process_is_seen_to_work() -> None:
    seen = Usage()
    assert seen.of(os.getpid())[0] > 1_000_000
    before = memory.ticks_of(os.getpid())
    while memory.ticks_of(os.getpid()) < before + 3:
        sum(range(10_000))
    seen._looked -= memory.CPU_S
    assert seen.of(os.getpid())[1] > 0
