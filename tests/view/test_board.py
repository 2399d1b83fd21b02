"""What a board is told: a snapshot, and patches that make of it what a later snapshot would be."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.facts import Cancelled, Claimed, Failed, Lost, Reopened, Skipped, Stored, Succeeded
from elfbook.log.fold import fold, start
from elfbook.model import ElfUse, Failure, Frame, Graph, JobSpec, Manifest, Policy, Revision, TaskSpec
from elfbook.view.board import Board
from elfbook.view.endings import failed_jobs
from elfbook.view.groups import grouped
from elfbook.view.messages import STATES, Head, Patch
from elfbook.view.view import Known, code_of, code_remark, look
from elfbook.view.waiting import reasons_of
from tests.boards import Page, numbers

FAILURES = [
    Failure(kind, f"bad {kind}", (Frame("cell.py", line, "task_a", ("x = 1",), line, own=True),))
    for kind in ("KeyError", "ValueError")
    for line in (3, 7)
]
EVENTS = st.one_of(
    st.builds(Claimed, nonce=st.just("n"), attempt=st.just(1), worker=st.sampled_from(["w1", "w2", "w3"])),
    st.builds(Succeeded, nonce=st.just("n"), worker=st.just("w1"), revision=st.sampled_from(["", "d2"])),
    st.builds(Failed, nonce=st.just("n"), worker=st.just("w2"), failure=st.sampled_from(FAILURES)),
    st.builds(Lost, nonce=st.just("n"), worker=st.just("w2"), why=st.just("w2 was not heard of any more")),
    st.builds(Cancelled, nonce=st.just("n")),
    st.builds(Reopened, nonce=st.just("n"), revision=st.sampled_from(["", "d2"])),
)
JOBS = 9


def graph() -> Graph:
    """Three tasks of two elves, three jobs each; some need others."""
    elves = (ElfUse("A", "d1"), ElfUse("B", "d1", name="b"))
    specs = [
        JobSpec(
            elf=n % 2, task=f"task_{'xyz'[n % 3]}", arguments=b"", number=n // 3,
            parents=(n - 3,) if n >= 3 else (), after=(0,) if n == 8 else (),
        )
        for n in range(JOBS)
    ]
    return Graph(elves, tuple(specs), b"", Policy(lost_retries=1))


REVISIONS = {"d1": Revision("A", "d1", (TaskSpec("task_x", 1, doc="Says x.\n\nAt length."),), ())}
KNOWN = Known(tuple(REVISIONS.values()), versions={"d1": 1, "d2": 2}, durability="durable", workers=2, now=500.0)


@settings(deadline=None, max_examples=120)
@given(st.lists(st.tuples(st.integers(0, JOBS - 1), EVENTS), max_size=40), st.data())
def test_patches_at_any_split_make_the_snapshot_that_would_be_sent(facts, data) -> None:
    drawn = graph()
    manifest = Manifest("f", 1, "k", JOBS, "n", drawn)
    state = start(drawn)
    board, page = Board(manifest, state, REVISIONS), Page()
    page.take(*board.snapshot(board.head(KNOWN)))
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    changed: set[int] = set()
    for number, (job, event) in enumerate(facts, start=1):
        fold(state, Stored(job, number, 100.0 + number, event))
        changed.add(job)
        if number in cuts or number == len(facts):
            board.note(changed)
            page.take(*board.patch(changed, board.head(KNOWN)))
            changed = set()
    fresh, other = Board(manifest, state, REVISIONS), Page()
    other.take(*fresh.snapshot(fresh.head(KNOWN)))
    ours, theirs = page.shown(), other.shown()
    # The first board remembers a beginning that a Reopened has taken back.
    for shown in (ours, theirs):
        shown["head"] = msgspec.structs.replace(shown["head"], started_at=None)
    assert ours == theirs
    again = Page()
    again.take(*board.snapshot(board.head(KNOWN)))
    assert again.shown()["groups"] == theirs["groups"]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, JOBS - 1), EVENTS), max_size=40))
def test_the_head_says_what_the_settled_page_would_say(facts) -> None:
    drawn = graph()
    manifest = Manifest("f", 1, "k", JOBS, "n", drawn)
    state = start(drawn)
    board = Board(manifest, state, REVISIONS)
    for number, (job, event) in enumerate(facts, start=1):
        fold(state, Stored(job, number, 100.0 + number, event))
        board.note([job])
    head, view = board.head(KNOWN), look(manifest, state, KNOWN)
    assert head.title == view.title
    assert head.outcome == view.outcome
    assert head.reasons == view.reasons == reasons_of(state, 500.0, 2)
    assert [tuple(step) for step in head.steps] == [(step.why, step.words) for step in view.steps]
    assert code_remark(code_of(state), KNOWN.versions) in head.remarks
    groups = grouped(failed_jobs(state, manifest, {}, static=False), {})
    told, _ = board.snapshot(head)
    assert [(group.title, group.count, group.jobs[0]) for group in told.groups] == [
        (group.title, group.count, group.first.job) for group in groups
    ]


def test_what_a_snapshot_says(story: Callable, call: Callable, add_str: Failure) -> None:
    told = story([call("task_hello", 0), call("task_hello", 1), call("task_shout", 0, parents=(0,), after=(1,))])
    told.succeed(0)
    told.fail(1, add_str)
    told.skip(2, because=1)
    board = Board(told.manifest, told.state, {"d1": told.revision})
    snapshot, buffers = board.snapshot(board.head(Known(now=105.0, durability="durable")), can=("retry", "cancel"))
    state, task, number, attempts, worker, started, ended, *edges = buffers
    assert [STATES[code] for code in state] == ["done", "failed", "skipped"]
    assert numbers("i", task) == [0, 0, 1]
    assert numbers("i", number) == [0, 1, 0]
    assert numbers("i", attempts) == [1, 1, 0]
    assert [snapshot.workers[n] if n >= 0 else None for n in numbers("i", worker)] == ["worker-1", "worker-2", None]
    assert numbers("d", started)[:2] == [100.0, 102.0]
    assert numbers("d", ended) == [101.0, 103.0, 104.0]
    assert snapshot.edges == ("value", "after")
    assert [numbers("i", edge) for edge in edges] == [[0, 0, 0, 1], [0], [0, 0, 0, 1], [1]]
    assert [(each.elf, each.task) for each in snapshot.tasks] == [("Greeter", "task_hello"), ("Greeter", "task_shout")]
    assert snapshot.head.title == "flow party: 1 of 3 jobs done, 1 failed, 1 skipped"
    assert snapshot.head.settled and snapshot.head.ended_at == 104.0 and snapshot.head.started_at == 100.0
    assert snapshot.head.steps[0] == ("correct the cell, then", "%elf retry party")
    assert snapshot.head.remarks == ("durable",)
    assert snapshot.can == ("retry", "cancel")
    (group,) = snapshot.groups
    assert (group.title, group.count, group.jobs) == ("task_hello[1]", 1, (1,))
    assert group.error == 'TypeError: can only concatenate str (not "int") to str'
    assert any(line.kind == "arrow" and 'return "Hello " + name' in line.text for line in group.lines)
    assert snapshot.alt.startswith("Greeter.task_hello (2 jobs) leads to")


def test_turns_of_a_named_elf_are_edges_of_their_own(story: Callable, call: Callable) -> None:
    """But for those that a value or an order tells already; a kind without edges is not told."""
    jobs = [call("task_store", 0), call("task_store", 1, turn=0), call("task_store", 2, turn=1, parents=(1,))]
    told = story(jobs, elves=(ElfUse("Storage", "d1", name="animals"),))
    snapshot, (*_, value_starts, values, turn_starts, turns) = Board(told.manifest, told.state, {}).snapshot(Head("", "", False))
    assert snapshot.edges == ("value", "turn")
    assert [numbers("i", edge) for edge in (value_starts, values)] == [[0, 0, 0, 1], [1]]
    assert [numbers("i", edge) for edge in (turn_starts, turns)] == [[0, 0, 1, 1], [0]]


def test_groups_and_workers_are_told_only_when_they_are_new(party) -> None:
    board = Board(party.manifest, party.state, {"d1": party.revision})
    head = board.head(Known())
    board.snapshot(head)
    patch, buffers = board.patch([], head)
    assert (patch.groups, patch.more_workers, [len(buffer) for buffer in buffers]) == (None, (), [0] * 6)
    party.tell(2, Reopened("n"))
    party.claim(2, "worker-9")
    board.note([2])
    patch, _ = board.patch([2], board.head(Known()))
    assert isinstance(patch, Patch) and patch.groups == () and patch.more_workers == ("worker-9",)
    assert board.patch([], head)[0].groups is None


def test_many_failures_are_named_by_their_first_hundred(story: Callable, call: Callable, add_str: Failure) -> None:
    told = story([call("task_hello", number) for number in range(250)])
    for job in reversed(range(250)):
        told.fail(job, add_str)
    board = Board(told.manifest, told.state, {})
    (group,) = board.snapshot(board.head(Known()))[0].groups
    assert (group.count, group.jobs, group.title) == (250, tuple(range(100)), "task_hello × 250")


def test_text_of_others_is_made_readable(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")], elves=(ElfUse("Greeter", "d1", name="a\x1b[31mb\u202ec"),))
    told.claim(0, "w\x00")
    board = Board(told.manifest, told.state, {})
    snapshot, _ = board.snapshot(board.head(Known()))
    assert snapshot.tasks[0].name == "ab\\u202ec"
    assert snapshot.workers == ("w\\x00",)


@pytest.mark.parametrize("job", [0, 5])
def test_a_skip_is_a_change_like_any_other(party, job: int) -> None:
    state = start(party.graph)
    board = Board(party.manifest, state, {})
    fold(state, Stored(job, 1, 100.0, Skipped("n", because=2)))
    board.note([job])
    _, buffers = board.patch([job], board.head(Known()))
    assert numbers("i", buffers[0]) == [job] and STATES[buffers[1][0]] == "skipped"


def test_a_group_tells_the_present_failure_of_its_first_job(story: Callable, call: Callable, add_str: Failure) -> None:
    told = story([call("task_hello"), call("task_hello", 1)])
    told.fail(0, add_str)
    told.fail(1, add_str)
    board = Board(told.manifest, told.state, {})
    assert "can only concatenate" in board.snapshot(board.head(Known()))[0].groups[0].error
    told.tell(0, Reopened("n"))
    told.fail(0, msgspec.structs.replace(add_str, message="not today"))
    board.note([0])
    (group,) = board.patch([0], board.head(Known()))[0].groups
    assert group.error == "TypeError: not today"
    assert any("not today" in line.text for line in group.lines)


def test_the_code_is_told_as_it_changes(story: Callable, call: Callable) -> None:
    told = story([call("task_hello"), call("task_shout")])
    board = Board(told.manifest, told.state, {})
    known = Known(versions={"d1": 1, "d2": 2, "d3": 3})
    seen = [board.head(known).remarks]
    for revision in ("d2", "d3", "d2"):
        told.tell(0, Reopened("n", revision=revision))
        board.note([0])
        seen.append(board.head(known).remarks)
    said = ["v1", "v1 and v2", "v1 and v3", "v1 and v2"]
    assert seen == [(f"code: Greeter {versions}",) for versions in said]
