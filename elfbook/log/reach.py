"""What hangs together in a graph: the jobs that depend on some, and those that only they need."""

from __future__ import annotations

from collections.abc import Collection

from elfbook.model import Graph


def below(graph: Graph, jobs: Collection[int]) -> set[int]:
    """The jobs and all that depend on them, however far down, through values or `after`."""
    # Edges point to earlier jobs, so one pass meets every parent first.
    chosen = set(jobs)
    for job, spec in enumerate(graph.jobs):
        if not chosen.isdisjoint(spec.parents) or not chosen.isdisjoint(spec.after):
            chosen.add(job)
    return chosen


def above(graph: Graph, jobs: Collection[int]) -> set[int]:
    """The jobs, and of what they need all that nothing else in the graph needs."""
    wanted_by: dict[int, set[int]] = {}
    for job, spec in enumerate(graph.jobs):
        for parent in (*spec.parents, *spec.after):
            wanted_by.setdefault(parent, set()).add(job)
    chosen = set(jobs)
    for job in range(len(graph.jobs) - 1, -1, -1):
        if job in wanted_by and wanted_by[job] <= chosen:
            chosen.add(job)
    return chosen
