"""What elfbook adds to JupyterLab and Notebook 7, loaded as they load any extension, in Chromium."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import test_lab as lab_tests
from tests.browser.test_board import ELF, Book
from tests.browser.test_board import FLOW as GATED

lab, page, place = lab_tests.lab, lab_tests.page, lab_tests.place
pytestmark = lab_tests.pytestmark
PICTURES = lab_tests.ROOT / "artefacts" / "lab"

FLOW = """%%elf flow crawl --retries 2 --on-lost "retry"  # at night
gate = "class"
Gate().task_fetch(2)"""
PLAIN = "elf = '%%elf flow'\n%timeit -n 1 elf"


@pytest.fixture
def notebook(tmp_path: Path, place: dict[str, str]) -> Iterator[str]:
    """A Notebook 7; gives the address of the folder."""
    if not importlib.util.find_spec("notebook") and not os.environ.get("CI"):
        pytest.skip("no notebook on this machine: pip install notebook")
    books, token = tmp_path / "books", secrets.token_urlsafe(16)
    books.mkdir()
    options = ["--JupyterNotebookApp.expose_app_in_browser=True"]
    with lab_tests.served("notebook", books, place, token, options) as address:
        yield f"{address}/notebooks/{{}}?token={token}"


def told(page: Page) -> list[str]:
    """Every fault that the page names."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    return said


def line(page: Page, cell: int) -> Locator:
    return page.locator(".jp-Notebook .jp-CodeCell").nth(cell).locator(".cm-line").first


def part(page: Page, kind: str) -> str:
    return line(page, 0).locator(f".elf-magic-{kind}").first.inner_text()


def colour(place: Locator) -> str:
    return place.evaluate("element => getComputedStyle(element.querySelector('*') ?? element).color")


def check_the_magic_line(page: Page) -> None:
    expect(line(page, 0)).to_have_class(re.compile("elf-magic-line"))
    parts = {kind: part(page, kind) for kind in ("magic", "verb", "name", "option", "number", "text", "comment")}
    assert list(parts.values()) == ["%%elf", "flow", "crawl", "--retries", "2", '"retry"', "# at night"]
    assert page.locator(".elf-magic-line").count() == 1, "no other line, and no other cell"
    body = page.locator(".jp-Notebook .jp-CodeCell").first.locator(".cm-line").nth(1)
    expect(body.get_by_text('"class"')).to_have_class(re.compile("."))  # Python's own colours


def test_elf_lines_are_set_apart_in_jupyterlab(lab: str, page: Page, tmp_path: Path) -> None:
    faults = told(page)
    book = Book(page, lab, tmp_path / "books" / "magic.ipynb", FLOW, PLAIN)
    check_the_magic_line(page)
    assert "inset" in line(page, 0).evaluate(BAR)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.screenshot(path=PICTURES / "magic, light.png")
    name, plain = line(page, 0).locator(".elf-magic-name"), line(page, 1).get_by_text("'%%elf flow'")
    light = colour(name)
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    lab_tests.until(lambda: colour(name) != light, "the name has the dark theme's colour")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.screenshot(path=PICTURES / "magic, dark.png")
    assert colour(line(page, 0).locator(".elf-magic-text")) == colour(plain), "a string is a string"
    book.set_source(0, "\n" + FLOW)
    expect(page.locator(".elf-magic-line")).to_contain_text("%%elf flow crawl")
    book.set_source(0, "x = 1\n" + FLOW)
    expect(page.locator(".elf-magic-line")).to_have_count(0)
    assert [fault for fault in faults if "elfbook" in fault] == []


WEIGHT = "element => getComputedStyle(element.querySelector('*') ?? element).fontWeight"
BAR = "line => getComputedStyle(line).boxShadow"


@pytest.mark.parametrize("look", ["colours", "plain"])
def test_elf_lines_look_as_the_setting_says(lab: str, page: Page, tmp_path: Path, look: str) -> None:
    settings = tmp_path / "settings" / "elfbook" / "settings.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"magicLine": look}))
    Book(page, lab, tmp_path / "books" / "magic.ipynb", FLOW, PLAIN)
    page.locator(f"body[data-elf-magic={look}]").wait_for(state="attached")
    expect(line(page, 0)).to_contain_text("%%elf flow")
    assert line(page, 0).evaluate(BAR) == "none"
    bold = line(page, 0).locator(".elf-magic-verb").evaluate(WEIGHT) == "700"
    assert bold == (look == "colours")


ACTIVE = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"


def test_commands_and_the_way_from_a_job_to_its_cell(lab: str, page: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    book = Book(page, lab, tmp_path / "books" / "way.ipynb", "# begin", ELF, GATED.format(gate=str(gate)))
    book.begin(0)
    page.evaluate("() => { window.jupyterapp.commands.execute('elfbook:up'); }")
    book.wait(1, "2 workers ready")
    book.begin(2)
    book.wait(2, "Gate is ready")
    book.begin(3)
    book.wait(3, "2 running")
    book.area(3).get_by_text("task_parse[0]").last.click()
    book.area(3).locator("summary", has_text="source").click()
    assert page.evaluate(ACTIVE) == 3
    book.area(3).get_by_role("button", name="Go to the cell").first.click()
    lab_tests.until(lambda: page.evaluate(ACTIVE) == 2, "the elf's cell is the active one")
    gate.touch()
    book.wait(3, "6 of 6 done")
    page.evaluate("() => { window.jupyterapp.commands.execute('elfbook:down'); }")
    page.get_by_role("button", name="End them").click()
    expect(page.locator(".jp-Notebook .jp-CodeCell").nth(3)).to_contain_text("%elf down")


def test_elf_lines_are_set_apart_in_notebook_7(notebook: str, page: Page, tmp_path: Path) -> None:
    faults = told(page)
    Book(page, notebook, tmp_path / "books" / "magic.ipynb", FLOW, PLAIN)
    check_the_magic_line(page)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "magic, Notebook 7.png")
    assert [fault for fault in faults if "elfbook" in fault] == []
