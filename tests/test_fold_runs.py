"""The fold under random logs, and under schedulers, workers and people who race and crash.

Two ways in. `logs` are any facts in any order, also such as compare-and-set would refuse: replay,
repetition and restarts must not matter, and what is due must be what its definition says. `Races`
writes its log by itself: schedulers act on what the fold told them, workers claim, finish, die and
wake up, people cancel and retry, all through one compare-and-set; then the guarantees must hold.

In both, some messages are about many jobs: claims of several jobs of a lot, and ends of jobs claimed
so. Lots have three jobs here, so that a run has several of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import asdict, replace

from elfbook.facts import (
    ENDED,
    AnyEvent,
    AnyRecord,
    Cancelled,
    Claimed,
    ClaimedTogether,
    EndedTogether,
    Ending,
    Failed,
    Lost,
    Paused,
    Released,
    Reopened,
    Skipped,
    State,
    Stored,
    Succeeded,
    Success,
)
from elfbook.facts import told as facts_of
from elfbook.log import fold as fold_module
from elfbook.log.fold import (
    TRANSITIONS,
    Action,
    JobNow,
    Offer,
    RunState,
    Skip,
    due,
    fold,
    run_outcome,
    start,
    to_cancel,
    to_reopen,
)
from elfbook.model import Graph, JobSpec, Policy, ValueRef

LOT = 3
BAD = {State.FAILED, State.CANCELLED, State.SKIPPED}
CALM = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def small_lots() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold_module, "LOT", LOT)
        yield


# ---------------------------------------------------------------------------- strategies


@st.composite
def graphs(draw: st.DrawFn, size: int = 7) -> Graph:
    """Up to `size` jobs; some belong to one of two named elves and take turns."""
    latest: dict[str, int] = {}
    jobs = []
    for job in range(draw(st.integers(1, size))):
        earlier = st.sets(st.integers(0, job - 1), max_size=3) if job else st.just(set())
        name = draw(st.sampled_from(["", "", "ann", "bob"]))
        jobs.append(
            JobSpec(
                elf=0,
                task="task_t",
                arguments=b"",
                parents=tuple(sorted(draw(earlier))),
                after=tuple(sorted(draw(earlier))),
                turn=latest.get(name) if name else None,
            )
        )
        latest[name] = job
    policy = Policy(
        retries=draw(st.integers(0, 2)),
        lost_retries=draw(st.integers(0, 2)),
        backoff_s=draw(st.sampled_from([0.0, 5.0])),
        on_lost=draw(st.sampled_from(["retry", "retry", "fail"])),
        memory_retries=draw(st.integers(0, 1)),
        timeout_retries=draw(st.sampled_from([None, 0, 1])),
    )
    return Graph(elves=(), jobs=tuple(jobs), result=b"", policy=policy)


def events(size: int) -> st.SearchStrategy[AnyEvent]:
    return st.one_of(
        st.sampled_from([Claimed("n", worker="w"), Succeeded("n")]),
        st.sampled_from([Claimed("n"), Failed("n"), Failed("n", final=True), Lost("n"), Released("n")]),
        st.sampled_from([Failed("n", outcome="timed out"), Failed("n", outcome="out of memory")]),
        st.sampled_from([Cancelled("n"), Reopened("n"), Reopened("n", revision="r2")]),
        st.builds(Skipped, st.just("n"), because=st.integers(0, size - 1)),
        st.builds(Lost, st.just("n"), claim=st.integers(10, 30)),
    )


def claim_together(draw: st.DrawFn, size: int, earlier: list[tuple[int, AnyRecord]]) -> ClaimedTogether:
    """A claim of some jobs of a lot, most of them over the own record that is their last."""
    lot = draw(st.integers(0, (size - 1) // LOT))
    numbers = range(lot * LOT, min(size, lot * LOT + LOT))
    jobs = []
    for job in draw(st.sets(st.sampled_from(numbers), min_size=1)):
        own = [0, *(seq for seq, (about, record) in enumerate(earlier, 10) if about == job)]
        over = own[-1] if draw(st.integers(0, 4)) else draw(st.sampled_from(own))
        jobs.append((job, over, draw(st.integers(1, 3))))
    return ClaimedTogether("n", draw(st.sampled_from(["w1", "w2"])), tuple(jobs))


def end_together(draw: st.DrawFn, size: int, earlier: list[tuple[int, AnyRecord]]) -> EndedTogether:
    """Ends of jobs of lots, most of them under a claim that there is; some jobs end twice."""
    claims = [
        (seq, job) for seq, (_, record) in enumerate(earlier, 10) for job, _, _ in getattr(record, "jobs", ())
    ]
    wild = st.tuples(st.integers(0, 9 + len(earlier)), st.integers(0, size - 1))
    one = st.sampled_from(claims[-9:]) if claims else wild
    ends = draw(st.lists(st.one_of(one, one, one, wild), min_size=1, max_size=5))
    kinds = [None, None, None, Failed("n"), Failed("n", final=True), Lost("n"), Released("n")]
    how = [draw(st.sampled_from(kinds)) for _ in ends]
    successes = [Success(*end, 0, 0.5) for end, event in zip(ends, how, strict=True) if event is None]
    others = [Ending(*end, event) for end, event in zip(ends, how, strict=True) if event is not None]
    return EndedTogether("n", "w1", "r1", (ValueRef("d", 1),), tuple(successes), tuple(others))


@st.composite
def logs(draw: st.DrawFn) -> tuple[Graph, list[Stored]]:
    """A graph and any facts about its jobs; the facts of one message have the same sequence."""
    graph = draw(graphs())
    size = len(graph.jobs)
    one = st.tuples(st.integers(0, size - 1), events(size))
    messages: list[tuple[int, AnyRecord]] = []
    for kind in draw(
        st.lists(st.sampled_from(["own", "own", "own", "claim", "claim", "end", "end"]), max_size=40)
    ):
        if kind == "own":
            messages.append(draw(one))
        else:
            make = claim_together if kind == "claim" else end_together
            messages.append((-1, make(draw, size, messages)))
    facts = [
        fact
        for index, (job, record) in enumerate(messages)
        for fact in facts_of(record, job, 10 + index, 100.0 + index)
    ]
    return graph, facts


@st.composite
def with_pauses(draw: st.DrawFn) -> tuple[Graph, list[Stored], list[Stored]]:
    """A graph, a log, and the same log with words about pausing between its messages."""
    graph, facts = draw(logs())
    mixed: list[Stored] = []
    for index, stored in enumerate([*facts, None]):
        if draw(st.integers(0, 3)) == 0:
            on = draw(st.sampled_from([True, True, False, None]))
            mixed.append(Stored(-1, 1000 + index, 1.0, Paused("n", on)))
        mixed += [stored] if stored else []
    return graph, facts, mixed


def told(graph: Graph, facts: list[Stored]) -> RunState:
    state = start(graph, "r.1")
    for stored in facts:
        fold(state, stored)
    return state


# ---------------------------------------------------------------------------- definitions


def needs(graph: Graph, job: int) -> set[int]:
    return {*graph.jobs[job].parents, *graph.jobs[job].after}


def due_by_definition(state: RunState, facts: list[Stored]) -> list[tuple]:
    """What is due, from nothing but each job's state and the log: no counters, no order of events."""
    last = {stored.job: stored.seq for stored in facts if stored.rests_on is None}
    hopeless: set[int] = set()
    found: list[tuple] = []
    for job, spec in enumerate(state.graph.jobs):
        states = {state.jobs[need].state for need in needs(state.graph, job)}
        if state.jobs[job].state is not State.WAITING:
            continue
        if states & BAD or needs(state.graph, job) & hopeless:
            hopeless.add(job)
            found.append(("skip", job, last.get(job, 0)))
        elif states <= {State.DONE} and (spec.turn is None or state.jobs[spec.turn].state in ENDED):
            found.append(("offer", job, last.get(job, 0)))
    return found


