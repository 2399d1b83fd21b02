"""What an output shows of a run in a real JupyterLab: its page at once, then the best board there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from elfbook.notebook.board import WIDGET
from elfbook.notebook.pages import RUN
from tests.browser import test_board as board_tests
from tests.browser import test_extension as extension_tests
from tests.browser import test_lab as lab_tests
from tests.browser.test_board import SETTLED, Book

lab, page, place, book = lab_tests.lab, lab_tests.page, lab_tests.place, board_tests.book
notebook = extension_tests.notebook
pytestmark = board_tests.pytestmark
PICTURES = lab_tests.ROOT / "artefacts" / "lab"
FLOW, LOAD, ATTACH = 2, 3, 4
"""Cells of the notebook: the flow's, a free one, and `%elf attach crawl`."""


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    expect.set_options(timeout=lab_tests.WAIT_S * 1000)
    yield
    expect.set_options(timeout=5000)


def front(book: Book, index: int) -> Locator:
    """What is seen of a cell's board output."""
    return book.area(index).locator(".elf-output > .lm-Panel:not(.elf-behind)")


def live(book: Book, index: int) -> Locator:
    return front(book, index).locator(".elf-board[data-seq]:not(.elf-lost)")


def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"output {name}.png")


def saved(book: Book, path: Path) -> list[nbformat.NotebookNode]:
    book.page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
    return nbformat.read(path, 4).cells[FLOW].outputs


def test_a_file_saved_under_way_shows_page_and_board_though_its_kernel_is_gone(
    book: Book, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "books" / "board.ipynb"
    book.begin(FLOW)
    expect(live(book, FLOW)).to_contain_text("2 running")
    assert book.outputs(FLOW) == [["text/html", "text/plain"], [RUN, WIDGET, "text/html", "text/plain"]]
    book.set_source(LOAD, "%elf cancel crawl/task_parse[2]")
    book.begin(LOAD)
    now = "3 of 6 jobs done, 1 cancelled"
    kept = (("text/plain", 0), ("text/html", 1))
    lab_tests.until(
        lambda: all(now in saved(book, path)[index].data[mime] for mime, index in kept),
        "the file keeps the page", seen=lambda: saved(book, path),
    )
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    # Whatever the page shows from its first moment on is looked at.
    page.add_init_script("""window.seen = new Set();
        new MutationObserver(() => document.querySelectorAll('.elf-output > :not(.elf-behind)').forEach(
            each => window.seen.add(each.innerText))).observe(document, { childList: true, subtree: true });""")
    page.reload()
    expect(front(book, FLOW)).to_contain_text(now)
    expect(live(book, FLOW)).to_contain_text("2 running")
    picture(page, "without its kernel")
    assert not any("not found" in words or "Loading widget" in words for words in page.evaluate("() => [...window.seen]"))
    (tmp_path / "gate").touch()
    lab_tests.until(lambda: book.outputs(FLOW) == SETTLED, "the page is what stays")
    expect(book.area(FLOW)).to_contain_text("flow crawl: 5 of 6 jobs done, 1 cancelled")
    assert "5 of 6 jobs done, 1 cancelled" in saved(book, path)[0].data["text/html"]
    book.area(FLOW).get_by_role("button", name="Open the board").click()
    expect(page.locator(".elf-board-widget")).to_contain_text("5 of 6 done")


def test_a_lost_kernels_board_is_followed_by_the_servers_and_by_the_next_kernels(book: Book, page: Page) -> None:
    book.begin(FLOW)
    expect(live(book, FLOW)).to_contain_text("2 running")
    widget = book.area(FLOW).locator(".elf-output > .lm-Panel:not(.elf-behind) .jupyter-widgets, .elf-output > .lm-Panel:not(.elf-behind) .lm-Panel")
    expect(widget.first).to_be_visible()
    book.restart_kernel()
    expect(front(book, FLOW).locator(":scope > div > .elf-board[hidden]")).to_have_count(1)
    expect(live(book, FLOW)).to_contain_text("2 running")
    front(book, FLOW).get_by_role("button", name="Pause").click()
    expect(front(book, FLOW).get_by_role("button", name="Resume")).to_be_visible()
    picture(page, "after its kernel")
    front(book, FLOW).get_by_role("button", name="Resume").click()
    book.set_source(LOAD, "%load_ext elfbook")
    book.begin(LOAD)
    book.wait(LOAD, "2 workers still here")
    book.begin(ATTACH)
    for index in (FLOW, ATTACH):
        expect(live(book, index)).to_contain_text("2 running")
    expect(widget.first).to_be_visible()


def test_where_nobody_can_be_asked_the_page_stays_and_says_why(
    tmp_path: Path, place: dict[str, str], request: pytest.FixtureRequest
) -> None:
    off = tmp_path / "without" / "jupyter_server_config.d" / "elfbook.json"
    off.parent.mkdir(parents=True)
    off.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"elfbook.server.extension": False}}}))
    place["JUPYTER_CONFIG_PATH"] = str(tmp_path / "without")
    address, page = request.getfixturevalue("lab"), request.getfixturevalue("page")
    made = written(page, address, tmp_path)
    trust(page)
    expect(made.area(0).locator(".elf-output-line")).to_contain_text("jupyter server extension list")
    expect(made.area(0).locator(".elf-output")).to_contain_text("1 of 6 jobs done")
    picture(page, "without a server's part")


def test_a_notebook_that_nobody_trusts_shows_the_page_only(lab: str, page: Page, tmp_path: Path) -> None:
    page.clock.install()
    made = written(page, lab, tmp_path)
    output = made.area(0).locator(".elf-output")
    expect(output).to_contain_text("1 of 6 jobs done")
    page.clock.fast_forward(10_000)  # by now a trusted one has asked for its board, or says why not
    expect(output.locator("script, .elf-board")).to_have_count(0)
    expect(output.locator(".elf-output-line")).to_be_hidden()
    assert page.evaluate("() => window.hacked === undefined")
    trust(page)
    expect(output.locator(".elf-output-line")).to_be_visible()


def test_notebook_7_shows_page_and_board_though_the_kernel_is_gone(notebook: str, page: Page, tmp_path: Path) -> None:
    with board_tests.gated(page, notebook, tmp_path, "output", workers=1) as made:
        made.begin(FLOW)
        expect(live(made, FLOW)).to_contain_text("1 running")
        saved(made, tmp_path / "books" / "output.ipynb")
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.reload()
        expect(live(made, FLOW)).to_contain_text("1 running")
        picture(page, "in Notebook 7")
        (tmp_path / "gate").touch()
        lab_tests.until(lambda: made.outputs(FLOW) == SETTLED, "the page is what stays")
        expect(made.area(FLOW)).to_contain_text("flow crawl: 6 of 6 jobs done")


def trust(page: Page) -> None:
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:trust'); }")
    page.locator(".jp-Dialog").get_by_role("button", name="Trust").click()


def written(page: Page, address: str, folder: Path) -> Book:
    """A notebook that somebody else has saved, with a run that is not known here."""
    data = {
        RUN: {"run": "crawl.1", "id": "0" * 32, "settled": False},
        WIDGET: {"version_major": 2, "version_minor": 0, "model_id": "0" * 32},
        "text/html": "<div><p>flow crawl: 1 of 6 jobs done</p><img src=x onerror='window.hacked = 1'></div>",
        "text/plain": "the board of flow crawl",
    }
    cell = nbformat.v4.new_code_cell("%elf show crawl", outputs=[nbformat.v4.new_output("display_data", data=data)])
    return Book(page, address, folder / "books" / "mailed.ipynb", cell)
