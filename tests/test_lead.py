"""Which of several schedulers makes the offers, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from elfbook.host import lead as leading
from elfbook.host.lead import SAY_S, SILENT_S, Lead
from elfbook.store.link import Message, Unanswered
from elfbook.wire import Names


@dataclass
class Air:
    """The network and store between the leads of one mycelium; it counts sequences like the store."""

    now: float = 1000.0
    seq: int = 100
    leads: list[Lead] = field(default_factory=list)
    began: list[Lead] = field(default_factory=list)
    """Who was told that it leads now, in order."""
    listeners: dict[int, Callable[[Message], None]] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    """Who cannot reach the server."""
    tasks: list[asyncio.Task] = field(default_factory=list)
    readable: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the log can be read to its end."""

    async def join(self) -> Lead:
        end = End(self, len(self.leads))
        lead = Lead(end, self.own, lambda: self.began.append(lead), self.learn)
        self.leads.append(lead)
        await lead.listen()
        self.seq += 1
        await lead.begin(self.seq)
        await self.settle()
        return lead

    async def learn(self) -> int:
        await self.readable.wait()
        self.seq += 1
        return self.seq

    def own(self, coroutine: object) -> asyncio.Task:
        self.tasks.append(asyncio.ensure_future(coroutine))
        return self.tasks[-1]

    async def settle(self) -> None:
        while self.tasks:
            await self.tasks.pop()

    async def pass_time(self, seconds: float, *, without: tuple[Lead, ...] = ()) -> None:
        """Everybody but `without` goes on as it does in `keep`."""
        for _ in range(round(seconds / SAY_S)):
            self.now += SAY_S
            for lead in self.leads:
                if lead not in without:
                    await lead._look()
            await self.settle()

    def leading(self) -> list[int]:
        return [number for number, lead in enumerate(self.leads) if lead.leads]


@dataclass
class End:
    """One scheduler's connection: a mycelium and its link in one."""

    air: Air
    number: int
    names: Names = field(default_factory=Names)

    @property
    def link(self) -> End:
        return self

    async def subscribe(self, subject: str, call: Callable[[Message], None]) -> Callable:
        assert subject == self.names.schedulers
        self.air.listeners[self.number] = call
        return lambda: None

    async def publish(self, subject: str, data: bytes) -> None:
        if self.number in self.air.cut:
            raise Unanswered("the server is away")
        for number, call in list(self.air.listeners.items()):
            if number not in self.air.cut:
                call(Message(subject, data))


@pytest.fixture
def air(monkeypatch: pytest.MonkeyPatch) -> Air:
    made = Air()
    made.readable.set()
    monkeypatch.setattr(leading.time, "monotonic", lambda: made.now)
    return made


async def test_one_alone_leads(air: Air) -> None:
    await air.join()
    await air.pass_time(10)
    assert air.leading() == [0]
    assert air.began == [], "it did from the beginning"


async def test_the_one_that_began_first_leads_and_the_newcomer_hears_it_at_once(air: Air) -> None:
    for _ in range(3):
        await air.join()
        assert air.leading() == [0], "without any time passing"
    await air.pass_time(10)
    assert air.leading() == [0]


async def test_before_it_knows_its_own_place_it_stands_behind_everybody(air: Air) -> None:
    first = await air.join()
    late = Lead(End(air, 1), air.own, lambda: None, air.learn)
    await late.listen()
    await first._say()
    assert (first.leads, late.leads) == (True, False)


async def test_when_the_leader_falls_silent_the_next_one_takes_over_and_is_told(air: Air) -> None:
    first, second, _ = [await air.join() for _ in range(3)]
    await air.pass_time(SILENT_S - SAY_S, without=(first,))
    assert air.leading() == [0], "not before its time"
    await air.pass_time(2 * SAY_S, without=(first,))
    first.leads = False  # it is dead
    assert air.leading() == [1]
    assert air.began == [second]


async def test_a_leader_that_was_away_makes_no_offer_until_it_has_caught_up_and_stands_behind(air: Air) -> None:
    first, second = [await air.join() for _ in range(2)]
    await air.pass_time(SAY_S)
    await air.pass_time(SILENT_S + SAY_S, without=(first,))
    assert air.began == [second]
    assert first.leads and not first.sure, "the clock tells before anything else does"
    await air.settle()
    assert (first.sure, air.leading()) == (True, [1])
    await air.pass_time(SILENT_S)
    assert air.leading() == [1]


async def test_one_that_was_away_alone_goes_on_when_it_has_caught_up(air: Air) -> None:
    only = await air.join()
    await air.pass_time(SAY_S)
    air.readable.clear()
    air.now += SILENT_S + SAY_S
    assert (only.sure, air.began) == (False, [])
    only.doubt()  # and the connection was lost as well
    catching_up = asyncio.ensure_future(air.settle())
    await asyncio.sleep(0)
    assert not only.sure
    air.readable.set()
    await catching_up
    assert (only.sure, only.leads, air.began) == (True, True, [only])


async def test_a_short_nap_is_no_doubt(air: Air) -> None:
    only = await air.join()
    await air.pass_time(SAY_S)
    air.now += SILENT_S - SAY_S
    await only._look()
    assert (only.sure, air.began) == (True, [])


async def test_two_that_cannot_hear_each_other_both_lead_until_they_can(air: Air) -> None:
    first, second = [await air.join() for _ in range(2)]
    air.cut = {1}
    await air.pass_time(SILENT_S + SAY_S)
    assert air.leading() == [0, 1]
    air.cut = set()
    await air.pass_time(SAY_S)
    assert air.leading() == [0]
    assert air.began == [second], "the first never ceased to"
    assert first.leads


async def test_those_that_begin_at_the_same_place_still_agree(air: Air) -> None:
    await air.join()
    air.seq -= 1
    await air.join()
    await air.pass_time(SAY_S)
    assert len(air.leading()) == 1
