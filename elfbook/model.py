"""The words: every type that crosses a process or is stored, frozen, in one place.

Nothing here reads a clock, a file or a network. Bytes fields are opaque to every process except a kernel or
the notebook of the person who owns the value: schedulers, workers and viewers carry and never open them.
"""

from __future__ import annotations

import msgspec

INLINE_LIMIT = 32 * 1024
"""Bytes of an encoded value that travel inside a record; larger ones travel as a blob.
So the fold of 10,000 jobs stays in memory, and a dispatch that names several parents below 1 MB, which is
the server's default limit of a message."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=False, omit_defaults=True, gc=False):
    """Base of every stored type: immutable, compared by content, unknown fields ignored.

    A value that never changes cannot come to hold itself, so the garbage collector need not walk over it."""


# ---------------------------------------------------------------------------- values


class ValueRef(Struct, frozen=True):
    """Where an encoded value is, and how to know that it is the right one."""

    digest: str
    """SHA-256 of the encoded bytes, hexadecimal."""
    size: int
    """Bytes of the encoding."""
    preview: str = ""
    """At most 80 characters of text about the value, made where the value was made."""
    inline: bytes | None = None
    """The encoding itself when it is at most INLINE_LIMIT; otherwise it is a blob."""


# ---------------------------------------------------------------------------- code


class Parameter(Struct, frozen=True):
    name: str
    kind: str
    """One of `positional`, `either`, `variadic`, `keyword`, `variadic keyword`."""
    annotation: str = ""
    default: str | None = None
    """The source of the default, None when the parameter must be given."""


class TaskSpec(Struct, frozen=True):
    """One task of an elf as it stands in the source."""

    name: str
    """The method's own name, with its `task_`."""
    line: int
    """Line of its `def` in its file, the first line being 1."""
    parameters: tuple[Parameter, ...] = ()
    doc: str = ""
    outputs: tuple[str, ...] | None = None
    """Declared output names; None when nothing is declared, () for a declared None."""
    output_types: dict[str, str] = msgspec.field(default_factory=dict)
    digest: str = ""
    """Of the task's own normalised code and all it reaches; tells which tasks changed."""


class Piece(Struct, frozen=True):
    """Statements taken from one file (a cell or a module), at their own line numbers."""

    filename: str
    """The name the notebook compiled the text under; tracebacks carry it."""
    label: str
    """What a person calls the file: `Cell In[4]`, or a path for a module."""
    text: str
    """The whole text, so that line numbers and context lines agree with what is on screen."""
    lines: tuple[tuple[int, int], ...]
    """First and last line (both included, from 1) of each statement to run, in order."""
    module: str = "__main__"
    """The module whose namespace the statements run in."""


class Capture(Struct, frozen=True):
    """A plain global that a task reads, taken by value at definition."""

    name: str
    module: str
    value: ValueRef


class Revision(Struct, frozen=True):
    """An elf's code and everything it reaches; stored as a blob named by `digest`."""

    elf: str
    """The class's name."""
    digest: str
    """SHA-256 over the normalised code of the closure: comments and layout do not count."""
    tasks: tuple[TaskSpec, ...]
    pieces: tuple[Piece, ...]
    captures: tuple[Capture, ...] = ()
    doc: str = ""
    module: str = "__main__"
    label: str = ""
    """Of the piece that holds the class."""


# ---------------------------------------------------------------------------- graph


class ElfUse(Struct, frozen=True):
    """One elf instance as a flow uses it."""

    elf: str
    revision: str
    """Digest of its Revision, as of submit."""
    name: str = ""
    """The instance's name in the mycelium; empty for an anonymous instance."""
    arguments: bytes = b""
    """Its constructor's arguments, an expression without job references (expr.py)."""
    needs: tuple[str, ...] = ()
    """Packages that its code cannot load without; what a kernel always has is left out."""


