"""What is said of a store that does not take writes: only what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from elfbook.errors import MyceliumUnreachable, StoreFull
from elfbook.store import pressure
from elfbook.store.link import Refused, Unanswered
from elfbook.store.pressure import Gauge, Pressure, Silent, Trouble


@dataclass
class Link:
    """A connection whose server answers a ping, and says this of its stream."""

    facts: dict | Exception
    has_others: bool = False
    server: str = "127.0.0.1:4222"
    denied: None = None
    left: list[str] = field(default_factory=list)

    async def answers(self, timeout_s: float) -> bool:
        return True

    async def api(self, verb: str, timeout_s: float) -> dict:
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts

    async def leave(self) -> None:
        self.left.append(self.server)


async def missed(link: Link, disk: str = "") -> Gauge:
    """A gauge after a write that the server did not answer while it was there."""
    gauge = Pressure(patience_s=7.0, disk=disk).of("JOBS")
    await gauge.missed(link, Silent("no answer within 7 s"))
    return gauge


ALONE = {"state": {}}
SLOW = "the store does not answer writes: its disk is very slow, or full"


async def test_a_disk_that_has_room_is_called_slow_and_not_full(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pressure, "has_room", lambda folder: folder == str(tmp_path))
    gauge = await missed(Link(ALONE), str(tmp_path))
    assert (gauge.trouble, gauge.why) == (Trouble.SILENT, SLOW)
    error = gauge.error()
    assert type(error) is MyceliumUnreachable
    assert str(error) == f"{SLOW}. It was tried for 7 s"
    assert "how busy its disk is" in error.hint


async def test_a_disk_that_is_seen_to_be_full_is_called_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pressure, "has_room", lambda folder: folder != str(tmp_path))
    gauge = await missed(Link(ALONE), str(tmp_path))
    assert gauge.trouble is Trouble.DISK
    assert type(gauge.error()) is StoreFull
    assert "its disk is full" in str(gauge.error())
    assert "not known whether it was stored" in str(gauge.error())


@pytest.mark.parametrize("facts", [ALONE, Unanswered("no answer within 1.5 s")])
async def test_of_a_server_elsewhere_nobody_knows_whether_its_disk_is_full(facts) -> None:
    gauge = await missed(Link(facts))
    assert (gauge.trouble, gauge.why) == (Trouble.SILENT, SLOW)
    assert type(gauge.error()) is MyceliumUnreachable


async def test_a_refusal_for_want_of_room_is_a_full_store() -> None:
    gauge = Pressure(patience_s=7.0).of("JOBS")
    gauge.refused(Refused(10077, "maximum bytes exceeded"))
    assert type(gauge.error()) is StoreFull
    assert "and was not stored" in str(gauge.error())


REPLICAS = [
    {"name": "n1", "current": False, "active": 12_000_000_000},
    {"name": "n2", "current": True, "active": 100},
]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"cluster": {"leader": "n0", "replicas": REPLICAS}}, "n0 leads JOBS, without n1"),
        ({"cluster": {"replicas": REPLICAS}}, "no server leads JOBS, without n1"),
        (Unanswered("10008"), "no server that leads JOBS answers at 127.0.0.1:4222"),
    ],
)
async def test_of_a_cluster_it_is_said_who_leads_and_what_does_not_answer(facts, said) -> None:
    gauge = await missed(Link(facts, has_others=True))
    assert gauge.why == f"the cluster does not answer writes ({said})"
    assert type(gauge.error()) is MyceliumUnreachable
    assert "nats server report" in gauge.error().hint


async def test_a_server_of_a_cluster_whose_streams_stay_mute_is_left_for_another(monkeypatch) -> None:
    link = Link(Unanswered("10008"), has_others=True)
    gauge = await missed(link)
    assert link.left == [], "an election takes a moment"
    monkeypatch.setattr(pressure, "LEAVE_S", 0.0)
    await gauge.missed(link, Silent("no answer within 7 s"))
    assert link.left == [link.server]
    gauge.stored()
    monkeypatch.setattr(pressure, "LEAVE_S", 10.0)
    await gauge.missed(link, Silent("no answer within 7 s"))
    assert link.left == [link.server]


async def test_a_cluster_without_a_leader_is_named_also_when_nobody_listens_for_the_write() -> None:
    gauge = Pressure(patience_s=7.0).of("JOBS")
    await gauge.missed(Link(Unanswered("10008"), has_others=True), Unanswered("the stream is not there"))
    assert gauge.trouble is Trouble.SPLIT
    await gauge.missed(Link(Unanswered("10008"), has_others=True), Unanswered("the stream is not there"))
    assert gauge.trouble is Trouble.SPLIT
