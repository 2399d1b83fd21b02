"""What README promises is what is there: commands, cells, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def cells(name: str) -> list[str]:
    """The sources of a tutorial's code cells."""
    book = json.loads((ROOT / "notebooks" / name).read_text())
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    (command,) = [block.strip() for block in blocks("bash") if "pytest" in block]
    assert "\n" not in command
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()
    assert command in (ROOT / "CONTRIBUTING.md").read_text().splitlines()


def test_the_first_command_is_one_line_that_ends_in_the_demo() -> None:
    first = blocks("bash")[0].strip()
    assert "\n" not in first
    assert first.endswith("elfbook demo")


def test_the_tour_is_the_first_tutorial() -> None:
    tour = [block.strip() for block in blocks("python")]
    assert len(tour) >= 5
    taught = cells("01_first_flow.ipynb")
    assert [cell for cell in tour if cell not in taught] == []


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


SOURCE = re.compile(r'<(?:img|source)[^>]*?(?:src|srcset)="([^"]+)"')
MOST_BYTES = 1_500_000


def test_pictures_are_there_in_words_too_and_small_together() -> None:
    shown = {page.parent / name for page in PAGES for name in SOURCE.findall(page.read_text())}
    assert len(shown) == 8
    assert [path.name for path in shown if not path.exists()] == []
    assert sum(path.stat().st_size for path in shown) <= MOST_BYTES
    images = [tag for page in PAGES for tag in re.findall(r"<img[^>]*>", page.read_text())]
    assert all(re.search(r'alt="[^"]{40,}"', tag) for tag in images)


def test_the_guarantees_name_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "docs" / "guarantees.md").read_text()))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
