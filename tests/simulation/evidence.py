"""What can be known of a history once it is over, and the sentences that must be true of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from elfbook.errors import StoreCorrupt
from elfbook.facts import ENDED, Claimed, Failed, Paused, Reopened, State, Stored, Succeeded
from elfbook.log.fold import JobNow, RunState, fold, start
from elfbook.model import Graph, JobSpec, Manifest, Settled
from elfbook.store.aside import Aside
from elfbook.store.graphstore import graph_of
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode
from tests.simulation.kernel import Execution
from tests.simulation.loop import EPOCH_S
from tests.simulation.plan import Plan, Promise

STOPPED_S = 5.0
AWAY_S = 45.0
"""Longer than anybody is frozen or cut off."""
SWEPT_S = 6.0
"""Longer than until a sweep takes back what was offered of a run that has just been paused."""


@dataclass
class Run:
    """One run as the store has it."""

    manifest: Manifest
    graph: Graph
    facts: list[Stored]
    settled: Settled | None
    pauses: list[Stored]
    """That it was to rest, or to go on."""

    @property
    def name(self) -> str:
        return self.manifest.run


@dataclass
class Evidence:
    """All that a history has left behind."""

    plan: Plan
    runs: dict[str, Run]
    kept: dict[str, list[str]]
    """Named elf to the values that it says it has made."""
    executions: list[Execution]
    offers: list[str]
    """Subjects of offers that are still on the queue."""
    views: list[tuple[str, RunState]]
    """How clients saw their runs at last."""
    trouble: list[str]


async def facts_of(mycelium: Mycelium, run: str) -> list[Stored]:
    """Every stored fact of a run, in order."""
    names = mycelium.names
    entries = [entry async for entry in mycelium.read(names.jobs, names.jobs_of(run))]
    return [stored for entry in entries for stored in mycelium.facts(entry)[1]]


async def gather(mycelium: Mycelium, plan: Plan, executions: list[Execution]) -> Evidence:
    manifests, notes = await mycelium.all_runs()
    runs = {}
    for manifest in manifests:
        graph = await graph_of(mycelium, manifest)
        facts = await facts_of(mycelium, manifest.run)
        pauses = [stored for stored in facts if isinstance(stored.event, Paused)]
        of_jobs = [stored for stored in facts if stored.job >= 0]
        runs[manifest.run] = Run(manifest, graph, of_jobs, notes.get(manifest.run), pauses)
    kept = {}
    for name in sorted({use.name for run in runs.values() for use in run.graph.elves if use.name}):
        data, _ = await mycelium.kept(name)
        kept[name] = json.loads(data or b"[]")
    missing = [text for run in runs.values() for text in await unreadable(mycelium, run)]
    aside = mycelium.read(mycelium.names.output, mycelium.names.every_aside)
    missing += [f"G9: {decode(entry.data, Aside)} is set aside, and was good" async for entry in aside]
    return Evidence(plan, runs, kept, executions, offers=[], views=[], trouble=missing)


async def unreadable(mycelium: Mycelium, run: Run) -> list[str]:
    """Values that the run's records name and that the store does not have."""
    found = []
    for stored in run.facts:
        if isinstance(stored.event, Succeeded):
            try:
                await mycelium.fetch(stored.event.value)
            except StoreCorrupt as error:
                found.append(f"G5: the value of job {stored.job} of {run.name} is not there: {error}")
    return found


def kinds(evidence: Evidence) -> Counter[str]:
    """How many facts of each kind the logs have; of those told together with others, apart."""
    return Counter(
        type(stored.event).__name__ + ("" if stored.rests_on is None else " together")
        for run in evidence.runs.values()
        for stored in run.facts + run.pauses
    )


def wrongs(evidence: Evidence) -> list[str]:
    """Each guarantee that does not hold, as a sentence; none for a good history."""
    found = list(evidence.trouble)
    for story in evidence.plan.stories:
        if not story.run:
            found.append(f"{story.flow} was never accepted")
        elif story.run not in evidence.runs:
            found.append(f"G1: {story.run} was accepted and is not in the store")
        elif story.stage != "over":
            found.append(f"G2: {story.run} is not over: its owner is at '{story.stage}'")
    for run in evidence.runs.values():
        found += [f"{run.name}: {wrong}" for wrong in wrongs_of(run, evidence.executions)]
    for promise in evidence.plan.promises:
        if promise.run in evidence.runs:
            found += broken(promise, evidence.runs[promise.run])
            found += begun_after(promise, evidence)
    found += [f"an offer is left: {subject}" for subject in evidence.offers]
    found += wrongs_of_kept(evidence)
    found += wrongs_of_views(evidence)
    found += wrongs_of_lost(evidence)
    found += wrongs_of_limits(evidence)
    found += [f"{name}: {wrong}" for name, run in evidence.runs.items() for wrong in begun_at_rest(run, evidence.plan)]
    return found


