"""From the calls of a flow to its graph: edges, literals, revisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from elfbook.code.needs import needs_of
from elfbook.errors import DefinitionError
from elfbook.model import ElfUse, Graph, JobSpec, Policy, Revision, ValueRef
from elfbook.tracing.nodes import Node, freeze

MOST_KNOWN = 256
_KNOWN: dict[str, tuple[str, ...]] = {}
"""The needs of revisions, by digest: the same code needs the same."""


@dataclass(frozen=True, slots=True)
class Used:
    """An elf instance that the flow calls."""

    cls: type
    name: str
    arguments: Node | None
    """Its constructor's (args, kwargs); None when there are none."""


class Recorded(NamedTuple):
    """What a flow has called."""

    elves: list[Used]
    jobs: list[JobSpec]
    """In order, `elf` being an index of `elves`; complete but for those in `arguments`."""
    arguments: dict[int, Node]
    """The calls' (args, kwargs) of jobs that lack arguments, parents and blobs."""


class Drawn(NamedTuple):
    """A graph and what it names."""

    graph: Graph
    blobs: dict[str, list]
    """Large literals by digest, as pieces to be joined."""
    revisions: dict[str, Revision]


def draw(
    recorded: Recorded,
    result: Node | None,
    policy: Policy,
    revision_of: Callable[[type], Revision],
    key: bytes,
) -> Drawn:
    """The graph of the calls in their order; edges come from every value an argument reaches.

    Without a result of its own the flow's result is the list of what no other job used.
    """
    elves = recorded.elves
    blobs: dict[str, list] = {}
    revisions = {cls: revision_of(cls) for cls in dict.fromkeys(used.cls for used in elves)}
    uses, places, refs = _uses(elves, revisions, blobs, key)
    same = places == list(range(len(uses))) and not any(refs)
    jobs: list[JobSpec] = []
    for number, known in enumerate(recorded.jobs):
        job, arguments = known, recorded.arguments.get(number)
        if arguments is not None:
            frozen = freeze(arguments, key)
            blobs.update(frozen.blobs)
            after = tuple(each for each in job.after if each not in frozen.parents)
            job = replace(
                job, arguments=frozen.expression, parents=frozen.parents, after=after, blobs=frozen.refs
            )
        if not same:
            job = replace(job, elf=places[job.elf], blobs=(*job.blobs, *refs[job.elf]))
        jobs.append(job)
    outcome = freeze(unused(jobs) if result is None else result, key)
    blobs.update(outcome.blobs)
    graph = Graph(tuple(uses), tuple(jobs), outcome.expression, policy, outcome.refs)
    check(graph)
    return Drawn(graph, blobs, {revision.digest: revision for revision in revisions.values()})


def _uses(
    elves: list[Used], revisions: dict[type, Revision], blobs: dict[str, list], key: bytes
) -> tuple[list[ElfUse], list[int], list[tuple[ValueRef, ...]]]:
    """The distinct uses, the place of each instance among them, and the large literals of each."""
    places: dict[ElfUse, int] = {}
    where: list[int] = []
    refs: list[tuple[ValueRef, ...]] = []
    for used in elves:
        arguments, large = b"", ()
        if used.arguments is not None:
            frozen = freeze(used.arguments, key)
            arguments, large = frozen.expression, frozen.refs
            blobs.update(frozen.blobs)
        revision = revisions[used.cls]
        use = ElfUse(revision.elf, revision.digest, used.name, arguments, _needs(revision))
        where.append(places.setdefault(use, len(places)))
        refs.append(large)
    return list(places), where, refs


def _needs(revision: Revision) -> tuple[str, ...]:
    if revision.digest not in _KNOWN:
        while len(_KNOWN) >= MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[revision.digest] = needs_of(revision.pieces)
    return _KNOWN[revision.digest]


def unused(jobs: list[JobSpec]) -> Node:
    """The list of the values that no job takes."""
    taken = {parent for job in jobs for parent in job.parents}
    spans: list[list[int]] = []
    for job in range(len(jobs)):
        if job in taken:
            continue
        if spans and spans[-1][1] == job - 1:
            spans[-1][1] = job
        else:
            spans.append([job, job])
    return Node("jobs", (), spans)


def check(graph: Graph) -> None:
    """DefinitionError unless every edge leads to an earlier job and every elf is there."""
    elves = len(graph.elves)
    for number, job in enumerate(graph.jobs):
        if not 0 <= job.elf < elves:
            raise DefinitionError(f"{job.task}[{job.number}] belongs to no elf of the flow")
        if not (job.parents or job.after or job.turn is not None):
            continue
        before = (*job.parents, *job.after, *(() if job.turn is None else (job.turn,)))
        if not all(0 <= parent < number for parent in before):
            raise DefinitionError(f"{job.task}[{job.number}] needs a job that comes after it")
