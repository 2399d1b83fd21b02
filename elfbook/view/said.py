"""What jobs printed and displayed, as text and images under each job's name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from elfbook.model import Graph, Output, Struct
from elfbook.view.outline import job_label
from elfbook.words import as_on_screen, plural, without_addresses

MOST_LINES = 20
"""Of a job's output on a short page; the last ones are the ones that matter."""

LONGEST_LINE = 500
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
"""What a page may show of a worker's display. HTML is not among it: it could carry a script."""

BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


class Figure(Struct, frozen=True):
    """One image that a job displayed."""

    mime: str
    data: str
    """Base64, or the text of an SVG."""


class JobOutput(Struct, frozen=True):
    """What the last attempt of one job showed."""

    job: int
    label: str
    lines: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of what it printed, for pages that are short."""
        hidden = len(self.lines) - MOST_LINES
        if hidden <= 0:
            return self.lines
        return (f"… {plural(hidden, 'earlier line')}", *self.lines[-MOST_LINES:])

    @property
    def captions(self) -> tuple[str, ...]:
        """A name for each figure: `figure of task_plot[0]`, numbered when there are several."""
        if len(self.figures) == 1:
            return (f"figure of {self.label}",)
        return tuple(f"figure {number} of {self.label}" for number in range(1, len(self.figures) + 1))


def outputs_of(outputs: Iterable[Output], graph: Graph, *, static: bool = False) -> tuple[JobOutput, ...]:
    """One entry for each job that showed something, in the order of the graph."""
    of_job: dict[int, list[Output]] = {}
    for output in outputs:
        said = of_job.setdefault(output.job, [])
        if said and said[-1].attempt < output.attempt:
            said.clear()
        if not said or said[-1].attempt == output.attempt:
            said.append(output)
    shown = [job_output(job, job_label(graph.jobs[job]), of_job[job], static) for job in sorted(of_job)]
    return tuple(output for output in shown if output.lines or output.figures)


def job_output(job: int, label: str, outputs: Iterable[Output], static: bool) -> JobOutput:
    """The outputs of one attempt as lines and figures."""
    text: list[str] = []
    figures: list[Figure] = []
    for output in outputs:
        if output.kind in ("stdout", "stderr"):
            text.append(output.text)
        elif output.kind == "display":
            figure = figure_in(output.bundle)
            if figure is not None:
                figures.append(figure)
            elif output.bundle.get("text/plain"):
                text.append(as_block(text, output.bundle["text/plain"]))
    shown = as_on_screen("".join(text)).rstrip()
    lines = [line[:LONGEST_LINE] for line in shown.split("\n")] if shown else []
    if static:
        lines = [without_addresses(line) for line in lines]
    return JobOutput(job, label, tuple(lines), tuple(figures))


def as_block(before: list[str], text: str) -> str:
    """The text on lines of its own."""
    return ("\n" if before and not before[-1].endswith("\n") else "") + text + "\n"


def figure_in(bundle: dict[str, str]) -> Figure | None:
    """The image of a display; None when it has none that is what it claims to be."""
    for mime in IMAGES:
        data = bundle.get(mime, "")
        if mime == "image/svg+xml" and data:
            return Figure(mime, data)
        if data and BASE64.fullmatch(data):
            return Figure(mime, "".join(data.split()))
    return None
