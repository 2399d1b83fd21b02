"""What must be true of a mycelium after any fault: seven points, read from its log and its trails.

(i)   every submission that was acknowledged is there, and has ended or can still run
(ii)  every job has one terminal record, and nothing but a reopening after it
(iii) the log has no hole, and each record names the one before it
(iv)  what a job was given is what its parents' records name
(v)   no more attempts than were claimed; of attempts that counted no two at once
(vi)  nothing is left over: offers, claims, consumers that nobody would ever remove
(vii) what the notebook shows is a fresh fold of the log

Each function gives sentences about what is wrong; none when all is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from trails import Mark, marks_of

from elfbook.client.watched import Watched
from elfbook.facts import ENDED, Claimed, Paused, Released, Reopened, State, Stored, Succeeded
from elfbook.log.fold import RunState, due, fold, start
from elfbook.model import Beat, Graph, Manifest
from elfbook.store.follow import Follower
from elfbook.store.graphstore import graph_of
from elfbook.store.link import Refused
from elfbook.store.mycelium import Mycelium
from elfbook.tracing import values
from elfbook.view.view import look

QUIET_S = 45.0
"""How long leftovers may take to go: an offer whose holder died comes back after 30 s."""
EXPECT = "Nats-Expected-Last-Subject-Sequence"
SHARED = ("pool-", "lot-")
"""Consumers of a whole pool, which wait for its next worker."""
AMONG = "Nats-Expected-Last-Subject-Sequence-Subject"


@dataclass
class Submitted:
    """A run whose submission was acknowledged, and where its jobs leave their trail."""

    flow: str
    number: int
    nonce: str
    trail: Path | None = None
    whole: bool = True
    """False for runs that a fault leaves unable to end; they must still be able to run."""

    @property
    def run(self) -> str:
        return f"{self.flow}.{self.number}"


async def facts_of(mycelium: Mycelium, run: str) -> list[Stored]:
    """Every stored fact of a run, in order."""
    names = mycelium.names
    return [
        fact
        async for entry in mycelium.read(names.jobs, names.jobs_of(run))
        for fact in mycelium.facts(entry)[1]
    ]


# ---------------------------------------------------------------------------- the log alone


def folded(graph: Graph, run: str, facts: list[Stored]) -> tuple[RunState, list[Stored], list[str]]:
    """The run's state, the facts that had an effect, and (ii): what follows a job's end though it must not.

    Jobs that were claimed together end without a compare-and-set: what is said of such a claim
    when it no longer holds has no effect. A record of a job's own may come after its end only
    if that end was told together with others, where nobody could have seen it.
    """
    state, wrong, counted = start(graph, run), [], []
    own_end = [False] * len(graph.jobs)
    for fact in facts:
        if isinstance(fact.event, Paused):
            fold(state, fact)
            continue
        now = state.jobs[fact.job]
        over = now.state in ENDED and not isinstance(fact.event, Reopened)
        if over and fact.rests_on is None and own_end[fact.job]:
            wrong.append(
                f"(ii) job {fact.job} had ended ({now.state}) and then has {fact.event} at {fact.seq}"
            )
        fold(state, fact)
        if now.event is fact.event:
            counted.append(fact)
            own_end[fact.job] = fact.rests_on is None and now.state in ENDED
            if over:
                wrong.append(f"(ii) job {fact.job} ended a second time, with {fact.event} at {fact.seq}")
    return state, counted, wrong


def parents_first(facts: list[Stored], state: RunState) -> list[str]:
    """(iv), its first half: no claim before the success of all that the job waits for."""
    wrong, done = [], set()
    for fact in facts:
        if isinstance(fact.event, Succeeded):
            done.add(fact.job)
        if isinstance(fact.event, Claimed):
            spec = state.graph.jobs[fact.job]
            early = [each for each in spec.parents + spec.after if each not in done]
            if early:
                wrong.append(f"(iv) job {fact.job} was claimed at {fact.seq} before {early} had succeeded")
    return wrong


def ends_or_can_run(state: RunState, *, whole: bool) -> list[str]:
    """(i): every job has ended, or something is due or under way that will bring it there."""
    open_jobs = [job for job, now in enumerate(state.jobs) if now.state not in ENDED]
    if not open_jobs or (not whole and (due(state) or state.counts[State.RUNNING])):
        return []
    return [f"(i) jobs {open_jobs[:5]} have not ended ({len(open_jobs)} of {len(state.jobs)})"]


# ---------------------------------------------------------------------------- the trail


def trails_agree(
    marks: list[Mark], facts: list[Stored], state: RunState, results: dict[int, dict]
) -> list[str]:
    """(iv) and (v), from what the jobs themselves wrote and returned."""
    wrong = []
    claims = Counter(fact.job for fact in facts if isinstance(fact.event, Claimed))
    given_back = (fact for fact in facts if isinstance(fact.event, Released) and not fact.event.begun)
    claims.subtract(fact.job for fact in given_back)
    begun = Counter(int(mark.word) for mark in marks if mark.what == "begin")
    for job, count in begun.items():
        if count > claims[job]:
            wrong.append(f"(v) job {job} began {count} times with {claims[job]} claims")
    tokens = {mark.token: mark for mark in marks if mark.what == "begin"}
    ends = {mark.token: mark for mark in marks if mark.what == "end"}
    for job, result in results.items():
        mark = tokens.get(result["token"])
        if mark is None or int(mark.word) != job or result["token"] not in ends:
            wrong.append(f"(v) the result of job {job} is of an attempt that left no whole trail")
        given = [results[parent]["token"] for parent in state.graph.jobs[job].parents]
        if set(result["of"]) != set(given):
            wrong.append(f"(iv) job {job} was made of {result['of']}, its parents' records say {given}")
    return wrong


def never_two_at_once(marks: list[Mark], committed: dict[int, list[str]]) -> list[str]:
    """(v): of the attempts of one job whose results were stored, no two ran at the same time."""
    spans: dict[str, list[float]] = {}
    for mark in marks:
        spans.setdefault(mark.token, []).append(mark.at)
    wrong = []
    for job, tokens in committed.items():
        times = sorted(spans[token] for token in tokens if len(spans.get(token, ())) == 2)
        for (_, ended), (began, _) in itertools.pairwise(times):
            if began < ended:
                wrong.append(f"(v) two attempts of job {job} that both counted ran at once")
    return wrong


# ---------------------------------------------------------------------------- one run


async def result_of(mycelium: Mycelium, event: Succeeded) -> object:
    return values.decode(await mycelium.fetch(event.value), mycelium.key)


async def check_run(
    mycelium: Mycelium, submitted: Submitted, shown: Watched | None = None, stored: Manifest | None = None
) -> list[str]:
    """Points (i), (ii), (iv), (v) and, with the notebook's own view of the run, (vii).

    Who checks many runs gives what RUNS has `stored` of this one.
    """
    manifest = stored or await _manifest(mycelium, submitted)
    if manifest is None or manifest.nonce != submitted.nonce:
        return [f"(i) {submitted.run} was acknowledged and is not in the store"]
    graph = await graph_of(mycelium, manifest)
    facts = await facts_of(mycelium, manifest.run)
    state, facts, wrong = folded(graph, manifest.run, facts)
    wrong += ends_or_can_run(state, whole=submitted.whole) + parents_first(facts, state)
    if submitted.trail is not None:
        wrong += await _check_trail(mycelium, submitted.trail, facts, state)
    if shown is not None:
        wrong += await _check_view(shown, state)
    return [f"{submitted.run}: {each}" for each in wrong]


async def _manifest(mycelium: Mycelium, submitted: Submitted):
    names = mycelium.names
    async for entry in mycelium.read(names.runs, names.run(submitted.flow)):
        manifest = mycelium.manifest_of(entry)
        if manifest.number == submitted.number and manifest.nonce == submitted.nonce:
            return manifest
    return None


async def _check_trail(mycelium: Mycelium, trail: Path, facts: list[Stored], state: RunState) -> list[str]:
    marks = await asyncio.to_thread(marks_of, trail)
    results: dict[int, dict] = {}
    committed: dict[int, list[str]] = {}
    for fact in facts:
        if isinstance(fact.event, Succeeded):
            result = await result_of(mycelium, fact.event)
            committed.setdefault(fact.job, []).append(result["token"])
            results[fact.job] = result
    results = {job: result for job, result in results.items() if state.jobs[job].state is State.DONE}
    return trails_agree(marks, facts, state, results) + never_two_at_once(marks, committed)


async def _check_view(shown: Watched, state: RunState) -> list[str]:
    if state.settled:
        await asyncio.wait_for(shown.settled(), 20)
    else:
        await shown.catch_up()
    wrong = [
        f"(vii) the notebook has job {job} as {mine}, the log says {theirs}"
        for job, (mine, theirs) in enumerate(zip(shown.state.jobs, state.jobs, strict=True))
        if mine != theirs
    ]
    if look(shown.manifest, shown.state) != look(shown.manifest, state):
        wrong.append("(vii) the page of the run differs from that of a fresh fold")
    return wrong


# ---------------------------------------------------------------------------- the whole store


@dataclass
class Leftovers:
    """What lies about in the store and on the server at one moment."""

    offers: int = 0
    consumers: int = 0
    """In use: somebody waits there."""
    deserted: list[str] = field(default_factory=list)
    """Nobody waits there, and the server has no order to remove them."""
    beats: list[Beat] = field(default_factory=list)

    def wrong(self) -> list[str]:
        busy = [beat.worker for beat in self.beats if beat.running]
        lines = [f"(vi) {self.offers} offers are still queued"] if self.offers else []
        lines += [f"(vi) {worker} still runs something" for worker in busy]
        return lines + [f"(vi) consumer {name} stays though nobody uses it" for name in self.deserted]


async def leftovers(mycelium: Mycelium) -> Leftovers:
    """What is left now."""
    names, found = mycelium.names, Leftovers(beats=await mycelium.census())
    with contextlib.suppress(
        Refused
    ):  # the queue ends with its server, and the next scheduler makes it again
        found.offers = (await mycelium.link.api(f"STREAM.INFO.{names.work}"))["state"]["messages"]
    for stream in names.stream_subjects():
        try:
            listed = await mycelium.link.api(f"CONSUMER.LIST.{stream}", {"offset": 0})
        except Refused:
            continue  # OUTPUT may have been deleted by hand, and is made again when the next process opens
        for consumer in listed["consumers"] or ():
            if consumer.get("num_waiting"):
                found.consumers += 1
            elif not consumer["config"].get("inactive_threshold") and not consumer["name"].startswith(SHARED):
                found.deserted.append(f"{stream} {consumer['name']}")
    return found


async def check_quiet(mycelium: Mycelium, timeout_s: float = QUIET_S) -> list[str]:
    """(vi): what is still left over when it has had time to go."""
    deadline = time.monotonic() + timeout_s
    while wrong := (await leftovers(mycelium)).wrong():
        if time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(0.1)
    return []


async def check_chain(mycelium: Mycelium, streams: tuple[str, ...] = ()) -> list[str]:
    """(iii): sequences without a hole, and each compare-and-set over the record it named."""
    wrong = []
    for stream in streams or (mycelium.names.runs, mycelium.names.jobs):
        last, latest = 0, {}
        async with contextlib.aclosing(_chain(mycelium, stream)) as records:
            async for subject, seq, (named, expected) in records:
                before = latest.get(named, 0)
                if seq != last + 1:
                    wrong.append(f"(iii) {stream} has nothing between {last} and {seq}")
                if expected is not None and int(expected) != before:
                    wrong.append(f"(iii) {stream}: {seq} names {expected}, before it was {before}")
                last = latest[subject] = latest[subject.rpartition(".")[0] + ".>"] = seq
        state = (await mycelium.link.api(f"STREAM.INFO.{stream}"))["state"]
        if state["messages"] < last:
            wrong.append(f"(iii) {stream} had {last} records and says {state['messages']}")
    return wrong


async def _chain(mycelium: Mycelium, stream: str) -> AsyncGenerator[tuple[str, int, tuple[str, str | None]]]:
    """Subject and sequence of every record of a stream, and which last sequence it expected of what."""
    everything = Follower(mycelium.link, stream, (">",), stop_at_end=True)
    async for batch in everything.batches():  # pulled: pushed, a long stream makes its reader a slow consumer
        for entry in batch:
            headers = entry.headers or {}
            yield entry.subject, entry.seq, (headers.get(AMONG, entry.subject), headers.get(EXPECT))


def told(wrong: list[str], limit: int = 12) -> str:
    """The first findings as text."""
    rest = f"\n… and {len(wrong) - limit} more" if len(wrong) > limit else ""
    return "\n".join(wrong[:limit]) + rest


__all__ = ["Submitted", "check_chain", "check_quiet", "check_run", "facts_of", "leftovers", "told"]
