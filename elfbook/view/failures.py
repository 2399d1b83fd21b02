"""How failures read: the user's own cell and line, each distinct failure once.

Two forms with the same words. The full form tells worker, attempt, hidden frames and last
output. The static form leaves out whatever differs from one run to the next, so that a saved
notebook and its test agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from elfbook.model import Failure, Frame, Struct
from elfbook.words import COLUMNS, as_on_screen, one_line, plural, printable, shorten, without_addresses

NUMBER_WIDTH = 7
"""Columns of IPython's line numbers, so that a remote traceback looks like a local one."""

VALUE_INDENT = " " * 13
BEFORE, AFTER = 2, 1
"""Source lines shown around the failing one."""

MOST_FRAMES = 8
"""Own frames shown of one exception; a deep recursion has thousands that say the same."""

MOST_CAUSES = 10
MOST_NAMES = 12
LONGEST_LINE = 200
LONGEST_MESSAGE = 2000
LAST_LINES = 20

CHAINED = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}

CELL_BY_NUMBER = re.compile(r"<ipython-input-(\d+)-")
CELL_BY_FILE = re.compile(r"[/\\]ipykernel_\d+[/\\](\d+)\.py$")
"""ipykernel names a cell's file after a hash of its text, in a folder named after the kernel's process."""
LIBRARY_ROOT = re.compile(r"^.*[/\\](?:(?:site|dist)-packages|[Ll]ib[/\\]python3\.\d+)[/\\]")


class Line(NamedTuple):
    """One line of a failure, with what it is for those who colour it."""

    kind: str
    """`call`, `place`, `source`, `arrow`, `value`, `error` or `remark`."""
    text: str


class FailedJob(Struct, frozen=True):
    """A job that ended badly, with everything that is shown about it."""

    job: int
    label: str
    """`task_hello[2]`."""
    task: str
    """`Greeter.task_hello`."""
    call: str
    """`Greeter.task_hello(name=7)`."""
    error: str
    """Type and message in one line."""
    failure: Failure | None = None
    """None when no Python exception tells the story: a lost worker, a timeout."""
    where: str = ""
    """`on worker-2, attempt 1 of 1`, which the call reads on with; empty in the static form."""
    started_by: str = ""
    """Place of the call in the flow's cell; empty in the static form."""
    last_output: str = ""

    @property
    def number(self) -> str:
        """The label's `[2]`."""
        return self.label[self.label.rfind("[") :]


# ---------------------------------------------------------------------------- places


def label_of(filename: str, labels: Mapping[str, str]) -> str:
    """What a person calls the file: `Cell In[4]`, or a path without the way to its library."""
    if filename in labels:
        return labels[filename]
    if found := CELL_BY_NUMBER.match(filename):
        return f"Cell In[{found[1]}]"
    if cell := CELL_BY_FILE.search(filename):
        return _label_of_text(cell[1], labels)
    if LIBRARY_ROOT.match(filename):
        return LIBRARY_ROOT.sub("", filename)
    # The way to a file may name a person or a machine; two parts are enough to know it.
    return filename if filename.startswith("<") else "/".join(re.split(r"[/\\]", filename)[-2:])


def _label_of_text(text: str, labels: Mapping[str, str]) -> str:
    """What the cell with that text is called, whichever kernel it was run in when a worker got its code."""
    for filename, label in labels.items():
        if (cell := CELL_BY_FILE.search(filename)) and cell[1] == text:
            return label
    return "a cell"


def place_of(frame: Frame, labels: Mapping[str, str]) -> str:
    """`Cell In[2], line 4`."""
    return f"{label_of(frame.filename, labels)}, line {frame.line}"


def last_own_frame(failure: Failure) -> Frame | None:
    """The innermost frame in the user's code; else the innermost of all, if there is any."""
    own = [frame for frame in failure.frames if frame.own]
    return own[-1] if own else (failure.frames[-1] if failure.frames else None)


# ---------------------------------------------------------------------------- one exception


def type_of(failure: Failure) -> str:
    """The exception's type as its author calls it."""
    return printable(failure.type).removeprefix("__main__.").removeprefix("builtins.") or "Exception"


def error_of(failure: Failure) -> str:
    """`TypeError: message`, all lines of the message."""
    message = printable(failure.message[:LONGEST_MESSAGE]).rstrip()
    if len(failure.message) > LONGEST_MESSAGE:
        message += " …"
    return f"{type_of(failure)}: {message}" if message else type_of(failure)


def failure_lines(
    failure: Failure, labels: Mapping[str, str], *, task: str = "", static: bool = False
) -> list[Line]:
    """The exception in IPython's style, causes first as Python prints them."""
    chain: list[Failure] = []
    link: Failure | None = failure
    while link is not None and len(chain) < MOST_CAUSES:
        chain.append(link)
        link = link.cause
    lines: list[Line] = []
    for link in reversed(chain):
        if lines:
            wording = CHAINED.get(link.cause_kind, CHAINED["cause"])
            lines += [Line("remark", ""), Line("remark", wording), Line("remark", "")]
        lines += exception_lines(link, labels, task=task, static=static)
    return lines


