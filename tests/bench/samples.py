"""What a benchmark tells: samples as they are taken, figures as they are printed."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

ENOUGH_S = 45.0
"""A measure that has taken so long is not repeated."""


class Unsupported(Exception):
    """The system has no such mechanism; the text says what is missing."""


def of(system, verb: str) -> Callable:
    """What the system does under that name; Unsupported when it has no such mechanism."""
    found = getattr(system, verb, None)
    if found is None:
        raise Unsupported("no such mechanism")
    return found


def rounds(most: int, *, quick: bool) -> Iterator[int]:
    """So many repetitions, fewer of what takes long; one to see that it runs."""
    deadline = time.monotonic() + ENOUGH_S
    for done in range(1 if quick else most):
        if done and time.monotonic() > deadline:
            return
        yield done


@dataclass(frozen=True)
class Sample:
    """Repetitions of one measure."""

    measure: str
    unit: str
    values: list[float]

    def and_also(self, other: Sample) -> Sample:
        """Both samples as one."""
        return Sample(self.measure, self.unit, self.values + other.values)


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    measure: str
    system: str
    value: float | None
    unit: str
    reps: int
    spread: float | None
    note: str = ""

    @classmethod
    def of(cls, sample: Sample, system: str) -> Figure:
        """Median and range of a sample."""
        values = sample.values
        spread = max(values) - min(values) if len(values) > 1 else None
        return cls(sample.measure, system, statistics.median(values), sample.unit, len(values), spread)

    @classmethod
    def absent(cls, measure: str, system: str, reason: str) -> Figure:
        """No number, and why."""
        return cls(measure, system, None, "", 0, None, reason)

    def as_dict(self) -> dict:
        """The figure as plain data, without an empty note."""
        return {name: value for name, value in asdict(self).items() if name != "note" or value}

    def as_json(self) -> str:
        """The figure as one JSON object."""
        return json.dumps(self.as_dict())

    def as_row(self, first: Figure | None = None) -> str:
        """The figure as one line of the table, with how it stands to the `first` system's figure."""
        if self.value is None:
            return f"{self.measure:<25}{self.system:<13}{'–':>10}  {self.note}"
        spread = "" if self.spread is None else short(self.spread)
        start = f"{self.measure:<25}{self.system:<13}{short(self.value):>10}"
        ratio = ratio_of(self, first)
        return f"{start}  {self.unit:<8}{spread:>8}{self.reps:>6}  {ratio}".rstrip()

    @staticmethod
    def heading() -> str:
        """The table's first line."""
        return f"{'measure':<25}{'system':<13}{'value':>10}  {'unit':<8}{'spread':>8}{'reps':>6}"


def more_is_better(unit: str) -> bool:
    """True for rates, false for times and sizes."""
    return unit.endswith("/s")


def advantage(mine: Figure, other: Figure) -> float | None:
    """How many times better `mine` is than `other`; None where that cannot be said."""
    if not mine.value or not other.value:
        return None
    return mine.value / other.value if more_is_better(mine.unit) else other.value / mine.value


def ratio_of(figure: Figure, first: Figure | None) -> str:
    """`elfbook × 7.2`: how many times better the first system is; empty for itself."""
    if first is None or first.system == figure.system or first.measure != figure.measure:
        return ""
    times = advantage(first, figure)
    return "" if times is None else f"{first.system} × {short(times)}"


def short(number: float) -> str:
    """Three digits that count: 12,345 · 123 · 12.3 · 1.23 · 0.123."""
    size = abs(number)
    return f"{number:,.{max(0, 3 - len(str(int(size))))}f}" if size >= 1 else f"{number:.3f}"
