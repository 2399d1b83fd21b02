"""Which way imports point, who may import what, and how big and how named things are.

docs/architecture.md explains the table below; here it is held. A new file gets its place in it,
or the first test fails.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "elfbook"

# From the ground up: a folder a layer. A module imports from layers below its own and, within its
# layer, from modules named before it. Folders' own `__init__` files hold a sentence and nothing else.
FOLDERS: dict[str, tuple[str, ...]] = {
    "words": (
        "version", "errors", "model", "facts", "wire", "seals", "words", "progress",
    ),
    "code": (
        "cells", "declared", "likeness", "statements", "locate", "parts", "refusals", "closure",
        "evidence", "needs", "source",
    ),
    "tracing": (
        "evaluate", "making", "plain", "values", "nodes", "elves", "expr", "graph", "trace",
    ),
    "log": (
        "states", "fold", "doubt", "deadlines", "reach", "lineup", "snapshot",
    ),
    "view": (
        "failures", "groups", "layout", "arrows", "outline", "picture", "said", "waiting", "drawing", "endings",
        "view", "acted", "textform", "page", "report", "messages", "panelmessages", "typescript", "overview",
        "arguments", "changing", "board", "detail",
    ),
    "store": (
        "beside", "address", "greeting", "messages", "answers", "questions", "link", "reach", "marks", "streams",
        "pressure", "writer", "aside", "blobs", "follow",
        "shelf", "place", "ground", "mycelium", "server", "graphstore",
    ),
    "work": (
        "attempts", "claims", "channel", "memory", "replies", "kernel", "lines", "outputs", "parcels", "processes", "pulse",
        "fence", "room", "shim", "bench", "ends", "fencing", "commits", "reports", "packages", "worker", "workerprocess",
    ),
    "host": (
        "hostfile", "placement", "card", "deadlines", "lead", "leftovers", "limits", "feed", "situation",
        "snapshots", "uptake", "scheduler", "schedulerprocess", "children", "ledger", "withheld", "storekeeper", "serving", "host",
    ),
    "client": (
        "local", "portal", "outward", "ear", "watched", "talk", "noted", "pausing", "client", "runlist",
    ),
    "notebook": (
        "traces", "body", "grammar", "policies", "ipython", "naming", "pages", "roster", "strays", "texts",
        "vocabulary", "checks", "connection", "helppages", "jobs", "live", "acts", "board", "boardpage",
        "runs", "notebook", "revive", "verbs", "pausing", "flows",
    ),
    "server": (
        "frames", "doing", "boards", "desk", "door", "extension",
    ),
}
LAYERS: dict[str, tuple[str, ...]] = {
    layer: names if layer == "words" else tuple(f"{layer}.{name}" for name in names)
    for layer, names in FOLDERS.items()
}
LAYERS["entries"] = (
    "demo", "entry.typescript", "entry.show", "entry.watch", "entry.complete", "entry.magics", "cli", "__init__", "__main__",
)  # fmt: skip
PURE = ("words", "code", "tracing", "log", "view")

# Every library from outside the standard library, and the files that alone may import it.
OWNERS: dict[str, set[str]] = {
    "IPython": {"notebook.ipython"},
    "anywidget": {"notebook.board"},
    "cloudpickle": {"tracing.values"},
    "graphviz": {"view.drawing"},
    "ipykernel": {"work.shim"},
    "jupyter_client": {"work.kernel"},
    "jupyter_server": {"server.door"},
    "nats": {"store.link"},
    "numpy": {"tracing.plain"},
    "platformdirs": {"store.place"},
    "tornado": {"server.door"},
}
# No outside system but the way types are written down here, so every file may use it.
EVERYONES = {"msgspec"}

# The name a distribution installs under, where it is not the name it is imported by.
DISTRIBUTIONS = {"IPython": "ipython", "jupyter_client": "jupyter-client", "nats": "nats-py"}

# Imported only if the user's own environment has them.
OPTIONAL = {"numpy", "matplotlib", "jupyter_server", "tornado"}

# An import that may point up, and why.
UPWARD = {("work.fence", "__init__"): "run inside kernels: takes elfbook where the kernel's environment has it"}

# Sent to worker kernels as source text, so they stand on the standard library alone.
SHIPPED: dict[str, set[str]] = {
    "tracing.plain": {"numpy"},
    "tracing.values": {"cloudpickle"},
    "tracing.evaluate": set(),
    "code.cells": set(),
    "work.fence": set(),
    "work.replies": set(),
    "work.room": set(),
    "work.shim": {"ipykernel"},
}

PURE_MODULES = tuple(name for layer in PURE for name in LAYERS[layer] if name != "view.drawing")
IMPURE = {"asyncio", "glob", "http", "os", "random", "secrets", "shutil", "signal", "socket", "subprocess",
          "tempfile", "threading", "time", "urllib"}
# What a pure module may take from such a library, with the reason.
PURE_EXCEPTIONS: dict[tuple[str, str], str] = {}

NEVER = {"manager", "handler", "helper", "util", "common", "base", "core", "engine", "service",
         "context", "processor", "wrapper", "info", "payload"}
# Names that outside libraries ask for.
GIVEN_NAMES: set[str] = set()


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by name; one in a folder as `folder.name`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("")
        if path.name == "__init__.py" and path.parent != PACKAGE:
            continue
        found[".".join(place.parts)] = path
    return found


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text())


def nodes(name: str, *, types: bool) -> Iterator[ast.AST]:
    """Every node of a module, or (`types`) those that are there for annotations only."""
    def walk(node: ast.AST, within: bool) -> Iterator[ast.AST]:
        within = within or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        if within == types:
            yield node
        for child in ast.iter_child_nodes(node):
            yield from walk(child, within)

    return walk(tree_of(name), False)


def imports(name: str, *, types: bool = False) -> set[tuple[str, str]]:
    """(library, "") or ("elfbook", module) of every import, wherever in the file it stands."""
    found: set[tuple[str, str]] = set()
    for node in nodes(name, types=types):
        if isinstance(node, ast.Import):
            for alias in node.names:
                library, _, rest = alias.name.partition(".")
                found.add((library, (rest or "__init__") if library == "elfbook" else ""))
        elif isinstance(node, ast.ImportFrom):
            module = "elfbook" if node.level else ""
            module = ".".join(part for part in (module, node.module) if part)
            library, _, rest = module.partition(".")
            if library != "elfbook":
                found.add((library, ""))
            elif rest in modules():
                found.add((library, rest))
            else:
                inner = {f"{rest}.{alias.name}".lstrip(".") for alias in node.names}
                found |= {("elfbook", part if part in modules() else "__init__") for part in inner}
    return found


def outside(name: str) -> set[str]:
    """The libraries that a module imports and that Python does not bring."""
    return {library for library, _ in imports(name)} - {"elfbook"} - set(sys.stdlib_module_names)


def present(names: Iterable[str]) -> list[str]:
    """Those of the names that are there; `test_every_module_has_its_place` tells of the others."""
    return [name for name in names if name in modules()]


def rank(name: str) -> tuple[int, int]:
    """A module's place: larger is higher up."""
    for level, members in enumerate(LAYERS.values()):
        if name in members:
            return level, members.index(name)
    raise LookupError(name)


