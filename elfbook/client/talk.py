"""What one run's boards are told: who watches, what they have open, what they have drawn already.

No thread and no clock: `hear` takes what a page asks, `step` gives what is to be sent. Both read the
run's state, so they are called between two steps of the loop that changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elfbook.facts import State
from elfbook.model import Beat
from elfbook.view.board import Board
from elfbook.view.detail import Code, detail, printed
from elfbook.view.messages import (
    ASKED,
    TOLD,
    Ack,
    Bye,
    Census,
    Count,
    Detail,
    Head,
    Hello,
    Moved,
    Moves,
    Open,
    Verb,
    WorkerNow,
)
from elfbook.view.view import Known
from elfbook.words import printable

if TYPE_CHECKING:
    from elfbook.client.watched import Watched

Message = tuple[TOLD, list[bytes]]

EVERY_S = 0.1
"""What changes within this time is one message."""
ALIVE_S = 2.0
"""After this a page is told that its run is followed still, also when nothing has changed."""
CAN: tuple[Verb, ...] = ("retry", "cancel", "pause", "resume")
"""What every board can ask for."""
WINDOW = 48
"""Patches that may be on their way: a page that cannot follow gets fewer and larger ones."""
MOST_MOVES = 100
SILENT_S = 75.0
"""A page says every 30 s that it is there; after this it is not."""


@dataclass
class View:
    """One page, or one of several outputs in it, that shows the board."""

    heard_at: float
    job: int = -1
    """The job it has open; -1 for none."""
    counts: bool = False
    """True while it shows the workers."""


class Talk:
    """One run's side of the talk with its boards."""

    def __init__(
        self, watched: Watched, known: Callable[[], Known], code: Callable[[], Code], can: tuple[Verb, ...]
    ) -> None:
        self.watched = watched
        self.views: dict[str, View] = {}
        self._known, self._code, self._can = known, code, can
        self._touched = watched.touched()
        self._board = Board(watched.manifest, watched.state, watched.revisions)
        self._changed: set[int] = set()
        """Jobs that have changed since the last message."""
        self._acked = 0
        self._head: Head | None = None
        """As it was told last."""
        self._wanted = False
        """True when a Snapshot is to be sent."""
        self._details: dict[int, Detail | None] = {}
        """Of each job that is open what was told last; None for nothing yet."""
        self._printed: dict[int, int] = {}
        """Of each job that is open how many pieces of output were told."""
        self._asked_from: dict[int, int] = {}
        """Jobs that were opened just now, and from where on their output is wanted."""
        self._moves = Moves(())
        """How far jobs are, as it was told last."""
        self._version = -1
        self._held = False
        """True when something is kept back until a page has drawn what is on its way."""

    def leave(self) -> None:
        """The run is followed no longer."""
        self.watched.untouched(self._touched)

    def take_over(self, before: Talk) -> None:
        """Who watched before watches this, and is told everything once more."""
        self.views, self._wanted = before.views, True
        self._asked_from = {view.job: 0 for view in self.views.values() if view.job >= 0}

    @property
    def counts(self) -> bool:
        """True while somebody looks at the workers."""
        return any(view.counts for view in self.views.values())

    # ------------------------------------------------------------------ from the pages

    def hear(self, asked: ASKED, now: float) -> None:
        """Takes note of what a page says; acts and files are not for here."""
        match asked:
            case Hello(view=name, again=again):
                known = name in self.views
                self.views.setdefault(name, View(now)).heard_at = now
                if known and again:
                    self._acked = self._board.seq  # whatever it had not drawn it has dropped
                else:
                    self._wanted = True
            case Bye(view=name):
                self.views.pop(name, None)
            case Ack(seq=seq):
                self._acked = max(self._acked, min(seq, self._board.seq))
            case Count(view=name, on=on):
                self._view(name, now).counts = on
            case Open(view=name, job=job, start=start):
                view = self._view(name, now)
                view.job = job if 0 <= job < len(self.watched.state.jobs) else -1
                if view.job >= 0:
                    start = max(start, 0)
                    self._asked_from[job] = min(start, self._asked_from.get(job, start))
        opened = {view.job for view in self.views.values()}
        for job in [job for job in self._details if job not in opened]:
            del self._details[job]
            self._printed.pop(job, None)

    def _view(self, name: str, now: float) -> View:
        """The view of that name; one that has not said Hello to this kernel is told everything first."""
        if name not in self.views:
            self.hear(Hello(view=name), now)
        return self.views[name]

    def forget_silent(self, now: float) -> None:
        """Pages that have not been heard of for long are gone."""
        for name in [name for name, view in self.views.items() if now > view.heard_at + SILENT_S]:
            self.hear(Bye(view=name), now)

    # ------------------------------------------------------------------ to the pages

    @property
    def is_due(self) -> bool:
        """True when `step` may have something to say."""
        return bool(self.views) and (
            self._wanted
            or bool(self._asked_from)
            or self._version != self.watched.version
            or (self._held and self._has_room)
        )

    @property
    def _has_room(self) -> bool:
        return self._board.seq - self._acked < WINDOW

    def look_again(self) -> None:
        """Something is known now that was not when it was told last."""
        self._version = -1

    def step(self, lost: str = "") -> list[Message]:
        """Everything that is to be sent now."""
        self._version = self.watched.version
        fresh = set(self._touched)
        self._touched.clear()
        self._board.note(fresh)
        self._changed |= fresh
        if not self.views:
            return []
        return [*self._about_run(lost), *self._about_progress(), *self._about_open_jobs(fresh)]

    def _about_run(self, lost: str) -> Iterator[Message]:
        known = self._known()
        head, now = self._board.head(known, lost), known.now or 0.0
        if self._wanted:
            self._wanted, self._head, self._moves = False, head, Moves(())
            self._changed.clear()
            self._acked = self._board.seq
            yield self._board.snapshot(head, self._can, now)
            self._held = False
        elif self._changed or head != self._head:
            self._held = not self._has_room
            if not self._held:
                self._head = head
                yield self._board.patch(self._changed, head, now)
                self._changed = set()

    def _about_progress(self) -> Iterator[Message]:
        progress = list(self.watched.progress().items())[:MOST_MOVES]
        moves = Moves(tuple(Moved(job, str(told), told.share) for job, told in progress))
        if moves != self._moves:
            self._held = not self._has_room
            if not self._held:
                self._moves = moves
                yield moves, []

    def _about_open_jobs(self, fresh: set[int]) -> Iterator[Message]:
        state = self.watched.state
        for job in sorted({view.job for view in self.views.values() if view.job >= 0}):
            waits = state.jobs[job].state is State.WAITING
            if job in fresh or waits or job in self._asked_from or job not in self._details:
                told = detail(self.watched.manifest, state, job, self._code(), self._known())
                if told != self._details.get(job) or job in self._asked_from:
                    self._details[job] = told
                    yield told, []
            outputs = self.watched.outputs.get(job, [])
            start = self._asked_from.pop(job, None)
            if start is not None:
                yield printed(job, outputs, min(start, len(outputs))), []
            elif len(outputs) > self._printed.get(job, 0):
                yield printed(job, outputs, self._printed.get(job, 0)), []
            self._printed[job] = len(outputs)
        self._asked_from.clear()


def census(beats: Iterable[Beat]) -> Census:
    """The workers as they have just answered."""
    return Census(
        tuple(
            WorkerNow(
                name=printable(beat.worker),
                host=printable(beat.host),
                pool=printable(beat.pool),
                running=printable(beat.running),
                memory=beat.memory,
                cpu=beat.cpu,
            )
            for beat in beats
        )
    )
