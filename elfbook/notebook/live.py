"""A run's page that keeps itself current in the outputs of cells until the run has settled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from elfbook.errors import ElfbookError
from elfbook.facts import State
from elfbook.notebook import pages
from elfbook.notebook.connection import BEHIND
from elfbook.notebook.ipython import Bundle, Spot

if TYPE_CHECKING:
    from elfbook.notebook.runs import Run

log = logging.getLogger("elfbook")

EVERY_S = 0.2
"""A page is replaced at most five times a second."""
SHARE = 4
"""A page that takes long to make is made more rarely: it may take a fifth of the time."""
CENSUS_EVERY_S = 2.0
LOOK_AGAIN_S = 5.0
LAST_WORDS_S = 0.6
"""What a job printed last may be stored a moment after its end."""


Form = Callable[["Run"], Bundle]
"""What an output shows of a run."""


class Lookout:
    """Looks from time to time at what keeps the jobs of a run waiting."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._looked_at = 0.0

    def look(self) -> None:
        """Where jobs wait it is known what for; where none runs, also if there are workers at all."""
        counts, now = self._run.state.counts, time.monotonic()
        if not counts[State.WAITING] or now < self._looked_at + CENSUS_EVERY_S:
            return
        self._looked_at = now
        self._run._notebook.look_around()
        if not counts[State.RUNNING]:
            self._run._notebook.count_workers()


class LivePage:
    """The page of one run, in every output where it is shown."""

    def __init__(self, run: Run, form: Form = pages.output) -> None:
        self._run = run
        self._form = form
        self._spots: list[Spot] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._lookout = Lookout(run)
        self._turn = threading.Lock()
        """Held while a page is replaced: an older page must not come after a newer one."""

    def show(self) -> None:
        """The page is an output of the running cell; it follows the run from now on."""
        self.follow(Spot(self._form(self._run), pages.mark(self._run)))

    def follow(self, *spots: Spot) -> None:
        """These outputs show the page too, from now on."""
        self._spots += spots
        if self._thread is None or not self._thread.is_alive():
            self._over.clear()
            self._thread = threading.Thread(target=self._keep_current, name="elfbook page", daemon=True)
            self._thread.start()

    def refresh(self) -> None:
        """The page shows the run as it is now."""
        with self._turn:
            self._replace(self._form(self._run))

    def revive(self) -> None:
        """Nothing of it lives on in outputs that a file has kept."""

    def close(self) -> None:
        """The page stays as it is."""
        self._over.set()

    def leave(self) -> None:
        """Holds afterwards: the page is not replaced any more."""
        self._over.set()
        with self._turn:
            self._spots.clear()

    def _keep_current(self) -> None:
        BEHIND.set(True)
        try:
            self._follow()
        except ElfbookError as error:
            with self._turn:
                self._replace(self._last_page(error))
        except Exception:
            # A thread of ours must not print; the run itself is well without this page.
            log.exception("the page of flow %s is no longer refreshed", self._run.flow)

    def _follow(self) -> None:
        run, portal = self._run, self._run._notebook.portal
        while not self._over.is_set():
            begun = time.monotonic()
            version, settled = run.watched.version, run.settled
            self._lookout.look()
            self.refresh()
            made_s = time.monotonic() - begun
            if run.watched.error is not None:
                raise run.watched.error
            try:
                portal.call(run.watched.changed, version, timeout_s=LAST_WORDS_S if settled else LOOK_AGAIN_S)
            except TimeoutError:
                if settled:
                    return
            self._over.wait(max(EVERY_S - (time.monotonic() - begun), 0.0, SHARE * made_s))

    def _replace(self, bundle: Bundle) -> None:
        for spot in self._spots:
            spot.replace(bundle)

    def _last_page(self, error: ElfbookError) -> pages.Bundle:
        words = f"this view has lost its run: {error}. {error.hint}".strip()
        bundle = pages.bundle(self._run)
        return bundle | {
            "text/plain": f"{bundle['text/plain']}\n\n  {words}",
            "text/html": pages.with_note(bundle["text/html"], words),
        }


class SteppedPage:
    """The page of a run that takes place in this very thread, replaced between its jobs."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._spot: Spot | None = None
        self._shown_at = 0.0

    def step(self, _watched: object = None) -> None:
        """The page is up to date, unless it was replaced a moment ago."""
        if time.monotonic() - self._shown_at >= EVERY_S:
            self.refresh()

    def refresh(self) -> None:
        """The page is up to date."""
        if self._spot is None:
            self._spot = Spot(pages.bundle(self._run), pages.mark(self._run))
        else:
            self._spot.replace(pages.bundle(self._run))
        self._shown_at = time.monotonic()
