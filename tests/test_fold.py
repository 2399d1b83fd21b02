"""One job's table, and what jobs mean for one another, case by case.

test_fold_runs.py holds the same code to its promises under random logs, crashes and races.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from msgspec.structs import replace

from elfbook.errors import InternalError
from elfbook.facts import (
    LOT,
    AnyEvent,
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
    Unreadable,
    told,
)
from elfbook.log.doubt import in_doubt
from elfbook.log.fold import (
    Offer,
    RunState,
    Skip,
    backoff,
    due,
    fold,
    offer_of,
    policy_of,
    roots_of_trouble,
    run_outcome,
    start,
    to_cancel,
    to_reopen,
)
from elfbook.log.states import counts_still
from elfbook.model import Failure, Graph, JobSpec, Policy, ValueRef

CLAIMED, RELEASED, SUCCEEDED = Claimed("n", worker="w1"), Released("n"), Succeeded("n", worker="w1")
FAILED, BROKEN, LOST = Failed("n"), Failed("n", final=True), Lost("n")
SKIPPED, CANCELLED, REOPENED = Skipped("n", because=0), Cancelled("n"), Reopened("n")
PROMPT = Policy(retries=2, lost_retries=1, backoff_s=0.0)


def job(*parents: int, **more: object) -> JobSpec:
    return JobSpec(elf=0, task="task_t", arguments=b"", parents=parents, **more)


def graph(*jobs: JobSpec, policy: Policy = Policy()) -> Graph:  # noqa: B008 - it is frozen
    return Graph(elves=(), jobs=jobs, result=b"", policy=policy)


class Told:
    """A run that is told facts; sequence numbers and times go up by themselves, from 1 and 101.0."""

    def __init__(self, *jobs: JobSpec, policy: Policy = PROMPT) -> None:
        self.state: RunState = start(graph(*jobs, policy=policy), "party.1")
        self.seq = 0

    def __call__(self, number: int, *events: AnyEvent) -> list[Offer | Skip]:
        """What the last of the facts makes due."""
        actions: list[Offer | Skip] = []
        for event in events:
            self.seq += 1
            actions = fold(self.state, Stored(number, self.seq, 100.0 + self.seq, event))
        return actions

    def together(self, number: int, event: AnyEvent, rests_on: int) -> list[Offer | Skip]:
        """What a fact that was told together with others makes due."""
        self.seq += 1
        return fold(self.state, Stored(number, self.seq, 100.0 + self.seq, event, rests_on))

    def pause(self, on: bool | None = True, why: str = "") -> list[Offer | Skip]:
        """What pausing the run, or letting it go on, makes due."""
        self.seq += 1
        return fold(self.state, Stored(-1, self.seq, 100.0 + self.seq, Paused("n", on, why)))

    def states(self) -> str:
        return " ".join(now.state for now in self.state.jobs)


# ---------------------------------------------------------------------------- the table

WAYS: dict[str, list[AnyEvent]] = {
    "waiting": [],
    "running": [CLAIMED],
    "done": [CLAIMED, SUCCEEDED],
    "failed": [CLAIMED, BROKEN],
    "cancelled": [CANCELLED],
    "skipped": [SKIPPED],
}
FACTS: dict[str, AnyEvent] = {
    "claimed": CLAIMED,
    "released": RELEASED,
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "final": BROKEN,
    "lost": LOST,
    "skipped": SKIPPED,
    "cancelled": CANCELLED,
    "reopened": REOPENED,
}
# "-" where the fact is ignored; `failed` and `lost` with budget left.
TABLE = """
            claimed  released  succeeded  failed   final   lost     skipped  cancelled  reopened
waiting     running  -         -          waiting  failed  -        skipped  cancelled  waiting
running     running  waiting   done       waiting  failed  waiting  skipped  cancelled  waiting
done        -        -         -          -        -       -        -        -          waiting
failed      -        -         -          -        -       -        -        -          waiting
cancelled   -        -         -          -        -       -        -        -          waiting
skipped     -        -         -          -        -       -        -        -          waiting
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(row[0], fact, after) for row in rows for fact, after in zip(head, row[1:], strict=True)]


def test_the_table_here_is_whole() -> None:
    assert {before for before, _, _ in cells()} == set(WAYS) == set(State)
    assert {fact for _, fact, _ in cells()} == set(FACTS)


@pytest.mark.parametrize(("before", "fact", "after"), cells())
def test_each_cell_of_the_table(before: str, fact: str, after: str) -> None:
    run = Told(job())
    run(0, *WAYS[before])
    last = run.state.jobs[0].event
    actions = run(0, FACTS[fact])
    now = run.state.jobs[0]
    assert now.state == (before if after == "-" else after)
    assert now.event is (last if after == "-" else FACTS[fact])
    assert now.seq == run.seq, "an ignored fact is still the record that the next write expects"
    assert [action.seq for action in actions] == ([run.seq] if now.state == "waiting" else [])
    assert {state: count for state, count in run.state.counts.items() if count} == {now.state: 1}


