"""Boards in a real kernel: what a page in front of it would be sent, and what its clicks do.

The page here speaks over the kernel's own channels, from a subshell as JupyterLab does. Where a cell is
to be busy it waits for a file that the test makes when everything has been seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbconvert
import nbformat
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from jupyter_core.utils import ensure_event_loop

from elfbook.host import hostfile
from elfbook.notebook.board import WIDGET
from elfbook.notebook.pages import RUN
from elfbook.store.place import Place
from elfbook.view import messages
from tests.boards import Page

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

WAIT_S = 40
STAND_IN = "import elfbook.notebook.board as board\nboard.STATIC = board.Path({!r})\n%load_ext elfbook"
ELVES = """%%elf
import os, time
class Gate:
    def task_pass(self, path, word="x"):
        print("at", word)
        while not os.path.exists(path):
            time.sleep(0.01)
        return word

    def task_fail(self, number):
        return 1 / number
"""
KINDS = {cls.__struct_config__.tag: cls for cls in messages.TOLD.__args__}


class Front:
    """A page with a notebook: its outputs, its widgets, and one fake board."""

    def __init__(self, manager: KernelManager, client: Any, static: Path) -> None:
        self.manager, self.client, self.static = manager, client, static
        self.opened: list[str] = []
        self.esm = ""
        self.outputs: dict[str, dict] = {}
        """By display id, in their order."""
        self.marks: dict[str, dict] = {}
        """Metadata of the same outputs."""
        self.shown: list[str] = []
        self.told: list[tuple[object, list[bytes]]] = []
        self.page = Page()
        self.idle: set[str] = set()
        self.subshell = ""

    def ready(self) -> None:
        self.client.wait_for_ready(timeout=WAIT_S)
        reply = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(reply)
        self.subshell = self.client.get_control_msg(timeout=WAIT_S)["content"].get("subshell_id", "")
        assert self.subshell
        self.run(STAND_IN.format(str(self.static)))

    def take(self, message: dict) -> None:
        kind, content, parent = message["msg_type"], message["content"], message["parent_header"].get("msg_id")
        if kind == "status" and content["execution_state"] == "idle":
            self.idle.add(parent)
        elif kind == "comm_open" and "_esm" in content["data"]["state"]:  # a widget has its layout besides
            self.opened.append(content["comm_id"])
            self.esm = content["data"]["state"]["_esm"]
        elif kind in ("display_data", "update_display_data"):
            self.outputs[content["transient"]["display_id"]] = content["data"]
            self.marks[content["transient"]["display_id"]] = content["metadata"]
        elif kind == "stream":
            self.shown.append(content["text"])
        elif kind == "comm_msg" and content["data"].get("method") == "custom":
            buffers = [bytes(each) for each in message["buffers"]]
            data = content["data"]["content"]
            told = messages.msgspec.convert(data, KINDS[data["kind"]])
            self.told.append((told, buffers))
            if isinstance(told, messages.Snapshot | messages.Patch):
                self.page.take(told, buffers)
                self.ask(messages.Ack(told.seq))
        assert kind != "error", content

    def until(self, true: Callable[[], object], what: str = "") -> Any:
        """Hears the kernel until that is so; what it gave."""
        deadline = time.monotonic() + WAIT_S
        while not (found := true()):
            assert time.monotonic() < deadline, f"{what or true}: not within {WAIT_S} s; {self.told[-3:]}"
            try:
                self.take(self.client.get_iopub_msg(timeout=0.2))
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
        return found

    def begin(self, code: str) -> str:
        return self.client.execute(code, allow_stdin=True)

    def run(self, code: str) -> str:
        """The cell has ended; what it printed."""
        self.shown.clear()
        sent = self.begin(code)
        self.until(lambda: sent in self.idle, code)
        return "".join(self.shown)

    def send(self, content: object, subshell: bool = True) -> None:
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": self.opened[-1], "data": data})
        if subshell:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def ask(self, asked: messages.Asked) -> None:
        self.send(messages.msgspec.to_builtins(asked))

    def last(self, kind: type) -> Any:
        return next((told for told, _ in reversed(self.told) if isinstance(told, kind)), None)

    def count(self, kind: type) -> int:
        return sum(isinstance(told, kind) for told, _ in self.told)

    def pages(self) -> list[dict]:
        return list(self.outputs.values())


@pytest.fixture(scope="module")
def state(folder: Path) -> Path:
    return folder / "state"


BARS = """%%elf
import os, sys, time
class Bars:
    def task_draw(self, path):
        for step in range(301):
            sys.stderr.write(f"\\rreading: {step * 100 // 500:3}%|{'█' * (step // 50):10}| {step}/500 [00:01<00:01]")
            sys.stderr.flush()
        while not os.path.exists(path):
            time.sleep(0.01)
        sys.stderr.write("\\ndone\\n")
