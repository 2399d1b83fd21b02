"""Failures read like IPython's own tracebacks, with the user's cells and nothing else."""

from __future__ import annotations

import re

import pytest

from elfbook.model import Failure, Frame
from elfbook.view.failures import (
    FailedJob,
    coloured,
    failure_lines,
    frame_lines,
    job_lines,
    label_of,
    plain,
)
from elfbook.view.groups import all_lines, group_lines, grouped, summary_of

LABELS = {"/tmp/ipykernel_1/22.py": "Cell In[2]"}
SOURCE = tuple("""\
def clean(row):
    y, m, d = row

    for part in row:
        part = int(part)
    return datetime(y, m, d)

def other():
    pass
""".splitlines())


def own(line: int, function: str = "clean", **more: object) -> Frame:
    return Frame("/tmp/ipykernel_1/22.py", line, function, SOURCE, 1, own=True, **more)


def library(name: str = "decoder.py", **more: object) -> Frame:
    return Frame(f"/usr/lib/python3.11/json/{name}", 355, "raw_decode", **more)


def test_the_tutorials_failure_reads_as_in_its_text(add_str: Failure) -> None:
    assert plain(failure_lines(add_str, LABELS, task="Greeter.task_hello", static=True)) == [
        "Cell In[2], line 4",
        "      2 class Greeter:",
        "      3     def task_hello(self, name):",
        '----> 4         return "Hello " + name',
        "             name = 7",
        'TypeError: can only concatenate str (not "int") to str',
    ]


def test_the_full_form_adds_where_it_ran_and_what_is_hidden(add_str: Failure) -> None:
    failed = FailedJob(
        job=2, label="task_hello[2]", task="Greeter.task_hello", call="Greeter.task_hello(name=7)",
        error="TypeError: …", failure=add_str, where="on worker-2, attempt 1 of 1",
        started_by="Cell In[4], line 2", last_output="one\ntwo\n",
    )
    assert plain(job_lines(failed, LABELS)) == [
        "Greeter.task_hello(name=7) on worker-2, attempt 1 of 1",
        "Cell In[2], line 4",
        "      2 class Greeter:",
        "      3     def task_hello(self, name):",
        '----> 4         return "Hello " + name',
        "             name = 7",
        "1 library frame hidden",
        'TypeError: can only concatenate str (not "int") to str',
        "last output:",
        "  one",
        "  two",
        "",
        "started by Cell In[4], line 2",
    ]


@pytest.mark.parametrize("name, lines", [(50, 1), (51, 2)])
def test_where_it_ran_reads_on_from_the_call_or_stands_below_it(name: int, lines: int) -> None:
    call, where = "E.task_a(" + "x" * (name - 10) + ")", "on worker-2, attempt 1 of 10"
    failed = FailedJob(job=0, label="task_a[0]", task="E.task_a", call=call, error="E: no", where=where)
    told = job_lines(failed, {}, columns=79)
    assert [line.text for line in told[:-1]] == ([f"{call} {where}"] if lines == 1 else [call, where])


CONTEXTS = {
    "two lines before, one after": (5, [
        "      3", "      4     for part in row:", "----> 5         part = int(part)",
        "      6     return datetime(y, m, d)",
    ]),
    "no blank line after": (2, ["      1 def clean(row):", "----> 2     y, m, d = row"]),
    "nothing before the first line": (1, ["----> 1 def clean(row):", "      2     y, m, d = row"]),
    "not the next function": (7, [
        "      5         part = int(part)", "      6     return datetime(y, m, d)", "----> 7",
    ]),
    "no source for a line outside it": (40, []),
}


@pytest.mark.parametrize("line, shown", CONTEXTS.values(), ids=CONTEXTS)
def test_context(line: int, shown: list[str]) -> None:
    assert plain(frame_lines(own(line), LABELS, task="Reader.clean"))[1:] == shown


def test_numbers_align_as_ipython_aligns_them() -> None:
    frame = Frame("c", 1000, "f", tuple("abc"), 998, own=True)
    assert plain(frame_lines(frame, {}))[1:] == ["    998 a", "    999 b", "-> 1000 c"]


def test_only_the_users_frames_and_the_innermost_are_shown() -> None:
    failure = Failure("JSONDecodeError", "Expecting value", (
        library("__init__.py"), own(2, "task_read"), own(6, qualname="Reader.clean"), library(), library(),
    ))
    lines = plain(failure_lines(failure, LABELS, task="Reader.task_read"))
    assert [line for line in lines if not line.startswith((" ", "-"))] == [
        "Cell In[2], line 2",
        "Cell In[2], line 6, in Reader.clean",
        "File json/decoder.py, line 355, in raw_decode",
        "2 library frames hidden",
        "JSONDecodeError: Expecting value",
    ]


@pytest.mark.parametrize("kind, wording", [
    ("cause", "The above exception was the direct cause of the following exception:"),
    ("context", "During handling of the above exception, another exception occurred:"),
])
def test_chains_keep_pythons_wording(kind: str, wording: str) -> None:
    inner = Failure("KeyError", "'d'", notes=("while reading row 17",))
    failure = Failure("ValueError", "bad date\nin two lines", (), inner, kind)
    assert plain(failure_lines(failure, {})) == [
        "KeyError: 'd'", "while reading row 17", "", wording, "", "ValueError: bad date", "in two lines",
    ]