def test_every_module_has_its_place() -> None:
    placed = [name for members in LAYERS.values() for name in members]
    assert len(placed) == len(set(placed))
    assert sorted(set(modules()) - set(placed)) == [], "place it in LAYERS"
    assert sorted(set(placed) - set(modules())) == [], "gone: take it out of LAYERS"


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name: str) -> None:
    upward = {inner for library, inner in imports(name) if library == "elfbook" and rank(inner) >= rank(name)}
    assert {inner for inner in upward if (name, inner) not in UPWARD} == set()


@pytest.mark.parametrize("name", modules())
def test_an_annotation_reaches_no_higher_layer(name: str) -> None:
    """What is imported for type checkers only may stand beside, but not above."""
    named = {inner for library, inner in imports(name, types=True) if library == "elfbook"}
    assert {inner for inner in named if rank(inner)[0] > rank(name)[0]} == set()


@pytest.mark.parametrize("name", modules())
def test_an_outside_library_is_imported_by_its_owner(name: str) -> None:
    foreign = outside(name) - EVERYONES
    assert {library for library in foreign if name not in OWNERS.get(library, set())} == set()


def test_owners_own_something() -> None:
    claimed = {(library, name) for library, names in OWNERS.items() for name in present(names)}
    assert {(library, name) for library, name in claimed if library not in outside(name)} == set()


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    needed = {library for name in modules() for library in outside(name)} - OPTIONAL
    assert {DISTRIBUTIONS.get(library, library) for library in needed} - declared == set()


@pytest.mark.parametrize("name", present(SHIPPED))
def test_what_is_sent_to_kernels_stands_alone(name: str) -> None:
    assert outside(name) <= SHIPPED[name]
    inside = {inner for library, inner in imports(name) if library == "elfbook"}
    assert {inner for inner in inside if (name, inner) not in UPWARD} == set()
    assert not any(node.level for node in ast.walk(tree_of(name)) if isinstance(node, ast.ImportFrom))


@pytest.mark.parametrize("name", present(PURE_MODULES))
def test_pure_modules_know_no_clock_and_no_world(name: str) -> None:
    reached = {library for library, _ in imports(name)} & IMPURE
    assert {library for library in reached if (name, library) not in PURE_EXCEPTIONS} == set()
    waiting = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    assert [node.lineno for node in ast.walk(tree_of(name)) if isinstance(node, waiting)] == []
    calls = [ast.unparse(node.func) for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call)]
    assert {"open", "print", "input", "exec"} & set(calls) == set()


def definitions(name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in ast.walk(tree_of(name)) if isinstance(node, kinds)]


@pytest.mark.parametrize("name", modules())
def test_a_file_is_short(name: str) -> None:
    length = modules()[name].read_text().count("\n")
    assert length <= 400


@pytest.mark.parametrize("name", modules())
def test_a_function_is_short(name: str) -> None:
    """Docstring not counted: what is promised may take its room."""
    def lines(node: ast.AST) -> int:
        doc = node.body[0] if ast.get_docstring(node) else None
        return node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)

    functions = [node for node in definitions(name) if not isinstance(node, ast.ClassDef)]
    assert {node.name: lines(node) for node in functions if lines(node) > 50} == {}


def parts(name: str) -> set[str]:
    """`readNodeText` and `read_node_text` to {read, node, text}."""
    return {part.lower().removesuffix("s") for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("name", modules())
def test_names_say_something(name: str) -> None:
    named = [*name.split("."), *(node.name for node in definitions(name))]
    assert [word for word in named if parts(word) & NEVER and word not in GIVEN_NAMES] == []


@pytest.mark.parametrize("name", modules())
def test_a_module_says_what_it_is_for(name: str) -> None:
    said = ast.get_docstring(tree_of(name)) or ""
    assert said, "no docstring"
    assert len(said.splitlines()[0]) <= 100


@pytest.mark.parametrize("name", modules())
def test_no_error_is_swallowed(name: str) -> None:
    """`except Exception: pass` hides a bug; so does a bare except."""
    broad = {"Exception", "BaseException"}
    silent = [
        node.lineno
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in broad)
        and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
    ]
    assert silent == []
