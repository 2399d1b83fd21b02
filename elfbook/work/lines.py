"""Lines that jobs print, as a terminal would leave them: what is written over again is kept once.

A progress bar writes its line again after each `\r`, ten times a second for hours. What it leaves is one
line. So a line that may still be written over is held back until it is certain what becomes of it; and
while it is open it says how far the job is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOST_OPEN = 12
"""Lines that are held back: bars below each other are drawn by going up again."""
MOST_COLUMNS = 4000
"""Characters of a line that is held back."""

MOVES = re.compile(r"(\r|\n|\x1b\[\d*A)")


@dataclass(slots=True)
class Row:
    """A line that is not settled."""

    text: str = ""
    returned: bool = False
    """True once something was written over its beginning."""


@dataclass(eq=False)
class Lines:
    """One stream of one job."""

    rows: list[Row] = field(default_factory=list)
    """Lines that are held back, the first one first; none as long as nothing is written over."""
    at: int = 0
    """The row that is being written."""
    _over: bool = False
    """True when the next character writes over its row."""
    _begun: bool = False
    """True when the beginning of the first row has been handed on before."""
    _fresh: bool = False
    """True when something came since the last `settle`."""

    def add(self, text: str) -> str:
        """Take what was printed; gives what is certain to stay as it is."""
        self._fresh = True
        if not self.rows and "\r" not in text and "\x1b[" not in text:
            self._begun = not text.endswith("\n") if text else self._begun
            return text
        self.rows = self.rows or [Row()]
        for part in MOVES.split(text):
            self._write(part)
        return self._hand_on(self._first_open())

    def _write(self, part: str) -> None:
        row = self.rows[self.at]
        if part == "\r":
            self._over = True  # at the end of a line it means nothing
        elif part == "\n":
            self.at += 1
            self._over = self.at < len(self.rows)
            if not self._over:
                self.rows.append(Row())
        elif MOVES.fullmatch(part):
            self.at = max(self.at - int(part[2:-1] or 1), 0)
            self._over = True
        elif part:
            row.text = part if self._over else row.text + part
            row.returned, self._over = row.returned or self._over, False

    def _first_open(self) -> int:
        """From which row on something may still change."""
        rows, last = self.rows, len(self.rows) - 1
        # Below a bar that has ended its line there may be another one in a moment.
        under = last - 1 if last and self._fresh and not rows[last].text else last
        if self.at == last and not self._over and not rows[under].returned:
            return len(rows)
        first = min(self.at, under)
        while first and rows[first - 1].returned:
            first -= 1
        return max(first, len(rows) - MOST_OPEN)

    def _hand_on(self, first: int) -> str:
        """The rows before `first`, as text; they are settled."""
        settled, self.rows = self.rows[:first], self.rows[first:]
        if not settled:
            return ""
        text = "\n".join(row.text for row in settled)
        if self._begun and settled[0].returned:
            text = "\r" + text
        if self.rows:
            text += "\n"
            self._begun = False
        else:
            self._begun = bool(settled[-1].text) or (self._begun and len(settled) == 1)
            self._over = False
        self.at = max(self.at - len(settled), 0)
        for row in self.rows:
            row.text = row.text[:MOST_COLUMNS]
        return text

    def settle(self) -> str:
        """To be asked from time to time: what has become certain because nothing came since."""
        if not self.rows or self._fresh:
            self._fresh = False
            return ""
        return self._hand_on(self._first_open())

    def end(self) -> str:
        """Nothing more is printed: all that is held back."""
        if self.rows and not self.rows[-1].text.strip():
            self.rows[-1].text = ""
        return self._hand_on(len(self.rows))

    @property
    def open(self) -> str:
        """What is held back, as it stands."""
        return "\n".join(row.text for row in self.rows)

    @property
    def live(self) -> str:
        """The line that is written over again and again; empty when there is none."""
        if not self.rows:
            return ""
        row = self.rows[self.at]
        if not row.text and self.at:
            row = self.rows[self.at - 1]
        return row.text if row.returned or (self._over and self.at == len(self.rows) - 1) else ""
