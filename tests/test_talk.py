"""What boards are told and when: who watches, what is open, how much may be on its way."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import replace
from types import SimpleNamespace

import pytest

from elfbook.client.talk import SILENT_S, WINDOW, Talk, census
from elfbook.client.watched import Watched
from elfbook.facts import Claimed, Paused, Stored, Succeeded
from elfbook.log.fold import fold, start
from elfbook.model import Beat, ElfUse, Graph, JobSpec, Manifest, Output, Situation
from elfbook.notebook.connection import BEHIND, Connection
from elfbook.progress import Progress
from elfbook.store.place import Place
from elfbook.view.detail import Code
from elfbook.view.messages import Ack, Bye, Count, Hello, Moved, Moves, Open
from elfbook.view.view import Known
from tests.boards import Page


class Run:
    """A run that is followed, and a talk about it."""

    def __init__(self, jobs: int = 3) -> None:
        graph = Graph((ElfUse("A", "d1"),), tuple(JobSpec(0, "task_x", b"", number=n) for n in range(jobs)), b"")
        self.known = Known(workers=2, durability="durable")
        self.touched: set[int] = set()
        self.progress: dict[int, Progress] = {}
        self.watched = SimpleNamespace(
            manifest=Manifest("f", 1, "k", jobs, "n", graph), state=start(graph), revisions={}, outputs={},
            version=0, touched=lambda: self.touched, untouched=lambda jobs: None, progress=lambda: self.progress,
        )
        self.talk = Talk(self.watched, lambda: self.known, lambda: Code({}), ("cancel",))
        self.seq = 0

    def tell(self, job: int, event: object) -> None:
        self.seq += 1
        fold(self.watched.state, Stored(job, self.seq, float(self.seq), event))
        self.touched.add(job)
        self.watched.version += 1

    def kinds(self) -> list[str]:
        return [message.__struct_config__.tag for message, _ in self.talk.step()] if self.talk.is_due else []


@pytest.fixture
def run() -> Run:
    return Run()


def test_nothing_is_told_while_nobody_watches(run: Run) -> None:
    run.tell(0, Claimed("n", 1, "w1"))
    assert not run.talk.is_due and run.talk.step() == []


def test_hello_is_answered_by_everything_and_changes_follow(run: Run) -> None:
    page = Page()
    run.tell(0, Claimed("n", 1, "w1"))
    run.talk.hear(Hello("a"), 0.0)
    for message, buffers in run.talk.step():
        page.take(message, buffers)
    assert page.states() == ["running", "waiting", "waiting"]
    assert run.kinds() == []
    run.tell(0, Succeeded("n", 1, worker="w1"))
    run.tell(1, Claimed("n", 1, "w2"))
    ((message, buffers),) = run.talk.step()
    page.take(message, buffers)
    assert page.states() == ["done", "running", "waiting"]
    assert page.head.title == "flow f: 1 of 3 jobs done, 1 running"


def test_a_pause_is_told_although_no_job_has_changed(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.talk.hear(Open("a", 1), 0.0)
    assert run.kinds() == ["snapshot", "detail", "printed"]
    for number, (on, outcome, reason) in enumerate(
        [(True, "paused", "waits because its run is paused: asked"), (False, "waiting", "waits for a worker")]
    ):
        fold(run.watched.state, Stored(-1, 50 + number, 1.0, Paused("n", on, "asked")))
        run.watched.version += 1
        (patch, _), (told, _) = run.talk.step()
        assert (patch.head.outcome, told.reason) == (outcome, reason)


def test_a_page_that_is_known_already_gets_no_second_snapshot(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    assert run.kinds() == ["snapshot"]
    run.talk.hear(Hello("a", again=True), 30.0)
    assert run.kinds() == []
    run.talk.hear(Hello("b", again=True), 30.0)  # after a restart of the kernel nobody is known
    assert run.kinds() == ["snapshot"]
    run.talk.hear(Hello("a"), 31.0)  # it has missed a patch
    assert run.kinds() == ["snapshot"]


def test_views_come_and_go(run: Run) -> None:
    for name in "ab":
        run.talk.hear(Hello(name), 0.0)
    run.kinds()
    run.talk.hear(Bye("a"), 1.0)
    run.tell(0, Claimed("n", 1, "w1"))
    assert run.kinds() == ["patch"], "the other one still watches"
    run.talk.forget_silent(SILENT_S)
    assert list(run.talk.views) == ["b"]
    run.talk.hear(Hello("b", again=True), 30.0)
    run.talk.forget_silent(SILENT_S + 1)
    assert list(run.talk.views) == ["b"]
    run.talk.forget_silent(SILENT_S + 31)
    assert not run.talk.views and not run.talk.is_due


def test_a_page_that_does_not_follow_gets_fewer_and_larger_patches(run: Run) -> None:
    page = Page()

    def step() -> int:
        told = run.talk.step() if run.talk.is_due else []
        for message, buffers in told:
            page.take(message, buffers)
        return len(told)

    run.talk.hear(Hello("a"), 0.0)
    step()
    for _ in range(WINDOW):
        run.tell(0, Claimed("n", 1, "w1"))
        assert step() == 1
    run.tell(1, Claimed("n", 1, "w1"))
    assert step() == 0
    run.tell(2, Claimed("n", 1, "w1"))
    assert step() == 0
    assert page.states() == ["running", "waiting", "waiting"]
    run.talk.hear(Ack(16), 1.0)
    assert step() == 1
    assert page.states() == ["running"] * 3
    assert step() == 0
    run.talk.hear(Ack(10**9), 1.0)  # of patches that were never sent
    for _ in range(WINDOW):
        run.tell(0, Claimed("n", 1, "w1"))
        assert step() == 1
    run.tell(0, Succeeded("n", 1, worker="w1"))
    assert step() == 0
    run.talk.hear(Hello("a", again=True), 2.0)
    assert step() == 1
    assert page.states()[0] == "done"


def test_a_snapshot_has_what_was_kept_back_and_opens_the_window(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.kinds()
    for _ in range(WINDOW):
        run.tell(0, Claimed("n", 1, "w1"))
        assert run.kinds() == ["patch"]
    run.tell(1, Claimed("n", 1, "w1"))
    assert run.kinds() == []
    run.talk.hear(Hello("a"), 1.0)
    assert run.kinds() == ["snapshot"]
    run.talk.look_again()
    assert run.kinds() == [], "it is all in the snapshot"
    run.tell(2, Claimed("n", 1, "w1"))
    assert run.kinds() == ["patch"]


def test_what_is_learnt_of_the_situation_is_told_without_a_change(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.kinds()
    run.talk.look_again()
    assert run.kinds() == [], "there is nothing new"
    run.known = replace(run.known, now=70.0)
    run.talk.look_again()
    assert run.kinds() == [], "that time passes is no news"
    run.known = replace(run.known, now=71.0, situation=Situation(store="the store is full"))
    run.talk.look_again()
    ((patch, buffers),) = run.talk.step()
    assert "the store is full" in patch.head.reasons[0] and not any(buffers)
    assert patch.now == 71.0, "the page sets its clock by what is told"


def test_progress_is_told_whole_and_only_when_it_has_changed(run: Run) -> None:
    run.tell(0, Claimed("n", 1, "w1"))
    run.progress = {0: Progress(1.0, 4.0, "<b>reading</b>")}
    run.talk.hear(Hello("a"), 0.0)
    _, (moves, buffers) = run.talk.step()
    assert (moves, buffers) == (Moves((Moved(0, "25 % · 1/4 · <b>reading</b>", 0.25),)), [])
    run.watched.version += 1
    assert run.kinds() == [], "it is as it was"
    run.progress = {0: Progress(text="nearly there")}
    run.watched.version += 1
    assert run.talk.step() == [(Moves((Moved(0, "nearly there"),)), [])]
    run.talk.hear(Hello("b"), 1.0)
    assert run.kinds() == ["snapshot", "moves"], "who comes later is told too"
    run.progress = {}
    run.tell(0, Succeeded("n", 1, worker="w1"))
    assert run.kinds() == ["patch", "moves"]


def test_a_page_that_does_not_follow_is_told_the_last_progress_only(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.kinds()
    for _ in range(WINDOW):
        run.tell(0, Claimed("n", 1, "w1"))
        assert run.kinds() == ["patch"]
    for done in range(5):
        run.progress = {0: Progress(float(done), 5.0)}
        run.watched.version += 1
        assert run.kinds() == []
    assert not run.talk.is_due
    run.talk.hear(Ack(1), 1.0)
    assert run.talk.is_due
    (told,) = [message for message, _ in run.talk.step() if isinstance(message, Moves)]
    assert told.jobs[0].share == 0.8 and not run.talk.is_due


def test_a_view_that_is_lost_is_told_why(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.kinds()
    run.talk.look_again()
    ((patch, _),) = run.talk.step("no server")
    assert patch.head.lost == "no server"


def test_an_open_job_is_told_and_told_again_when_it_changes(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.kinds()
    run.talk.hear(Open("a", 1), 0.0)
    assert run.kinds() == ["detail", "printed"]
    run.talk.hear(Open("b", 1), 0.0)  # says no hello: it knows another kernel
    assert run.kinds() == ["snapshot", "detail", "printed"]
    run.talk.hear(Bye("b"), 0.0)
    run.tell(0, Claimed("n", 1, "w1"))
    assert run.kinds() == ["patch"], "another job"
    run.tell(1, Claimed("n", 1, "w1"))
    (_, (told, _)) = run.talk.step()
    assert (told.state, told.worker) == ("running", "w1")
    run.talk.hear(Open("a", -1), 0.0)
    run.tell(1, Succeeded("n", 1, worker="w1"))
    assert run.kinds() == ["patch"]
    run.talk.hear(Open("a", 99), 0.0)
    assert run.kinds() == []


def test_what_is_printed_comes_once_in_order_from_where_it_is_wanted(run: Run) -> None:
    outputs = run.watched.outputs[1] = [Output(1, 1, "stdout", text) for text in "ab"]
    run.talk.hear(Hello("a"), 0.0)
    run.talk.hear(Open("a", 1, start=1), 0.0)
    said = [m for m, _ in run.talk.step()][-1]
    assert (said.start, [piece.text for piece in said.pieces]) == (1, ["b"])
    outputs.append(Output(1, 1, "stderr", "c"))
    run.watched.version += 1
    ((said, _),) = run.talk.step()
    assert (said.start, [piece.text for piece in said.pieces], said.pieces[0].stream) == (2, ["c"], "stderr")
    run.watched.version += 1
    assert run.kinds() == []
    run.talk.hear(Open("b", 1, start=-5), 0.0)
    said = [m for m, _ in run.talk.step()][-1]
    assert (said.start, [piece.text for piece in said.pieces]) == (0, ["a", "b", "c"])


def test_who_watched_a_connection_that_is_gone_watches_the_next(run: Run) -> None:
    run.talk.hear(Hello("a"), 0.0)
    run.talk.hear(Open("a", 2), 0.0)
    run.kinds()
    other = Run()
    other.talk.take_over(run.talk)
    assert other.kinds() == ["snapshot", "detail", "printed"]


def test_the_workers_are_told_to_whoever_looks(run: Run) -> None:
    assert not run.talk.counts
    run.talk.hear(Count("a", on=True), 0.0)
    assert run.talk.counts
    run.talk.hear(Count("a", on=False), 0.0)
    assert not run.talk.counts
    (worker,) = census([Beat("w\x1b[1m1", "host", "main", running="task_x[0]", memory=7, cpu=0.5)]).workers
    assert (worker.name, worker.running, worker.memory, worker.cpu) == ("w1", "task_x[0]", 7, 0.5)


# ---------------------------------------------------------------------------- what it rests on


def test_a_thread_of_ours_prints_nothing(tmp_path, capsys: pytest.CaptureFixture) -> None:
    """A full store is told where a cell waits for it, and by no thread that works behind the cells."""
    place = Place(tmp_path)
    connection = Connection(place)
    link, pressure = SimpleNamespace(connected=True), SimpleNamespace(why="the store is full")
    connection._client = SimpleNamespace(
        mycelium=SimpleNamespace(link=link, pressure=pressure, silent_s=lambda: 0.0)
    )

    async def slow() -> str:
        await asyncio.sleep(0.3)  # longer than a tick, at which it would be told
        return "done"

    assert connection.ask(slow) == "done"
    assert capsys.readouterr().out == "waiting: the store is full\n"

    def behind() -> str:
        BEHIND.set(True)
        return connection.ask(slow)

    assert contextvars.copy_context().run(behind) == "done"
    assert capsys.readouterr().out == ""


def test_jobs_of_which_something_is_stored_are_gathered_for_each_follower(run: Run) -> None:
    async def follow() -> None:
        state = start(run.watched.manifest.graph or run.watched.state.graph)
        facts = [Stored(1, 1, 1.0, Claimed("n", 1, "w1")), Stored(2, 2, 1.0, Claimed("n", 1, "w1"))]
        mycelium = SimpleNamespace(facts=lambda entry: (None, [facts[entry.seq - 1]]), within=lambda found, *_: found)
        watched = Watched(mycelium, run.watched.manifest, state.graph, {}, state, lambda flow: None)
        first = watched.touched()
        watched.hear_facts([SimpleNamespace(seq=1)])
        second = watched.touched()
        watched.hear_facts([SimpleNamespace(seq=2)])
        assert (first, second) == ({1, 2}, {2})
        watched.untouched(second)
        second.clear()
        watched._facts_to = 0
        watched.hear_facts([SimpleNamespace(seq=1)])
        assert second == set()

    asyncio.run(follow())
