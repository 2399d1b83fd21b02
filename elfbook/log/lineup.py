"""Ready jobs in the order in which they are to be offered: by priority, and fair among flows.

Pure. Who takes from the lineup checks each job against the fold: what was lined up may have been
cancelled since, or have gone to somebody else.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from elfbook.facts import LOT

WEIGHTS = (16, 4, 1)
"""Shares of high, normal and low priority while all three have ready jobs: nothing starves, since of
any 21 jobs one is of low priority. A priority alone gets everything."""


@dataclass(slots=True)
class Level:
    """The ready jobs of one priority, in groups that take turns."""

    groups: OrderedDict[Hashable, list[int]] = field(default_factory=OrderedDict)
    """Group to its jobs, a heap: the lowest number goes first."""
    taken: float = 0.0
    """Jobs taken, each counted as 1 / weight: the level that has had the least is next."""


@dataclass(slots=True)
class Lineup:
    """What is ready for one pool of workers. A group is jobs of one run that run the same code."""

    levels: tuple[Level, ...] = field(default_factory=lambda: tuple(Level() for _ in WEIGHTS))
    size: int = 0

    def add(self, priority: int, group: Hashable, job: int) -> None:
        """Line a job up; priority 0 is the highest."""
        level = self.levels[priority]
        if not self.size:
            for each in self.levels:  # nobody waited, so what one had alone is owed to nobody
                each.taken = 0.0
        if not level.groups:
            # A level that was empty must not have saved up a claim to the whole future.
            others = [other.taken for other in self.levels if other.groups]
            level.taken = max(level.taken, min(others, default=level.taken))
        heap = level.groups.get(group)
        if heap is None:
            level.groups[group] = [job]
        else:
            heapq.heappush(heap, job)
        self.size += 1

    def add_all(self, priority: int, group: Hashable, jobs: Sequence[int]) -> None:
        """Line up one job or more of a group."""
        first, *others = jobs
        self.add(priority, group, first)
        heap = self.levels[priority].groups[group]
        heap.extend(others)
        heapq.heapify(heap)
        self.size += len(others)

    def forget(self, which: Callable[[Hashable], bool]) -> None:
        """Take out all jobs of these groups."""
        for level in self.levels:
            for group in [each for each in level.groups if which(each)]:
                self.size -= len(level.groups.pop(group))

    def next_group(self) -> tuple[int, Hashable] | None:
        """The priority and group that are next; None when nothing is ready."""
        waiting = [number for number, level in enumerate(self.levels) if level.groups]
        if not waiting:
            return None
        number = min(waiting, key=lambda each: (self.levels[each].taken, each))
        return number, next(iter(self.levels[number].groups))

    def take(self, most: int) -> tuple[Hashable, list[int]] | None:
        """The next group with up to `most` jobs of it, ascending, all of one lot; None when empty."""
        found = self.next_group()
        if found is None:
            return None
        number, group = found
        level = self.levels[number]
        heap = level.groups.pop(group)
        jobs = [heapq.heappop(heap)]
        last = jobs[0] // LOT * LOT + LOT
        while heap and heap[0] < last and len(jobs) < most:
            job = heapq.heappop(heap)
            if job != jobs[-1]:
                jobs.append(job)
            else:
                self.size -= 1
        if heap:
            level.groups[group] = heap  # behind the others
        level.taken += len(jobs) / WEIGHTS[number]
        self.size -= len(jobs)
        return group, jobs