def exception_lines(failure: Failure, labels: Mapping[str, str], *, task: str, static: bool) -> list[Line]:
    """One link of a chain: shown frames, how many are hidden, type and message, notes."""
    shown = [
        frame
        for depth, frame in enumerate(failure.frames, start=1)
        if frame.own or depth == len(failure.frames)
    ]
    hidden = len(failure.frames) - len(shown)
    lines: list[Line] = []
    for frame in shown[: MOST_FRAMES // 2]:
        lines += frame_lines(frame, labels, task=task)
    rest = shown[MOST_FRAMES // 2 :]
    if len(shown) > MOST_FRAMES:
        rest = shown[-MOST_FRAMES // 2 :]
        lines.append(Line("remark", f"… {plural(len(shown) - MOST_FRAMES, 'more frame')} like these …"))
    for frame in rest:
        lines += frame_lines(frame, labels, task=task)
    if hidden and not static:
        lines.append(Line("remark", f"{plural(hidden, 'library frame')} hidden"))
    lines += [Line("error", text) for text in error_of(failure).split("\n")]
    notes = [printable(note[:LONGEST_MESSAGE]) for note in failure.notes]
    lines += [Line("error", text) for note in notes for text in note.split("\n")]
    return lines if not static else [Line(kind, without_addresses(text)) for kind, text in lines]


def frame_lines(frame: Frame, labels: Mapping[str, str], *, task: str = "") -> list[Line]:
    """Place, source with the arrow at its line, values of the names on that line."""
    inside = frame.qualname or frame.function
    # The header names the task already; a module's top level has no name worth telling.
    named = inside and inside not in (task, "<module>") and frame.function != task.rpartition(".")[2]
    place = place_of(frame, labels) + (f", in {inside}" if named else "")
    lines = [Line("place", place if frame.own or place.startswith("<") else f"File {place}")]
    lines += source_lines(frame)
    if frame.own:
        lines += [
            Line("value", f"{VALUE_INDENT}{name} = {one_line(value, 100)}")
            for name, value in frame.names[:MOST_NAMES]
        ]
    return lines


def source_lines(frame: Frame) -> list[Line]:
    """The failing line under IPython's arrow, two lines before it and what follows it."""
    at = frame.line - frame.first
    if not 0 <= at < len(frame.context):
        return []
    start = max(0, at - BEFORE)
    lines = []
    for offset, text in enumerate(frame.context[start : at + 1 + AFTER], start=start):
        source = printable(text[:LONGEST_LINE].expandtabs(4)).rstrip()
        if offset > at and (not source or is_definition(source)):
            break
        number = str(frame.first + offset)
        if offset == at:
            lines.append(Line("arrow", f"{arrow(NUMBER_WIDTH - len(number))}{number} {source}".rstrip()))
        else:
            lines.append(Line("source", f"{number:>{NUMBER_WIDTH}} {source}".rstrip()))
    return lines


def arrow(columns: int) -> str:
    """IPython's arrow: `----> ` before a number of one digit."""
    return "-" * (columns - 2) + "> " if columns >= 2 else ">" * columns


def is_definition(source: str) -> bool:
    """True where the next function or class begins: it says nothing about the line before it."""
    return source.lstrip().startswith(("def ", "class ", "async def ", "@", "%%"))


# ---------------------------------------------------------------------------- one failed job


def job_lines(
    job: FailedJob, labels: Mapping[str, str], *, static: bool = False, columns: int = COLUMNS - 2
) -> list[Line]:
    """The call, its trace or the sentence in place of one, and where it was started."""
    call = without_addresses(job.call) if static else job.call
    whole = f"{call} {job.where}".rstrip()
    lines = [Line("call", whole)]
    if len(whole) > columns and job.where:
        lines = [Line("call", call), Line("remark", job.where)]
    if job.failure is None:
        lines += [Line("error", text) for text in printable(job.error).split("\n")]
    else:
        lines += failure_lines(job.failure, labels, task=job.task, static=static)
    if job.last_output.strip():
        lines.append(Line("remark", "last output:"))
        said = as_on_screen(job.last_output).rstrip().split("\n")[-LAST_LINES:]
        lines += [Line("remark", f"  {text}") for text in said]
    if job.started_by:
        lines += [Line("remark", ""), Line("remark", f"started by {job.started_by}")]
    return lines


# ---------------------------------------------------------------------------- forms


def plain(lines: Iterable[Line], columns: int | None = None) -> list[str]:
    """The lines as text; longer ones are cut at `columns`."""
    return [line.text if columns is None else shorten(line.text, columns) for line in lines]


COLOURS = {"call": "1", "place": "32", "arrow": "1", "value": "36", "error": "31"}


def coloured(lines: Iterable[Line]) -> list[str]:
    """The lines with a few ANSI colours, as a terminal or a notebook's traceback shows them."""
    return [
        f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if kind in COLOURS and text else text for kind, text in lines
    ]
