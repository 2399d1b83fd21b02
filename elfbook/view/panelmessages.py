"""What a side panel and the server behind it say to each other: the one source of the page's types.

`extension/lab/panelmessages.ts` is made from these types (`python -m elfbook.view.typescript panelmessages`).
One WebSocket carries everything. A message is JSON in a text frame. One that has buffers is a binary frame:
the length of its JSON in four bytes, little-endian, the JSON, then the buffers one behind the other, as
long as its `sizes` say. All text comes ready to be read; the page sets it in type and never makes it HTML.

A page is told the Overview once it has connected, and again whenever it has changed. A board in the panel
speaks as one in a notebook does, its messages within ToBoard and FromBoard.
"""

from __future__ import annotations

from typing import Literal

from elfbook.model import Struct
from elfbook.view.messages import ASKED, TOLD, Verb

Reach = Literal["connected", "away", "none"]
"""`away`: there should be a server and it does not answer. `none`: nothing was started here, or it has
ended; `up` starts it."""


class News(Struct, frozen=True, tag_field="kind"):
    """Something the server tells a panel."""


class Wish(Struct, frozen=True, tag_field="kind"):
    """Something a panel asks of the server."""


# ------------------------------------------------------------------ parts


class Worker(Struct, frozen=True):
    """A worker as it last said, or as its host says of one that is starting."""

    name: str
    ready: bool
    """False while its kernel starts: it takes no jobs yet."""
    host: str = ""
    """Name of its machine; empty for one that has not spoken yet."""
    pool: str = ""
    holds: tuple[str, ...] = ()
    """Named elves that it has now."""
    only: tuple[str, ...] = ()
    """Named elves that it was started for; it takes nothing else. Empty for one that takes anything."""
    running: str = ""
    """Label of the job it runs; empty when it is idle."""
    memory: int = 0
    """Bytes of its kernel; 0 when unknown."""
    cpu: float = 0.0
    """Cores its kernel keeps busy; 0 when unknown."""
    kernel: str = ""
    """`python3`."""
    python: str = ""
    """`3.13.1`; empty when unknown."""


class ElfTask(Struct, frozen=True):
    """A task of an elf, as its newest code has it."""

    name: str
    """`task_hello`."""
    signature: str
    """`task_hello(name, greeting="hello")`."""
    doc: str = ""
    """All that it says of itself."""


class ElfCode(Struct, frozen=True):
    """One code of an elf that runs have used."""

    digest: str
    """Its first eight digits, as a job's detail shows them."""
    first_at: float
    """When the first of those runs was submitted, in seconds since the epoch; 0 when unknown."""
    label: str = ""
    """Where it stood: `Cell In[4]`, or a file's path."""
    runs: tuple[str, ...] = ()
    """The runs that were submitted with it, newest first, ten at most: `party.2`."""


class Elf(Struct, frozen=True):
    """An elf that runs in the store have used."""

    name: str
    """The class: `Greeter`."""
    codes: tuple[ElfCode, ...]
    """Newest first."""
    tasks: tuple[ElfTask, ...]
    doc: str = ""
    """All that the class says of itself."""


class RunLine(Struct, frozen=True):
    """A run in a panel's list: what is known of it, and the words for that."""

    run: str
    """`party.2`: by this it is asked for."""
    name: str
    """What a person types: `party` for the newest run of its flow, otherwise `party.2`."""
    flow: str
    number: int
    glyph: str
    word: str
    """`done`, `failed`, `cancelled`, `running`, `waiting` or `paused`."""
    title: str
    """`4 of 6 done, 1 failed, 1 skipped`."""
    jobs: int
    counts: dict[str, int]
    """State (as in STATES) to the number of its jobs; states without jobs may be missing."""
    settled: bool
    paused: bool = False
    submitted_at: float = 0.0
    """Seconds since the epoch; 0 when unknown."""
    settled_at: float | None = None
    failures: tuple[str, ...] = ()
    """Up to three, a line each, of a run that has settled."""
    notebook: str = ""
    """Path of the notebook it was submitted from; empty when unknown."""
    can: tuple[Verb, ...] = ()
    """What would change something now."""


# ------------------------------------------------------------------ from the server


class Overview(News, frozen=True, tag="overview"):
    """The mycelium as it is now; sent whole, at most about twice a second."""

    reach: Reach
    why: str = ""
    """Why it is away or not there, in a sentence; empty while it is connected."""
    step: str = ""
    """The line to type that would help: `%elf up`; empty for none."""
    place: str = ""
    """`this machine only`, or the server's `host:port`."""
    kept: str = ""
    """Where runs are kept: the state directory; empty for a server of somebody's own."""
    durability: str = ""
    """`durable`, `fast` or `memory`; empty while not connected."""
    attention: tuple[str, ...] = ()
    """What is amiss with the store or the host, a sentence each."""
    workers: tuple[Worker, ...] = ()
    elves: tuple[Elf, ...] = ()
    """By name."""
    runs: tuple[RunLine, ...] = ()
    """Newest first: the last fifty, and before them whatever of the older ones has not settled."""
    more: bool = False
    """True when there are older runs than the last of `runs`."""
    running: int = 0
    """Jobs that run now."""
    failed: int = 0
    """Runs among `runs` that have settled with failed jobs, or have failed jobs already."""


class Older(News, frozen=True, tag="older"):
    """The answer to More."""

    id: int
    runs: tuple[RunLine, ...]
    """Newest first, fifty at most."""
    more: bool = False


class Reply(News, frozen=True, tag="reply"):
    """What became of a Do or an Up, or why a More or a board could not be had."""

    id: int
    words: str
    """A sentence for people, with the next step when it did not work."""
    ok: bool


class FromBoard(News, frozen=True, tag="from_board"):
    """What a board of this run is told; its buffers are the frame's."""

    run: str
    message: TOLD
    sizes: tuple[int, ...] = ()
    """Bytes of each buffer."""


class NoBoard(News, frozen=True, tag="no_board"):
    """There is no board to be had of that run, and why."""

    run: str
    words: str


# ------------------------------------------------------------------ from the panel


class Do(Wish, frozen=True, tag="do"):
    """Do this with the run, or with these of its jobs; answered by a Reply.

    A retry runs the code that the run has stored: the cells of a notebook are known to its kernel only.
    """

    id: int
    verb: Verb
    run: str
    """`party.2`, or `party` for the newest run of the flow."""
    jobs: tuple[int, ...] = ()
    why: str = ""


class Up(Wish, frozen=True, tag="up"):
    """At least so many workers are to be ready on the server's machine; answered by a Reply once they are."""

    id: int
    workers: int


class More(Wish, frozen=True, tag="more"):
    """The runs before this one (`party.2`) are wanted; answered by Older."""

    id: int
    before: str


class Look(Wish, frozen=True, tag="look"):
    """The page is seen by somebody, or no longer is: then nothing is looked up for it."""

    on: bool


class ToBoard(Wish, frozen=True, tag="to_board"):
    """What a board of this run asks."""

    run: str
    message: ASKED


NEWS = Overview | Older | Reply | FromBoard | NoBoard
WISH = Do | Up | More | Look | ToBoard