"""


@pytest.fixture
def front(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    static = tmp_path / "static"
    static.mkdir()
    (static / "board.js").write_text("export default { render() {} }")
    (static / "graphviz.js").write_bytes(b"layout")
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(state))
    monkeypatch.setenv("IPYTHONDIR", str(state.parent / "ipython"))
    monkeypatch.delenv("ELFBOOK_DISPLAY", raising=False)
    hostfile.ensure(Place(state), workers=2)
    manager, client = start_new_kernel(env={**os.environ, "JPY_SESSION_NAME": "/somewhere/a.ipynb"})
    made = Front(manager, client, static)
    made.ready()
    made.run(ELVES)
    yield made
    for name in ("gate", "end"):  # whatever still waits there ends
        (tmp_path / name).touch()
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    ensure_event_loop().close()  # the one behind the manager's blocking calls


BUSY = {
    "sleeps": "import os, time\nopen({begun!r}, 'w')\nwhile not os.path.exists({path!r}): time.sleep(0.05)",
    "computes": "import os\nopen({begun!r}, 'w')\nwhile not os.path.exists({path!r}): sum(range(100))",
    "awaits": (
        "import os, asyncio\nopen({begun!r}, 'w')\nwhile not os.path.exists({path!r}): await asyncio.sleep(0.05)"
    ),
}


@pytest.mark.parametrize(("busy", "early"), [("sleeps", True), ("sleeps", False), ("computes", False), ("awaits", True)])
def test_a_board_is_served_while_a_cell_is_busy(front: Front, tmp_path: Path, busy: str, early: bool) -> None:
    """A page that was there `early`, and has been told things meanwhile; and the very first message of
    a page: Run All leaves the kernel no moment of rest after a flow cell."""
    end, begun, gate = (str(tmp_path / name) for name in ("end", "begun", "gate"))
    flow = f"busy-{busy}-{early}"
    front.run(f"%%elf flow {flow}\nGate().task_pass.map([{gate!r}] * 3)")
    assert front.esm.startswith("export default")
    assert [sorted(page) for page in front.pages()] == [
        ["text/html", "text/plain"], [RUN, WIDGET, "text/html", "text/plain"],
    ]
    assert front.pages()[1][WIDGET]["model_id"] == front.opened[-1]
    shown = {"run": f"{flow}.1", "id": front.opened[-1], "settled": False, "line": True}
    assert front.pages()[1][RUN] == shown
    assert f"flow {flow}</strong>" in front.pages()[1]["text/html"], "what a file shows where nothing is drawn"
    if early:
        front.ask(messages.Hello("a"))
        front.until(lambda: front.last(messages.Alive), "all is told and answered")
    cell = front.begin(BUSY[busy].format(begun=begun, path=end))
    front.until(lambda: Path(begun).exists())
    before = front.count(messages.Alive)
    if early:
        front.until(lambda: front.count(messages.Alive) > before, "something that is told meanwhile")
    else:
        front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot), "a snapshot")
    front.until(lambda: front.page.states().count("running") == 2)
    job = front.page.states().index("running")
    front.ask(messages.Open("a", job))
    front.until(lambda: (said := front.last(messages.Printed)) and said.pieces, "what it printed")
    assert front.last(messages.Printed).pieces[0].text == "at x\n"
    ((name, preview),) = front.last(messages.Detail).arguments
    assert name == "path" and preview.endswith("gate'")
    front.ask(messages.Act(7, "cancel", (job,), why="clicked"))
    answer = front.until(lambda: front.last(messages.Answer), "an answer")
    assert answer == messages.Answer(7, f"cancelled 1 job of flow {flow}; what was done is kept", True)
    front.until(lambda: front.page.states()[job] == "cancelled")
    assert front.until(lambda: front.last(messages.Detail).reason) == "clicked"
    for number, verb, outcome in ((8, "pause", "paused"), (9, "resume", "running")):
        front.ask(messages.Act(number, verb))
        front.until(lambda number=number: front.last(messages.Answer).id == number)
        assert front.last(messages.Answer).ok
        front.until(lambda outcome=outcome: front.page.head.outcome == outcome)
    front.ask(messages.Act(10, "cancel"))
    front.until(lambda: front.page.head.settled)
    front.until(lambda: front.pages()[1] == {"text/plain": ""}, "the settled page")
    assert cell not in front.idle, "the cell was busy all the time"
    Path(end).touch()
    front.until(lambda: cell in front.idle)


def test_two_views_a_settled_page_and_what_a_file_keeps_of_it(front: Front, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    front.run(f"%%elf flow party\nGate().task_pass({str(gate)!r})\nGate().task_fail(0)")
    for told, view in enumerate("ab"):  # who says hello while another's answer is not yet sent shares that answer
        front.ask(messages.Hello(view))
        front.until(lambda told=told: front.count(messages.Snapshot) > told)
    front.until(lambda: front.page.states()[1] == "failed")
    assert front.page.groups[0].title == "task_fail[0]"
    assert "%elf cancel party" in str(front.page.head.steps)
    front.ask(messages.Bye("a"))
    front.ask(messages.Count("b", on=True))
    front.until(lambda: (census := front.last(messages.Census)) and len(census.workers) == 2)
    assert all(worker.memory > 1_000_000 for worker in front.last(messages.Census).workers)
    front.until(lambda: any(worker.cpu for worker in front.last(messages.Census).workers), "a gate is looked at often")
    front.ask(messages.Want("graphviz.js"))
    front.until(lambda: front.last(messages.Asset))
    assert front.told[-1][1] == [b"layout"] or any(buffers == [b"layout"] for _, buffers in front.told)
    front.ask(messages.Count("b", on=False))
    before = front.count(messages.Alive)
    front.until(lambda: front.count(messages.Alive) > before, "a sign of life")
    gate.touch()
    front.until(lambda: front.page.head.settled)
    front.until(lambda: front.pages()[1] == {"text/plain": ""})
    assert front.pages()[0]["text/plain"].startswith("✗ flow party: 1 of 2 jobs done, 1 failed")
    assert "<table>" in front.pages()[0]["text/html"]
    told = front.until(lambda: (page := front.last(messages.Page)) and page.settled and page, "what takes the board's place")
    shown = {"run": "party.1", "id": told.id, "settled": True}
    assert told.id == front.opened[-1] == front.last(messages.Snapshot).id
    assert front.pages()[0] == {RUN: shown, **told.bundle}
    front.told.clear()
    front.ask(messages.Hello("late"))
    front.until(lambda: front.last(messages.Page))
    assert front.last(messages.Page).settled and front.last(messages.Snapshot).head.settled
    marks = list(front.marks.values())
    assert all((each["elfbook"]["flow"], each["elfbook"]["number"]) == ("party", 1) for each in marks)
    outputs = [
        nbformat.v4.new_output("display_data", data=page, metadata=mark)
        for page, mark in zip(front.pages(), marks, strict=True)
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    nbformat.validate(book)
    saved = nbformat.writes(book)
    assert "widget" not in saved and "1 of 2 jobs done" in saved
    html, _ = nbconvert.HTMLExporter().from_notebook_node(book)
    assert "<strong>✗ flow party</strong>: 1 of 2 jobs done, 1 failed" in html
    assert front.outputs and front.run("print(sorted(party._repr_mimebundle_()[0]))") == f"{sorted([RUN, *told.bundle])}\n"
    front.run("%elf retry party --same-code")
    front.until(lambda: front.page.states() == ["done", "failed"] and front.page.columns["attempts"][1] == 2)


def test_what_a_file_keeps_of_a_board_is_not_much_older_than_the_board(
    front: Front, tmp_path: Path
) -> None:
    gates = [tmp_path / name for name in ("first", "second")]
    front.run("from elfbook.notebook import boardpage\nboardpage.KEEP_S = 1")
    front.run(f"%%elf flow kept\nfor gate in {[str(gate) for gate in gates]!r}:\n    Gate().task_pass(gate)")
    front.ask(messages.Hello("a"))
    for done, gate in enumerate(gates):
        words = f"flow kept: {done} of 2 jobs done"
        page = front.until(lambda words=words: (page := front.last(messages.Page)) and words in page.bundle["text/plain"] and page)
        assert not page.settled and page.id == front.opened[-1] and "text/html" in page.bundle
        gate.touch()
    front.until(lambda: front.last(messages.Page).settled)


def steps_of(reference: str) -> tuple[tuple[str, str], ...]:
    """What is told of a run that goes on although something has failed."""
    retry = ("correct the cell, then", f"%elf retry {reference}")
    return (retry, ("or stop it with", f"%elf cancel {reference}"))


def test_beside_a_later_run_of_its_flow_a_board_names_its_own_by_the_number(front: Front, tmp_path: Path) -> None:
    gates = [str(tmp_path / name) for name in ("first", "second")]
    front.run(f"%%elf flow twice\nGate().task_fail(0)\nGate().task_pass({gates[0]!r})")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot) and front.page.states()[0] == "failed")
    assert front.page.head.reference == "twice" and front.page.head.steps == steps_of("twice")
    front.run(f"%%elf flow twice\nGate().task_pass({gates[1]!r})")
    front.until(lambda: front.page.head.reference == "twice.1")
    assert front.page.head.steps == steps_of("twice.1")
    assert "cancelled 1 job of flow twice" in front.run("%elf cancel twice.1")
    front.until(lambda: front.page.head.settled)
    front.until(lambda: "%elf retry twice.1" in front.pages()[0]["text/plain"], "the settled page")
    assert "0 of 1" in front.run("print(twice, twice.reference)")
    Path(gates[1]).touch()
    assert "twice\n" in front.run("twice.wait()\nprint(twice.reference)")
    # A handle under the flow's name is what the name means, whichever run it is.
    assert "twice twice.2\n" in front.run("later = twice\n%elf attach twice.1\nprint(twice.reference, later.reference)")


def test_a_plain_bar_moves_on_the_board(front: Front, tmp_path: Path) -> None:
    """No import of ours and no change of the code: whatever writes its line over and over again."""
    gate = tmp_path / "gate"
    front.run(BARS)
    front.run(f"%%elf flow bars\nBars().task_draw({str(gate)!r})")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    front.ask(messages.Open("a", 0))
    front.until(lambda: (moves := front.last(messages.Moves)) and moves.jobs, "a bar")
    front.until(lambda: front.last(messages.Moves).jobs[0].share == 0.6)
    assert front.last(messages.Moves).jobs[0].words == "60 % · 300/500 · reading: [00:01<00:01]"
    assert front.count(messages.Moves) < 50, "not each of five hundred"
    assert all("\r" not in piece.text for told, _ in front.told if isinstance(told, messages.Printed) for piece in told.pieces)
    gate.touch()
    front.until(lambda: front.page.states() == ["done"])
    front.until(lambda: front.last(messages.Moves).jobs == (), "an ended job has no progress")
    front.until(lambda: (said := front.last(messages.Printed)) and said.pieces, "what is left of it")
    printed = "".join(piece.text for piece in front.last(messages.Printed).pieces)
    assert printed == "reading:  60%|██████    | 300/500 [00:01<00:01]\ndone\n"


def test_what_a_board_tells_to_do_mends_a_failure_while_the_rest_goes_on(front: Front, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    front.run(f"%%elf flow going\nGate().task_pass({str(gate)!r})\nGate().task_fail(0)")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot) and front.page.states()[1] == "failed")
    (_, retry), _ = front.page.head.steps
    front.run(ELVES.replace("1 / number", "number"))
    front.run(retry)
    front.until(lambda: front.page.states() == ["running", "done"])
    assert front.page.head.steps == ()
    gate.touch()
    front.until(lambda: front.page.head.settled and front.page.head.outcome == "done")


def test_a_click_retries_what_failed_with_the_mended_cell(front: Front, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    front.run(f"%%elf flow mended\nGate().task_pass({str(gate)!r})\nGate().task_fail(0)")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    gate.touch()
    front.until(lambda: front.page.head.settled)
    front.run(ELVES.replace("1 / number", "number"))
    front.ask(messages.Act(1, "retry"))
    assert front.until(lambda: front.last(messages.Answer)).words == "1 job of flow mended runs again"
    front.until(lambda: front.page.states() == ["done", "done"])
    front.ask(messages.Act(2, "retry"))
    front.until(lambda: front.last(messages.Answer).id == 2)
    assert front.last(messages.Answer).words.startswith("nothing to retry: flow mended: 2 of 2 jobs done")
    front.ask(messages.Act(3, "pause"))
    front.until(lambda: front.last(messages.Answer).id == 3)
    assert front.last(messages.Answer).words.startswith("nothing to pause: flow mended: 2 of 2 jobs done")


def test_what_is_no_message_is_refused_and_disturbs_nobody(front: Front, tmp_path: Path) -> None:
    front.run(f"%%elf flow odd\nGate().task_pass({str(tmp_path / 'gate')!r})")
    bad = [
        {"kind": "rm -rf"}, {}, "hello", None, 3, [], {"kind": "act", "id": 1, "verb": "delete"},
        {"kind": "open", "view": 3, "job": 0}, {"kind": "act", "id": "x", "verb": "cancel"},
    ]
    for content in bad:
        front.send(content)
    front.ask(messages.Open("a", 10**9))
    front.ask(messages.Act(1, "cancel", (99,)))
    answer = front.until(lambda: front.last(messages.Answer))
    assert (answer.words, answer.ok) == ("flow odd has no such job. See  %elf show odd", False)
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    assert front.run("print('well')") == "well\n"
    front.run("%elf cancel odd")


def test_a_restarted_kernel_revives_the_board_under_its_id(front: Front, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    front.run(f"%%elf flow long\nGate().task_pass({str(gate)!r})")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    (first,) = set(front.opened)
    front.manager.restart_kernel(now=True)
    front.ready()
    front.run("%elf attach long")
    assert set(front.opened) == {first} and len(front.opened) == 2
    front.told.clear()
    front.ask(messages.Hello("a", again=True))  # a page that has not noticed
    front.until(lambda: front.last(messages.Snapshot))
    assert front.last(messages.Snapshot).can == ("retry", "cancel", "pause", "resume")
    gate.touch()
    front.until(lambda: front.page.head.settled)
    front.manager.restart_kernel(now=True)
    front.ready()
    front.run("%elf attach long")
    assert front.opened[-1] == first, "an output that was saved before the end comes alive as well"
    front.told.clear()
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    assert front.page.states() == ["done"]


def test_where_no_widget_is_drawn_the_page_itself_follows_the_run(front: Front, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    front.run(f"%%elf flow plain\nGate().task_pass({str(gate)!r})")
    front.until(lambda: "1 running" in front.pages()[0]["text/html"], "the live page")
    front.ask(messages.Hello("a"))  # late, but there
    front.until(lambda: "its board is below" in front.pages()[0]["text/html"])
    gate.touch()
    front.until(lambda: "1 of 1 job done" in front.pages()[0]["text/html"])


def test_a_board_whose_connection_is_given_up_says_so(front: Front, tmp_path: Path) -> None:
    front.run(f"%%elf flow lost\nGate().task_pass({str(tmp_path / 'gate')!r})")
    front.ask(messages.Hello("a"))
    front.until(lambda: front.last(messages.Snapshot))
    front.run("from elfbook.notebook.notebook import current\ncurrent().disconnect()")
    front.until(lambda: "%elf attach lost" in front.page.head.lost)
    front.run("%elf attach lost")
    front.ask(messages.Hello("a", again=True))
    front.until(lambda: not front.page.head.lost)
    front.run("%elf cancel lost")
