"""What code cannot load without: its imports at the top, of libraries that are not always there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from elfbook.code.cells import read, span
from elfbook.code.needs import needs_of
from elfbook.host.placement import Placement
from elfbook.model import Beat, Piece


def piece(text: str, module: str = "__main__") -> Piece:
    return Piece("<cell>", "Cell In[1]", text, tuple(map(span, read(text).body)), module)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("import scipy", ("scipy",)),
        ("import numpy as np, os.path", ("numpy",)),
        ("import matplotlib.pyplot as plt\nfrom sklearn.svm import SVC", ("matplotlib", "sklearn")),
        ("import json\nfrom collections import deque\nfrom __future__ import annotations", ()),
        ("from elfbook import Elf\nfrom IPython.display import HTML", ()),
        ("def f():\n    import torch\n    return torch", ()),
        ("try:\n    import cupy as xp\nexcept ImportError:\n    xp = None", ()),
        ("import sys\nif sys.platform == 'win32':\n    import winreg2", ()),
        ("from . import sibling\nfrom .sibling import x", ()),
        ("x = 1", ()),
    ],
)
def test_what_a_piece_needs(text: str, needs: tuple[str, ...]) -> None:
    assert needs_of([piece(text)]) == needs


def test_what_comes_with_the_code_is_not_needed() -> None:
    pieces = [piece("import torch", "zoo.animals"), piece("import zoo.animals\nfrom zoo import keeper")]
    assert needs_of(pieces) == ("torch",)


def test_only_the_statements_that_are_run_count() -> None:
    text = "import torch\nimport scipy\n"
    assert needs_of([Piece("<cell>", "", text, ((2, 2),))]) == ("scipy",)


def beat(worker: str, pool: str = "main", only: tuple[str, ...] = (), **modules: bool) -> Beat:
    return Beat(worker=worker, host="h", pool=pool, only=only, modules=modules)


def placed(*beats: Beat) -> Placement:
    made = Placement(SimpleNamespace())
    for each in beats:
        made.hear(each)
    return made


@pytest.mark.parametrize(
    ("beats", "needs", "able"),
    [
        ([], (), None),
        ([], ("scipy",), []),
        ([beat("w1")], (), None),
        ([beat("w1")], ("scipy",), []),  # not known yet
        ([beat("w1", scipy=True)], ("scipy",), None),
        ([beat("w1", scipy=True), beat("w2", scipy=True)], ("scipy",), None),
        ([beat("w1", scipy=True), beat("w2", scipy=False)], ("scipy",), ["w1"]),
        ([beat("w1", scipy=True), beat("w2")], ("scipy",), ["w1"]),
        ([beat("w1", scipy=True, torch=False), beat("w2", scipy=False, torch=True)], ("scipy", "torch"), []),
        ([beat("w1", pool="gpu", scipy=True), beat("w2", scipy=False)], ("scipy",), []),
        ([beat("w1", only=("ann",), scipy=True), beat("w2", scipy=False)], ("scipy",), []),
    ],
)
def test_who_has_what_jobs_need(beats: list[Beat], needs: tuple[str, ...], able: list[str] | None) -> None:
    assert placed(*beats).able("main", needs) == able


def test_a_worker_that_tells_more_is_news_and_is_asked_for_the_rest() -> None:
    place = placed(beat("w1"))
    assert not place.hear(beat("w1"))
    place.wanted.update({"scipy", "torch"})
    assert place.unknown(place.beats.values()) == {"scipy", "torch"}
    assert place.hear(beat("w1", scipy=False))
    assert place.unknown(place.beats.values()) == {"torch"}
    assert place.lacking("main") == (("scipy",),)
    assert not place.hear(beat("w1", scipy=False))
