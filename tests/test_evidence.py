"""An elf that was read is read again exactly when something that it reaches has changed."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elfbook.code.source import Outside, Reading, SourceText, reading_of
from elfbook.model import ValueRef
from elfbook.notebook.texts import Texts
from elfbook.tracing import values


def encoded(value: object) -> ValueRef:
    data = b"".join(bytes(piece) for piece in values.encode(value, b"key"))
    return ValueRef(digest=hashlib.sha256(data).hexdigest(), size=len(data), inline=data)


class Cells:
    """Cells that have run, and the reading of one class of theirs."""

    def __init__(self, *cells: str) -> None:
        self.names: dict = {"__name__": "__main__", "__builtins__": builtins}
        self.texts: dict[str, SourceText] = {}
        self.files = Texts(None)
        for cell in cells:
            self.run(cell)

    def run(self, text: str) -> None:
        number = len(self.texts) + 1
        source = SourceText(f"/tmp/ipykernel_7/{number}.py", f"Cell In[{number}]", textwrap.dedent(text))
        self.texts[source.filename] = source
        exec(compile(source.text, source.filename, "exec", dont_inherit=True), self.names)

    def read(self, name: str = "E") -> Reading:
        outside = Outside(
            lambda filename: self.texts.get(filename) or self.files.of(filename),
            lambda module: self.names if module == "__main__" else vars(sys.modules[module]),
            encoded,
            lambda module: module != "__main__" and not module.startswith("wood_"),
            lambda: list(self.texts.values())[::-1],
        )
        return reading_of(self.names[name], outside)


REACHING = """
import json as form
LIMIT = 3
seen = [1, [2]]
def deepest(x): return x + LIMIT
def deeper(x): return deepest(x)
def deep(x): return deeper(x)
class Base:
    def scale(self, x): return 2 * x
class E(Base):
    def task_a(self, x): return deep(self.scale(x)), seen, form.dumps(x)
"""


CHANGES: dict[str, Callable[[Cells], object]] = {
    "a helper three calls away": lambda cells: cells.run("def deepest(x): return x * LIMIT"),
    "a plain global": lambda cells: cells.names.update(LIMIT=4),
    "a captured list, mutated": lambda cells: cells.names["seen"].append(3),
    "a captured list, mutated deep inside": lambda cells: cells.names["seen"][1].append(3),
    "a module under the same name": lambda cells: cells.run("import pickle as form"),
    "a base class, run again": lambda cells: cells.run("class Base:\n    def scale(self, x): return 3 * x"),
    "a name that is gone": lambda cells: cells.names.pop("deeper"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_reached_has_changed(change: Callable[[Cells], object]) -> None:
    cells = Cells(REACHING)
    reading = cells.read()
    assert reading.evidence.complete
    assert reading.holds(cells.names["E"])
    change(cells)
    assert not reading.holds(cells.names["E"])


def test_a_helper_that_is_gone_is_missed_at_once() -> None:
    cells = Cells(REACHING)
    cells.read()
    del cells.names["deepest"]
    with pytest.raises(Exception, match="deepest"):
        cells.read()


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells.names.update(unrelated=1),
        lambda cells: cells.names.update(seen=cells.names["seen"]),
        lambda cells: cells.names["seen"].append(cells.names["seen"].pop()),
    ],
    ids=["another name", "the same object", "mutated and back"],
)
def test_what_changes_nothing_is_not_read_again(change: Callable[[Cells], object]) -> None:
    cells = Cells(REACHING)
    reading = cells.read()
    change(cells)
    assert reading.holds(cells.names["E"])
    assert cells.read().revision == reading.revision


def test_code_that_is_exchanged_in_place() -> None:
    """As %autoreload does it: the function stays the same object."""
    cells = Cells(REACHING)
    reading = cells.read()
    exec("def other(x): return x - LIMIT", cells.names)
    cells.names["deepest"].__code__ = cells.names["other"].__code__
    assert not reading.holds(cells.names["E"])


def test_an_attribute_that_is_set_on_the_class_or_its_parent() -> None:
    for owner in ("E", "Base"):
        cells = Cells(REACHING)
        reading = cells.read()
        cells.names[owner].scale = lambda self, x: x
        assert not reading.holds(cells.names["E"])


def test_a_cell_that_is_run_again_makes_another_class() -> None:
    cells = Cells(REACHING)
    reading = cells.read()
    cells.run(REACHING)
    assert not reading.holds(cells.names["E"])
    assert cells.read().revision.digest == reading.revision.digest


@pytest.mark.parametrize(
    ("cell", "change"),
    [
        (
            "def f(x): return x\ndef g(x): return -x\ntable = {'f': f}\n"
            "class E:\n    def task_a(self): return table['f'](1)",
            lambda names: names["table"].update(f=names["g"]),
        ),
        (
            "def maker(n):\n    def made(x):\n        nonlocal n\n        return n\n    return made\n"
            "made = maker([1])\nclass E:\n    def task_a(self): return made(1)",
            lambda names: names["made"].__closure__[0].cell_contents.append(2),
        ),
        (
            "import functools\ndef f(a, x): return a\np = functools.partial(f, 1)\n"
            "class E:\n    def task_a(self): return p(1)",
            lambda names: names["p"].__setstate__((names["f"], (2,), {}, {})),
        ),
    ],
    ids=["a dict of functions", "what a function closes over", "a partial"],
)
def test_objects_that_change_without_their_names(cell: str, change: Callable[[dict], object]) -> None:
    cells = Cells(cell)
    reading = cells.read()
    change(cells.names)
    again = cells.read()
    assert again.revision.digest != reading.revision.digest
    assert not reading.holds(cells.names["E"])


def test_a_text_that_is_another_under_the_same_name() -> None:
    """As when a kernel that was attached to a run has had that run's cells under this name before."""
    cells = Cells(REACHING)
    reading = cells.read()
    (filename,) = cells.texts
    cells.texts[filename] = SourceText(filename, "Cell In[1]", REACHING.replace("2 * x", "3 * x"))
    assert not reading.holds(cells.names["E"])


@pytest.fixture
def wood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("wood_")]:
        del sys.modules[name]


def test_a_module_that_is_loaded_again(wood: Path) -> None:
    """Edited alone it is still what runs here; loaded again it is the new text, also one import away."""
    (wood / "wood_deep.py").write_text("def grow(x):\n    return x + 1\n")
    (wood / "wood_near.py").write_text("import wood_deep\n\ndef grow(x):\n    return wood_deep.grow(x)\n")
    cells = Cells("import wood_near\nclass E:\n    def task_a(self, x): return wood_near.grow(x)")
    reading = cells.read()
    assert reading.holds(cells.names["E"])
    (wood / "wood_deep.py").write_text("def grow(x):\n    return x + 1000\n")
    assert reading.holds(cells.names["E"])
    importlib.reload(sys.modules["wood_deep"])
    assert not reading.holds(cells.names["E"])
    again = cells.read()
    assert again.revision.digest != reading.revision.digest
    assert any("1000" in piece.text for piece in again.revision.pieces)
    assert again.holds(cells.names["E"])


def test_a_cell_that_says_where_an_object_comes_from(wood: Path) -> None:
    """The name means the same object as before, and yet the cell tells better how to have it."""
    (wood / "wood_things.py").write_text("things = [1]\n")
    cells = Cells("import wood_things\nthings = wood_things.things\nclass E:\n    def task_a(self): return things")
    reading = cells.read()
    assert reading.holds(cells.names["E"])
    assert reading.revision.captures
    cells.run("from wood_things import things")
    assert not reading.holds(cells.names["E"])
    assert not cells.read().revision.captures
