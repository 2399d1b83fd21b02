"""Makes the pictures of README.md from one run in a real JupyterLab, in Chromium.

    python docs/pictures.py               both themes, into docs/
    python docs/pictures.py light OTHER   one theme, into another folder

A flow runs, one of its jobs fails, its cell is mended, the job is tried again. For each theme there is an
animated picture of all that, `story-light.png`, and three still ones of the flow's cell alone:
`running-light.png`, `failed-light.png` and `mended-light.png`. Needs what the browser tests need, and Pillow,
which comes with the tutorials' matplotlib.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from PIL import Image  # noqa: E402  (the path above comes first)
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.browser import test_lab as lab  # noqa: E402
from tests.browser.test_board import Book  # noqa: E402

START = "import time\n%load_ext elfbook\n%elf up 2"
ELF = """%%elf
class Weather:
    def task_read(self, city):
        time.sleep(6)  # a slow thermometer
        return {"Oslo": "41.0", "Lima": "68,9", "Rome": "60.8"}[city]

    def task_celsius(self, text):
        return round((float(text) - 32) / 1.8, 1)

    def task_warmest(self, degrees):
        return max(degrees)"""
MENDED = ELF.replace("float(text)", 'float(text.replace(",", "."))')
FLOW = """%%elf flow weather
w = Weather()
texts = w.task_read.map(["Oslo", "Lima", "Rome"])
w.task_warmest(w.task_celsius.map(texts))"""
DONE = "7 of 7"

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
VIEW = {"width": 960, "height": 1120}
SCALE = 1.25
"""Pixels of a picture for each of the page: sharp also on fine screens."""
FADES = 30
"""Where a picture ends and the notebook goes on, so much of it fades, in pixels of the page."""
EDGE = 3
"""Pixels of the page at the right that belong to the notebook's frame."""
COLOURS, EXACT = 256, 128
WAIT_MS = 30_000

ALONE = """async (theme) => {
  const app = window.jupyterapp;
  await app.commands.execute('apputils:change-theme', { theme });
  app.shell.collapseLeft();
  app.shell.mode = 'single-document';
  await app.commands.execute('statusbar:toggle');
}"""
FROM_THE_ELF = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  content.widgets[1].node.scrollIntoView({ block: 'start' });
}"""


class Film:
    """Pictures of a page, each with how long it is to be seen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pictures: list[Image.Image] = []
        self.shown_ms: list[int] = []

    def take(self, shown_ms: int) -> Image.Image:
        """The page as it is now, for so long; a page that has not changed is only seen longer."""
        self.page.evaluate(FROM_THE_ELF)
        box = self.page.locator(".jp-WindowedPanel-outer").bounding_box()
        box["width"] -= EDGE
        shot = self.page.screenshot(animations="disabled", caret="hide", clip=box)
        taken = faded(Image.open(io.BytesIO(shot)).convert("RGB"))
        if self.pictures and self.pictures[-1].tobytes() == taken.tobytes():
            self.shown_ms[-1] += shown_ms
        else:
            self.pictures.append(taken)
            self.shown_ms.append(shown_ms)
        return taken

    def follow(self, until: Callable[[], bool], shown_ms: int) -> None:
        """The page again and again, until that is so."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while not until():
            assert time.monotonic() < deadline, "what the film waits for did not come"
            self.take(shown_ms)
            self.page.wait_for_timeout(shown_ms)

    def save(self, path: Path) -> None:
        """An animated PNG; where only still ones are shown, its first picture is."""
        every = few_colours(self.pictures)
        more = {"append_images": every[1:], "duration": self.shown_ms, "loop": 0}
        every[0].save(path, save_all=True, optimize=True, **more)


def faded(picture: Image.Image) -> Image.Image:
    """The picture with its last lines going over into the notebook's own colour."""
    wide, high = picture.size
    lines = round(FADES * SCALE)
    cover = Image.linear_gradient("L").resize((wide, lines))
    ground = Image.new("RGB", (wide, lines), picture.getpixel((2, 2)))
    picture.paste(ground, (0, high - lines), cover)
    return picture


def few_colours(pictures: list[Image.Image]) -> list[Image.Image]:
    """The pictures in one palette: the colours that most of them consist of, exactly, and some for edges."""
    wide, high = pictures[0].size
    strip = Image.new("RGB", (wide, high * len(pictures)))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (0, high * place))
    often: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}
    for found in sorted(strip.getcolors(strip.width * strip.height), reverse=True):
        # Pillow takes colours for one that differ by less than eight: the first is to be the most frequent.
        often.setdefault(tuple(part // 8 for part in found[1]), found)
        if len(often) == EXACT:
            break
    edges = strip.quantize(COLOURS - len(often), dither=Image.Dither.NONE).getpalette()
    others = (edges[place : place + 3] for place in range(0, len(edges), 3))
    chosen = [colour for _, colour in often.values()]
    chosen += [other for other in others if tuple(part // 8 for part in other) not in often]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in chosen for part in colour])
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def tell(page: Page, address: str, books: Path, theme: str, folder: Path) -> None:
    """The story, once, in one theme."""
    book = Book(page, address, books / f"weather-{theme}.ipynb", START, ELF, FLOW)
    book.begin(0)
    book.wait(0, "2 workers")
    page.evaluate(ALONE, THEMES[theme])
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.mouse.move(5, 5)
    film = Film(page)
    book.begin(1)
    book.wait(1, "Weather is ready")

    def keep(name: str, taken: Image.Image) -> None:
        top = page.locator(".jp-WindowedPanel-outer").bounding_box()["y"]
        cell = page.locator(".jp-Notebook .jp-Cell").nth(2).bounding_box()
        high = min(taken.height, round((cell["y"] + cell["height"] - top) * SCALE))
        below = taken.crop((0, round((cell["y"] - top) * SCALE), taken.width, high))
        few_colours([below])[0].save(folder / f"{name}-{theme}.png", optimize=True)

    book.begin(2)
    shown = book.area(2).locator(".elf-board")
    expect(shown.locator("[data-drawn]")).to_be_visible(timeout=WAIT_MS)
    expect(shown.locator(".elf-node-running")).to_have_count(2)
    keep("running", film.take(1600))
    film.follow(lambda: shown.locator(".elf-failure").count() > 0, 800)
    keep("failed", film.take(3500))
    book.set_source(1, MENDED)
    film.take(1500)
    book.begin(1)
    book.wait(1, "task_celsius changed")
    film.take(1000)
    shown.get_by_role("button", name="Retry failed").click()
    film.take(900)
    shown.locator(".elf-ask").get_by_role("button", name="Retry").click()
    film.follow(lambda: DONE in book.shown(2), 800)
    expect(shown).to_have_count(0)
    keep("mended", film.take(4000))
    film.save(folder / f"story-{theme}.png")


def main() -> None:
    """Both themes, unless one is named."""
    themes = sys.argv[1:2] or list(THEMES)
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else DOCS
    with lab.chromium() as browser:
        for theme in themes:
            make(browser, theme, folder)


def make(browser: Browser, theme: str, folder: Path) -> None:
    """The pictures of one theme, from a Lab and workers of its own."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        (home / "books").mkdir()
        with lab.placed(home) as place, lab.lab_on(home / "books", place) as address:
            context = browser.new_context(viewport=VIEW, device_scale_factor=SCALE)
            tell(context.new_page(), address, home / "books", theme, folder)
            context.close()


if __name__ == "__main__":
    main()
