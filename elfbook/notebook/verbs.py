"""The verbs: what `%elf VERB` does, as plain calls. Each returns what it has to say."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from elfbook.errors import ElfUsageError, MyceliumUnreachable
from elfbook.facts import State
from elfbook.host import hostfile
from elfbook.model import Beat
from elfbook.notebook import acts, naming
from elfbook.notebook.checks import Report, examine
from elfbook.notebook.grammar import nearest
from elfbook.notebook.naming import unique
from elfbook.notebook.notebook import Notebook, current
from elfbook.notebook.revive import revive
from elfbook.notebook.runs import Run
from elfbook.notebook.strays import end_all
from elfbook.notebook.texts import below_home
from elfbook.notebook.traces import shown_as
from elfbook.store.place import Place
from elfbook.version import __version__
from elfbook.view.overview import counts_words
from elfbook.words import GLYPHS, PAUSED_GLYPH, duration, listing, plural

WORKERS = 2
"""How many `%elf up` starts when it is not told."""


@dataclass(frozen=True)
class Said:
    """What a verb has to say, and what it is about."""

    text: str
    about: Any = None

    def __repr__(self) -> str:
        return self.text

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)


# ---------------------------------------------------------------------------- workers


def up(  # noqa: PLR0913 (keywords, each a flag of `%elf up`)
    n: int | None = None,
    *,
    url: str | None = None,
    kernel: str = "python3",
    elf: Sequence[str] = (),
    keep: bool = False,
    store_limit: int | None = None,
    fast: bool = False,
    notebook: Notebook | None = None,
) -> Said:
    """`n` workers (two when left out) are ready on this machine, and a server if there was none.

    With `elf`, they are workers for the elves of these names only. They outlive the kernel.
    `store_limit` is how many bytes the embedded server may keep; it stays until another is given.
    With `fast` a server that is started now acknowledges before it has flushed its disk: quicker, and
    what was stored last is lost in a power cut, not when processes die.
    """
    notebook = notebook or current()
    place = Place.at(url) if url else notebook.place
    if place.url:
        check_own_server(notebook, place, fast=fast, store_limit=store_limit)
    wanted = WORKERS if n is None and not elf else n
    fresh = hostfile.find(place) is None
    # What the first flow needs of this process, while the workers start.
    threading.Thread(target=import_module, args=("elfbook.client.client",), daemon=True).start()
    try:
        report = hostfile.ensure(
            place,
            workers=wanted,
            kernel=kernel,
            elf=tuple(elf),
            keep=keep,
            store_limit=store_limit,
            fast=None if place.url else fast,
        )
    except KeyboardInterrupt as error:
        if fresh:
            end_all(place)
        shown_as(error, "interrupted" + ": what had been started was ended again" * fresh)
        raise
    if report.started_server:
        notebook.disconnect()  # from the one before it, which is away
    notebook.move(place)
    notebook.workers_now, notebook.seen_workers = len(report.workers), report.workers
    if notebook.mode == "static":
        return Said(f"elfbook: {ready_words(wanted or 0, elf)} ({where(place)})", report)
    stop = "%elf down" if notebook.shell is not None else "elfbook down"
    words = ready_words(len(report.workers), elf)
    return Said(up_text(report, words, kernel, where(place), stop=stop), report)


def check_own_server(notebook: Notebook, place: Place, *, fast: bool, store_limit: int | None) -> None:
    """What keeps a server of somebody's own from being used is raised: a host would only log it."""
    from elfbook.store.reach import reach

    if fast:
        raise ElfUsageError(
            "the server is one of your own, and how it stores is in its configuration",
            hint="See sync_interval there.",
        )
    if store_limit:
        raise ElfUsageError(
            "the server is one of your own, and its limit is in its configuration", hint="See max_file there."
        )
    notebook.portal.call(reach, place.address())


def ready_words(number: int, elf: Sequence[str]) -> str:
    """`2 workers ready`, `a worker ready for each of calc1 and calc2`."""
    if not elf:
        return f"{plural(number, 'worker')} ready"
    each = f"a worker ready for {'each of ' if len(elf) > 1 else ''}{listing(elf)}"
    return f"{plural(number, 'worker')} ready, {each}" if number > len(elf) else each


def where(place: Place) -> str:
    """Whom the workers serve."""
    return f"server {shown_url(place.url)}" if place.url else "this machine only"


def up_text(
    report: hostfile.HostReport, ready: str, kernel: str, served: str, *, stop: str = "%elf down"
) -> str:
    """What `up` says to somebody who watches; `stop` is what ends it again."""
    python = ".".join(map(str, sys.version_info[:2]))
    which = f"Python {python}" if kernel == "python3" else f"kernel {kernel}"
    lines = [f"elfbook {__version__}: {ready} in {duration(report.elapsed_s)} ({which}, {served})"]
    if report.started_server:
        kept = f"runs are kept in {below_home(report.state_dir)}"
        lines.append(f"started a NATS server for you on 127.0.0.1; {kept} ({report.durability})")
    if report.started_host:
        lines.append(f"stop with: {stop}")
    return "\n".join([*lines, *attention(report)])


