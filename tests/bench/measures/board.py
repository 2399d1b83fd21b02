"""A board in JupyterLab, in Chromium without a graphics card, while a thousand changes a second reach its kernel."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from samples import Sample, Unsupported, of, rounds

ROOT = Path(__file__).resolve().parents[3]
SIZES = {"12": 12, "1000": 1_000, "10000": 10_000}
ALL_JOBS = "10000_all"
"""The same ten thousand, each drawn as a cell."""
A_SECOND = 1_000
ROUNDS = 3
FOR_S, QUICK_S = 6.0, 1.0
WAIT_MS = 60_000

ELF = """%%elf
class Shown:
    def task_fetch(self, number):
        return number

    def task_parse(self, page):
        return page
"""
FLOW = """%%elf flow shown{size} --on nobody
shown = Shown()
shown.task_parse.map(shown.task_fetch.map(range({half})))
"""
FEED = "from boardfeed import feed\nfeed(shown{size}, {a_second}, {for_s}, {turn})"
FRAMES = """(ms) => new Promise((resolve) => {
  const frames = [];
  let [first, before] = [0, 0];
  const frame = (now) => {
    if (before) frames.push(now - before);
    else first = now;
    before = now;
    if (now - first < ms) requestAnimationFrame(frame);
    else resolve(frames);
  };
  requestAnimationFrame(frame);
})"""


@dataclass(frozen=True)
class Seen:
    """One round: the times between frames, messages drawn in a second, cores kept busy."""

    frames_ms: list[float]
    drawn: float
    board: float
    kernel: float
    """All of it: making and folding the changes as well."""


def samples(system, *, quick: bool, started: float) -> Iterator[Sample]:
    """Frames, messages drawn and the kernel's share of a core, for each size; and a board in which nothing happens."""
    folder = of(system, "folder")
    for name in ("playwright", "jupyterlab"):
        if not importlib.util.find_spec(name):
            raise Unsupported(f"no {name} here")
    sys.path.append(str(ROOT))
    from tests.browser import test_lab

    if not test_lab.CHROMIUM:
        raise Unsupported("no chromium here")
    with tempfile.TemporaryDirectory() as made, test_lab.placed(Path(made)) as place:
        place |= {"ELFBOOK_STATE_DIR": folder, "ELFBOOK_DISPLAY": ""}
        (Path(made) / "books").mkdir()
        with test_lab.lab_on(Path(made) / "books", place) as address, test_lab.chromium() as browser:
            for size in ("12", "10000") if quick else SIZES:
                yield from _of_size(browser, address, Path(made) / "books", size, quick=quick)


def _of_size(browser, address: str, books: Path, size: str, *, quick: bool) -> Iterator[Sample]:
    from tests.browser.test_board import Book

    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    flow = FLOW.format(size=size, half=SIZES[size] // 2)
    book = Book(page, address, books / f"board{size}.ipynb", "%load_ext elfbook", ELF, flow, "")
    for index, words in enumerate(("2 workers", "Shown is ready", f"0 of {SIZES[size]:,}".replace(",", "\u202f"))):
        book.begin(index)
        book.wait(index, words)
    shown = book.area(2).locator(".elf-board")
    shown.locator("[data-drawn]").wait_for(timeout=WAIT_MS)
    shown.scroll_into_view_if_needed()
    for_s = QUICK_S if quick else FOR_S
    if size == "12":
        yield Sample("board_still_fps", "frames/s", [_fps(page.evaluate(FRAMES, 1000 * for_s))])
    yield from _figures(size, [_round(book, size, turn, for_s) for turn in rounds(ROUNDS, quick=quick)])
    if ALL_JOBS.startswith(f"{size}_"):
        shown.get_by_role("button", name="All jobs").click()
        shown.locator("[data-drawn='canvas']").wait_for(timeout=WAIT_MS)
        turns = (10 + turn for turn in rounds(ROUNDS, quick=quick))
        yield from _figures(ALL_JOBS, [_round(book, size, turn, for_s) for turn in turns])
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()


def _round(book, size: str, turn: int, for_s: float) -> Seen:
    book.set_source(3, FEED.format(size=size, a_second=A_SECOND, for_s=1.5 * for_s, turn=turn))
    book.begin(3)
    book.wait(3, f"round {turn} has begun")
    board = book.area(2).locator(".elf-board")
    before = int(board.get_attribute("data-seq"))
    frames = book.page.evaluate(FRAMES, 1000 * for_s)
    drawn = int(board.get_attribute("data-seq")) - before
    told = json.loads(book.wait(3, '"feed_s"').splitlines()[-1])
    assert told["changes"] >= 0.95 * A_SECOND * told["for_s"], f"the changes came too slowly: {told}"
    busy_s = (told["kernel_s"] - told["feed_s"], told["kernel_s"])
    return Seen(frames, drawn / for_s, *(each / told["for_s"] for each in busy_s))


def _figures(name: str, seen: list[Seen]) -> Iterator[Sample]:
    yield Sample(f"board_{name}_fps", "frames/s", [_fps(each.frames_ms) for each in seen])
    yield Sample(f"board_{name}_frame_p50", "ms", [statistics.median(each.frames_ms) for each in seen])
    p95 = [statistics.quantiles(each.frames_ms, n=20)[-1] for each in seen]
    yield Sample(f"board_{name}_frame_p95", "ms", p95)
    yield Sample(f"board_{name}_drawn", "messages/s", [each.drawn for each in seen])
    yield Sample(f"board_{name}_share", "% core", [100 * each.board for each in seen])
    yield Sample(f"board_{name}_kernel", "% core", [100 * each.kernel for each in seen])


def _fps(frames_ms: list[float]) -> float:
    return 1000 * len(frames_ms) / sum(frames_ms)