def wrongs_of(run: Run, executions: list[Execution]) -> list[str]:
    """What is wrong with one run: its ends, its order, its values."""
    found = []
    made = {execution.value: execution for execution in executions if execution.value}
    state = start(run.graph, run.name)
    values: dict[int, list[str]] = {}
    ended: set[int] = set()
    for stored in run.facts:
        job, spec = stored.job, run.graph.jobs[stored.job]
        before, holder = state.jobs[job].state, state.jobs[job].worker
        fold(state, stored)
        now = state.jobs[job]
        taken = now.event is stored.event
        if taken and isinstance(stored.event, Succeeded | Failed) and stored.event.worker != holder:
            found.append(f"G8: job {job} of {holder or 'nobody'} was ended by {stored.event.worker}")
        if taken and isinstance(stored.event, Claimed):
            found += wrongs_of_claim(job, spec, values, ended)
        if now.state in ENDED and before not in ENDED:
            ended.add(job)
        if now.state is State.DONE and before is not State.DONE:
            value = now.event.value.digest
            if value not in made or made[value].job != f"{run.manifest.flow}/{job}":
                found.append(f"G4: the value of job {job} is none that it made")
            else:
                found += wrongs_of_inputs(job, spec.parents, made[value], values)
            values.setdefault(job, []).append(value)
    return found + wrongs_of_end(run, state)


def wrongs_of_claim(job: int, spec: JobSpec, values: dict[int, list[str]], ended: set[int]) -> list[str]:
    """A claim comes after all that the job waits for."""
    found = []
    if early := [each for each in spec.parents + spec.after if each not in values]:
        found.append(f"G6: job {job} was claimed before {early} had succeeded")
    if spec.turn is not None and spec.turn not in ended:
        found.append(f"job {job} was claimed before its turn, after {spec.turn}")
    return found


def wrongs_of_end(run: Run, state: RunState) -> list[str]:
    """Everything has ended, and the list of runs says so."""
    counts = {each.value: count for each, count in state.counts.items() if count}
    if not state.settled:
        return [f"G2: it has not ended: {counts}"]
    if run.settled is None:
        return ["it has ended, and nothing says so in the list of runs"]
    if run.settled.counts != counts:
        return [f"the list of runs says {run.settled.counts}, its log says {counts}"]
    return []


def wrongs_of_inputs(
    job: int, parents: tuple[int, ...], execution: Execution, values: dict[int, list[str]]
) -> list[str]:
    """A result must have been made of what the parents' records name."""
    if set(execution.inputs) != set(parents):
        return [f"G6: job {job} read {sorted(execution.inputs)}, its parents are {parents}"]
    return [
        f"G6: job {job} read a value of job {parent} that is not its result"
        for parent, value in execution.inputs.items()
        if value not in values.get(parent, ())
    ]


def broken(promise: Promise, run: Run) -> list[str]:
    """A cancel that has returned, and what went on all the same."""
    state = start(run.graph, run.name)
    facts = iter(run.facts)
    later = []
    for stored in facts:
        if stored.seq > promise.seq:
            later = [stored, *facts]
            break
        fold(state, stored)
    left = [job for job in promise.jobs if state.jobs[job].state not in ENDED]
    found = [f"G7: {run.name}: cancel returned and left {left} going on"] if left else []
    reopened: set[int] = set()
    for stored in later:
        fold(state, stored)
        if isinstance(stored.event, Reopened):
            reopened.add(stored.job)
        elif stored.job in promise.jobs - reopened and state.jobs[stored.job].state not in ENDED:
            found.append(f"G7: {run.name}: job {stored.job} went on after its cancel")
    return found


def begun_after(promise: Promise, evidence: Evidence) -> list[str]:
    """Nor has its code begun: what was on its way into a kernel has long been there or been stopped."""
    flow = promise.run.rpartition(".")[0]
    if sum(run.manifest.flow == flow for run in evidence.runs.values()) > 1:
        return []  # executions do not say of which run they are
    reopened = {f.job for f in evidence.runs[promise.run].facts if isinstance(f.event, Reopened)}
    cancelled = {f"{flow}/{job}" for job in promise.jobs - reopened}
    return [
        f"G7: the code of {each.job} began {each.started_at - promise.at:.1f} s after its cancel had returned"
        for each in evidence.executions
        if each.job in cancelled and each.started_at > promise.at + STOPPED_S
    ]


