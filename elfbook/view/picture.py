"""An outline as an SVG image of our own layout: nothing but Python is needed to see a graph."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape

from elfbook.facts import State
from elfbook.model import Struct
from elfbook.view.arrows import Point, Way, back, down, seen
from elfbook.view.layout import RANK_GAP, Box, Layout, layout
from elfbook.view.outline import Arrow, Node, Outline
from elfbook.words import GLYPHS, count, printable, shorten

ROOM = 720
"""Pixels that a notebook's output has at least."""

SMALLEST = 0.8
"""Of its size; what would have to be drawn smaller from left to right is drawn from top to bottom."""

TALLEST = 1200
"""Pixels; a longer chain is drawn smaller, so that the page below it stays in reach."""

COLUMN = 490
"""Pixels of a column; more boxes than that has room for stand in several."""

KEPT = 16
"""Graphs whose arrows are remembered: more runs are seldom looked at side by side."""

MARGIN = 6
LABEL_LENGTH = 26
TALLY_LENGTH = 34
JOB_HEIGHT, GROUP_HEIGHT = 30.0, 58.0
NARROWEST_JOB, NARROWEST_GROUP = 84, 158

INK = "#797979"
"""An image does not know the page's theme: this is as readable on white as on a dark page, 4.3 to 1."""

ARROWS = "#808080"

COLOURS: dict[State, str] = {
    State.FAILED: "#db4a2b",
    State.RUNNING: "#2f7fc4",
    State.CANCELLED: "#808080",
    State.SKIPPED: "#a87420",
    State.WAITING: "#808080",
    State.DONE: "#12896a",
}
"""In the order in which a group of jobs takes its colour: trouble first. Seen on light and on dark; the glyph
and the words say the same."""

Tally = Mapping[State, int]


def state_line(node: Node, tally: Tally) -> str:
    """`✗ failed` for one job, `996 done, 4 failed` for several."""
    if len(node.jobs) == 1:
        return next((f"{GLYPHS[state]} {state}" for state in COLOURS if tally.get(state)), "")
    present = [state for state in (State.DONE, *COLOURS) if tally.get(state)]
    return ", ".join(f"{count(tally[state])} {state}" for state in dict.fromkeys(present))


def leading(tally: Tally) -> State:
    """The state that gives the box its colour."""
    return next((state for state in COLOURS if tally.get(state)), State.WAITING)


