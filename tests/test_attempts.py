"""What is stored of an attempt: the kernel's answer or death, in the user's words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from elfbook.facts import Claimed, Failed, Lost, State, Stored, Succeeded
from elfbook.log.fold import Offer, fold, start
from elfbook.model import Dispatch, ElfUse, Failure, Graph, JobSpec, Policy, ValueRef
from elfbook.store.link import Message
from elfbook.wire import decode_record, digest_of, encode
from elfbook.work.attempts import (
    Held,
    event_of,
    failed,
    late_words,
    limit_words,
    lost,
    of_death,
    released,
    stopped,
)

DISPATCH = Dispatch(
    run="crawl.1",
    job=0,
    seq=0,
    attempt=2,
    label="Hut.task_save[3]",
    elf=ElfUse("Hut", "c3"),
    code=ValueRef("c3", 1),
    task="task_save",
    arguments=b"",
    timeout_s=1.5,
)
FRAME = {
    "filename": "/tmp/1.py",
    "line": 3,
    "function": "task_save",
    "context": ["x"],
    "first": 3,
    "names": [["x", "7"]],
    "own": True,
    "qualname": "Hut.task_save",
}


def held(stopping: str = "") -> Held:
    return Held("w1.1", DISPATCH, Message("offer", b""), taker=SimpleNamespace(), seq=5, stopping=stopping)


def ok(**more: object) -> dict:
    return {"done": "w1.1", "ok": True, "elapsed": 0.25, "preview": "7", **more}


def bad(kind: str = "ValueError", refused: bool = False, memory: bool = False) -> dict:
    failure = {
        "type": kind,
        "message": "too hot",
        "frames": [FRAME],
        "cause": None,
        "cause_kind": "",
        "notes": ["see above"],
        "inputs": "name=7",
    }
    return {"done": "w1.1", "ok": False, "elapsed": 0.25, "failure": failure, "refused": refused, "memory": memory}


def test_a_small_result_travels_in_the_event() -> None:
    event = event_of(held(), ok(), None, b"\x01i7", "w1", "printed")
    assert isinstance(event, Succeeded)
    assert event.value == ValueRef(digest=digest_of(b"\x01i7"), size=3, preview="7", inline=b"\x01i7")
    assert (event.attempt, event.worker, event.elapsed_s, event.revision) == (2, "w1", 0.25, "c3")


def test_a_large_result_is_named() -> None:
    ref = ValueRef("a0", 5_000_000, "ndarray")
    assert event_of(held(), ok(), ref, b"", "w1", "").value == ref


def test_an_exception_is_stored_with_frames_notes_inputs_and_last_output() -> None:
    event = event_of(held(), bad(), None, b"", "w1", "printed\n")
    assert isinstance(event, Failed)
    assert (event.outcome, event.final, event.failure.type, event.failure.message) == (
        "crashed",
        False,
        "ValueError",
        "too hot",
    )
    assert event.failure.last_output == "printed\n"
    assert event.failure.notes == ("see above",)
    assert event.failure.inputs == "name=7"
    (frame,) = event.failure.frames
    assert (frame.line, frame.names, frame.own) == (3, (("x", "7"),), True)


@pytest.mark.parametrize(
    ("header", "stopping", "kind", "outcome", "final", "words"),
    [
        (bad(), "", Failed, "crashed", False, "too hot"),
        (bad(refused=True), "", Failed, "refused", True, "too hot"),
        (bad("_ArrayMemoryError", memory=True), "", Failed, "out of memory", False, "too hot"),
        (bad(), "timed out", Failed, "crashed", False, "too hot"),  # it failed by itself just in time
        (bad(), "leaving", Failed, "crashed", False, "too hot"),
        (bad("KeyboardInterrupt"), "timed out", Failed, "timed out", False, "longer than its limit of 1.5 s"),
        (bad("KeyboardInterrupt"), "leaving", Lost, None, None, "its worker w1 was stopped while doing Hut"),
        (bad("KeyboardInterrupt"), "cancelled", Failed, "crashed", False, "too hot"),
        (bad("KeyboardInterrupt"), "", Failed, "crashed", False, "too hot"),  # raised by the task itself
    ],
)
def test_which_event_an_exception_is(header, stopping, kind, outcome, final, words) -> None:
    event = event_of(held(stopping), header, None, b"", "w1", "tail")
    assert type(event) is kind
    assert event.attempt == 2
    if kind is Failed:
        assert (event.outcome, event.final) == (outcome, final)
        assert words in event.failure.message
    else:
        assert words in event.why
        assert event.last_output == "tail"


def test_a_result_counts_even_when_the_job_was_to_be_stopped() -> None:
    for stopping in ("timed out", "cancelled", "leaving"):
        assert isinstance(event_of(held(stopping), ok(), None, b"x", "w1", ""), Succeeded)


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        ("", "the kernel of w1 was killed by signal 9 (SIGKILL) while doing Hut.task_save[3]."),
        ("one\ntwo\n\n", 'while doing Hut.task_save[3]. Last output: "two".'),
        ("   \n", "while doing Hut.task_save[3]."),
    ],
)
def test_a_death_says_how_what_and_the_last_words(tail: str, words: str) -> None:
    event = of_death(held(), "was killed by signal 9 (SIGKILL)", "w1", tail, 0.5)
    assert isinstance(event, Lost)
    assert event.why.endswith(words)
    assert event.last_output == tail


def test_a_very_long_last_line_is_cut() -> None:
    assert len(of_death(held(), "died", "w1", "x" * 10_000, 0.5).why) < 400


def test_a_kernel_replaced_for_a_time_limit_timed_out_and_is_not_lost() -> None:
    event = of_death(held("timed out"), "was killed by signal 9 (SIGKILL)", "w1", "tail", 1.75)
    assert isinstance(event, Failed)
    assert (event.outcome, event.final, event.elapsed_s) == ("timed out", False, 1.75)
    assert event.failure.message.startswith(
        "Hut.task_save[3] ran longer than its limit of 1.5 s, did not stop"
    )
    assert event.failure.last_output == "tail"


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (3_100_000_000, "while it was doing Hut.task_save[3]; it had used 3.1 GB"),
        (0, "while it was doing Hut.task_save[3]"),
    ],
)
def test_a_kernel_ended_for_want_of_memory_is_no_lost_one(used: int, words: str) -> None:
    event = of_death(held(), "was killed by signal 9 (SIGKILL)", "w1", "tail", 0.5, used)
    assert isinstance(event, Failed)
    assert (event.outcome, event.failure.type, event.final) == ("out of memory", "OutOfMemory", False)
    assert event.failure.message == f"the system ended its kernel's process {words}"
    assert event.failure.last_output == "tail"
    late = of_death(held("timed out"), "was killed by signal 9 (SIGKILL)", "w1", "tail", 0.5, used)
    assert late.outcome == "timed out", "we ended it ourselves"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Succeeded(nonce="", attempt=2, value=ValueRef("a0", 1, "7")),
            "attempt 2 on w1 succeeded when the job was no longer its own: 7",
        ),
        (Failed(nonce="", attempt=3), "attempt 3 on w1 failed when the job was no longer its own"),
        (Lost(nonce="", attempt=1), "attempt 1 on w1 lost when the job was no longer its own"),
    ],
)
def test_a_late_attempt_is_told_in_a_sentence(event, words: str) -> None:
    assert late_words(event, "w1") == words


def test_every_write_has_a_mark_of_its_own() -> None:
    """Two processes and two writes of one process must not be taken for each other."""
    mine = held()
    marks = {mine.nonce for _ in range(100)}
    assert len(marks) == 100
    assert all(mark.startswith("w1.1") for mark in marks)


def every_event() -> list:
    mine = held()
    return [
        event_of(mine, ok(), None, b"x", "w1", ""),
        event_of(mine, bad(), None, b"", "w1", ""),
        of_death(mine, "died", "w1", "", 0.1),
        of_death(held("timed out"), "died", "w1", "", 0.1),
        of_death(mine, "died", "w1", "", 0.1, 7),
        failed(mine, Failure("E", "m"), "refused", "w1"),
        lost(mine, stopped("w1", mine), "w1", ""),
        released(mine, "w1"),
    ]


@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
def test_every_event_can_be_stored_and_fits_the_attempt(event) -> None:
    assert decode_record(encode(event)) == event
    assert event.attempt == DISPATCH.attempt
    assert event.worker == "w1"


@pytest.mark.parametrize(
    ("event", "state", "offered"),
    [
        (event_of(held(), ok(), None, b"x", "w1", ""), State.DONE, False),
        (event_of(held(), bad(), None, b"", "w1", ""), State.WAITING, True),
        (event_of(held(), bad(refused=True), None, b"", "w1", ""), State.FAILED, False),
        (of_death(held(), "died", "w1", "", 0.1), State.WAITING, True),
        (of_death(held("timed out"), "died", "w1", "", 0.1), State.WAITING, True),
        (released(held(), "w1"), State.WAITING, True),
    ],
)
def test_what_a_job_does_next(event, state: State, offered: bool) -> None:
    """With one retry left; what was refused is not tried again, since another attempt cannot help."""
    graph = Graph((ElfUse("Hut", "c3"),), (JobSpec(0, "task_save", b""),), b"", Policy(retries=1))
    now = start(graph, "crawl.1")
    fold(now, Stored(0, 1, 0.0, Claimed(nonce="a", attempt=2, worker="w1")))
    actions = fold(now, Stored(0, 2, 1.0, event))
    assert now.jobs[0].state is state
    assert [type(action) for action in actions] == ([Offer] if offered else [])


def test_limits_are_told_without_surplus_zeros() -> None:
    assert limit_words(held()) == "Hut.task_save[3] ran longer than its limit of 1.5 s"
