"""What is told of a run as a whole, kept current job by job: nothing here looks at all jobs again.

Each class is made by a look at every job and then told which ones have changed. What it gives is what
a fresh look would give; tests/view/test_board.py holds that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from heapq import merge
from itertools import islice

from elfbook.facts import State
from elfbook.log.fold import RunState
from elfbook.model import Manifest
from elfbook.view.endings import failed_job
from elfbook.view.failures import job_lines
from elfbook.view.groups import group_key, group_title
from elfbook.view.messages import Group, Line
from elfbook.view.outline import job_label
from elfbook.view.view import digest_used
from elfbook.view.waiting import MOST_REASONS
from elfbook.words import one_line

MOST_GROUPS = 50
MOST_JOBS = 100


class FirstWaiting:
    """For each task of each elf its first waiting job."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._jobs: dict[tuple[int, str], list[int]] = {}
        for job, spec in enumerate(state.graph.jobs):
            self._jobs.setdefault((spec.elf, spec.task), []).append(job)
        self._place = dict.fromkeys(self._jobs, 0)
        """Before it no job of the task waits."""

    def note(self, job: int) -> None:
        if self._state.jobs[job].state is State.WAITING:
            spec = self._state.graph.jobs[job]
            key = (spec.elf, spec.task)
            self._place[key] = min(self._place[key], bisect_left(self._jobs[key], job))

    def first(self) -> list[int]:
        """The jobs whose reasons are told: as many as `reasons_of` tells."""
        if not self._state.counts[State.WAITING]:
            return []
        found = []
        for key, jobs in self._jobs.items():
            place = self._place[key]
            while place < len(jobs) and self._state.jobs[jobs[place]].state is not State.WAITING:
                place += 1
            self._place[key] = place
            if place < len(jobs):
                found.append(jobs[place])
        return sorted(found)[:MOST_REASONS]


class CodeUsed:
    """The code that the jobs of each class ran with, or are to run with."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._of_job = [digest_used(state, job) for job in range(len(state.jobs))]
        self._used: dict[str, Counter[str]] = {}
        for spec, digest in zip(state.graph.jobs, self._of_job, strict=True):
            self._used.setdefault(state.graph.elves[spec.elf].elf, Counter())[digest] += 1

    def note(self, job: int) -> None:
        digest = digest_used(self._state, job)
        if digest != self._of_job[job]:
            used = self._used[self._state.graph.elves[self._state.graph.jobs[job].elf].elf]
            used[self._of_job[job]] -= 1
            used[digest] += 1
            self._of_job[job] = digest

    def digests(self) -> dict[str, list[str]]:
        return {elf: [digest for digest in used if used[digest]] for elf, used in self._used.items()}


class Alike:
    """The jobs of one group of failures, and what is told of them."""

    def __init__(self) -> None:
        self.of_task: dict[str, list[int]] = {}
        self.size = 0
        self.told: tuple[int, object, Group] | None = None
        """The first job, its failure and the group when it was told last; None when it has changed."""

    @property
    def first(self) -> int:
        return min(jobs[0] for jobs in self.of_task.values())

    def add(self, task: str, job: int) -> None:
        insort(self.of_task.setdefault(task, []), job)
        self.size += 1

    def remove(self, task: str, job: int) -> None:
        jobs = self.of_task[task]
        del jobs[bisect_left(jobs, job)]
        if not jobs:
            del self.of_task[task]
        self.size -= 1


class Failures:
    """The failed jobs, alike ones together."""

    def __init__(self, state: RunState, manifest: Manifest) -> None:
        self._state, self._manifest = state, manifest
        self._groups: dict[tuple[str, str], Alike] = {}
        self._key_of: dict[int, tuple[str, str]] = {}
        self._event_of: dict[int, object] = {}
        self.version = 0
        """Grows with every change."""

    def note(self, job: int, labels: Mapping[str, str]) -> None:
        now, task = self._state.jobs[job], self._state.graph.jobs[job].task
        failed = now.state is State.FAILED
        if failed and self._event_of.get(job) is now.event:
            return
        before = self._key_of.pop(job, None)
        if before is not None:
            del self._event_of[job]
            self._groups[before].remove(task, job)
            if not self._groups[before].size:
                del self._groups[before]
        if failed:
            told = failed_job(self._state, job, self._manifest, labels, static=False)
            key = self._key_of[job] = group_key(told, labels)
            self._event_of[job] = now.event
            self._groups.setdefault(key, Alike()).add(task, job)
        self.version += before is not None or failed

    def _largest(self) -> list[Alike]:
        return sorted(self._groups.values(), key=lambda alike: (-alike.size, alike.first))

    def first(self) -> int | None:
        """The first job of the largest group; None without one."""
        return self._largest()[0].first if self._groups else None

    def groups(self, labels: Mapping[str, str]) -> tuple[Group, ...]:
        """The largest fifty, largest first, then earliest."""
        return tuple(self._told(alike, labels) for alike in self._largest()[:MOST_GROUPS])

    def _told(self, alike: Alike, labels: Mapping[str, str]) -> Group:
        first = alike.first
        event = self._event_of[first]
        if alike.told is not None and alike.told[0] == first and alike.told[1] is event:
            error, lines = alike.told[2].error, alike.told[2].lines
        else:
            told = failed_job(self._state, first, self._manifest, labels, static=False)
            error = one_line(told.error)
            lines = tuple(Line(kind, text) for kind, text in job_lines(told, labels))
        tasks = sorted(alike.of_task, key=lambda task: alike.of_task[task][0])
        group = Group(
            title=group_title(alike.size, tasks, job_label(self._state.graph.jobs[first])),
            error=error,
            jobs=tuple(islice(merge(*alike.of_task.values()), MOST_JOBS)),
            count=alike.size,
            lines=lines,
        )
        alike.told = (first, event, group)
        return group
