"""A run without its graph, as lists know it: there may have been very many runs."""

from __future__ import annotations

from dataclasses import dataclass

from elfbook.log.fold import RunState
from elfbook.model import Manifest, Settled, ValueRef
from elfbook.view.overview import RunNow


@dataclass(frozen=True, slots=True)
class Noted:
    """What stays the same of a run."""

    flow: str
    number: int
    jobs: int
    submitted_at: float
    notebook: str
    revisions: dict[str, ValueRef]

    @classmethod
    def of(cls, manifest: Manifest) -> Noted:
        """What a manifest says."""
        return cls(
            manifest.flow,
            manifest.number,
            manifest.jobs,
            manifest.submitted_at,
            manifest.origin.notebook,
            manifest.revisions,
        )

    @property
    def run(self) -> str:
        """The run's id."""
        return f"{self.flow}.{self.number}"

    def now(self, state: RunState | None, end: Settled | None) -> RunNow:
        """The run as it is by its records, or else by its noted end; where both are unknown it waits."""
        same = (self.flow, self.number, self.jobs)
        when = {"submitted_at": self.submitted_at, "notebook": self.notebook}
        if state is not None:
            counts = {str(name): number for name, number in state.counts.items() if number}
            return RunNow(*same, counts, state.settled, state.paused and not state.settled, **when)
        if end is not None and end.counts:
            return RunNow(*same, end.counts, True, settled_at=end.at or None, failures=end.failures, **when)
        return RunNow(*same, {"waiting": self.jobs}, False, **when)
