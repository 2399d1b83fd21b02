"""The settled page: the words of the text form, within its size, whatever a worker sends."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree as XML

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.model import ElfUse, Failure, Frame, Output
from elfbook.view.page import LIMIT, page, safe
from elfbook.view.report import whole_page
from elfbook.view.textform import text

ALLOWED = {
    "div": set(), "p": set(), "strong": set(), "br": set(), "code": set(), "pre": set(),
    "img": {"alt", "src"}, "table": set(), "thead": set(), "tbody": set(), "tr": set(), "th": {"scope"},
    "td": set(), "details": {"open"}, "summary": set(),
}
HOSTILE = (
    '</pre></details><script>alert(1)</script><img src=x onerror="alert(1)">&amp;" onload=\'x\'\x1b[2J\x00'
)


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its words without them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " " if tag in {"p", "br", "td", "th", "tr", "summary", "pre", "details", "table"} else ""
        if tag not in {"br", "img", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def full(party: Callable) -> Callable:
    """The tutorial's party with everything that a view can tell."""
    return party.look(
        versions={"d1": 1}, durability="durable", result="['HELLO ADA!']",
        outputs=(
            Output(0, 1, "stdout", "Ada\n"), Output(4, 1, "display", bundle={"image/png": "iVBORw0KGgo="}),
        ),
    )


STATIC_PAGE = """\
<div><p><strong>✗ flow party</strong>: 4 of 6 jobs done, 1 failed, 1 skipped</p>
<img alt="Greeter.task_hello (3 jobs) leads to Greeter.task_shout (3 jobs)" src="SVG">
<table><thead><tr><th scope="col">task</th><th scope="col">done</th><th scope="col">failed</th>\
<th scope="col">skipped</th></tr></thead><tbody>
<tr><th scope="row">Greeter.task_hello</th><td>2</td><td>1</td><td>0</td></tr>
<tr><th scope="row">Greeter.task_shout</th><td>2</td><td>0</td><td>1</td></tr>
</tbody></table>
<details open><summary>Greeter.task_hello(name=7)</summary><pre>
Cell In[2], line 4
      2 class Greeter:
      3     def task_hello(self, name):
----&gt; 4         return &quot;Hello &quot; + name
             name = 7
TypeError: can only concatenate str (not &quot;int&quot;) to str</pre></details>
<p>skipped because of it: task_shout[2]</p>
<p>next: correct the cell, then <code>%elf retry party</code><br>
or look closer: <code>%elf show party/task_hello[2]</code></p></div>"""


def test_the_static_page_word_for_word(party: Callable) -> None:
    html = page(party.look(static=True))
    assert re.sub(r'"data:image/svg\+xml;base64,[^"]+"', '"SVG"', html) == STATIC_PAGE


@pytest.mark.parametrize("static", [True, False])
def test_page_and_text_say_the_same(party: Callable, static: bool) -> None:
    view = party.look(
        static=static, versions={"d1": 1}, durability="durable", result="x", now=500.0,
        outputs=(Output(0, 1, "stdout", "Ada\n"), Output(4, 1, "display", bundle={"image/png": "AAAA"})),
    )
    assert Reader(page(view)).text.split() == text(view).split()


def test_page_and_text_say_the_same_of_many_failures(story: Callable, call: Callable) -> None:
    told = story([call("task_a", number) for number in range(9)] + [call("task_b", parents=(0,))])
    for number in range(8):
        told.fail(number, Failure(f"Error{number % 5}", "no"))
    view = told.look(workers=2, now=120.0)
    assert view.reasons == (
        "task_a[8] waits for a worker", "task_b[0] never starts, because task_a[0] failed",
    )
    assert Reader(page(view)).text.split() == text(view).split()


def test_only_plain_elements_are_used(full: Callable) -> None:
    for tag, attributes in Reader(page(full)).elements:
        assert set(attributes) <= ALLOWED[tag]
        if tag == "img":
            assert attributes["alt"]
            assert attributes["src"].startswith(("data:image/svg+xml;base64,", "data:image/png;base64,"))


@pytest.mark.parametrize("make", [page, None], ids=["page", "whole page"])
def test_hostile_text_stays_text(story: Callable, call: Callable, make: Callable | None) -> None:
    frame = Frame(HOSTILE, 1, HOSTILE, (HOSTILE, HOSTILE), 1, ((HOSTILE, HOSTILE),), True, HOSTILE)
    told = story(
        [call(HOSTILE), call("task_b", parents=(0,))], elves=(ElfUse(HOSTILE, "d1", HOSTILE),), flow=HOSTILE
    )
    told.fail(0, Failure(HOSTILE, HOSTILE, (frame,), notes=(HOSTILE,), inputs=HOSTILE, last_output=HOSTILE))
    told.skip(1, because=0)
    view = told.look(
        result=HOSTILE, durability=HOSTILE,
        outputs=(
            Output(0, 1, "stdout", HOSTILE),
            Output(0, 1, "display", bundle={"text/html": "<b>HTML</b>", "text/plain": HOSTILE}),
            Output(0, 1, "display", bundle={"image/png": HOSTILE, "text/plain": HOSTILE}),
            Output(0, 1, "display", bundle={"image/svg+xml": f"<svg>{HOSTILE}</svg>"}),
        ),
    )
    html = make(view) if make else whole_page(view, told.state, told.manifest, [told.revision])
    read = Reader(html)
    extra = {} if make else {
        "html": {"lang"}, "head": set(), "meta": {"charset", "name", "content"}, "title": set(),
        "style": set(), "body": set(), "h1": set(), "h2": set(),
    }
    for tag, attributes in read.elements:
        assert set(attributes) <= (ALLOWED | extra)[tag]
    assert "<b>" not in html
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f]", html) == []
    assert not read.open


