"""A run's board in a real JupyterLab: clicks while a cell runs, a reload, a restarted kernel, the settled page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from elfbook.notebook import board
from elfbook.notebook.pages import RUN
from elfbook.words import plural
from tests.browser import test_lab as lab_tests

lab, page, place = lab_tests.lab, lab_tests.page, lab_tests.place
pytestmark = [
    *lab_tests.pytestmark,
    pytest.mark.skipif(not board.available(), reason="the board's page is not built: see extension/"),
]

ELF = """%%elf
import os, time
class Gate:
    def task_fetch(self, number):
        return number

    def task_parse(self, path, number):
        print("parsing", number, flush=True)
        while not os.path.exists(path):
            time.sleep(0.05)
        return number
"""
FLOW = """%%elf flow crawl
g = Gate()
g.task_parse.map([{gate!r}] * 3, g.task_fetch.map(range(3)))
"""
SETTLED = [[RUN, "text/html", "text/plain"], ["text/plain"]]
"""What a file keeps of a run that has ended, by the MIME types of its outputs."""
ARTEFACTS = lab_tests.ROOT / "artefacts"
BUSY = "import os, time\nopen({begun!r}, 'w')\nwhile not os.path.exists({end!r}): time.sleep(0.05)\n'over'"


class Book(lab_tests.Notebook):
    """A notebook with cells of our own: what stands in them, or whole ones."""

    def __init__(self, page: Page, url: str, path: Path, *given: str | nbformat.NotebookNode) -> None:
        self.page = page
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        cells = [nbformat.v4.new_code_cell(each) if isinstance(each, str) else each for each in given]
        nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=cells), path)
        page.goto(url.format(path.name))
        self.wait_until_ready()

    def begin(self, index: int) -> None:
        """The cell is on its way; nobody waits for it."""
        self.page.evaluate(f"(index) => {{ ({lab_tests.RUN})(index); }}", index)

    def wait(self, index: int, words: str) -> str:
        lab_tests.until(lambda: words in self.shown(index), words, seen=lambda: self.shown(index))
        return self.shown(index)

    def outputs(self, index: int) -> list[list[str]]:
        """The MIME types of each output that the file would keep."""
        script = """(index) => window.jupyterapp.shell.currentWidget.content.widgets[index]
            .model.outputs.toJSON().map(output => Object.keys(output.data ?? {}).sort())"""
        return self.page.evaluate(script, index)

    def area(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputWrapper")

    def set_source(self, index: int, source: str) -> None:
        script = """([index, source]) =>
            window.jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.setSource(source)"""
        self.page.evaluate(script, [index, source])

    def save_and_reload(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self.page.reload()
        self.wait_until_ready()


@contextlib.contextmanager
def gated(page: Page, url: str, folder: Path, name: str, *more: str, workers: int = 2) -> Iterator[Book]:
    """A notebook with workers and an elf. Its third cell is a flow that waits for the file `gate`; its fourth is busy,
    once there is a file `begun`, until there is a file `end`. In the end all of them are there."""
    files = {file: str(folder / file) for file in ("gate", "begun", "end")}
    cells = [f"%load_ext elfbook\n%elf up {workers}", ELF, FLOW.format(**files), BUSY.format(**files), *more]
    book = Book(page, url, folder / "books" / f"{name}.ipynb", *cells)
    book.begin(0)
    book.wait(0, f"{plural(workers, 'worker')} ready")
    book.begin(1)
    book.wait(1, "Gate is ready")
    try:
        yield book
    finally:
        for file in files.values():
            Path(file).touch()


@pytest.fixture
def book(lab: str, page: Page, tmp_path: Path) -> Iterator[Book]:
    with gated(page, lab, tmp_path, "board", "%elf attach crawl") as made:
        yield made


def test_a_click_is_served_while_a_cell_runs_and_the_settled_page_is_what_stays(book: Book, tmp_path: Path) -> None:
    book.begin(2)
    book.begin(3)  # Run All: no moment of rest between them
    lab_tests.until((tmp_path / "begun").exists, "the cell is busy")
    book.wait(2, "2 running")
    running = book.area(2).locator(".elf-job", has_text="task_parse").filter(has_text="running").first
    running.click()  # two of the three, whichever could be begun first
    number = running.inner_text().partition("[")[2].partition("]")[0]
    book.wait(2, f"parsing {number}")
    book.area(2).locator("summary", has_text="timeline").click()
    book.area(2).get_by_label("timeline: 6 jobs on 2 workers").wait_for()
    book.area(2).get_by_role("button", name="Cancel").first.click()
    book.area(2).get_by_role("button", name="Cancel it").click()
    shown = book.wait(2, "flow crawl: 3 of 6 jobs done, 3 cancelled")
    assert not (tmp_path / "end").exists() and "over" not in book.shown(3), "the cell was busy all the time"
    assert "brings it back" not in shown
    assert book.outputs(2) == SETTLED


def test_a_board_survives_a_reload_and_a_restarted_kernel(book: Book, tmp_path: Path) -> None:
    book.begin(2)
    book.wait(2, "2 running")
    book.save_and_reload()
    book.wait(2, "2 running")
    book.restart_kernel()
    book.set_source(3, "%load_ext elfbook")
    book.begin(3)
    book.wait(3, "2 workers still here")
    book.begin(4)
    book.wait(4, "2 running")
    book.save_and_reload()
    for index in (2, 4):
        book.wait(index, "2 running")
    (tmp_path / "gate").touch()
    for index in (2, 4):
        book.wait(index, "✓ flow crawl: 6 of 6 jobs done")
        lab_tests.until(lambda index=index: book.outputs(index)[-2:] == SETTLED, "the page is what stays")
    ARTEFACTS.mkdir(exist_ok=True)
    book.page.screenshot(path=ARTEFACTS / "settled after a reload.png")
    book.save_and_reload()
    saved = nbformat.read(tmp_path / "books" / "board.ipynb", 4)
    for index in (2, 4):
        assert "6 of 6 jobs done" in book.shown(index) and book.outputs(index)[-2:] == SETTLED
        page, empty = saved.cells[index].outputs[-2:]
        assert page.metadata.elfbook == empty.metadata.elfbook and page.metadata.elfbook.flow == "crawl"
