"""A run as one self-contained HTML document: to keep, to send, to print. No scripts, no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from elfbook.facts import Failed, Lost, State, Stored, Succeeded
from elfbook.log.fold import RunState
from elfbook.model import Manifest, Revision, Struct
from elfbook.view.outline import job_label, task_name
from elfbook.view.page import (
    details,
    failure_parts,
    figure_html,
    lines_html,
    paragraph,
    picture_html,
    pre,
    rest_of_title,
    safe,
    steps_html,
    table_html,
)
from elfbook.view.view import RunView
from elfbook.view.waiting import why
from elfbook.words import GLYPHS, count, duration, listing, one_line, printable

STYLE = """\
:root { color-scheme: light dark; --ink: #1b1b1b; --page: #fff; --soft: #f3f3f3; --rule: #ccc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #161616; --soft: #242424; --rule: #555; }
}
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--rule); padding: .2rem .7rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
pre, code { background: var(--soft); font-family: ui-monospace, monospace; font-size: 13px; }
pre { overflow-x: auto; padding: .6rem .8rem; }
td:not(:last-child) { white-space: nowrap; }
img { height: auto; max-width: 100%; }
summary { cursor: pointer; font-weight: 600; }
"""


LONG = 200
"""Rows beyond which a table opens on demand only."""


class JobLine(Struct, frozen=True):
    """One row of the table of all jobs."""

    job: str
    task: str
    state: State
    attempts: int
    elapsed_s: float | None
    worker: str
    said: str
    """Preview of its value, how it failed, or why it waits."""


def job_table(state: RunState) -> tuple[JobLine, ...]:
    """Every job in the order of the graph."""
    return tuple(job_line(state, job) for job in range(len(state.jobs)))


def job_line(state: RunState, job: int) -> JobLine:
    """One job as it stands."""
    spec, now = state.graph.jobs[job], state.jobs[job]
    elapsed_s = None
    match now.event:
        case Succeeded(value=value, elapsed_s=elapsed_s):
            said = value.preview
        case Failed(failure=failure, elapsed_s=elapsed_s):
            said = f"{failure.type}: {failure.message}"
        case Lost(why=said):
            pass
        case _ if now.state is State.SKIPPED and now.because is not None:
            said = f"because of {job_label(state.graph.jobs[now.because])}"
        case _:
            said = why(state, job)
    return JobLine(
        job=job_label(spec),
        task=task_name(state.graph, spec),
        state=now.state,
        attempts=attempts(now.history) + (now.state is State.RUNNING),
        elapsed_s=elapsed_s,
        worker=now.worker,
        said=one_line(said, 160),
    )


def attempts(history: Sequence[Stored]) -> int:
    """How many attempts were made."""
    return sum(isinstance(stored.event, Succeeded | Failed | Lost) for stored in history)


def whole_page(view: RunView, state: RunState, manifest: Manifest, revisions: Sequence[Revision] = ()) -> str:
    """The document: what the settled page has, and every job, failure, output and line of code."""
    title = f"{view.glyph} flow {view.flow}"
    body = [
        f"<h1>{safe(title)}</h1>",
        paragraph(rest_of_title(view).removeprefix(": ")),
        paragraph(safe(" · ".join(view.remarks))),
        lines_html(view.reasons),
        picture_html(view),
        section("Tasks", table_html(view)),
        section("Failures", *(part.html for part in failure_parts(view, len(view.groups)))),
        lines_html(view.skipped),
        steps_html(view),
        section("Output", *outputs_html(view)),
        section("Jobs", jobs_html(job_table(state))),
        section("Code", *code_html(manifest, revisions)),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{safe(title)}</title>",
            f"<style>\n{STYLE}</style></head><body>",
            *(part for part in body if part),
            "</body></html>\n",
        ]
    )


def section(title: str, *html: str) -> str:
    """A heading and what is under it; nothing when nothing is."""
    inside = "\n".join(part for part in html if part)
    return f"<h2>{escape(title)}</h2>\n{inside}" if inside else ""


def outputs_html(view: RunView) -> list[str]:
    """All that the jobs printed and drew."""
    parts: list[str] = []
    for output in view.outputs:
        if output.lines:
            parts.append(details(f"output of {output.label}:", pre(output.lines), opened=True))
        figures = zip(output.figures, output.captions, strict=True)
        parts += [figure_html(figure, caption) for figure, caption in figures]
    return parts


def jobs_html(lines: Sequence[JobLine]) -> str:
    """The table of all jobs, closed when it is long."""
    heads = ("job", "task", "state", "attempts", "time", "worker", "value or reason")
    rows = [
        f'<tr><th scope="row">{safe(line.job)}</th><td>{safe(line.task)}</td>'
        f"<td>{GLYPHS[line.state]} {line.state}</td><td>{count(line.attempts)}</td>"
        f"<td>{duration(line.elapsed_s) if line.elapsed_s is not None else ''}</td>"
        f"<td>{safe(line.worker)}</td><td>{safe(line.said)}</td></tr>"
        for line in lines
    ]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    table = "\n".join([f"<table><thead><tr>{head}</tr></thead><tbody>", *rows, "</tbody></table>"])
    return details(f"{count(len(lines))} jobs", table, opened=len(lines) <= LONG) if lines else ""


def code_html(manifest: Manifest, revisions: Sequence[Revision]) -> list[str]:
    """The flow's cell and the code of each elf, each text once."""
    parts = []
    if manifest.origin.text:
        summary = f"flow {manifest.flow} {manifest.origin.cell}".strip()
        parts.append(details(summary, numbered(manifest.origin.text)))
    users: dict[tuple[str, str], list[str]] = {}
    for revision in revisions:
        for piece in revision.pieces:
            users.setdefault((piece.label or piece.filename, piece.text), []).append(revision.elf)
    for (label, text), elves in users.items():
        parts.append(details(f"{label}, used by {listing(dict.fromkeys(elves))}", numbered(text)))
    return parts


def numbered(text: str) -> str:
    """Source with the line numbers that tracebacks name."""
    lines = printable(text.expandtabs(4)).rstrip("\n").split("\n")
    width = len(str(len(lines)))
    return pre(f"{number:>{width}} {line}" for number, line in enumerate(lines, start=1))
