"""Ways of arrows between boxes: curves, the parts of them that no box hides, heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from elfbook.model import Struct
from elfbook.view.layout import Box

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]
"""A cubic Bézier curve: its ends, and between them what bends it."""

HEAD = 6.0
"""How far an arrow's head reaches before the tip."""

BESIDE = 40.0
"""How far an arrow may go outside of all boxes."""

BOWS = (0, *(side * far for far in range(25, 250, 25) for side in (1, -1)))
"""Ways around boxes that are tried, the nearest first."""

STEPS = 40
"""Places of a curve at which it is looked for boxes in front of it."""

WEIGHTS = tuple(
    ((1 - time) ** 3, 3 * (1 - time) ** 2 * time, 3 * (1 - time) * time**2, time**3)
    for time in (step / STEPS for step in range(STEPS + 1))
)
"""Of a curve's four points at each of these places: Bernstein's polynomials."""


class Way(Struct, frozen=True):
    """How one arrow goes, from top to bottom or, where everything is turned, from left to right."""

    curve: Curve
    head: tuple[Point, Point, Point]

    @property
    def middle(self) -> Point:
        """Half way: as far as a bow goes."""
        return point(self.curve, 0.5)


def down(source: Box, target: Box, others: Sequence[Box], width: float) -> Way:
    """From a box to one below it: around those between them, where there is room in a picture so wide."""
    ways = [bent(source, target, bow) for bow in BOWS]
    free = (
        way
        for way in ways
        if -BESIDE <= way.middle[0] <= width + BESIDE and next(hidden(way.curve, others), None) is None
    )
    return next(free, ways[0])


def bent(source: Box, target: Box, bow: float) -> Way:
    """From a box to one below it, with its middle so far to the right of where it would be; 0 for no bow."""
    x0, y0, x1, y1 = source.middle, source.y + source.height, target.middle, target.y
    bend = (y1 - HEAD - y0) / 6 if bow else min((y1 - HEAD - y0) / 2, 60)
    aside = bow / 0.75
    curve = ((x0, y0), (x0 + aside, y0 + bend), (x1 + aside, y1 - HEAD - bend), (x1, y1 - HEAD))
    return Way(curve, ((x1, y1), (x1 - 4, y1 - HEAD - 1), (x1 + 4, y1 - HEAD - 1)))


def back(source: Box, target: Box, width: float) -> Way:
    """From a box to itself or to one above it, around the right-hand side of a picture so wide."""
    x0, y0 = source.x + source.width, source.y + source.height * 0.7
    x1, y1 = target.x + target.width, target.y + target.height * 0.3
    far = max(x0, x1, width if target != source else x0) + 16
    curve = ((x0, y0), (far, y0), (far, y1), (x1 + HEAD, y1))
    return Way(curve, ((x1, y1), (x1 + HEAD + 1, y1 - 4), (x1 + HEAD + 1, y1 + 4)))


def point(curve: Curve, *times: float) -> Point:
    """The curve's point at the first of the times; with three, the blossom by which a curve is parted."""
    points: Sequence[Point] = curve
    for time in times if len(times) == 3 else times * 3:
        points = [(a + (c - a) * time, b + (d - b) * time) for (a, b), (c, d) in pairwise(points)]
    return points[0]


def seen(curve: Curve, boxes: Iterable[Box]) -> list[Curve]:
    """The curve up to the first box that hides some of it, and from the last one on; all of it without any.

    Boxes are not filled, since a page may be light or dark, and so they hide nothing by themselves.
    """
    steps = list(hidden(curve, boxes))
    if not steps:
        return [curve]
    ends = (0.0, (steps[0] - 1) / STEPS), ((steps[-1] + 1) / STEPS, 1.0)
    return [piece(curve, begin, end) for begin, end in ends if begin < end]


def hidden(curve: Curve, boxes: Iterable[Box]) -> Iterator[int]:
    """The places of the curve, of STEPS, at which a box is in front of it or right beside it."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve
    left, right = min(ax, bx, cx, dx), max(ax, bx, cx, dx)
    top, bottom = min(ay, by, cy, dy), max(ay, by, cy, dy)
    near = [
        (box.x - 1, box.x + box.width + 1, box.y - 1, box.y + box.height + 1)
        for box in boxes
        if box.x < right and left < box.x + box.width and box.y < bottom and top < box.y + box.height
    ]
    if not near:
        return
    for step, (a, b, c, d) in enumerate(WEIGHTS):
        x, y = a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy
        for low, high, upper, lower in near:
            if low <= x <= high and upper <= y <= lower:
                yield step
                break


def piece(curve: Curve, begin: float, end: float) -> Curve:
    """The curve between two of its points."""
    times = (begin, begin, begin), (begin, begin, end), (begin, end, end), (end, end, end)
    first, second, third, fourth = (point(curve, *each) for each in times)
    return first, second, third, fourth
