"""The panel's WebSocket on a real Jupyter server, in front of a real mycelium, and without any kernel.

Where a job is to run on it waits for a file that the test makes when everything has been seen.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from elfbook.host import hostfile
from elfbook.notebook.board import asset
from elfbook.server import desk as desks
from elfbook.server.desk import Desk
from elfbook.store.place import Place
from elfbook.view import messages, panelmessages
from elfbook.view.messages import Ack, Act, Answer, Count, Detail, Hello, Open, Printed, Snapshot, Want
from elfbook.view.panelmessages import Do, FromBoard, Look, More, NoBoard, Older, Overview, Reply, ToBoard, Up
from tests.boards import Page
from tests.jupyterserver import CONFIG, TOKEN, WAIT_S, Server, environ_of, submit

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

@pytest.fixture(scope="module")
def state(folder: Path) -> Place:
    """A place in which nothing runs yet."""
    return Place(folder / "state")


@pytest.fixture(scope="module")
def server(folder: Path, state: Place) -> Iterator[Server]:
    made = Server(folder, environ_of(folder, state))
    made.start()
    yield made
    made.stop()


class Panel:
    """A page with a side panel, without the page."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self.overview: Overview | None = None
        self.answers: dict[int, Reply | Older] = {}
        self.told: list[messages.TOLD] = []
        self.refused: list[NoBoard] = []
        self.board = Page()
        self.assets: list[bytes] = []
        self.last = 0
        self.hearing = asyncio.create_task(self.hear())

    async def hear(self) -> None:
        while (data := await self.connection.read_message()) is not None:
            news, buffers = framed(data)
            match news:
                case Overview():
                    self.overview = news
                case Reply() | Older():
                    self.answers[news.id] = news
                case NoBoard():
                    self.refused.append(news)
                case FromBoard(message=message):
                    self.told.append(message)
                    if isinstance(message, messages.Snapshot | messages.Patch):
                        self.board.take(message, buffers)
                        await self.ask_board(news.run, Ack(message.seq))
                    elif isinstance(message, messages.Asset):
                        self.assets += buffers

    async def send(self, wish: panelmessages.Wish) -> None:
        await self.connection.write_message(msgspec.json.encode(wish))

    async def ask_board(self, run: str, asked: messages.Asked) -> None:
        await self.send(ToBoard(run, asked))

    async def ask(self, make: Callable[[int], panelmessages.Wish]) -> Reply | Older:
        self.last += 1
        number = self.last
        await self.send(make(number))
        await seen(self, lambda: number in self.answers)
        return self.answers.pop(number)

    async def do(self, verb: str, run: str, *jobs: int) -> Reply | Older:
        return await self.ask(lambda number: Do(number, verb, run, jobs))

    def line(self, run: str) -> panelmessages.RunLine | None:
        return next((line for line in self.overview.runs if line.run == run), None) if self.overview else None

    def heard(self, kind: type) -> list:
        return [message for message in self.told if isinstance(message, kind)]

    async def close(self) -> None:
        self.connection.close()
        await self.hearing


def framed(data: str | bytes) -> tuple[panelmessages.NEWS, list[bytes]]:
    """A message and its buffers, read as the page reads them."""
    if isinstance(data, str):
        return msgspec.json.decode(data, type=panelmessages.NEWS), []
    length = int.from_bytes(data[:4], "little")
    news = msgspec.json.decode(data[4 : 4 + length], type=panelmessages.NEWS)
    buffers, start = [], 4 + length
    for size in news.sizes:
        buffers.append(data[start : start + size])
        start += size
    assert start == len(data)
    return news, buffers


async def seen(panel: Panel, true: Callable[[], object]) -> object:
    deadline = time.monotonic() + WAIT_S
    while not (found := true()):
        assert not panel.hearing.done(), "the connection has ended"
        assert time.monotonic() < deadline, f"not within {WAIT_S} s; {panel.overview}; {panel.told[-3:]}"
        await asyncio.sleep(0.01)
    return found


