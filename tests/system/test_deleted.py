"""Streams and consumers that somebody deletes while runs are under way: made again, or missed by name."""

from __future__ import annotations

import asyncio

import pytest

from elfbook.client.client import Client
from elfbook.errors import MyceliumError, StoreRegressed
from elfbook.facts import State
from elfbook.host import hostfile
from elfbook.notebook.checks import examine
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import read_json
from elfbook.store.server import ensure_server

SAYING = """\
class Say:
    def task_say(self, x):
        print("said", x)
        return x
"""


async def delete_consumers(mycelium) -> int:
    count = 0
    for stream in mycelium.names.stream_subjects():
        answer = await mycelium.link.api(f"CONSUMER.NAMES.{stream}")
        for consumer in answer.get("consumers") or ():
            await mycelium.link.api(f"CONSUMER.DELETE.{stream}.{consumer}")
            count += 1
    return count


async def test_every_consumer_is_made_again(client, book, gates, until):
    gate = book.names["Gate"]()
    run = await book.submit("consumers", lambda: gate.task_pass(str(gates.folder), 2, gate.task_pass(str(gates.folder), 1)))
    await until(gates.begun)
    assert await delete_consumers(client.mycelium) >= 4
    gates.open()
    await book.settled(run)
    assert await book.values(run) == [1, 2]


async def test_the_queue_is_made_again(client, book, gates, until):
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    run = await book.submit("queue", lambda: [gate.task_pass(str(gates.folder), n) for n in range(6)])
    await until(lambda: len(gates.begun()) == 2)
    await client.mycelium.link.api(f"STREAM.DELETE.{client.mycelium.names.work}")
    gates.open()
    await book.settled(run, 60)
    assert await book.values(run) == list(range(6))
    again = await book.settled(await book.submit("queue_after", lambda: sums.task_same.map([1, 2])), 60)
    assert await book.values(again) == [1, 2]


async def test_the_place_for_output_is_made_again(client, book, until):
    say = book.cell(SAYING)["Say"]()
    await book.settled(await book.submit("said", lambda: say.task_say(1)))
    await client.mycelium.link.api(f"STREAM.DELETE.{client.mycelium.names.output}")
    run = await book.settled(await book.submit("said_again", lambda: say.task_say(2)), 60)
    assert await book.values(run) == [2]
    await until(lambda: run.outputs.get(0))
    assert "said 2" in run.outputs[0][0].text


async def test_a_job_whose_end_is_lost_is_never_done_again_in_silence(tree, client, book, tmp_path, gates, until):
    """What is not known is said; a person decides."""
    sums, gate = book.names["Sums"](), book.names["Gate"]()
    path = tmp_path / "done"

    def calls():
        return gate.task_pass(str(gates.folder), 1, sums.task_note(str(path), 7)), sums.task_note(str(path), 8)

    run = await book.submit("doubt", calls)
    await book.running(run, 1)
    await until(lambda: run.state.jobs[2].state is State.DONE)
    names, end = client.mycelium.names, run.state.jobs[0].seq

    def remembered() -> bool:
        runs = read_json(tree.place.marks_file)["runs"]
        return run.run in runs and runs[run.run]["last"] > end

    await until(remembered)
    await asyncio.to_thread(hostfile.stop, tree.place)
    await asyncio.to_thread(ensure_server, tree.place)
    bare = await Mycelium.open(tree.place.address(), key=tree.place.key())
    await bare.link.api(f"STREAM.MSG.DELETE.{names.jobs}", {"seq": end})
    await bare.close()
    gates.open()
    await tree.whole()
    other = await Client.open(tree.place)
    again = await other.watch("doubt")
    await book.settled(again)
    first, second, third = again.state.jobs
    assert (first.state, first.event.failure.type) == (State.FAILED, "StoreRegressed")
    assert second.state in (State.SKIPPED, State.DONE, State.FAILED)
    assert third.state is State.DONE, "what is there is kept"
    assert sorted(path.read_text().split()) == ["7", "8"], "nothing was done again by itself"
    assert any("less than it had written" in line for line in tree.facts().losses)
    await other.reopen(again, [0, *([1] if second.state is not State.DONE else [])])
    await book.settled(again)
    assert {job.state for job in again.state.jobs} == {State.DONE}
    assert sorted(path.read_text().split()) == ["7", "7", "8"], "a person asked for it"
    await other.close()


async def test_records_that_were_deleted_are_missed_by_name_and_never_thought_new(tree, client, book, gates, until):
    """The last test here: the place is of no use afterwards."""
    gate = book.names["Gate"]()
    mycelium = client.mycelium
    run = await book.submit("robbed", lambda: gate.task_pass(str(gates.folder), 1))
    await book.running(run, 0)
    await until(tree.place.marks_file.exists)
    await mycelium.link.api(f"STREAM.DELETE.{mycelium.names.jobs}")
    with pytest.raises(StoreRegressed, match=mycelium.names.jobs):
        await asyncio.wait_for(run.settled(), 30)
    gates.open()
    await until(lambda: any(mycelium.names.jobs in line for line in tree.facts().losses), 30)
    with pytest.raises(MyceliumError, match=mycelium.names.jobs):
        await Mycelium.open(tree.place.address(), key=tree.place.key())
    await until(lambda: mycelium.names.jobs in tree.facts().trouble, 60)
    report = await asyncio.to_thread(examine, tree.place)
    assert any(mycelium.names.jobs in check.words for check in report.checks if check.verdict == "wrong")
    assert run.state.jobs[0].state is State.RUNNING, "nobody has made up what came of it"
    assert await mycelium.streams.epoch() == 0, "no empty stream has taken its place"
