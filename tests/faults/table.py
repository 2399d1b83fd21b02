"""The table of faults: each is a row here, with the function that lets it loose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that may go wrong."""

    number: str
    name: str
    done: str
    """How it is made to happen."""
    allowed: str
    """What may come of it, and nothing else."""
    act: Callable[..., Awaitable[str]]
    """Lets it loose on a ground, says what was seen; Broken, or NotHere with the reason."""
    quick: bool = False
    """Part of the ordinary tests."""
    own: bool = False
    """On a mycelium of its own, since it harms whoever shares it."""
    workers: int = 2

    @property
    def order(self) -> tuple[int, str]:
        """Numbers first, then letters."""
        digits = "".join(filter(str.isdigit, self.number))
        return (int(digits or 1000), self.number.removeprefix(digits))

    def row(self) -> str:
        """The beginning of its row in docs/faults.md; what was seen follows."""
        return f"| {self.number} | {self.name} | {self.done} | {self.allowed} |"


FAULTS: dict[str, Fault] = {}


def fault(number: str, name: str, *, done: str, allowed: str, **words) -> Callable:
    """Enter a function into the table."""

    def enter(act: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        if number in FAULTS:
            raise ValueError(f"two faults are called {number}")
        FAULTS[number] = Fault(number, name, done, allowed, act, **words)
        return act

    return enter