async def enter(server: Server, token: str = TOKEN, **headers: str) -> Panel:
    query = f"?token={token}" if token else ""
    address = f"ws{server.url.removeprefix('http')}/elfbook/socket{query}"
    request = HTTPRequest(address, headers={name.title(): value for name, value in headers.items()}, connect_timeout=WAIT_S)
    return Panel(await websocket_connect(request))


@pytest.fixture
async def come(server: Server) -> AsyncIterator[Callable]:
    """`await come()`: one more page, which goes when the test is over."""
    made: list[Panel] = []

    async def coming(**ways: str) -> Panel:
        made.append(await enter(server, **ways))
        return made[-1]

    yield coming
    for each in made:
        await each.close()


@pytest.fixture
async def panel(come: Callable) -> Panel:
    return await come()


@pytest.fixture(scope="module")
def workers(state: Place, server: Server) -> hostfile.HostReport:
    return hostfile.ensure(state, workers=1)


# ------------------------------------------------------------------ who may come in


async def refusal(server: Server, *, token: str = TOKEN, **headers: str) -> int:
    with pytest.raises(HTTPClientError) as caught:
        await enter(server, token, **headers)
    return caught.value.code


async def test_without_a_login_there_is_no_way_in(server: Server) -> None:
    assert await refusal(server, token="") == 403
    assert await refusal(server, token="another") == 403


async def test_a_page_from_elsewhere_is_refused(server: Server, come: Callable) -> None:
    """It would come with the browser's cookie: that one is what a page of another site must not use."""
    with urllib.request.urlopen(f"{server.url}/api/kernels?token={TOKEN}") as reply:
        cookie = "; ".join(each.partition(";")[0] for each in reply.headers.get_all("Set-Cookie"))
    assert await refusal(server, token="", cookie=cookie, origin="http://elsewhere.example") == 403
    page = await come(token="", cookie=cookie, origin=f"http://127.0.0.1:{server.port}")
    await seen(page, lambda: page.overview)


async def test_who_may_not_run_kernels_is_refused(folder: Path, state: Place) -> None:
    """To have a job run again is to run code."""
    (folder / "reading").mkdir()
    server = Server(folder / "reading", environ_of(folder, state))
    server.start("--ServerApp.authorizer_class=tests.jupyterserver.Reader")
    try:
        assert await refusal(server) == 403
    finally:
        server.stop()


def test_the_address_as_a_page_says_whether_it_is_there(server: Server) -> None:
    """That is how a page finds out why a WebSocket was refused, of which a browser says nothing."""
    def status(path: str, **headers: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/{path}", headers=headers))
        caught.value.close()
        return caught.value.code

    login = {"Authorization": f"token {TOKEN}"}
    assert status("elfbook/socket", **login) == 400
    assert status("elfbook/socket") == 403
    assert status("elfbook/nothing", **login) == 404
    assert status("elfbook/files/board.js") == 403 and status("elfbook/files/canvas.py", **login) == 404
    for name in ("board.js", "board.css"):
        request = urllib.request.Request(f"{server.url}/elfbook/files/{name}", headers=login)
        with urllib.request.urlopen(request) as reply:
            assert reply.read() == asset(name) and len(asset(name)) > 5000


# ------------------------------------------------------------------ no mycelium


async def test_looking_starts_nothing(server: Server, state: Place, panel: Panel) -> None:
    await seen(panel, lambda: panel.overview)
    assert (panel.overview.reach, panel.overview.step) == ("none", "%elf up")
    assert "Nothing runs here" in panel.overview.why and not state.state_dir.exists()
    reply = await panel.do("cancel", "party")
    assert not reply.ok and "nothing was done" in reply.words and "%elf up" in reply.words


async def test_what_is_no_request_is_left_out_and_the_rest_goes_on(server: Server, panel: Panel) -> None:
    for words in ('{"kind":"what"}', "no json", '{"kind":"do","id":1,"verb":"remove","run":"x"}', b"\x00\x01"):
        await panel.connection.write_message(words, binary=isinstance(words, bytes))
    assert not (await panel.do("cancel", "party")).ok
    assert "not known here" in server.log()


async def test_up_starts_workers(server: Server, state: Place, panel: Panel) -> None:
    reply = await panel.ask(lambda number: Up(number, 0))
    assert not reply.ok and "0 workers cannot be started" in reply.words
    reply = await panel.ask(lambda number: Up(number, 1))
    assert reply.ok and "1 worker ready" in reply.words
    await seen(panel, lambda: any(worker.ready for worker in panel.overview.workers))
    worker = panel.overview.workers[0]
    assert worker.pool == "main" and worker.kernel == "python3" and panel.overview.reach == "connected"
    assert panel.overview.durability == "durable" and panel.overview.kept.endswith("state")


async def test_a_page_that_comes_while_the_last_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable
) -> None:
    told: list[str | bytes] = []
    closing, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_desk: Desk) -> None:
        closing.set()
        await go_on.wait()

    monkeypatch.setattr(Desk, "_disconnect", slowly)
    desk, first, second = Desk(Place(tmp_path)), desks.Page(told.append), desks.Page(told.append)
    await desk.join(first)
    await until(lambda: told)
    await desk.leave(first)
    await closing.wait()
    await desk.join(second)
    go_on.set()
    await until(lambda: second.told)
    await desk.leave(second)
    await until(lambda: desk._task is None)


