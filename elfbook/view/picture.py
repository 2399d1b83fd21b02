"""An outline as an SVG image of our own layout: nothing but Python is needed to see a graph."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape

from elfbook.facts import State
from elfbook.model import Struct
from elfbook.view.layout import Box, Layout, layout
from elfbook.view.outline import Arrow, Node, Outline
from elfbook.words import GLYPHS, count, printable, shorten

ROOM = 720
"""Pixels that a notebook's output has at least."""

TALLEST = 1200
"""Pixels; a longer chain is drawn smaller, so that the page below it stays in reach."""

MARGIN = 6
LABEL_LENGTH = 26
TALLY_LENGTH = 34
NARROWEST = 64

INK = "#111"
ARROWS = "#808080"
"""Seen on a white page (4.0 to 1) and on a dark one (4.7 to 1): the picture is transparent."""


class Look(Struct, frozen=True):
    """Colours of one state; after Okabe and Ito, told apart by the colour-blind too."""

    fill: str
    stroke: str


LOOKS: dict[State, Look] = {
    State.FAILED: Look("#fce3d6", "#d55e00"),
    State.RUNNING: Look("#d9eefb", "#0072b2"),
    State.CANCELLED: Look("#f7e4ef", "#b0558c"),
    State.SKIPPED: Look("#e6e6e6", "#6b6b6b"),
    State.WAITING: Look("#fafafa", "#6b6b6b"),
    State.DONE: Look("#d6f0e7", "#00805d"),
}
"""In the order in which a group of jobs takes its colour: trouble first."""

Tally = Mapping[State, int]


def state_line(node: Node, tally: Tally) -> str:
    """`✗ failed` for one job, `996 done, 4 failed` for several."""
    if len(node.jobs) == 1:
        return next((f"{GLYPHS[state]} {state}" for state in LOOKS if tally.get(state)), "")
    present = [state for state in (State.DONE, *LOOKS) if tally.get(state)]
    return ", ".join(f"{count(tally[state])} {state}" for state in dict.fromkeys(present))


def leading(tally: Tally) -> State:
    """The state that gives the box its colour."""
    return next((state for state in LOOKS if tally.get(state)), State.WAITING)


