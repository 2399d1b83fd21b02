"""A notebook with a mycelium behind it: every cell of the first tutorial, and a real kernel.

The cells run in a shell of this process as nbval would see them (static), and in an ipykernel
as JupyterLab would (live), with interrupts and a restart.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager, start_new_kernel
from jupyter_core.utils import ensure_event_loop
from traitlets.config import Config

import elfbook
from elfbook.errors import ElfUsageError, FlowCancelled, FlowFailed, MyceliumUnreachable
from elfbook.host import hostfile
from elfbook.notebook.notebook import CURRENT, Notebook
from elfbook.store.place import Place

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

GREETER = """%%elf
class Greeter:
    def task_hello(self, name):
        print("greeting", name)
        return "Hello " + name

    def task_shout(self, text):
        return text.upper() + "!"
"""
MENDED = GREETER.replace('"Hello " + name', 'f"Hello {name}"')
PARTY = """%%elf flow party
g = Greeter()
hellos = g.task_hello.map(["Ada", "Alan", 7])
g.task_shout.map(hellos)
"""
SLOW = """%%elf
import time
class Sleeper:
    def task_sleep(self, seconds):
        time.sleep(seconds)
        return seconds
"""


@pytest.fixture(scope="module")
def state(folder: Path) -> Path:
    return folder / "state"


class Cells:
    """A shell in this process, as a headless front end would use it."""

    def __init__(self, shell: Any, capture: pytest.CaptureFixture) -> None:
        self.shell = shell
        self.capture = capture
        self.shown = ""

    def __call__(self, text: str) -> str:
        result = self.shell.run_cell(text, store_history=True)
        self.shown = self.capture.readouterr().out.rstrip("\n")
        result.raise_error()
        return self.shown

    def fails(self, text: str, kind: type[BaseException]) -> str:
        with pytest.raises(kind):
            self(text)
        return self.shown

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]


@pytest.fixture
def cell(state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Iterator[Cells]:
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(state))
    monkeypatch.setenv("ELFBOOK_DISPLAY", "static")
    monkeypatch.setenv("IPYTHONDIR", str(state.parent / "ipython"))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    elfbook.load_ipython_extension(shell)
    yield Cells(shell, capsys)
    elfbook.unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


def test_the_first_tutorial_cell_by_cell(cell: Cells) -> None:
    assert cell("%elf up 2") == "elfbook: 2 workers ready (this machine only)"
    assert cell(GREETER) == "Greeter is ready: task_hello, task_shout"
    shown = cell.fails(PARTY, FlowFailed)
    assert shown.startswith("✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped\n")
    assert '  ----> 5         return "Hello " + name\n               name = 7\n' in shown
    assert "Cell In[2], line 5" in shown
    assert str(cell["party"].error) == (
        "flow party: 1 of 6 jobs failed: Greeter.task_hello: TypeError: "
        'can only concatenate str (not "int") to str'
    )
    assert cell(MENDED).splitlines() == [
        "Greeter v2: task_hello changed, task_shout unchanged",
        "1 failed job of flow party used task_hello v1;  %elf retry party  runs it again with v2",
    ]
    assert cell("%elf retry party").startswith("✓ flow party: 6 of 6 jobs done (2 ran again, 4 kept)\n")
    assert cell("party.result()").endswith("['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']")
    assert cell("%elf retry party") == "nothing to retry: flow party: 6 of 6 jobs done (2 ran again, 4 kept)"


def test_a_cell_run_twice_shows_the_same_twice(cell: Cells) -> None:
    """What nbval asks for: no ids, times, workers or order of completion."""
    cell("%elf up 2")
    cell(GREETER)
    first = cell.fails(PARTY.replace("party", "twice"), FlowFailed)
    second = cell.fails(PARTY.replace("party", "twice"), FlowFailed)
    assert first == second
    page, _ = cell["twice"]._repr_mimebundle_()
    assert not re.search(r"worker-\d|0x[0-9a-f]{6}|\d\.\d s|took|durable", page["text/plain"] + page["text/html"])


def test_a_handle_gives_jobs_values_and_logs(cell: Cells) -> None:
    cell("%elf up 2")
    cell(GREETER)
    cell.fails(PARTY, FlowFailed)
    party = cell["party"]
    assert len(party) == 6
    assert party.counts | {"done": 0} == dict.fromkeys(party.counts, 0) | {"failed": 1, "skipped": 1}
    assert (party.ok, party.settled, party.outcome) == (False, True, "failed")
    assert party.durability == "durable"
    job = party["task_hello"][1]
    assert job == party["task_hello[1]"] == party["hello[1]"] == party[1]
    assert (job.label, job.task, job.state, job.value, job.attempts) == (
        "task_hello[1]",
        "Greeter.task_hello",
        "done",
        "Hello Alan",
        1,
    )
    assert party["task_shout"][:2][0].value == "HELLO ADA!"
    assert [each.label for each in party.failed] == ["task_hello[2]"]
    failed = party["task_hello[2]"]
    assert failed.failure.type == "TypeError"
    assert "----> 5" in failed.traceback
    with pytest.raises(FlowFailed, match=r"party/task_hello\[2\] failed: TypeError"):
        _ = failed.value
    with pytest.raises(elfbook.ElfbookError, match=r"task_shout\[2\] has no value: it is skipped"):
        _ = party["task_shout[2]"].value
    with pytest.raises(KeyError, match="did you mean `task_hello`"):
        party["task_helo"]
    assert {each.label for each in party} == {each.label for each in party.jobs}
    assert party.graph.to_graphviz().source.startswith("digraph")
    assert party.graph._repr_svg_().startswith(("<svg", "<?xml"))
    assert "task_hello" in party._ipython_key_completions_()
    assert repr(party) == "✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped"
    bundle, mark = party._repr_mimebundle_()
    assert mark == {"elfbook": {"run": party.manifest.run, "flow": "party", "number": party.number}}
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"].startswith(repr(party))


def test_what_a_job_printed_is_under_its_name(cell: Cells) -> None:
    cell("%elf up 2")
    cell(GREETER)
    cell("%%elf flow talk\nGreeter().task_hello.map(['Ada', 'Alan'])")
    assert cell("%elf logs talk/task_hello[1]") == "greeting Alan"
    assert cell("%elf logs task_hello[0]") == "greeting Ada"
    assert "output of task_hello[1]:\n    greeting Alan" in cell("talk")


def test_show_tells_of_runs_jobs_and_workers(cell: Cells) -> None:
    cell("%elf up 2")
    cell(GREETER)
    cell.fails(PARTY, FlowFailed)
    assert cell("%elf show party").startswith("✗ flow party")
    shown = cell("%elf show party/task_hello[2]")
    assert shown.startswith("✗ task_hello[2] failed: TypeError")
    assert shown.endswith("greeting 7")
    worker = cell("%elf").splitlines()[1].split()[0]
    assert cell(f"%elf show {worker}").startswith(worker)
    assert "there is no flow called parti here" in cell.fails("%elf show parti", ElfUsageError)
    assert "no run of this notebook has a job `task_helo[0]`; did you mean" in cell.fails(
        "%elf logs task_helo[0]", ElfUsageError
    )
    assert any(line.startswith("✗ party ") for line in cell("%elf runs --failed").splitlines())


def test_retry_takes_the_present_code_of_functions_too(cell: Cells) -> None:
    cell("%elf up 2")
    cell("def half(x):\n    return 10 / x\nclass Plain:\n    def task_half(self, x):\n        return half(x)")
    cell.fails("%%elf flow halves\nPlain().task_half.map([5, 0])", FlowFailed)
    cell("def half(x):\n    return 10 / (x or 1)")
    assert cell("%elf retry halves/task_half[1]").startswith("✓ flow halves: 2 of 2 jobs done (1 ran again, 1 kept)")
    assert cell("halves.result()").endswith("[2.0, 10.0]")


def test_retry_with_the_same_code_fails_the_same_way(cell: Cells) -> None:
    cell("%elf up 2")
    cell(GREETER)
    cell.fails(PARTY, FlowFailed)
    cell(MENDED)
    assert "TypeError" in cell.fails("%elf retry party --same-code", FlowFailed)


def test_large_captured_values_travel_with_flow_and_retry(cell: Cells) -> None:
    cell("%elf up 2")
    cell("numbers = list(range(50_000))\nlimit = 3")
    cell("%%elf\nclass Sum:\n    def task_sum(self, n):\n        assert n <= limit\n        return sum(numbers[:n])")
    cell("%%elf flow sums\nSum().task_sum(3)")
    assert cell("sums.result()").endswith("3")
    cell.fails("%%elf flow more\nSum().task_sum(50_000)", FlowFailed)
    cell("limit = 10**6\nnumbers = [*numbers, 1]")
    cell("%elf retry more")
    assert cell("more.result()").endswith(str(sum(range(50_000))))


def test_values_are_of_the_notebooks_own_classes(cell: Cells) -> None:
    cell("%elf up 2")
    cell("from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    y: int")
    cell("%%elf\nclass Maker:\n    def task_point(self, x):\n        return Point(x, 2 * x)")
    cell("%%elf flow points\nMaker().task_point(3)")
    assert cell("points.result() == Point(3, 6), type(points.result()) is Point").endswith("(True, True)")


def test_a_flow_without_magics(cell: Cells) -> None:
    cell("%elf up 2")
    cell(MENDED)
    cell("import elfbook\nwith elfbook.flow('plain') as plain:\n    a = Greeter().task_hello('Ada')\n    plain.returns([a, 1])")
    assert cell("plain.result(timeout=20)").endswith("['Hello Ada', 1]")
    assert cell("await plain").endswith("['Hello Ada', 1]")
    shown = cell.fails(
        "with elfbook.flow('bad') as bad:\n    a = Greeter().task_hello('Ada')\n    if a:\n        pass",
        elfbook.ElfbookError,
    )
    assert "----> 3     if a:" in shown


def test_the_same_flow_here_and_on_workers(cell: Cells) -> None:
    cell("%elf up 2")
    cell(MENDED)
    cell(PARTY)
    there = cell["party"].result()
    cell(PARTY.replace("flow party", "flow party --local"))
    assert cell["party"].result() == there
    assert cell["party"].durability == "local"


def test_cancel_and_join_and_timeout(cell: Cells) -> None:
    cell("%elf up 2")
    cell(SLOW)
    flow = "%%elf flow nap --no-wait\nSleeper().task_sleep.map([30, 30, 30])"
    cell(flow)
    first = cell["nap"]
    assert cell(flow).startswith("nap is already running: shown here, nothing started twice\n")
    assert cell["nap"] is first
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="flow nap has not ended within 0.2 s: 0 of 3 done. It goes on."):
        first.result(timeout=0.2)
    assert time.monotonic() - began < 1
    assert cell("%elf cancel nap --why 'no need'") == "cancelled 3 jobs of flow nap; what was done is kept"
    assert cell("%elf cancel nap").startswith("nothing to cancel: flow nap: 0 of 3 jobs done, 3 cancelled")
    assert "flow nap: 0 of 3 jobs done, 3 cancelled" in cell.fails("nap.result()", FlowCancelled)
    shown = cell.fails("%%elf flow nap --timeout 300ms\nSleeper().task_sleep(30)", FlowFailed)
    assert "TimedOut: task_sleep[0] ran longer than 0.3 s" in shown


def test_pause_and_resume(cell: Cells, tmp_path: Path) -> None:
    cell("%elf up 2")
    cell(SLOW)
    cell("%%elf flow nap --no-wait\nSleeper().task_sleep.map([30] * 90)")
    nap = cell["nap"]
    said = cell("%elf pause nap --why 'not now'")
    assert said.startswith("paused flow nap") and said.endswith("%elf resume nap  lets it go on")
    assert cell("%elf pause nap").startswith("flow nap is paused already")
    assert nap.outcome == "paused" and nap.state.pause_why == "not now"
    why = nap.jobs[89].why  # the first ones may have been taken by workers, one after the other
    assert why == "waits because its run is paused: not now"
    assert any(line.startswith("‖ nap ") and line.endswith(", paused") for line in cell("%elf runs").splitlines())
    assert "‖ nap " in cell("%elf")
    assert "no run; only a whole run can be paused" in cell.fails("%elf pause nap/task_sleep[1]", ElfUsageError)
    assert cell("%elf resume nap") == "flow nap goes on"
    assert cell("%elf resume nap").startswith("not paused: flow nap: 0 of 90 jobs done")
    assert nap.pause().outcome == "paused"
    assert nap.resume().outcome in ("running", "waiting")
    cell("%elf cancel nap")
    assert cell("%elf pause nap") == "nothing to pause: flow nap: 0 of 90 jobs done, 90 cancelled"
    cell(SLOW.replace("Sleeper", "Napper"))
    cell("%%elf flow here --local\nNapper().task_sleep(0)")
    assert "ran in this kernel, with --local" in cell.fails("here.pause()", ElfUsageError)


def test_cancel_of_part_of_a_flow(cell: Cells) -> None:
    cell("%elf up 2")
    cell(SLOW)
    cell(
        "%%elf flow tree --no-wait -q\ns = Sleeper()\na = s.task_sleep(30)\nb = s.task_sleep(a)\n"
        "c = s.task_sleep(b)\nd = s.task_sleep(a)\ne = s.task_sleep(30)\nf = s.task_sleep(e)\n"
    )
    assert cell["tree"]["task_sleep[1]"].why == "waits for task_sleep[0]"
    assert cell("%elf show tree/task_sleep[2]").endswith("task_sleep[2] waiting\nwaits for task_sleep[1]")
    said = cell("%elf cancel tree/task_sleep[1] --below --why 'not needed'")
    assert said == "cancelled 2 jobs of flow tree; what was done is kept"
    states = "[str(job.state) for job in tree.jobs if job.number not in (0, 4)]"
    assert cell(states).endswith("['cancelled', 'cancelled', 'waiting', 'waiting']")
    assert cell["tree"]["task_sleep[2]"]._now.event.why == "not needed"
    assert cell("%elf cancel tree/task_sleep[1]").startswith("nothing to cancel: ")
    assert "`tree` is a run, and --below is said of a job" in cell.fails("%elf cancel tree --below", ElfUsageError)
    cell("tree['task_sleep[5]'].cancel(above=True)")
    assert cell("[str(job.state) for job in tree.jobs[4:]]").endswith("['cancelled', 'cancelled']")
    cell("tree['task_sleep[0]'].cancel()")
    cell("tree.wait()")
    assert cell("str(tree.jobs[3].state)").endswith("'skipped'"), "it depended on one that was cancelled"


def test_a_fresh_notebook_attaches_and_has_its_elves_back(cell: Cells) -> None:
    cell("%elf up 2")
    cell(GREETER)
    cell.fails(PARTY, FlowFailed)
    cell.shell.reset(new_session=False)
    elfbook.unload_ipython_extension(cell.shell)
    elfbook.load_ipython_extension(cell.shell)
    cell.capture.readouterr()
    shown = cell("%elf attach party")
    assert shown.startswith("Greeter is defined as flow party has it: its cell has not been run here yet\n✗ flow party")
    assert cell("Greeter().task_shout('a')").endswith("'A!'")
    assert cell(MENDED).splitlines()[1].startswith("1 failed job of flow party used task_hello v1")
    cell("%elf retry party")
    assert cell("party.result()").endswith("['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']")
    assert "there is no flow called nobody here" in cell.fails("%elf attach nobody", ElfUsageError)


def test_a_server_that_goes_and_comes_back(cell: Cells, state: Path) -> None:
    cell("%elf up 2")
    cell(SLOW)
    cell("%%elf flow nap --no-wait -q\nSleeper().task_sleep.map([0.1, 0.2, 1])")
    hostfile.stop(Place(state))  # as another notebook's %elf down would
    assert re.match(r". flow nap: \d of 3 jobs done", cell("print(nap)"))
    assert cell.fails("%elf runs", MyceliumUnreachable) == (
        "MyceliumUnreachable: the server does not answer any more. Nothing was changed by asking.\n"
        "Start it again with  %elf up"
    )
    cell("%elf up 2")
    assert cell("nap.result()").endswith("[0.1, 0.2, 1]")
    assert cell("%elf retry nap").startswith("nothing to retry")


def test_what_is_up_is_checked_and_goes_down(cell: Cells) -> None:
    cell("%elf up 1 --elf calc1 -q")
    doctor = cell("%elf doctor")
    assert doctor.endswith("all is well")
    assert "✓ host: process " in doctor
    assert cell("%elf down") == "elfbook: workers and server stopped; runs are kept"
    assert cell("%elf down") == "elfbook: nothing was running here"
    assert "○ workers: nothing runs here now" in cell("%elf doctor")
    assert isinstance(CURRENT[0], Notebook)
    assert CURRENT[0].place == Place.default()


# ---------------------------------------------------------------------------- a real kernel


@dataclass
class Shown:
    """What one cell of a kernel has shown."""

    text: str = ""
    pages: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    elapsed_s: float = 0.0


class Lab:
    """An ipykernel with somebody in front of it."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self.manager = manager
        self.client = client
        self.updates: list[str] = []

    def run(self, code: str, *, interrupt: threading.Event | None = None) -> Shown:
        shown, began = Shown(), time.monotonic()
        sent = self.client.execute(code, allow_stdin=True)
        while True:
            message = self.client.get_iopub_msg(timeout=30)
            kind, content = message["msg_type"], message["content"]
            if kind == "update_display_data":
                self.updates.append(content["data"]["text/plain"])
            elif message["parent_header"].get("msg_id") != sent:
                shows = ("stream", "display_data", "execute_result", "error")
                assert kind not in shows, f"{kind} under a foreign cell"
            elif kind == "stream":
                assert content["name"] == "stdout", content["text"]
                shown.text += content["text"]
                if interrupt is not None and "waiting" in content["text"]:
                    interrupt.set()
            elif kind in ("display_data", "execute_result"):
                shown.pages.append(content["data"]["text/plain"])
            elif kind == "error":
                shown.errors.append(content)
            elif kind == "status" and content["execution_state"] == "idle":
                shown.elapsed_s = time.monotonic() - began
                return shown

    def interrupted(self, code: str) -> Shown:
        """The cell, interrupted a moment after it has printed `waiting`."""
        waiting = threading.Event()

        def interrupt() -> None:
            waiting.wait(20)
            time.sleep(0.3)  # the print comes before the wait; nothing tells when that has begun
            self.sent_at = time.monotonic()
            os.kill(self.manager.provisioner.pid, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        shown = self.run(f"print('waiting', flush=True)\n{code}", interrupt=waiting)
        thread.join()
        assert time.monotonic() - self.sent_at < 0.3 + 0.3  # half of it is for a busy machine
        return shown

    def until_updated(self, words: str) -> str:
        """The first update that has the words."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for text in self.updates:
                if words in text:
                    return text
            message = self.client.get_iopub_msg(timeout=20)
            if message["msg_type"] == "update_display_data":
                self.updates.append(message["content"]["data"]["text/plain"])
        pytest.fail(f"no page ever said {words!r}")


@pytest.fixture
def lab(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(state))
    monkeypatch.setenv("IPYTHONDIR", str(state.parent / "ipython"))
    monkeypatch.delenv("ELFBOOK_DISPLAY", raising=False)
    hostfile.stop(Place(state))
    manager, client = start_new_kernel(env={**os.environ, "JPY_SESSION_NAME": "/somewhere/tutorial.ipynb"})
    made = Lab(manager, client)
    yield made
    made.run("%reload_ext elfbook\n%elf down")
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    ensure_event_loop().close()  # the one behind the manager's blocking calls


def test_a_live_notebook(lab: Lab) -> None:
    assert lab.run("%load_ext elfbook").text == ""
    assert "2 workers ready in" in lab.run("%elf up 2").text
    lab.run(GREETER)
    lab.run(SLOW)

    begun = lab.run(PARTY.replace("hellos =", "Sleeper().task_sleep(1)\nhellos ="))
    assert begun.elapsed_s < 1, "a flow cell returns at once"
    assert not begun.errors
    assert "of 7 jobs done" in begun.pages[0]
    assert "5 of 7 jobs done, 1 failed, 1 skipped" in lab.until_updated("✗ flow party")

    lab.run("%%elf flow nap -q\nSleeper().task_sleep.map([60, 60])")
    stopped = "stopped waiting. nap goes on: 0 of 2 done.  %elf cancel nap  stops it."
    for code in ("nap.result()", "await nap", "for job in nap: pass", "async for job in nap: pass"):
        shown = lab.interrupted(code)
        assert [error["traceback"] for error in shown.errors] == [[stopped]], code
    assert lab.run("nap.outcome").pages == ["'running'"]

    lab.manager.restart_kernel(now=False)
    lab.client.wait_for_ready(timeout=30)
    greeting = lab.run("%load_ext elfbook").text.splitlines()
    assert greeting[0].endswith("2 workers still here")
    assert greeting[1:] == [
        "runs from this notebook:",
        "  ● nap    0 of 2 done, 2 running",
        "  ✗ party  5 of 7 done, 1 failed, 1 skipped",
        "%elf attach nap  shows it here",
    ]
    shown = lab.run("%elf attach party")
    assert shown.text.startswith("Greeter is defined as flow party has it")
    assert "✗ flow party: 5 of 7 jobs done" in shown.pages[0]
    assert lab.run("%elf cancel nap").text == "cancelled 2 jobs of flow nap; what was done is kept\n"
    lab.run("%%elf flow again -q --wait\nGreeter().task_shout('as stored')")
    assert lab.run("again.result()").pages == ["'AS STORED!'"]
    lab.run(MENDED)
    lab.run("%elf retry party --wait")
    assert lab.run("party.result()").pages == ["['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']"]