async def test_an_overview_that_has_not_changed_is_told_once(tmp_path: Path, until: Callable) -> None:
    told: list[str | bytes] = []
    pages = [desks.Page(told.append), desks.Page(lambda _: None), desks.Page(lambda _: None)]
    desk = Desk(Place(tmp_path))
    try:
        for page in pages:
            await desk.join(page)
            await until(lambda page=page: page.told)
    finally:
        for page in pages:
            await desk.leave(page)
        await until(lambda: desk._task is None)
    assert len(told) == 1, "the first page was looked at again with each that came after it"


async def test_a_server_of_ones_own_that_does_not_answer(tmp_path: Path, until: Callable) -> None:
    told: list[str | bytes] = []
    desk, page = Desk(Place(tmp_path, "nats://me:secret@127.0.0.1:1")), desks.Page(told.append)
    await desk.join(page)
    await until(lambda: page.told)
    assert (page.told.reach, page.told.place, page.told.step) == ("away", "127.0.0.1:1", "")
    assert page.told.why and "secret" not in str(told)
    await desk.leave(page)
    await until(lambda: desk._task is None)


# ------------------------------------------------------------------ runs, without a kernel


async def test_a_run_is_seen_cancelled_and_retried(
    folder: Path, server: Server, state: Place, workers: hostfile.HostReport, panel: Panel
) -> None:
    gate = folder / "gate"
    submit(folder, state, "hold", f"a = Gate().task_pass({str(gate)!r}, 'a'); Gate().task_pass({str(gate)!r}, a)")
    await seen(panel, lambda: panel.line("hold.1") and panel.line("hold.1").word == "running")
    line = panel.line("hold.1")
    assert (line.name, line.jobs, line.can, line.glyph) == ("hold", 2, ("cancel", "pause"), "●")
    await seen(panel, lambda: panel.overview.running == 1 and panel.overview.workers[0].running == "task_pass[0]")
    elf = panel.overview.elves[0]
    assert (elf.name, elf.doc, elf.codes[0].runs) == ("Gate", "Lets through what waits.", ("hold.1",))
    assert [task.signature for task in elf.tasks] == ["task_pass(path: str, word='x')", "task_fail(path)"]
    assert elf.tasks[0].doc == "Returns the word once the file is there."

    reply = await panel.do("pause", "hold")
    assert reply.ok and reply.words.startswith("paused flow hold")
    await seen(panel, lambda: panel.line("hold.1").word == "paused" and panel.line("hold.1").can == ("cancel", "resume"))
    assert (await panel.do("resume", "hold.1")).words == "flow hold goes on"
    reply = await panel.do("cancel", "hold.1")
    assert reply.ok and reply.words == "cancelled 2 jobs of flow hold; what was done is kept"
    await seen(panel, lambda: panel.line("hold.1").settled and panel.line("hold.1").word == "cancelled")
    assert panel.line("hold.1").can == ("retry",)

    gate.touch()
    reply = await panel.do("retry", "hold")
    assert reply.ok and reply.words.startswith("2 jobs of flow hold run again. The code is that of the run")
    await seen(panel, lambda: panel.line("hold.1").word == "done")
    assert panel.line("hold.1").title == "2 of 2 done" and panel.overview.running == 0
    reply = await panel.do("retry", "hold")
    assert reply.ok and reply.words == "nothing to retry: flow hold: 2 of 2 jobs done (2 ran again, 0 kept)"


