"""What is drawn of a graph: every job of a small one, ever larger groups of a large one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from elfbook.facts import State
from elfbook.model import ElfUse, Graph, JobSpec, Struct
from elfbook.words import count, listing, plural, printable, shorten

MOST_NODES = 30
"""Boxes that a reader takes in at a glance."""

MOST_WORDS = 600
"""Characters of the picture's text alternative."""


class Node(Struct, frozen=True):
    """One box: a job, or jobs that are alike."""

    label: str
    jobs: tuple[int, ...]


class Arrow(Struct, frozen=True):
    """One or more edges from the jobs of one node to those of another, or of the same."""

    source: int
    target: int
    count: int
    control: bool = False
    """True when only `after=` leads there, and no value."""


class Outline(Struct, frozen=True):
    """Nodes in the order of their first jobs, so that a value flows to a later node.

    Groups of the coarser kinds may also lead back; such arrows go to an earlier node.
    """

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    grouped: bool = False


def job_label(spec: JobSpec) -> str:
    """`task_hello[2]`."""
    return f"{spec.task}[{spec.number}]"


def task_name(graph: Graph, spec: JobSpec) -> str:
    """`Greeter.task_hello`."""
    return f"{graph.elves[spec.elf].elf}.{spec.task}"


def owner_of(use: ElfUse) -> str:
    """The elf as source would name it: `Greeter`, `Storage("animals")`."""
    return f'{use.elf}("{printable(use.name)}")' if use.name else use.elf


def outline(graph: Graph, most: int = MOST_NODES) -> Outline:
    """The finest picture of at most `most` boxes; more only if there are more elf classes.

    Kinds in order: every job; siblings (same elf, same task, same kinds of parents); the
    tasks of each elf instance; the tasks of each class; classes.
    """
    for key_of in (each_job, siblings, tasks_of_instances, tasks_of_classes, classes):
        if key_of is each_job and len(graph.jobs) > most:
            continue
        drawn = draw_groups(graph, key_of)
        if len(drawn.nodes) <= most:
            return drawn
    return drawn


Grouping = Callable[[Graph], Iterator[tuple[Hashable, str]]]
"""For each job the key of its group and the group's label."""


def each_job(graph: Graph) -> Iterator[tuple[Hashable, str]]:
    for job, spec in enumerate(graph.jobs):
        use = graph.elves[spec.elf]
        yield job, (f"{printable(use.name)} · " if use.name else "") + job_label(spec)


def siblings(graph: Graph) -> Iterator[tuple[Hashable, str]]:
    """A map over a thousand items is two boxes and one arrow, however long the chain of maps."""
    numbers: dict[Hashable, int] = {}
    group_of: list[int] = []
    for spec in graph.jobs:
        use = graph.elves[spec.elf]
        needs = frozenset(group_of[parent] for parent in spec.parents + spec.after)
        key = (use.elf, use.name, spec.task, needs)
        group_of.append(numbers.setdefault(key, len(numbers)))
        yield group_of[-1], instance_label(use, spec)


def tasks_of_instances(graph: Graph) -> Iterator[tuple[Hashable, str]]:
    for spec in graph.jobs:
        use = graph.elves[spec.elf]
        yield (use.elf, use.name, spec.task), instance_label(use, spec)


def tasks_of_classes(graph: Graph) -> Iterator[tuple[Hashable, str]]:
    for spec in graph.jobs:
        elf = graph.elves[spec.elf].elf
        yield (elf, spec.task), f"{elf}.{spec.task}"


def classes(graph: Graph) -> Iterator[tuple[Hashable, str]]:
    for spec in graph.jobs:
        elf = graph.elves[spec.elf].elf
        yield elf, elf


def instance_label(use: ElfUse, spec: JobSpec) -> str:
    return f"{printable(use.name) or use.elf}.{spec.task}"


def draw_groups(graph: Graph, key_of: Grouping) -> Outline:
    """The graph with each group of jobs as one node."""
    numbers: dict[Hashable, int] = {}
    labels: list[str] = []
    members: list[list[int]] = []
    node_of: list[int] = []
    for job, (key, label) in enumerate(key_of(graph)):
        node = numbers.setdefault(key, len(numbers))
        if node == len(labels):
            labels.append(label)
            members.append([])
        members[node].append(job)
        node_of.append(node)
    grouped = key_of is not each_job
    nodes = tuple(
        Node(f"{label} × {count(len(jobs))}" if grouped and len(jobs) > 1 else label, tuple(jobs))
        for label, jobs in zip(labels, members, strict=True)
    )
    return Outline(nodes, arrows_between(graph, node_of), grouped)


def arrows_between(graph: Graph, node_of: list[int]) -> tuple[Arrow, ...]:
    """The edges of the graph, counted for each pair of nodes, in the nodes' order."""
    values: dict[tuple[int, int], int] = {}
    controls: dict[tuple[int, int], int] = {}
    for job, spec in enumerate(graph.jobs):
        for parents, tally in ((spec.parents, values), (spec.after, controls)):
            for parent in parents:
                pair = (node_of[parent], node_of[job])
                tally[pair] = tally.get(pair, 0) + 1
    return tuple(
        Arrow(*pair, values.get(pair, 0) or controls[pair], control=pair not in values)
        for pair in sorted(values.keys() | controls.keys())
    )


def tally(drawn: Outline, states: Callable[[int], State]) -> tuple[dict[State, int], ...]:
    """For each node how many of its jobs are in each state; states without jobs are absent."""
    tallies = []
    for node in drawn.nodes:
        counts: dict[State, int] = {}
        for job in node.jobs:
            state = states(job)
            counts[state] = counts.get(state, 0) + 1
        tallies.append(counts)
    return tuple(tallies)


def in_words(graph: Graph) -> str:
    """The picture's text alternative: `Greeter.task_hello (3 jobs) leads to …`."""
    drawn = draw_groups(graph, tasks_of_classes)
    seen: set[int] = set()

    def name(node: int) -> str:
        label = drawn.nodes[node].label.partition(" × ")[0]
        if node in seen:
            return label
        seen.add(node)
        return f"{label} ({plural(len(drawn.nodes[node].jobs), 'job')})"

    targets: dict[int, list[int]] = {}
    for arrow in drawn.arrows:
        targets.setdefault(arrow.source, []).append(arrow.target)
    reached = {arrow.target for arrow in drawn.arrows}
    sentences = []
    for node in range(len(drawn.nodes)):
        if node in targets:
            sentences.append(f"{name(node)} leads to {listing([name(t) for t in targets[node]], most=5)}")
        elif node not in reached:
            sentences.append(name(node))
    return shorten("; ".join(sentences), MOST_WORDS)