def begun_at_rest(run: Run, plan: Plan) -> list[str]:
    """Once every scheduler must have heard of a pause, and nothing bad happens, nobody begins a job of the run."""
    found = []
    if plan.lasting:
        return found  # a claim may be on its way for long: what a worker has taken is not called back
    rests_since = None
    for stored in sorted(run.facts + run.pauses, key=lambda each: each.seq):
        if isinstance(stored.event, Paused):
            rests_since = stored.at - EPOCH_S if stored.event.on else None
        elif isinstance(stored.event, Claimed) and rests_since is not None:
            certain = max(rests_since, plan.peace_at + AWAY_S) + SWEPT_S
            if stored.at - EPOCH_S > certain:
                found.append(f"job {stored.job} was claimed after {stored.at - EPOCH_S - rests_since:.1f} s of rest")
    return found


def wrongs_of_kept(evidence: Evidence) -> list[str]:
    """What a named elf keeps is stored with each success: neither more nor less, in their order."""
    wanted: dict[str, list[tuple[int, str]]] = {name: [] for name in evidence.kept}
    for run in evidence.runs.values():
        state = start(run.graph, run.name)
        for stored in run.facts:
            before = state.jobs[stored.job].state
            fold(state, stored)
            name = run.graph.elves[run.graph.jobs[stored.job].elf].name
            now = state.jobs[stored.job]
            if name and now.state is State.DONE and before is not State.DONE:
                wanted[name].append((stored.seq, now.event.value.digest))
    found = []
    for name, pairs in wanted.items():
        values = [value for _, value in sorted(pairs)]
        if values != evidence.kept[name]:
            missing = [value[:6] for value in values if value not in evidence.kept[name]]
            more = [value[:6] for value in evidence.kept[name] if value not in values]
            found.append(
                f"{name} keeps {len(evidence.kept[name])} of {len(values)}: lost {missing}, untrue {more}"
            )
    return found


def wrongs_of_views(evidence: Evidence) -> list[str]:
    """Whoever watched a run saw it as its log has it."""
    found = []
    for run, seen in evidence.views:
        state = start(evidence.runs[run].graph, run)
        for stored in evidence.runs[run].facts:
            fold(state, stored)
        last = evidence.runs[run].facts[-1].seq
        pauses = [(pause.seq, pause.event.on) for pause in evidence.runs[run].pauses]
        at_the_end = any(on for _, on in [each for each in pauses if each[0] < last][-1:])
        # Whoever has seen the end does not follow any more, and after it a run can be paused (by who did not
        # know of the end) and resumed.
        if seen.paused not in (at_the_end, *(on for seq, on in pauses if seq > last)):
            found.append(f"{run}: its owner saw it {'at rest' if seen.paused else 'going on'}, its log says otherwise")
        pairs = zip(seen.jobs, state.jobs, strict=True)
        if jobs := [job for job, (one, other) in enumerate(pairs) if what_came(one) != what_came(other)]:
            found.append(f"{run}: its owner saw jobs {jobs} otherwise than its log has them")
    return found


def what_came(job: JobNow) -> tuple:
    """All of a job but where its last messages are: one that comes after its end changes nothing else."""
    return tuple(getattr(job, each) for each in job.__struct_fields__ if each not in ("seq", "upto", "mark"))


def wrongs_of_lost(evidence: Evidence) -> list[str]:
    """With on_lost="fail" a job whose worker was lost is not begun again, unless somebody asks."""
    allowed: Counter[str] = Counter()
    strict = set()
    for run in evidence.runs.values():
        for job in range(len(run.graph.jobs)):
            if run.graph.policy.on_lost == "fail":
                strict.add(f"{run.manifest.flow}/{job}")
            allowed[f"{run.manifest.flow}/{job}"] += 1
        for stored in run.facts:
            if isinstance(stored.event, Failed | Reopened):
                allowed[f"{run.manifest.flow}/{stored.job}"] += 1
    begun = Counter(execution.job for execution in evidence.executions)
    return [
        f"G3: {job} was begun {begun[job]} times, allowed were {allowed[job]}"
        for job in sorted(strict)
        if begun[job] > allowed[job]
    ]


def wrongs_of_limits(evidence: Evidence) -> list[str]:
    """Never do more jobs under a limit run at once than it allows, whatever runs they belong to."""
    states = {name: start(run.graph, name) for name, run in evidence.runs.items()}
    facts = sorted(
        ((stored.seq, name, stored) for name, run in evidence.runs.items() for stored in run.facts),
        key=lambda each: each[0],
    )
    running: dict[str, set[tuple[str, int]]] = {}
    found = []
    for _, name, stored in facts:
        fold(states[name], stored)
        limit = states[name].graph.policy.limit
        under = running.setdefault(limit, set())
        if states[name].jobs[stored.job].state is not State.RUNNING:
            under.discard((name, stored.job))
        elif limit:
            under.add((name, stored.job))
            if len(under) > int(limit.partition(":")[2]):
                found.append(f"limit {limit}: {sorted(under)} ran at once")
    return found
