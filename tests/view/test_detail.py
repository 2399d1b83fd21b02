"""An opened job: what is told of it, of its arguments, and of what it printed. No pickle is opened."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.facts import Cancelled, Failed, Lost, Succeeded
from elfbook.model import Failure, Graph, Output, Parameter, Policy, Revision, TaskSpec, ValueRef
from elfbook.tracing import values
from elfbook.tracing.elves import adopt
from elfbook.tracing.trace import Recorder
from elfbook.view import detail as module
from elfbook.view.arguments import UNSEEN, arguments
from elfbook.view.detail import Code, detail, printed
from elfbook.view.messages import Said
from elfbook.view.view import Known

PARAMETERS = (
    Parameter("x", "either"), Parameter("rest", "variadic"), Parameter("k", "keyword"),
    Parameter("more", "variadic keyword"),
)


class Elf:
    def task_a(self, *args, **kwargs):
        return args


adopt(Elf)


def drawn(calls: Callable) -> Graph:
    with Recorder("f") as recorder:
        calls(Elf())
    plan = recorder.graph(None, Policy(), revision_of=lambda _: Revision("Elf", "d", (), ()), key=b"k" * 32)
    return plan.graph


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (lambda e: e.task_a(1, "two"), [("x", "1"), ("rest[0]", "'two'")]),
        (lambda e: e.task_a([1, 2], k=None), [("x", "[1, 2]"), ("k", "None")]),
        (lambda e: e.task_a(e.task_a()), [("x", "task_a[0]")]),
        (lambda e: e.task_a([e.task_a(), 2], z={"q": e.task_a()}), [("x", "[task_a[0], 2]"), ("z", "{'q': task_a[1]}")]),
        (lambda e: e.task_a(e.task_a() + e.task_a()), [("x", "from task_a[0] and task_a[1]")]),
        (lambda e: e.task_a(e.task_a()["p"].upper()), [("x", "from task_a[0]")]),
        (lambda e: e.task_a([*range(100), e.task_a()]), [("x", "[0, 1, 2, 3, 4, 5, ...]")]),
        (lambda e: e.task_a((e.task_a(),)), [("x", "(task_a[0],)")]),
        (lambda e: e.task_a(Elf, e.task_a()), [("x", UNSEEN), ("rest[0]", "task_a[0]")]),
        (lambda e: e.task_a(b"x" * 50_000), [("x", "b'" + "x" * 77 + "…")]),
    ],
)
def test_arguments_in_a_few_words(calls, expected) -> None:
    spec = drawn(calls).jobs[-1]
    blobs = {ref.digest: ref.preview for ref in spec.blobs}
    assert list(arguments(spec.arguments, PARAMETERS, "task_a[{}]".format, blobs)) == expected


def test_no_pickle_is_opened_for_a_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = drawn(lambda e: e.task_a(Elf)).jobs[-1]
    monkeypatch.setattr(values, "_unpickle", lambda *_: pytest.fail("opened"))
    assert arguments(spec.arguments, PARAMETERS, str, {}) == (("arguments", UNSEEN),)


CODE = "%%elf\nclass Greeter:\n    def task_hello(self, name):\n        return 1\n\n    def task_shout(self):\n        return 2\n"


def code_of(party) -> Code:
    tasks = (TaskSpec("task_hello", 3, (Parameter("name", "either"),)), TaskSpec("task_shout", 6))
    revision = msgspec.structs.replace(party.revision, tasks=tasks, label="Cell In[2]")
    piece = msgspec.structs.replace(revision.pieces[0], text=CODE, label="Cell In[2]")
    return Code({"d1": msgspec.structs.replace(revision, pieces=(piece,))}, {"Cell In[2]": "c2"})


def test_a_done_job(party) -> None:
    told = detail(party.manifest, party.state, 0, code_of(party), Known(versions={"d1": 3}))
    assert (told.label, told.task, told.state, told.worker) == ("task_hello[0]", "Greeter.task_hello", "done", "worker-1")
    assert (told.result, told.size, told.revision, told.called_at) == ("'Hello'", 1, "Greeter v3", "Cell In[4], line 3")
    assert [(each.number, each.outcome, each.elapsed_s) for each in told.attempts] == [(1, "succeeded", 0.4)]
    assert told.source[0] == module.Source("Cell In[2]", 3, "    def task_hello(self, name):\n        return 1", "c2")
    assert told.source[1].first_line == 2
    assert told.lines == ()


def test_a_failed_and_a_skipped_job(party) -> None:
    failed = detail(party.manifest, party.state, 2, code_of(party), Known())
    assert failed.state == "failed" and failed.revision == "Greeter d1"
    assert any(line.kind == "error" and "can only concatenate" in line.text for line in failed.lines)
    assert failed.attempts[0].error == 'TypeError: can only concatenate str (not "int") to str'
    assert detail(party.manifest, party.state, 5, code_of(party), Known()).reason == "because of task_hello[2]"


def test_why_a_job_waits_or_was_cancelled(story: Callable, call: Callable) -> None:
    told = story([call("task_hello"), call("task_shout", parents=(0,)), call("task_cry")])
    told.tell(2, Cancelled("n", why="not\x1b[2K needed"))
    code = Code({})
    assert detail(told.manifest, told.state, 0, code, Known(workers=0)).reason == "waits for a worker; there is none"
    assert detail(told.manifest, told.state, 1, code, Known()).reason == "waits for task_hello[0]"
    assert detail(told.manifest, told.state, 2, code, Known()).reason == "not needed"


def test_each_attempt_is_told(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")], policy=Policy(retries=3, lost_retries=3))
    told.claim(0)
    told.tell(0, Failed("n", 1, Failure("ValueError", "bad\nday"), outcome="crashed", worker="w1", elapsed_s=0.5))
    told.claim(0)
    told.tell(0, Lost("n", 2, why="w2 was killed", worker="w2"))
    told.claim(0)
    told.tell(0, Succeeded("n", 0, ValueRef("d", 1), "w3", 0.1))
    attempts = detail(told.manifest, told.state, 0, Code({}), Known()).attempts
    assert [(a.number, a.outcome, a.worker, a.error) for a in attempts] == [
        (1, "crashed", "w1", "ValueError: bad"), (2, "lost", "w2", "w2 was killed"), (3, "succeeded", "w3", ""),
    ]


# ---------------------------------------------------------------------------- output


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(0, 12), st.integers(1, 100))
def test_what_is_shown_and_what_is_skipped_is_all_that_was_printed(texts: list[str], start: int, room: int) -> None:
    start = min(start, len(texts))
    outputs = [Output(3, 1, "stdout", text) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_PRINTED", room)
        told = printed(3, outputs, start)
    whole = "".join(module.piece(output, 0).text for output in outputs[start:])
    shown = "".join(said.text for said in told.pieces)
    assert len(shown) <= room and whole.endswith(shown) and told.skipped == len(whole) - len(shown)
    assert told.start + len(told.pieces) == len(texts) or not shown


def test_a_line_that_is_written_over_is_told_as_it_ends() -> None:
    texts = {"10 %\r50 %\r100 %\nok\r\n": "100 %\nok\n", "\r20 %\r30 %": "\r30 %", "a\rb\r\nc": "b\nc"}
    for text, told in texts.items():
        assert module.piece(Output(0, 1, "stderr", text), 0).text == told


def test_displays_keep_their_bundle_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DISPLAYED", 10)
    outputs = [Output(0, 1, "display", bundle={"text/plain": f"{n}", "image/png": "x" * 6}) for n in range(2)]
    outputs.append(Output(0, 1, "late", "too late"))
    assert printed(0, outputs, 0).pieces == (
        Said("display", 1, "0"),
        Said("display", 1, "1", {"text/plain": "1", "image/png": "xxxxxx"}),
        Said("display", 1, "too late"),
    )
