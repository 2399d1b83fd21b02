"""What a benchmark tells: samples as they are taken, figures as they are printed."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass


class Unsupported(Exception):
    """The system has no such mechanism; the text says what is missing."""


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

    def as_json(self) -> str:
        """The figure as one JSON object."""
        return json.dumps({name: value for name, value in self.__dict__.items() if name != "note" or value})

    def as_row(self) -> str:
        """The figure as one line of the table."""
        if self.value is None:
            return f"{self.measure:<18}{self.system:<13}{'–':>10}  {self.note}"
        spread = "" if self.spread is None else short(self.spread)
        start = f"{self.measure:<18}{self.system:<13}{short(self.value):>10}"
        return f"{start}  {self.unit:<8}{spread:>8}{self.reps:>6}"

    @staticmethod
    def heading() -> str:
        """The table's first line."""
        return f"{'measure':<18}{'system':<13}{'value':>10}  {'unit':<8}{'spread':>8}{'reps':>6}"


def short(number: float) -> str:
    """Three digits that count: 12,345 · 123 · 12.3 · 1.23 · 0.123."""
    return f"{number:,.{max(0, 3 - len(str(int(number))))}f}" if number >= 1 else f"{number:.3f}"
