"""Small runs to look at: a flow, a few facts, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from elfbook.facts import AnyEvent, Claimed, Failed, Skipped, Stored, Succeeded
from elfbook.log.fold import RunState, fold, start
from elfbook.model import (
    ElfUse,
    Failure,
    Frame,
    Graph,
    JobSpec,
    Manifest,
    Origin,
    Piece,
    Policy,
    Revision,
    ValueRef,
)
from elfbook.view.view import Known, RunView, look

CELL = """\
%%elf
class Greeter:
    def task_hello(self, name):
        return "Hello " + name

    def task_shout(self, text):
        return text.upper() + "!"
"""
FILE = "/tmp/ipykernel_1/22.py"
NO_RETRIES = Policy()


class Story:
    """A run that facts are told about, one a second from 100 on."""

    def __init__(self, jobs: list[JobSpec], elves: tuple[ElfUse, ...], policy: Policy, flow: str) -> None:
        self.graph = Graph(elves, tuple(jobs), b"", policy)
        origin = Origin(cell="Cell In[4]", text=f"%%elf flow {flow}")
        self.manifest = Manifest(flow, 1, "key", len(jobs), "n", self.graph, origin=origin)
        self.state: RunState = start(self.graph)
        self.revision = Revision("Greeter", "d1", (), (Piece(FILE, "Cell In[2]", CELL, ((2, 7),)),))
        self.facts = 0

    def tell(self, job: int, event: AnyEvent) -> None:
        self.facts += 1
        fold(self.state, Stored(job, self.facts, 99.0 + self.facts, event))

    def claim(self, job: int, worker: str = "worker-1") -> None:
        self.tell(job, Claimed("n", 1, worker=worker))

    def succeed(self, job: int, elapsed_s: float = 0.4) -> None:
        self.claim(job)
        value = ValueRef("d", 1, preview="'Hello'")
        self.tell(job, Succeeded("n", 1, value, "worker-1", elapsed_s, "d1"))

    def fail(self, job: int, failure: Failure, **more: object) -> None:
        self.claim(job, "worker-2")
        self.tell(job, Failed("n", 1, failure, worker="worker-2", elapsed_s=0.4, **more))

    def skip(self, job: int, because: int) -> None:
        self.tell(job, Skipped("n", 0, because))

    def look(self, *, static: bool = False, **known: object) -> RunView:
        known.setdefault("revisions", (self.revision,))
        return look(self.manifest, self.state, Known(**known), static=static)


def job(
    task: str, number: int = 0, *, parents: tuple[int, ...] = (), after: tuple[int, ...] = (), elf: int = 0,
    turn: int | None = None,
) -> JobSpec:
    return JobSpec(elf, task, b"", parents, after, turn, number, line=3)


@pytest.fixture
def story() -> Callable[..., Story]:
    """Makes a run of the given jobs."""

    def make(
        jobs: list[JobSpec], *, elves: tuple[ElfUse, ...] = (ElfUse("Greeter", "d1"),),
        policy: Policy = NO_RETRIES, flow: str = "party",
    ) -> Story:
        return Story(jobs, elves, policy, flow)

    return make


@pytest.fixture
def call() -> Callable[..., JobSpec]:
    """Makes one task call."""
    return job


@pytest.fixture
def add_str() -> Failure:
    """The tutorial's failure: `"Hello " + 7` in the fourth line of a cell."""
    lines = tuple(CELL.splitlines())
    frames = (
        Frame("/usr/lib/python3.11/site-packages/elfbook/room.py", 10, "run"),
        Frame(FILE, 4, "task_hello", lines, 1, (("name", "7"),), True, "Greeter.task_hello"),
    )
    return Failure("TypeError", 'can only concatenate str (not "int") to str', frames, inputs="name=7")


@pytest.fixture
def party(story: Callable[..., Story], add_str: Failure) -> Story:
    """The tutorial's flow: two chains finish, the third fails at its first job."""
    told = story([
        *(job("task_hello", number) for number in range(3)),
        *(job("task_shout", number, parents=(number,)) for number in range(3)),
    ])
    for done in (0, 1, 3, 4):
        told.succeed(done)
    told.fail(2, add_str)
    told.skip(5, because=2)
    return told
