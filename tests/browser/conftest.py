"""What each test of a page leaves in `artefacts/lab`: a picture of its end, and what the console said if it failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Error, Page

LEFT = Path(__file__).resolve().parent.parent.parent / "artefacts" / "lab"
SECRET = re.compile(r"(token=|Authorization: *)[\w%.~-]+", re.IGNORECASE)
"""A Jupyter server's address bears the key to it."""
SAID = pytest.StashKey[list[str]]()


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the page's console says is kept until the test has ended."""
    if "page" in request.fixturenames:
        page: Page = request.getfixturevalue("page")
        said = request.node.stash[SAID] = []

        def note(message: ConsoleMessage) -> None:
            said.append(f"{message.type}: {message.text}")

        page.on("console", note)
        page.on("pageerror", lambda error: said.append(f"thrown: {error}"))
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """The picture is of the moment in which the test ended: nothing has been cleared away yet."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if page is None or not (call.when == "call" or (call.when == "setup" and report.failed)):
        return report
    name = re.sub(r"[^\w-]+", "_", item.name.removeprefix("test_")).strip("_")
    said = item.stash.get(SAID, [])
    for kind in ("png", "log"):
        (LEFT / f"{name}, failed.{kind}").unlink(missing_ok=True)
    try:
        leave(page, f"{name}, failed" if report.failed else name)
    except Error as error:  # a page that is gone cannot be shown; what it said still can
        said.append(f"no picture: {error.message}")
    if report.failed:
        (LEFT / f"{name}, failed.log").write_text(without_secrets("\n".join(said)) + "\n")
    return report


def leave(page: Page, name: str) -> None:
    """Holds afterwards: a picture of the page is among what tests leave. It shows no address."""
    LEFT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=LEFT / f"{name}.png", timeout=10_000)


def without_secrets(words: str) -> str:
    """The words with every key in them replaced."""
    return SECRET.sub(r"\1…", words)
