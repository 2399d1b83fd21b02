"""Records put into a real store by someone without the key: named, set aside, and everything else goes on."""

from __future__ import annotations

import asyncio

import pytest

from elfbook.errors import Untrusted
from elfbook.facts import ClaimedTogether, State, Succeeded
from elfbook.model import ValueRef
from elfbook.notebook.checks import examine
from elfbook.seals import RECORD_SEAL_BYTES, RecordSeal
from elfbook.store.messages import EXPECT
from elfbook.wire import encode


async def works(book, flow: str) -> None:
    sums = book.names["Sums"]()
    run = await book.settled(await book.submit(flow, lambda: sums.task_same.map([1, 2, 3])))
    assert await book.values(run) == [1, 2, 3]


async def told(tree) -> str:
    report = await asyncio.to_thread(examine, tree.place)
    return "\n".join(check.words for check in report.checks if check.what == "set aside")


FORGED = encode(Succeeded("x", 1, ValueRef("v", 1, inline=b"\0"), "w"))
BYTES = {
    "bears no seal": lambda subject, over, true: FORGED,
    "was altered or moved": lambda subject, over, true: FORGED + true[-RECORD_SEAL_BYTES:],
    "without this mycelium's key": lambda subject, over, true: RecordSeal(bytes(32)).put_on(FORGED, subject, over),
}


@pytest.mark.parametrize("words", BYTES)
async def test_a_forged_end_is_believed_by_nobody(tree, client, book, gates, until, words) -> None:
    """It is well formed, and stored over the true claim by the server's own compare-and-set."""
    link, names = client.mycelium.link, client.mycelium.names
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    flow = f"forged{list(BYTES).index(words)}"
    run = await book.submit(flow, lambda: sums.task_same(gate.task_pass(str(gates.folder), "x")))
    await book.running(run, 0)
    subject = names.job(run.run, 0)
    claim = await link.last(names.jobs, subject)
    over = claim.seq if claim else 0
    true = claim.data if claim else bytes(RECORD_SEAL_BYTES)
    await link.request(subject, BYTES[words](subject, f"{over} ", true), {EXPECT: str(over)})
    await until(lambda: run.state.jobs[0].state is State.FAILED)
    failure = run.state.jobs[0].event.failure
    assert failure.type == "Untrusted" and words in failure.message
    await works(book, f"{flow}_other")
    gates.open()
    assert words in await told(tree)
    await client.reopen(run, [0, 1])
    await book.settled(run)
    assert [job.state for job in run.state.jobs] == [State.DONE, State.DONE]
    assert await book.value(run, 1) == "x"


async def test_a_claim_of_many_that_was_forged_does_not_stop_its_lot(tree, client, book, gates, until) -> None:
    """Whoever could have been claimed by it ends by name; the rest of the lot goes on, and all can be retried."""
    link, names = client.mycelium.link, client.mycelium.names
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    run = await book.submit("claims", lambda: [sums.task_same(gate.task_pass(str(gates.folder), n)) for n in range(2)])
    await until(lambda: len(gates.begun()) == 2)
    claim = ClaimedTogether("x", "nobody", tuple((job, 0, 1) for job in range(4)))
    await link.request(names.claims(run.run, 0), encode(claim))
    gates.open()
    await book.settled(run)
    assert [job.state for job in run.state.jobs] == [State.DONE] * 4
    assert await book.values(run) == [0, 0, 1, 1]
    assert f"{names.claims(run.run, 0)} at " in await told(tree)


async def test_a_run_whose_manifest_was_forged_is_named_and_others_go_on(tree, client, book, until) -> None:
    link, names = client.mycelium.link, client.mycelium.names
    await works(book, "mine")
    true = await link.last(names.runs, names.run("mine"))
    forged = true.data.replace(b"task_same", b"task_SAME")
    assert forged != true.data
    await link.request(names.run("mine"), forged, {EXPECT: str(true.seq)})
    await until(lambda: "a run's manifest was altered or moved" in tree.log("scheduler"))
    with pytest.raises(Untrusted, match="a run's manifest was altered or moved"):
        await client.watch("mine")
    before = tree.facts().scheduler_pid
    await tree.kill("scheduler", client)
    await until(lambda: tree.facts().scheduler_pid not in (0, before))
    await works(book, "others")
    assert f"{names.run('mine')} at " in await told(tree)


async def test_records_of_a_run_are_sealed_each_for_its_place(client, book) -> None:
    await works(book, "whole")
    mycelium = client.mycelium
    names = mycelium.names
    count = 0
    for stream in (names.runs, names.jobs):
        async for entry in mycelium.read(stream, names.everything):
            if "forged" not in entry.subject and "claims" not in entry.subject and ".mine" not in entry.subject:
                mycelium.unsealed(entry)
                count += 1
    assert count >= 5
