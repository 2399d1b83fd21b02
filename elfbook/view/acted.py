"""What a magic, a board or a panel has done to a run, in the sentence that all of them show."""

from __future__ import annotations

from collections.abc import Collection

from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.facts import State
from elfbook.log.fold import RunState
from elfbook.view.view import title_of
from elfbook.words import plural


def chosen(flow: str, state: RunState, jobs: Collection[int]) -> list[int]:
    """Those of the named jobs that there are, ascending; none named stands for the whole run.

    ElfUsageError when none of them is there.
    """
    found = sorted(job for job in set(jobs) if 0 <= job < len(state.jobs))
    if jobs and not found:
        raise ElfUsageError(f"flow {flow} has no such job", hint=f"See  %elf show {flow}")
    return found


def cancelled(flow: str, state: RunState, number: int) -> str:
    """`cancelled 3 jobs of flow party; what was done is kept`."""
    if not number:
        return f"nothing to cancel: {title_of(flow, state)}"
    return f"cancelled {plural(number, 'job')} of flow {flow}; what was done is kept"


def reopened(flow: str, state: RunState, number: int, reference: str) -> str:
    """`2 jobs of flow party run again`; `reference` is what `%elf` calls the run."""
    if not number:
        return f"nothing to retry: {title_of(flow, state)}"
    said = f"{plural(number, 'job')} of flow {flow} {'runs' if number == 1 else 'run'} again"
    return f"{said} once it goes on:  %elf resume {reference}" if state.paused else said


def paused(flow: str, state: RunState, changed: bool, reference: str) -> str:
    """`paused flow party: 2 jobs that have begun go on.  %elf resume party  lets it go on`."""
    if state.settled:
        return f"nothing to pause: {title_of(flow, state)}"
    running = state.counts[State.RUNNING]
    verbs = "has begun goes on" if running == 1 else "have begun go on"
    begun = f": {plural(running, 'job')} that {verbs}" if running else ""
    first = f"paused flow {flow}" if changed else f"flow {flow} is paused already"
    return f"{first}{begun}.  %elf resume {reference}  lets it go on"


def resumed(flow: str, state: RunState, changed: bool) -> str:
    """`flow party goes on`."""
    if not changed:
        return f"not paused: {title_of(flow, state)}"
    return f"flow {flow} " + ("is not paused any more" if state.settled else "goes on")


def in_words(error: ElfbookError) -> str:
    """The error and its next step."""
    return f"{error}. {error.hint}".strip() if error.hint else str(error)