def attention(report: hostfile.HostReport | hostfile.HostFacts | None) -> list[str]:
    """What is amiss with the store, a line each."""
    if report is None:
        return []
    return [f"attention: {words}" for words in (*report.losses, report.pressure) if words]


def shown_url(url: str | None) -> str:
    """The URL without user, password or token."""
    parts = urlsplit(url or "")
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""


def down(*, notebook: Notebook | None = None) -> Said:
    """The workers and the server that were started on this machine have ended; runs are kept."""
    notebook = notebook or current()
    notebook.disconnect()
    notebook.workers_now, notebook.seen_workers = None, ()
    report = hostfile.stop(notebook.place)
    if not (report.host or report.server):
        return Said("elfbook: nothing was running here", report)
    if notebook.mode == "static":
        return Said("elfbook: workers and server stopped; runs are kept", report)
    ended = [plural(report.workers, "worker")] * bool(report.workers) + ["the server"] * report.server
    return Said(f"elfbook: stopped {listing(ended or ['the host'])}; runs are kept", report)


# ---------------------------------------------------------------------------- looking


def overview(*, notebook: Notebook | None = None) -> Said:
    """Workers, runs and elves on one screen."""
    notebook = notebook or current()
    try:
        beats = notebook.workers()
        lines_of_runs = run_lines(notebook)
    except MyceliumUnreachable as error:
        return Said("\n".join([f"{error}", error.hint, *elf_lines(notebook)]).strip(), error)
    lines = [workers_line(beats)]
    lines += [f"  {worker_line(beat)}" for beat in beats]
    lines += lines_of_runs or ["no runs yet"]
    lines += elf_lines(notebook)
    lines += attention(hostfile.find(notebook.place))
    if notebook.mode != "static":
        where = shown_url(notebook.place.url) or below_home(notebook.place.state_dir)
        lines.append(f"kept in {where} ({notebook.durability})")
    return Said("\n".join(lines), beats)


def workers_line(beats: Sequence[Beat]) -> str:
    """How many workers there are."""
    return plural(len(beats), "worker") if beats else "no workers:  %elf up  starts some"


def worker_line(beat: Beat) -> str:
    """`worker-1  idle  holds calc1`."""
    doing = f"runs {beat.running}" if beat.running else "idle"
    only = f", only for {listing(beat.only)}" if beat.only else ""
    holds = f", holds {listing(beat.names)}" if beat.names and not beat.only else ""
    return f"{beat.worker}  {doing}{only}{holds}"


def elf_lines(notebook: Notebook) -> list[str]:
    """One line for each elf that this notebook knows."""
    return [
        f"{name} v{len(known.history)}"
        + ("" if known.defined_here else ", as the store has it")
        + f": {', '.join(task.name for task in known.revision.tasks)}"
        for name, known in notebook.roster.known.items()
    ]


def runs(*, here: bool = False, failed: bool = False, notebook: Notebook | None = None) -> Said:
    """The runs in the store, newest first."""
    notebook = notebook or current()
    lines = run_lines(notebook, here=here, failed=failed)
    return Said("\n".join(lines) or "no runs", lines)


def run_lines(notebook: Notebook, *, here: bool = False, failed: bool = False) -> list[str]:
    """One line for each run: `✗ party    4 of 6 done, 1 failed, 1 skipped`."""
    found = notebook.ask(notebook.client.runs)[::-1]
    notebook.seen_runs = tuple(dict.fromkeys(run.flow for run in found))
    mine = notebook.origin(None).notebook
    latest: dict[str, int] = {}
    for run in found:
        latest[run.flow] = max(run.number, latest.get(run.flow, 0))
    shown = [
        run
        for run in found
        if (not here or run.notebook == mine) and (not failed or run.counts.get(State.FAILED, 0))
    ]
    names = [run.flow if run.number == latest[run.flow] else run.run for run in shown]
    width = max(map(len, names), default=0)
    return [
        f"{PAUSED_GLYPH if run.paused else run_glyph(run.counts)} {name:<{width}}  "
        + counts_words(run.counts, run.jobs)
        + ", paused" * run.paused
        for name, run in zip(names, shown, strict=True)
    ]


def run_glyph(counts: Mapping[str, int]) -> str:
    """The run's outcome as one character."""
    for state in (State.RUNNING, State.WAITING, State.FAILED, State.CANCELLED, State.SKIPPED):
        if counts.get(state):
            return GLYPHS[State.RUNNING if state is State.WAITING else state]
    return GLYPHS[State.DONE]


