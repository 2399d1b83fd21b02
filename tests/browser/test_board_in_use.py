"""Boards in one JupyterLab as people use them: failures, awaiting cells, two views, dark, large, by keyboard alone.

What every test here shares is the Lab and its two workers; each has a notebook and flows of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from elfbook.notebook import board
from elfbook.words import count
from tests.browser import test_lab as lab_tests
from tests.browser.conftest import leave
from tests.browser.test_board import Book
from tests.extension.conftest import packages as packages  # noqa: PLC0414 (a fixture)
from tests.extension.contrast import FAINT

pytestmark = [
    *lab_tests.pytestmark,
    pytest.mark.skipif(not board.available(), reason="the board's page is not built: see extension/"),
]
WAIT_MS = 1000 * lab_tests.WAIT_S

START = "%load_ext elfbook\n%elf up 2"
ELF = """%%elf
import os, time
class Reader:
    def task_number(self, text):
        return int(text)

    def task_double(self, number, gate=""):
        while gate and not os.path.exists(gate):
            time.sleep(0.05)
        return 2 * number
"""
MENDED = ELF.replace("int(text)", "len(text)")
FAILING = """%%elf flow {flow}
r = Reader()
r.task_double(20, {gate!r})
r.task_double.map(r.task_number.map(["1", "two"]))
"""
GATED = """%%elf flow {flow}
Reader().task_double.map(range(4), [{gate!r}] * 4)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[str]:
    """One JupyterLab for all tests here; its first cell starts the workers, the others find them."""
    (folder / "books").mkdir()
    with lab_tests.placed(folder) as place, lab_tests.lab_on(folder / "books", place) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with lab_tests.chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        yield page


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that jobs wait for; it is there at the latest when the test has ended."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


Opens = Callable[..., Book]


@pytest.fixture
def opens(lab: str, page: Page, folder: Path, request: pytest.FixtureRequest) -> Iterator[Opens]:
    """Opens a notebook of the given cells, runs the first ones, and has thrown nothing in the end."""
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))

    def opened(*sources: str, until: str = "Reader is ready") -> Book:
        name = f"{request.node.originalname}.ipynb"
        book = Book(page, lab, folder / "books" / name, START, *sources)
        book.begin(0)
        book.wait(0, "2 workers")
        book.begin(1)
        book.wait(1, until)
        return book

    yield opened
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    assert thrown == []


def board_of(book: Book, cell: int) -> Locator:
    """The cell's board, once its graph is drawn."""
    found = book.area(cell).locator(".elf-board")
    expect(found.locator("[data-drawn]")).to_be_visible(timeout=WAIT_MS)
    return found


def graph_in_state(shown: Locator, **counts: int) -> None:
    for state, jobs in counts.items():
        expect(shown.locator(f".elf-node-{state}")).to_have_count(jobs, timeout=WAIT_MS)


def test_a_failure_is_shown_at_the_users_line_mended_and_tried_again(opens: Opens, gate: Path) -> None:
    book = opens(ELF, FAILING.format(flow="mend", gate=str(gate)), MENDED)
    book.begin(2)
    shown = board_of(book, 2)
    graph_in_state(shown, running=1, done=2, failed=1, skipped=1)
    failure = shown.locator(".elf-failure")
    expect(failure).to_contain_text("ValueError: invalid literal for int() with base 10: 'two'")
    expect(failure.locator(".elf-trace-place").first).to_have_text("Cell In[2], line 5")
    expect(failure.locator(".elf-trace-arrow")).to_have_text("----> 5         return int(text)")
    expect(failure.locator(".elf-trace-value")).to_contain_text("text = 'two'")
    book.begin(3)
    book.wait(3, "task_number changed")
    shown.get_by_role("button", name="Retry failed").click()
    shown.locator(".elf-ask").get_by_role("button").first.click()
    graph_in_state(shown, running=1, done=4, failed=0)
    expect(shown.locator(".elf-failure")).to_have_count(0)
    gate.touch()
    book.wait(2, "flow mend: 5 of 5 jobs done")


