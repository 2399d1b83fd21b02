"""The `elfbook` command and what `import elfbook` promises."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import elfbook
from elfbook import cli, demo
from elfbook.entry import show
from elfbook.errors import ElfbookError
from elfbook.notebook.strays import processes_of
from elfbook.store.place import Place


def run(*words: str, cwd: Path | None = None, limit_s: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(Path(elfbook.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "elfbook", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **environ},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


# ---------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["staus"], 2, "elfbook: unknown command `staus`; did you mean `status`?"),
        (["zzz"], 2, "elfbook: unknown command `zzz`; there are up, down, worker, status, watch, demo, lab, doctor"),
        (["up", "--keeep"], 2, "elfbook: unknown flag `--keeep`; did you mean `--keep`?"),
        (["demo", "--out=x"], 2, "elfbook: unknown flag `--out=x`; did you mean `--output`?"),
        (["up", "many"], 2, "elfbook: argument N: invalid int value: 'many'"),
        (["up", "--kernel"], 2, "elfbook: argument --kernel: expected one argument"),
        (["demo", "--output", "/nowhere/at/all.html"], 2, "elfbook: there is no folder /nowhere/at"),
        (["down", "now"], 2, "elfbook: unknown word `now`"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_nearest(
    words: Sequence[str], code: int, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(words) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0] == message
    assert re.match(r"See  elfbook( \w+)? --help|Name another file", told.err.splitlines()[1])


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture) -> None:
    assert cli.main([]) == 2
    told = capsys.readouterr().out
    assert all(name in told for name in cli.COMMANDS)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_is_there_for_every_command(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert "usage: elfbook" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"elfbook {elfbook.__version__}\n"


def test_status_without_a_server_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(tmp_path))
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no elfbook server was started here yet",
        "Start one with  %elf up   (in a shell:  elfbook up)",
    ]


def test_the_doctor_ends_badly_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(tmp_path))
    tmp_path.chmod(0o755)
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "✗ state: others can look into" in told
    assert f"    chmod 700 {tmp_path}" in told
    assert told.endswith("1 thing to mend\n")
    tmp_path.chmod(0o700)
    assert cli.main(["doctor"]) == 0


def test_lab_without_jupyterlab_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["lab"]) == 1
    assert 'pip install "elfbook[lab]"' in capsys.readouterr().err


def test_the_tutorials_are_copied_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cli.copy_tutorials(tmp_path / "mine")
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert "01_first_flow.ipynb" in names
    (tmp_path / "mine" / names[0]).write_text("changed by me")
    (tmp_path / "mine" / names[1]).unlink()
    cli.copy_tutorials(tmp_path / "mine")
    assert (tmp_path / "mine" / names[0]).read_text() == "changed by me"
    json.loads((tmp_path / "mine" / names[1]).read_text())


# ---------------------------------------------------------------------------- the package


def test_importing_is_quick_and_light() -> None:
    heavy = "asyncio,IPython,nats,msgspec,jupyter_client,graphviz,numpy"
    program = (
        "import sys, time; before = time.perf_counter(); import elfbook; took = time.perf_counter() - before; "
        f"print(took < 0.3, sorted(set({heavy!r}.split(',')) & set(sys.modules)))"
    )
    assert run_python(program) == "True []"


def run_python(program: str) -> str:
    paths = str(Path(elfbook.__file__).parent.parent)
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


@pytest.mark.parametrize("name", [name for name in elfbook.__all__ if name != "load_ipython_extension"])
def test_every_public_name_is_there_first_and_last(name: str) -> None:
    """Whatever has been imported before: a folder of the package must not take a name's place."""
    program = (
        "import elfbook, elfbook.entry.magics, elfbook.cli; "
        f"value = elfbook.{name}; import elfbook.tracing.trace; from elfbook import {name}; "
        f"print(callable(value), value is {name})"
    )
    assert run_python(program) == "True True"


def test_the_public_names_are_few() -> None:
    assert len(elfbook.__all__) <= 14
    assert set(elfbook.__all__) <= set(dir(elfbook))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = elfbook.nonsense


# ---------------------------------------------------------------------------- the demonstration


def test_the_animals_are_the_same_wherever_they_are_met() -> None:
    animals, storage = demo.Animals("animals"), demo.Storage("storage")
    assert animals.task_draw(1) == demo.Animals("animals").task_draw(1) != animals.task_draw(2)
    storage.keep = {}
    assert [storage.task_save("fox", 6.5), storage.task_save("bear", 180.0)] == [1, 2]
    assert storage.keep["animals"] == [("fox", 6.5), ("bear", 180.0)]


