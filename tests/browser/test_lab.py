"""The first tutorial, cell by cell, in a real JupyterLab in Chromium.

What nbval cannot see: a flow cell that returns at once and a page that keeps itself current, in
the live mode that only a front end gets, and the kernel restarted from the menu.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]
# A fresh JupyterLab asks what news there are; the question would cover the notebook.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}
WAIT_S = 60
LEAVE_S = 15

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM and not os.environ.get("CI"), reason="no chromium on this machine"),
]


def until(true: Callable[[], object], what: str, *, seen: Callable[[], str] = str) -> None:
    """Returns as soon as `true()` is; fails after the limit, and says what is there instead."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_S} s. {seen()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which everything, Jupyter's files and elfbook's, is in the test's folder."""
    with placed(tmp_path) as environ:
        yield environ


@contextlib.contextmanager
def placed(folder: Path) -> Iterator[dict[str, str]]:
    """The same in any folder; what `elfbook up` has started there is ended."""
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    environ = os.environ | {f"JUPYTER_{name}": str(folder / name.lower()) for name in folders}
    environ |= {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "ELFBOOK_STATE_DIR": str(folder / "state"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    news = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps(NO_NEWS))
    # The sources' own extension goes before one that was installed.
    extensions = folder / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "elfbook").symlink_to(ROOT / "elfbook" / "labextension")
    # And so does their extension of Jupyter's server.
    environ["JUPYTER_CONFIG_PATH"] = str(ROOT / "elfbook" / "server" / "config")
    others = os.environ.get("JUPYTER_PATH")
    environ["JUPYTER_PATH"] = os.pathsep.join([str(extensions.parent), *([others] if others else [])])
    yield environ
    subprocess.run([sys.executable, "-m", "elfbook", "down"], env=environ, check=False, timeout=60)


@pytest.fixture
def lab(tmp_path: Path, place: dict[str, str]) -> Iterator[str]:
    """A JupyterLab on copies of the tutorials; gives the address of the folder."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "books")
    with lab_on(tmp_path / "books", place) as address:
        yield address


@contextlib.contextmanager
def lab_on(books: Path, place: dict[str, str]) -> Iterator[str]:
    """A JupyterLab on a folder; gives the address of any file in it, with `{}` for the name."""
    token = secrets.token_urlsafe(16)
    options = ["--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True"]
    with served("jupyterlab", books, place, token, options) as address:
        yield f"{address}/lab/tree/{{}}?reset&token={token}"


@contextlib.contextmanager
def served(module: str, books: Path, place: dict[str, str], token: str, options: list[str]) -> Iterator[str]:
    """The address of a Jupyter server whose page `module` brings."""
    port = free_port()
    command = [
        *(sys.executable, "-m", module, "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={books}"),
        *(f"--IdentityProvider.token={token}", *options),
    ]
    log = (books.parent / "server.log").open("wb")
    server = subprocess.Popen(command, env=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/api/status?token={token}"), f"{module} starts")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=LEAVE_S)
        except subprocess.TimeoutExpired:
            # Seen where a page was closed just after it was loaded anew: the server waits without end for an
            # idle thread of anyio's, also when no part of elfbook is in that server.
            server.kill()
            server.wait()
        log.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    assert CHROMIUM, "install chromium: with CI=1 the browser tests are not skipped"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1200, "height": 900})


READY = """async () => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.context?.isReady || !panel.sessionContext?.isReady) return false;
  return panel.sessionContext.session?.kernel?.status === 'idle';
}"""
RUN = """async (index) => {
  const { content } = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = index;
  content.deselectAll();
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
SHOWN = """(index) => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
  return cell.outputArea ? cell.outputArea.node.innerText : '';
}"""


class Notebook:
    """An open notebook, driven as a reader does."""

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page = page
        self.cells = json.loads((ROOT / "notebooks" / name).read_text())["cells"]
        page.goto(url.format(name))
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self.page.evaluate(READY), "the kernel is ready")

    def index(self, start: str, nth: int = 0) -> int:
        """The `nth` cell whose source begins so."""
        return [i for i, cell in enumerate(self.cells) if "".join(cell["source"]).startswith(start)][nth]

    def run(self, start: str, expect: str, nth: int = 0) -> str:
        """Runs a cell; what it shows, as soon as that contains `expect`."""
        index = self.index(start, nth)
        self.page.evaluate(RUN, index)
        what = f"{start!r} shows {expect!r}"
        until(lambda: expect in self.shown(index), what, seen=lambda: self.shown(index))
        return self.shown(index)

    def shown(self, index: int) -> str:
        return self.page.evaluate(SHOWN, index)

    def restart_kernel(self) -> None:
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.wait_until_ready()


def test_the_first_tutorial_cell_by_cell(lab: str, page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    book = Notebook(page, lab, "01_first_flow.ipynb")
    book.run("%load_ext elfbook\n%elf up 2", "2 workers")
    book.run("%%elf\nclass Greeter", "Greeter")
    book.run("Greeter()", "'Hello Ada'")
    failed = book.run("%%elf flow party", "4 of 6 jobs done, 1 failed, 1 skipped")
    assert 'return "Hello " + name' in failed
    assert "Cell In[2], line 4" in failed
    book.run("%%elf\nclass Greeter", "task_hello changed", nth=1)
    book.run("%elf retry party", "6 of 6")
    book.run("party.result()", "['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']")
    book.restart_kernel()
    book.run("%load_ext elfbook\n%elf attach", "6 of 6")
    book.run("party.result()", "['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']", nth=1)
    book.run("%elf down", "")
    assert faults == []