def test_the_settled_page_needs_no_kernel_and_no_widget(opens: Opens, gate: Path) -> None:
    gate.touch()
    book = opens(ELF, FAILING.format(flow="stay", gate=str(gate)))
    book.begin(2)
    book.wait(2, "flow stay: 3 of 5 jobs done, 1 failed, 1 skipped")
    expect(book.area(2).locator(".elf-board")).to_have_count(0)
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.reload()
    shown = book.area(2)
    # The worker has this code from an earlier test's kernel; the reader's own cell is named all the same.
    expect(shown).to_contain_text("Cell In[2], line 5", timeout=WAIT_MS)
    picture = shown.locator("img").first
    assert "Reader.task_number (2 jobs) leads to Reader.task_double" in picture.get_attribute("alt")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300, "the graph is drawn"
    expect(shown).to_contain_text("text = 'two'")
    expect(shown).to_contain_text("%elf retry stay")


def test_cancel_is_heard_while_a_cell_awaits_the_run(opens: Opens, gate: Path) -> None:
    awaiting = "try:\n    await awaited\nexcept BaseException as error:\n    print('told:', type(error).__name__)"
    book = opens(ELF, GATED.format(flow="awaited", gate=str(gate)), awaiting)
    book.begin(2)
    shown = board_of(book, 2)
    graph_in_state(shown, running=2, waiting=2)
    book.begin(3)
    prompt = book.page.locator(".jp-Notebook .jp-Cell").nth(3).locator(".jp-InputPrompt")
    expect(prompt).to_have_text("[*]:")
    shown.get_by_role("button", name="Cancel").first.click()
    shown.get_by_role("button", name="Cancel it").click()
    book.wait(3, "told: FlowCancelled")
    book.wait(2, "flow awaited: 0 of 4 jobs done, 4 cancelled")


def test_two_views_of_one_board_are_told_the_same(opens: Opens, gate: Path) -> None:
    book = opens(ELF, GATED.format(flow="twice", gate=str(gate)))
    book.begin(2)
    first = board_of(book, 2)
    graph_in_state(first, running=2)
    book.page.evaluate("""async () => {
        const { content } = window.jupyterapp.shell.currentWidget;
        content.activeCellIndex = 2;
        await window.jupyterapp.commands.execute('notebook:create-output-view');
    }""")
    second = book.page.locator(".jp-LinkedOutputView .elf-board")
    expect(second.locator("[data-drawn]")).to_be_visible(timeout=WAIT_MS)
    for view in (first, second):
        graph_in_state(view, running=2, waiting=2)
    # Each has a selection of its own, and both hear what one of them asks for.
    second.locator(".elf-job", has_text="task_double[3]").click()
    expect(second.locator(".elf-detail-title")).to_have_text("task_double[3]")
    expect(first.locator(".elf-detail-title")).to_have_count(0)
    second.locator(".elf-detail").get_by_role("button", name="Cancel").click()
    second.get_by_role("button", name="Cancel it").click()
    for view in (first, second):
        graph_in_state(view, cancelled=1, waiting=1)
    gate.touch()
    for place in (book.area(2), book.page.locator(".jp-LinkedOutputView")):
        expect(place).to_contain_text("flow twice: 3 of 4 jobs done, 1 cancelled", timeout=WAIT_MS)


AXE = "async () => (await axe.run('.elf-board')).violations.map((v) => [v.id, v.nodes.map((n) => n.html)])"
CHANGE = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"


def test_words_are_readable_in_labs_dark_themes_and_back_in_the_light_one(
    opens: Opens, gate: Path, packages: Path
) -> None:
    book = opens(ELF, FAILING.format(flow="seen", gate=str(gate)))
    book.begin(2)
    shown = board_of(book, 2)
    graph_in_state(shown, running=1, failed=1, skipped=1)
    shown.locator(".elf-job", has_text="task_number[1]").click()
    expect(shown.locator(".elf-detail-trace")).to_have_text("traceback above")
    expect(shown.locator(".elf-trace-value:visible")).to_have_text("text = 'two'")
    shown.locator("summary", has_text="workers").click()
    expect(shown.locator(".elf-workers")).to_contain_text("worker-1")
    book.page.add_script_tag(path=packages / "node_modules" / "axe-core" / "axe.min.js")
    for theme in ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light"):
        before = colours(shown)
        book.page.evaluate(CHANGE, theme)
        lab_tests.until(lambda before=before: colours(shown) != before, f"the colours of {theme} are there")
        book.page.wait_for_selector("#jupyterlab-splash", state="detached")
        leave(book.page, f"board, {theme}")
        assert book.page.evaluate(AXE) == []
        contrast = book.page.evaluate(FAINT)
        assert contrast["texts"] > 40
        assert contrast["faint"] == []
        line = shown.evaluate("board => getComputedStyle(board).borderTopColor")
        assert (line == "rgb(255, 255, 255)") == ("High Contrast" in theme), "lines are as clear as Lab's own"


