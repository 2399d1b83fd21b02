"""The notebook's side: the elves it knows, its runs, and its way to the mycelium."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from elfbook.code import source
from elfbook.errors import DefinitionError, ElfUsageError
from elfbook.facts import State
from elfbook.log import reach
from elfbook.log.fold import to_reopen
from elfbook.model import INLINE_LIMIT, Origin, Revision, ValueRef
from elfbook.notebook import board, ipython, pages
from elfbook.notebook.boardpage import BoardPage
from elfbook.notebook.body import Cell
from elfbook.notebook.connection import Connection
from elfbook.notebook.live import LivePage
from elfbook.notebook.roster import Change, Roster, use_line
from elfbook.notebook.runs import Run
from elfbook.notebook.texts import Texts, is_library, namespace_of
from elfbook.store.place import Place
from elfbook.tracing import values
from elfbook.tracing.elves import adopt, is_elf
from elfbook.view.outline import job_label
from elfbook.wire import digest_of

Shell = Any


class Notebook(Connection):
    """One notebook, or one script: what has been defined and started in this process."""

    def __init__(self, shell: Shell | None = None, place: Place | None = None) -> None:
        super().__init__(place or Place.default())
        self.shell = shell
        self.texts = Texts(shell)
        self.roster = Roster()
        self.runs: dict[str, Run] = {}
        """The latest handle of each flow, the newest last."""
        self.pages: dict[str, LivePage | BoardPage] = {}
        """By the run's id."""
        self.seen_runs: tuple[str, ...] = ()
        """Flows that were listed last, for completion."""
        self.blobs: dict[str, list[bytes | memoryview]] = {}
        """Large values that revisions name by digest."""
        self.classes: dict[str, type] = {}
        """Elves that flows have used, by name, those among them that no name of a cell means."""
        self.remarks: list[str] = []
        """What is to be said with the next flow."""
        self.raw_cells: list[str] = []
        """Texts of the cells that run now, as typed, the outermost first."""
        self.cell_id = ""
        self._outside = source.Outside(
            self.texts.of, self.names_of, self.encode, is_library, self.texts.newest_first
        )
        self._readings: dict[str, source.Reading] = {}
        """By the elf's full name, as it was read last."""
        self._foreign: dict[int, type] = {}
        """Classes of libraries that are no elves, by id."""

    # ------------------------------------------------------------------ this process

    @property
    def mode(self) -> ipython.Mode:
        """How things are shown here."""
        return ipython.display_mode(self.shell)

    @property
    def is_live(self) -> bool:
        """True where an output can follow its run."""
        return self.mode == "live" and ipython.is_kernel(self.shell)

    @property
    def namespace(self) -> dict[str, Any]:
        """The names of the cells."""
        return ipython.namespace(self.shell)

    def find(self, qualname: str) -> type | None:
        """The class that this notebook's cells call so: values made of it are of that class."""
        found: object = self.namespace.get(qualname.partition(".")[0])
        for name in qualname.split(".")[1:]:
            found = getattr(found, name, None)
        return found if isinstance(found, type) else None

    def decode(self, data: bytes) -> object:
        """The value; Untrusted when it could run code and is not signed with our key."""
        return values.decode(data, self.key, self.find)

    def load(self, ref: ValueRef) -> object:
        """The value that `ref` names, fetched unless it lies in the record itself."""
        return self.decode(ref.inline if ref.inline is not None else self.fetch(ref))

    def encode(self, value: object) -> ValueRef:
        """Where the value is from now on: inline, or among the blobs that go with the next run."""
        pieces = values.encode(value, self.key)
        size = sum(memoryview(piece).nbytes for piece in pieces)
        name, preview = digest_of(*pieces), values.preview(value)
        if size <= INLINE_LIMIT:
            return ValueRef(name, size, preview, b"".join(pieces))
        self.blobs[name] = pieces
        return ValueRef(name, size, preview)

    def disconnect(self) -> None:
        """The connection is closed, pages stay as they are; the next use opens another one."""
        for page in self.pages.values():
            page.close()
        self.pages.clear()
        super().disconnect()

    # ------------------------------------------------------------------ elves

    def elves_in(self, names: Iterable[str]) -> list[type]:
        """The elves among the named classes, their tasks ready to be recorded."""
        found = [self.namespace.get(name) for name in names]
        return [adopt(each) for each in found if isinstance(each, type) and is_elf(each)]

    def adopt_all(self, *, strict: bool = True) -> None:
        """Every elf class that the notebook's names reach is ready to be recorded.

        Of a class of the notebook's own that cannot be, a DefinitionError says so if `strict`.
        """
        for each in {id(found): found for found in self.reachable()}.values():
            if id(each) in self._foreign:
                continue
            if not is_elf(each):
                if is_library(str(each.__module__)):  # these get no tasks later
                    self._foreign[id(each)] = each
                continue
            try:
                adopt(each)
            except DefinitionError:
                if strict and each.__module__ == "__main__":
                    raise

    def reachable(self) -> Iterator[type]:
        """The classes among the notebook's names, of its instances, and of the user's own modules."""
        for value in list(self.namespace.values()):
            if isinstance(value, type):
                yield value
            elif not isinstance(value, ModuleType):
                yield type(value)
            elif not is_library(value.__name__):
                own = [each for each in vars(value).values() if isinstance(each, type)]
                yield from (each for each in own if each.__module__ == value.__name__)

    def adopt_named(self, nodes: Iterable[ast.stmt]) -> None:
        """The same for classes that statements reach through a module, as `zoo.Animals`."""
        for node in nodes:
            for part in ast.walk(node):
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                    module = self.namespace.get(part.value.id)
                    found = getattr(module, part.attr, None) if isinstance(module, ModuleType) else None
                    if isinstance(found, type) and is_elf(found):
                        adopt(found)

    def read(self, elf: type) -> Revision:
        """The elf's code and all it reaches, as it stands now."""
        name = f"{elf.__module__}.{elf.__qualname__}"
        before = self._readings.get(name)
        if before is None or not before.holds(elf):
            before = self._readings[name] = source.reading_of(elf, self._outside)
        return before.revision

    def names_of(self, module: str) -> Mapping[str, object]:
        """The globals of a module, the cells' names for `__main__`; KeyError for an unknown one."""
        return self.namespace if module == "__main__" else namespace_of(module)

    def define(self, classes: Iterable[type], *, cell: Cell | None = None) -> list[str]:
        """The elves are known; what that changed, in lines. All of them or, on an error, none."""
        revisions = [self.read(each) for each in classes]
        lines: list[str] = []
        for revision in revisions:
            change = self.roster.define(revision, cell_id=cell.cell_id if cell else "")
            lines += change.text.splitlines()
            if change.kind in ("changed", "back"):
                lines += self.waiting_for(change)
        return lines

    def revision_of(self, elf: type) -> Revision:
        """The elf's code at this moment: what it calls may have changed since its cell ran."""
        revision = self.read(elf)
        self.classes[revision.elf] = elf
        before = self.roster.newest(revision.elf)
        change = self.roster.define(revision)
        if before is not None and change.kind in ("changed", "back"):
            self.remarks.append(f"{change.text}  (what it uses has changed since its cell ran)")
        return revision

    def waiting_for(self, change: Change) -> list[str]:
        """A line for each flow with failed jobs that ran an earlier version."""
        lines = []
        now = self.roster.newest(change.elf)
        for run in self.runs.values():
            ran: dict[str, int | None] = {}
            failed = 0
            for job in run.failed:
                spec = run.plan.jobs[job.number]
                use = run.plan.elves[spec.elf]
                digest = run.state.jobs[job.number].revision or use.revision
                if use.elf == change.elf and now is not None and digest != now.digest:
                    failed += 1
                    ran.setdefault(spec.task, self.roster.version(use.elf, digest))
            if failed:
                lines.append(use_line(failed, run.flow, list(ran.items()), change.version))
        return lines

    # ------------------------------------------------------------------ runs

    def origin(self, cell: Cell | None) -> Origin:
        """Where a run comes from that is submitted now."""
        if cell is None:
            return Origin(notebook=ipython.notebook_path())
        return Origin(ipython.notebook_path(), cell.label, cell.cell_id, cell.text)

    def hold(self, run: Run) -> Run:
        """The run is the one that its flow's name means here."""
        before = self.runs.pop(run.flow, None)
        self.runs[run.flow] = run
        if before is not None and before.started:
            self.refresh(before)  # what it says to type names it by its number from now on
        return run

    def bind(self, run: Run, variable: str = "") -> str:
        """The handle has its name in the notebook; a sentence when it could not have it."""
        name = variable or run.flow
        if not name.isidentifier():
            return f'`{name}` cannot be a variable: the handle is  elfbook.attach("{run.flow}")'
        present = self.namespace.get(name)
        if not variable and name in self.namespace and not isinstance(present, Run):
            return (
                f"`{name}` is something else in this notebook and stays so: "
                f'the handle is  elfbook.attach("{run.flow}")  or add  -o VAR'
            )
        self.namespace[name] = run
        return ""

    def run_named(self, flow: str, number: int | None = None) -> Run:
        """The handle of a run: the one held here, or a fresh one; ElfUsageError for no such run."""
        held = self.runs.get(flow)
        if held is not None and held.started and number in (None, held.number):
            return held
        watched = self.ask(self.client.watch, flow, number)
        run = Run(flow, self, watched)
        return run if number is not None else self.hold(run)

    def renew(self, run: Run) -> None:
        """The handle follows its run through the present connection, whatever became of others."""
        if not run.local and self.client.watched.get(run.manifest.run) is not run.watched:
            run._watched = self.ask(self.client.watch, run.flow, run.number)

    def show(self, run: Run) -> None:
        """The run's page is an output of the running cell, and follows the run where it can."""
        if self.is_live and not run.local:
            self.renew(run)
            self.page_of(run).show()
        else:
            mark = pages.mark(run)
            ipython.show(pages.bundle(run), mark)
            if self.mode == "static":
                for figure in pages.figures_of(run.look()):
                    ipython.show(figure, mark)

    def page_of(self, run: Run) -> LivePage | BoardPage:
        """The page that shows the run here, a board where one can be drawn."""
        name = f"{run.flow}.{run.number}"
        if name not in self.pages:
            self.pages[name] = BoardPage(run) if board.available() else LivePage(run)
        return self.pages[name]

    def refresh(self, run: Run) -> None:
        """The run's pages in this notebook show it as it is now."""
        page = self.pages.get(f"{run.flow}.{run.number}")
        if page is not None:
            page.refresh()

    def retry(self, run: Run, jobs: list[int] | None = None, *, same_code: bool = False) -> int:
        """How many jobs wait to run again: the failed ones and what was skipped because of them."""
        refuse_local(run, "run its cell again")
        self.renew(run)
        chosen = to_reopen(run.state, jobs or None)
        if not chosen:
            return 0
        revisions = {} if same_code else self.present_code(run, chosen)
        self.ask(self.client.store, self.blobs_of(revisions.values()))
        return self.ask(self.client.reopen, run.watched, chosen, revisions)

    def revision_in_use(self, run: Run, elf: str) -> Revision:
        """The code of an elf that the run's jobs ran last or are to run."""
        revisions = run.watched.revisions
        digests = [
            now.revision or run.plan.elves[spec.elf].revision
            for spec, now in zip(run.plan.jobs, run.state.jobs, strict=True)
            if run.plan.elves[spec.elf].elf == elf
        ]
        fallback = next(use.revision for use in run.plan.elves if use.elf == elf)
        again = [now.revision for now in run.state.jobs if now.revision in digests and now.revision]
        return revisions[next((digest for digest in reversed(again) if digest in revisions), fallback)]

    def present_code(self, run: Run, jobs: Iterable[int]) -> dict[str, Revision]:
        """The present code of each elf whose jobs run again, where this notebook has it."""
        elves = {run.plan.elves[run.plan.jobs[job].elf].elf for job in jobs}
        present = {elf: self.present_class(elf) for elf in sorted(elves)}
        return {elf: self.revision_of(cls) for elf, cls in present.items() if cls is not None}

    def present_class(self, elf: str) -> type | None:
        """The class that the name means now: a cell's, or the one that a module has under it."""
        found = self.namespace.get(elf)
        if not (isinstance(found, type) and is_elf(found)) and elf in self.classes:
            before = self.classes[elf]
            found = getattr(sys.modules.get(before.__module__), elf, before)
        return found if isinstance(found, type) and is_elf(found) else None

    def classes_of(self, revisions: Iterable[Revision]) -> dict[str, type]:
        """The classes that the flow being started has used."""
        return {revision.elf: self.classes[revision.elf] for revision in revisions}

    def blobs_of(self, revisions: Iterable[Revision]) -> dict[str, list[bytes | memoryview]]:
        """The large values that the revisions name."""
        refs = (capture.value for revision in revisions for capture in revision.captures)
        return {ref.digest: self.blobs[ref.digest] for ref in refs if ref.inline is None}

    def cancel(
        self,
        run: Run,
        why: str = "",
        jobs: Collection[int] | None = None,
        *,
        below: bool = False,
        above: bool = False,
    ) -> int:
        """How many jobs were cancelled; no attempt of them starts any more.

        Of some jobs, with `below` all that depends on them as well, with `above` what only they need.
        """
        refuse_local(run, "it is over")
        self.renew(run)
        if jobs is not None and below:
            jobs = reach.below(run.plan, jobs)
        if jobs is not None and above:
            jobs = reach.above(run.plan, jobs)
        return self.ask(self.client.cancel, run.watched, why, jobs)

    def pause(self, run: Run, why: str = "") -> bool:
        """Holds afterwards: no job of the run is offered until it is resumed. False if it was so before."""
        refuse_local(run, "it is over")
        self.renew(run)
        return self.ask(self.client.pause, run.watched, why)

    def resume(self, run: Run) -> bool:
        """Holds afterwards: what is due of the run is offered. False if it was not paused."""
        refuse_local(run, "it is over")
        self.renew(run)
        return self.ask(self.client.resume, run.watched)

    def job_labels(self) -> list[str]:
        """Jobs of the runs held here, for completion: failed ones first, then running ones."""
        order = (State.FAILED, State.RUNNING, State.DONE)
        found: list[str] = []
        for run in reversed(self.runs.values()):
            if not run.started:
                continue
            for state in order:
                found += [
                    f"{run.flow}/{job_label(run.plan.jobs[job])}"
                    for job, now in enumerate(run.state.jobs)
                    if now.state is state
                ][:30]
        return found


def refuse_local(run: Run, hint: str) -> None:
    """ElfUsageError for a run that is in no store."""
    if run.local:
        raise ElfUsageError(f"flow {run.flow} ran in this kernel, with --local: {hint}")


CURRENT: list[Notebook] = []


def current() -> Notebook:
    """The notebook of this process, made at first use."""
    if not CURRENT:
        CURRENT.append(Notebook(ipython.here()))
    return CURRENT[0]