@pytest.mark.parametrize("before", WAYS)
@pytest.mark.parametrize("fact", FACTS)
def test_an_old_fact_changes_nothing(before: str, fact: str) -> None:
    told, fresh = Told(job()), Told(job())
    told(0, CLAIMED, RELEASED, *WAYS[before])
    fresh(0, CLAIMED, RELEASED, *WAYS[before])
    for seq in (1, told.seq):
        assert fold(told.state, Stored(0, seq, 999.0, FACTS[fact])) == []
    assert told.state == fresh.state


def test_a_fact_about_no_job_is_our_bug() -> None:
    for number in (-1, 1):
        with pytest.raises(InternalError, match=f"job {number} of 1"):
            fold(start(graph(job())), Stored(number, 1, 0.0, CLAIMED))


# ---------------------------------------------------------------------------- facts told together

# In words, what was told before (each with what it rested on; None for a record of the job's own), the
# fact, what it rests on (a claim on an own record, an end on its claim), and whether it counts.
RESTING: list[tuple[str, list[tuple[AnyEvent, int | None]], AnyEvent, int, bool]] = [
    ("a job without a record", [], CLAIMED, 0, True),
    ("another record than it has", [], CLAIMED, 1, False),
    ("its own record", [(CLAIMED, None), (RELEASED, None)], CLAIMED, 2, True),
    ("an own record that is not the last", [(CLAIMED, None), (RELEASED, None)], CLAIMED, 1, False),
    ("a job that another claim of many holds", [(CLAIMED, 0)], CLAIMED, 0, False),
    ("a job with a claim of its own", [(CLAIMED, None)], CLAIMED, 1, False),
    ("given back by the claim before", [(CLAIMED, 0), (RELEASED, 1)], CLAIMED, 0, True),
    ("given back, resting on the claim", [(CLAIMED, 0), (RELEASED, 1)], CLAIMED, 1, False),
    ("lost by its own record", [(CLAIMED, 0), (LOST, None)], CLAIMED, 2, True),
    ("lost since the offer", [(CLAIMED, 0), (LOST, None)], CLAIMED, 0, False),
    ("cancelled", [(CANCELLED, None)], CLAIMED, 1, False),
    ("done", [(CLAIMED, 0), (SUCCEEDED, 1)], CLAIMED, 0, False),
    ("failed", [(CLAIMED, 0), (BROKEN, 1)], CLAIMED, 0, False),
    ("reopened", [(CANCELLED, None), (REOPENED, None)], CLAIMED, 2, True),
    ("reopened since the offer", [(CANCELLED, None), (REOPENED, None)], CLAIMED, 0, False),
    *(
        (f"{event.__class__.__name__} after {name}", facts, event, claim, counts)
        for event in (SUCCEEDED, FAILED, BROKEN, LOST, RELEASED)
        for name, facts, claim, counts in [
            ("its claim", [(CLAIMED, 0)], 1, True),
            ("the claim before it", [(CLAIMED, 0), (RELEASED, 1), (CLAIMED, 0)], 1, False),
            ("the second claim", [(CLAIMED, 0), (RELEASED, 1), (CLAIMED, 0)], 3, True),
            ("no claim", [], 0, False),
            ("the end of its claim", [(CLAIMED, 0), (SUCCEEDED, 1)], 1, False),
            ("a failure", [(CLAIMED, 0), (FAILED, 1)], 1, False),
            ("a loss", [(CLAIMED, 0), (LOST, None)], 1, False),
            ("a cancel", [(CLAIMED, 0), (CANCELLED, None)], 1, False),
            ("a skip from before its claim", [(CLAIMED, 0), (SKIPPED, None)], 1, True),
            ("a loss of another claim", [(CLAIMED, 0), (Lost("n", claim=9), None)], 1, True),
            ("a retry", [(CLAIMED, 0), (REOPENED, None)], 1, False),
            ("a claim of its own over it", [(CLAIMED, 0), (CLAIMED, None)], 1, False),
            ("a claim that did not count", [(CLAIMED, 0), (CLAIMED, 0)], 1, True),
            ("only a claim that did not count", [(CLAIMED, None), (CLAIMED, 1)], 2, False),
        ]
    ),
]


LEADS_TO: dict[type, Callable[[AnyEvent], str]] = {
    Claimed: lambda _: "running",
    Succeeded: lambda _: "done",
    Released: lambda _: "waiting",
    Lost: lambda _: "waiting",
    Failed: lambda event: "failed" if event.final else "waiting",
}


@pytest.mark.parametrize(
    ("facts", "event", "rests_on", "counts"), [row[1:] for row in RESTING], ids=[row[0] for row in RESTING]
)
def test_what_is_told_together_counts_while_it_rests_on_what_is_so(
    facts: list[tuple[AnyEvent, int | None]], event: AnyEvent, rests_on: int, counts: bool
) -> None:
    run = Told(job(), policy=Policy(retries=9, lost_retries=9, backoff_s=0.0))
    for each, over in facts:
        run(0, each) if over is None else run.together(0, each, over)
    now = run.state.jobs[0]
    before = replace(now)
    assert counts_still(now, Stored(0, run.seq + 1, 0.0, event, rests_on)) is counts
    actions = run.together(0, event, rests_on)
    if not counts:
        assert actions == []
        assert replace(now, upto=0) == replace(before, upto=0)
        return
    assert (now.event, now.mark, now.seq) == (event, run.seq, before.seq), "it is no record of the job's own"
    assert now.held == (run.seq if event is CLAIMED else 0)
    assert now.state == LEADS_TO[type(event)](event)
    offers = [Offer(0, now.seq, now.attempt + 1, now.not_before)] if now.state == "waiting" else []
    assert actions == offers


