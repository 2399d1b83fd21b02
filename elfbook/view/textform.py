"""A run in Unicode text of at most 80 columns: terminals, `text/plain`, logs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from elfbook.facts import State
from elfbook.view.failures import coloured, plain
from elfbook.view.groups import all_lines, summary_of
from elfbook.view.said import JobOutput
from elfbook.view.view import RunView, Step, failed_title
from elfbook.words import COLUMNS, count, duration, plural, shorten

INDENT = "  "
ROOM = COLUMNS - len(INDENT)
MOST_ROWS = 20
MOST_OUTPUTS = 8
"""Jobs whose output is shown; `%elf logs` shows the others'."""


def text(view: RunView) -> str:
    """The whole view, its parts in the order of the page."""
    parts: list[list[str]] = [wrap(f"{view.glyph} {view.title}", COLUMNS)]
    parts.append(indented(table_lines(view)))
    parts.append(indented(shorten(line, ROOM) for line in view.progress))
    parts.append(indented(wrap_all(view.reasons, ROOM)))
    if len(view.groups) > 1:
        parts.append(indented(wrap(summary_of(view.groups), ROOM)))
    failures = all_lines(view.groups, view.labels, flow=view.flow, static=view.static)
    # Source keeps its columns, as it does on screen; sentences are wrapped.
    parts.append(
        indented(
            piece
            for kind, line in failures
            for piece in (wrap(line, ROOM) if kind in ("error", "remark") else [shorten(line, ROOM)])
        )
    )
    parts.append(indented(wrap_all(view.skipped, ROOM)))
    for output in view.outputs[:MOST_OUTPUTS]:
        parts.append(indented(shorten(line, ROOM) for line in output_lines(output)))
    parts.append(indented([rest_of_outputs(view)] if rest_of_outputs(view) else []))
    parts.append(indented(step_lines(view.steps)))
    parts.append(indented(wrap_all([" · ".join(view.remarks)] if view.remarks else [], ROOM)))
    return "\n\n".join("\n".join(part) for part in parts if part)


def raised_lines(view: RunView, *, colour: bool = False) -> list[str]:
    """What follows `FlowFailed: ` where it is raised: how many, each failure, what to do next."""
    skipped = sum(row.counts[State.SKIPPED] for row in view.rows)
    more = f", {count(skipped)} skipped" if skipped else ""
    failures = all_lines(view.groups, view.labels, flow=view.flow, static=view.static)
    return [
        failed_title(view) + more,
        "",
        *(coloured(failures) if colour else plain(failures)),
        "",
        *view.skipped,
        *step_lines(view.steps),
    ]


def indented(lines: Iterable[str]) -> list[str]:
    return [f"{INDENT}{line}".rstrip() for line in lines]


def wrap(sentence: str, room: int) -> list[str]:
    """The sentence in lines of at most `room` columns."""
    if len(sentence) <= room:
        return [sentence]
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    return textwrap.wrap(sentence.strip(), room, initial_indent=lead, subsequent_indent=lead + INDENT)


def wrap_all(sentences: Iterable[str], room: int) -> list[str]:
    return [line for sentence in sentences for line in wrap(sentence, room)]


# ---------------------------------------------------------------------------- the table


def table(view: RunView) -> list[list[str]]:
    """Headings, then a row for each task; states that no job is in have no column."""
    order = (State.WAITING, State.RUNNING, State.DONE, State.FAILED, State.SKIPPED, State.CANCELLED)
    shown = [state for state in order if state is State.DONE or any(row.counts[state] for row in view.rows)]
    timed = any(row.median_s is not None for row in view.rows)
    cells = [["task", *map(str, shown), *(["median time"] if timed else [])]]
    for row in view.rows[:MOST_ROWS]:
        times = [duration(row.median_s) if row.median_s is not None else ""] if timed else []
        cells.append([shorten(row.task, 80), *(count(row.counts[state]) for state in shown), *times])
    return cells


def rest_of_rows(view: RunView) -> str:
    """`and 12 more tasks`; empty when the table has them all."""
    hidden = len(view.rows) - MOST_ROWS
    return f"and {plural(hidden, 'more task')}" if hidden > 0 else ""


def table_lines(view: RunView) -> list[str]:
    """The table in columns."""
    cells = table(view)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = sum(widths[1:]) + 2 * (len(widths) - 1)
    widths[0] = min(widths[0], COLUMNS - len(INDENT) - numbers)
    lines = [
        "  ".join([shorten(row[0], widths[0]).ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in cells
    ]
    return lines + ([rest_of_rows(view)] if rest_of_rows(view) else [])


# ---------------------------------------------------------------------------- smaller parts


def output_lines(output: JobOutput) -> list[str]:
    """What a job printed, under its name; a name for each figure."""
    head = [f"output of {output.label}:"] if output.lines else []
    return [*head, *(INDENT + line for line in output.last_lines), *output.captions]


def rest_of_outputs(view: RunView) -> str:
    """Where the output of the jobs is that are not shown; empty when all are."""
    hidden = len(view.outputs) - MOST_OUTPUTS
    return f"{plural(hidden, 'more job')} with output:  %elf logs {view.reference}/JOB" if hidden > 0 else ""


def step_lines(steps: Sequence[Step]) -> list[str]:
    """`next: correct the cell, then  %elf retry party`, a second step below the first."""
    width = max((len(step.why) for step in steps), default=0)
    narrow = all(len(f"next: {step.why:<{width}}  {step.words}") <= ROOM for step in steps)
    lines = []
    for number, step in enumerate(steps):
        lead = "next:" if number == 0 else "     "
        # The words are there to be copied: they are never cut, rather moved to a line of their own.
        lines += (
            [f"{lead} {step.why:<{width}}  {step.words}"]
            if narrow
            else [f"{lead} {step.why}", f"  {step.words}"]
        )
    return lines
