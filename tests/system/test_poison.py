"""What cannot be read, anywhere: set aside once, with its reason, and everything else goes on."""

from __future__ import annotations

import asyncio
import os

import pytest

from elfbook.facts import Claimed, State, Succeeded
from elfbook.model import ValueRef
from elfbook.notebook.checks import examine
from elfbook.wire import encode, encode_sealed

RUBBISH = b"\x01\xffrubbish"
FUTURE = b"\x63" + encode(Claimed("n", 1, "w"))[1:]


async def asides(mycelium) -> list[str]:
    names = mycelium.names
    return [entry.subject async for entry in mycelium.read(names.output, names.every_aside)]


def pids(facts) -> list[int]:
    return [facts.pid, facts.scheduler_pid, *(worker["pid"] for worker in facts.workers)]


async def works(book, flow: str) -> None:
    sums = book.names["Sums"]()
    run = await book.settled(await book.submit(flow, lambda: sums.task_same.map([1, 2, 3])))
    assert await book.values(run) == [1, 2, 3]


@pytest.mark.parametrize("data", [RUBBISH, FUTURE, b""], ids=["rubbish", "another version", "empty"])
async def test_a_record_that_cannot_be_read_ends_its_own_job_only(tree, client, book, gates, until, data):
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    flow = f"hurt{len(data)}"

    def calls():
        return sums.task_add(gate.task_pass(str(gates.folder), 1)), gate.task_pass(str(gates.folder), 2)

    run = await book.submit(flow, calls)
    await until(lambda: len(gates.begun()) == 2)
    before = pids(tree.facts())
    await client.mycelium.jobs.write(client.mycelium.names.job(run.run, 0), data, None)
    await until(lambda: run.state.jobs[0].state is State.FAILED)
    gates.open()
    await book.settled(run)
    assert [job.state.value for job in run.state.jobs] == ["failed", "skipped", "done"]
    failure = run.state.jobs[0].event.failure
    assert failure.type == "StoreCorrupt"
    assert "was set aside" in failure.message
    await works(book, f"{flow}_after")
    assert pids(tree.facts()) == before, "nothing had to be started again"
    await client.reopen(run, [0, 1])
    await book.settled(run)
    assert [job.state.value for job in run.state.jobs] == ["done", "done", "done"], "it can be retried"


async def test_a_record_after_a_success_leaves_the_result_as_it_is(tree, client, book, until):
    sums = book.names["Sums"]()
    run = await book.settled(await book.submit("done", lambda: sums.task_same(7)))
    await client.mycelium.jobs.write(client.mycelium.names.job(run.run, 0), RUBBISH, None)
    again = await client.watch("done")
    await again.catch_up()
    assert isinstance(again.state.jobs[0].event, Succeeded)
    assert await book.value(again, 0) == 7


async def test_poison_of_every_kind_is_set_aside_once_and_the_processes_stay(tree, client, book, until):
    mycelium = client.mycelium
    names = mycelium.names
    await works(book, "before")
    before = pids(tree.facts())
    known = len(await asides(mycelium))
    root = f"elf.{names.namespace}"
    stored = {
        f"{root}.job.nobody": RUBBISH,
        f"{root}.job.a.b.c.d.e": RUBBISH,
        f"{root}.job.before.x.0": RUBBISH,
        names.job("before.1", 99): encode(Claimed("n", 1, "w")),
        names.run("poison"): RUBBISH,
        names.run("forged"): encode_sealed(ValueRef("0", 1), b"x" * 32),
        names.settled("before.77"): RUBBISH,
        names.slot("api", 0): RUBBISH,
    }
    for subject, data in stored.items():
        await mycelium.link.request(subject, data)
    for subject in (names.beat("worker-1"), names.every_gone.replace("*", "worker-77"), names.trouble, names.epoch):
        await mycelium.link.publish(subject, b"\xff\xfe" + os.urandom(4))
    await mycelium.link.request(names.offer_to_pool("main", "poison.1", 0, "0"), RUBBISH)
    await mycelium.link.request(names.output_of("before.1", 0), RUBBISH)
    await works(book, "after")
    await client.runs()
    await client.workers()

    async def noticed() -> bool:
        return len(await asides(mycelium)) - known >= 7

    await until(noticed)
    assert pids(tree.facts()) == before, "nothing had to be started again"
    await tree.kill("scheduler", client)
    await until(lambda: tree.facts().scheduler_pid not in (0, before[1]))
    await works(book, "afterwards")
    found = await asides(mycelium)
    assert len(found) == len(set(found)), "each is noted once"
    report = await asyncio.to_thread(examine, tree.place)
    told = [check.words for check in report.checks if check.what == "set aside"]
    assert any("its subject names no job" in words for words in told)
    assert any("not signed" in words for words in told)
    assert any(f"{names.run('poison')} at " in words for words in told)