ONCE, TWICE = [(CLAIMED, 0)], [(CLAIMED, 0), (RELEASED, 1), (CLAIMED, 0)]


@pytest.mark.parametrize(
    ("before", "event", "state"),
    [
        (ONCE, Lost("n", claim=1), "waiting"),
        (ONCE, Lost("n"), "waiting"),
        (TWICE, Lost("n", claim=1), "running"),
        (TWICE, Lost("n", claim=3), "waiting"),
        ([(CLAIMED, None)], Lost("n", claim=1), "waiting"),
        ([(CLAIMED, None)], Lost("n", claim=2), "running"),
        ([(CLAIMED, 0), (RELEASED, 1)], Lost("n", claim=1), "waiting"),
        (ONCE, SKIPPED, "running"),
        ([(CLAIMED, None)], SKIPPED, "skipped"),
        ([(CLAIMED, 0), (RELEASED, 1)], SKIPPED, "skipped"),
        (ONCE, CANCELLED, "cancelled"),
        (ONCE, REOPENED, "waiting"),
        (TWICE, BROKEN, "failed"),
    ],
)
def test_what_was_decided_before_a_claim_of_many_takes_nothing_from_it(
    before: list[tuple[AnyEvent, int | None]], event: AnyEvent, state: str
) -> None:
    """Lost is about the claim that it names, Skipped about a job that nobody holds."""
    run = Told(job(), policy=PROMPT)
    for each, over in before:
        run(0, each) if over is None else run.together(0, each, over)
    now = run.state.jobs[0]
    was = replace(now)
    run(0, event)
    assert run.states() == state
    assert (now.seq, now.mark, run.state.lots) == (run.seq, run.seq, [run.seq]), "it is the last record"
    if state == "running":
        assert replace(now, seq=0, mark=0, upto=0) == replace(was, seq=0, mark=0, upto=0)
        run.together(0, SUCCEEDED, was.held)
        assert run.states() == "done"


def test_of_two_ends_in_one_message_the_one_that_counts_counts() -> None:
    """A worker may tell what came of an earlier claim together with the end of its present one."""
    for first in (1, 3):
        run = Told(job())
        run.together(0, CLAIMED, 0)
        run(0, LOST)
        run.together(0, CLAIMED, 2)
        for claim in (first, 4 - first):
            fold(run.state, Stored(0, 4, 104.0, SUCCEEDED, claim))
        assert run.states() == "done"
        assert run.state.jobs[0].attempt == 2


def test_claims_and_own_records_move_a_lot_on_and_shared_ends_do_not() -> None:
    run = Told(*(job() for _ in range(LOT + 1)))
    assert run.state.lots == [0, 0]
    run.together(0, CLAIMED, 0)
    run.together(1, CLAIMED, 0)
    assert run.state.lots == [2, 0]
    run.together(0, SUCCEEDED, 1)
    assert run.state.lots == [2, 0]
    run(LOT, CLAIMED)
    assert run.state.lots == [2, 4]
    run(1, CANCELLED)
    run(1, SUCCEEDED)  # ignored, and a record under the lot's prefix all the same
    assert run.state.lots == [6, 4]
    run.together(1, CLAIMED, 0)  # ignored, and a message under it as well
    assert run.state.lots == [7, 4]


def test_each_message_tells_its_facts() -> None:
    claim = ClaimedTogether("n", "w1", ((3, 0, 1), (5, 7, 2)))
    assert told(claim, -1, 9, 1.5) == [
        Stored(3, 9, 1.5, Claimed("n", 1, "w1"), 0),
        Stored(5, 9, 1.5, Claimed("n", 2, "w1"), 7),
    ]
    values = (ValueRef("a", 1), ValueRef("b", 2))
    ended = EndedTogether(
        "n", "w1", "r1", values, (Success(9, 5, 1, 0.5), Success(9, 3, 0, 0.25)), (Ending(8, 4, LOST),)
    )
    assert told(ended, -1, 10, 2.5) == [
        Stored(5, 10, 2.5, Succeeded("n", 0, values[1], "w1", 0.5, "r1"), 9),
        Stored(3, 10, 2.5, Succeeded("n", 0, values[0], "w1", 0.25, "r1"), 9),
        Stored(4, 10, 2.5, LOST, 8),
    ]
    assert told(FAILED, 2, 3, 0.5) == [Stored(2, 3, 0.5, FAILED)]


# ---------------------------------------------------------------------------- pause and resume


@pytest.mark.parametrize("before", WAYS)
@pytest.mark.parametrize("fact", FACTS)
def test_a_paused_run_offers_nothing_and_all_else_goes_on(before: str, fact: str) -> None:
    paused, plain = Told(job()), Told(job())
    for run in (paused, plain):
        run(0, *WAYS[before])
    assert paused.pause() == []
    plain.seq += 1  # so that both have the same sequences
    assert [each for each in paused(0, FACTS[fact]) if isinstance(each, Offer)] == []
    plain(0, FACTS[fact])
    assert paused.state.jobs == plain.state.jobs
    assert due(paused.state) == []
    assert paused.pause(on=False) == due(plain.state)


