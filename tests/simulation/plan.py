"""What people do in a history, drawn by chance: flows, cancels, retries, pauses; and how their jobs behave."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from elfbook.model import ElfUse, Graph, JobSpec, Policy, Revision
from elfbook.tracing.graph import Drawn
from tests.simulation.kernel import Habits
from tests.simulation.network import CALM, Weather

FIRST, MENDED = "revision-1", "revision-2"
NAMES = ("", "", "ann", "bob")
LIMITS = ("", "", "", "narrow:1", "wide:2")


def revision(digest: str) -> Revision:
    return Revision(elf="Elf", digest=digest, tasks=(), pieces=())


@dataclass
class Story:
    """One flow, and what its owner does with it; goes on where it was when its client is started again."""

    flow: str
    drawn: Drawn
    begins_s: float
    cancel_after_s: float | None = None
    cancel: frozenset[int] | None = None
    """Jobs to cancel; None for all."""
    reopen: bool = False
    mend: bool = False
    """The retry brings new code."""
    pause_after_s: float = 0.0
    rest_s: float = 0.0
    """How long the run is paused."""
    resting: str = "over"
    """What comes next of its pause."""
    run: str = ""
    """What submit returned, once it has."""
    stage: str = "submit"

    @property
    def over(self) -> bool:
        """Its owner has seen the end of it, and does not let it rest."""
        return self.stage == self.resting == "over"


@dataclass(frozen=True)
class Promise:
    """A cancel that has returned: which jobs of which run, and how far the log was then."""

    run: str
    jobs: frozenset[int]
    seq: int
    at: float
    """When it returned, by the history's clock."""


@dataclass
class Plan:
    """A history before it has happened."""

    stories: list[Story]
    workers: int
    schedulers: int
    clients: int
    trouble_s: float
    """How long faults go on."""
    pause_s: float
    """Between two of them, on average."""
    faults: tuple[str, ...]
    weather: Weather
    lasting: bool
    """The weather stays so after the last fault."""
    promises: list[Promise] = field(default_factory=list)
    peace_at: float = 0.0
    """When the last fault was caused, by the history's clock."""


def draw_plan(chance: random.Random) -> Plan:
    # A storm in the network and deaths together hide each other's bugs, so half of the histories
    # have only some kinds of faults.
    kinds = [
        "kill worker",
        "kill scheduler",
        "kill client",
        "kill kernel",
        "freeze",
        "drop",
        "cut",
        "restart",
    ]
    faults = tuple(kind for kind in kinds if chance.random() < 0.6)
    weather = CALM
    if chance.random() < 0.5:
        rough = 0.03 * chance.random()
        weather = Weather(delay_s=0.05 * chance.random(), lost=rough, twice=rough, late=rough)
    stories = [draw_story(chance, f"flow{number}") for number in range(chance.randint(1, 3))]
    trouble_s = chance.uniform(10, 40)
    if chance.random() < 0.1:  # who is paused amid faults tells little of what a pause holds
        stories[0].begins_s, stories[0].pause_after_s = trouble_s + 50, chance.uniform(0, 1)
        stories[0].resting, stories[0].rest_s = "pause", 20.0
    return Plan(
        stories=stories,
        workers=chance.randint(1, 3),
        schedulers=chance.randint(1, 2),
        clients=chance.randint(1, 2),
        trouble_s=trouble_s,
        pause_s=chance.choice([1, 3, 8]),
        faults=faults,
        weather=weather,
        lasting=chance.random() < 0.5,
    )


def draw_story(chance: random.Random, flow: str) -> Story:
    graph = draw_graph(chance, flow)
    cancels = chance.random() < 0.4
    some = frozenset(job for job in range(len(graph.jobs)) if chance.random() < 0.5)
    return Story(
        flow=flow,
        drawn=Drawn(graph, {}, {FIRST: revision(FIRST)}),
        begins_s=chance.uniform(0, 15),
        cancel_after_s=chance.choice([0.0, 0.05, 1.0, 10.0]) if cancels else None,
        cancel=some if chance.random() < 0.4 else None,
        reopen=chance.random() < 0.6,
        mend=chance.random() < 0.3,
        pause_after_s=chance.choice([0.0, 0.05, 1.0, 10.0]),
        rest_s=chance.choice([0.0, 1.0, 10.0, 10.0, 120.0]),
        resting="pause" if chance.random() < 0.3 else "over",
    )


def draw_graph(chance: random.Random, flow: str) -> Graph:
    """Up to ten jobs; some of them belong to named elves and take turns."""
    names = [name for name in NAMES if chance.random() < 0.7] or [""]
    names = list(dict.fromkeys(names))
    rough = chance.choice([0.0, 0.1, 0.3])
    wide = chance.random() < 0.35
    quick = wide and chance.random() < 0.9  # short jobs are offered, claimed and ended together
    if quick:
        names = chance.choice([[""], [""], ["", "ann"]])
    latest: dict[str, int] = {}
    jobs = []
    odd = 0.1 if quick else 1.0
    for job in range(chance.choice([20, 40, 140]) if wide else chance.randint(1, 10)):
        name = chance.choice(names)
        earlier = [each for each in range(job) if chance.random() < (1 / (job + 1) if wide else 0.4)]
        habits = Habits(
            job=f"{flow}/{job}",
            quick=quick,
            slow=0.01 if quick else chance.choice([0.0, 0.1, 0.5]),
            raises=odd * rough * chance.random(),
            dies=odd * rough * chance.random() / 2,
            stubborn=odd * rough * chance.random() / 2,
            prints=odd * chance.choice([0.0, 0.3]),
            large=odd * chance.choice([0.0, 0.0, 0.2]),
        )
        jobs.append(
            JobSpec(
                elf=names.index(name),
                task="task_do",
                arguments=habits.encoded(),
                parents=tuple(earlier[:3]),
                after=tuple(earlier[3:5]),
                turn=latest.get(name) if name else None,
                number=job,
            )
        )
        latest[name] = job
    policy = Policy(
        retries=chance.randint(0, 2),
        lost_retries=chance.randint(0, 3),
        backoff_s=chance.choice([0.0, 0.5, 2.0]),
        timeout_s=chance.choice([None, None, 3.0]),
        limit=chance.choice(LIMITS),
        on_lost=chance.choice(["retry", "retry", "retry", "fail"]),
    )
    elves = tuple(ElfUse(elf="Elf", revision=FIRST, name=name) for name in names)
    return Graph(elves=elves, jobs=tuple(jobs), result=flow.encode(), policy=policy)