def find(text: str, *, notebook: Notebook | None = None) -> Any:
    """What the text names: a run, a job, or a worker."""
    notebook = notebook or current()
    run, job = naming.parts(text)
    if job and not run:
        return job_anywhere(notebook, job)
    held = notebook.runs.get(run)
    if held is None and not job:
        beats = {beat.worker: beat for beat in notebook.workers()}
        if run in beats:
            return beats[run]
    handle = notebook.run_named(*naming.run_reference(run))
    return handle[naming.full_label(handle.plan, naming.job_named(handle.plan, job))] if job else handle


def job_anywhere(notebook: Notebook, label: str) -> Any:
    """The job of that label in the newest of this notebook's runs that has one."""
    for run in reversed(notebook.runs.values()):
        if naming.jobs_named(run.plan, label):
            return run[naming.full_label(run.plan, naming.job_named(run.plan, label))]
    known = [naming.full_label(run.plan, job) for run in notebook.runs.values() for job in range(len(run))]
    near = nearest(label, known)
    raise ElfUsageError(
        f"no run of this notebook has a job `{label}`" + (f"; did you mean `{near}`?" if near else ""),
        hint="Name its run too, as in  %elf show party/task_hello[2]",
    )


# ---------------------------------------------------------------------------- mending


def retry(x: str, *, same_code: bool = False, notebook: Notebook | None = None) -> tuple[Run, int]:
    """The run, and how many of its jobs wait to run again."""
    notebook = notebook or current()
    found = find(x, notebook=notebook)
    if isinstance(found, Beat):
        raise ElfUsageError(f"`{x}` is a worker; a run or a job can be retried")
    if isinstance(found, Run):
        return found, notebook.retry(found, same_code=same_code)
    return found.run, notebook.retry(found.run, [found.number], same_code=same_code)


def cancel(
    x: str, why: str = "", *, below: bool = False, above: bool = False, notebook: Notebook | None = None
) -> Said:
    """Nothing of the run or job starts any more; what ran was interrupted."""
    notebook = notebook or current()
    found = find(x, notebook=notebook)
    if isinstance(found, Beat):
        raise ElfUsageError(
            f"`{x}` is a worker; a run or a job can be cancelled", hint="%elf down ends workers"
        )
    run, jobs = (found, None) if isinstance(found, Run) else (found.run, [found.number])
    if jobs is None and (below or above):
        raise ElfUsageError(
            f"`{x}` is a run, and --{'below' if below else 'above'} is said of a job",
            hint=f"Without it all of {run.flow} is cancelled.",
        )
    if jobs is None and run.settled:
        return Said(acts.cancelled(run, 0), run)
    number = notebook.cancel(run, why, jobs, below=below, above=above)
    if not number and jobs is not None:
        return Said(f"nothing to cancel: {found!r}", run)
    return Said(acts.cancelled(run, number), run)


def attach(x: str = "", *, notebook: Notebook | None = None) -> Run:
    """The handle of a run, back under its flow's name, with the elves as the run has stored them.

    Without a name it is the latest run that this notebook started.
    """
    notebook = notebook or current()
    if not x:
        x = flows_here(notebook)[0]
    run = notebook.run_named(*naming.run_reference(naming.parts(x)[0] or x))
    notebook.hold(run)
    remarks = [notebook.bind(run), *bring_back(notebook, run)]
    notebook.remarks += [remark for remark in remarks if remark]
    return run


def attach_all(*, notebook: Notebook | None = None) -> list[Run]:
    """The handles of all flows that this notebook started, the oldest first."""
    notebook = notebook or current()
    return [attach(flow, notebook=notebook) for flow in reversed(flows_here(notebook))]


def flows_here(notebook: Notebook) -> list[str]:
    """The flows that this notebook started, the newest first."""
    mine = notebook.origin(None).notebook
    newest_first = reversed(notebook.ask(notebook.client.runs))
    found = unique(run.flow for run in newest_first if run.notebook == mine)
    if not found:
        raise ElfUsageError("this notebook has no runs in the store", hint="See  %elf runs")
    return found


def bring_back(notebook: Notebook, run: Run) -> list[str]:
    """Elves whose cells have not been run in this kernel are defined as the run has stored them."""
    present = [notebook.revision_in_use(run, elf) for elf in unique(use.elf for use in run.plan.elves)]
    return [
        revive(notebook, revision)
        or f"{revision.elf} is defined as flow {run.flow} has it: its cell has not been run here yet"
        for revision in present
        if notebook.roster.newest(revision.elf) is None and revision.elf not in notebook.namespace
    ]


def doctor(*, notebook: Notebook | None = None) -> Report:
    """What elfbook needs, checked one by one; what is amiss comes with a remedy."""
    notebook = notebook or current()
    return examine(notebook.place)


def report(x: str | Run, path: str | Path, *, notebook: Notebook | None = None) -> Path:
    """The file holds one self-contained HTML page about the run."""
    from elfbook.notebook import pages

    run = x if isinstance(x, Run) else find(x, notebook=notebook)
    target = Path(path)
    target.write_text(pages.report(run), encoding="utf-8")
    return target
