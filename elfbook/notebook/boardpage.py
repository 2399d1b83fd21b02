"""A run's board in the outputs of cells: what keeps it current, and what a file keeps of it.

Each cell that shows it has two outputs. The first is a line, and when the run has settled the page that
needs nothing; the second is the board, and in the end empty. So a file that is saved at any time reads
well wherever it is opened: a widget that has no kernel hides all else in its own output.

The second has its run (`pages.RUN`), the widget and the page as it was last. JupyterLab's extension shows
whichever is best of these: the widget while its kernel speaks, otherwise the run's board through Jupyter's
server, otherwise the page. What knows only widgets shows the widget, and what knows only HTML the page.

Where no widget has spoken after a while none can be drawn, and the first output shows the live page.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from elfbook.client.talk import ALIVE_S, CAN, EVERY_S, Talk, census
from elfbook.facts import State
from elfbook.notebook import acts, board, pages
from elfbook.notebook.connection import BEHIND
from elfbook.notebook.ipython import Bundle, Spot
from elfbook.notebook.live import CENSUS_EVERY_S, LAST_WORDS_S, SHARE, LivePage
from elfbook.view.detail import Code
from elfbook.view.messages import ASKED, TOLD, Act, Alive, Answer, Asset, Page, Snapshot, Want
from elfbook.view.view import Known

if TYPE_CHECKING:
    from elfbook.notebook.runs import Run

log = logging.getLogger("elfbook")

IDLE_S = 0.5
"""As EVERY_S, while nobody watches: only the end of the run is looked for."""
KEEP_S = 10.0
"""How old the page may get that a file keeps of a board."""
MEET_S = 3.0
"""A page that can draw the widget has said so by then."""


class BoardPage:
    """The board of one run, in every output where it is shown."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._inbox: queue.SimpleQueue[ASKED | Answer | None] = queue.SimpleQueue()
        self._lines: list[Spot] = []
        """First outputs, each followed by one of `_drawn`."""
        self._drawn: list[Spot] = []
        self._singles: list[Spot] = []
        """Outputs of their own, made when the run had settled."""
        self._model: board.Model | None = None
        self._talk: Talk | None = None
        self._plain: LivePage | None = None
        """The page that follows the run where no widget has spoken."""
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        """Held while outputs are replaced, and while the thread begins or ends."""
        self._over = False
        self._settled = False
        """True when the outputs show the settled page."""
        self._shown_at = self._said_at = self._asked_at = 0.0
        self._keep_at, self._kept = 0.0, -1
        """When the page is to be told next that a file keeps, and of which version it was told."""
        self._called = ""
        """What `%elf` calls the run, as its boards were told last."""
        self._looks: dict[Future[Any], Callable[[Any], None]] = {}
        """What has been asked of the mycelium and has not been answered yet."""

    # ------------------------------------------------------------------ in a cell

    def show(self) -> None:
        """The board is an output of the running cell; a run that has settled shows its page instead."""
        if self._run.settled:
            self._singles.append(Spot(pages.output(self._run), pages.mark(self._run)))
            return
        model = self.revive()
        page, mark = pages.bundle(self._run), pages.mark(self._run)
        line, drawn = Spot(self._line(page), mark), Spot(self._board(model, page), mark)
        with self._lock:
            self._lines.append(line)
            self._drawn.append(drawn)
            self._settled, self._shown_at = False, time.monotonic()
        self._begin()

    def revive(self) -> board.Model:
        """The widget: outputs that a file has kept of it come alive when their page is loaded again."""
        if self._model is None or self._model.name not in board.MODELS:
            self._model = board.model_of(self._run.manifest, self._hear)
        self._over = False
        return self._model

    def refresh(self) -> None:
        """The outputs show the run as it is now."""
        if self._run.settled:
            self._settle()

    def close(self) -> None:
        """The outputs stay as they are, and boards are told that nothing more will come."""
        self._over = True
        self._inbox.put(None)
        if self._plain is not None:
            self._plain.close()

    def _line(self, page: pages.Bundle) -> pages.Bundle:
        run = self._run
        back = f"%elf attach {run.reference}  brings it back"
        words = f"flow {run.flow} is under way: its board is below, and  {back}"
        return page | {"text/html": pages.preformatted(words)}

    def _board(self, model: board.Model, page: pages.Bundle) -> Bundle:
        run = self._run
        words = f"the board of flow {run.flow}, where widgets are drawn"
        ways = {pages.RUN: pages.pointer(run, line=True), board.WIDGET: model.view()}
        return ways | {"text/html": page["text/html"], "text/plain": words}

    # ------------------------------------------------------------------ in any thread

    def _hear(self, asked: ASKED) -> None:
        self._inbox.put(asked)
        self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._keep_current, name="elfbook board", daemon=True)
                self._thread.start()

    # ------------------------------------------------------------------ in the board's own thread

    def _keep_current(self) -> None:
        BEHIND.set(True)
        try:
            while self._goes_on():
                self._turn()
        except Exception:
            # A thread of ours must not print; the run itself is well without its board.
            log.exception("the board of flow %s is no longer kept current", self._run.flow)
            with self._lock:
                self._thread = None

    def _goes_on(self) -> bool:
        with self._lock:
            needed = not self._over and (not self._settled or self._has_views() or not self._inbox.empty())
            if not needed:
                if self._over:
                    self._say_lost("this notebook has disconnected from the mycelium")
                self._end_talk()
                self._thread = None
            return needed

    def _has_views(self) -> bool:
        return self._talk is not None and bool(self._talk.views)

    def _turn(self) -> None:
        """What was asked is heard, what has changed is told; takes a tenth of a second at most."""
        self._take(EVERY_S if self._has_views() else IDLE_S)
        now = time.monotonic()
        self._present_talk().forget_silent(now)
        self._look_around(now)
        self._tell()
        self._keep(now)
        if self._has_views() and time.monotonic() > self._said_at + ALIVE_S:
            self._say(Alive())
        self._mind_outputs(now)

    def _tell(self) -> None:
        """Boards have been told of everything that they can take now."""
        talk, error = self._present_talk(), self._run.watched.error
        if self._called != self._run.reference:
            self._called = self._run.reference
            talk.look_again()
        if talk.is_due:
            lost = f"this view has lost its run: {error}" if error is not None else ""
            for message, buffers in self._run._notebook.portal.read(talk.step, lost):
                self._say(message, buffers)
                if self._settled and isinstance(message, Snapshot):
                    self._say_page()

    def _keep(self, now: float) -> None:
        """What the file keeps of the board is not much older than the board."""
        version = self._run.watched.version
        if self._settled or not self._has_views() or now < self._keep_at or self._kept == version:
            return
        self._say_page()
        self._kept = version
        self._keep_at = now + max(KEEP_S, SHARE * (time.monotonic() - now))

    def _say_page(self) -> None:
        """A page keeps what its board is told, and one that was loaded again shows it."""
        if self._model is not None and self._has_views():
            self._say(Page(self._model.name, pages.bundle(self._run), self._settled))

    def _take(self, wait_s: float) -> None:
        """Hears everything that has been asked, and waits a while for something to be."""
        try:
            asked = self._inbox.get(timeout=wait_s)
            while True:
                self._hear_one(asked)
                asked = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _hear_one(self, asked: ASKED | Answer | None) -> None:
        match asked:
            case None:
                return
            case Answer():
                self._say(asked)
            case Act():
                surroundings = contextvars.copy_context()
                threading.Thread(
                    target=surroundings.run, args=(self._do, asked), name="elfbook act", daemon=True
                ).start()
            case Want(name=name):
                self._say(Asset(name), [board.asset(name)])
            case _:
                self._present_talk().hear(asked, time.monotonic())

    def _do(self, act: Act) -> None:
        """In a thread of its own: it may wait for the mycelium, and the board goes on meanwhile."""
        self._inbox.put(acts.answer(self._run, act))
        self._begin()

    def _say(self, message: TOLD, buffers: list[bytes] | None = None) -> None:
        if self._model is not None:
            self._model.say(message, buffers or [])
            self._said_at = time.monotonic()

    def _say_lost(self, why: str) -> None:
        if self._talk is not None and self._talk.views:
            self._talk.look_again()
            hint = f"%elf attach {self._run.reference}  follows it again"
            for message, buffers in self._run._notebook.portal.read(self._talk.step, f"{why}.  {hint}"):
                self._say(message, buffers)

    def _present_talk(self) -> Talk:
        """The talk about the run as it is followed now: a connection may have been replaced by another."""
        watched: Any = self._run.watched
        before = self._talk
        if before is None or before.watched is not watched:
            portal = self._run._notebook.portal
            self._talk = portal.read(Talk, watched, self._known, self._code, CAN)
            if before is not None:
                before.leave()
                self._talk.take_over(before)
        return self._talk  # type: ignore[return-value]

    def _end_talk(self) -> None:
        if self._talk is not None:
            self._talk.leave()
            self._talk = None

    # ------------------------------------------------------------------ what is known

    def _known(self) -> Known:
        notebook, run = self._run._notebook, self._run
        return Known(
            reference=run.reference,
            versions=notebook.roster.versions(),
            result=run.result_preview(),
            durability=run.durability,
            workers=notebook.workers_now,
            situation=notebook.situation,
            now=time.time(),
        )

    def _code(self) -> Code:
        origin, known = self._run.manifest.origin, self._run._notebook.roster.known.values()
        ids = {each.revision.label: each.cell_id for each in known if each.cell_id}
        return Code(self._run.watched.revisions, ids | {origin.cell: origin.cell_id})

    def _look_around(self, now: float) -> None:
        """Asks what jobs wait for, and who works while somebody looks at that; waits for no answer."""
        for look in [look for look in self._looks if look.done()]:
            take = self._looks.pop(look)
            if not look.cancelled() and look.exception() is None:
                take(look.result())
        client, counts = self._run._notebook.connected, self._run.state.counts
        if self._looks or client is None or not self._has_views() or now < self._asked_at + CENSUS_EVERY_S:
            return
        self._asked_at = now
        start = self._run._notebook.portal.start
        if counts[State.WAITING]:
            self._looks[start(client.situation)] = self._take_situation
        if self._talk is not None and (
            self._talk.counts or (counts[State.WAITING] and not counts[State.RUNNING])
        ):
            self._looks[start(client.workers)] = self._take_workers

    def _take_situation(self, situation: Any) -> None:
        self._run._notebook.situation = situation
        self._present_talk().look_again()

    def _take_workers(self, beats: Any) -> None:
        staying = self._run._notebook.note_workers(beats)
        talk = self._present_talk()
        talk.look_again()
        if talk.counts:
            self._say(census(staying))

    # ------------------------------------------------------------------ the outputs

    def _mind_outputs(self, now: float) -> None:
        """The first outputs show what they should: the line, the live page, or the settled one."""
        if not self._run.settled:
            self._settled = False
            self._choose_page(now)
        elif not self._settled:
            self._last_words()
            self._tell()
            self._settle()

    def _choose_page(self, now: float) -> None:
        """Where no widget has spoken the first output follows the run, until one does."""
        met = self._has_views()
        if self._lines and not met and self._plain is None and now > self._shown_at + MEET_S:
            self._plain = LivePage(self._run, pages.bundle)
            self._plain.follow(*self._lines)
        elif met and self._plain is not None:
            self._plain.leave()
            self._plain = None
            shown = self._line(pages.bundle(self._run))
            for line in self._lines:
                line.replace(shown)

    def _last_words(self) -> None:
        """What a job printed last may be stored a moment after its end."""
        version = self._run.watched.version
        with contextlib.suppress(TimeoutError):
            self._run._notebook.portal.call(self._run.watched.changed, version, timeout_s=LAST_WORDS_S)

    def _settle(self) -> None:
        with self._lock:
            if self._plain is not None:
                self._plain.leave()
                self._plain = None
            shown = pages.output(self._run)
            for spot in (*self._lines, *self._singles):
                spot.replace(shown)
            for spot in self._drawn:
                spot.replace({"text/plain": ""})
            self._settled = True
        self._say_page()
        if self._model is not None:
            board.retire(self._model)
