"""A board drawn outside of a notebook, in Chromium: by the widget's program, which a real Jupyter server gives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from elfbook.host import hostfile
from elfbook.store.place import Place
from tests.extension.conftest import ROOT, run
from tests.jupyterserver import TOKEN, Server, environ_of, submit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]
PICTURES = ROOT / "artefacts" / "connection"
WAIT_MS = 30_000
BEGIN = """([base, token]) => {
  const ends = {baseUrl: `http${base}/`, wsUrl: `ws${base}/`, token, appendToken: true};
  window.connection = connectionOf.connect(ends);
  document.body.replaceChildren();
  window.draw = (run) => {
    const element = document.body.appendChild(document.createElement("div"));
    element.id = run;
    window.end = window.connection.drawBoard(element, run);
  };
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM and not os.environ.get("CI"), reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    state = Place(folder / "state")
    made = Server(folder, environ_of(folder, state))
    made.start()
    hostfile.ensure(state, workers=1)
    yield made
    made.stop()


@pytest.fixture
def page(server: Server, packages: Path, tmp_path: Path) -> Iterator[Page]:
    script = tmp_path / "connection.js"
    entry = ["lab/connection.ts", "--bundle", "--format=iife", "--global-name=connectionOf"]
    run("npx", "esbuild", *entry, f"--outfile={script}", cwd=packages)
    assert CHROMIUM, "install chromium: with CI=1 the browser tests are not skipped"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        # The page itself is the server's, and would take no script; what is tried is the script alone.
        made = browser.new_context(bypass_csp=True, viewport={"width": 700, "height": 800}).new_page()
        made.goto(f"{server.url}/api/status?token={TOKEN}")
        made.add_script_tag(path=script)
        made.evaluate(BEGIN, [server.url.removeprefix("http"), TOKEN])
        yield made
        browser.close()


def test_a_board_without_a_kernel(folder: Path, server: Server, page: Page) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    gate, mend = folder / "gate", folder / "mend"
    body = f"a = Gate().task_pass({str(gate)!r}, 'a'); Gate().task_pass({str(gate)!r}, a); Gate().task_fail({str(mend)!r})"
    submit(folder, Place(folder / "state"), "draw", body)
    page.evaluate("draw('draw.1')")
    board = page.locator(".elf-board[role=region]")
    expect(board.locator(".elf-outcome, .elf-state, header").first).to_be_visible(timeout=WAIT_MS)
    expect(board).to_contain_text("flow draw", timeout=WAIT_MS)
    expect(board.locator("svg").first).to_be_visible(timeout=WAIT_MS)
    page.screenshot(path=PICTURES / "running.png")
    gate.touch()
    expect(board).to_contain_text("there is no file", timeout=WAIT_MS)
    expect(board).to_contain_text("2 of 3 done", timeout=WAIT_MS)
    page.screenshot(path=PICTURES / "failed.png")

    server.stop()
    line = page.get_by_role("alert").filter(visible=True)
    expect(line).to_contain_text("The Jupyter server does not answer", timeout=WAIT_MS)
    page.screenshot(path=PICTURES / "away.png")
    server.start()
    expect(line).to_have_count(0, timeout=WAIT_MS)
    mend.touch()
    reply = page.evaluate("connection.act({kind: 'do', verb: 'retry', run: 'draw'})")
    assert reply["ok"] and "1 job of flow draw runs again" in reply["words"], reply
    expect(board).to_contain_text("3 of 3 done", timeout=WAIT_MS)
    page.evaluate("end()")
    expect(board).to_have_count(0)
    assert errors == []


def test_a_board_that_is_not_to_be_had(page: Page) -> None:
    page.evaluate("draw('drew.1')")
    line = page.get_by_role("alert").filter(visible=True)
    expect(line).to_contain_text("there is no flow called drew here.", timeout=WAIT_MS)
    expect(page.locator(".elf-board[role=region]")).to_be_hidden()
