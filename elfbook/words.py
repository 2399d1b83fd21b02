"""How numbers, durations, states and other people's text are written, everywhere alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

from elfbook.facts import State

COLUMNS = 80
"""Width that every text form keeps to."""

GLYPHS: dict[State, str] = {
    State.WAITING: "○",
    State.RUNNING: "●",
    State.DONE: "✓",
    State.FAILED: "✗",
    State.SKIPPED: "↷",
    State.CANCELLED: "⊘",
}

PAUSED_GLYPH = "‖"
"""Of a run, which rests while its jobs keep their states."""

THIN_SPACE = "\u202f"
"""Groups digits; it does not break, so a number never spreads over two lines."""

ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Direction marks can make a line read as something that it is not (CVE-2021-42574).
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
LONG_PATH = re.compile(r"(?<![\w/.:~])(?:~|[A-Za-z]:)?(?:[/\\][\w.+@~%-]+)+[/\\]([\w.+@~%-]+)")


def count(number: int) -> str:
    """The number with its digits in groups: `1 000`."""
    return f"{number:,}".replace(",", THIN_SPACE)


def plural(number: int, noun: str) -> str:
    """The count with its noun: `1 job`, `6 jobs`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def duration(seconds: float) -> str:
    """The length of time in at most two units: `0.4 s`, `2 min 10 s`, `3 h 5 min`."""
    seconds = max(0.0, seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return two_units(whole // 60, "min", whole % 60, "s")
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return two_units(minutes // 60, "h", minutes % 60, "min")
    hours = round(seconds / 3600)
    return two_units(hours // 24, "days", hours % 24, "h")


def two_units(large: int, large_unit: str, small: int, small_unit: str) -> str:
    """`2 min 10 s`, or `2 min` when nothing is left over."""
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def limit(seconds: float) -> str:
    """A length of time that somebody chose, as they would write it: `60 s`, `0.5 s`."""
    return f"{seconds:g} s" if seconds < 100 else duration(seconds)


def size(number: int) -> str:
    """The number of bytes in the unit that leaves one to three digits: `12 kB`."""
    amount = float(number)
    for unit in ("B", "kB", "MB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 9.95 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def shorten(text: str, columns: int) -> str:
    """The text, its end replaced by `…` when it is longer than that many columns."""
    return text if len(text) <= columns else text[: max(columns - 1, 0)].rstrip() + "…"


def listing(items: Iterable[str], *, most: int = 10) -> str:
    """The items in one phrase: `a, b and c`, and `a, b and 7 more` beyond `most`."""
    shown = list(items)
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {count(len(shown) - most)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def printable(text: str) -> str:
    """Foreign text without colours and cursor codes; other unseen characters are spelled out."""
    text = ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n")
    return UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str, columns: int = 200) -> str:
    """The first line that says something, printable and short."""
    lines = (line.strip() for line in printable(text).splitlines())
    return shorten(next((line for line in lines if line), ""), columns)


def as_on_screen(text: str) -> str:
    """What a terminal would show at the end: a carriage return writes over its line."""
    return printable(written_over(text))


def written_over(text: str) -> str:
    """The text without what its carriage returns have written over."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def without_addresses(text: str) -> str:
    """The text without ` at 0x7f…`, which differs from one process to the next."""
    return ADDRESS.sub("", text)


def without_places(text: str) -> str:
    """The text without addresses, each absolute path reduced to its last part."""
    return LONG_PATH.sub(r"\1", without_addresses(text))
