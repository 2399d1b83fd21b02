"""A run as HTML that needs nothing: no scripts, no styles, no ids, no network.

GitHub, e-mail and an untrusted notebook take away much of a page; what is left has to read
well. So everything is in words, tables and `details`, and the picture is an image with a text
alternative. Text from workers is escaped; their HTML is never inserted.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from elfbook.model import Struct
from elfbook.view.failures import plain
from elfbook.view.groups import MOST_GROUPS, FailureGroup, group_lines, rest_of, summary_of
from elfbook.view.picture import svg
from elfbook.view.said import Figure
from elfbook.view.textform import MOST_OUTPUTS, rest_of_outputs, rest_of_rows, table
from elfbook.view.view import RunView
from elfbook.words import listing, printable

LIMIT = 20_000
"""Bytes of a page without its figures: what a notebook can keep of every run for years."""

MOST_FIGURES = 4
LARGEST_FIGURE = 200_000


class Part(Struct, frozen=True):
    """One piece of the page. Those that may be left out say what they are."""

    html: str
    name: str = ""
    """`the picture`; empty for what every page has."""
    order: int = 0
    """Small ones are kept first when room is short."""
    free: bool = False
    """True for what does not count: figures have a limit of their own."""


def page(view: RunView, *, figures: bool = True, most_bytes: int = LIMIT) -> str:
    """The settled page: at most `most_bytes`, figures aside; it says what it leaves out."""
    parts = [
        Part(paragraph(f"<strong>{safe(f'{view.glyph} flow {view.flow}')}</strong>", rest_of_title(view))),
        Part(picture_html(view), "the picture", 2),
        Part(table_html(view)),
        Part(lines_html(view.progress)),
        Part(lines_html(view.reasons)),
        *failure_parts(view),
        Part(lines_html(view.skipped)),
        *output_parts(view, figures=figures),
        Part(steps_html(view)),
        Part(paragraph(safe(" · ".join(view.remarks)))),
    ]
    kept, left_out = fitted([part for part in parts if part.html], most_bytes)
    body = "\n".join(part.html for part in kept)
    if left_out:
        what = safe(f"left out to keep this page small: {listing(left_out)}; all of it:  ")
        body += f"\n<p>{what}<code>{safe(f'%elf show {view.reference}')}</code></p>"
    return f"<div>{body}</div>"


def fitted(parts: list[Part], most_bytes: int) -> tuple[list[Part], list[str]]:
    """The parts that fit, in their order on the page, and the names of the others."""
    note = 600  # the sentence about what is missing, and the div
    room = most_bytes - note - sum(size(part) for part in parts if not (part.name or part.free))
    dropped = set()
    for index in sorted(range(len(parts)), key=lambda index: (parts[index].order, index)):
        part = parts[index]
        if not part.name:
            continue
        if size(part) <= room:
            room -= size(part)
        else:
            dropped.add(index)
    kept = [part for index, part in enumerate(parts) if index not in dropped]
    return kept, [parts[index].name for index in sorted(dropped)]


def size(part: Part) -> int:
    return len(part.html.encode()) + 1


def safe(text: str) -> str:
    """Foreign text as HTML: nothing in it can become an element or leave an attribute."""
    return escape(printable(text))


# ---------------------------------------------------------------------------- parts


def paragraph(*html: str) -> str:
    joined = "".join(html)
    return f"<p>{joined}</p>" if joined else ""


def rest_of_title(view: RunView) -> str:
    """The title behind `flow party`."""
    return safe(view.title.removeprefix(f"flow {view.flow}"))


def lines_html(lines: Iterable[str]) -> str:
    return paragraph("<br>\n".join(safe(line) for line in lines))


def picture_html(view: RunView) -> str:
    """The graph as an image; in words for those who do not see it."""
    return image("image/svg+xml", svg(view.drawn, view.tallies), view.alt) if view.rows else ""


def image(mime: str, data: str, alt: str) -> str:
    """An image inside the page. As an image even an SVG can neither run a script nor load anything."""
    encoded = b64encode(data.encode()).decode() if mime == "image/svg+xml" else data
    return f'<img alt="{safe(alt)}" src="data:{mime};base64,{encoded}">'


def table_html(view: RunView) -> str:
    """One row for each task, with headings that a screen reader announces."""
    head, *rows = table(view)
    lines = ["<table><thead><tr>" + "".join(f'<th scope="col">{safe(cell)}</th>' for cell in head)]
    lines[0] += "</tr></thead><tbody>"
    for task, *cells in rows:
        row = f'<tr><th scope="row">{safe(task)}</th>'
        lines.append(row + "".join(f"<td>{safe(cell)}</td>" for cell in cells) + "</tr>")
    lines.append("</tbody></table>")
    return "\n".join(lines) + paragraph(safe(rest_of_rows(view)))


def failure_parts(view: RunView, most: int = MOST_GROUPS) -> list[Part]:
    """Each distinct failure, open: what went wrong is what a reader came for."""
    parts = []
    if len(view.groups) > 1:
        parts.append(Part(paragraph(safe(summary_of(view.groups)))))
    for group in view.groups[:most]:
        parts.append(Part(failure_html(view, group), f"the trace of {group.first.label}", 1))
    if most == MOST_GROUPS:
        parts.append(Part(paragraph(safe(rest_of(view.groups)))))
    return parts


def failure_html(view: RunView, group: FailureGroup) -> str:
    """The call as summary, its trace below."""
    first, *lines = group_lines(group, view.labels, flow=view.flow, static=view.static)
    return details(first.text, pre(plain(lines)), opened=True)


def details(summary: str, html: str, *, opened: bool = False) -> str:
    """A block that opens."""
    return f"<details{' open' if opened else ''}><summary>{safe(summary)}</summary>{html}</details>"


def pre(lines: Iterable[str]) -> str:
    # An HTML parser drops one line break right after <pre>; this is the one.
    return "<pre>\n" + safe("\n".join(lines)) + "</pre>"


def output_parts(view: RunView, *, figures: bool) -> list[Part]:
    """What the jobs printed and drew, each under the job's name."""
    parts: list[Part] = []
    shown = 0
    for output in view.outputs[:MOST_OUTPUTS]:
        if output.lines:
            html = details(f"output of {output.label}:", pre(output.last_lines), opened=True)
            parts.append(Part(html, f"the output of {output.label}", 3))
        for figure, caption in zip(output.figures, output.captions, strict=True):
            fits = figures and shown < MOST_FIGURES and len(figure.data) <= LARGEST_FIGURE
            shown += fits
            parts.append(Part(figure_html(figure, caption) if fits else paragraph(safe(caption)), free=fits))
    parts.append(Part(paragraph(safe(rest_of_outputs(view)))))
    return parts


def figure_html(figure: Figure, caption: str) -> str:
    """An image under the name of the job that drew it."""
    return paragraph(safe(caption), "<br>", image(figure.mime, figure.data, caption))


def steps_html(view: RunView) -> str:
    """What to type next."""
    steps = [f"{safe(step.why)} <code>{safe(step.words)}</code>" for step in view.steps]
    return paragraph("next: ", "<br>\n".join(steps)) if steps else ""
