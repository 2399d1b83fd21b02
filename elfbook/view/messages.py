"""What a board and the kernel behind it say to each other: the one source of the page's types.

`extension/src/messages.ts` is made from these types (`python -m elfbook.view.typescript`). Messages are
JSON objects told apart by their `kind`. Whatever there is one of for each job travels beside them, as
columns of numbers in little-endian byte buffers, in the order in which a message's docstring names them.

A board asks for everything once (Hello -> Snapshot) and is told of changes from then on (Patch). All
text comes ready to be read; the page sets it in type and never makes it HTML. The page never gets a
value itself, only its preview.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from elfbook.model import Struct

StateName = Literal["waiting", "running", "done", "failed", "skipped", "cancelled"]
STATES: tuple[StateName, ...] = ("waiting", "running", "done", "failed", "skipped", "cancelled")
"""A job's state travels as its place in this list."""

Verb = Literal["retry", "cancel", "pause", "resume"]

EdgeName = Literal["value", "after", "turn", "rule", "parent"]

FileName = Literal["graphviz.js", "canvas.js"]
"""A file that a page gets after its first picture: Graphviz, and what draws on canvases."""


class Told(Struct, frozen=True, tag_field="kind"):
    """Something the kernel tells a board."""


class Asked(Struct, frozen=True, tag_field="kind"):
    """Something a board asks of the kernel."""


# ------------------------------------------------------------------ edges


class EdgeKind(Struct, frozen=True):
    """A way in which one job depends on another: how it is told, drawn and named."""

    name: EdgeName
    legend: str
    beside: str
    """Said of a job before the labels of those that it depends on."""
    leads: bool
    """True when they lead to it: they are placed before it, and marked with it when it is selected."""
    width: float
    dash: tuple[float, ...]
    """Lengths of strokes and gaps; none for a line without gaps."""


EDGES: tuple[EdgeKind, ...] = (
    EdgeKind(name="value", legend="needs the value", beside="needs", leads=True, width=1.3, dash=()),
    EdgeKind(
        name="after", legend="only comes after", beside="comes after", leads=True, width=1.3, dash=(5, 4)
    ),
    EdgeKind(
        name="turn",
        legend="waits for its turn",
        beside="has its turn after",
        leads=False,
        width=1.6,
        dash=(1.6, 3.4),
    ),
    EdgeKind(
        name="rule",
        legend="begun by a rule",
        beside="begun by a rule on",
        leads=True,
        width=1.3,
        dash=(9, 3, 2, 3),
    ),
    EdgeKind(name="parent", legend="called by the job", beside="called by", leads=True, width=3, dash=()),
)
"""All kinds of edges. A run tells of those that it has, in this order."""


# ------------------------------------------------------------------ parts


class Task(Struct, frozen=True):
    """The jobs of one task of one elf instance: a row of the board, and a group of its graph."""

    elf: str
    """The class: `Greeter`."""
    name: str
    """Of the instance; empty for one without a name."""
    task: str
    """`task_hello`."""
    doc: str = ""
    """First line of what the task says of itself."""


class Head(Struct, frozen=True):
    """The state line: all that is said of the run as a whole, and changes while it goes on."""

    outcome: str
    """`done`, `failed`, `cancelled`, `running`, `waiting` or `paused`."""
    title: str
    """`flow party: 4 of 6 jobs done, 1 failed, 1 skipped`."""
    settled: bool
    reference: str = ""
    """What `%elf` calls the run here: `party`, or `party.1` where the flow's name means another one."""
    reasons: tuple[str, ...] = ()
    """Why jobs wait."""
    steps: tuple[tuple[str, str], ...] = ()
    """What can be done next: why, and the exact words to type."""
    remarks: tuple[str, ...] = ()
    """Result, code, durability."""
    started_at: float | None = None
    """Seconds since the epoch; None before the first job has begun."""
    ended_at: float | None = None
    lost: str = ""
    """Why this view no longer follows the run; empty while it does."""


class WorkerNow(Struct, frozen=True):
    """A worker that has just answered."""

    name: str
    host: str
    pool: str
    running: str = ""
    """Label of the job it runs; empty when it is idle."""
    memory: int = 0
    """Bytes of its kernel; 0 when unknown."""
    cpu: float = 0.0
    """Cores its kernel keeps busy; 0 when unknown."""


class Line(Struct, frozen=True):
    """One line of a traceback, with what it is for those who colour it."""

    kind: Literal["call", "place", "source", "arrow", "value", "error", "remark"]
    text: str


class Group(Struct, frozen=True):
    """Failures of one type at one line."""

    title: str
    """`task_parse × 37`, or the job's label where it is only one."""
    error: str
    """Type and message of the first, in one line."""
    jobs: tuple[int, ...]
    """The first hundred."""
    count: int
    lines: tuple[Line, ...]
    """The first one's traceback."""


class Said(Struct, frozen=True):
    """A piece of what a job printed or displayed."""

    stream: Literal["stdout", "stderr", "display"]
    attempt: int
    text: str = ""
    """What was printed, or a display's plain text."""
    bundle: dict[str, str] = msgspec.field(default_factory=dict)
    """MIME type to data, of a display that the notebook would show too."""


class Attempt(Struct, frozen=True):
    """How one attempt of a job ended."""

    number: int
    outcome: str
    worker: str
    ended_at: float
    elapsed_s: float | None = None
    error: str = ""


class Moved(Struct, frozen=True):
    """How far a running job is, as it says itself."""

    job: int
    words: str
    """`30 % · 3/10 · reading`."""
    share: float | None = None
    """How much of it is done, 0 to 1; None when only the words say something."""


