"""What a board or a magic has done to a run, in the sentence that both of them show."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from elfbook.errors import ElfbookError
from elfbook.facts import State
from elfbook.view.messages import Act, Answer
from elfbook.view.view import title_of
from elfbook.words import plural

if TYPE_CHECKING:
    from elfbook.notebook.runs import Run

log = logging.getLogger("elfbook")


def answer(run: Run, act: Act) -> Answer:
    """The act is done, or could not be; never raises."""
    try:
        return Answer(act.id, done(run, act), ok=True)
    except ElfbookError as error:
        return Answer(act.id, f"{error}. {error.hint}".strip() if error.hint else str(error), ok=False)
    except Exception as error:
        # Code of the user's cells is read for a retry; what it raises belongs to whoever clicked.
        log.exception("%s of flow %s, asked by its board, failed", act.verb, run.flow)
        return Answer(act.id, f"{type(error).__name__}: {error}", ok=False)


def done(run: Run, act: Act) -> str:
    """What came of it."""
    jobs = [job for job in act.jobs if 0 <= job < len(run)]
    if act.jobs and not jobs:
        return f"flow {run.flow} has no such job"
    match act.verb:
        case "cancel":
            return cancelled(run, run._notebook.cancel(run, act.why, jobs or None))
        case "retry":
            return reopened(run, run._notebook.retry(run, jobs or None))
        case "pause":
            return paused(run, run._notebook.pause(run, act.why))
        case "resume":
            return resumed(run, run._notebook.resume(run))
    raise ElfbookError(f"{act.verb} cannot be asked of flow {run.flow}")


def cancelled(run: Run, number: int) -> str:
    """`cancelled 3 jobs of flow party; what was done is kept`."""
    if not number:
        return f"nothing to cancel: {title_of(run.flow, run.state)}"
    return f"cancelled {plural(number, 'job')} of flow {run.flow}; what was done is kept"


def reopened(run: Run, number: int) -> str:
    """`2 jobs of flow party run again`."""
    if not number:
        return f"nothing to retry: {title_of(run.flow, run.state)}"
    said = f"{plural(number, 'job')} of flow {run.flow} {'runs' if number == 1 else 'run'} again"
    return f"{said} once it goes on:  %elf resume {run.flow}" if run.state.paused else said


def paused(run: Run, changed: bool) -> str:
    """`paused flow party: 2 jobs that have begun go on; resume it with  %elf resume party`."""
    if run.settled:
        return f"nothing to pause: {title_of(run.flow, run.state)}"
    running = run.state.counts[State.RUNNING]
    verbs = "has begun goes on" if running == 1 else "have begun go on"
    begun = f": {plural(running, 'job')} that {verbs}" if running else ""
    first = f"paused flow {run.flow}" if changed else f"flow {run.flow} is paused already"
    return f"{first}{begun}.  %elf resume {run.reference}  lets it go on"


def resumed(run: Run, changed: bool) -> str:
    """`flow party goes on`."""
    if not changed:
        return f"not paused: {title_of(run.flow, run.state)}"
    return f"flow {run.flow} " + ("is not paused any more" if run.settled else "goes on")