async def test_what_is_not_there_is_said(server: Server, workers: hostfile.HostReport, panel: Panel) -> None:
    await seen(panel, lambda: panel.overview and panel.line("hold.1"))
    reply = await panel.do("cancel", "hole")
    assert not reply.ok and reply.words == "there is no flow called hole here. Did you mean hold?"
    reply = await panel.do("cancel", "hold.7")
    assert not reply.ok and reply.words == "flow hold has no run 7; its newest is 1"
    reply = await panel.do("cancel", "../etc")
    assert not reply.ok and "is not the name of a flow" in reply.words
    reply = await panel.do("retry", "hold", 99)
    assert not reply.ok and reply.words.startswith("flow hold has no such job")
    reply = await panel.ask(lambda number: More(number, "hole.1"))
    assert isinstance(reply, Reply) and reply.words == "there is no run hole.1 here"
    await panel.ask_board("hole.3", Hello("v"))
    await seen(panel, lambda: panel.refused)
    assert panel.refused[0].run == "hole.3" and "no flow called hole" in panel.refused[0].words


async def test_older_runs(
    folder: Path, server: Server, state: Place, workers: hostfile.HostReport, panel: Panel
) -> None:
    submit(folder, state, "many", "Gate().task_pass('/')\nfor n in range(54):\n    with elfbook.flow('many') as run:\n        Gate().task_pass('/', n)")
    await seen(panel, lambda: panel.overview and panel.line("many.55") and panel.line("many.55").settled)
    assert len([line for line in panel.overview.runs if line.settled]) >= 50 and panel.overview.more
    assert panel.line("hold.1") is None
    runs = [line.run for line in panel.overview.runs]
    assert runs[0] == "many.55" and panel.line("many.55").name == "many" and panel.line("many.54").name == "many.54"
    older = await panel.ask(lambda number: More(number, runs[-1]))
    assert isinstance(older, Older) and not older.more
    assert [line.run for line in older.runs][-1] == "hold.1"


# ------------------------------------------------------------------ boards


async def test_a_board_follows_its_run_and_acts(
    folder: Path, server: Server, state: Place, workers: hostfile.HostReport, panel: Panel
) -> None:
    gate, mend = folder / "gate2", folder / "mend"
    body = f"Gate().task_pass({str(gate)!r}, 'a'); Gate().task_fail({str(mend)!r})"
    submit(folder, state, "play", body)
    await seen(panel, lambda: panel.overview and panel.line("play.1"))
    await panel.ask_board("play.1", Hello("v"))
    await seen(panel, lambda: panel.heard(Snapshot))
    snapshot = panel.heard(Snapshot)[0]
    assert (snapshot.run, snapshot.jobs, snapshot.can) == ("play.1", 2, ("retry", "cancel", "pause", "resume"))
    await panel.ask_board("play.1", Open("v", 0))
    await panel.ask_board("play.1", Count("v", True))
    await panel.ask_board("play.1", Want("graphviz.js"))
    await seen(panel, lambda: panel.board.states()[0] == "running")
    await seen(panel, lambda: any("at a" in piece.text for told in panel.heard(Printed) for piece in told.pieces))
    await seen(panel, lambda: panel.heard(messages.Census) and panel.assets and len(panel.assets[0]) > 100_000)
    gate.touch()
    await seen(panel, lambda: panel.board.states() == ["done", "failed"])
    await seen(panel, lambda: any(told.result == "'a'" for told in panel.heard(Detail)))
    mend.touch()
    await panel.ask_board("play.1", Act(5, "retry", (1,)))
    await seen(panel, lambda: panel.heard(Answer))
    assert panel.heard(Answer)[0].ok and panel.heard(Answer)[0].words.startswith("1 job of flow play runs again")
    await seen(panel, lambda: panel.board.states() == ["done", "done"] and panel.board.head.settled)