def test_a_deep_recursion_is_short() -> None:
    failure = Failure("RecursionError", "maximum recursion depth exceeded", (own(2),) * 900)
    lines = plain(failure_lines(failure, LABELS))
    assert len(lines) < 40
    assert "… 892 more frames like these …" in lines


FILES = {
    "/tmp/ipykernel_1/22.py": "Cell In[2]",
    "<ipython-input-7-abcdef>": "Cell In[7]",
    "/tmp/ipykernel_77/123.py": "a cell",
    "/tmp/ipykernel_77/22.py": "Cell In[2]",  # the same text in a kernel that has been restarted since
    "/home/ada/env/lib/python3.11/site-packages/pandas/io/json.py": "pandas/io/json.py",
    "/usr/lib/python3.12/json/decoder.py": "json/decoder.py",
    "/home/ada/project/tools.py": "project/tools.py",
    r"C:\Users\ada\project\tools.py": "project/tools.py",
    "<string>": "<string>",
    "": "",
}


@pytest.mark.parametrize("filename", FILES)
def test_labels_name_no_home_and_no_machine(filename: str) -> None:
    assert label_of(filename, LABELS) == FILES[filename]


def test_the_static_form_has_no_addresses() -> None:
    frame = own(2, names=(("row", "<Row object at 0x7f00aa>"),))
    failed = FailedJob(
        job=0, label="t[0]", task="E.t", call="E.t(<x at 0x1f>)", error="", failure=Failure(
            "__main__.Odd", "got <Row at 0x7f00aa>", (frame,), notes=("see <f at 0x12>",)
        ),
    )
    lines = "\n".join(plain(job_lines(failed, LABELS, static=True)))
    assert "0x" not in lines
    assert "Odd: got <Row>" in lines


def test_foreign_text_cannot_move_the_cursor() -> None:
    evil = "\x1b[2J\x1b]0;title\x07red\x00\u202e"
    failure = Failure(f"E{evil}", evil, (own(2, names=(("x", evil),)),), notes=(evil,))
    text = "".join(plain(failure_lines(failure, LABELS)))
    assert re.findall(r"[\x00-\x1f\x7f\u202e]", text) == []
    assert "red\\x00\\u202e" in text


def test_endless_messages_are_cut() -> None:
    failure = Failure("E", "x" * 10**6, (own(2, names=(("x", "y" * 10**6),)),), notes=("z" * 10**6,))
    assert sum(map(len, plain(failure_lines(failure, LABELS)))) < 6000


def test_colours_are_asked_for(add_str: Failure) -> None:
    lines = failure_lines(add_str, LABELS)
    assert "\x1b" not in "".join(plain(lines))
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in coloured(lines)] == plain(lines)
    assert any(line.startswith("\x1b[1m---->") for line in coloured(lines))


# ---------------------------------------------------------------------------- groups


def failed(number: int, line: int, kind: str = "ValueError", task: str = "task_parse") -> FailedJob:
    failure = Failure(kind, f"bad date {number}", (own(line, task),))
    return FailedJob(
        job=number, label=f"{task}[{number}]", task=f"Reader.{task}", call=f"Reader.{task}({number})",
        error=f"{kind}: bad date {number}", failure=failure,
    )


MANY = [
    failed(0, 6, "KeyError"),
    *(failed(number, 2) for number in range(1, 38)),
    failed(40, 5, task="task_fetch"),
    failed(41, 2, "OSError"), failed(42, 2, "OSError", "task_fetch"),
]


def test_same_type_and_line_is_one_group_largest_first() -> None:
    groups = grouped(reversed(MANY), LABELS)
    assert [(group.type, group.title, group.first.job) for group in groups] == [
        ("ValueError", "task_parse × 37", 1),
        ("OSError", "task_parse and task_fetch × 2", 41),
        ("KeyError", "task_parse[0]", 0),
        ("ValueError", "task_fetch[40]", 40),
    ]
    assert summary_of(groups) == (
        "41 failures: ValueError: bad date 1 (× 37), OSError: bad date 41 (× 2),"
        " KeyError: bad date 0 (task_parse[0]) and 1 more"
    )


def test_a_group_shows_one_trace_and_names_the_jobs() -> None:
    (first, *_) = grouped(MANY, LABELS)
    assert plain(group_lines(first, LABELS, flow="crawl")) == [
        "Reader.task_parse(1)",
        "Cell In[2], line 2",
        "      1 def clean(row):",
        "----> 2     y, m, d = row",
        "ValueError: bad date 1",
        "",
        "task_parse × 37: inputs [1], [2], [3], [4], [5], [6], [7], [8], [9], [10] …",
        "all in  crawl.failed",
    ]


def test_three_groups_are_shown_and_the_others_counted() -> None:
    lines = plain(all_lines(grouped(MANY, LABELS), LABELS, flow="crawl"))
    assert sum(line.startswith("---->") for line in lines) == 3
    assert lines[-1] == "and 1 more kind of failure: ValueError in task_fetch[40]"


def test_sentences_group_by_their_task() -> None:
    lost = [
        FailedJob(job=n, label=f"t[{n}]", task="E.t", call=f"E.t[{n}]", error=f"WorkerLost: worker-{n} died")
        for n in range(3)
    ]
    (group,) = grouped(lost, {})
    assert plain(group_lines(group, {}, flow="f")) == [
        "E.t[0]", "WorkerLost: worker-0 died", "", "t × 3: inputs [0], [1], [2]",
    ]
