"""The feed against a queue that only takes notes: what is offered, when, and with what beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from elfbook.facts import (
    LOT,
    AnyEvent,
    AnyRecord,
    Cancelled,
    Claimed,
    ClaimedTogether,
    EndedTogether,
    Ending,
    Failed,
    Paused,
    Released,
    Reopened,
    State,
    Stored,
    Succeeded,
    Success,
    told,
)
from elfbook.host import feed as feeding
from elfbook.host.card import Card
from elfbook.host.feed import Feed, may_share
from elfbook.host.limits import Limits
from elfbook.host.placement import Placement
from elfbook.log.fold import Offer, due, fold, start
from elfbook.model import Beat, Dispatch, ElfUse, Graph, JobSpec, LotOffer, Manifest, Policy, ValueRef
from elfbook.store.link import Message, Unanswered

SHORT_S, LONG_S = 0.0005, 0.5
VALUE = ValueRef("d", 1, inline=b"v")


@dataclass
class Queue:
    """In the place of the mycelium."""

    singles: list[tuple[str, Dispatch]] = field(default_factory=list)
    """Worker, or pool, and what was offered."""
    lots: list[tuple[str, LotOffer]] = field(default_factory=list)
    stands: bool = True
    away: bool = False
    on_offer: Callable[[], None] = lambda: None

    def _answer(self) -> asyncio.Future:
        if self.away:
            raise Unanswered("the server is away")
        self.on_offer()
        reply = asyncio.get_running_loop().create_future()
        reply.set_result(Message("", b""))
        return reply

    async def offer(self, dispatch: Dispatch, *, pool: str, worker: str) -> asyncio.Future:
        self.singles.append((worker or pool, dispatch))
        return self._answer()

    async def offer_lot(self, offer: LotOffer, pool: str) -> asyncio.Future:
        self.lots.append((pool, offer))
        return self._answer()

    async def put(self, parts: list[bytes]) -> ValueRef:
        return ValueRef("bundle", sum(map(len, parts)))

    def offer_stands(self, _: Message) -> bool:
        return self.stands

    def take(self) -> tuple[list[Dispatch], list[LotOffer]]:
        """What has been offered since the last time."""
        taken = [dispatch for _, dispatch in self.singles], [offer for _, offer in self.lots]
        self.singles, self.lots = [], []
        return taken


class Fed:
    """A feed, and runs whose facts it hears as the scheduler would tell them."""

    def __init__(self, workers: int = 1) -> None:
        self.queue = Queue()
        self.cards: dict[str, Card] = {}
        self.placement = Placement(None)
        for number in range(workers):
            name = f"w{number}"
            self.placement.hear(Beat(worker=name, host="h", pool="main"))
        self.leads = True
        self.repairs = 0
        self.feed = Feed(
            self.queue, self.placement, self.own, self.repair, lambda: self.leads,
            Limits(self.cards, lambda run: False), lambda card, offer: self.feed.add(card, offer.job),
        )  # fmt: skip
        self.seq = 10

    def own(self, coroutine: object) -> None:
        coroutine.close()

    async def repair(self) -> None:
        raise AssertionError("only asked for")

    def run(self, *jobs: JobSpec, number: int = 1, **policy: object) -> Card:
        graph = Graph((ElfUse("E", "r1"),), jobs, b"", Policy(**{"backoff_s": 0.0, **policy}))
        manifest = Manifest("crawl", number, "k", len(jobs), "n", revisions={"r1": ValueRef("r1", 1)})
        card = self.cards[manifest.run] = Card(manifest, start(graph, manifest.run))
        for action in due(card.state):
            self.feed.add(card, action.job)
        return card

    def tell(self, card: Card, record: AnyRecord, job: int = -1, *, back_off: bool = False) -> int:
        """Fold a message as a whole, then have the feed hear it; gives its sequence."""
        self.seq += 1
        facts = told(record, job, self.seq, 1e12 if back_off else 100.0)
        actions = [action for stored in facts for action in fold(card.state, stored)]
        for stored in facts:
            self.feed.hear(card, stored)
        for action in actions:
            if isinstance(action, Offer) and not action.not_before:
                self.feed.add(card, action.job)
        return self.seq

    async def ran(self, card: Card, job: int, elapsed_s: float) -> None:
        """A job that was offered alone is claimed and has ended."""
        self.tell(card, Claimed("n", worker="w0"), job)
        self.tell(card, Succeeded("n", value=VALUE, elapsed_s=elapsed_s, revision="r1"), job)

    async def learnt(self, card: Card, elapsed_s: float = SHORT_S, job: int = 0) -> None:
        """The first job of the run has told how long such jobs take."""
        await self.feed.fill()
        await self.ran(card, job, elapsed_s)
        self.queue.take()

    async def offered(self) -> tuple[list[int], list[list[int]]]:
        """What filling the queue adds to it: jobs alone, and lots."""
        await self.feed.fill()
        singles, lots = self.queue.take()
        return [each.job for each in singles], [[job.job for job in offer.jobs] for offer in lots]


def spec(*parents: int, **more: object) -> JobSpec:
    return JobSpec(**{"elf": 0, "task": "task_t", "arguments": b"a", "parents": parents, **more})


def specs(count: int, **more: object) -> list[JobSpec]:
    return [spec(number=number, **more) for number in range(count)]


def claim_of(offer: LotOffer, jobs: int | None = None) -> ClaimedTogether:
    return ClaimedTogether("n", "w0", tuple((each.job, each.seq, each.attempt) for each in offer.jobs[:jobs]))


def ends(claim: int, jobs: list[int], event: AnyEvent | None = None) -> EndedTogether:
    if event is not None:
        return EndedTogether("n", "w0", "r1", (), (), tuple(Ending(claim, job, event) for job in jobs))
    return EndedTogether("n", "w0", "r1", (VALUE,), tuple(Success(claim, job, 0, SHORT_S) for job in jobs))


# ---------------------------------------------------------------------------- how much


@pytest.mark.parametrize("workers", [1, 2, 5])
async def test_unknown_jobs_go_alone_and_a_little_ahead(workers: int) -> None:
    fed = Fed(workers)
    fed.run(*specs(100))
    alone, lots = await fed.offered()
    assert lots == []
    assert alone == list(range(len(alone)))
    assert workers < len(alone) <= workers * feeding.AHEAD_S / feeding.UNKNOWN_S + 1
    assert not fed.feed.has_room("main")
    assert await fed.offered() == ([], []), "there is no room for more"


async def test_of_long_jobs_one_more_than_there_are_workers_is_on_the_queue() -> None:
    fed = Fed(3)
    card = fed.run(*specs(100))
    await fed.learnt(card, LONG_S)
    fed.feed.again()
    assert await fed.offered() == ([1, 2, 3, 4], [])
    await fed.ran(card, 2, LONG_S)
    assert await fed.offered() == ([5], []), "whatever is taken up makes room"


async def test_without_workers_something_is_on_the_queue_all_the_same() -> None:
    fed = Fed(0)
    fed.run(*specs(100))
    alone, _ = await fed.offered()
    assert 1 <= len(alone) < 20


async def test_who_does_not_lead_offers_nothing() -> None:
    fed = Fed()
    fed.run(*specs(3))
    fed.leads = False
    assert await fed.offered() == ([], [])
    fed.leads = True
    assert await fed.offered() == ([0, 1, 2], [])


async def test_each_pool_has_room_of_its_own() -> None:
    fed = Fed()
    fed.run(*specs(100))
    fed.run(*specs(3), number=2, pool="other")
    await fed.feed.fill()
    assert {pool for pool, each in fed.queue.singles if each.run == "crawl.2"} == {"other"}
    assert len([1 for _, each in fed.queue.singles if each.run == "crawl.2"]) > 1


async def test_the_pool_of_a_workers_name_is_that_worker() -> None:
    fed = Fed()
    fed.run(spec(), pool="w0")
    await fed.feed.fill()
    assert [where for where, _ in fed.queue.singles] == ["w0"]


async def test_a_queue_that_is_gone_is_repaired() -> None:
    fed = Fed()
    asked = []
    fed.feed.own = lambda coroutine: (asked.append(1), coroutine.close())
    fed.run(*specs(2))
    fed.queue.stands = False
    await fed.feed.fill()
    await asyncio.sleep(0)
    assert len(asked) == 2


async def test_offers_that_did_not_get_through_are_made_again() -> None:
    fed = Fed()
    card = fed.run(*specs(40))
    await fed.learnt(card)
    fed.queue.away = True
    _, [lost] = await fed.offered()
    assert await fed.offered() == ([], [])
    fed.queue.away = False
    fed.feed.again()
    alone, [lot] = await fed.offered()
    assert {*lost} <= {*alone, *lot}


# ---------------------------------------------------------------------------- many at once


async def test_once_jobs_are_known_to_be_short_the_rest_of_a_lot_goes_at_once() -> None:
    fed = Fed(2)
    card = fed.run(*specs(2 * LOT))
    first, _ = await fed.offered()
    await fed.ran(card, 0, 0.0001)
    alone, lots = await fed.offered()
    assert alone == []
    assert lots[0] == list(range(len(first), LOT)), "what is offered already is not offered again"
    assert lots[1] == list(range(LOT, 2 * LOT))


@pytest.mark.parametrize(("pace_s", "most"), [(0.0001, LOT - 1), (0.001, 30), (0.0039, 7)])
async def test_a_lot_holds_so_much_work_and_no_more(pace_s: float, most: int) -> None:
    fed = Fed()
    card = fed.run(*specs(LOT))
    await fed.learnt(card, pace_s)
    fed.feed.again()
    _, lots = await fed.offered()
    assert [len(lot) for lot in lots] == [most]


async def test_of_one_lot_one_offer_is_out_and_the_rest_comes_when_it_is_taken_up() -> None:
    fed = Fed(4)
    card = fed.run(*specs(LOT))
    await fed.learnt(card, 0.001)
    fed.feed.again()
    _, [first] = await fed.offered()
    assert first == list(range(1, 31))
    assert await fed.offered() == ([], [])
    assert not fed.feed.lineups["main"].size, "the others are held back"
    [offer] = [card.lot_offer(0, [(card.is_due(job), ()) for job in first])]
    fed.tell(card, claim_of(offer))
    _, [second] = await fed.offered()
    assert second == list(range(31, 61))


async def test_a_claim_of_many_lines_up_nothing_that_it_has_claimed() -> None:
    fed = Fed()
    card = fed.run(*specs(LOT))
    await fed.learnt(card)
    fed.feed.again()
    await fed.feed.fill()
    fed.tell(card, claim_of(fed.queue.lots[0][1]))
    assert fed.feed.lineups["main"].size == LOT - 1 - len(fed.queue.lots[0][1].jobs)


async def test_an_offer_whose_lot_moved_on_is_made_anew_for_what_is_still_due() -> None:
    fed = Fed()
    card = fed.run(*specs(LOT))
    await fed.learnt(card)
    fed.feed.again()
    await fed.feed.fill()
    _, [old] = fed.queue.take()
    assert [each.job for each in old.jobs] == list(range(1, 61))
    at = fed.tell(card, Cancelled("n"), 7)
    await fed.feed.fill()
    _, [new] = fed.queue.take()
    assert [each.job for each in new.jobs] == [1, 2, 3, 4, 5, 6, *range(8, 62)]
    assert (old.seq, new.seq) == (card.state.lots[0] - 1, at)


async def test_what_of_an_offer_was_not_claimed_is_offered_again() -> None:
    fed = Fed()
    card = fed.run(*specs(20))
    await fed.learnt(card)
    fed.feed.again()
    await fed.feed.fill()
    _, [offer] = fed.queue.take()
    claim = fed.tell(card, claim_of(offer, jobs=5))
    assert await fed.offered() == ([], [[each.job for each in offer.jobs[5:]]])
    fed.tell(card, ends(claim, [offer.jobs[0].job]))
    assert await fed.offered() == ([], []), "shared ends do not void an offer"


async def test_jobs_go_alone_again_when_one_was_given_back() -> None:
    fed = Fed()
    card = fed.run(*specs(20))
    await fed.learnt(card)
    fed.feed.again()
    await fed.feed.fill()
    _, [offer] = fed.queue.take()
    claim = fed.tell(card, claim_of(offer))
    fed.tell(card, ends(claim, [each.job for each in offer.jobs[1:]], Released("n")))
    alone, lots = await fed.offered()
    assert lots == []
    assert alone == [each.job for each in offer.jobs[1:3]], "reckoned as long ones"
    for job in range(2, 20):
        await fed.ran(card, job, SHORT_S)
    assert fed.feed._pace_s["r1", "task_t"] > feeding.TOGETHER_BELOW_S, "and not for a moment only"


async def test_lengths_are_learnt_for_each_task_and_each_code() -> None:
    fed = Fed(9)
    other = [spec(task="task_other") for _ in range(4)]
    card = fed.run(*specs(8), *other)
    await fed.learnt(card)
    fed.feed.again()
    alone, lots = await fed.offered()
    assert (alone, lots) == ([8], [[1, 2, 3, 4, 5, 6, 7]]), "and the rest of the lot waits for that offer"


async def test_jobs_of_different_runs_are_not_offered_together() -> None:
    fed = Fed(9)
    first, second = fed.run(*specs(5)), fed.run(*specs(5), number=2)
    await fed.learnt(first)
    await fed.ran(second, 0, SHORT_S)
    fed.feed.again()
    await fed.feed.fill()
    assert [(offer.run, len(offer.jobs)) for _, offer in fed.queue.lots] == [("crawl.1", 4), ("crawl.2", 4)]


@pytest.mark.parametrize(
    ("policy", "shares"),
    [
        (Policy(), True),
        (Policy(on_lost="fail"), False),
        (Policy(limit="api:2"), False),
        (Policy(retries=3), True),
    ],
)
def test_who_may_share(policy: Policy, shares: bool) -> None:
    assert may_share(policy) is shares


@pytest.mark.parametrize("policy", [{"on_lost": "fail"}, {"limit": "api:500"}])
async def test_what_must_not_share_goes_alone_however_short_it_is(policy: dict) -> None:
    fed = Fed()
    card = fed.run(*specs(LOT), **policy)
    await fed.learnt(card)
    fed.feed.again()
    alone, lots = await fed.offered()
    assert lots == []
    assert len(alone) > 10


async def test_what_needs_blobs_goes_alone() -> None:
    large = ValueRef("large", 10**6)
    fed = Fed(9)
    card = fed.run(spec(), spec(blobs=(large,)), spec(), spec(), spec(0), spec(3))
    await fed.feed.fill()
    fed.queue.take()
    fed.tell(card, Claimed("n"), 0)
    fed.tell(card, Succeeded("n", value=large, elapsed_s=SHORT_S, revision="r1"), 0)
    fed.tell(card, Claimed("n"), 3)
    fed.tell(card, Succeeded("n", value=VALUE, elapsed_s=SHORT_S, revision="r1"), 3)
    fed.feed.again()
    alone, lots = await fed.offered()
    assert (sorted(alone), lots) == ([1, 4], [[2, 5]]), "4 needs the large value of 0"


async def test_what_one_offer_has_no_room_for_goes_into_the_next() -> None:
    fed = Fed(9)
    jobs = [spec(arguments=b"x" * 30_000, number=number) for number in range(20)]
    card = fed.run(*jobs, spec(arguments=b"y" * 300_000))
    await fed.learnt(card)
    fed.feed.again()
    await fed.feed.fill()
    alone, [offer] = fed.queue.take()
    assert [each.job for each in alone] == [20]
    assert [each.job for each in offer.jobs] == list(range(1, 9))
    fed.tell(card, claim_of(offer))
    assert await fed.offered() == ([], [list(range(9, 17))])


async def test_large_inputs_of_one_job_travel_as_a_bundle() -> None:
    big = ValueRef("b", 30_000, inline=b"x" * 30_000)
    fed = Fed(99)
    card = fed.run(*specs(10), spec(*range(10)))
    await fed.feed.fill()
    fed.queue.take()
    for job in range(10):
        fed.tell(card, Claimed("n"), job)
        fed.tell(card, Succeeded("n", value=big, elapsed_s=LONG_S, revision="r1"), job)
    await fed.feed.fill()
    [dispatch], _ = fed.queue.take()
    assert (dispatch.inputs, dispatch.bundle.digest) == ((), "bundle")
    assert dispatch.bundle.size > 300_000


# ---------------------------------------------------------------------------- again, and the end


async def test_offers_that_were_not_taken_up_are_made_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(feeding.time, "monotonic", lambda: clock[0])
    fed = Fed()
    card = fed.run(*specs(40))
    await fed.learnt(card)
    alone = sorted(job for _, job in fed.feed.out)
    _, [lot] = await fed.offered()
    fed.feed.again(15.0)
    assert await fed.offered() == ([], [])
    clock[0] += 15.1
    fed.feed.again(15.0)
    assert await fed.offered() == ([], [sorted([*alone, *lot])]), "they are known to be short by now"


async def test_a_job_that_failed_meanwhile_waits_for_its_back_off() -> None:
    """It may still be lined up from before: what was lined up says nothing of now."""
    fed = Fed()
    card = fed.run(*specs(2), retries=3, backoff_s=5.0)
    await fed.feed.fill()
    fed.queue.take()
    fed.feed.add(card, 1)
    fed.tell(card, Claimed("n"), 1)
    fed.tell(card, Failed("n"), 1, back_off=True)
    assert card.is_due(1).not_before > 1e12
    assert await fed.offered() == ([], [])


async def test_a_parent_that_is_reopened_while_offers_are_sent_takes_its_job_back() -> None:
    fed = Fed(9)
    card = fed.run(spec(), spec(task="task_u"), spec(0), spec(0))
    await fed.learnt(card, SHORT_S)
    await fed.ran(card, 1, LONG_S)

    def reopen() -> None:
        if card.state.jobs[0].state == "done":
            fold(card.state, told(Reopened("n"), 0, 99, 0.0)[0])

    fed.queue.on_offer = reopen
    await fed.feed._offer(card, card.kind(2), "main", [2, 3], together=False)
    assert [each.job for each in fed.queue.take()[0]] == [2]


async def test_a_run_that_has_settled_leaves_nothing_behind() -> None:
    fed = Fed()
    card, other = fed.run(*specs(LOT)), fed.run(*specs(200), number=2)
    await fed.learnt(card)
    for _ in range(50):
        if card.state.settled:
            break
        fed.feed.again()
        await fed.feed.fill()
        singles, lots = fed.queue.take()
        for each in singles:
            if each.run == card.run:
                await fed.ran(card, each.job, SHORT_S)
        for offer in lots:
            if offer.run == card.run:
                fed.tell(card, ends(fed.tell(card, claim_of(offer)), [each.job for each in offer.jobs]))
    assert card.state.settled
    for job in range(LOT):
        fed.feed.add(card, job)  # what a scheduler that does not lead would still have
    fed.feed.drop(card.run)
    assert card.run not in fed.feed.cards
    everything = [*fed.feed.out, *fed.feed.out_lots, *fed.feed._held_back]
    assert {run for run, _ in everything} <= {other.run}
    lineup = fed.feed.lineups["main"]
    assert {kind.run for level in lineup.levels for kind in level.groups} <= {other.run}
    load = fed.feed._load["main"]
    assert load.offers == len(fed.feed.out) + len(fed.feed.out_lots)


async def test_priorities_have_their_shares_of_the_queue() -> None:
    fed = Fed(40)
    for number, priority in ((1, 2), (2, 1), (3, 0)):
        card = fed.run(*specs(200), number=number, priority=priority)
        fed.feed._pace_s[card.kind(0).code] = 1.0
    await fed.feed.fill()
    runs = [each.run for each in fed.queue.take()[0]]
    assert len(runs) == 41
    assert [runs.count(f"crawl.{number}") for number in (3, 2, 1)] == pytest.approx([32, 7, 2], abs=2)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "in a lot"])
async def test_what_may_still_be_queued_is_offered_in_the_same_way_again(shared: bool) -> None:
    """In two ways at once it could be taken up twice."""
    fed = Fed()
    card = fed.run(*specs(4))
    if shared:
        await fed.learnt(card)
        fed.feed.again()
        alone, lots = await fed.offered()
        assert (alone, lots) == ([], [[1, 2, 3]])
        fed.feed._pace_s = dict.fromkeys(fed.feed._pace_s, 1.0)
    else:
        alone, lots = await fed.offered()
        assert (alone[:1], lots) == ([0], [])
        fed.feed._pace_s = {card.kind(0).code: SHORT_S}
    fed.feed.again(queued=True)
    again, again_lots = await fed.offered()
    assert again == alone
    assert [lot[0] for lot in again_lots] == [lot[0] for lot in lots], "the server knows the lot by its state"


@pytest.mark.parametrize("how", ["alone", "in a lot", "under a limit"])
async def test_a_paused_run_leaves_the_queue_and_comes_back_in_the_same_way(how: str) -> None:
    fed = Fed()
    limited = {"limit": "api:1"} if how == "under a limit" else {}
    card = fed.run(*specs(4), **limited)
    if how == "in a lot":
        await fed.learnt(card)
        fed.feed.again()
    offered = await fed.offered()
    other = fed.run(*specs(2), number=2, **limited)
    fed.seq += 1
    fold(card.state, Stored(-1, fed.seq, 1.0, Paused("n", True)))
    fed.feed.withdraw(card.run)
    assert {run for run, _ in (*fed.feed.out, *fed.feed.out_lots)} <= {other.run}
    fed.feed.again()
    await fed.feed.fill()
    singles, lots = fed.queue.take()
    assert {each.run for each in (*singles, *lots)} == {other.run}, "its place is another run's meanwhile"
    for dispatch in singles:
        fed.tell(other, Claimed("n", worker="w0"), dispatch.job)
        fed.tell(other, Cancelled("n"), dispatch.job)
    for job in range(2):
        if other.state.jobs[job].state is State.WAITING:
            fed.tell(other, Cancelled("n"), job)
    fed.seq += 1
    pace_s = SHORT_S if how == "alone" else 1.0  # by what is known now it would be offered otherwise
    fed.feed._pace_s = {card.kind(0).code: pace_s}
    for action in fold(card.state, Stored(-1, fed.seq, 1.0, Paused("n", False))):
        fed.feed.add(card, action.job)
    again = await fed.offered()
    assert again[0][:1] == offered[0][:1]
    assert [lot[0] for lot in again[1]] == [lot[0] for lot in offered[1]], "the server knows the lot by its state"
    assert any(offered) and bool(offered[1]) is (how == "in a lot")
