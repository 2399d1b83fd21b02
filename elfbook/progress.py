"""How far a job is, as it says itself or as a bar that it prints says. Pure.

Progress is no fact: it is stored nowhere, and nothing rests on it. It is said again and again while
the attempt goes on, and whoever does not hear it any more knows nothing.
"""

from __future__ import annotations

import math
import re

from elfbook.model import Struct
from elfbook.words import count, one_line, shorten

MOST_TEXT = 200
"""Characters of what is said beside the numbers."""

# `reading:  42%|████▏     | 42/100 [00:04<00:05,  9.97it/s]`, and what other programs make of it.
BAR = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%(?:\|[^|]*\|)?(?: *(\d{1,15})/(\d{1,15})(?![\w.]))?")


class Progress(Struct, frozen=True):
    """How far a job is. Said by a worker, so its numbers may be any."""

    done: float | None = None
    """How much is done; None when only the text says something."""
    total: float | None = None
    """How much there is to do; None when that is not known."""
    text: str = ""
    """What it is at, one line."""

    @property
    def share(self) -> float | None:
        """How much of it is done, 0 to 1; None when that is not known."""
        if self.done is None or not self.total:
            return None
        share = self.done / self.total
        return None if math.isnan(share) else min(max(share, 0.0), 1.0)

    def __str__(self) -> str:
        """`42 % · 42/90 · reading`: as much of it as is known, in one line."""
        parts = []
        if self.share is not None:
            parts.append(f"{int(100 * self.share)} %")
        if self.done is not None and (self.total != 100 or self.share is None):
            parts.append(f"{number(self.done)}/{number(self.total)}" if self.total else number(self.done))
        return " · ".join([*parts, *filter(None, [one_line(self.text, MOST_TEXT)])])


class Report(Struct, frozen=True):
    """What a worker says of the attempt that it runs."""

    run: str
    job: int
    claim: int
    """Sequence of the attempt's claim: what is said holds for this attempt only."""
    progress: Progress | None = None
    """None when it says nothing any more."""


def number(amount: float) -> str:
    """An amount as people write it: `1 200`, `0.5`."""
    whole = abs(amount) < 1e15 and amount == int(amount)
    return count(int(amount)) if whole else f"{amount:.4g}"


def in_line(line: str) -> Progress | None:
    """What a line says that a program writes over again and again; None for one that says nothing."""
    text = " ".join(one_line(line, 10 * MOST_TEXT).split())
    if not text:
        return None
    found = BAR.search(text)
    if found is None:
        return Progress(text=shorten(text, MOST_TEXT))
    percent, done, total = found.groups()
    rest = " ".join(part for part in (text[: found.start()].strip(), text[found.end() :].strip()) if part)
    rest = shorten(rest.lstrip(": |"), MOST_TEXT)
    if total is not None and int(total):
        return Progress(float(done), float(total), rest)
    return Progress(float(percent), 100.0, rest)


def bar(share: float, columns: int) -> str:
    """`███░░░░░`, so many characters wide."""
    full = int(columns * share)
    return "█" * full + "░" * (columns - full)