def colours(shown: Locator) -> list[str]:
    """What differs between any two themes: the ground, and the accent."""
    return [
        shown.evaluate("board => getComputedStyle(board).backgroundColor"),
        shown.locator(".elf-trace-place").first.evaluate("place => getComputedStyle(place).color"),
    ]


MANY = count(10_000)
LARGE = """%%elf flow many
r = Reader()
r.task_double.map(range({jobs}), [{gate!r}] * {jobs})
"""


def test_ten_thousand_jobs_are_all_there_and_cost_the_page_little(opens: Opens, gate: Path, folder: Path) -> None:
    book = opens(ELF, LARGE.format(jobs=10_000, gate=str(gate)))
    book.begin(2)
    shown = board_of(book, 2)
    expect(shown.locator(".elf-stateline")).to_contain_text(f"0 of {MANY} done")
    shown.get_by_role("button", name="All jobs").click()
    expect(shown.locator("[data-drawn='canvas']")).to_be_visible()
    assert shown.locator("*").count() < 1500, "elements do not grow with jobs"
    shown.get_by_role("searchbox").fill("9999")
    expect(shown.locator(".elf-job:visible")).to_have_count(1)
    shown.locator(".elf-job:visible").click()
    expect(shown.locator(".elf-detail-title")).to_have_text("task_double[9999]")
    gate.touch()
    book.wait(2, f"flow many: {MANY} of {MANY} jobs done")
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    file = folder / "books" / f"{os.environ['PYTEST_CURRENT_TEST'].split('::')[1].split()[0]}.ipynb"
    lab_tests.until(lambda: f"{MANY} of {MANY} jobs done" in file.read_text("utf-8"), "it is saved")
    assert file.stat().st_size < 500_000


FOCUSED = "() => document.activeElement.closest('.elf-board') !== null"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)"


def test_by_keyboard_alone_and_none_of_the_notebooks_own_keys(opens: Opens, gate: Path) -> None:
    book = opens(ELF, FAILING.format(flow="keys", gate=str(gate)), MENDED)
    book.begin(2)
    shown = board_of(book, 2)
    graph_in_state(shown, running=1, failed=1, skipped=1)
    book.begin(3)
    book.wait(3, "task_number changed")
    keys = book.page.keyboard
    book.page.evaluate("""() => {
        const { content } = window.jupyterapp.shell.currentWidget;
        content.activeCellIndex = 2;
        content.mode = 'command';
        content.activeCell.node.querySelector('.jp-InputPrompt').closest('.jp-Cell').focus();
    }""")
    cells = book.page.evaluate(CELLS)
    for _ in range(40):
        if book.page.evaluate(FOCUSED):
            break
        keys.press("Tab")
    assert book.page.evaluate(FOCUSED), "Tab leads from the cell into its board"
    keys.press("f")
    expect(shown.locator(".elf-detail-title")).to_have_text("task_number[1]")
    for key in ("l", "i", "g", "y", "d", "d", "x", "b", "m", "p"):
        keys.press(key)  # in a notebook's command mode: cut, delete, insert, Markdown
    expect(shown.locator(".elf-state")).to_contain_text("paused")
    keys.press("p")
    expect(shown.locator(".elf-state")).to_contain_text("running")
    keys.press("r")
    expect(shown.locator(".elf-ask")).to_contain_text("task_number[1]")
    keys.press("Enter")
    graph_in_state(shown, done=4, running=1)
    assert book.page.evaluate(CELLS) == cells, "no key of the board did anything to the notebook"
    for _ in range(5):
        keys.press("Escape")
    assert not book.page.evaluate(FOCUSED), "Escape leads out of the board"
    keys.press("b")
    lab_tests.until(lambda: len(book.page.evaluate(CELLS)) == len(cells) + 1, "the notebook has its keys again")
    gate.touch()
    book.wait(2, "flow keys: 5 of 5 jobs done")