def test_only_the_last_word_about_a_pause_counts() -> None:
    run = Told(job(), job(0))
    offer = Offer(0, 0, 1)
    for on, news, after in [
        (False, [], [offer]), (True, [], []), (True, [], []), (None, [], []), (False, [offer], [offer]),
        (None, [], [offer]), (True, [], []),
    ]:  # fmt: skip
        assert (run.pause(on), due(run.state)) == (news, after)
        assert run.state.pause_seq == run.seq, "what the next record expects"
    for seq in (1, run.seq):
        assert fold(run.state, Stored(-1, seq, 1.0, Paused("n", False))) == []
        assert run.state.paused, "an old word changes nothing"


def test_a_pause_says_why_until_the_run_goes_on() -> None:
    run = Told(job())
    run.pause(why="the machine is needed")
    assert (run.state.pause_why, run_outcome(run.state)) == ("the machine is needed", "paused")
    run.pause(None)
    assert (run.state.pause_why, run_outcome(run.state)) == ("the machine is needed", "paused")
    run.pause(False)
    assert (run.state.pause_why, run_outcome(run.state)) == ("", "waiting")


def test_what_cannot_start_is_skipped_while_its_run_is_paused() -> None:
    run = Told(job(), job(0), job())
    run(0, CLAIMED)
    run.pause()
    assert run(0, BROKEN) == [Skip(1, 0, 0)]
    assert due(run.state) == [Skip(1, 0, 0)]
    run(1, Skipped("n", because=0))
    assert run.pause(on=False) == [Offer(2, 0, 1)], "no skip is said again"


def test_a_paused_run_settles_all_the_same() -> None:
    run = Told(job())
    run(0, CLAIMED)
    run.pause()
    assert run_outcome(run.state) == "paused"
    run(0, SUCCEEDED)
    assert (run.state.settled, run_outcome(run.state)) == (True, "done")


def test_a_retry_and_a_cancel_of_a_paused_run_count() -> None:
    run = Told(job(), job())
    run(0, CLAIMED, BROKEN)
    run.pause()
    assert to_reopen(run.state) == [0]
    assert run(0, REOPENED) == []
    assert to_cancel(run.state) == [(1, 0), (0, run.seq)]
    run(1, CANCELLED)
    assert run.pause(on=False) == [Offer(0, 4, 2)]


def test_a_claim_that_cannot_be_read_may_be_of_an_offer_from_before_the_pause() -> None:
    run = Told(job(), job(0))
    run.pause()
    assert offer_of(run.state, 0) == Offer(0, 0, 1) and due(run.state) == []
    for stored in in_doubt(run.state, Stored(-1, 9, 1.0, Unreadable("", 0, Failure("StoreCorrupt", "gone"), lot=0))):
        fold(run.state, stored)
    assert run.states() == "failed waiting"


# ---------------------------------------------------------------------------- attempts and budgets


@pytest.mark.parametrize(
    ("policy", "facts", "state", "tried", "lost"),
    [
        (Policy(retries=0), [CLAIMED, FAILED], "failed", 1, 0),
        (Policy(retries=2), [CLAIMED, FAILED] * 2, "waiting", 2, 0),
        (Policy(retries=2), [CLAIMED, FAILED] * 3, "failed", 3, 0),
        (Policy(retries=2), [CLAIMED, BROKEN], "failed", 1, 0),
        (Policy(retries=0, lost_retries=2), [CLAIMED, LOST] * 2, "waiting", 0, 2),
        (Policy(retries=9, lost_retries=2), [CLAIMED, LOST] * 3, "failed", 0, 3),
        (Policy(retries=9, lost_retries=9, on_lost="fail"), [CLAIMED, LOST], "failed", 0, 1),
        (Policy(retries=1, on_lost="fail"), [CLAIMED, FAILED], "waiting", 1, 0),
        (Policy(retries=1, lost_retries=1), [CLAIMED, LOST, CLAIMED, FAILED], "waiting", 1, 1),
        (Policy(retries=1, lost_retries=1), [CLAIMED, LOST, CLAIMED, FAILED, CLAIMED, LOST], "failed", 1, 2),
        (Policy(retries=0, lost_retries=0), [CLAIMED, RELEASED] * 9, "waiting", 0, 0),
        (Policy(retries=1), [FAILED, FAILED], "failed", 2, 0),
        (Policy(retries=1), [CLAIMED, FAILED, REOPENED, CLAIMED, FAILED], "waiting", 1, 0),
        (Policy(lost_retries=1), [CLAIMED, LOST, CLAIMED, LOST, REOPENED, CLAIMED, LOST], "waiting", 0, 1),
        (Policy(retries=1), [CLAIMED, FAILED, REOPENED], "waiting", 0, 0),
    ],
)
def test_budgets(policy: Policy, facts: list[AnyEvent], state: str, tried: int, lost: int) -> None:
    run = Told(job(), policy=policy)
    run(0, *facts)
    now = run.state.jobs[0]
    assert (now.state, now.tried, now.lost) == (state, tried, lost)


SLOW, LARGE = Failed("n", outcome="timed out"), Failed("n", outcome="out of memory")
OVERDUE = Failed("n", outcome="timed out", final=True)


