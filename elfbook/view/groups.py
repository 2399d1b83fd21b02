"""Failures of many jobs: each distinct one once, with how often it happened and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from elfbook.model import Struct
from elfbook.view.failures import FailedJob, Line, job_lines, last_own_frame, place_of, type_of
from elfbook.words import count, listing, one_line, plural, shorten, without_addresses

MOST_GROUPS = 3
"""Distinct failures shown with their trace; the others are counted."""

MOST_NUMBERS = 10
"""Jobs of one group that are named by their number."""


class FailureGroup(Struct, frozen=True):
    """Jobs that failed with the same type of exception at the same line."""

    type: str
    first: FailedJob
    count: int
    tasks: tuple[str, ...]
    """Names of the tasks, without repeats, in the order of their jobs."""
    numbers: tuple[str, ...]
    """The first jobs' `[17]`."""

    @property
    def title(self) -> str:
        """`task_parse × 37`; the job's label where it is only one."""
        return group_title(self.count, self.tasks, self.first.label)


def group_title(number: int, tasks: Sequence[str], first: str) -> str:
    """`task_parse × 37`; of one job its label, `task_parse[3]`."""
    return first if number == 1 else f"{listing(tasks, most=3)} × {count(number)}"


def grouped(failed: Iterable[FailedJob], labels: Mapping[str, str]) -> tuple[FailureGroup, ...]:
    """One group for each type of exception at each line; the largest first, then the earliest."""
    together: dict[tuple[str, str], list[FailedJob]] = {}
    for job in sorted(failed, key=lambda job: job.job):
        together.setdefault(group_key(job, labels), []).append(job)
    groups = [
        FailureGroup(
            type=kind,
            first=jobs[0],
            count=len(jobs),
            tasks=tuple(dict.fromkeys(job.task.rpartition(".")[2] for job in jobs)),
            numbers=tuple(job.number for job in jobs[:MOST_NUMBERS]),
        )
        for (kind, _), jobs in together.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.first.job)))


def group_key(job: FailedJob, labels: Mapping[str, str]) -> tuple[str, str]:
    """Type and place, which tell two failures apart; messages often differ by an input only."""
    if job.failure is None:
        return (job.error.partition(":")[0], job.task)
    frame = last_own_frame(job.failure)
    return (type_of(job.failure), place_of(frame, labels) if frame else job.task)


def group_lines(
    group: FailureGroup, labels: Mapping[str, str], *, flow: str, static: bool = False
) -> list[Line]:
    """The first job's trace; for several jobs also how many, their numbers, where to find all."""
    lines = job_lines(group.first, labels, static=static)
    if group.count > 1:
        more = " …" if group.count > len(group.numbers) else ""
        lines += [
            Line("remark", ""),
            Line("remark", f"{group.title}: inputs {', '.join(group.numbers)}{more}"),
        ]
        if more:
            lines.append(Line("remark", f"all in  {flow}.failed"))
    return lines


def all_lines(
    groups: Sequence[FailureGroup], labels: Mapping[str, str], *, flow: str, static: bool = False
) -> list[Line]:
    """At most three distinct failures with a trace each; one line counts the others."""
    lines: list[Line] = []
    for group in groups[:MOST_GROUPS]:
        if lines:
            lines.append(Line("remark", ""))
        lines += group_lines(group, labels, flow=flow, static=static)
    if remainder := rest_of(groups):
        lines += [Line("remark", ""), Line("remark", remainder)]
    return lines


def rest_of(groups: Sequence[FailureGroup]) -> str:
    """`and 2 more kinds of failure: KeyError in task_fetch × 4 and …`; empty when all are shown."""
    hidden = [f"{group.type} in {group.title}" for group in groups[MOST_GROUPS:]]
    return f"and {plural(len(hidden), 'more kind')} of failure: {listing(hidden, most=3)}" if hidden else ""


def summary_of(groups: Sequence[FailureGroup]) -> str:
    """`4 failures: ValueError: bad date (× 3) and TimeoutError (task_parse[7])`."""
    total = sum(group.count for group in groups)
    kinds = [
        f"{first_error(group)} ({f'× {count(group.count)}' if group.count > 1 else group.first.label})"
        for group in groups
    ]
    return f"{plural(total, 'failure')}: {listing(kinds, most=3)}"


def first_error(group: FailureGroup) -> str:
    """The first job's type and message in one short line, alike in every process."""
    return shorten(without_addresses(one_line(group.first.error)), 100)
