"""A flow in one process: the results of plain Python, with the records that workers would write."""

from __future__ import annotations

import asyncio
import builtins
import signal
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest

from elfbook.client import local
from elfbook.client.local import LocalRun, run_here
from elfbook.code.source import SourceText, read_elf
from elfbook.facts import State
from elfbook.model import INLINE_LIMIT, Policy, ValueRef
from elfbook.notebook.jobs import Ends
from elfbook.progress import Progress
from elfbook.tracing import evaluate, values
from elfbook.tracing.elves import adopt
from elfbook.tracing.trace import Recorder, gather
from elfbook.wire import digest_of

KEY = bytes(range(32))
CELL = """\
    import asyncio, os, signal, sys
    from dataclasses import dataclass
    FACTOR = 3
    tried = []

    @dataclass
    class Animal:
        name: str
        age: int = 0

    def scaled(x):
        return x * FACTOR

    class Zoo:
        def __init__(self, start=0): self.seen = start
        def task_number(self, x): return scaled(x)
        def task_add(self, a, b=1): return a + b
        def task_animal(self, name): return Animal(name, 4)
        def task_older(self, animal):
            assert isinstance(animal, Animal)
            animal.age += 1
            return animal
        def task_size(self, data): return len(data)
        def task_change(self, rows):
            rows.append(0)
            return rows
        def task_flaky(self, times):
            tried.append(times)
            if len(tried) < times: raise ValueError(len(tried))
            return len(tried)
        def task_count(self):
            self.seen += 1
            return self.seen
        def task_stop(self): os.kill(os.getpid(), signal.SIGINT)
        def task_leave(self): sys.exit(3)
        async def task_later(self, x):
            await asyncio.sleep(0)
            return x + 1
        async def task_fail_later(self): raise KeyError("later")
        async def task_leave_later(self): sys.exit(3)
        async def task_cancel_later(self): raise asyncio.CancelledError
        async def task_stop_later(self):
            os.kill(os.getpid(), signal.SIGINT)
            try: await asyncio.Event().wait()
            finally: tried.append("left in order")
        def task_far(self):
            self.progress(1, 3, "<b>")
            self.progress(2, 3)
        async def task_far_later(self, before): self.progress(1)
        def task_far_wrong(self): self.progress("1")
        def task_declared(self) -> ["a"]: return {"b": 1}
"""


def reference(value: object) -> ValueRef:
    data = b"".join(bytes(part) for part in values.encode(value, KEY))
    return ValueRef(digest_of(data), len(data))


class Notebook:
    """A cell with an elf, and flows that run here."""

    def __init__(self) -> None:
        source = SourceText("/tmp/ipykernel_7/1.py", "Cell In[1]", textwrap.dedent(CELL))
        self.names: dict = {"__name__": "__main__", "__builtins__": builtins}
        exec(compile(source.text, source.filename, "exec", dont_inherit=True), self.names)
        self.Zoo = adopt(self.names["Zoo"])
        self.sources = {source.filename: source}
        self.shown: list[int] = []

    def revision_of(self, cls: type):
        return read_elf(
            cls,
            text_of=self.sources.get,
            namespace_of=lambda module: self.names if module == "__main__" else vars(sys.modules[module]),
            encode=reference,
            is_library=lambda module: module != "__main__",
            texts=lambda: list(self.sources.values()),
        )

    def run(self, draw, policy: Policy | None = None) -> LocalRun:
        with Recorder(flow="party") as recorder:
            result = draw(self.Zoo())
        drawn = recorder.graph(result, policy or Policy(), revision_of=self.revision_of, key=KEY)
        self.held = run_here(
            "party", drawn, key=KEY, namespace=self.names, shown=lambda run: self.shown.append(run.version)
        )
        self.blobs = {
            digest: b"".join(bytes(part) for part in parts) for digest, parts in drawn.blobs.items()
        }
        return self.held

    def result(self, draw, policy: Policy | None = None) -> object:
        run = self.run(draw, policy)
        assert {job.state for job in run.state.jobs} == {State.DONE}
        found = {job: values.decode(data, KEY, self.names.get) for job, data in run.values.items()}
        literal = lambda data: values.decode(data, KEY, self.names.get)  # noqa: E731
        return evaluate.evaluate(run.graph.result, found, literal, lambda digest: literal(self.blobs[digest]))