@pytest.mark.parametrize(
    ("policy", "facts", "state"),
    [
        (Policy(), [CLAIMED, LARGE], "waiting"),  # one more try is allowed unasked
        (Policy(retries=9), [CLAIMED, LARGE] * 2, "failed"),
        (Policy(memory_retries=2), [CLAIMED, LARGE] * 2, "waiting"),
        (Policy(memory_retries=0), [CLAIMED, LARGE], "failed"),
        (Policy(memory_retries=9, on_lost="fail"), [CLAIMED, LARGE], "failed"),
        (Policy(), [CLAIMED, SLOW], "failed"),
        (Policy(retries=2), [CLAIMED, SLOW] * 2, "waiting"),  # as many as for exceptions, and apart
        (Policy(retries=2), [CLAIMED, SLOW] * 3, "failed"),
        (Policy(retries=2), [CLAIMED, SLOW, CLAIMED, FAILED] * 2, "waiting"),
        (Policy(retries=0, timeout_retries=1), [CLAIMED, SLOW], "waiting"),
        (Policy(retries=9, timeout_retries=0), [CLAIMED, SLOW], "failed"),
        (Policy(retries=9, timeout_retries=9), [CLAIMED, OVERDUE], "failed"),
        (Policy(retries=9), [OVERDUE], "failed"),  # a run's limit also ends what has not begun
        (
            Policy(retries=1, lost_retries=1, memory_retries=1, timeout_retries=1),
            [CLAIMED, FAILED, CLAIMED, LOST, CLAIMED, LARGE, CLAIMED, SLOW],
            "waiting",
        ),
        (Policy(), [CLAIMED, LARGE, REOPENED, CLAIMED, LARGE], "waiting"),
        (Policy(retries=1), [CLAIMED, SLOW, REOPENED, CLAIMED, SLOW], "waiting"),
    ],
)
def test_memory_and_time_have_budgets_of_their_own(policy: Policy, facts: list[AnyEvent], state: str) -> None:
    run = Told(job(), policy=policy)
    run(0, *facts)
    assert run.state.jobs[0].state == state


def test_a_task_may_have_limits_of_its_own() -> None:
    run = Told(job(retries=1, timeout_s=9.0), job(limit="api:2"), policy=Policy(retries=0, lost_retries=5))
    assert policy_of(run.state.graph, 0) == Policy(retries=1, timeout_s=9.0, lost_retries=5)
    assert policy_of(run.state.graph, 1) == Policy(limit="api:2", lost_retries=5)
    for number, state in ((0, "waiting"), (1, "failed")):
        run(number, CLAIMED, FAILED)
        assert run.state.jobs[number].state == state
    assert policy_of(graph(job(retries=0), policy=Policy(retries=3)), 0).retries == 0


@pytest.mark.parametrize(
    ("facts", "attempt"),
    [
        ([], 1),
        ([CLAIMED, RELEASED], 1),
        ([CLAIMED, FAILED], 2),
        ([CLAIMED, FAILED, CLAIMED, RELEASED], 2),
        ([CLAIMED, FAILED, CLAIMED, LOST], 3),
        ([CLAIMED, CLAIMED, LOST], 3),
        ([CLAIMED, SUCCEEDED, REOPENED], 2),
        ([CLAIMED, REOPENED], 2),
        ([FAILED], 1),
    ],
)
def test_attempts_are_numbered_through(facts: list[AnyEvent], attempt: int) -> None:
    run = Told(job())
    run(0, *facts)
    [offer] = due(run.state)
    assert (offer.attempt, run.state.jobs[0].attempt) == (attempt, attempt - 1)


def test_an_attempt_that_had_begun_counts_though_it_was_given_back_and_costs_no_budget() -> None:
    run = Told(job(), policy=Policy(retries=0, lost_retries=0, backoff_s=0.0))
    for attempt in range(1, 6):
        assert run(0, CLAIMED) == []
        (offer,) = run(0, Released("n", begun=True))
        assert (offer.attempt, run.states()) == (attempt + 1, "waiting")
    assert (run.state.jobs[0].tried, run.state.jobs[0].lost) == (0, 0)


def test_times_worker_and_history_of_a_job() -> None:
    run = Told(job())

    def seen() -> tuple:
        now = run.state.jobs[0]
        return now.started_at, now.ended_at, now.worker

    assert seen() == (None, None, "")
    run(0, CLAIMED)
    assert seen() == (101.0, None, "w1")
    run(0, Claimed("n", worker="w2"))
    assert seen() == (102.0, None, "w2")
    run(0, FAILED)
    assert seen() == (None, None, "")
    run(0, CLAIMED, RELEASED)
    assert seen() == (None, None, "")
    run(0, CLAIMED, SUCCEEDED)
    assert seen() == (106.0, 107.0, "w1")
    run(0, REOPENED)
    assert seen() == (None, None, "")
    run(0, CLAIMED, LOST, CANCELLED)
    assert seen() == (None, 111.0, "")
    run(0, REOPENED, SKIPPED)
    ends = [FAILED, SUCCEEDED, LOST, CANCELLED, SKIPPED]
    assert [stored.event for stored in run.state.jobs[0].history] == ends
    assert [stored.seq for stored in run.state.jobs[0].history] == [3, 7, 10, 11, 13]


