"""Starting a flow: its calls are recorded, submitted, waited for where nobody watches, shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from elfbook.log.fold import start
from elfbook.model import Manifest, Policy
from elfbook.notebook import ipython
from elfbook.notebook.body import Cell
from elfbook.notebook.live import SteppedPage
from elfbook.notebook.notebook import Notebook, current
from elfbook.notebook.policies import USUAL, policy
from elfbook.notebook.runs import Run, Watched
from elfbook.notebook.traces import show_own_frames, shown_as
from elfbook.tracing.graph import Drawn
from elfbook.tracing.trace import Recorder
from elfbook.view.view import look
from elfbook.words import plural


class How(TypedDict, total=False):
    """Keywords of `flow` that say how its jobs are tried; each is a flag of `%%elf flow` too."""

    retries: int
    lost_retries: int
    memory_retries: int
    timeout_retries: int
    on_lost: str
    timeout: float
    deadline: float
    priority: str
    limit: str
    on: str


@dataclass(frozen=True)
class Options:
    """How a flow is started and shown."""

    dry: bool = False
    wait: bool | float | None = None
    """False: never; True or seconds: until it has settled; None: where nobody watches."""
    local: bool = False
    policy: Policy = USUAL
    """How the jobs are tried."""
    variable: str = ""
    quiet: bool = False


def record(
    notebook: Notebook, flow: str, options: Options, calls: Callable[[], object], filename: str | None = None
) -> Drawn:
    """The graph that the calls draw. What they assign stays; nothing has been started."""
    __tracebackhide__ = True
    notebook.adopt_all()
    with Recorder(flow, filename, notebook.place.copy) as recorder:
        result = calls()
    return drawn_by(notebook, recorder, result, options)


def drawn_by(notebook: Notebook, recorder: Recorder, result: object, options: Options) -> Drawn:
    """What the recorder has drawn, with the code of this moment and all large values."""
    drawn = recorder.graph(result, options.policy, revision_of=notebook.revision_of, key=notebook.key)
    drawn.blobs.update(notebook.blobs_of(drawn.revisions.values()))
    return drawn


def begun(
    notebook: Notebook, run: Run, drawn: Drawn, options: Options, cell: Cell | None
) -> tuple[Run, bool]:
    """The handle with its run behind it, and whether that was under way already."""
    if options.local:
        return notebook.hold(run_locally(notebook, run, drawn, options, cell)), False
    origin = notebook.origin(cell)
    try:
        run._watched, joined = notebook.ask(notebook.client.submit, run.flow, drawn, origin)
    except KeyboardInterrupt as error:
        shown_as(
            error, f"interrupted while flow {run.flow} was being submitted: all of it was stored, or nothing"
        )
        raise
    held = notebook.runs.get(run.flow)
    if joined and held is not None and held.started and held.watched is run.watched:
        return held, True
    return notebook.hold(run), joined


def run_locally(notebook: Notebook, run: Run, drawn: Drawn, options: Options, cell: Cell | None) -> Run:
    """The run, over: every job has had its turn in this process."""
    from elfbook.client.local import run_here

    __tracebackhide__ = True
    run.local, run.blobs = True, drawn.blobs
    page = SteppedPage(run) if cell is not None and notebook.is_live and not options.quiet else None

    def shown(watched: Watched) -> None:
        run._watched = watched
        if page is not None:
            page.step()

    try:
        run._watched = run_here(
            run.flow,
            drawn,
            key=notebook.key,
            namespace={**notebook.namespace, **notebook.classes_of(drawn.revisions.values())},
            origin=notebook.origin(cell),
            shown=shown,
        )
    except BaseException as error:
        show_own_frames(notebook.shell, error)
        raise
    if page is not None:
        page.refresh()
    return run


def run_cell(
    notebook: Notebook,
    flow: str,
    options: Options,
    calls: Callable[[], object],
    cell: Cell,
    say: Callable[[str], None],
) -> Run | None:
    """The flow of a cell, started and shown as the notebook's mode wants it."""
    __tracebackhide__ = True
    notebook.remarks.clear()
    drawn = record(notebook, flow, options, calls, cell.filename)
    for remark in notebook.remarks:
        say(remark)
    if options.dry:
        show_plan(notebook, flow, drawn, say)
        return None
    run, joined = begun(notebook, Run(flow, notebook), drawn, options, cell)
    remark = notebook.bind(run, options.variable)
    if remark:
        say(remark)
    if joined:
        there = "had been stored already, and has ended" if run.settled else "is already running"
        say(f"{flow} {there}: shown here, nothing started twice")
    present(notebook, run, options)
    return run