@pytest.fixture
def book() -> Notebook:
    return Notebook()


def states(run: LocalRun) -> list[str]:
    return [str(job.state) for job in run.state.jobs]


# ---------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("draw", "by_hand"),
    [
        (lambda zoo: zoo.task_number(2), 6),
        (lambda zoo: zoo.task_add(zoo.task_number(2), b=zoo.task_number(3)), 15),
        (lambda zoo: zoo.task_number(2) * 2 + 1, 13),
        (lambda zoo: {"all": [zoo.task_number(n) for n in range(3)]}, {"all": [0, 3, 6]}),
        (lambda zoo: gather(zoo.task_number(1), 5), [3, 5]),
        (lambda zoo: zoo.task_number.map(range(4)), [0, 3, 6, 9]),
        (lambda zoo: zoo.task_older(zoo.task_animal("cat")).age, 5),
        (lambda zoo: zoo.task_size("x" * (INLINE_LIMIT * 2)), INLINE_LIMIT * 2),
        (lambda zoo: zoo.task_later(zoo.task_later(1)), 3),
    ],
)
def test_the_results_are_those_of_plain_python(book: Notebook, draw, by_hand: object) -> None:
    assert book.result(draw) == by_hand


def test_each_job_sees_the_value_as_it_was_returned(book: Notebook) -> None:
    """As on workers, where each has a copy of its own: no job changes what another is given."""

    def draw(zoo):
        rows = zoo.task_change([1])
        return [zoo.task_change(rows), zoo.task_change(rows), rows]

    assert book.result(draw) == [[1, 0, 0], [1, 0, 0], [1, 0]]


def test_the_live_classes_are_used(book: Notebook) -> None:
    assert type(book.result(lambda zoo: zoo.task_animal("cat"))) is book.names["Animal"]


def test_anonymous_elves_are_kept_and_the_notebooks_own_are_not_touched(book: Notebook) -> None:
    mine = book.Zoo(start=10)
    assert book.result(lambda zoo: [zoo.task_count(), zoo.task_count(), mine.task_count()]) == [1, 2, 11]
    assert mine.seen == 10


def test_every_step_is_a_fact(book: Notebook) -> None:
    run = book.run(lambda zoo: zoo.task_add(zoo.task_number(2)))
    assert [[type(each.event).__name__ for each in job.history] for job in run.state.jobs] == [
        ["Succeeded"]
    ] * 2
    assert book.shown == [2, 4]
    assert (run.run, run.state.settled) == ("party.1", True)
    assert asyncio.run(run.changed(0)) == 4
    asyncio.run(run.settled())


# ---------------------------------------------------------------------- failures


def test_what_depends_on_a_failure_is_skipped_and_the_rest_is_done(book: Notebook) -> None:
    def draw(zoo):
        bad = zoo.task_add("a", 1)
        return [zoo.task_number(bad), zoo.task_number(zoo.task_number(bad)), zoo.task_number(5)]

    run = book.run(draw)
    assert states(run) == ["failed", "skipped", "skipped", "skipped", "done"]
    failure = run.state.jobs[0].event.failure
    assert (failure.type, failure.inputs) == ("TypeError", "a='a', b=1")
    (frame,) = failure.frames
    assert (frame.own, frame.function, frame.filename) == (True, "task_add", "/tmp/ipykernel_7/1.py")


