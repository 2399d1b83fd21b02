"""The side panel and the status item in a real JupyterLab: what they show and do while the kernel is busy, gone or
was never there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import test_extension as extension_tests
from tests.browser import test_lab as lab_tests
from tests.browser.test_board import Book, gated
from tests.extension import conftest as sources

lab, page, place = lab_tests.lab, lab_tests.page, lab_tests.place
notebook, packages = extension_tests.notebook, sources.packages
pytestmark = lab_tests.pytestmark
PICTURES = lab_tests.ROOT / "artefacts" / "panel"
AXE = "where => axe.run(where).then(told => told.violations.map(each => [each.id, each.nodes.map(node => node.html)]))"


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    expect.set_options(timeout=lab_tests.WAIT_S * 1000)
    yield
    expect.set_options(timeout=5000)


def execute(page: Page, command: str, **given: str) -> None:
    page.evaluate("([id, given]) => { window.jupyterapp.commands.execute(id, given); }", [command, given])


def panel(page: Page) -> Locator:
    execute(page, "elfbook:panel")
    shown = page.locator(".elf-panel")
    expect(shown).to_be_visible()
    return shown


def run(page: Page, name: str) -> Locator:
    return page.locator(f'.elf-run[data-run="{name}"]')


def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.screenshot(path=PICTURES / f"{name}.png")


@pytest.fixture
def book(lab: str, page: Page, tmp_path: Path) -> Iterator[Book]:
    """A notebook whose flow has begun and waits for the file `gate`."""
    with gated(page, lab, tmp_path, "panel") as made:
        made.begin(2)
        made.wait(2, "2 running")
        yield made


def test_it_shows_and_acts_while_a_cell_is_busy_and_a_board_outlives_its_output(
    book: Book, page: Page, tmp_path: Path
) -> None:
    book.begin(3)
    lab_tests.until((tmp_path / "begun").exists, "the cell is busy")
    shown, crawl = panel(page), run(page, "crawl.1")
    expect(shown).to_contain_text("connected")
    expect(shown).to_contain_text("durable")
    expect(shown.locator(".elf-panel-worker")).to_have_count(2)
    expect(shown.locator(".elf-panel-worker").first).to_contain_text(re.compile(r"task_parse\[\d\]"))
    expect(crawl.locator(".elf-run-word")).to_have_text("running")
    expect(page.locator(".elf-status-button")).to_have_text("elfbook ✓ connected, 2 running")
    shown.locator(".elf-elf summary").click()
    expect(shown.locator(".elf-elf")).to_contain_text("task_parse(path, number)")
    picture(page, "busy")
    crawl.locator(".elf-run-open").click()
    board = page.locator(".elf-board-widget")
    expect(board).to_contain_text("2 running")
    picture(page, "board in a tab")
    page.locator(".lm-DockPanel-tabBar").get_by_text("panel.ipynb").click()
    execute(page, "notebook:clear-all-cell-outputs")
    expect(page.locator(".jp-Notebook .elf-board")).to_have_count(0)
    crawl.get_by_role("button", name="Cancel crawl").click()
    expect(crawl.locator(".elf-ask")).to_contain_text("Cancel crawl: 2 running jobs and 1 waiting job?")
    crawl.get_by_role("button", name="Cancel it").click()
    expect(crawl.locator(".elf-run-word")).to_have_text("cancelled")
    expect(page.locator(".elf-status-button")).to_have_text("elfbook ✓ connected")
    assert not (tmp_path / "end").exists(), "the cell was busy all the time"
    run(page, "crawl.1").locator(".elf-run-open").click()
    expect(board).to_contain_text("3 cancelled")
    assert board.count() == 1, "one board of a run, however often it is opened"


def test_it_needs_no_kernel(book: Book, page: Page, tmp_path: Path, packages: Path) -> None:
    shown, crawl = panel(page), run(page, "crawl.1")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    expect(crawl.locator(".elf-run-word")).to_have_text("running")
    crawl.get_by_role("button", name="Pause crawl").click()
    expect(crawl.locator(".elf-run-word")).to_have_text("paused")
    crawl.get_by_role("button", name="Resume crawl").click()
    expect(crawl.locator(".elf-run-word")).to_have_text("running")
    (tmp_path / "gate").touch()
    expect(crawl.locator(".elf-run-word")).to_have_text("done")
    expect(crawl).to_contain_text("6 of 6 done")
    crawl.locator(".elf-run-open").click()
    expect(page.locator(".elf-board-widget")).to_contain_text("6 of 6 done")
    workspaces = tmp_path / "workspaces"
    lab_tests.until(
        lambda: any("elfbook-boards:crawl.1" in each.read_text() for each in workspaces.iterdir()), "the layout is kept"
    )
    page.goto(page.url.split("?")[0])
    expect(page.locator(".elf-board-widget")).to_contain_text("6 of 6 done")
    shown.locator(".elf-elf summary").click()
    page.add_script_tag(path=packages / "node_modules" / "axe-core" / "axe.min.js")
    colours = set()
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"):
        execute(page, "apputils:change-theme", theme=theme)
        page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        lab_tests.until(lambda: page.evaluate(COLOURS) not in colours, f"the colours of {theme}")
        colours.add(page.evaluate(COLOURS))
        picture(page, theme)
        assert page.evaluate(AXE, ".elf-panel") == []
        assert page.evaluate(AXE, ".elf-status") == []


WIDTH = "() => document.querySelector('.elf-panel-widget').getBoundingClientRect().width"
TOO_WIDE = """() => [...document.querySelectorAll('.elf-panel-widget, .elf-panel-widget *')].filter(
    each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline' && each.clientWidth > 1
    || each.getBoundingClientRect().right > document.querySelector('.elf-panel-widget').getBoundingClientRect().right + 1
).map(each => each.outerHTML.slice(0, 200))"""


def widened(page: Page, width: float) -> None:
    """The side bar is as wide, by its handle as a reader makes it."""
    shown = page.locator(".elf-panel-widget").bounding_box()
    edge, middle = shown["x"] + shown["width"], shown["y"] + shown["height"] / 2
    page.mouse.move(edge + 1, middle)
    page.mouse.down()
    page.mouse.move(edge + 1 + width - shown["width"], middle, steps=4)
    page.mouse.up()
    lab_tests.until(lambda: abs(page.evaluate(WIDTH) - width) < 3, f"a side bar of {width} pixels")


def test_nothing_overflows_in_a_narrow_side_bar(book: Book, page: Page) -> None:
    shown, crawl = panel(page), run(page, "crawl.1")
    expect(shown.locator(".elf-panel-worker").first).to_contain_text(re.compile(r"task_parse\[\d\]"))
    shown.locator(".elf-elf summary").click()
    expect(shown.locator(".elf-elf")).to_contain_text("task_parse(path, number)")
    crawl.get_by_role("button", name="Cancel crawl").click()
    expect(crawl.locator(".elf-ask")).to_be_visible()
    for width in (400, 300):
        widened(page, width)
        picture(page, f"{width} pixels")
        assert page.evaluate(TOO_WIDE) == []


COLOURS = """() => ['.elf-panel', '.elf-panel .elf-muted'].map(
    where => getComputedStyle(document.querySelector(where))).map(style => style.color + style.backgroundColor).join()"""


def test_by_keyboard(book: Book, page: Page) -> None:
    shown = panel(page)
    expect(shown).to_be_focused()
    crawl = run(page, "crawl.1")
    crawl.locator(".elf-run-open").focus()
    page.keyboard.press("Tab")
    expect(crawl.get_by_role("button", name="Cancel crawl")).to_be_focused()
    page.keyboard.press("Enter")
    expect(crawl.get_by_role("button", name="Cancel it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(crawl.locator(".elf-ask")).to_have_count(0)
    expect(crawl.get_by_role("button", name="Cancel crawl")).to_be_focused()
    expect(crawl.locator(".elf-run-word")).to_have_text("running")
    assert page.evaluate("() => { const e = document.querySelector('.elf-panel-widget'); return e.scrollWidth <= e.clientWidth }")


# ------------------------------------------------------------------------- without a notebook, and elsewhere


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., None]:
    """Sets what a reader sets in the settings editor, before the page is opened."""

    def write(**given: object) -> None:
        path = tmp_path / "settings" / "elfbook" / "settings.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(given))

    return write


def test_it_starts_workers_with_no_notebook_open_and_does_what_is_set(
    lab: str, page: Page, settings: Callable[..., None]
) -> None:
    settings(openAtStart=True, statusItem=False, startWorkers=1)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
    address = lab.replace("/lab/tree/{}", "/lab")
    page.goto(address)
    shown = page.locator(".elf-panel")
    expect(shown).to_be_visible()
    expect(shown).to_contain_text("not started")
    picture(page, "not started")
    assert not page.evaluate("() => document.querySelector('.elf-panel').contains(document.activeElement)")
    expect(page.locator(".elf-status")).to_be_hidden()
    shown.get_by_role("button", name="Start 1 worker").click()
    expect(shown.locator(".elf-panel-worker")).to_have_count(1)
    expect(shown).to_contain_text("connected")
    expect(shown.get_by_role("button", name="Start 1 worker")).to_be_hidden()
    assert hosts == {address.split("/")[2]}, "nobody but the Jupyter server is asked"


def test_it_says_what_to_do_where_the_server_has_no_part_of_elfbook(
    tmp_path: Path, place: dict[str, str], request: pytest.FixtureRequest
) -> None:
    place["JUPYTER_CONFIG_PATH"] = str(tmp_path / "without")
    off = tmp_path / "without" / "jupyter_server_config.d" / "elfbook.json"
    off.parent.mkdir(parents=True)
    off.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"elfbook.server.extension": False}}}))
    address, page = request.getfixturevalue("lab"), request.getfixturevalue("page")
    Book(page, address, tmp_path / "books" / "plain.ipynb", "1 + 1")
    shown = panel(page)
    expect(shown).to_contain_text("jupyter server extension list")
    expect(shown.get_by_role("button", name="Try again")).to_be_visible()
    expect(shown.locator(".elf-run")).to_have_count(0)
    expect(page.locator(".elf-status-button")).to_have_text("elfbook ✗ no way to the mycelium")
    picture(page, "no server part")


def test_it_stands_at_the_left_of_notebook_7(notebook: str, page: Page, tmp_path: Path) -> None:
    with gated(page, notebook, tmp_path, "panel", workers=1) as book:
        book.begin(2)
        book.wait(2, "1 running")
        shown = panel(page)
        expect(shown.locator(".elf-panel-worker")).to_have_count(1)
        run(page, "crawl.1").locator(".elf-run-open").click()
        board = page.locator(".elf-board-widget")
        expect(board).to_contain_text("1 running")
        assert board.bounding_box()["height"] > 200
        picture(page, "Notebook 7")
        (tmp_path / "gate").touch()
        expect(board).to_contain_text("6 of 6 done")
        expect(run(page, "crawl.1").locator(".elf-run-word")).to_have_text("done")


# ------------------------------------------------------------------------- completion

MATCHES = """async (code) => {
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  const { content } = await kernel.requestComplete({ code, cursor_pos: code.length });
  return content.matches;
}"""


def complete(page: Page, book: Book, line: str, *expected: str) -> None:
    """Tab at the end of the line, as the only one of the first cell, offers these words."""
    book.set_source(0, line)
    page.locator(".jp-Notebook .jp-CodeCell").first.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    expect(page.locator(".jp-Completer-item .jp-Completer-match")).to_have_text([*expected])


def take(page: Page, expected: str) -> None:
    """Enter takes the first of them."""
    page.keyboard.press("Enter")
    script = "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.getSource()"
    lab_tests.until(lambda: page.evaluate(script) == expected, expected, seen=lambda: page.evaluate(script))


def test_tab_completes_with_the_kernel_while_it_is_busy_and_without_it(book: Book, page: Page, tmp_path: Path) -> None:
    assert page.evaluate(MATCHES, "%elf ret") == ["retry"], "the kernel's own completion"
    assert "crawl" in page.evaluate(MATCHES, "%elf cancel ")
    page.locator(".elf-status-button", has_text="2 running").wait_for()
    complete(page, book, "%elf ret", "retry")
    take(page, "%elf retry")
    book.begin(3)
    lab_tests.until((tmp_path / "begun").exists, "the cell is busy")
    complete(page, book, "%elf cancel cra", "crawl")
    take(page, "%elf cancel crawl")
    (tmp_path / "end").touch()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    complete(page, book, "%elf show worker-", "worker-1", "worker-2")
    page.keyboard.press("Escape")
    complete(page, book, "%%elf flow crawl --on-lost re", "retry")
    take(page, "%%elf flow crawl --on-lost retry")
