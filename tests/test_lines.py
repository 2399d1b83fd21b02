"""What jobs print, as a terminal would leave it: lines that are written over are kept once."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.model import Output
from elfbook.work.lines import MOST_COLUMNS, MOST_OPEN, Lines
from elfbook.work.outputs import Outputs


def left(chunks: list[str]) -> str:
    """All that is handed on of a stream that is over."""
    lines = Lines()
    return "".join([*map(lines.add, chunks), lines.end()])


@pytest.mark.parametrize(
    ("chunks", "left_over"),
    [
        (["plain\n", "text"], "plain\ntext"),
        (["10 %", "\r20 %", "\r30 %", "\n", "on"], "10 %\r30 %\non"),
        (["\r10 %", "\r20 %\n"], "20 %\n"),
        (["10 %\r", "20 %\r", "30 %\r", "\n"], "30 %\n"),
        (["a\r", "\nb\r\nc\r\n"], "a\nb\nc\n"),
        (["\rgone", "\r    ", "\r", "next\n"], "next\n"),
        (["\router 0", "\n", "\rinner 0", "\x1b[A", "\n", "\rinner 1", "\x1b[A", "\router 1", "\n"], "outer 1\ninner 1\n"),
        (["\x1b[31mred\x1b[0m\n"], "\x1b[31mred\x1b[0m\n"),
        (["\x1b[5A", "x"], "x"),
        (["", "\r"], ""),
    ],
)  # fmt: skip
def test_a_line_is_kept_as_it_ends(chunks: list[str], left_over: str) -> None:
    assert left(chunks).rstrip("\n") == left_over.rstrip("\n")


def test_a_line_that_may_still_change_is_held_back_and_tells() -> None:
    lines = Lines()
    assert (lines.add("begun\nload"), lines.live) == ("begun\nload", "")
    assert (lines.add("\r 5 %"), lines.live, lines.open) == ("", " 5 %", " 5 %")
    assert [lines.settle() for _ in range(3)] == ["", "", ""], "it goes on for as long as it likes"
    assert (lines.add("\r10 %\nnext"), lines.live) == ("\r10 %\nnext", "")


def test_a_bar_that_has_ended_is_handed_on_when_nothing_is_drawn_below_it() -> None:
    lines = Lines()
    assert lines.add("\r100 %\n") == ""
    assert lines.live == "100 %"
    assert lines.settle() == "", "something came a moment ago"
    assert (lines.settle(), lines.live) == ("100 %\n", "")


pieces = st.lists(st.sampled_from(["a", "bc", " ", "\r", "\n", "\r\n", "\x1b[A", "\x1b[2A", "\x1b[1m"]), max_size=40)


@given(pieces, st.lists(st.integers(0, 60)))
def test_how_it_is_cut_does_not_matter(parts: list[str], cuts: list[int]) -> None:
    """But not within the sign that goes up a line."""
    places = sorted({0, len(parts), *(cut for cut in cuts if cut < len(parts))})
    chunks = ["".join(parts[a:b]) for a, b in pairwise(places)]
    as_seen = [line.rpartition("\r")[2] for line in left(chunks).rstrip().split("\n")]
    whole = [line.rpartition("\r")[2] for line in left(["".join(parts)]).rstrip().split("\n")]
    if "\x1b[A" not in parts and "\x1b[2A" not in parts:  # up into what was handed on before nobody can go
        assert as_seen == whole


@given(pieces)
def test_what_is_held_back_is_bounded_and_what_is_plain_is_not_held_back(parts: list[str]) -> None:
    lines = Lines()
    for part in parts * 4:
        lines.add(part)
        assert len(lines.rows) <= MOST_OPEN and 0 <= lines.at <= max(len(lines.rows) - 1, 0)
    lines.add("\r" + "x" * 3 * MOST_COLUMNS)
    assert len(lines.open) <= MOST_OPEN * (MOST_COLUMNS + 1)
    plain = Lines()
    assert [plain.add(text) for text in ("a", "b\n", "c")] == ["a", "b\n", "c"]


class Pieces(io.StringIO):
    """A stream that keeps every write by itself, as they may arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[str] = []

    def write(self, text: str) -> int:
        self.chunks.append(text)
        return len(text)


def test_bars_of_tqdm_one_in_the_other_leave_what_a_terminal_would_show() -> None:
    tqdm = pytest.importorskip("tqdm")
    file = Pieces()
    for _ in tqdm.tqdm(range(3), file=file, mininterval=0, desc="outer"):
        for _ in tqdm.tqdm(range(200), file=file, mininterval=0, desc="inner", leave=False):
            pass
    text = left(file.chunks)
    assert text.count("\n") <= 2 and "outer: 100%" in text and len(file.chunks) > 1000


async def test_a_jobs_bar_is_stored_once_and_its_end_even_if_it_is_killed() -> None:
    stored: list[Output] = []

    async def store(run: str, job: int, outputs: tuple[Output, ...]) -> None:
        stored.extend(outputs)

    outputs = Outputs(store)
    outputs.open("t", "f.1", 0, 1)

    def say(name: str, text: str) -> None:
        outputs.heard("t", "stream", {"name": name, "text": text})

    say("stdout", "begin\n")
    for step in range(1000):
        say("stderr", f"\r{step} of 1000")
        await outputs.store_waiting(outputs._boxes["t"])
    assert [output.text for output in stored] == ["begin\n"]
    assert outputs.live("t").text == "999 of 1000"
    assert outputs.tail("t") == "begin\n999 of 1000"
    outputs.end("t")
    await outputs.store_waiting(outputs._boxes["t"])
    assert [(output.kind, output.text) for output in stored] == [("stdout", "begin\n"), ("stderr", "999 of 1000")]
    assert outputs.live("t") is None