async def test_two_pages_do_not_disturb_each_other(
    server: Server, workers: hostfile.HostReport, panel: Panel, come: Callable
) -> None:
    other = await come()
    await seen(other, lambda: other.overview and other.line("play.1"))
    for each in (panel, other):
        await each.ask_board("play.1", Hello("same"))
        await seen(each, lambda each=each: each.heard(Snapshot))
    await other.close()
    await panel.ask_board("play.1", Open("same", 1))
    await seen(panel, lambda: panel.heard(Detail))


async def test_a_page_that_nobody_sees_is_told_nothing(
    folder: Path, server: Server, state: Place, workers: hostfile.HostReport, panel: Panel, come: Callable
) -> None:
    await seen(panel, lambda: panel.overview and panel.line("many.55"))
    await panel.send(Look(on=False))
    other = await come()
    await seen(other, lambda: other.overview)
    submit(folder, state, "unseen", "Gate().task_pass('/')")
    await seen(other, lambda: other.line("unseen.1"))
    assert panel.line("unseen.1") is None
    await panel.send(Look(on=True))
    await seen(panel, lambda: panel.line("unseen.1"))


# ------------------------------------------------------------------ what goes away and comes back


async def test_the_mycelium_goes_and_comes_back(
    folder: Path, server: Server, state: Place, workers: hostfile.HostReport, panel: Panel
) -> None:
    await seen(panel, lambda: panel.overview and panel.line("play.1"))
    await panel.ask_board("play.1", Hello("v"))
    await seen(panel, lambda: panel.heard(Snapshot))
    await asyncio.to_thread(hostfile.stop, state)
    await seen(panel, lambda: panel.overview.reach == "none")
    await seen(panel, lambda: panel.heard(messages.Alive))
    await panel.ask_board("play.1", Act(9, "retry"))
    await seen(panel, lambda: panel.heard(Answer))
    assert not panel.heard(Answer)[0].ok and "nothing was done" in panel.heard(Answer)[0].words
    assert hostfile.find(state) is None, "looking has started a host"
    assert (await panel.ask(lambda number: Up(number, 1))).ok
    await seen(panel, lambda: panel.overview.reach == "connected" and panel.line("play.1"))
    await seen(panel, lambda: len(panel.heard(Snapshot)) > 1)


async def test_looking_keeps_no_host_alive(
    server: Server, state: Place, workers: hostfile.HostReport, panel: Panel
) -> None:
    """With a notebook connected a host stays, however idle; a panel is not one."""
    await asyncio.to_thread(hostfile.stop, state)
    await asyncio.to_thread(hostfile.ensure, state, workers=1, idle_s=4)
    await seen(panel, lambda: panel.overview and panel.overview.reach == "connected" and panel.overview.workers)
    await seen(panel, lambda: panel.overview.reach == "none")
    assert hostfile.find(state) is None
    await asyncio.to_thread(hostfile.ensure, state, workers=1)


async def test_the_jupyter_server_dies_and_comes_back(
    server: Server, workers: hostfile.HostReport, come: Callable
) -> None:
    first = await come()
    await seen(first, lambda: first.overview)
    server.stop(signal.SIGKILL)
    await first.hearing
    server.start()
    again = await come()
    await seen(again, lambda: again.overview and again.line("play.1"))
    assert json.loads(CONFIG.joinpath("jupyter_server_config.d/elfbook.json").read_text())