def test_reopened_brings_code_and_keeps_it_when_it_names_none() -> None:
    code = ValueRef(digest="d", size=1)
    run = Told(job())
    run(0, CLAIMED, BROKEN, Reopened("n", revision="r2", code=code))
    assert (run.state.jobs[0].revision, run.state.jobs[0].code) == ("r2", code)
    run(0, CLAIMED, BROKEN, Reopened("n"))
    assert (run.state.jobs[0].revision, run.state.jobs[0].code) == ("r2", code)
    run(0, CLAIMED, BROKEN, Reopened("n", revision="r1"))
    assert (run.state.jobs[0].revision, run.state.jobs[0].code) == ("r1", None)


# ---------------------------------------------------------------------------- back-off


def test_backoff_doubles_within_its_limit() -> None:
    policy = Policy(backoff_s=1.0, backoff_limit_s=10.0)
    for tried, full in enumerate([1.0, 2.0, 4.0, 8.0, 10.0, 10.0], start=1):
        waits = [backoff(policy, "party.1", number, tried) for number in range(200)]
        assert full / 2 <= min(waits) < 0.55 * full
        assert 0.95 * full < max(waits) <= full
        assert len(set(waits)) == 200, "jobs that failed together do not come back together"


def test_backoff_differs_between_runs_and_tries() -> None:
    flat = Policy(backoff_s=5.0, backoff_limit_s=5.0)
    waits = {backoff(flat, run, 0, tried) for run in ("party.1", "party.2") for tried in range(1, 11)}
    assert len(waits) == 20


@pytest.mark.parametrize("tried", [1, 64, 1_100, 10**6])
def test_backoff_never_overflows(tried: int) -> None:
    assert backoff(Policy(backoff_s=0.0), "r", 0, tried) == 0.0
    assert backoff(Policy(backoff_s=1e300, backoff_limit_s=60.0), "r", 0, tried) <= 60.0


def test_backoff_is_the_same_in_every_process() -> None:
    """A number written down once: hashes that differ by process, or a new formula, show here."""
    assert backoff(Policy(), "party.1", 7, 3) == pytest.approx(3.4275637180058, abs=1e-9)


@pytest.mark.parametrize("bad", [FAILED, LOST])
def test_another_attempt_waits_and_a_released_one_does_not(bad: AnyEvent) -> None:
    policy = Policy(retries=1, lost_retries=1)
    run = Told(job(), policy=policy)
    assert run(0, CLAIMED, bad) == [Offer(0, 2, 2, 102.0 + backoff(policy, "party.1", 0, 1))]
    assert run(0, CLAIMED, RELEASED) == [Offer(0, 4, 2)]
    assert run(0, CLAIMED, bad, REOPENED) == [Offer(0, 7, 3)]


def test_a_person_who_reopens_does_not_wait_for_the_back_off() -> None:
    run = Told(job(), policy=Policy(retries=5))
    assert run(0, CLAIMED, FAILED)[0].not_before > 102.0
    assert run(0, REOPENED) == [Offer(0, 3, 2)]


# ---------------------------------------------------------------------------- parents


def test_a_job_is_offered_when_the_last_parent_is_done() -> None:
    run = Told(job(), job(), job(0, after=(1,)))
    assert due(run.state) == [Offer(0, 0, 1), Offer(1, 0, 1)]
    assert run(0, CLAIMED, SUCCEEDED) == []
    assert run(1, CLAIMED, SUCCEEDED) == [Offer(2, 0, 1)]
    assert due(run.state) == [Offer(2, 0, 1)]
    assert run(2, CLAIMED, SUCCEEDED) == due(run.state) == []


def test_a_parent_named_twice_counts_as_one() -> None:
    run = Told(job(), job(0, after=(0, 0)))
    assert run(0, CLAIMED, SUCCEEDED) == [Offer(1, 0, 1)]
    assert run(0, REOPENED) == [Offer(0, 3, 2)]
    assert run(0, CLAIMED, BROKEN) == [Skip(1, 0, 0)]


@pytest.mark.parametrize("bad", [[CLAIMED, BROKEN], [CANCELLED]])
def test_a_bad_end_skips_all_that_wait_for_it_at_once(bad: list[AnyEvent]) -> None:
    run = Told(job(), job(0), job(after=(1,)), job(), job(2, 3), job(3), policy=PROMPT)
    skips = [Skip(1, 0, 0), Skip(2, 0, 0), Skip(4, 0, 0)]
    assert run(0, *bad) == skips
    assert due(run.state) == [*skips[:2], Offer(3, 0, 1), skips[2]]
    assert run(1, SKIPPED) == []
    assert due(run.state) == [skips[1], Offer(3, 0, 1), skips[2]]
    assert run(3, CLAIMED, SUCCEEDED) == [Offer(5, 0, 1)], "what does not depend on it goes on"


def test_a_skip_names_the_root_and_not_the_job_in_between() -> None:
    run = Told(job(), job(), job(1), job(2))
    run(1, CLAIMED, BROKEN)
    run(2, Skipped("n", because=1))
    assert due(run.state) == [Offer(0, 0, 1), Skip(3, 0, 1)]
    run(3, Skipped("n", because=1))
    assert roots_of_trouble(run.state) == {1: [2, 3]}