@settings(deadline=None)
@given(st.text())
def test_safe_text_reads_back_as_one_text(foreign: str) -> None:
    read = Reader(f'<p title="{safe(foreign)}">{safe(foreign)}</p>')
    assert [tag for tag, _ in read.elements] == ["p"]
    assert list(read.elements[0][1]) == ["title"]


# ---------------------------------------------------------------------------- size


def test_ten_thousand_jobs_with_everything_fit(story: Callable, call: Callable) -> None:
    elves = tuple(ElfUse(f"Elf{number}", "d1") for number in range(40))
    told = story(
        [call(f"task_{n % 40}", n, parents=(n - 1,) if n % 3 else (), elf=n % 40) for n in range(10_000)],
        elves=elves,
    )
    values = tuple((f"n{number}", "v" * 300) for number in range(9))
    for number in range(0, 3000, 3):
        frame = Frame(f"f{number % 50}", 3, "f", ("x" * 300,) * 5, 1, values, True)
        told.fail(number, Failure(f"Error{number % 50}", "m" * 3000, (frame,) * 8))
    for number in range(1, 3000, 3):
        told.skip(number, because=number - 1)
    view = told.look(outputs=[Output(number, 1, "stdout", "y" * 5000) for number in range(300)])
    html = page(view)
    assert len(html.encode()) <= LIMIT
    assert "1\u202f000 failed" in html
    assert "left out to keep this page small:" in html
    assert "<code>%elf show party</code>" in html
    assert Reader(html).open == []


def test_what_does_not_fit_is_named_and_the_rest_stays(party: Callable) -> None:
    view = party.look(outputs=(Output(0, 1, "stdout", "short"), Output(1, 1, "stdout", "long\n" * 9)))
    html = page(view, most_bytes=len(page(view)) + 590)
    assert "left out to keep this page small: the output of task_hello[1]; all of it:" in html
    assert "short" in html
    assert "TypeError" in html


def test_figures_have_a_limit_of_their_own(party: Callable) -> None:
    large, huge = "A" * 100_000, "A" * 300_000
    outputs = [Output(job, 1, "display", bundle={"image/png": large}) for job in range(6)]
    html = page(party.look(outputs=outputs))
    assert html.count("data:image/png") == 4
    assert html.count("<p>figure of") == 6
    assert page(party.look(outputs=outputs), figures=False).count("data:image/png") == 0
    outputs = [Output(0, 1, "display", bundle={"image/png": huge})]
    assert page(party.look(outputs=outputs)).count("image/png") == 0


def test_an_svg_of_a_worker_is_an_image(party: Callable) -> None:
    html = page(party.look(outputs=[Output(0, 1, "display", bundle={"image/svg+xml": "<svg>ä</svg>"})]))
    (encoded,) = re.findall(r'alt="figure of task_hello\[0\]" src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert b64decode(encoded).decode() == "<svg>ä</svg>"


def test_the_picture_is_an_image_that_can_be_parsed(full: Callable) -> None:
    (encoded,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page(full))
    assert XML.fromstring(b64decode(encoded)).get("width") == "332"


# ---------------------------------------------------------------------------- the whole page


def test_the_whole_page_is_one_document_with_every_job(party: Callable, full: Callable) -> None:
    html = whole_page(full, party.state, party.manifest, [party.revision])
    assert html.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')
    assert "prefers-color-scheme: dark" in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    read = Reader(html)
    words = " ".join(read.text.split())
    for phrase in (
        "✗ flow party 4 of 6 jobs done, 1 failed, 1 skipped",
        "result: ['HELLO ADA!'] · code: Greeter v1 · durable",
        "task_hello[0] Greeter.task_hello ✓ done 1 0.4 s worker-1 'Hello'",
        "task_hello[2] Greeter.task_hello ✗ failed 1 0.4 s worker-2 TypeError: can only concatenate",
        "task_shout[2] Greeter.task_shout ↷ skipped 0 because of task_hello[2]",
        "output of task_hello[0]: Ada",
        "figure of task_shout[1]",
        "Cell In[2], used by Greeter 1 %%elf 2 class Greeter:",
        "flow party Cell In[4] 1 %%elf flow party",
    ):
        assert phrase in words
    assert not read.open


def test_the_whole_page_of_a_large_run_is_complete(story: Callable, call: Callable) -> None:
    told = story([call("task_a", number) for number in range(2000)])
    for number in range(5):
        told.fail(number, Failure(f"Error{number}", "no"))
    outputs = tuple(Output(number, 1, "stdout", f"said {number}\n" * 40) for number in range(20))
    html = whole_page(told.look(outputs=outputs), told.state, told.manifest)
    assert html.count('<tr><th scope="row">task_a[') == 2000
    assert html.count("<details open><summary>Greeter.task_a(") == 5
    assert html.count("said 19") == 40
    assert "<details><summary>2\u202f000 jobs</summary>" in html
