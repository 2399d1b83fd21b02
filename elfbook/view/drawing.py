"""Graphviz: the `graphviz` package describes a graph, the `dot` program draws it where there is one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from shutil import which
from typing import TYPE_CHECKING

from elfbook.view.outline import Outline
from elfbook.view.picture import ARROWS, COLOURS, INK, Tally, leading, state_line
from elfbook.words import count, printable

if TYPE_CHECKING:
    import graphviz

PATIENCE_S = 10.0
"""A graph that `dot` has not drawn by then may take it for ever."""


def digraph(drawn: Outline, tallies: Sequence[Tally], name: str = "elfbook") -> graphviz.Digraph:
    """The same picture as a graphviz description. Only attributes that cannot make `dot` hang."""
    import graphviz  # few are asked for a drawing, and everybody would wait for it at the start

    # `splines=curved` did not end in 25 s on 1,000 nodes, `ortho` crashed: neither is used.
    described = graphviz.Digraph(
        graphviz.escape(printable(name)),
        graph_attr={"rankdir": "LR", "bgcolor": "transparent"},
        node_attr={"shape": "box", "style": "rounded", "fontname": "sans-serif", "fontcolor": INK},
        edge_attr={"color": ARROWS, "fontname": "sans-serif"},
    )
    for number, (node, tally) in enumerate(zip(drawn.nodes, tallies, strict=True)):
        label = graphviz.escape(printable(node.label)) + "\\n" + state_line(node, tally)
        described.node(f"n{number}", graphviz.nohtml(label), color=COLOURS[leading(tally)])
    for arrow in drawn.arrows:
        attributes = {"style": "dashed"} if arrow.control else {}
        label = f"× {count(arrow.count)}" if arrow.count > 1 else None
        described.edge(f"n{arrow.source}", f"n{arrow.target}", label=label, **attributes)
    return described


def dot_svg(source: str) -> str | None:
    """The SVG that `dot` draws of the description; None without the program or in due time."""
    program = which("dot")
    if program is None:
        return None
    try:
        drawn = subprocess.run(
            [program, "-Tsvg"],
            input=source.encode(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
            start_new_session=True,  # an interrupt of the notebook is not meant for it
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return drawn.stdout.decode(errors="replace")
