"""Watching runs on a real server: what is heard, by whom, and that nothing is missed or taken twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from elfbook.client.ear import Ear
from elfbook.client.watched import Watched
from elfbook.errors import MyceliumError
from elfbook.facts import Claimed, Event, Reopened, State, Succeeded
from elfbook.log.fold import start
from elfbook.model import ElfUse, Graph, JobSpec, Manifest, Output, ValueRef
from elfbook.store.link import Entry
from elfbook.store.mycelium import Mycelium

JOBS = 4


def graph() -> Graph:
    return Graph(
        (ElfUse("Zoo", "d" * 64),), tuple(JobSpec(0, "task_a", b"", number=n) for n in range(JOBS)), b""
    )


@pytest.fixture
def ears(mycelium: Mycelium) -> Iterator[dict[str, Ear]]:
    yield {}


def watching(mycelium: Mycelium, ears: dict[str, Ear], flow: str = "crawl", number: int = 1) -> Watched:
    def ear_of(name: str) -> Ear:
        if name not in ears:
            ears[name] = Ear(mycelium, name).begin()
        return ears[name]

    manifest = Manifest(flow=flow, number=number, key="", jobs=JOBS, nonce="")
    return Watched(mycelium, manifest, graph(), {}, start(graph(), manifest.run), ear_of)


async def tell(mycelium: Mycelium, run: str, job: int, *events: Event, seq: int = 0) -> int:
    for event in events:
        seq = await mycelium.record(run, job, event, seq)
    return seq


def success(job: int) -> tuple[Event, ...]:
    return Claimed(nonce=f"c{job}", worker="w"), Succeeded(nonce=f"s{job}", value=ValueRef("", 0))


async def close(ears: dict[str, Ear], *watched: Watched) -> None:
    for each in watched:
        await each.close()
    for ear in ears.values():
        await ear.close()


async def test_a_run_that_listens_before_it_exists_misses_nothing(mycelium, ears, until) -> None:
    watched = watching(mycelium, ears)
    ear = watched.ear_of("crawl")
    await ear.ready()
    watched.listen(ear)
    for job in (2, 0, 3, 1):
        await tell(mycelium, "crawl.1", job, *success(job))
    await asyncio.wait_for(watched.settled(), 10)
    assert list(watched.ended) == [2, 0, 3, 1]
    await until(lambda: ear.idle)  # nothing more is to be heard of it
    await close(ears, watched)


async def test_what_was_stored_before_while_and_after_it_begins_is_taken_once(mycelium, ears, until) -> None:
    """A fact that is heard before an earlier one has been read waits for it."""
    await tell(mycelium, "crawl.1", 0, *success(0))
    watched = watching(mycelium, ears)
    read, write = watched._read_facts, tell(mycelium, "crawl.1", 1, *success(1))

    async def read_late() -> None:
        await write
        await until(lambda: watched._early)  # heard already
        await read()

    watched._read_facts = read_late
    await watched.begin()
    await tell(mycelium, "crawl.1", 2, *success(2))
    await until(lambda: watched.state.counts[State.DONE] == 3)
    assert [now.attempt for now in watched.state.jobs] == [1, 1, 1, 0]
    assert sorted(watched.ended) == [0, 1, 2]
    await close(ears, watched)


async def test_who_catches_up_has_all_that_was_stored(mycelium, ears) -> None:
    watched = watching(mycelium, ears)
    for listening in (False, True):
        job = int(listening)
        await tell(mycelium, "crawl.1", job, *success(job))
        await mycelium.add_output("crawl.1", job, (Output(job, 1, "stdout", "said"),))
        assert (watched._ear is not None) is listening
        await asyncio.wait_for(watched.catch_up(), 10)
        assert watched.state.jobs[job].state is State.DONE
        assert [output.text for output in watched.outputs[job]] == ["said"]
    await close(ears, watched)


async def test_a_settled_run_that_is_opened_again_is_followed_again(mycelium, ears, until) -> None:
    watched = watching(mycelium, ears)
    ends = [await tell(mycelium, "crawl.1", job, *success(job)) for job in range(JOBS)]
    await watched.catch_up()
    assert watched.state.settled and watched._ear is None
    seq = await tell(mycelium, "crawl.1", 0, Reopened(nonce="again"), seq=ends[0])
    await watched.catch_up()
    assert not watched.state.settled and watched._ear is not None
    await tell(mycelium, "crawl.1", 0, *success(0), seq=seq)
    await asyncio.wait_for(watched.settled(), 10)
    assert list(watched.ended) == [0, 1, 2, 3, 0]
    await close(ears, watched)


async def test_runs_of_one_flow_share_an_ear_and_hear_only_of_themselves(mycelium, ears, until) -> None:
    first, second, twin = (watching(mycelium, ears, number=number) for number in (1, 2, 2))
    ear = first.ear_of("crawl")
    await ear.ready()
    for each in (first, second, twin):
        each.listen(ear)
    await twin.close()  # as when somebody else has begun this run first
    await tell(mycelium, "crawl.2", 3, *success(3))
    await tell(mycelium, "crawl.1", 1, *success(1))
    await until(lambda: first.ended and second.ended)
    assert (list(first.ended), list(second.ended), list(twin.ended)) == ([1], [3], [])
    assert len(ears) == 1
    await close(ears, first, second)


async def test_what_ends_the_hearing_is_told_to_all_who_wait(mycelium, ears, monkeypatch) -> None:
    watched = watching(mycelium, ears)
    ear = watched.ear_of("crawl")
    await ear.ready()
    watched.listen(ear)
    trouble = KeyError("a subject that nobody knows")
    waiting = asyncio.create_task(watched.settled())
    ear.error = trouble
    ear.add(watched)
    with pytest.raises(KeyError):
        await asyncio.wait_for(waiting, 10)
    with pytest.raises(KeyError):
        await ear.ready()
    await close(ears, watched)


async def test_an_ear_is_kept_for_whoever_is_going_to_listen(mycelium, ears) -> None:
    """A run may take minutes to store before it listens; an ear that has been closed tells it so."""
    watched = watching(mycelium, ears)
    ear = watched.ear_of("crawl")
    assert ear.idle
    with ear.wanted():
        assert not ear.idle
        await ear.ready()
        watched.listen(ear)
    assert not ear.idle
    await close(ears, watched)
    late = watching(mycelium, {"crawl": ear}, number=2)
    late.listen(ear)
    with pytest.raises(MyceliumError, match="stopped listening"):
        await asyncio.wait_for(late.settled(), 10)
    await late.close()


def test_a_subject_says_whose_run_it_is_about(mycelium) -> None:
    names = mycelium.names
    entry = Entry(names.job("crawl.12", 345), b"", 1)
    assert names.run_of(entry.subject) == "crawl.12"
    assert names.run_of(names.output_of("crawl.12", 345)) == "crawl.12"
