"""One job as a board shows it when it is opened: all that is known of it, and what it has printed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from elfbook.code import cells
from elfbook.facts import Cancelled, Failed, Lost, Skipped, State, Stored, Succeeded
from elfbook.log.fold import JobNow, RunState
from elfbook.model import Manifest, Output, Parameter, Revision
from elfbook.view.arguments import arguments
from elfbook.view.endings import failed_job
from elfbook.view.failures import error_of, job_lines
from elfbook.view.messages import Attempt, Detail, Line, Printed, Said, Source
from elfbook.view.outline import job_label, task_name
from elfbook.view.view import Known, digest_used, labels_of
from elfbook.view.waiting import why
from elfbook.words import one_line, printable, written_over

MOST_SOURCE = 64_000
"""Characters of source that go to a page."""
MOST_PRINTED = 64_000
"""Characters of a Printed: a page that takes more at once stutters."""
MOST_DISPLAYED = 4_000_000
"""Characters of the displays in a Printed; earlier ones are told by their text."""


@dataclass(frozen=True, slots=True)
class Code:
    """What is known of the code besides the run itself."""

    revisions: Mapping[str, Revision]
    cells: Mapping[str, str] = field(default_factory=dict)
    """Ids of the notebook's cells by their labels."""


def detail(manifest: Manifest, state: RunState, job: int, code: Code, known: Known) -> Detail:
    """The job as it stands."""
    spec, now = state.graph.jobs[job], state.jobs[job]
    use, digest = state.graph.elves[spec.elf], digest_used(state, job)
    revision = code.revisions.get(digest)
    version = known.versions.get(digest)
    value = now.event.value if isinstance(now.event, Succeeded) else None
    cell = manifest.origin.cell
    return Detail(
        job=job,
        label=job_label(spec),
        task=task_name(state.graph, spec),
        state=now.state.value,
        reason=printable(reason(state, job, known)),
        attempts=tuple(attempts(now.history)),
        attempt=now.attempt,
        worker=printable(now.worker),
        started_at=now.started_at,
        ended_at=now.ended_at,
        arguments=previews(state, job, parameters_of(revision, spec.task)),
        result=printable(value.preview) if value is not None else "",
        size=value.size if value is not None else 0,
        revision=f"{use.elf} v{version}" if version else f"{use.elf} {digest[:8]}",
        source=tuple(sources(revision, spec.task, code.cells)),
        lines=failure_lines(manifest, state, job, code.revisions),
        called_at=f"{cell}, line {spec.line}" if cell and spec.line else "",
    )


def reason(state: RunState, job: int, known: Known) -> str:
    """Why it waits; why it was skipped or cancelled."""
    now = state.jobs[job]
    match now.event:
        case Skipped(because=because) if now.state is State.SKIPPED:
            return f"because of {job_label(state.graph.jobs[because])}"
        case Cancelled(why=said) if now.state is State.CANCELLED:
            return said
    return why(state, job, known.now or 0.0, known.workers, known.situation)


def attempts(history: Sequence[Stored]) -> Iterator[Attempt]:
    """How its attempts ended, in order. Of jobs claimed together the log does not number them."""
    number = 0
    for stored in history:
        event = stored.event
        if not isinstance(event, Succeeded | Failed | Lost):
            continue
        number = event.attempt or number + 1
        match event:
            case Succeeded(elapsed_s=elapsed_s):
                outcome, error = "succeeded", ""
            case Failed(elapsed_s=elapsed_s):
                outcome, error = event.outcome, one_line(error_of(event.failure))
            case Lost():
                outcome, error, elapsed_s = "lost", one_line(event.why), None
        yield Attempt(number, outcome, printable(event.worker), stored.at, elapsed_s, error)


def failure_lines(
    manifest: Manifest, state: RunState, job: int, revisions: Mapping[str, Revision]
) -> tuple[Line, ...]:
    """The traceback of its last attempt, if that ended badly."""
    now: JobNow = state.jobs[job]
    if not isinstance(now.event, Failed | Lost):
        return ()
    labels = labels_of(revisions.values())
    told = failed_job(state, job, manifest, labels, static=False)
    return tuple(Line(kind, text) for kind, text in job_lines(told, labels))


def previews(state: RunState, job: int, parameters: Sequence[Parameter]) -> tuple[tuple[str, str], ...]:
    """Its arguments, name and preview."""
    spec = state.graph.jobs[job]
    if not spec.arguments:
        return ()
    blobs = {ref.digest: ref.preview for ref in spec.blobs}
    found = arguments(spec.arguments, parameters, lambda other: job_label(state.graph.jobs[other]), blobs)
    return tuple((name, printable(words)) for name, words in found)


# ---------------------------------------------------------------------------- source


def parameters_of(revision: Revision | None, task: str) -> tuple[Parameter, ...]:
    tasks = revision.tasks if revision is not None else ()
    return next((each.parameters for each in tasks if each.name == task), ())


def sources(revision: Revision | None, task: str, ids: Mapping[str, str]) -> Iterator[Source]:
    """The task itself, then all that it may reach, as far as there is room."""
    if revision is None:
        return
    room = MOST_SOURCE
    line = next((each.line for each in revision.tasks if each.name == task), 0)
    own = next((piece for piece in revision.pieces if piece.label == revision.label), None)
    spans = [(piece, first, last) for piece in revision.pieces for first, last in piece.lines]
    if own is not None and line:
        spans.insert(0, (own, *method_at(own.text, line)))
    for piece, first, last in spans:
        text = "\n".join(piece.text.split("\n")[first - 1 : last])
        if len(text) > room:
            return
        room -= len(text)
        yield Source(printable(piece.label), first, printable(text), ids.get(piece.label, ""))


@lru_cache(maxsize=64)
def method_at(text: str, line: int) -> tuple[int, int]:
    """First and last line of the function that begins there; the line itself if none does."""
    try:
        found = ast.walk(cells.read(text))
    except SyntaxError:
        return line, line
    spans = (cells.span(node) for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return next(((first, last) for first, last in spans if first <= line <= last), (line, line))


# ---------------------------------------------------------------------------- output


def printed(job: int, outputs: Sequence[Output], start: int) -> Printed:
    """What comes from piece number `start` on: its end, if it is too much for one message."""
    kept: list[Said] = []
    room, bulk, skipped, first = MOST_PRINTED, MOST_DISPLAYED, 0, len(outputs)
    for number in range(len(outputs) - 1, start - 1, -1):
        said = piece(outputs[number], bulk)
        bulk -= size(said)
        if len(said.text) > room:
            skipped = sum(len(piece(output, 0).text) for output in outputs[start:number])
            skipped += len(said.text) - room
            if room:
                kept.append(Said(said.stream, said.attempt, said.text[-room:]))
                first = number
            break
        kept.append(said)
        room, first = room - len(said.text), number
    return Printed(job, first, tuple(reversed(kept)), skipped)


def piece(output: Output, bulk: int) -> Said:
    """One output as a page gets it; a display larger than `bulk` as its text."""
    if output.kind in ("stdout", "stderr"):
        # A return at the beginning writes over what the piece before it has left.
        lead = "\r" if output.text.startswith("\r") else ""
        return Said(output.kind, output.attempt, lead + written_over(output.text))
    said = Said("display", output.attempt, bundle=output.bundle)
    text = (output.text or output.bundle.get("text/plain", ""))[:MOST_PRINTED]
    return Said("display", output.attempt, text, said.bundle if size(said) <= bulk else {})


def size(said: Said) -> int:
    """Characters of a display."""
    return sum(map(len, said.bundle.values()))