class Source(Struct, frozen=True):
    """A piece of the code that a job runs, as it was when the flow was submitted."""

    label: str
    """`Cell In[4]`, or a file's path."""
    first_line: int
    text: str
    cell_id: str = ""
    """Of the notebook cell it stands in; empty if that is not known."""


# ------------------------------------------------------------------ from the kernel


class Snapshot(Told, frozen=True, tag="snapshot"):
    """Everything about a run at one moment.

    Buffers, each with an entry a job unless said otherwise: state (uint8), task (int32, place in
    `tasks`), number (int32, the `2` of `task_hello[2]`), attempts (int32), worker (int32, place in
    `workers`, -1 for none), started and ended (float64, seconds since the epoch, NaN for not yet);
    then for each kind in `edges` the lists of parents: starts (int32, jobs + 1 entries) and parents
    (int32). Job j depends that way on parents[starts[j] : starts[j + 1]].
    """

    seq: int
    """Number of the last patch that is in it."""
    flow: str
    number: int
    """Which run of the flow it is, from 1."""
    run: str
    """`party.2`."""
    jobs: int
    tasks: tuple[Task, ...]
    workers: tuple[str, ...]
    head: Head
    now: float = 0.0
    """The clock by which the times are, when this was told; 0 when there is none."""
    edges: tuple[EdgeName, ...] = ()
    """The kinds of edges there are."""
    groups: tuple[Group, ...] = ()
    alt: str = ""
    """The graph in words."""
    can: tuple[Verb, ...] = ()
    """What may be asked of the run from here."""
    id: str = ""
    """Tells the run from all others, of other mycelia too, that bear its name."""


class Patch(Told, frozen=True, tag="patch"):
    """What has changed since the patch before.

    Buffers, each with an entry a changed job: job (int32), state (uint8), attempts (int32), worker
    (int32), started and ended (float64).
    """

    seq: int
    """One more than that of the patch before; a board that misses one says Hello again."""
    head: Head
    now: float = 0.0
    """As in the snapshot."""
    more_workers: tuple[str, ...] = ()
    """Appended to the snapshot's `workers`."""
    groups: tuple[Group, ...] | None = None
    """The groups of failures, the fifty largest at most; None when they are as they were."""


class Moves(Told, frozen=True, tag="moves"):
    """How far the running jobs are that say so, and again whenever one has moved. The first hundred."""

    jobs: tuple[Moved, ...]


class Census(Told, frozen=True, tag="census"):
    """The workers there are; told while a board shows them."""

    workers: tuple[WorkerNow, ...]


class Detail(Told, frozen=True, tag="detail"):
    """Everything known of one job, and again whenever it changes while it is open."""

    job: int
    label: str
    task: str
    state: StateName
    reason: str
    """Why it waits; why it was skipped, cancelled or lost."""
    attempts: tuple[Attempt, ...]
    attempt: int
    worker: str
    started_at: float | None
    ended_at: float | None
    arguments: tuple[tuple[str, str], ...]
    """Name and preview; a value that comes from another job is told as its label."""
    result: str
    """Preview; empty without one."""
    size: int
    """Bytes of the result."""
    revision: str
    """`Greeter v2`, or the first digits of its digest."""
    source: tuple[Source, ...]
    lines: tuple[Line, ...]
    """Of the traceback."""
    called_at: str
    """Place of the call in the flow's cell."""


class Printed(Told, frozen=True, tag="printed"):
    """What the open job has printed and displayed, from piece number `start` on."""

    job: int
    start: int
    pieces: tuple[Said, ...]
    skipped: int = 0
    """Characters left out before the first piece, because they are too many for a page."""


class Answer(Told, frozen=True, tag="answer"):
    """What became of an Act."""

    id: int
    words: str
    ok: bool


class Asset(Told, frozen=True, tag="asset"):
    """A file that a page needs but once: one buffer, its bytes; an empty one if there is no such file."""

    name: FileName


class Page(Told, frozen=True, tag="page"):
    """The run's page as it is now, for those of its outputs that show a board and that nobody else can reach.

    While the run goes on it is what their file keeps; once it has settled it takes their place.
    """

    id: str
    """Of the run, as in the snapshot."""
    bundle: dict[str, str]
    """MIME type to data."""
    settled: bool


class Alive(Told, frozen=True, tag="alive"):
    """Said every two seconds while nothing else is: a board that hears nothing for six is alone."""


# ------------------------------------------------------------------ from the board


class Hello(Asked, frozen=True, tag="hello"):
    """A view is there and wants a Snapshot; said again every 30 s, when it only says that it is there."""

    view: str
    again: bool = False


class Bye(Asked, frozen=True, tag="bye"):
    """A view is gone."""

    view: str


class Open(Asked, frozen=True, tag="open"):
    """A view shows this job: Detail and Printed are wanted, from piece number `start` on. -1 for none."""

    view: str
    job: int
    start: int = 0


class Ack(Asked, frozen=True, tag="ack"):
    """Patches up to this one have been drawn; no more than 48 are sent without one."""

    seq: int


class Count(Asked, frozen=True, tag="count"):
    """A view shows the workers, or no longer does."""

    view: str
    on: bool


class Act(Asked, frozen=True, tag="act"):
    """Do this with the jobs, or with the whole run when none is named."""

    id: int
    """Of the Answer."""
    verb: Verb
    jobs: tuple[int, ...] = ()
    why: str = ""


class Want(Asked, frozen=True, tag="want"):
    """The page needs this file; answered by an Asset."""

    name: FileName


TOLD = Snapshot | Patch | Moves | Census | Detail | Printed | Answer | Asset | Page | Alive
ASKED = Hello | Bye | Open | Ack | Count | Act | Want