@pytest.mark.system
@pytest.mark.timeout(120)
def test_the_demo_writes_its_page_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    told = run("demo", "--rounds", "10", cwd=tmp_path, TMPDIR=str(tmp_path / "tmp"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    assert lines[0] == "starting a NATS server and 2 workers …"
    assert "flow animals: 28 jobs for six elves, submitted" in lines
    assert "✓ flow animals: 28 of 28 jobs done" in lines
    assert lines[-2].startswith("    10 animals:")
    page = tmp_path / "elfbook-demo.html"
    assert lines[-1] == f"the whole run on one page: {page}"
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", html)
    assert started_in(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.system
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("command", "words"), [("demo --rounds 400", "starting"), ("demo --rounds 400", "submitted"), ("up 2", "")]
)
def test_ctrl_c_ends_what_was_started(tmp_path: Path, command: str, words: str) -> None:
    (tmp_path / "tmp").mkdir()
    paths = str(Path(elfbook.__file__).parent.parent)
    state = str(tmp_path / "state")
    process = subprocess.Popen(
        [sys.executable, "-m", "elfbook", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(tmp_path / "tmp"), "ELFBOOK_STATE_DIR": state},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if words:
        next(line for line in process.stdout if words in line)
    else:
        deadline = time.monotonic() + 20
        while not started_in(tmp_path / "state") and time.monotonic() < deadline:
            time.sleep(0.01)
    time.sleep(0.3)  # anywhere in what follows will do
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (130, "interrupted\n")
    assert started_in(tmp_path) == []
    assert not (tmp_path / "elfbook-demo.html").exists()


def started_in(folder: Path) -> list[str]:
    """Command lines of living processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command and int(entry.name) != os.getpid():
            found.append(command.replace(b"\0", b" ").decode())
    return found


# ---------------------------------------------------------------------------- a server that hangs


@pytest.mark.parametrize("speaks", [False, True])
@pytest.mark.parametrize("words", [["status"], ["doctor"], ["worker"], ["up", "1"]], ids=lambda words: words[0])
def test_a_server_that_takes_connections_and_never_answers_is_named(
    words: list[str], speaks: bool, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor() as beside:
        greeting = b'INFO {"version": "2.15.1", "jetstream": true, "max_payload": 1000000}\r\n'
        beside.submit(keep_silent, door, greeting if speaks else b"")
        where = f"127.0.0.1:{door.getsockname()[1]}"
        told = run(*words, "--url", f"nats://{where}", ELFBOOK_STATE_DIR=str(tmp_path / "state"), limit_s=40)
        door.shutdown(socket.SHUT_RDWR)
    assert told.returncode == 1, told
    said = told.stdout if words == ["doctor"] else told.stderr
    assert where in said
    assert ("does not answer in time" if speaks else "says nothing") in said
    assert "log" in said, "what to do next"
    assert "Traceback" not in told.stderr
    assert "the host did not start" not in told.stderr
    assert list(processes_of(Place(tmp_path / "state"))) == []


def keep_silent(door: socket.socket, greeting: bytes) -> None:
    """Whoever comes hears the greeting, and nothing after it."""
    callers = []
    with contextlib.suppress(OSError):
        while True:
            callers.append(door.accept()[0])
            callers[-1].sendall(greeting)
    for caller in callers:
        caller.close()


# ---------------------------------------------------------------------------- workers from a shell


@pytest.mark.system
@pytest.mark.timeout(120)
def test_up_status_worker_down(folder: Path) -> None:
    state = {"ELFBOOK_STATE_DIR": str(folder / "state")}
    up = run("up", "1", "--elf", "calc1", **state)
    assert up.returncode == 0, up.stderr
    assert "a worker ready for calc1" in up.stdout
    assert "stop with" in up.stdout
    assert "2 workers" in run("status", **state).stdout
    assert "all is well" in run("doctor", **state).stdout

    process = subprocess.Popen(
        [sys.executable, "-m", "elfbook", "worker", "--elf", "calc2"],
        env={**os.environ, **state},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while "only for calc2" not in run("status", **state).stdout:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    out, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (0, "")
    assert out == "elfbook: a worker for calc2 is starting; Ctrl-C ends it\n"

    down = run("down", **state)
    assert down.stdout == "elfbook: stopped 2 workers and the server; runs are kept\n"
    assert run("down", **state).stdout == "elfbook: nothing was running here\n"
    assert list(processes_of(Place(folder / "state"))) == []


def test_what_was_only_starting_is_ended_too(tmp_path: Path) -> None:
    program = "import time; time.sleep(60)"
    words = [sys.executable, "-c", program, "elfbook.host.host", "--state-dir", str(tmp_path)]
    with subprocess.Popen(words) as process:
        try:
            assert list(processes_of(Place(tmp_path), "elfbook.host.host")) == [process.pid]
            show.end_all(Place(tmp_path))
            assert process.wait(5) == -signal.SIGKILL
            assert list(processes_of(Place(tmp_path))) == []
        finally:
            process.kill()


def test_a_process_is_found_from_its_first_moment_on(tmp_path: Path) -> None:
    """For that moment it has a program and no words yet: seen once in ten times on two cores."""
    words = ["/bin/sh", "-c", "read line", "elfbook.host.host", str(tmp_path)]
    for _ in range(100):
        with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
            try:
                assert list(processes_of(Place(tmp_path))) == [process.pid]
            finally:
                process.kill()


def test_a_page_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ElfbookError, match="there is no folder"):
        cli.demo(cli.arguments().parse_args(["demo", "--output", str(tmp_path / "no" / "x.html")]))
