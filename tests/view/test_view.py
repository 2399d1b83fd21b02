"""A run in words: titles, tables, reasons, what to do next, and the 80 columns of its text form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from elfbook.facts import Cancelled, Failed, Lost, Paused, Released, Reopened, Succeeded
from elfbook.model import ElfUse, Failure, Frame, Output, Policy, Situation, ValueRef
from elfbook.view.textform import raised_lines, text
from elfbook.view.view import first_words, summary
from elfbook.view.waiting import why
from elfbook.words import duration, plural, size

STATIC_PARTY = """\
✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped

  task                done  failed  skipped
  Greeter.task_hello     2       1        0
  Greeter.task_shout     2       0        1

  Greeter.task_hello(name=7)
  Cell In[2], line 4
        2 class Greeter:
        3     def task_hello(self, name):
  ----> 4         return "Hello " + name
               name = 7
  TypeError: can only concatenate str (not "int") to str

  skipped because of it: task_shout[2]

  next: correct the cell, then  %elf retry party
        or look closer:         %elf show party/task_hello[2]"""

LIVE_PARTY = """\
✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped

  task                done  failed  skipped  median time
  Greeter.task_hello     2       1        0        0.4 s
  Greeter.task_shout     2       0        1        0.4 s

  Greeter.task_hello(name=7) on worker-2, attempt 1 of 1
  Cell In[2], line 4
        2 class Greeter:
        3     def task_hello(self, name):
  ----> 4         return "Hello " + name
               name = 7
  1 library frame hidden
  TypeError: can only concatenate str (not "int") to str

  started by Cell In[4], line 3

  skipped because of it: task_shout[2]

  output of task_hello[0]:
    Ada

  figure of task_shout[1]

  next: correct the cell, then  %elf retry party
        or look closer:         %elf show party/task_hello[2]

  result: a list · code: Greeter v1 · durable · took 10 s"""


def test_the_static_form_word_for_word(party: Callable) -> None:
    assert text(party.look(static=True)) == STATIC_PARTY


def test_the_full_form_word_for_word(party: Callable) -> None:
    view = party.look(
        versions={"d1": 1}, durability="durable", result="a list", now=1000.0,
        outputs=(
            Output(4, 1, "display", bundle={"image/png": "AAAA", "text/html": "<b>no</b>"}),
            Output(0, 1, "stdout", "A\rAda\n"),
        ),
    )
    assert text(view) == LIVE_PARTY


def test_the_static_form_does_not_depend_on_chance(story: Callable, call: Callable, add_str: Failure) -> None:
    """Another order of completion, other workers, more attempts: the same words."""
    forms = []
    for order in ((0, 1, 2), (2, 1, 0)):
        told = story([call("task_hello", number) for number in range(3)], policy=Policy(retries=1))
        for job in order:
            if job == 1:
                told.fail(1, add_str)
                told.fail(1, add_str)
            else:
                if order[0]:
                    told.claim(job, "worker-9")
                    told.tell(job, Lost("n", 1, "worker-9 died", "worker-9"))
                told.succeed(job, elapsed_s=float(order[0]))
        forms.append(text(told.look(static=True, now=float(order[0] * 1000))))
    assert forms[0] == forms[1]


# ---------------------------------------------------------------------------- titles

TITLES = [
    ("○ flow party: 0 of 3 jobs done, 3 waiting", ()),
    ("● flow party: 1 of 3 jobs done, 1 running", ((0, "done"), (1, "claim"))),
    ("● flow party: 1 of 3 jobs done, 1 failed, 1 waiting", ((0, "done"), (1, "fail"))),
    ("✓ flow party: 3 of 3 jobs done", ((0, "done"), (1, "done"), (2, "done"))),
    ("⊘ flow party: 2 of 3 jobs done, 1 cancelled", ((0, "done"), (1, "done"), (2, "cancel"))),
    ("✗ flow party: 1 of 3 jobs done, 1 failed, 1 cancelled", ((0, "done"), (1, "fail"), (2, "cancel"))),
    ("‖ flow party: 1 of 3 jobs done, 1 running, paused", ((0, "done"), (1, "claim"), (-1, "pause"))),
    ("‖ flow party: 0 of 3 jobs done, 3 waiting, paused", ((-1, "pause"),)),
    ("● flow party: 1 of 3 jobs done, 1 running", ((0, "done"), (-1, "pause"), (1, "claim"), (-1, "resume"))),
    ("✓ flow party: 3 of 3 jobs done", ((-1, "pause"), (0, "done"), (1, "done"), (2, "done"))),
    ("✓ flow party: 3 of 3 jobs done (1 ran again, 2 kept)", (
        (0, "done"), (1, "fail"), (2, "done"), (1, "reopen"), (1, "done"),
    )),
    ("✓ flow party: 3 of 3 jobs done (2 ran again, 1 kept)", (
        (0, "done"), (1, "cancel"), (2, "fail"), (1, "reopen"), (2, "reopen"), (1, "done"), (2, "done"),
    )),
]


def tell(told: Callable, job: int, word: str) -> None:
    match word:
        case "done":
            told.succeed(job)
        case "claim":
            told.claim(job)
        case "fail":
            told.fail(job, Failure("ValueError", "no"))
        case "cancel":
            told.tell(job, Cancelled("n"))
        case "reopen":
            told.tell(job, Reopened("n"))
        case "pause" | "resume":
            told.tell(job, Paused("n", word == "pause"))


@pytest.mark.parametrize("title, facts", TITLES)
def test_titles(story: Callable, call: Callable, title: str, facts: tuple[tuple[int, str], ...]) -> None:
    told = story([call("task_hello", number) for number in range(3)])
    for job, word in facts:
        tell(told, job, word)
    assert first_words(told.look()) == title


def test_an_automatic_retry_is_not_a_run_again(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")], policy=Policy(retries=2))
    told.fail(0, Failure("ValueError", "no"))
    told.claim(0)
    told.tell(0, Lost("n", 2, "it died"))
    told.succeed(0)
    assert first_words(told.look()) == "✓ flow party: 1 of 1 job done"


# ---------------------------------------------------------------------------- failures in one line

SUMMARIES = {
    "flow party: 1 of 1 job failed: Greeter.task_hello: ValueError: got <Row> from data.csv": Failed(
        "n", 1, Failure("ValueError", "got <Row at 0x7f12> from /home/ada/work/data.csv\nsecond line")
    ),
    "flow party: 1 of 1 job failed: Greeter.task_hello: StopIteration": Failed(
        "n", 1, Failure("StopIteration", "")
    ),
    "flow party: 1 of 1 job failed: Greeter.task_hello: WorkerLost: the worker was killed (signal 9)": Lost(
        "n", 1, "worker-2 was killed (signal 9)", "worker-2"
    ),
    "flow party: 1 of 1 job failed: Greeter.task_hello: TimedOut: task_hello[0] ran longer than 60 s": Failed(
        "n", 1, Failure("TimedOut", "x"), outcome="timed out", elapsed_s=60.3
    ),
}


@pytest.mark.parametrize("line, event", SUMMARIES.items(), ids=range(len(SUMMARIES)))
def test_the_error_in_one_line_has_nothing_of_this_machine(
    story: Callable, call: Callable, line: str, event: Failed | Lost
) -> None:
    told = story([call("task_hello")], policy=Policy(lost_retries=0, timeout_s=60))
    told.claim(0)
    told.tell(0, event)
    assert summary(told.look(static=True)) == line


def test_several_kinds_are_counted_in_one_line(story: Callable, call: Callable) -> None:
    told = story([call("task_hello", number) for number in range(4)])
    for number, kind in enumerate(("KeyError", "ValueError", "ValueError")):
        told.fail(number, Failure(kind, f"'{number}'"))
    told.succeed(3)
    assert summary(told.look()) == (
        "flow party: 3 of 4 jobs failed: Greeter.task_hello: ValueError: '1' (and 1 other kind of failure)"
    )


def test_what_is_raised_reads_from_failure_to_next_step(party: Callable) -> None:
    assert raised_lines(party.look(static=True)) == [
        "flow party: 1 of 6 jobs failed, 1 skipped",
        "",
        "Greeter.task_hello(name=7)",
        "Cell In[2], line 4",
        "      2 class Greeter:",
        "      3     def task_hello(self, name):",
        '----> 4         return "Hello " + name',
        "             name = 7",
        'TypeError: can only concatenate str (not "int") to str',
        "",
        "skipped because of it: task_shout[2]",
        "next: correct the cell, then  %elf retry party",
        "      or look closer:         %elf show party/task_hello[2]",
    ]


def test_while_a_run_goes_on_its_failure_is_mended_first(story: Callable, call: Callable) -> None:
    told = story([call("task_a"), call("task_a", 1)])
    told.fail(0, Failure("ValueError", "no"))
    told.claim(1)

    def steps(reference: str = "", workers: int | None = 2) -> list[tuple[str, str]]:
        return [(step.why, step.words) for step in told.look(workers=workers, reference=reference).steps]

    retry, cancel = ("correct the cell, then", "%elf retry party"), ("or stop it with", "%elf cancel party")
    assert steps() == [retry, cancel]
    assert steps("party.1")[0][1] == "%elf retry party.1"
    told.tell(-1, Paused("n", True))
    assert steps() == [("let it go on with", "%elf resume party")]
    told.tell(-1, Paused("n", False))
    told.succeed(1)
    assert steps() == [retry, ("or look closer:", "%elf show party/task_a[0]")]
    told.tell(0, Reopened("n"))
    assert steps() == []
    assert steps(workers=0) == [("1 job waits for workers:", "%elf up")]


def test_what_was_cancelled_is_run_again_once_the_rest_is_over(story: Callable, call: Callable) -> None:
    told = story([call("task_a"), call("task_a", 1)])
    told.tell(0, Cancelled("n"))
    told.claim(1)
    assert told.look().steps == ()
    told.succeed(1)
    assert [(step.why, step.words) for step in told.look().steps] == [("run what was cancelled with", "%elf retry party")]


def test_a_timeout_says_where_it_was(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")], policy=Policy(timeout_s=60))
    frame = Frame("f", 12, "task_hello", ("for row in rows:", "    pass"), 12, own=True)
    told.claim(0)
    told.tell(0, Failed("n", 1, Failure("TimedOut", "", (frame,)), "timed out", "worker-1", 60.2))
    assert told.look().groups[0].first.error == (
        "TimedOut: task_hello[0] ran 1 min (limit 60 s), last seen at f, line 12: for row in rows:"
    )


def test_a_timeout_without_a_place_says_what_the_worker_said(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")])
    told.claim(0)
    told.tell(0, Failed("n", 1, Failure("TimedOut", "its kernel was replaced"), "timed out"))
    assert told.look().groups[0].first.error == "TimedOut: its kernel was replaced"


def test_a_lost_worker_is_one_sentence_with_its_last_output(story: Callable, call: Callable) -> None:
    told = story([call("task_hello")], policy=Policy(on_lost="fail"), elves=(ElfUse("Greeter", "d1", "ann"),))
    told.claim(0)
    told.tell(0, Lost("n", 1, "worker-1 was killed by the system (signal 9)", "worker-1", "loading…"))
    lines = text(told.look()).splitlines()
    assert lines[5:9] == [
        '  Greeter("ann").task_hello[0] on worker-1, attempt 1 of 1',
        "  WorkerLost: worker-1 was killed by the system (signal 9)",
        "  last output:",
        "    loading…",
    ]
    told.tell(0, Reopened("n"))
    told.claim(0)
    told.tell(0, Lost("n", 1, 'worker-1 was killed. Last output: "loading…".', "worker-1", "loading…\n"))
    assert told.look().groups[0].first.last_output == ""


def test_skipped_jobs_name_their_cause(story: Callable, call: Callable) -> None:
    jobs = [call("task_a", number) for number in range(5)]
    jobs += [call("task_b", number, parents=(number,)) for number in range(5)]
    told = story([*jobs, call("task_c", parents=tuple(range(5, 10)))])
    for number in range(5):
        told.fail(number, Failure("ValueError", "no"))
    for job in range(5, 11):
        told.skip(job, because=min(job - 5, 4) % 5 if job < 10 else 0)
    assert told.look().skipped == (
        "skipped because of task_a[0]: task_b[0] and task_c[0]",
        "skipped because of task_a[1]: task_b[1]",
        "skipped because of task_a[2]: task_b[2]",
        "2 more jobs skipped because of 2 other jobs",
    )


# ---------------------------------------------------------------------------- waiting


def test_why_a_job_waits(story: Callable, call: Callable) -> None:
    elves = (ElfUse("Reader", "d"), ElfUse("Storage", "d", "animals"))
    told = story(
        [
            call("task_parse"), call("task_parse", 1), call("task_join", parents=(0, 1)),
            call("task_save", elf=1), call("task_save", 1, elf=1, turn=3), call("task_last", after=(0,)),
        ],
        elves=elves, policy=Policy(retries=2, backoff_s=4.0),
    )

    def reasons(now: float = 0.0, workers: int | None = None) -> list[str]:
        return [why(told.state, job, now=now, workers=workers) for job in range(6)]

    assert reasons(workers=0) == [
        *["waits for a worker; there is none"] * 2,
        "waits for task_parse[0] and 1 other",
        'waits for a worker that holds Storage("animals"); there is none',
        "waits for its turn after task_save[0]", "waits for task_parse[0]",
    ]
    told.succeed(0)
    told.claim(1)
    assert reasons()[:3] == ["", "", "waits for task_parse[1]"]
    told.tell(1, Failed("n", 1, Failure("ValueError", "no")))
    wait_s = told.state.jobs[1].not_before - 105.0
    assert reasons(now=105.0)[1] == f"tries again in {duration(wait_s)} after ValueError"
    assert reasons(now=200.0)[1] == "waits for a worker"
    told.fail(1, Failure("", ""), outcome="timed out")
    assert reasons(now=told.state.jobs[1].not_before - 4)[1] == "tries again in 4.0 s after a timeout"
    told.claim(1)
    told.tell(1, Lost("n", 3, "gone"))
    assert reasons(now=told.state.jobs[1].not_before - 4)[1] == "tries again in 4.0 s after a lost worker"
    told.fail(1, Failure("ValueError", "no"), final=True)
    assert reasons()[2] == "never starts, because task_parse[1] failed"


def test_a_running_flow_tells_reasons_and_needs(story: Callable, call: Callable) -> None:
    told = story([call("task_a"), call("task_b", parents=(0,))])
    view = told.look(workers=0, now=5.0)
    assert view.reasons == ("task_a[0] waits for a worker; there is none", "task_b[0] waits for task_a[0]")
    assert [(step.why, step.words) for step in view.steps] == [("2 jobs wait for workers:", "%elf up")]
    told.claim(0)
    told.tell(0, Released("n", 1))
    assert text(told.look(now=130.0, static=True)) == "\n".join([
        "○ flow party: 0 of 2 jobs done, 2 waiting", "",
        "  task            waiting  done",
        "  Greeter.task_a        1     0",
        "  Greeter.task_b        1     0",
    ])
    told.claim(0)
    assert told.look(now=230.0).remarks == ("running for 2 min 8 s",)
    assert why(told.state, 0) == ""


def test_versions_of_the_code_that_ran(story: Callable, call: Callable) -> None:
    told = story([call("task_a"), call("task_a", 1)])
    told.succeed(0)
    told.fail(1, Failure("ValueError", "no"))
    told.tell(1, Reopened("n", 0, "d2"))
    told.claim(1)
    told.tell(1, Succeeded("n", 2, ValueRef("d", 1), revision="d2"))
    assert told.look(versions={"d1": 1, "d2": 2}, now=0.0).remarks[0] == "code: Greeter v1 and v2"


# ---------------------------------------------------------------------------- outputs


def test_outputs_stand_under_their_job_in_the_order_of_the_graph(story: Callable, call: Callable) -> None:
    told = story([call("task_a", number) for number in range(12)])
    long = "".join(f"line {number}\n" for number in range(30))
    view = told.look(outputs=(
        Output(3, 1, "stdout", "first attempt"),
        Output(3, 2, "stdout", "50%\r100%\n"),
        Output(3, 1, "stdout", "late"),
        Output(0, 1, "stderr", "warning\x1b[31m!"), Output(0, 1, "display", bundle={"text/plain": "42"}),
        Output(1, 1, "display", bundle={"image/png": '"><script>', "text/plain": "<Figure>"}),
        Output(2, 1, "display", bundle={"text/html": "<b>only</b>"}),
        Output(5, 1, "stdout", long),
        *(Output(number, 1, "stdout", "x") for number in range(6, 12)),
    ))
    assert {said.label: said.last_lines for said in view.outputs[:3]} == {
        "task_a[0]": ("warning!", "42"), "task_a[1]": ("<Figure>",), "task_a[3]": ("100%",),
    }
    assert view.outputs[3].last_lines[:2] == ("… 10 earlier lines", "line 10")
    assert len(view.outputs[3].lines) == 30
    assert "  2 more jobs with output:  %elf logs party/JOB" in text(view).splitlines()


# ---------------------------------------------------------------------------- 80 columns


def test_no_line_is_longer_than_80_columns(story: Callable, call: Callable) -> None:
    word, name = "x" * 300, "task_" + "very_long_name_" * 9
    source = tuple(f"    {word} = {word}" for _ in range(5))
    frame = Frame(f"/a/{word}", 3, word, source, 1, ((word, word),), own=True)
    told = story(
        [call(name, number) for number in range(4)], elves=(ElfUse("Elf" * 20, "d1"),), flow="flow" * 16
    )
    for number in range(3):
        told.fail(number, Failure("E" * 90, f"{word} {word}", (replace_frame(frame, number),), inputs=word))
    told.fail(3, Failure(f"F{number}", "many words " * 40))
    view = told.look(durability="durable", result=word, outputs=(Output(0, 1, "stdout", word * 3),))
    view = replace(view, skipped=("skipped because of it: " + "task_a[1], " * 30,))
    assert max(map(len, text(view).splitlines())) <= 80


def replace_frame(frame: Frame, number: int) -> Frame:
    return Frame(f"{frame.filename}{number}", *[getattr(frame, name) for name in frame.__struct_fields__[1:]])


# ---------------------------------------------------------------------------- words

DURATIONS = {
    0.0: "0 ms", 0.042: "42 ms", 0.4: "0.4 s", 9.96: "10 s", 59.7: "1 min", 130: "2 min 10 s", 3600: "1 h",
    11100: "3 h 5 min", 200000: "2 days 8 h", -1: "0 ms",
}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_durations(seconds: float) -> None:
    assert duration(seconds) == DURATIONS[seconds]


def test_counts_and_sizes() -> None:
    counts = [plural(number, "job") for number in (0, 1, 6, 1000)]
    assert counts == ["0 jobs", "1 job", "6 jobs", "1\u202f000 jobs"]
    assert [size(number) for number in (0, 999, 1000, 12_000, 999_600, 5 * 10**9)] == [
        "0 B", "999 B", "1.0 kB", "12 kB", "1.0 MB", "5.0 GB",
    ]


QUIET = Situation(workers={"main": 2, "worker-1": 1})


@pytest.mark.parametrize(
    ("policy", "situation", "words"),
    [
        (Policy(), QUIET, "waits for a worker"),
        (Policy(), None, "waits for a worker"),
        (Policy(), Situation(), "waits for a worker; there is none"),
        (Policy(pool="gpu"), QUIET, "waits for a worker; there is none of pool gpu"),
        (Policy(pool="worker-1"), QUIET, "waits for a worker"),
        (
            Policy(limit="api:2"),
            Situation(workers={"main": 2}, taken={"api": ("crawl/task_fetch[1]", "crawl/task_fetch[7]")}),
            "limit api:2 is full: crawl/task_fetch[1] and crawl/task_fetch[7]",
        ),
        (
            Policy(limit="api:3"),
            Situation(workers={"main": 2}, taken={"api": ("a/t[1]", "a/t[7]"), "disk": ("b/t[0]",) * 9}),
            "waits for a worker",
        ),
        (
            Policy(limit="api:4"),
            Situation(workers={"main": 2}, taken={"api": tuple(f"a/t[{n}]" for n in range(5))}),
            "limit api:4 is full: a/t[0], a/t[1], a/t[2] and 2 more",
        ),
        (Policy(), Situation(workers={"main": 1}, ahead={"main": (0, 7, 2)}), "waits for a worker"),
        (
            Policy(priority=2),
            Situation(workers={"main": 1}, ahead={"main": (0, 1, 2), "gpu": (5, 5, 5)}),
            "waits behind 1 job of normal priority",
        ),
        (
            Policy(priority=1),
            Situation(workers={"main": 1}, ahead={"main": (3, 0, 0)}),
            "waits behind 3 jobs of high priority",
        ),
        (
            Policy(limit="api:1"),
            Situation(store="the store is full"),
            "waits until the store takes records again: the store is full",
        ),
    ],
)
def test_what_keeps_a_due_job_waiting(story: Callable, call: Callable, policy, situation, words: str) -> None:
    told = story([call("task_a")], policy=policy)
    assert why(told.state, 0, situation=situation) == words
    assert told.look(situation=situation).reasons == (f"task_a[0] {words}",)


def test_what_a_job_waits_for_comes_before_what_the_scheduler_sees(story: Callable, call: Callable) -> None:
    full = Situation(store="the store is full")
    told = story([call("task_a"), call("task_b", parents=(0,))])
    assert why(told.state, 1, situation=full) == "waits for task_a[0]"
    named = story([call("task_a")], elves=(ElfUse("Storage", "d1", "animals"),), policy=Policy(priority=2))
    behind = Situation(workers={"main": 1}, ahead={"main": (9, 9, 0)})
    assert why(named.state, 0, situation=behind) == 'waits for a worker that holds Storage("animals")'


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ((), "waits for a worker"),
        (((),), "waits for a worker"),
        ((("scipy",), ()), "waits for a worker"),
        ((("scipy",), ("scipy",)), "no worker has scipy"),
        ((("scipy", "torch"), ("scipy", "torch")), "no worker has scipy and torch"),
        ((("scipy",), ("torch",)), "no worker has all of scipy and torch"),
        ((("numpy",),), "waits for a worker"),
    ],
)
def test_packages_that_no_worker_has(story: Callable, call: Callable, lacks: tuple, words: str) -> None:
    elf = ElfUse("Greeter", "d1", needs=("scipy", "torch"))
    told = story([call("task_a")], elves=(elf,))
    seen = Situation(workers={"main": 2}, lacks={"main": lacks, "gpu": (("scipy",),)})
    assert why(told.state, 0, situation=seen) == words
    told.tell(0, Reopened("n", revision="d2"))
    assert why(told.state, 0, situation=seen) == "waits for a worker", "what mended code needs is not known"


def test_of_a_paused_run_each_job_that_could_begin_waits_for_that(story: Callable, call: Callable) -> None:
    told = story([call("task_a"), call("task_b", parents=(0,)), call("task_c")], policy=Policy(retries=1))
    told.fail(2, Failure("ValueError", "no"))
    told.tell(-1, Paused("n", True, "the machine\nis needed"))
    full = Situation(store="the store is full")
    words = "waits because its run is paused: the machine"
    assert [why(told.state, job, situation=full) for job in range(3)] == [words, "waits for task_a[0]", words]
    view = told.look(workers=2)
    assert (view.outcome, [step.words for step in view.steps]) == ("paused", ["%elf resume party"])
    assert [step.words for step in told.look(workers=0).steps] == ["%elf up"]
    told.tell(-1, Paused("n", True))
    assert why(told.state, 0) == "waits because its run is paused"
    told.tell(-1, Paused("n", False))
    assert why(told.state, 0) == "waits for a worker"


def test_a_job_under_its_tasks_own_limit(story: Callable, call: Callable) -> None:
    spec = msgspec.structs.replace(call("task_a"), limit="disk:1")
    told = story([spec, call("task_b")], policy=Policy(limit="api:1"))
    seen = Situation(workers={"main": 1}, taken={"disk": ("x/t[0]",), "api": ()})
    assert why(told.state, 0, situation=seen) == "limit disk:1 is full: x/t[0]"
    assert why(told.state, 1, situation=seen) == "waits for a worker"