def columns_of(text: str) -> int:
    """The text's width in columns: East Asian characters take two."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def label_of(node: Node) -> str:
    """The label with its middle left out when it is too long: `[17]` at its end tells jobs apart."""
    label = printable(node.label)
    if len(label) <= LABEL_LENGTH:
        return label
    tail = (LABEL_LENGTH - 1) // 2
    return f"{label[: LABEL_LENGTH - 1 - tail]}…{label[-tail:]}"


class Drawing(Struct, frozen=True):
    """What is set in SVG."""

    labels: tuple[str, ...]
    words: tuple[str, ...]
    """Of groups how many of their jobs are in which state; none for single jobs, whose glyph says it."""
    places: Layout
    sideways: bool
    """True from left to right, as on the board; else from top to bottom."""


def drawing(drawn: Outline, tallies: Sequence[Tally]) -> Drawing:
    """Where everything goes."""
    labels = tuple(map(label_of, drawn.nodes))
    words: tuple[str, ...] = ()
    if drawn.grouped:
        pairs = zip(drawn.nodes, tallies, strict=True)
        words = tuple(shorten(state_line(node, tally), TALLY_LENGTH) for node, tally in pairs)
        told = zip(labels, words, strict=True)
        widths = [max(NARROWEST_GROUP, 24 + 7.6 * columns_of(a), 24 + 6.2 * columns_of(b)) for a, b in told]
    else:
        widths = [max(NARROWEST_JOB, 40 + 7.6 * columns_of(label)) for label in labels]
    widths = [float(round(width)) for width in widths]
    height = GROUP_HEIGHT if drawn.grouped else JOB_HEIGHT
    edges = [(arrow.source, arrow.target) for arrow in drawn.arrows]
    numbers = [6 * len(number_of(arrow)) + 20 for arrow in drawn.arrows]
    gap = float(max(RANK_GAP, *numbers)) if numbers else RANK_GAP
    places = layout(widths, edges, room=COLUMN, height=height, gap=gap, sideways=True)
    sideways = places.width <= ROOM / SMALLEST
    if not sideways:
        places = layout(widths, edges, room=ROOM - 2 * MARGIN, height=height)
    return Drawing(labels, words, places, sideways)


def number_of(arrow: Arrow) -> str:
    """`× 12`; empty for one edge."""
    return f"× {count(arrow.count)}" if arrow.count > 1 else ""


# ---------------------------------------------------------------------------- SVG


def svg(drawn: Outline, tallies: Sequence[Tally]) -> str:
    """One SVG image without ids, scripts, style sheets or a ground; at most ROOM pixels wide."""
    told = drawing(drawn, tallies)
    boxes = told.places.boxes
    arrows, before, after = arrow_shapes(tuple(drawn.arrows), told.places, told.sideways)
    x, y = (MARGIN, MARGIN + before) if told.sideways else (MARGIN + before, MARGIN)
    width = told.places.width + x + MARGIN + (0 if told.sideways else after)
    height = told.places.height + y + MARGIN + (after if told.sideways else 0)
    scale = min(1.0, ROOM / width, TALLEST / height)
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' width="{width * scale:.0f}" height="{height * scale:.0f}"'
            f' viewBox="{-x:g} {-y:g} {width:g} {height:g}" font-family="system-ui,sans-serif">',
            *arrows,
            *frames(tallies, boxes),
            *(bars(tallies, boxes) if drawn.grouped else signs(tallies, boxes)),
            *text_shapes(told),
            "</svg>",
        ]
    )


@lru_cache(maxsize=KEPT)
def arrow_shapes(arrows: tuple[Arrow, ...], places: Layout, turn: bool) -> tuple[tuple[str, ...], int, int]:
    """Arrows as shapes, and how far they go outside of the boxes on either side.

    All value edges are one path, all control edges one dashed path; then heads, and multiplicities.
    Kept for the next picture of a run: its jobs change, its arrows hardly ever do.
    """
    lines: dict[bool, list[str]] = {False: [], True: []}
    heads: list[str] = []
    numbers: list[str] = []
    boxes = [box.turned for box in places.boxes] if turn else places.boxes
    across = places.height if turn else places.width
    reach = [0.0, across]
    for arrow in arrows:
        others = [box for node, box in enumerate(boxes) if node not in (arrow.source, arrow.target)]
        way = way_of(arrow, boxes, others, across)
        reach.append(way.middle[0])
        if number := number_of(arrow):
            x, y = way.middle[::-1] if turn else way.middle
            numbers.append(f'<text x="{x:g}" y="{y + 3.5:g}">{number}</text>')
            ground = Box(x - 3 * len(number), y - 6, 6 * len(number), 12)
            others.append(ground.turned if turn else ground)
            reach.append(way.middle[0] + others[-1].width / 2)
        for part in seen(way.curve, others):
            lines[arrow.control].append("M{} C{} {} {}".format(*(placed(place, turn) for place in part)))
        heads.append("M{}L{} {}z".format(*(placed(place, turn) for place in way.head)))
    shapes = [
        f'<path d="{"".join(parts)}" fill="none" stroke="{ARROWS}"{dashes}/>'
        for parts, dashes in ((lines[False], ""), (lines[True], ' stroke-dasharray="5 4"'))
        if parts
    ]
    if heads:
        shapes.append(f'<path d="{"".join(heads)}" fill="{ARROWS}"/>')
    if numbers:
        shapes.append(f'<g font-size="10" fill="{INK}" text-anchor="middle">{"".join(numbers)}</g>')
    return tuple(shapes), math.ceil(-min(reach)), math.ceil(max(reach) - across)


def way_of(arrow: Arrow, boxes: Sequence[Box], others: Sequence[Box], across: float) -> Way:
    """How the arrow goes from box to box."""
    source, target = boxes[arrow.source], boxes[arrow.target]
    if arrow.target > arrow.source:
        return down(source, target, others, across)
    return back(source, target, across)


def placed(place: Point, turn: bool) -> str:
    """The point as a path spells it, x and y exchanged where everything is turned."""
    x, y = place[::-1] if turn else place
    return f"{round(x, 1):g} {round(y, 1):g}"


def by_state(tallies: Sequence[Tally], boxes: Sequence[Box]) -> Iterable[tuple[State, list[Box]]]:
    """The boxes that take their colour from each state; no state without any."""
    for state in COLOURS:
        same = [box for box, tally in zip(boxes, tallies, strict=True) if leading(tally) is state]
        if same:
            yield state, same


def frames(tallies: Sequence[Tally], boxes: Sequence[Box]) -> list[str]:
    """The boxes: in a state's colour where that asks for attention, else with a quiet line."""
    shapes = []
    for state, same in by_state(tallies, boxes):
        loud = {State.FAILED: ' stroke-width="1.5"', State.RUNNING: ""}.get(state)
        stroke = f'"{ARROWS}" stroke-opacity=".5"' if loud is None else f'"{COLOURS[state]}"{loud}'
        rects = "".join(
            f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="5"/>'
            for box in same
        )
        shapes.append(f'<g fill="none" stroke={stroke}>{rects}</g>')
    return shapes


