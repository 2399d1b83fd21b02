"""From the calls of a flow to its graph: edges, literals, revisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from elfbook.errors import DefinitionError
from elfbook.model import ElfUse, Graph, JobSpec, Policy, Revision, ValueRef
from elfbook.tracing.nodes import Node, freeze


@dataclass(frozen=True, slots=True)
class Used:
    """An elf instance that the flow calls."""

    cls: type
    name: str
    arguments: Node | None
    """Its constructor's (args, kwargs); None when there are none."""


@dataclass(frozen=True, slots=True)
class Call:
    """A task call that the flow made."""

    elf: int
    task: str
    arguments: Node
    after: tuple[int, ...]
    number: int
    line: int
    options: Mapping[str, Any]
    """What the task says of itself: fields of JobSpec."""


class Drawn(NamedTuple):
    """A graph and what it names."""

    graph: Graph
    blobs: dict[str, list]
    """Large literals by digest, as pieces to be joined."""
    revisions: dict[str, Revision]


def draw(
    elves: list[Used],
    calls: list[Call],
    result: Node | None,
    policy: Policy,
    revision_of: Callable[[type], Revision],
    key: bytes,
) -> Drawn:
    """The graph of the calls in their order; edges come from every value an argument reaches.

    Without a result of its own the flow's result is the list of what no other job used.
    """
    blobs: dict[str, list] = {}
    revisions = {cls: revision_of(cls) for cls in dict.fromkeys(used.cls for used in elves)}
    uses, places, refs = _uses(elves, revisions, blobs, key)
    jobs: list[JobSpec] = []
    last: dict[str, int] = {}
    for call in calls:
        frozen = freeze(call.arguments, key)
        blobs.update(frozen.blobs)
        name = elves[call.elf].name
        jobs.append(
            JobSpec(
                elf=places[call.elf],
                task=call.task,
                arguments=frozen.expression,
                parents=frozen.parents,
                after=tuple(job for job in call.after if job not in frozen.parents),
                turn=last.get(name),
                number=call.number,
                line=call.line,
                blobs=(*frozen.refs, *refs[call.elf]),
                **call.options,
            )
        )
        if name:
            last[name] = len(jobs) - 1
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
        use = ElfUse(revision.elf, revision.digest, used.name, arguments)
        where.append(places.setdefault(use, len(places)))
        refs.append(large)
    return list(places), where, refs


def unused(jobs: list[JobSpec]) -> Node:
    """The list of the values that no job takes."""
    taken = {parent for job in jobs for parent in job.parents}
    rest = (job for job in range(len(jobs)) if job not in taken)
    return Node("list", tuple(Node("job", (), job) for job in rest))


def check(graph: Graph) -> None:
    """DefinitionError unless every edge leads to an earlier job and every elf is there."""
    for number, job in enumerate(graph.jobs):
        before = (*job.parents, *job.after, *(() if job.turn is None else (job.turn,)))
        if not all(0 <= parent < number for parent in before):
            raise DefinitionError(f"{job.task}[{job.number}] needs a job that comes after it")
        if not 0 <= job.elf < len(graph.elves):
            raise DefinitionError(f"{job.task}[{job.number}] belongs to no elf of the flow")
