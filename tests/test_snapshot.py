"""A run taken up from a snapshot decides like one that was folded from its beginning."""

from __future__ import annotations

import asyncio
import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elfbook.errors import InternalError
from elfbook.facts import Paused, State, Stored, Succeeded
from elfbook.host.card import Card
from elfbook.host.snapshots import Snapshots
from elfbook.log.fold import RunState, due, fold, start, to_reopen
from elfbook.log.snapshot import restore, slice_of
from elfbook.model import Graph, JobSpec, Manifest, ValueRef
from elfbook.wire import decode, encode

sys.path.insert(0, str(Path(__file__).parent))
logs = importlib.import_module("test_fold_runs").logs
CALM = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def folded(graph: Graph, facts: list[Stored]) -> RunState:
    state = start(graph, "r.1")
    for stored in facts:
        fold(state, stored)
    return state


def decisions(state: RunState) -> tuple:
    """All that a scheduler asks of a run; which of several failures a skip names is left open."""
    actions = [(type(action), action.job, action.seq) for action in due(state)]
    jobs = [
        (now.state, now.attempt, now.seq, now.mark, now.held, now.standing, now.unmet, now.spoilt)
        for now in state.jobs
    ]
    values = [now.event.value for now in state.jobs if now.state is State.DONE]
    return actions, state.counts, state.settled, jobs, values, state.lots, to_reopen(state)


@CALM
@given(logs(), st.data())
def test_a_snapshot_and_the_tail_are_the_whole_log(log: tuple[Graph, list[Stored]], data: st.DataObject) -> None:
    """Also when the snapshot was taken in slices, with facts folded in between."""
    graph, facts = log
    cut = data.draw(st.integers(0, len(facts)), label="facts before the snapshot")
    width = data.draw(st.integers(1, 4), label="jobs in a slice")
    between = data.draw(st.integers(0, 3), label="facts folded between two slices")
    state, at = folded(graph, facts[:cut]), cut
    slices = []
    for first in range(0, len(graph.jobs), width):
        slices.append(encode(slice_of(state, first, first + width)))
        for stored in facts[at : at + between]:
            fold(state, stored)
        at += between
    lots = list(state.lots)
    again = restore(graph, "r.1", lots, [decode(each, type(slice_of(state, 0, 1))) for each in slices])
    for stored in facts[cut:]:
        fold(again, stored)
    assert decisions(again) == decisions(folded(graph, facts))


def test_a_snapshot_of_another_graph_is_refused() -> None:
    with pytest.raises(InternalError, match="of another graph"):
        restore(Graph(elves=(), jobs=(), result=b""), "r.1", [0], [])


@dataclass
class Place:
    """A run of a thousand jobs, a third of them done, and the snapshots of a folder."""

    snapshots: Snapshots
    graph: Graph = field(
        default_factory=lambda: Graph(
            elves=(), jobs=tuple(JobSpec(elf=0, task="t", arguments=b"") for _ in range(1000)), result=b""
        )
    )
    manifest: Manifest = field(
        default_factory=lambda: Manifest(flow="crawl", number=1, key="k", jobs=1000, nonce="n1")
    )

    def card(self) -> Card:
        value = ValueRef(digest="5f" * 32, size=1, inline=b"x")
        state = start(self.graph, "crawl.1")
        from elfbook.facts import Claimed

        for job in range(333):
            fold(state, Stored(job, 2 * job + 1, 1.0, Claimed("n", worker="w")))
            fold(state, Stored(job, 2 * job + 2, 1.0, Succeeded("n", value=value)))
        return Card(self.manifest, state, facts=666)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Snapshots(tmp_path / "snapshots"))


def test_a_snapshot_of_a_paused_run_is_paused(place: Place) -> None:
    card = place.card()
    fold(card.state, Stored(-1, 690, 1.0, Paused("n", True, "asked")))
    asyncio.run(place.snapshots.save(card, upto=700, epoch=3))
    state, _ = place.snapshots.load(place.manifest, place.graph, 3)
    assert (state.paused, state.pause_why, state.pause_seq) == (True, "asked", 690)
    assert decisions(state) == decisions(card.state)
    assert fold(state, Stored(-1, 690, 1.0, Paused("n", False))) == [], "it is in the snapshot already"
    assert len(fold(state, Stored(-1, 701, 1.0, Paused("n", False)))) == 667


def test_what_was_saved_is_loaded(place: Place) -> None:
    asyncio.run(place.snapshots.save(place.card(), upto=700, epoch=3))
    state, head = place.snapshots.load(place.manifest, place.graph, 3)
    assert (head.upto, head.facts) == (700, 666)
    assert decisions(state) == decisions(place.card().state)


@pytest.mark.parametrize(
    ("nonce", "epoch"), [("another", 3), ("n1", 4)], ids=["another run of the name", "another life of the store"]
)
def test_a_snapshot_of_something_else_is_not_used(place: Place, nonce: str, epoch: int) -> None:
    asyncio.run(place.snapshots.save(place.card(), upto=700, epoch=3))
    other = Manifest(flow="crawl", number=1, key="k", jobs=1000, nonce=nonce)
    assert place.snapshots.load(other, place.graph, epoch) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_snapshot_is_not_used(place: Place, damage: str) -> None:
    asyncio.run(place.snapshots.save(place.card(), upto=700, epoch=3))
    path = place.snapshots.path("crawl.1")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-20], "flip": data, "empty": b""}[damage])
    assert place.snapshots.load(place.manifest, place.graph, 3) is None


def test_snapshots_become_rarer_as_the_log_grows(place: Place) -> None:
    card = place.card()
    taken = 0
    for card.facts in range(0, 1_000_000, 1000):
        if place.snapshots.is_due(card):
            taken += 1
            asyncio.run(place.snapshots.save(card, upto=card.facts, epoch=1))
    assert 15 < taken < 30


def test_a_settled_run_leaves_no_snapshot(place: Place) -> None:
    asyncio.run(place.snapshots.save(place.card(), upto=700, epoch=3))
    place.snapshots.drop("crawl.1")
    assert list(place.snapshots.folder.iterdir()) == []
