"""How far a job is: in words, as a share, and read out of the lines that bars are drawn with."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.progress import MOST_TEXT, Progress, bar, in_line
from elfbook.wire import decode, encode
from elfbook.words import THIN_SPACE

LINES = {
    "reading:  42%|████▏     | 42/100 [00:04<00:05,  9.97it/s]": (42, 100, "reading: [00:04<00:05, 9.97it/s]"),
    "  0%|          | 0/5 [00:00<?, ?it/s]": (0, 5, "[00:00<?, ?it/s]"),
    "100%|##########| 5/5": (5, 5, ""),
    " 35%|###5      | 1.20k/3.40k [00:01<00:02, 1.1kit/s]": (35, 100, "1.20k/3.40k [00:01<00:02, 1.1kit/s]"),
    "epochs:  50%|█████     | 1/2 [00:01<00:01,  1.00s/it, loss=0.2]": (
        1, 2, "epochs: [00:01<00:01, 1.00s/it, loss=0.2]",
    ),
    "42it [00:04,  9.97it/s]": (None, None, "42it [00:04, 9.97it/s]"),
    "Downloading 12.5 % done": (12.5, 100, "Downloading done"),
    "\x1b[31mred 3%\x1b[0m": (3, 100, "red"),
    "epoch 3/10": (None, None, "epoch 3/10"),
    "0%|x| 0/0 [": (0, 100, "["),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_written_over_says_how_far_it_is(line: str) -> None:
    assert in_line(line) == Progress(*LINES[line])


@pytest.mark.parametrize("line", ["", "   ", "\x1b[A"])
def test_a_line_that_says_nothing_is_none(line: str) -> None:
    assert in_line(line) is None


@pytest.mark.parametrize(
    ("progress", "share", "words"),
    [
        (Progress(3, 10, "reading"), 0.3, "30 % · 3/10 · reading"),
        (Progress(1200), None, "1 200"),
        (Progress(0.5, 2), 0.25, "25 % · 0.5/2"),
        (Progress(42, 100), 0.42, "42 %"),
        (Progress(999, 1000), 0.999, "99 % · 999/1 000"),
        (Progress(7, 5), 1.0, "100 % · 7/5"),
        (Progress(0, 0), None, "0"),
        (Progress(text="epoch 3"), None, "epoch 3"),
        (Progress(), None, ""),
        (Progress(math.nan, 3.0), None, "nan/3"),
        (Progress(math.inf, math.inf), None, "inf/inf"),
        (Progress(-1.0, 2.0), 0.0, "0 % · -1/2"),
    ],
)
def test_share_and_words(progress: Progress, share: float | None, words: str) -> None:
    assert (progress.share, str(progress).replace(THIN_SPACE, " ")) == (share, words)


numbers = st.none() | st.floats()


@given(numbers, numbers, st.text())
def test_whatever_a_worker_says_is_one_short_line_and_a_share(done: float, total: float, text: str) -> None:
    told = decode(encode(Progress(done, total, text.encode("utf-8", "replace").decode())), Progress)
    assert told.share is None or 0.0 <= told.share <= 1.0
    assert "\n" not in str(told) and len(str(told)) < MOST_TEXT + 60


@given(st.floats(0, 1), st.integers(0, 40))
def test_a_bar_is_as_wide_as_asked(share: float, columns: int) -> None:
    assert len(bar(share, columns)) == columns
    assert (bar(1.0, 4), bar(0.5, 4), bar(0.0, 4)) == ("████", "██░░", "░░░░")
