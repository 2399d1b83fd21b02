"""A call's arguments in a few words each, from what is stored. No pickle is opened for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from elfbook.model import Parameter
from elfbook.tracing import evaluate, values
from elfbook.words import listing

UNSEEN = "a value that only a kernel opens"
MOST_NODES = 2000
"""A call that takes more apart is told in general words: nobody reads a preview of it."""


class Words:
    """Stands for a value in a preview: its name, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def arguments(
    expression: bytes,
    parameters: Sequence[Parameter],
    label_of: Callable[[int], str],
    blobs: Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    """Name and preview of each argument.

    `label_of` names a job whose result is one, `blobs` has the previews of large literals.
    """
    seen = contents(expression, label_of, blobs)
    if not isinstance(seen, tuple):
        return (("arguments", repr(seen)),)
    given, named = seen
    return tuple(
        [
            (name, values.preview(value))
            for name, value in zip(names(parameters, len(given)), given, strict=True)
        ]
        + [(str(name), values.preview(value)) for name, value in named.items()]
    )


def names(parameters: Sequence[Parameter], count: int) -> list[str]:
    """What the first `count` arguments by position are called."""
    found = [each.name for each in parameters if each.kind in ("positional", "either")][:count]
    rest = next((each.name for each in parameters if each.kind == "variadic"), "")
    return found + [f"{rest}[{place}]" for place in range(count - len(found))]


def contents(
    expression: bytes, label_of: Callable[[int], str], blobs: Mapping[str, str]
) -> tuple[Sequence[object], Mapping[object, object]] | Words:
    """The arguments by position and by name, with Words for what is not here; Words for all of it."""
    if expression[: evaluate.MARK] == evaluate.LITERAL:
        given = literal(memoryview(expression)[evaluate.MARK :])
        return given if isinstance(given, Words) else tuple(given)
    nodes, root, segments = evaluate.opened(expression)
    if len(nodes) > MOST_NODES:
        return Words(f"{len(nodes)} values and operations on them")
    seen: list[Any] = []
    jobs: list[tuple[int, ...]] = []
    for node in nodes[: root + 1]:
        jobs.append(tuple(dict.fromkeys([*jobs_in(node), *(job for ref in node[1] for job in jobs[ref])])))
        seen.append(value(node, [seen[ref] for ref in node[1]], segments, blobs, label_of))
        if seen[-1] is None and node[0] != "atom":
            seen[-1] = Words("from " + listing(map(label_of, jobs[-1]), most=3) if jobs[-1] else UNSEEN)
    return seen[root]


def jobs_in(node: list) -> list[int]:
    """The jobs that the node itself names."""
    if node[0] == "job":
        return [node[2]]
    return [job for first, last in node[2] for job in (first, last)] if node[0] == "jobs" else []


def value(
    node: list, args: list, segments: list, blobs: Mapping[str, str], label_of: Callable[[int], str]
) -> object:
    """What a node that only holds things holds; None for one that computes."""
    match node[0]:
        case "job":
            return Words(label_of(node[2]))
        case "jobs":
            return [Words(label_of(job)) for first, last in node[2] for job in range(first, last + 1)]
        case "atom":
            return node[2]
        case "literal":
            return literal(segments[node[2]])
        case "blob":
            return Words(blobs.get(node[2]) or UNSEEN)
        case "list" | "tuple" as kind:
            return args if kind == "list" else tuple(args)
        case "dict":
            return dict(zip(args[::2], args[1::2], strict=True))
        case "fill" if isinstance(args[0], list | tuple):
            items = list(args[0])
            for place, item in zip(node[2], args[1:], strict=True):
                items[place] = item
            return items
    return None


def literal(data: Any) -> Any:
    """The value that was encoded, unless that would mean opening a pickle."""
    return values.decode(data, b"") if values.is_plain(data) else Words(UNSEEN)