class JobSpec(Struct, frozen=True):
    """One task call of a flow: a node of the graph."""

    elf: int
    """Index into Graph.elves."""
    task: str
    arguments: bytes
    """The call's (args, kwargs) as an expression over results (expr.py)."""
    parents: tuple[int, ...] = ()
    """Jobs whose values the arguments reach, ascending, without repeats."""
    after: tuple[int, ...] = ()
    """Jobs that must have succeeded, though no value comes from them."""
    turn: int | None = None
    """The job before this one of the same named elf: it must have ended, however it ended."""
    number: int = 0
    """Which call of its task within the flow, from 0: the n of `task_hello[n]`."""
    line: int = 0
    """Line of the call in the flow's cell, from 1; 0 when there is no cell."""
    blobs: tuple[ValueRef, ...] = ()
    """Large literals that the arguments name by digest."""
    retries: int | None = None
    """The task's own `Policy.retries`; None for the run's."""
    timeout_s: float | None = None
    """The task's own `Policy.timeout_s`; None for the run's."""
    limit: str = ""
    """The task's own `Policy.limit`; empty for the run's."""


PRIORITIES = ("high", "normal", "low")  # by the numbers of Policy.priority


class Policy(Struct, frozen=True):
    """How the jobs of a run are tried."""

    retries: int = 0
    """Further attempts after an exception."""
    lost_retries: int = 3
    """Further attempts after a worker or kernel died; counted apart, like the next two."""
    backoff_s: float = 1.0
    """Wait before the second attempt; doubled each time, at most backoff_limit_s."""
    backoff_limit_s: float = 60.0
    timeout_s: float | None = None
    """Limit of one attempt; None for none."""
    on_lost: str = "retry"
    """`retry`, or `fail` for at-most-once."""
    pool: str = "main"
    """Which workers may take the anonymous jobs."""
    memory_retries: int = 1
    """Further attempts after one that ran out of memory; none with `on_lost` `fail`."""
    timeout_retries: int | None = None
    """Further attempts after a timeout; None for as many as `retries` says."""
    deadline_s: float | None = None
    """Limit of the whole run, from its submission or its last retry on; None for none."""
    priority: int = 1
    """Index into PRIORITIES: jobs of a smaller number are offered first."""
    limit: str = ""
    """`api:3`: of all jobs under the name `api`, in whatever run, at most 3 run at once."""


class Graph(Struct, frozen=True):
    """What a flow's calls drew; a job's id is its index in `jobs`."""

    elves: tuple[ElfUse, ...]
    jobs: tuple[JobSpec, ...]
    result: bytes
    """The flow's own result as an expression over job results."""
    policy: Policy = Policy()
    blobs: tuple[ValueRef, ...] = ()
    """Large literals that `result` names by digest."""


class Origin(Struct, frozen=True):
    """Where a run was submitted from."""

    notebook: str = ""
    cell: str = ""
    """Label of the flow's cell, such as `Cell In[5]`."""
    cell_id: str = ""
    text: str = ""
    """The flow cell's own text."""


class Manifest(Struct, frozen=True):
    """The record that makes a run exist: storing it is the submission."""

    flow: str
    number: int
    """Which run of this flow, from 1. The run's id is `flow` for people, `flow.number` inside."""
    key: str
    """Digest of graph, code and policy: the same key while active is the same run."""
    jobs: int
    nonce: str
    graph: Graph | None = None
    """The graph itself when it is small."""
    parts: tuple[ValueRef, ...] = ()
    """Otherwise its parts, jobs in order, the rest last."""
    origin: Origin = Origin()
    submitted_at: float = 0.0
    """Seconds since the epoch by the submitter's clock; for show only."""
    revisions: dict[str, ValueRef] = msgspec.field(default_factory=dict)
    """The encoded Revision of each digest in the graph."""

    @property
    def run(self) -> str:
        """The run's id: `flow.number`."""
        return f"{self.flow}.{self.number}"


# ---------------------------------------------------------------------------- failures


class Frame(Struct, frozen=True):
    """One line of a traceback, as data."""

    filename: str
    line: int
    function: str
    context: tuple[str, ...] = ()
    """Source lines around `line`; empty when the source is not known."""
    first: int = 0
    """Line number of context[0]."""
    names: tuple[tuple[str, str], ...] = ()
    """Names on the line and short reprs of their values, for the user's own frames."""
    own: bool = False
    """True in the user's cells and modules, False in libraries."""
    qualname: str = ""


class Failure(Struct, frozen=True):
    """An exception as text and structured frames, outermost frame first. Never a pickle."""

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    cause: Failure | None = None
    cause_kind: str = ""
    """`cause` for `raise … from`, `context` for an exception raised while handling another."""
    notes: tuple[str, ...] = ()
    last_output: str = ""
    """The last lines printed before it, at most 2,000 characters."""
    inputs: str = ""
    """The call's arguments as short text: `name=7`."""


