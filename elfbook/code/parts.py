"""The parts that code is made of, put in an order in which they can be run.

A part is one thing that must be there before other code works: statements of a cell, an
import, a value, a whole module of the user's. Parts know what they need; a need is *now* when
running the part itself looks it up (a class its bases, a function its decorators and defaults).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from elfbook.code.cells import span
from elfbook.code.locate import Script
from elfbook.code.statements import Use, given
from elfbook.model import Capture, Piece

MAIN = "__main__"
Lines = tuple[int, int]


@dataclass(eq=False, kw_only=True)
class Part:
    """One thing that must be there before the code that needs it works."""

    code: frozenset[str]
    """Normal forms, for digests."""
    needs: list[tuple[Use | None, Part]] = field(default_factory=list)
    """What it needs, with the use that asks for it; None for a need of the whole."""

    def now(self) -> list[Part]:
        """The parts that must be there before this one runs."""
        return [part for use, part in self.needs if use is not None and use.now]


@dataclass(eq=False, kw_only=True)
class Statement(Part):
    """Statements of one cell that belong together, mostly a single one."""

    script: Script
    lines: tuple[Lines, ...]
    nodes: list[ast.stmt]
    uses: tuple[Use, ...]
    stored: frozenset[str]
    """Globals that its functions set when they are called."""

    @property
    def title(self) -> str:
        """The name that a person knows it by."""
        return min(given(self.nodes[0]), default="this cell")


@dataclass(eq=False, kw_only=True)
class Alias(Part):
    """A second name for something that another statement defines."""

    line: str

    def now(self) -> list[Part]:
        return [part for _, part in self.needs]


@dataclass(eq=False, kw_only=True)
class ImportLine(Part):
    line: str


@dataclass(eq=False, kw_only=True)
class Captured(Part):
    capture: Capture


@dataclass(eq=False, kw_only=True)
class WholeModule(Part):
    """A module of the user's own, to be run from top to bottom as an import would."""

    name: str
    script: Script
    loads: dict[ast.stmt, list[WholeModule]] = field(default_factory=dict)
    """For a top-level statement, the modules whose import it would begin."""


def reach(parts: Iterable[Part]) -> list[Part]:
    """Return these parts and everything that they need, now or later."""
    found: dict[Part, None] = {}
    todo = list(parts)
    while todo:
        part = todo.pop()
        if part not in found:
            found[part] = None
            todo += [each for _, each in part.needs]
    return list(found)


def digest(code: Iterable[str]) -> str:
    """Return the SHA-256 of a set of normal forms, in whatever order they come."""
    sha = hashlib.sha256()
    for each in sorted(set(code)):
        data = each.encode("utf-8", "surrogatepass")
        sha.update(b"%d:" % len(data) + data)
    return sha.hexdigest()


# ---------------------------------------------------------------------- order


def pieces(parts: Iterable[Part], imported: Iterable[str] = ()) -> tuple[Piece, ...]:
    """Return what to run, in order: the user's modules, the imports, the cells' statements.

    `imported` are the names of modules in the order in which their import was complete here.
    Modules that import each other work in that order, and need not in another.
    """
    parts = list(parts)
    lines = sorted(each.line for each in parts if isinstance(each, ImportLine))
    modules = [each for each in parts if isinstance(each, WholeModule)]
    complete = {name: number for number, name in enumerate(imported)}
    return (
        *_run_modules(sorted(modules, key=lambda each: complete.get(each.name, len(complete)))),
        *([_generated(lines, "<elfbook imports>", "imports")] if lines else []),
        *_grouped(in_order([each for each in parts if isinstance(each, Statement | Alias)])),
    )


def captures(parts: Iterable[Part]) -> tuple[Capture, ...]:
    """Return the values among the parts, by name."""
    found = [each.capture for each in parts if isinstance(each, Captured)]
    return tuple(sorted(found, key=lambda each: each.name))


def in_order(parts: list[Part]) -> list[Part]:
    """Return statements in an order in which each finds what it needs now.

    What is needed now may be called now, so all that it reaches goes before as well. Apart from
    that, the cell that was found last comes first, and lines within a cell stay as they are.
    """
    scripts = [each.script for each in parts if isinstance(each, Statement)]
    place = {each: index for index, each in reversed(list(enumerate(scripts)))}

    def original(part: Part) -> tuple[int, tuple[Lines, ...]]:
        return (-place[part.script], part.lines) if isinstance(part, Statement) else (1, ())

    out: dict[Part, None] = {}
    begun: set[Part] = set()
    deepened: set[Part] = set()

    def ready(part: Part, deep: bool) -> None:
        if part not in begun:
            begun.add(part)
            for each in sorted(set(part.now()) & wanted, key=original):
                ready(each, deep=True)
            out[part] = None
        if deep and part not in deepened:
            deepened.add(part)
            for each in sorted({inner for _, inner in part.needs} & wanted, key=original):
                ready(each, deep=True)

    wanted = set(parts)
    for part in sorted(parts, key=original):
        ready(part, deep=False)
    return list(out)


def _run_modules(modules: list[WholeModule]) -> list[Piece]:
    """Return the modules' statements in the order in which importing them would run them."""
    out: list[Piece] = []
    begun: set[WholeModule] = set()

    def run(module: WholeModule) -> None:
        begun.add(module)
        lines: list[Lines] = []
        for node in module.script.body:
            for other in module.loads.get(node, ()):
                if other not in begun:
                    if lines:
                        out.append(_piece(module.script, lines, module.name))
                        lines = []
                    run(other)
            lines.append(span(node))
        if lines or not module.script.body:
            out.append(_piece(module.script, lines, module.name))

    loaded = {each: _loaded(each) for each in modules}
    for module in modules:
        # of modules that import each other, the one that was complete last was begun first
        cycle = [each for each in modules if each in loaded[module] and module in loaded[each]]
        for each in [*cycle[::-1], module]:
            if each not in begun:
                run(each)
    return out


def _loaded(module: WholeModule) -> set[WholeModule]:
    """The modules that importing this one loads, and those that they load."""
    found: set[WholeModule] = set()
    todo = [module]
    while todo:
        for others in todo.pop().loads.values():
            todo += [each for each in others if each not in found]
            found.update(others)
    return found


def _grouped(parts: list[Part]) -> list[Piece]:
    out: list[Piece] = []
    group: list[Statement] = []
    for part in [*parts, None]:
        if group and (not isinstance(part, Statement) or part.script is not group[0].script):
            out.append(_piece(group[0].script, [pair for each in group for pair in each.lines], MAIN))
            group = []
        if isinstance(part, Statement):
            group.append(part)
        elif isinstance(part, Alias):
            out.append(_generated([part.line], f"<elfbook: {part.line}>", "names"))
    return out


def _piece(script: Script, lines: Iterable[Lines], module: str) -> Piece:
    source = script.source
    every = tuple(dict.fromkeys([*map(span, script.future), *lines]))
    return Piece(filename=source.filename, label=source.label, text=source.text, lines=every, module=module)


def _generated(lines: list[str], filename: str, label: str) -> Piece:
    numbers = tuple((number, number) for number in range(1, len(lines) + 1))
    return Piece(filename=filename, label=label, text="\n".join(lines) + "\n", lines=numbers)