def lots_by_definition(size: int, facts: list[Stored]) -> list[int]:
    """Of each lot the last message under its prefix: its claims, and its jobs' own records."""
    lots = [0] * -(-size // LOT)
    for stored in facts:
        if stored.rests_on is None or isinstance(stored.event, Claimed):
            lots[stored.job // LOT] = stored.seq
    return lots


def plainly(actions: list[Action]) -> list[tuple]:
    return [("offer" if isinstance(action, Offer) else "skip", action.job, action.seq) for action in actions]


class Follower:
    """Folds, and keeps what it was told to do and is still due."""

    def __init__(self, graph: Graph, facts: list[Stored]) -> None:
        """Start over from a prefix of the log."""
        self.state = told(graph, facts)
        self.pending = set(due(self.state))

    def tell(self, stored: Stored) -> list[Action]:
        news = fold(self.state, stored)
        now_due = due(self.state)
        assert set(news) <= set(now_due), "fold returned what is not due"
        assert len(set(news)) == len(news)
        self.pending = (self.pending | set(news)) & set(now_due)
        assert self.pending == set(now_due), "something became due and fold did not say so"
        return news


# ---------------------------------------------------------------------------- any log


@CALM
@given(logs())
def test_due_is_what_its_definition_says_and_fold_says_all_of_it(log: tuple[Graph, list[Stored]]) -> None:
    graph, facts = log
    follower = Follower(graph, [])
    assert plainly(due(follower.state)) == due_by_definition(follower.state, [])
    for count, stored in enumerate(facts, start=1):
        waiting = {job for job, now in enumerate(follower.state.jobs) if now.state is State.WAITING}
        before = set(due(follower.state))
        news = follower.tell(stored)
        assert plainly(due(follower.state)) == due_by_definition(follower.state, facts[:count])
        assert not set(news) & before, "already due"
        assert {action.job for action in news} <= waiting | {stored.job}


@CALM
@given(with_pauses())
def test_a_paused_run_offers_nothing_and_resumed_it_is_as_if_it_had_never_been(
    log: tuple[Graph, list[Stored], list[Stored]],
) -> None:
    graph, facts, mixed = log
    follower = Follower(graph, [])
    for stored in mixed:
        news = follower.tell(stored)
        assert not follower.state.paused or not [each for each in news if isinstance(each, Offer)]
    plain, paused = told(graph, facts), follower.state
    assert (paused.jobs, paused.counts, paused.lots) == (plain.jobs, plain.counts, plain.lots)
    assert to_reopen(paused) == to_reopen(plain)
    skips = [each for each in due(plain) if not isinstance(each, Offer)]
    assert due(paused) == (skips if paused.paused else due(plain))
    follower.tell(Stored(-1, 2000, 1.0, Paused("n", False)))
    assert follower.state == replace_pause(plain, follower.state)


def replace_pause(plain: RunState, state: RunState) -> RunState:
    """The run as it would be, with the place of the last word about pausing."""
    plain.pause_seq = state.pause_seq
    return plain


@CALM
@given(logs())
def test_the_numbers_agree_with_the_log(log: tuple[Graph, list[Stored]]) -> None:
    graph, facts = log
    state = told(graph, facts)
    assert {k: n for k, n in state.counts.items() if n} == Counter(now.state for now in state.jobs)
    assert state.settled is all(now.state in ENDED for now in state.jobs)
    assert (run_outcome(state) in ("running", "waiting")) is not state.settled
    for job, now in enumerate(state.jobs):
        spec = graph.jobs[job]
        met = [state.jobs[p].state is State.DONE for p in spec.parents + spec.after]
        assert now.unmet == met.count(False)
        assert now.attempt >= 0
        assert (now.state is State.DONE) is isinstance(now.event, Succeeded)
        assert (now.ended_at is not None) is (now.state in ENDED)
        if now.state is State.WAITING:
            assert now.started_at is None
        assert list(now.history) == sorted(now.history, key=lambda stored: stored.seq)
        assert (now.held > 0) is (now.state is State.RUNNING)
        assert now.seq <= now.mark
    assert state.lots == lots_by_definition(len(graph.jobs), facts)


def without_places(now: JobNow) -> dict:
    """What a job is, apart from where in the log that was said."""
    words = asdict(now)
    words["history"] = [(stored.seq, stored.at, stored.event) for stored in now.history]
    return {name: word for name, word in words.items() if name not in ("seq", "upto", "mark")}


@CALM
@given(logs())
def test_facts_told_together_count_as_if_each_had_been_written_by_compare_and_set(
    log: tuple[Graph, list[Stored]],
) -> None:
    """A claim counts over the own record it was offered on, of a job that waits; an end while nothing
    that the table takes has come after its claim; a Lost while the claim that it names holds the job, and
    a Skipped while no claim of many does. Without the others, and told one by one as jobs' own records,
    it is the same run."""
    graph, facts = log
    state, plain = start(graph, "r.1"), start(graph, "r.1")
    own: dict[int, int] = {}  # job to its own last record
    holds: dict[int, int] = {}  # job to the last fact that the table took, if that is a claim
    for stored in facts:
        job, kind = stored.job, type(stored.event)
        before = replace(state.jobs[job])
        if stored.rests_on is None:
            holder, last = holds.get(job), own.get(job, 0)
            counts = holder is None or not isinstance(stored.event, Lost | Skipped)
            if not counts:  # a Lost is about one claim; a claim of many is no record that a Skipped names
                counts = stored.event.claim in (0, holder) if kind is Lost else holder <= last
            own[job] = stored.seq
        elif kind is Claimed:
            counts = before.state is State.WAITING and own.get(job, 0) == stored.rests_on
        else:
            counts = job in holds and holds[job] == stored.rests_on
        news = fold(state, stored)
        if counts and kind in TRANSITIONS[before.state]:
            holds.pop(job, None)
            if kind is Claimed:
                holds[job] = stored.seq
        if counts:
            fold(plain, Stored(job, stored.seq, stored.at, stored.event))
            assert state.jobs[job].mark == stored.seq
        else:
            place = {"upto": 0} if stored.rests_on is not None else {"upto": 0, "seq": 0, "mark": 0}
            assert news == []
            assert replace(before, **place) == replace(state.jobs[job], **place)
        assert (state.jobs[job].held, state.jobs[job].seq) == (holds.get(job, 0), own.get(job, 0))
    assert [*map(without_places, state.jobs)] == [*map(without_places, plain.jobs)]
    assert state.counts == plain.counts


@CALM
@given(logs(), st.data())
def test_facts_told_again_change_nothing(log: tuple[Graph, list[Stored]], data: st.DataObject) -> None:
    graph, facts = log
    state = start(graph, "r.1")
    for index, stored in enumerate(facts):
        fold(state, stored)
        back = data.draw(st.integers(0, 4), label="how many are told again")
        for again in facts[max(0, index + 1 - back) : index + 1]:
            assert fold(state, again) == []
        # Above all what did not count when it was told: it must not count later.
        assert fold(state, data.draw(st.sampled_from(facts[: index + 1]), label="told again")) == []
    for stored in facts:
        assert fold(state, stored) == []
    assert state == told(graph, facts)


@CALM
@given(logs(), st.data())
def test_starting_over_anywhere_gives_the_same_run(
    log: tuple[Graph, list[Stored]], data: st.DataObject
) -> None:
    graph, facts = log
    cut = data.draw(st.integers(0, len(facts)), label="cut")
    steady, fresh = Follower(graph, []), Follower(graph, facts[:cut])
    for stored in facts:
        steady.tell(stored)
    for stored in facts[cut:]:
        fresh.tell(stored)
    assert fresh.state == steady.state
    assert fresh.pending == steady.pending


@CALM
@given(logs(), st.booleans(), st.booleans(), st.data())
def test_a_retry_leaves_nothing_that_would_be_skipped_again(
    log: tuple[Graph, list[Stored]], include_cancelled: bool, include_done: bool, data: st.DataObject
) -> None:
    graph, facts = log
    state = told(graph, facts)
    everyone = set(range(len(graph.jobs)))
    only = data.draw(st.none() | st.sets(st.sampled_from(sorted(everyone))), label="only")
    chosen = to_reopen(state, only, include_cancelled=include_cancelled, include_done=include_done)
    before = {job: state.jobs[job].state for job in everyone}
    for index, job in enumerate(chosen):
        news = fold(state, Stored(job, 1000 + index, 1000.0, Reopened("n")))
        assert not [action for action in news if isinstance(action, Skip) and action.job in chosen]
    assert {job for job, now in enumerate(state.jobs) if now.because is not None}.isdisjoint(chosen)
    assert include_cancelled or not [job for job in chosen if before[job] is State.CANCELLED]
    assert include_done or not [job for job in chosen if before[job] is State.DONE]
    if only is None and include_cancelled:
        assert not {now.state for now in state.jobs} & BAD, "a whole retry leaves no bad end"


# ---------------------------------------------------------------------------- races


class Log:
    """One total order, and a write only over what its writer names."""

    def __init__(self) -> None:
        self.facts: list[Stored] = []
        self.last: dict[int, int] = {}
        self.lots: dict[int, int] = {}
        """Each lot's last message: of its claims, and of its jobs' own records."""
        self.seq = 0
        self.clock = 100.0

    def write(self, job: int, expected: int, event: AnyEvent) -> Stored | None:
        if self.last.get(job, 0) != expected:
            return None
        [stored] = self._append(event, job)
        self.last[job] = self.lots[job // LOT] = stored.seq
        return stored

    def claim(self, lot: int, expected: int, claim: ClaimedTogether) -> list[Stored]:
        if self.lots.get(lot, 0) != expected:
            return []
        facts = self._append(claim)
        self.lots[lot] = facts[0].seq
        return facts

    def end(self, ended: EndedTogether) -> list[Stored]:
        """Nothing is expected: what of it counts is for the fold to say."""
        return self._append(ended)

    def _append(self, record: AnyRecord, job: int = -1) -> list[Stored]:
        self.seq += 1
        facts = facts_of(record, job, self.seq, self.clock)
        self.facts += facts
        return facts


def up_to(facts: list[Stored], count: int) -> list[Stored]:
    """A prefix of the log with about so many facts: messages are read as a whole."""
    while 0 < count < len(facts) and facts[count].seq == facts[count - 1].seq:
        count += 1
    return facts[: max(0, count)]


LotOffer = tuple[int, int, tuple[Offer, ...]]
"""A lot, its last message when the offer was made, and the jobs that were due."""


class Scheduler:
    """Follows the log at its own pace and does what the fold says, at its own pace."""

    def __init__(self, graph: Graph, facts: list[Stored]) -> None:
        self.state = told(graph, facts)
        self.read = len(facts)
        self.todo = due(self.state)

    def catch_up(self, facts: list[Stored], most: int) -> None:
        for stored in up_to(facts, self.read + most)[self.read :]:
            self.todo += fold(self.state, stored)
            self.read += 1

    def lots(self, clock: float) -> list[LotOffer]:
        """What it could offer together."""
        ready = [act for act in due(self.state) if isinstance(act, Offer) and act.not_before <= clock]
        return [
            (lot, self.state.lots[lot], tuple(offers))
            for lot, offers in groupby(ready, lambda act: act.job // LOT)
        ]


class Races(RuleBasedStateMachine):
    """Two schedulers, any workers, and people; every rule is one thing that one of them does."""

    @initialize(graph=graphs(), broken=st.sets(st.integers(0, 6), max_size=2))
    def submit(self, graph: Graph, broken: set[int]) -> None:
        self.graph = graph
        self.broken = broken  # jobs that fail whenever they get to their end
        self.log = Log()
        self.schedulers = [Scheduler(graph, []), Scheduler(graph, [])]
        self.offers: list[Offer] = []
        self.claims: list[tuple[int, int]] = []  # job and the claim's seq: also of workers that sleep
        self.lot_offers: list[LotOffer] = []
        self.shared_claims: list[tuple[int, int]] = []  # the same of jobs claimed together
        self.shared: set[int] = set()  # jobs that were ever claimed so
        self.witness = Follower(graph, [])
        self.reopened = False
        self.since_reopened: Counter[int] = Counter()  # Succeeded per job
        self.ever_done: set[int] = set()

    def write(self, job: int, expected: int, event: AnyEvent) -> Stored | None:
        """Write, and hold every accepted fact against the guarantees."""
        stored = self.log.write(job, expected, event)
        if stored is not None:
            before = self.witness.state.jobs[job].state
            shared = job in self.shared  # only then may what it rests on have ended unseen
            assert shared or before not in ENDED or isinstance(event, Reopened), "a job has one end"
            self.tell(stored)
        return stored

    def tell(self, stored: Stored) -> None:
        """Have the witness take a fact, and see that it does what the guarantees allow and no more."""
        job, event = stored.job, stored.event
        now = self.witness.state.jobs[job]
        before, result = now.state, now.event
        if isinstance(event, Claimed):
            assert needs(self.graph, job) <= self.ever_done, "claimed before its parents' success"
            if not self.reopened:
                turn = self.graph.jobs[job].turn
                assert turn is None or self.witness.state.jobs[turn].state in ENDED, "out of turn"
        if isinstance(event, Reopened):
            self.since_reopened[job] = 0
            self.reopened = True
        for action in self.witness.tell(stored):
            if isinstance(action, Skip) and not self.reopened:
                root = self.witness.state.jobs[action.because].state
                assert root in (State.FAILED, State.CANCELLED), "not the root of the trouble"
        if before in ENDED and not isinstance(event, Reopened):
            assert (now.state, now.event) == (before, result), "the first end is the job's end"
        if now.state is State.DONE and before is not State.DONE:
            self.since_reopened[job] += 1
            self.ever_done.add(job)
            assert self.since_reopened[job] == 1, "two results"

    # -- schedulers

    @rule(which=st.integers(0, 1), most=st.integers(1, 5))
    def read(self, which: int, most: int) -> None:
        self.schedulers[which].catch_up(self.log.facts, most)

    @rule(which=st.integers(0, 1), pick=st.integers(0, 20))
    def act(self, which: int, pick: int) -> None:
        todo = self.schedulers[which].todo
        if todo:
            self.perform(todo, pick % len(todo))

    def perform(self, todo: list[Action], index: int) -> None:
        action = todo[index]
        if isinstance(action, Skip):
            now = replace(self.witness.state.jobs[action.job])
            self.write(action.job, action.seq, Skipped("n", because=action.because))
            self.unharmed(action.job, now, unless=0)
        elif action.not_before > self.log.clock:
            return
        else:
            self.offers.append(action)
        del todo[index]

    @rule(which=st.integers(0, 1), unread=st.integers(0, 5))
    def crash(self, which: int, unread: int) -> None:
        """All it knew is gone; it starts over from some prefix of the log."""
        facts = self.log.facts
        self.schedulers[which] = Scheduler(self.graph, up_to(facts, len(facts) - unread))

    # -- workers

    @precondition(lambda self: self.offers)
    @rule(pick=st.integers(0, 20), keep=st.booleans())
    def claim(self, pick: int, keep: bool) -> None:
        offer = self.offers[pick % len(self.offers)]
        if not keep:  # otherwise the same offer is delivered once more
            self.offers.remove(offer)
        stored = self.write(offer.job, offer.seq, Claimed("n", attempt=offer.attempt, worker="w"))
        if stored:
            now = self.witness.state.jobs[offer.job]
            shared = offer.job in self.shared  # then it may be the offer of an earlier attempt
            assert shared or now.attempt == offer.attempt, "attempts are numbered through"
            self.claims.append((offer.job, stored.seq))

    @precondition(lambda self: self.claims)
    @rule(pick=st.integers(0, 20), how=st.sampled_from(["end", "end", "end", "fail", "release", "die"]))
    def leave(self, pick: int, how: str) -> None:
        job, seq = self.claims.pop(pick % len(self.claims))
        if how == "release":
            self.write(job, seq, Released("n"))
        elif how == "fail" or (how == "end" and job in self.broken):
            self.write(job, seq, Failed("n"))
        elif how == "end":
            self.write(job, seq, Succeeded("n"))

    @precondition(lambda self: self.claims)
    @rule(pick=st.integers(0, 20))
    def lose(self, pick: int) -> None:
        """A lease ends, though the worker may only be asleep: its claim stays with it."""
        job, seq = self.claims[pick % len(self.claims)]
        self.write(job, seq, Lost("n", claim=seq))

    # -- workers with many short jobs

    @precondition(lambda self: self.graph.policy.on_lost == "retry")
    @rule(which=st.integers(0, 1), pick=st.integers(0, 20), most=st.integers(1, LOT))
    def offer_lot(self, which: int, pick: int, most: int) -> None:
        """Of what a scheduler thinks due, though it may be offered alone as well, or be out of date."""
        lots = self.schedulers[which].lots(self.log.clock)
        if lots:
            lot, seq, offers = lots[pick % len(lots)]
            self.lot_offers.append((lot, seq, offers[:most]))

    @precondition(lambda self: self.lot_offers)
    @rule(pick=st.integers(0, 20), keep=st.booleans())
    def claim_lot(self, pick: int, keep: bool) -> None:
        offer = self.lot_offers[pick % len(self.lot_offers)]
        if not keep:
            self.lot_offers.remove(offer)
        lot, expected, offers = offer
        jobs = tuple((each.job, each.seq, each.attempt) for each in offers)
        for stored, each in zip(
            self.log.claim(lot, expected, ClaimedTogether("n", "w", jobs)), offers, strict=False
        ):
            self.shared.add(stored.job)
            self.tell(stored)
            now = self.witness.state.jobs[stored.job]
            assert now.held == stored.seq, "a claim that was stored gives the worker all its jobs"
            assert now.attempt == each.attempt, "attempts are numbered through"
            self.shared_claims.append((stored.job, stored.seq))

    @precondition(lambda self: self.shared_claims)
    @rule(
        picks=st.lists(st.integers(0, 20), min_size=1, max_size=4),
        how=st.sampled_from(["end", "end", "end", "fail", "release", "lose", "die"]),
        again=st.booleans(),
    )
    def leave_lot(self, picks: list[int], how: str, again: bool) -> None:
        """Several at once, whoever's they are by now. With `again` they will be told once more."""
        chosen = [self.shared_claims[pick % len(self.shared_claims)] for pick in picks]
        if not again:
            self.shared_claims = [each for each in self.shared_claims if each not in chosen]
        if how != "die":
            self.end_together(chosen, how)

    def end_together(self, ended: list[tuple[int, int]], how: str) -> None:
        successes, others = [], []
        for job, claim in ended:
            if how == "end" and job not in self.broken:
                successes.append(Success(claim, job, 0, 0.1))
            else:
                event = {"release": Released, "lose": Lost}.get(how, Failed)("n")
                others.append(Ending(claim, job, event))
        ended = EndedTogether("n", "w", "r", (ValueRef("d", 1),), tuple(successes), tuple(others))
        for stored in self.log.end(ended):
            now = self.witness.state.jobs[stored.job]
            before, counts = replace(now), now.held == stored.rests_on
            self.tell(stored)
            assert now.mark == stored.seq if counts else now == before, (
                "it counts while its claim holds the job"
            )

    @rule(which=st.integers(0, 1), pick=st.integers(0, 20))
    def give_up(self, which: int, pick: int) -> None:
        """A scheduler takes a worker for dead, as far as it has read."""
        seen = self.schedulers[which].state.jobs
        running = [job for job, now in enumerate(seen) if now.state is State.RUNNING]
        if running:
            job = running[pick % len(running)]
            now = replace(self.witness.state.jobs[job])
            self.write(job, seen[job].seq, Lost("n", claim=seen[job].held))
            self.unharmed(job, now, unless=seen[job].held)

    def unharmed(self, job: int, before: JobNow, unless: int) -> None:
        """What was decided on an old view has taken nothing from whoever holds the job by another claim."""
        if before.state is State.RUNNING and before.held != unless:
            now, places = self.witness.state.jobs[job], {"seq": 0, "mark": 0, "upto": 0}
            assert replace(now, **places) == replace(before, **places)

    # -- people and time

    @rule(pick=st.integers(0, 20))
    def cancel_one(self, pick: int) -> None:
        job = pick % len(self.graph.jobs)
        now = self.witness.state.jobs[job]
        if now.state not in ENDED:
            self.write(job, now.seq, Cancelled("n"))

    @precondition(lambda self: len(self.log.facts) > 12)
    @rule()
    def cancel_all(self) -> None:
        for job, seq in to_cancel(self.witness.state):
            self.write(job, seq, Cancelled("n"))
        assert self.witness.state.settled

    @precondition(lambda self: len(self.log.facts) > 6)
    @rule(lag=st.integers(0, 3), everything=st.booleans())
    def retry(self, lag: int, everything: bool) -> None:
        """From a view that may be a little old: then some of the writes are refused."""
        facts = self.log.facts
        seen = told(self.graph, up_to(facts, len(facts) - lag))
        for job in to_reopen(seen, include_done=everything):
            self.write(job, seen.jobs[job].seq, Reopened("n"))

    @rule(seconds=st.sampled_from([1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.log.clock += seconds

    # -- what holds at every moment, and at the end

    @invariant()
    def due_is_what_it_says(self) -> None:
        if hasattr(self, "log"):
            state = self.witness.state
            assert plainly(due(state)) == due_by_definition(state, self.log.facts)
            assert state.lots == lots_by_definition(len(state.jobs), self.log.facts)
            assert {lot: seq for lot, seq in enumerate(state.lots) if seq} == self.log.lots
            assert all((now.held > 0) is (now.state is State.RUNNING) for now in state.jobs)

    def teardown(self) -> None:
        """From wherever it was left, a run that is let go on comes to its end."""
        if not hasattr(self, "log"):
            return
        policy = self.graph.policy
        for _ in range(len(self.graph.jobs) * (policy.retries + policy.lost_retries + 4)):
            if self.witness.state.settled:
                break
            self.one_fair_round()
        assert self.witness.state.settled, "the run never ends"
        for scheduler in self.schedulers:
            scheduler.catch_up(self.log.facts, len(self.log.facts))
            assert scheduler.state == self.witness.state == told(self.graph, self.log.facts)
            assert due(scheduler.state) == []

    def one_fair_round(self) -> None:
        """Every scheduler reads and acts, every offer is taken, every worker ends or is given up."""
        self.log.clock += 1000.0
        for scheduler in self.schedulers:
            scheduler.catch_up(self.log.facts, len(self.log.facts))
            while scheduler.todo:
                self.perform(scheduler.todo, 0)
        while self.offers:
            self.claim(0, keep=False)
        while self.lot_offers:
            self.claim_lot(0, keep=False)
        while self.claims:
            self.leave(0, "end")
        if self.shared_claims:
            self.end_together(self.shared_claims, "end")
            self.shared_claims = []
        for job, now in enumerate(self.witness.state.jobs):
            if now.state is State.RUNNING:
                self.write(job, now.seq, Lost("n", claim=now.held))


TestRaces = Races.TestCase
TestRaces.settings = settings(
    deadline=None,
    max_examples=200,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
