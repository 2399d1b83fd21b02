"""The verbs that let a run rest and go on."""

from __future__ import annotations

from elfbook.errors import ElfUsageError
from elfbook.notebook import acts
from elfbook.notebook.notebook import Notebook, current
from elfbook.notebook.runs import Run
from elfbook.notebook.verbs import Said, find


def pause(x: str, why: str = "", *, notebook: Notebook | None = None) -> Said:
    """Nothing more of the run is offered to workers; what they have taken goes on."""
    notebook = notebook or current()
    run = run_of(x, "paused", notebook)
    return Said(acts.paused(run, notebook.pause(run, why)), run)


def resume(x: str, *, notebook: Notebook | None = None) -> Said:
    """What is due of the run is offered again."""
    notebook = notebook or current()
    run = run_of(x, "resumed", notebook)
    return Said(acts.resumed(run, notebook.resume(run)), run)


def run_of(x: str, done: str, notebook: Notebook) -> Run:
    """The run that the text names; ElfUsageError for a job or a worker."""
    found = find(x, notebook=notebook)
    if isinstance(found, Run):
        return found
    raise ElfUsageError(f"`{x}` is no run; only a whole run can be {done}", hint="See  %elf runs")
