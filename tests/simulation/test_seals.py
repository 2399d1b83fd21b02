"""Records that are altered behind the server's back, on the model: whoever reads them notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from elfbook.errors import Untrusted
from elfbook.facts import ClaimedTogether, EndedTogether, Paused, State, Success, Unreadable
from elfbook.host.uptake import Uptake
from elfbook.log.fold import fold, start, to_reopen
from elfbook.model import Dispatch, Graph, JobSpec, Manifest, Origin, Policy, Settled, ValueRef
from elfbook.seals import RECORD_SEAL_BYTES, RecordSeal
from elfbook.store.beside import Beside
from elfbook.store.messages import EXPECT, Entry
from elfbook.store.mycelium import Mycelium
from tests.simulation.test_races import RUN, claimed, dispatch, on_the_model, succeeded

ELF = dispatch().elf
MANY = ClaimedTogether("w1", "w1", ((1, 0, 1), (2, 0, 1)))


def slotted() -> Dispatch:
    return Dispatch(
        run=RUN, job=0, seq=0, attempt=1, label="task_do[0]", elf=ELF, code=ValueRef("0", 1), task="task_do",
        arguments=b"", slot=("api", 0, 0),
    )  # fmt: skip


def run_of(jobs: int) -> Manifest:
    graph = Graph(elves=(ELF,), jobs=tuple(JobSpec(0, "task_do", b"") for _ in range(jobs)), result=b"", policy=Policy())
    return Manifest("crawl", 1, "k", jobs, "n", graph=graph, origin=Origin(), submitted_at=1.0)


async def keep_something(mycelium: Mycelium) -> None:
    seq = await mycelium.record(RUN, 0, claimed("w1"), 0)
    await mycelium.record(RUN, 0, succeeded("w1"), seq, ("ann", b"kept", 0))


WRITES: dict[str, Callable[[Mycelium], Awaitable]] = {
    "job": lambda m: m.record(RUN, 0, claimed("w1"), 0),
    "claims": lambda m: m.claim_lot(RUN, 0, MANY, 0),
    "ends": lambda m: m.end_lots(RUN, EndedTogether("n", "w1")),
    "pause": lambda m: m.pause(RUN, Paused("n", True), 0),
    "run": lambda m: m.add_run(run_of(1), 0),
    "settled": lambda m: m.note_settled(Settled(run=RUN, counts={"done": 1}, upto=1)),
    "slot": lambda m: m.claim_with_slot(slotted(), claimed("w1")),
    "keep": keep_something,
    "holder": lambda m: m.jobs.write(m.names.holder("ann"), b"w1", 0),
    "barrier": lambda m: m.barrier(),
}


def stored(mycelium: Mycelium) -> list:
    """All records of JOBS and RUNS as the server keeps them: to be altered in place."""
    streams = mycelium.link.nc.network.server.streams
    return [kept for name in (mycelium.names.runs, mycelium.names.jobs) for kept in streams[name].messages.values()]


def newest(mycelium: Mycelium, kind: str) -> object:
    return [kept for kept in stored(mycelium) if f".{kind}" in kept.subject][-1]


ALTERED = {
    "a changed byte of the body": lambda e: replace(e, data=bytes([e.data[0] ^ 1]) + e.data[1:]),
    "a changed byte of the seal": lambda e: replace(e, data=e.data[:-1] + bytes([e.data[-1] ^ 1])),
    "cut": lambda e: replace(e, data=e.data[:-1]),
    "longer": lambda e: replace(e, data=e.data + b"\0"),
    "empty": lambda e: replace(e, data=b""),
    "unsealed": lambda e: replace(e, data=e.data[:-RECORD_SEAL_BYTES]),
    "moved to another subject": lambda e: replace(e, subject=f"{e.subject}0"),
    "another expectation": lambda e: replace(e, headers={**(e.headers or {}), EXPECT: "77"}),
    "no expectation, or a new one": lambda e: replace(e, headers=None if EXPECT in (e.headers or {}) else {EXPECT: "0"}),
    "another key": lambda e: replace(
        e, data=RecordSeal(bytes(32)).put_on(e.data[:-RECORD_SEAL_BYTES], e.subject, "0 "),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ALTERED)
def test_no_record_of_any_kind_can_be_altered_or_moved(how: str) -> None:
    @on_the_model
    async def story(one: Mycelium, other: Mycelium) -> None:
        for write in WRITES.values():
            subjects = {kept.subject for kept in stored(one)}
            if one.names.job(RUN, 0) not in subjects or write is WRITES["run"]:
                await write(one)
        for kept in stored(one):
            entry = Entry(kept.subject, kept.data, kept.seq, kept.at, 0, kept.headers)
            other.unsealed(entry)
            with pytest.raises(Untrusted):
                other.unsealed(ALTERED[how](entry))

    story()


@pytest.mark.parametrize("kind", WRITES)
def test_who_reads_an_altered_record_notices(kind: str) -> None:
    """By the way by which each kind of record is read: whole first, then with one bit changed in the store."""

    @on_the_model
    async def story(one: Mycelium, other: Mycelium) -> None:
        await WRITES[kind](one)
        assert await seen_as_it_is(other, kind)
        kept = newest(one, kind)
        kept.data = bytes([kept.data[0] ^ 0x10]) + kept.data[1:]
        assert not await seen_as_it_is(other, kind)

    story()


async def seen_as_it_is(mycelium: Mycelium, kind: str) -> bool:
    names = mycelium.names
    if kind in ("job", "claims", "ends"):
        async for entry in mycelium.read(names.jobs, names.every_job):
            run, facts = mycelium.facts(entry)
            assert run == RUN
            bad = [fact for fact in facts if isinstance(fact.event, Unreadable) or fact.event.nonce == ""]
            assert all(fact.event.failure.type == "Untrusted" for fact in bad)
            return not bad
    if kind == "pause":
        entry = await mycelium.link.last(names.jobs, names.pause(RUN))
        ((about, seq, event),) = [(fact.job, fact.seq, fact.event) for fact in mycelium.facts(entry)[1]]
        assert (about, seq, type(event)) == (-1, 1, Paused), "it ends no job"
        return event.on is True
    if kind == "run":
        return bool((await mycelium.all_runs())[0])
    if kind == "settled":
        return bool(await mycelium.settled_runs())
    if kind == "slot":
        return [mycelium.slot_taken(entry)[1].run async for entry in mycelium.slots()] == [RUN]
    if kind == "holder":
        return await mycelium.holder("ann") == ("w1", 1)
    try:
        if kind == "keep":
            return await mycelium.kept("ann") == (b"kept", 3)
        mycelium.unsealed(await mycelium.link.last(names.jobs, names.barrier))
        return True
    except Untrusted:
        return False


@on_the_model
async def test_a_record_without_a_seal_is_said_to_be_one(one: Mycelium, other: Mycelium) -> None:
    await one.record(RUN, 0, claimed("w1"), 0)
    kept = newest(one, "job")
    kept.data = kept.data[:-RECORD_SEAL_BYTES]
    with pytest.raises(Untrusted, match="bears no seal.*that knew no seals"):
        other.unsealed(await other.link.last(other.names.jobs, other.names.job(RUN, 0)))
    kept.data += bytes(RECORD_SEAL_BYTES)
    with pytest.raises(Untrusted, match="was altered or moved in the store.*without this mycelium's key"):
        other.unsealed(await other.link.last(other.names.jobs, other.names.job(RUN, 0)))


@on_the_model
async def test_a_note_on_a_run_that_was_altered_is_written_over(one: Mycelium, other: Mycelium) -> None:
    await one.note_settled(Settled(run=RUN, counts={"done": 1}, upto=9))
    kept = newest(one, "settled")
    kept.data = b"\xff" + kept.data
    await other.note_settled(Settled(run=RUN, counts={"done": 1}, upto=5))
    assert (await one.settled_runs())[RUN].upto == 5


# ---------------------------------------------------------------------- what a scheduler makes of it


async def taken_up(mycelium: Mycelium) -> tuple[dict, list[str]]:
    """The runs as a scheduler takes them up, and what it notes of records, each as its reason."""
    said: list[str] = []
    mycelium.set_aside = lambda found, reason: said.append(f"{found.subject.split('.', 3)[3]} at {found.seq}: {reason}")
    cards: dict = {}

    async def on_card(card: object) -> None:
        """The run is followed."""

    beside = Beside()
    await Uptake(mycelium, None, cards, beside.run, on_card).take_all()
    await beside.close()
    return cards, said


async def a_few_records(mycelium: Mycelium) -> list[int]:
    """Of job 0 alone, of 1 and 2 together, and of 1 again; gives all sequences."""
    await mycelium.add_run(run_of(4), 0)
    first = await mycelium.record(RUN, 0, claimed("w1"), 0)
    done = await mycelium.record(RUN, 0, succeeded("w1"), first)
    many = await mycelium.claim_lot(RUN, 0, MANY, done)
    end = EndedTogether("e", "w1", values=(ValueRef("v", 1, inline=b"v"),), successes=(Success(many, 2, 0, 0.1),))
    ends = await mycelium.end_lots(RUN, end)
    own = await mycelium.record(RUN, 1, claimed("w2"), 0)
    again = await mycelium.claim_lot(RUN, 0, ClaimedTogether("w3", "w3", ((3, 0, 1),)), own)
    return [first, done, many, ends, own, again]


@on_the_model
async def test_a_whole_log_gives_no_cause_for_doubt(one: Mycelium, other: Mycelium) -> None:
    await a_few_records(one)
    cards, said = await taken_up(other)
    assert said == []
    assert [job.state.value for job in cards[RUN].state.jobs] == ["done", "running", "done", "running"]


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (0, ["crawl.1.0.0 at 1: it is gone: record 2 was written over it"]),
        (1, ["crawl.1.0.> at 2: it is gone: record 3 was written over it"]),
        (2, []),  # the claim of many that nothing of its own lot follows but a record over its own
        (4, ["crawl.1.0.> at 5: it is gone: record 6 was written over it"]),
    ],
)
def test_a_record_that_is_gone_is_noticed_by_whoever_folds_the_next(gone: int, words: list[str]) -> None:
    @on_the_model
    async def story(one: Mycelium, other: Mycelium) -> None:
        seqs = await a_few_records(one)
        one.link.nc.network.server.streams[one.names.jobs].remove(seqs[gone])
        assert (await taken_up(other))[1] == words

    story()


@on_the_model
async def test_a_record_that_was_put_over_another_is_noticed(one: Mycelium, other: Mycelium) -> None:
    """A true record of the same job, with its true seal, at the place of a later one."""
    seqs = await a_few_records(one)
    messages = one.link.nc.network.server.streams[one.names.jobs].messages
    before, later = messages[seqs[0]], messages[seqs[1]]
    later.data, later.headers = before.data, before.headers
    assert (await taken_up(other))[1] == ["crawl.1.0.0 at 1: record 2 was not written over it, and should have been"]


def spoil(mycelium: Mycelium, seq: int) -> None:
    kept = mycelium.link.nc.network.server.streams[mycelium.names.jobs].messages[seq]
    kept.data = kept.data[:-1] + bytes([kept.data[-1] ^ 1])


@pytest.mark.parametrize(
    ("place", "states"),
    [
        pytest.param(0, "failed running done running", id="a job's own claim"),
        pytest.param(1, "failed running done running", id="a job's own end"),
        pytest.param(2, "done failed failed failed", id="a claim of many: whoever could be offered then"),
        pytest.param(3, "done failed failed running", id="ends of many: whoever was claimed together"),
        pytest.param(4, "done failed done running", id="a job's own record over a claim of many"),
    ],
)
def test_jobs_whose_record_was_altered_end_by_name_and_can_be_retried(place: int, states: str) -> None:
    @on_the_model
    async def story(one: Mycelium, other: Mycelium) -> None:
        seqs = await a_few_records(one)
        spoil(one, seqs[place])
        cards, _ = await taken_up(other)
        state = cards[RUN].state
        assert " ".join(job.state.value for job in state.jobs) == states
        failures = [job.event.failure for job in state.jobs if job.state is State.FAILED]
        assert all(each.type == "Untrusted" and "was altered or moved" in each.message for each in failures)
        # What is stored next is accepted: a retry of each, and a claim of what the lot has then.
        for job in to_reopen(state):
            seq = await other.record(RUN, job, succeeded("w9"), state.jobs[job].seq)
            state.lots[0] = max(state.lots[0], seq)
        await other.claim_lot(RUN, 0, MANY, state.lots[0])

    story()


@on_the_model
async def test_a_doubt_that_is_told_again_changes_nothing(one: Mycelium, other: Mycelium) -> None:
    seqs = await a_few_records(one)
    for seq in seqs[2:4]:
        spoil(one, seq)
    state = start(run_of(4).graph, RUN)
    entries = [entry async for entry in other.read(other.names.jobs, other.names.jobs_of(RUN))]
    seen = []
    for entry in [*entries, *entries]:
        for fact in other.within(other.facts(entry)[1], RUN, state):
            fold(state, fact)
        seen.append([(job.state, job.seq, job.held) for job in state.jobs])
    assert seen[len(entries) - 1] == seen[-1]
    assert state.lots == [seqs[-1]]
