"""What a notebook shows of its runs: a view's words, with what only the notebook knows put in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elfbook.errors import FlowFailed
from elfbook.facts import Failed, Lost, State
from elfbook.model import Failure, Output
from elfbook.view import failures
from elfbook.view.board import identity
from elfbook.view.drawing import digraph, dot_svg
from elfbook.view.endings import failed_job
from elfbook.view.failures import coloured
from elfbook.view.outline import job_label
from elfbook.view.page import page, paragraph, pre, safe
from elfbook.view.picture import svg
from elfbook.view.report import whole_page
from elfbook.view.said import IMAGES, outputs_of
from elfbook.view.textform import output_lines, raised_lines, text
from elfbook.view.view import Known, RunView, labels_of, look, summary
from elfbook.words import GLYPHS, one_line

if TYPE_CHECKING:
    import graphviz

    from elfbook.notebook.runs import Run, Watched

RUN = "application/vnd.elfbook.run.v1+json"
"""Which run an output shows. JupyterLab's extension draws its live board there; the rest of the bundle is
what the file keeps, and what all others show."""

Bundle = dict[str, str]


def view_of(run: Run, static: bool | None = None) -> RunView:
    """The run as it stands; in the notebook's own form unless `static` says which."""
    notebook, watched = run._notebook, run.watched
    static = notebook.mode == "static" if static is None else static
    known = Known(
        reference=run.reference,
        revisions=tuple(watched.revisions.values()),
        outputs=told_by(watched),
        versions=notebook.roster.versions(),
        result=run.result_preview(),
        durability="" if static else run.durability,
        workers=None if static else notebook.workers_now,
        situation=None if static or run.local else notebook.situation,
        now=None if static else time.time(),
        progress={} if static else watched.progress(),
    )
    drawn, alt = run.picture or (None, "")
    view = look(watched.manifest, watched.state, known, static=static, drawn=drawn, alt=alt)
    run.picture = view.drawn, view.alt
    # A run in this kernel is in no store: there is nothing to retry.
    return replace(view, steps=()) if run.local else view


def told_by(watched: Watched) -> tuple[Output, ...]:
    """What the run's jobs have printed and displayed, job by job."""
    return tuple(output for job in sorted(watched.outputs) for output in watched.outputs[job])


def bundle_of(view: RunView) -> Bundle:
    """The settled page and the same words as text.

    The static form has its figures beside the page (`figures_of`), not inside: a picture's bytes
    depend on the versions of libraries, and a page is compared word by word.
    """
    return {"text/plain": text(view), "text/html": page(view, figures=not view.static)}


def figures_of(view: RunView) -> list[Bundle]:
    """The figures of a run's jobs, each an output of its own under the job's name."""
    return [
        {figure.mime: figure.data, "text/plain": caption}
        for said in view.outputs
        for caption, figure in zip(said.captions, said.figures, strict=True)
    ]


def bundle(run: Run) -> Bundle:
    """The run's page and text as it stands."""
    return bundle_of(run.look())


def output(run: Run) -> dict[str, Any]:
    """An output that shows the run: its page, and where somebody watches also which run it is."""
    page = bundle(run)
    return {RUN: pointer(run), **page} if run._notebook.is_live and not run.local else page


def pointer(run: Run, *, line: bool = False) -> dict[str, Any]:
    """What an output has under RUN; `line` when the output before it is a line about it."""
    told = {"run": run.manifest.run, "id": identity(run.manifest), "settled": run.settled}
    return told | {"line": True} if line else told


def mark(run: Run) -> dict[str, dict[str, str | int]]:
    """What a file keeps beside each output: which run it shows. Nothing for a run that is in no store."""
    if run.local:
        return {}
    return {"elfbook": {"run": run.manifest.run, "flow": run.flow, "number": run.number}}


def preformatted(words: str) -> str:
    """The same words as HTML."""
    return f"<div>{pre(words.splitlines())}</div>"


def with_note(html: str, note: str) -> str:
    """The page with a sentence at its end."""
    return f"{html.removesuffix('</div>')}\n{paragraph(safe(note))}</div>"


def report(run: Run) -> str:
    """One self-contained HTML page about the run."""
    return whole_page(run.look(static=False), run.state, run.manifest, tuple(run.watched.revisions.values()))


def flow_failed(run: Run, jobs: Iterable[int] | None = None) -> FlowFailed:
    """The exception for a run with failures, or for some of its jobs."""
    view = run.look()
    if jobs is not None:
        job = next(iter(jobs))
        shown = failed_job(run.state, job, run.manifest, view.labels, static=view.static)
        lines = coloured(failures.job_lines(shown, view.labels, static=view.static))
        message = f"{run.flow}/{job_label(run.plan.jobs[job])} failed: {one_line(shown.error)}"
        return FlowFailed(message, lines=(f"FlowFailed: {message}", "", *lines))
    message = summary(view)
    lines = raised_lines(view)
    return FlowFailed(message, lines=(f"FlowFailed: {lines[0]}", *lines[1:]))


def trace(run: Run, job: int) -> str:
    """A failed job's traceback as text; empty for a job that did not fail."""
    if not isinstance(run.state.jobs[job].event, Failed | Lost):
        return ""
    names = labels(run)
    shown = failed_job(run.state, job, run.manifest, names, static=False)
    return "\n".join(failures.plain(failures.job_lines(shown, names)))


def labels(run: Run) -> dict[str, str]:
    """File names in tracebacks to what people call them."""
    return labels_of(run.watched.revisions.values())


def error_line(failure: Failure) -> str:
    """Type and message in one line."""
    return failures.error_of(failure)


def glyph(state: State) -> str:
    """The state as one character."""
    return GLYPHS[state]


class Picture:
    """A run's graph with the states of its jobs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def to_graphviz(self) -> graphviz.Digraph:
        """The picture as the `graphviz` package describes it."""
        view = self._run.look()
        return digraph(view.drawn, view.tallies, self._run.flow)

    def _repr_svg_(self) -> str:
        view = self._run.look()
        return dot_svg(self.to_graphviz().source) or svg(view.drawn, view.tallies)

    def __repr__(self) -> str:
        return self._run.look().alt


def plain_of(bundle: Mapping[str, str]) -> str:
    """A display's text; nothing for a figure, which is shown as one."""
    return "" if any(mime in bundle for mime in IMAGES) else bundle.get("text/plain", "")


class Logs:
    """What jobs printed and displayed, each job's under its name."""

    def __init__(self, run: Run, jobs: Iterable[int]) -> None:
        self._run = run
        self._jobs = list(jobs)

    def _outputs(self) -> Iterator[tuple[int, list[Output]]]:
        outputs: Mapping[int, list[Output]] = self._run.watched.outputs
        for job in self._jobs:
            if outputs.get(job):
                yield job, list(outputs[job])

    @property
    def text(self) -> str:
        """All that was printed, whole, of every attempt."""
        return "".join(
            output.text or plain_of(output.bundle) for _, said in self._outputs() for output in said
        )

    def bundles(self) -> Iterator[Bundle]:
        """What was displayed, in order, as MIME bundles."""
        for _, said in self._outputs():
            for output in said:
                if output.bundle:
                    yield output.bundle

    def __repr__(self) -> str:
        if len(self._jobs) == 1:
            return self.text.rstrip("\n") or "nothing was printed"
        said = [output for _, outputs in self._outputs() for output in outputs]
        lines = [line for entry in outputs_of(said, self._run.plan) for line in output_lines(entry)]
        return "\n".join(lines) or "nothing was printed"

    def _repr_html_(self) -> str:
        return preformatted(repr(self))
