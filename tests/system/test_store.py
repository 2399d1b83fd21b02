"""Large values, and a store that has lost something: said by name, never waited for."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from elfbook.errors import StoreCorrupt, StoreRegressed
from elfbook.facts import Failed, State
from elfbook.store.blobs import CHUNK

LARGE = '''\
import numpy as np


class Large:
    def task_turn(self, array):
        return array[::-1]

    def task_sum(self, array):
        return float(array.sum())

    def task_bytes(self, size):
        return bytes(size)

    def task_length(self, *given):
        return [len(each) for each in given]
'''
MB = 1024 * 1024


def peak(number: int) -> int:
    """The most memory that a process has ever had, in bytes."""
    text = Path(f"/proc/{number}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


async def test_an_array_of_100_mb_goes_there_and_back(client, book):
    before = {beat.pid: peak(beat.pid) for beat in await client.workers()}
    large = book.cell(LARGE)["Large"]()
    array = np.random.default_rng(7).random(100 * MB // 8)
    run = await book.settled(await book.submit("large", lambda: large.task_turn(array)), 90)
    value = run.state.jobs[0].event.value
    assert value.size > 100 * MB
    assert value.inline is None
    back = await book.value(run, 0)
    assert back.dtype == array.dtype
    assert hashlib.sha256(back[::-1].copy()).digest() == hashlib.sha256(array).digest()
    for beat in await client.workers():
        assert peak(beat.pid) - before[beat.pid] < 64 * MB, "the worker's own process never holds it whole"


async def test_several_large_values_reach_one_job(book):
    large = book.cell(LARGE)["Large"]()
    sizes = [33 * 1024, 300 * 1024, 2 * MB]
    run = await book.submit("several", lambda: large.task_length(*large.task_bytes.map(sizes), b"x" * MB))
    await book.settled(run)
    assert await book.value(run, 3) == [*sizes, MB]


async def test_a_value_that_lost_a_part_fails_its_job_by_name(client, book, gates, until):
    """G9: neither waited for nor computed anew in silence."""
    large, gate = book.cell(LARGE)["Large"](), book.names["Gate"]()
    mycelium = client.mycelium

    def calls():
        made = large.task_bytes(3 * MB)
        return large.task_length(made, gate.task_pass(str(gates.folder), "go"))

    run = await book.submit("hole", calls)
    await until(lambda: run.state.jobs[0].state is State.DONE)
    await until(gates.begun)
    ref = run.state.jobs[0].event.value
    entry = await mycelium.link.last(mycelium.names.blobs, mycelium.names.chunk(ref.digest, 2))
    await mycelium.link.api(f"STREAM.MSG.DELETE.{mycelium.names.blobs}", {"seq": entry.seq})
    # On this machine it is there as a file; without that, whoever wants it asks the store.
    for file in client.place.values.glob(f"*/{ref.digest}"):
        file.unlink()
    with pytest.raises(StoreCorrupt, match="part 3 of 7"):
        await client.fetch(ref)
    gates.open()
    await book.settled(run)
    event = run.state.jobs[2].event
    assert isinstance(event, Failed)
    assert event.failure.type == "StoreCorrupt"
    assert "part 3 of 7" in event.failure.message


async def test_on_one_machine_a_value_moves_as_a_file(client, book, monkeypatch):
    """The store has it too, but nobody reads it from there; a file that was altered does not count."""
    large, shelf, asked = book.cell(LARGE)["Large"](), client.place.shelf, []
    array = np.random.default_rng(8).random(MB)
    run = await book.settled(await book.submit("beside", lambda: large.task_turn(array)))
    given, made = run.graph.jobs[0].blobs[0], run.state.jobs[0].event.value
    for ref in (given, made):
        # One file: on the shelf, and at the worker that was given it or made it.
        assert (shelf / ref.digest).stat().st_nlink >= 2
        assert await (await client.mycelium.blobs())._has(ref.digest, -(-ref.size // CHUNK))
    blobs = await client.mycelium.blobs()
    send = blobs.link.send

    async def noted(subject: str, *given: object):
        asked.append(subject)
        return await send(subject, *given)

    monkeypatch.setattr(blobs.link, "send", noted)
    assert np.array_equal(await book.value(run, 0), array[::-1])
    assert not asked
    (shelf / made.digest).write_bytes(b"x" * made.size)
    assert np.array_equal(await book.value(run, 0), array[::-1])
    assert asked


async def test_a_store_that_was_lost_is_said_to_be(tree, client, book, gates, until):
    """G9. The last test here: the place is of no use afterwards."""
    gate = book.names["Gate"]()
    run = await book.submit("lost", lambda: gate.task_pass(str(gates.folder), "x"))
    await book.running(run, 0)
    epoch = client.mycelium.epoch
    facts = await asyncio.to_thread(tree.facts)
    tree.send(facts.pid, signal.SIGSTOP)  # so that it does not start the server meanwhile
    tree.send(facts.server_pid, signal.SIGKILL)
    store = tree.place.state_dir / "store"
    store.rename(store.with_name("lost"))
    tree.send(facts.pid, signal.SIGCONT)
    with pytest.raises(StoreRegressed, match="lost"):
        await asyncio.wait_for(run.settled(), 20)
    await until(lambda: client.mycelium.epoch > epoch + 1)
    gone = {line.split()[0] for line in tree.facts().losses if line.endswith("is gone")}
    assert gone == set(client.mycelium.streams.truth)