def test_the_first_root_is_named_and_the_second_after_it_is_mended() -> None:
    run = Told(job(), job(), job(0, 1))
    assert run(1, CLAIMED, BROKEN) == [Skip(2, 0, 1)]
    assert run(0, CLAIMED, BROKEN) == [], "already due"
    run(2, Skipped("n", because=1))
    run(1, REOPENED)
    assert run(2, REOPENED) == [Skip(2, run.seq, 0)]


def test_trouble_while_a_job_runs_concerns_it_only_if_it_waits_again() -> None:
    run = Told(job(), job(0), job(1))
    run(0, CLAIMED, SUCCEEDED)
    run(1, CLAIMED)
    assert run(0, REOPENED, CLAIMED, BROKEN) == []
    assert run(1, FAILED) == [Skip(1, run.seq, 0), Skip(2, 0, 0)]
    assert run(1, CLAIMED) == [], "an old offer that was claimed before the skip"
    assert due(run.state) == []
    assert run(1, SUCCEEDED) == [Offer(2, 0, 1)]


# ---------------------------------------------------------------------------- reopened


def test_a_retry_waits_for_its_parents_and_runs_them_first() -> None:
    run = Told(job(), job(0), job(1))
    run(0, CLAIMED, BROKEN)
    run(1, SKIPPED)
    run(2, SKIPPED)
    assert to_reopen(run.state) == [0, 1, 2]
    assert run(0, REOPENED) == [Offer(0, 5, 2)]
    assert run.states() == "waiting skipped skipped", "the skipped stay so until their own Reopened"
    assert run(1, REOPENED) == run(2, REOPENED) == []
    assert run(0, CLAIMED, SUCCEEDED) == [Offer(1, 6, 1)]


def test_a_skipped_job_stays_so_when_its_parent_gets_well() -> None:
    run = Told(job(), job(0))
    run(0, CLAIMED, BROKEN)
    run(1, SKIPPED)
    assert run(0, REOPENED, CLAIMED, SUCCEEDED) == []
    assert run.states() == "done skipped"
    assert run(1, REOPENED) == [Offer(1, run.seq, 1)]


def test_what_was_not_yet_skipped_waits_again() -> None:
    run = Told(job(), job(0), job(1))
    assert run(0, CLAIMED, BROKEN) == [Skip(1, 0, 0), Skip(2, 0, 0)]
    assert run(0, REOPENED) == due(run.state) == [Offer(0, 3, 2)]


def test_a_reopened_parent_that_was_done_makes_them_wait_again() -> None:
    run = Told(job(), job(), job(0, 1), job(0))
    run(0, CLAIMED, SUCCEEDED)
    run(1, CLAIMED, SUCCEEDED)
    run(3, CLAIMED)
    assert due(run.state) == [Offer(2, 0, 1)]
    run(0, REOPENED)
    assert due(run.state) == [Offer(0, 6, 2)]
    assert run(0, CLAIMED, SUCCEEDED) == [Offer(2, 0, 1)]
    assert run.state.jobs[3].state == "running", "a started job is never called back"


def test_to_reopen_leaves_out_what_another_bad_end_would_skip() -> None:
    run = Told(job(), job(), job(0), job(0, 1), job(3), job(), job(5))
    for number in (0, 1):
        run(number, CLAIMED, BROKEN)
    run(2, SKIPPED)
    run(3, SKIPPED)  # and 4 still to be skipped
    run(5, CANCELLED)
    assert to_reopen(run.state) == [0, 1, 2, 3, 4, 5, 6]
    assert to_reopen(run.state, include_cancelled=False) == [0, 1, 2, 3, 4]
    assert to_reopen(run.state, [0]) == [0, 2]
    assert to_reopen(run.state, [1]) == [1]
    assert to_reopen(run.state, [4]) == []
    assert to_reopen(run.state, [0, 1]) == [0, 1, 2, 3, 4]
    assert to_reopen(run.state, [5]) == [5, 6]


def test_to_reopen_takes_good_results_too_when_asked() -> None:
    run = Told(job(), job(0), job(), job(2), job())
    for number in (0, 1, 2):
        run(number, CLAIMED, SUCCEEDED)
    run(3, CLAIMED)
    assert to_reopen(run.state) == []
    assert to_reopen(run.state, include_done=True) == [0, 1, 2], "3 runs, 4 waits"
    assert to_reopen(run.state, {0}, include_done=True) == [0, 1]


# ---------------------------------------------------------------------------- order


@pytest.mark.parametrize("end", [[CLAIMED, SUCCEEDED], [CLAIMED, BROKEN], [CANCELLED], [SKIPPED]])
def test_the_next_in_turn_waits_for_any_end(end: list[AnyEvent]) -> None:
    run = Told(job(), job(turn=0), job(turn=1))
    assert due(run.state) == [Offer(0, 0, 1)]
    assert run(0, CLAIMED, FAILED) == [Offer(0, 2, 2, 102.0)], "it has another attempt: still its turn"
    assert run(0, *end) == [Offer(1, 0, 1)]
    assert due(run.state) == [Offer(1, 0, 1)]


