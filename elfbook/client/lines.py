"""Runs as lists show them."""

from __future__ import annotations

from dataclasses import dataclass

from elfbook.model import Manifest, Settled


@dataclass(frozen=True)
class RunLine:
    """One run in a list."""

    flow: str
    number: int
    manifest: Manifest
    settled: Settled | None
    counts: dict[str, int]
    """State to number of jobs; of an unsettled run as its records say now."""
    paused: bool = False