def present(notebook: Notebook, run: Run, options: Options) -> None:
    """The run's page is shown: live at once, otherwise when it has settled or need not be awaited."""
    __tracebackhide__ = True
    waits = options.wait if options.wait is not None else notebook.mode == "static"
    live = notebook.is_live
    if live and not options.quiet and not run.local:
        notebook.show(run)
    if waits is not False:
        settle(run, None if waits is True else float(waits))
        notebook.refresh(run)
    if not live and not options.quiet:
        notebook.show(run)
    if waits is not False and run.outcome == "failed":
        raise run.error


def settle(run: Run, limit_s: float | None) -> None:
    """The run has settled, with all its output here; interrupt and limit leave it as it is."""
    __tracebackhide__ = True
    run.wait(limit_s)
    complete = getattr(run.watched, "complete_outputs", None)
    if complete is not None:
        run._notebook.ask(complete)


def show_plan(notebook: Notebook, flow: str, drawn: Drawn, say: Callable[[str], None]) -> None:
    """The graph as it would run, with nothing started."""
    from elfbook.notebook.pages import bundle_of

    manifest = Manifest(flow=flow, number=0, key="", jobs=len(drawn.graph.jobs), nonce="")
    say(f"flow {flow} would run {plural(len(drawn.graph.jobs), 'job')}; nothing was started")
    ipython.show(bundle_of(look(manifest, start(drawn.graph), static=True)))


class Flow:
    """`with elfbook.flow("party") as party:` records the calls of its block and starts them.

    At the end of the block `party` is a run under way: `party.result()` waits for it.
    """

    def __init__(self, name: str, options: Options, notebook: Notebook | None = None) -> None:
        self._notebook = notebook or current()
        self._options = options
        self._run = Run(name, self._notebook)
        self._recorder: Recorder | None = None

    def __enter__(self) -> Run:
        self._notebook.adopt_all()
        filename = ipython.caller_filename(depth=2)
        self._recorder = Recorder(self._run.flow, filename, self._notebook.place.copy)
        self._recorder.__enter__()
        return self._run

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> Literal[False]:
        assert self._recorder is not None
        self._recorder.__exit__(kind, error, trace)
        if error is not None:
            show_own_frames(self._notebook.shell, error)
            return False
        drawn = drawn_by(self._notebook, self._recorder, self._run.returned, self._options)
        begun(self._notebook, self._run, drawn, self._options, None)
        if self._options.wait not in (None, False):
            self._run.wait(None if self._options.wait is True else self._options.wait)
        return False


def flow(name: str, *, wait: bool | float | None = None, local: bool = False, **how: Unpack[How]) -> Flow:
    """Record the task calls of a `with` block and start them as the flow `name`.

    The handle that `as` gives has the flow's result: what `handle.returns(value)` was told, or
    else the list of the values that no other job takes.

    Further attempts: `retries` after an exception (0), `lost_retries` after a worker or kernel died
    (3; none with `on_lost="fail"`), `memory_retries` after one that ran out of memory (1),
    `timeout_retries` after one that ran longer than `timeout` seconds (as many as `retries`).
    `deadline` limits the whole flow, in seconds from now. `priority` is high, normal or low;
    `limit="api:3"` lets at most three jobs under that name run at once; `on` names the pool.
    """
    from elfbook.notebook.grammar import flow_name

    return Flow(flow_name(name), Options(wait=wait, local=local, policy=policy(**how)))