def signs(tallies: Sequence[Tally], boxes: Sequence[Box]) -> list[str]:
    """Of each job its state's colour along the box's left edge, and its glyph."""
    shapes = []
    for state, same in by_state(tallies, boxes):
        faint = ' fill-opacity=".4"' if state is State.WAITING else ""
        marks = "".join(
            f'<rect x="{box.x + 4:g}" y="{box.y + 4:g}" width="5" height="{box.height - 8:g}" rx="2"{faint}/>'
            f'<text x="{box.x + 15:g}" y="{box.y + 20:g}">{GLYPHS[state]}</text>'
            for box in same
        )
        shapes.append(f'<g font-size="12" fill="{COLOURS[state]}">{marks}</g>')
    return shapes


def bars(tallies: Sequence[Tally], boxes: Sequence[Box]) -> list[str]:
    """Along each group's lower edge how much of it is in which state."""
    grounds, parts = "", ""
    for box, tally in zip(boxes, tallies, strict=True):
        x, y, room = box.x + 12, box.y + 45, box.width - 24
        grounds += f'<rect x="{x:g}" y="{y:g}" width="{room:g}" height="5" rx="2"/>'
        for state in (State.DONE, *(other for other in COLOURS if other is not State.DONE)):
            width = room * tally.get(state, 0) / (sum(tally.values()) or 1)
            if width and state is not State.WAITING:
                parts += (
                    f'<rect x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="5" fill="{COLOURS[state]}"/>'
                )
            x += width
    return [f'<g fill="{ARROWS}" fill-opacity=".25">{grounds}</g>', parts]


def text_shapes(told: Drawing) -> list[str]:
    """Labels, and of groups the words below them."""
    x, y = (12, 19) if told.words else (32, 20)
    lines = [f'<g font-size="12.5" font-weight="600" fill="{INK}">{texts(told, told.labels, x, y)}</g>']
    if told.words:
        lines.append(f'<g font-size="11" fill="{INK}">{texts(told, told.words, 12, 36)}</g>')
    return lines


def texts(told: Drawing, words: Sequence[str], x: float, y: float) -> str:
    """The words, each at the same place of its box."""
    return "".join(
        f'<text x="{box.x + x:g}" y="{box.y + y:g}">{escape(text)}</text>'
        for text, box in zip(words, told.places.boxes, strict=True)
    )