def columns_of(text: str) -> int:
    """The text's width in columns: East Asian characters take two."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


# ---------------------------------------------------------------------------- SVG


def svg(drawn: Outline, tallies: Sequence[Tally]) -> str:
    """One SVG image without ids, scripts or style sheets; at most ROOM pixels wide."""
    texts = [
        (shorten(printable(node.label), LABEL_LENGTH), shorten(state_line(node, tally), TALLY_LENGTH))
        for node, tally in zip(drawn.nodes, tallies, strict=True)
    ]
    widths = [float(max(NARROWEST, 16 + 7 * columns_of(a), 16 + 6 * columns_of(b))) for a, b in texts]
    edges = [(arrow.source, arrow.target) for arrow in drawn.arrows]
    places = layout(widths, edges, room=ROOM - 2 * MARGIN)
    side = MARGIN + (34 if any(arrow.target <= arrow.source for arrow in drawn.arrows) else 0)
    width, height = places.width + MARGIN + side, places.height + 2 * MARGIN
    scale = min(1.0, ROOM / width, TALLEST / height)
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' width="{width * scale:.0f}" height="{height * scale:.0f}"'
            f' viewBox="{-MARGIN} {-MARGIN} {width:g} {height:g}" font-family="system-ui,sans-serif"'
            ' font-size="12" text-anchor="middle">',
            *arrow_shapes(drawn.arrows, places),
            *box_shapes(tallies, places.boxes),
            *text_shapes(texts, places.boxes),
            "</svg>",
        ]
    )


def arrow_shapes(arrows: Sequence[Arrow], places: Layout) -> list[str]:
    """All value edges as one path, all control edges as one dashed path, heads, multiplicities."""
    curves: dict[bool, list[str]] = {False: [], True: []}
    heads: list[str] = []
    numbers: list[str] = []
    for arrow in arrows:
        source, target = places.boxes[arrow.source], places.boxes[arrow.target]
        if arrow.target > arrow.source:
            curve, head, (x, y) = down(source, target)
        else:
            curve, head, (x, y) = back(source, target, places.width)
        curves[arrow.control].append(curve)
        heads.append(head)
        if arrow.count > 1:
            numbers.append(f'<text x="{x:g}" y="{y:g}">× {count(arrow.count)}</text>')
    shapes = [
        f'<path d="{"".join(parts)}" fill="none" stroke="{ARROWS}"{dashes}/>'
        for parts, dashes in ((curves[False], ""), (curves[True], ' stroke-dasharray="4 3"'))
        if parts
    ]
    if heads:
        shapes.append(f'<path d="{"".join(heads)}" fill="{ARROWS}"/>')
    if numbers:
        # A light edge around dark digits keeps them legible on the arrows and on a dark page.
        halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
        shapes.append(f'<g font-size="10" fill="{INK}" {halo}>{"".join(numbers)}</g>')
    return shapes


def down(source: Box, target: Box) -> tuple[str, str, tuple[float, float]]:
    """Curve, head and middle of an arrow from a box to one below it."""
    x0, y0 = source.middle, source.y + source.height
    x1, y1 = target.middle, target.y - 6
    bend = min((y1 - y0) / 2, 60)
    curve = f"M{x0:g} {y0:g}C{x0:g} {y0 + bend:g} {x1:g} {y1 - bend:g} {x1:g} {y1:g}"
    return curve, f"M{x1:g} {y1 + 6:g}l-4-7h8z", ((x0 + x1) / 2, (y0 + y1) / 2 + 4)


def back(source: Box, target: Box, width: float) -> tuple[str, str, tuple[float, float]]:
    """The same for an arrow that leads to itself or upwards: around the right-hand side."""
    x0, y0 = source.x + source.width, source.y + source.height - 10
    x1, y1 = target.x + target.width + 6, target.y + 10
    far = max(x0, x1, width if target != source else x0) + 16
    curve = f"M{x0:g} {y0:g}C{far:g} {y0:g} {far:g} {y1:g} {x1:g} {y1:g}"
    return curve, f"M{x1 - 6:g} {y1:g}l7-4v8z", (far - 6, (y0 + y1) / 2 + 4)


def box_shapes(tallies: Sequence[Tally], boxes: Sequence[Box]) -> list[str]:
    """The boxes, those of one colour together; a mixed group has a bar with its shares."""
    shapes = []
    for state, look in LOOKS.items():
        same = [box for box, tally in zip(boxes, tallies, strict=True) if leading(tally) is state]
        if same:
            dashes = ' stroke-dasharray="3 2"' if state is State.SKIPPED else ""
            rects = "".join(
                f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="5"/>'
                for box in same
            )
            shapes.append(f'<g fill="{look.fill}" stroke="{look.stroke}"{dashes}>{rects}</g>')
    for box, tally in zip(boxes, tallies, strict=True):
        shapes += shares(box, tally)
    return shapes


def shares(box: Box, tally: Tally) -> list[str]:
    """Along the box's lower edge, how much of a group is in which state."""
    present = [state for state in LOOKS if tally.get(state)]
    if len(present) <= 1:
        return []
    shapes, x, room = [], box.x + 4, box.width - 8
    for state in present:
        width = room * tally[state] / sum(tally.values())
        top = box.y + box.height - 4
        shapes.append(
            f'<rect x="{x:.1f}" y="{top:g}" width="{width:.1f}" height="3" fill="{LOOKS[state].stroke}"/>'
        )
        x += width
    return shapes


def text_shapes(texts: Sequence[tuple[str, str]], boxes: Sequence[Box]) -> list[str]:
    """Label and state of each box."""
    lines = []
    for number, (size, rise) in enumerate(((12, 16), (10.5, 30))):
        words = "".join(
            f'<text x="{box.middle:g}" y="{box.y + rise:g}">{escape(text[number])}</text>'
            for text, box in zip(texts, boxes, strict=True)
        )
        lines.append(f'<g font-size="{size}" fill="{INK}">{words}</g>')
    return lines