# ---------------------------------------------------------------------------- work


class Dispatch(Struct, frozen=True):
    """An offer of one job to whoever takes it; derived from the log, never the truth."""

    run: str
    job: int
    seq: int
    """The job's own last record when the offer was made; the claim expects it. 0 for none."""
    attempt: int
    label: str
    elf: ElfUse
    code: ValueRef
    task: str
    arguments: bytes
    inputs: tuple[tuple[int, ValueRef], ...] = ()
    """Parents' values, as their records name them."""
    bundle: ValueRef | None = None
    """The inputs as a blob (MessagePack of the pairs) when they are too large to travel here."""
    blobs: tuple[ValueRef, ...] = ()
    timeout_s: float | None = None
    slot: tuple[str, int, int] | None = None
    """Under a limit: its name, the number of the slot to run in, and that slot's last record."""
    mark: int = 0
    """The message that brought the job into the state that is offered: a new state is a new offer."""


class LotJob(Struct, frozen=True, array_like=True):
    """One job of a LotOffer: what differs from job to job."""

    job: int
    seq: int
    """The job's own last record when the offer was made."""
    attempt: int
    number: int
    arguments: bytes
    inputs: tuple[tuple[int, ValueRef], ...] = ()


class LotOffer(Struct, frozen=True):
    """An offer of many short jobs of one lot that run the same task; derived from the log."""

    run: str
    lot: int
    seq: int
    """The last message about the lot when the offer was made; the claim expects it."""
    elf: ElfUse
    code: ValueRef
    task: str
    jobs: tuple[LotJob, ...]
    timeout_s: float | None = None

    def dispatch(self, each: LotJob) -> Dispatch:
        """One of its jobs as if it had been offered alone."""
        return Dispatch(
            run=self.run,
            job=each.job,
            seq=each.seq,
            attempt=each.attempt,
            label=f"{self.task}[{each.number}]",
            elf=self.elf,
            code=self.code,
            task=self.task,
            arguments=each.arguments,
            inputs=each.inputs,
            timeout_s=self.timeout_s,
        )


class Beat(Struct, frozen=True):
    """A worker's sign of life."""

    worker: str
    host: str
    pool: str
    names: tuple[str, ...] = ()
    """Named elves it holds now."""
    only: tuple[str, ...] = ()
    """Named elves it was started for; when given it takes nothing else."""
    kernel: str = "python3"
    python: str = ""
    pid: int = 0
    kernel_pid: int = 0
    running: str = ""
    """Label of the job under way."""
    leaving: bool = False
    """True in the last beat of a worker that ends on purpose."""
    modules: dict[str, bool] = msgspec.field(default_factory=dict)
    """Whether its kernel has the packages that it was asked for."""
    memory: int = 0
    """Bytes that its kernel has now; 0 when unknown."""
    cpu: float = 0.0
    """Cores that its kernel has lately kept busy; 0 when unknown."""


class Situation(Struct, frozen=True):
    """What may keep due jobs from being taken, as the scheduler that leads sees it now."""

    workers: dict[str, int] = msgspec.field(default_factory=dict)
    """How many workers take the jobs of each pool; a worker's name is a pool of one."""
    taken: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Of each limit in use the jobs that run under it, such as `crawl/task_fetch[1]`."""
    ahead: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    """Of each pool how many due jobs of each priority have not been offered yet."""
    store: str = ""
    """Why the store takes nothing; empty when it does."""
    lacks: dict[str, tuple[tuple[str, ...], ...]] = msgspec.field(default_factory=dict)
    """Of each pool, for each of its workers, the packages that its kernel does not have."""


class Output(Struct, frozen=True):
    """Something a job printed or displayed."""

    job: int
    attempt: int
    kind: str
    """`stdout`, `stderr`, `display`, or `late` for what became of an attempt that no longer counted."""
    text: str = ""
    bundle: dict[str, str] = msgspec.field(default_factory=dict)
    """MIME type to data; base64 for images."""


class Settled(Struct, frozen=True):
    """A run's end, noted for listings; the jobs' records stay the truth."""

    run: str
    counts: dict[str, int]
    at: float = 0.0
    failures: tuple[str, ...] = ()
    """Up to three one-line failures."""
    upto: int = 0
    """The last message about the run that its end was decided on: later ones say that it goes on."""