def test_turn_and_parents_are_both_awaited() -> None:
    for first, second in ((0, 1), (1, 0)):
        run = Told(job(), job(), job(0, turn=1))
        assert run(first, CLAIMED, SUCCEEDED) == []
        assert run(second, CLAIMED, SUCCEEDED) == [Offer(2, 0, 1)]


def test_a_reopened_turn_makes_the_next_one_wait_again() -> None:
    run = Told(job(), job(turn=0), job(turn=1))
    run(0, CLAIMED, SUCCEEDED, REOPENED)
    assert due(run.state) == [Offer(0, 3, 2)]
    assert run(0, CLAIMED, SUCCEEDED) == [Offer(1, 0, 1)]


def test_a_skip_does_not_wait_for_its_turn() -> None:
    run = Told(job(), job(), job(0, turn=1))
    assert run(0, CLAIMED, BROKEN) == [Skip(2, 0, 0)]
    assert run(1, CLAIMED, SUCCEEDED) == [], "already due"


# ---------------------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({}, "waiting"),
        ({0: [CLAIMED]}, "running"),
        ({0: [CLAIMED, SUCCEEDED]}, "running"),
        ({0: [CLAIMED, BROKEN]}, "running"),
        ({0: [CLAIMED, SUCCEEDED], 1: [CLAIMED, SUCCEEDED]}, "done"),
        ({0: [CLAIMED, BROKEN], 1: [SKIPPED]}, "failed"),
        ({0: [CLAIMED, BROKEN], 1: [CANCELLED]}, "failed"),
        ({0: [CLAIMED, SUCCEEDED], 1: [CANCELLED]}, "cancelled"),
        ({0: [CANCELLED], 1: [SKIPPED]}, "cancelled"),
        ({0: [CLAIMED, BROKEN, REOPENED, CLAIMED, SUCCEEDED], 1: [SKIPPED]}, "failed"),
        ({0: [CLAIMED, SUCCEEDED, REOPENED], 1: [CLAIMED, SUCCEEDED]}, "running"),
    ],
)
def test_the_run_in_one_word(facts: dict[int, list[AnyEvent]], outcome: str) -> None:
    run = Told(job(), job(0))
    for number, events in facts.items():
        run(number, *events)
    assert run_outcome(run.state) == outcome
    assert run.state.settled is (outcome not in ("waiting", "running"))


def test_a_run_without_jobs_is_done() -> None:
    assert run_outcome(start(graph())) == "done"


def test_roots_of_trouble() -> None:
    run = Told(job(), job(0), job(), job(2), job())
    run(0, CLAIMED, BROKEN)
    run(1, SKIPPED)
    run(2, CANCELLED)
    assert roots_of_trouble(run.state) == {0: [1], 2: [3]}
    run(0, REOPENED)
    assert roots_of_trouble(run.state) == {2: [3]}


def test_cancelling_in_the_given_order_skips_nothing() -> None:
    run = Told(job(), job(0), job(1), job(0))
    run(0, CLAIMED)
    assert to_cancel(run.state) == [(3, 0), (2, 0), (1, 0), (0, 1)]
    assert [run(number, CANCELLED) for number, _ in to_cancel(run.state)] == [[]] * 4
    assert to_cancel(run.state) == []
    assert run.states() == "cancelled cancelled cancelled cancelled"


# ---------------------------------------------------------------------------- shape and cost


@pytest.mark.parametrize("spec", [job(1), job(2), job(-1), job(after=(1,)), job(turn=1), job(turn=-1)])
def test_edges_point_back(spec: JobSpec) -> None:
    with pytest.raises(InternalError, match="job 1 of the graph"):
        start(graph(job(), spec))


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the fold ran: a measure of work that no other process disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable | None:
        nonlocal count
        if not frame.f_globals["__name__"].startswith("elfbook."):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def whole_run(jobs: list[JobSpec], *, broken: int | None = None) -> Callable[[], None]:
    """Run every job in order; with `broken` that one fails and what has to be skipped is."""

    def work() -> None:
        run = Told(*jobs)
        due(run.state)
        for number in range(len(jobs)):
            if run.state.jobs[number].because is not None:
                run(number, Skipped("n", because=broken))
            else:
                run(number, CLAIMED, BROKEN if number == broken else SUCCEEDED)
        assert run.state.settled

    return work


SHAPES: dict[str, Callable[[int], list[JobSpec]]] = {
    "chain": lambda size: [job(*range(number)[-1:]) for number in range(size)],
    "fan-out": lambda size: [job(), *(job(0) for _ in range(size))],
    "fan-in": lambda size: [*(job() for _ in range(size)), job(*range(size))],
    "turns": lambda size: [job(turn=number - 1 if number else None) for number in range(size)],
}


@pytest.mark.parametrize("broken", [None, 0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_of_twice_the_size_is_twice_the_work(shape: str, broken: int | None) -> None:
    small, large = (lines_run(whole_run(SHAPES[shape](size), broken=broken)) for size in (100, 200))
    assert large < 2.1 * small


def test_ten_thousand_jobs_are_skipped_in_one_go() -> None:
    run = Told(*SHAPES["chain"](10_000))
    assert run(0, CLAIMED, BROKEN) == [Skip(number, 0, 0) for number in range(1, 10_000)]
    assert run(0, REOPENED) == due(run.state) == [Offer(0, 3, 2)]
