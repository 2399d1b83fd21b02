"""What a side panel shows of a mycelium: its workers, its elves and its runs, each as a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from elfbook.facts import State
from elfbook.model import Beat, Parameter, Revision, TaskSpec
from elfbook.view.messages import Verb
from elfbook.view.panelmessages import Elf, ElfCode, ElfTask, RunLine, Worker
from elfbook.view.view import OUTCOME_GLYPHS
from elfbook.words import count, printable

MOST_USES = 10
"""Runs that are named of each code."""
DIGITS = 8


def counts_words(counts: Mapping[str, int], total: int) -> str:
    """`4 of 6 done, 1 failed, 1 skipped`."""
    done = f"{count(counts.get(State.DONE, 0))} of {count(total)} done"
    others = (State.FAILED, State.SKIPPED, State.CANCELLED, State.RUNNING)
    return ", ".join([done, *(f"{count(counts[state])} {state}" for state in others if counts.get(state))])


# ---------------------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class RunNow:
    """What is known of a run without its graph: a fact each, of which lists make their words."""

    flow: str
    number: int
    jobs: int
    counts: Mapping[str, int]
    """State to number of jobs; states without jobs may be missing."""
    settled: bool
    paused: bool = False
    """True while it rests; never of a run that has settled."""
    submitted_at: float = 0.0
    settled_at: float | None = None
    failures: tuple[str, ...] = ()
    notebook: str = ""

    @property
    def run(self) -> str:
        """Its id: `party.2`."""
        return f"{self.flow}.{self.number}"

    @property
    def outcome(self) -> str:
        """In one word, as `run_outcome` has it of a run's state."""
        has = self.counts.get
        if not self.settled:
            if self.paused:
                return "paused"
            return "waiting" if has(State.WAITING, 0) == self.jobs else "running"
        if has(State.FAILED):
            return "failed"
        if has(State.CANCELLED):
            return "cancelled"
        return "failed" if has(State.SKIPPED) else "done"


def run_line(now: RunNow, newest: int) -> RunLine:
    """The run as a panel is told of it; `newest` is the number of its flow's newest run."""
    return RunLine(
        run=now.run,
        name=now.flow if now.number == newest else now.run,
        flow=now.flow,
        number=now.number,
        glyph=OUTCOME_GLYPHS[now.outcome],
        word=now.outcome,
        title=counts_words(now.counts, now.jobs),
        jobs=now.jobs,
        counts={state: number for state, number in now.counts.items() if number},
        settled=now.settled,
        paused=now.paused,
        submitted_at=now.submitted_at,
        settled_at=now.settled_at,
        failures=tuple(map(printable, now.failures)),
        notebook=printable(now.notebook),
        can=tuple(possible(now)),
    )


def possible(now: RunNow) -> Iterable[Verb]:
    """What would change something."""
    has = now.counts.get
    if has(State.FAILED) or has(State.CANCELLED) or has(State.SKIPPED):
        yield "retry"
    if not now.settled:
        yield "cancel"
        yield "resume" if now.paused else "pause"


# ---------------------------------------------------------------------------- workers


def workers(beats: Iterable[Beat], hosted: Iterable[Mapping] = ()) -> tuple[Worker, ...]:
    """Those that have answered, and those that this machine's host is starting, by name."""
    found = {
        beat.worker: Worker(
            name=printable(beat.worker),
            ready=True,
            host=printable(beat.host),
            pool=printable(beat.pool),
            holds=tuple(map(printable, beat.names)),
            only=tuple(map(printable, beat.only)),
            running=printable(beat.running),
            memory=beat.memory,
            cpu=beat.cpu,
            kernel=printable(beat.kernel),
            python=printable(beat.python),
        )
        for beat in beats
        if not beat.leaving
    }
    for each in hosted:
        if not each["ready"] and each["name"] not in found:
            found[each["name"]] = Worker(name=each["name"], ready=False, kernel=each.get("kernel", ""))
    return tuple(worker for _, worker in sorted(found.items()))


# ---------------------------------------------------------------------------- elves


@dataclass(slots=True)
class CodeUse:
    """A code of an elf, and the runs that have used it."""

    revision: Revision
    first_at: float = 0.0
    last_at: float = 0.0
    runs: list[str] = field(default_factory=list)
    """Newest first."""


def elves(uses: Iterable[CodeUse]) -> tuple[Elf, ...]:
    """The elves by name, each with its codes, the one used last before the others."""
    by_name: dict[str, list[CodeUse]] = {}
    for use in uses:
        by_name.setdefault(use.revision.elf, []).append(use)
    return tuple(
        elf(name, sorted(codes, key=lambda use: use.last_at, reverse=True))
        for name, codes in sorted(by_name.items())
    )


def elf(name: str, codes: Sequence[CodeUse]) -> Elf:
    """One elf, its tasks as its newest code has them."""
    newest = codes[0].revision
    return Elf(
        name=name,
        codes=tuple(
            ElfCode(
                digest=use.revision.digest[:DIGITS],
                first_at=use.first_at,
                label=printable(use.revision.label),
                runs=tuple(use.runs[:MOST_USES]),
            )
            for use in codes
        ),
        tasks=tuple(ElfTask(task.name, signature(task), printable(task.doc)) for task in newest.tasks),
        doc=printable(newest.doc),
    )


def signature(task: TaskSpec) -> str:
    """`task_hello(name: str, *, greeting="hello")`."""
    words: list[str] = []
    for place, parameter in enumerate(task.parameters):
        before = task.parameters[place - 1].kind if place else ""
        if before == "positional" and parameter.kind != "positional":
            words.append("/")
        if parameter.kind == "keyword" and before not in ("keyword", "variadic"):
            words.append("*")
        words.append(declared(parameter))
    if task.parameters and task.parameters[-1].kind == "positional":
        words.append("/")
    return printable(f"{task.name}({', '.join(words)})")


def declared(parameter: Parameter) -> str:
    """One parameter as its source has it."""
    stars = {"variadic": "*", "variadic keyword": "**"}.get(parameter.kind, "")
    hint = f": {parameter.annotation}" if parameter.annotation else ""
    if parameter.default is None:
        return f"{stars}{parameter.name}{hint}"
    equals = " = " if hint else "="
    return f"{stars}{parameter.name}{hint}{equals}{parameter.default}"
