"""All runs of a mycelium as lists show them, kept current by reading only what is new."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from elfbook.client.client import Client
from elfbook.client.noted import Noted
from elfbook.client.watched import Watched, read_revision
from elfbook.errors import ElfbookError, MyceliumUnreachable
from elfbook.model import Revision, Settled, ValueRef
from elfbook.store.link import Unanswered
from elfbook.view.overview import CodeUse, RunNow

log = logging.getLogger("elfbook")

MOST_CODES = 100
"""Of the codes used last so many are read."""


@dataclass(eq=False)
class RunList:
    """The runs in the order of their submission; `refresh` reads on."""

    client: Client
    runs: dict[str, Noted] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """The number of each flow's newest run."""
    _notes: dict[str, Settled] = field(default_factory=dict)
    _watched: dict[str, Watched] = field(default_factory=dict)
    """Runs of which no end is noted."""
    _codes: dict[str, Revision | None] = field(default_factory=dict)
    """By digest; None for one that cannot be read."""
    _refused: set[str] = field(default_factory=set)
    """Runs that cannot be followed."""
    _uses: tuple[CodeUse, ...] = ()
    _used: tuple[int, int] = (0, 0)
    """How far runs and codes had come when `_uses` was made."""
    _read_to: int = 0

    async def refresh(self) -> None:
        """Holds afterwards: every run that is stored by now is known, and unsettled ones are followed."""
        mycelium = self.client.mycelium
        names = mycelium.names
        end = await mycelium.end_of(names.runs)
        if end < self._read_to:  # it is another stream, or has gone backwards
            self.runs, self.newest, self._notes, self._watched, self._read_to = {}, {}, {}, {}, 0
        if end > self._read_to:
            subjects = (names.every_run, names.every_settled)
            async for entry in mycelium.read(names.runs, *subjects, start=self._read_to + 1):
                with mycelium.setting_aside(entry):
                    if entry.subject.split(".")[2] == "run":
                        self._take(Noted.of(mycelium.manifest_of(entry)))
                    else:
                        note = mycelium.settled_of(entry)
                        self._notes[note.run] = note
                self._read_to = max(self._read_to, entry.seq)
        await self._follow()
        await self._read_codes()

    def _take(self, noted: Noted) -> None:
        self.runs[noted.run] = noted
        self.newest[noted.flow] = max(noted.number, self.newest.get(noted.flow, 0))

    def _is_noted(self, run: str) -> bool:
        note = self._notes.get(run)
        return note is not None and bool(note.counts)

    async def _follow(self) -> None:
        """Runs that have not settled are watched, and no others."""
        self._watched = {run: each for run, each in self._watched.items() if not self._is_noted(run)}
        for run, noted in self.runs.items():
            before = self._watched.get(run)
            lost = before is not None and before.error is not None
            if not self._is_noted(run) and run not in self._refused and (before is None or lost):
                try:
                    self._watched[run] = await self.client.watch(noted.flow, noted.number)
                except MyceliumUnreachable:
                    raise
                except ElfbookError as error:
                    self._refused.add(run)
                    log.warning("run %s cannot be followed: %s", run, error)

    # ------------------------------------------------------------------ code

    async def _read_codes(self) -> None:
        """The codes used last are known."""
        wanted: dict[str, ValueRef] = {}
        for noted in reversed(self.runs.values()):
            wanted.update(noted.revisions)
            if len(wanted) >= MOST_CODES:
                break
        for watched in self._watched.values():  # a retry may have brought code of its own
            self._codes.update(watched.revisions)
        for digest, ref in list(wanted.items())[:MOST_CODES]:
            if digest not in self._codes:
                try:
                    self._codes[digest] = await read_revision(self.client.mycelium, digest, ref)
                except Unanswered:
                    raise
                except ElfbookError as error:
                    log.warning("code %s cannot be read: %s", digest[:12], error)
                    self._codes[digest] = None

    def code_uses(self) -> tuple[CodeUse, ...]:
        """Each code that is known, with the runs that were submitted or retried with it."""
        if self._used != (self._read_to, len(self._codes)):
            self._uses, self._used = tuple(self._made_uses()), (self._read_to, len(self._codes))
        return self._uses

    def _made_uses(self) -> Iterator[CodeUse]:
        uses = {digest: CodeUse(code) for digest, code in self._codes.items() if code is not None}
        for noted in self.runs.values():
            watched = self._watched.get(noted.run)
            for digest in {**noted.revisions, **(watched.revisions if watched is not None else {})}:
                if (use := uses.get(digest)) is not None:
                    use.first_at = use.first_at or noted.submitted_at
                    use.last_at = noted.submitted_at
                    use.runs.insert(0, noted.run)
        yield from uses.values()

    # ------------------------------------------------------------------ lines

    def now(self, run: str) -> RunNow:
        """The run as it is known now; KeyError for none."""
        watched = self._watched.get(run)
        return self.runs[run].now(watched.state if watched is not None else None, self._notes.get(run))

    def newest_first(self, before: str = "") -> Iterator[str]:
        """Ids of the runs, those submitted before that one; KeyError if there is none of that id."""
        found = list(self.runs)
        if before:
            self.runs[before]
            found = found[: found.index(before)]
        yield from reversed(found)

    def unsettled(self) -> list[str]:
        """Ids of the runs that go on, oldest first."""
        return [run for run in self.runs if not self._is_noted(run)]