@pytest.mark.parametrize(("retries", "state"), [(0, "failed"), (1, "failed"), (2, "done"), (5, "done")])
def test_retries(book: Notebook, retries: int, state: str) -> None:
    run = book.run(lambda zoo: zoo.task_flaky(3), Policy(retries=retries, backoff_s=0.001))
    assert states(run) == [state]
    assert len(book.names["tried"]) == min(retries + 1, 3)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("task_fail_later", "KeyError"),
        ("task_leave", "SystemExit"),
        ("task_leave_later", "SystemExit"),
        ("task_cancel_later", "CancelledError"),
        ("task_declared", "ValueError"),
    ],
)
def test_whatever_a_task_does_the_flow_goes_on(book: Notebook, task: str, kind: str) -> None:
    run = book.run(lambda zoo: [getattr(zoo, task)(), zoo.task_number(1)])
    assert states(run) == ["failed", "done"]
    assert run.state.jobs[0].event.failure.type == kind


@pytest.mark.parametrize("task", ["task_stop", "task_stop_later"])
def test_an_interrupt_ends_the_flow_and_leaves_nothing_running(book: Notebook, task: str) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        book.run(lambda zoo: [getattr(zoo, task)(), zoo.task_count()])
    assert threading.active_count() == before
    assert book.names["tried"] == (["left in order"] if task == "task_stop_later" else [])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_async_task_runs_while_the_notebooks_own_loop_is_busy(book: Notebook) -> None:
    async def cell() -> object:
        return book.result(lambda zoo: zoo.task_later(1))

    assert asyncio.run(cell()) == 2


# ---------------------------------------------------------------------------- jobs in the order of their ends


def test_jobs_come_once_as_they_end_and_again_only_after_another_end() -> None:
    """A job that is opened again before anybody asked has not ended; after its second end it comes."""
    jobs = [SimpleNamespace(state=State.WAITING) for _ in range(3)]
    ended: list[int] = []
    run = SimpleNamespace(watched=SimpleNamespace(ended=ended), state=SimpleNamespace(jobs=jobs))

    def end(job: int, state: State = State.DONE) -> None:
        jobs[job].state = state
        ended.append(job)

    ends = Ends(run)
    assert list(ends.fresh()) == []
    end(2)
    end(0, State.FAILED)
    jobs[0].state = State.RUNNING  # opened again
    assert [job.number for job in ends.fresh()] == [2]
    end(0)
    end(2)
    assert [job.number for job in ends.fresh()] == [0]
    end(1)
    first = ends.fresh()
    assert next(first).number == 1
    assert [job.number for job in ends.fresh()] == []  # though the first look was not finished


def test_a_run_that_took_place_here_knows_in_which_order_its_jobs_ended() -> None:
    notebook = Notebook()

    def draw(zoo) -> None:
        zoo.task_number(zoo.task_add(1))

    run = notebook.run(draw)
    assert run.ended == [0, 1]


def test_progress_is_shown_while_a_job_runs_and_is_gone_after_it(book, monkeypatch):
    monkeypatch.setattr(local, "SHOWN_EVERY_S", -1.0)
    with Recorder(flow="far") as recorder:
        zoo = book.Zoo()
        later = zoo.task_far_later(zoo.task_far())
    drawn = recorder.graph(later, Policy(), revision_of=book.revision_of, key=KEY)
    seen: list[tuple] = []
    shown = lambda run: seen.append((run.version, run.progress()))  # noqa: E731
    run = run_here("far", drawn, key=KEY, namespace=book.names, shown=shown)
    assert states(run) == ["done", "done"]
    told = [progress for _, progress in seen]
    assert told == [{0: Progress(1.0, 3.0, "<b>")}, {0: Progress(2.0, 3.0)}, {}, {}]
    assert len({version for version, _ in seen}) == 4, "each is a change"


def test_progress_that_is_none_fails_at_its_own_line(book):
    run = book.run(lambda zoo: zoo.task_far_wrong())
    failure = run.state.jobs[0].event.failure
    assert (failure.type, failure.message) == ("TypeError", "progress: done is to be a number, not str")
    assert [frame.function for frame in failure.frames] == ["task_far_wrong"]
