"""What a board or a magic has done to a run, in the sentence that both of them show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfbook.client.outward import told
from elfbook.errors import ElfbookError
from elfbook.view import acted
from elfbook.view.messages import Act, Answer

if TYPE_CHECKING:
    from elfbook.notebook.runs import Run


def answer(run: Run, act: Act) -> Answer:
    """The act is done, or could not be; never raises."""
    try:
        return Answer(act.id, done(run, act), ok=True)
    except Exception as error:
        # Code of the user's cells is read for a retry; what it raises belongs to whoever clicked.
        words = told(error, f"{act.verb} of flow {run.flow}, asked by its board,")
        return Answer(act.id, words, ok=False)


def done(run: Run, act: Act) -> str:
    """What came of it."""
    jobs = acted.chosen(run.flow, run.state, act.jobs)
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
    """So many of its jobs were cancelled."""
    return acted.cancelled(run.flow, run.state, number)


def reopened(run: Run, number: int) -> str:
    """So many of its jobs wait to run again."""
    return acted.reopened(run.flow, run.state, number, run.reference)


def paused(run: Run, changed: bool) -> str:
    """It rests."""
    return acted.paused(run.flow, run.state, changed, run.reference)


def resumed(run: Run, changed: bool) -> str:
    """It goes on."""
    return acted.resumed(run.flow, run.state, changed)
