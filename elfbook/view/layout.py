"""A layered layout of boxes and arrows, in plain Python: the same input, the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from elfbook.model import Struct

GAP = 14.0
"""Between boxes of a row."""

ROW_GAP = 12.0
"""Between the rows of one rank that is too long for one row."""

RANK_GAP = 42.0
"""Between ranks: room for the arrows."""

SWEEPS = 8
"""Passes of the barycentre method; more change nothing that one sees."""


class Box(Struct, frozen=True):
    """A place; `x` and `y` are its left upper corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The x of its centre."""
        return self.x + self.width / 2

    @property
    def turned(self) -> Box:
        """The same with x and y exchanged."""
        return Box(self.y, self.x, self.height, self.width)


class Layout(Struct, frozen=True):
    """One box for each node, in the nodes' order, and the room they take together."""

    boxes: tuple[Box, ...]
    width: float
    height: float


def layout(
    widths: Sequence[float],
    edges: Sequence[tuple[int, int]],
    *,
    room: float = 720.0,
    height: float = 38.0,
    gap: float = RANK_GAP,
    sideways: bool = False,
) -> Layout:
    """Boxes that do not overlap, at most `room` wide together, each edge going down.

    `sideways` they are at most `room` high together, and each edge goes to the right; `gap` is
    between one rank and the next. Edges
    from a later node to an earlier one, or to itself, are not considered: a layered picture
    has no place for them. A node alone may be wider than `room`.
    """
    # Below, ranks are rows; sideways they are columns, and so x and y, widths and heights change places.
    heights = [height] * len(widths)
    widths, heights = (heights, widths) if sideways else (widths, heights)
    forward = sorted({(source, target) for source, target in edges if source < target})
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for source, target in forward:
        above[target].append(source)
        below[source].append(target)
    ranks = ordered(ranks_of(above, below), above, below)
    rows, centres, total = stacked(ranks, widths, room, heights, gap)
    width = max((row_width(row, widths) for row in rows), default=0.0)
    middles = placed(rows, widths, above, below, width)
    boxes = [Box(0.0, 0.0, 0.0, 0.0)] * len(widths)
    for row, centre in zip(rows, centres, strict=True):
        for node in row:
            x, y = middles[node] - widths[node] / 2, centre - heights[node] / 2
            boxes[node] = Box(round(x, 1), round(y, 1), widths[node], heights[node])
    if sideways:
        return Layout(tuple(box.turned for box in boxes), total, width)
    return Layout(tuple(boxes), width, total)


def ranks_of(above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    """Nodes by rank: below everything that leads to them, sources just above their first use."""
    rank = [0] * len(above)
    for node, sources in enumerate(above):
        rank[node] = max((rank[source] + 1 for source in sources), default=0)
    for node, sources in enumerate(above):
        if not sources and below[node]:
            rank[node] = min(rank[target] for target in below[node]) - 1
    ranks: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for node, depth in enumerate(rank):
        ranks[depth].append(node)
    return ranks


def ordered(ranks: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    """The ranks with few crossings: each node near the mean of its neighbours, in turns."""
    position = [0.0] * len(above)

    def number(rank: list[int]) -> None:
        for index, node in enumerate(rank):
            position[node] = (index + 0.5) / len(rank)

    for rank in ranks:
        number(rank)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for rank in ranks if down else reversed(ranks):
            wanted = {
                node: sum(position[n] for n in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else position[node]
                for node in rank
            }
            rank.sort(key=lambda node, wanted=wanted: (wanted[node], node))
            number(rank)
    return ranks


def stacked(
    ranks: list[list[int]], widths: Sequence[float], room: float, heights: Sequence[float], gap: float
) -> tuple[list[list[int]], list[float], float]:
    """Rows no wider than `room`, the y of the middle of each, and the height of all."""
    rows: list[list[int]] = []
    centres: list[float] = []
    y = 0.0
    for rank in ranks:
        for row in wrapped(rank, widths, room):
            highest = max(heights[node] for node in row)
            rows.append(row)
            centres.append(y + highest / 2)
            y += highest + ROW_GAP
        y += gap - ROW_GAP
    return rows, centres, max(y - gap, 0.0)


def wrapped(rank: list[int], widths: Sequence[float], room: float) -> list[list[int]]:
    """The rank in rows of about equal width, none wider than `room`."""
    fewest = -(-(row_width(rank, widths) + GAP) // (room + GAP))
    wanted = min(room, row_width(rank, widths) / fewest + max(widths[node] for node in rank) / 2)
    rows: list[list[int]] = [[]]
    for node in rank:
        if rows[-1] and row_width([*rows[-1], node], widths) > wanted:
            rows.append([])
        rows[-1].append(node)
    return rows


def row_width(row: Sequence[int], widths: Sequence[float]) -> float:
    return sum(widths[node] for node in row) + GAP * (len(row) - 1)


def placed(
    rows: list[list[int]],
    widths: Sequence[float],
    above: list[list[int]],
    below: list[list[int]],
    room: float,
) -> list[float]:
    """The x of each node's centre, near its neighbours and within `room`."""
    middles = [0.0] * len(widths)
    for row in rows:
        set_row(row, [room / 2] * len(row), widths, room, middles)
    for neighbours, order in ((above, rows), (below, rows[::-1]), (above, rows)):
        for row in order:
            wanted = [
                sum(middles[n] for n in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else middles[node]
                for node in row
            ]
            set_row(row, wanted, widths, room, middles)
    return middles


def set_row(
    row: list[int], wanted: list[float], widths: Sequence[float], room: float, middles: list[float]
) -> None:
    """Place the nodes of a row as near to `wanted` as order, distance and room allow.

    Least squares under minimum distances is isotonic regression once each node's own distance
    from the row's start is taken off (pool adjacent violators: neighbours that would overlap
    move as one block to the block's mean).
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2 + GAP)
    blocks: list[tuple[float, int]] = []  # mean and number of nodes
    for want, offset in zip(wanted, offsets, strict=True):
        mean, nodes = want - offset, 1
        while blocks and blocks[-1][0] >= mean:
            before, pooled = blocks.pop()
            mean = (before * pooled + mean * nodes) / (pooled + nodes)
            nodes += pooled
        blocks.append((mean, nodes))
    lowest = widths[row[0]] / 2
    highest = room - widths[row[-1]] / 2 - offsets[-1]
    index = 0
    for mean, nodes in blocks:
        for _ in range(nodes):
            middles[row[index]] = min(max(mean, lowest), highest) + offsets[index]
            index += 1
