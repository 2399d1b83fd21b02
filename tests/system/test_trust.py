"""What must never run, what cannot be read, and two schedulers at once."""

from __future__ import annotations

import secrets
import subprocess
import sys

import pytest

from elfbook.client.client import Client
from elfbook.errors import Untrusted
from elfbook.facts import Claimed, State
from elfbook.model import Dispatch, ElfUse, ValueRef
from elfbook.wire import encode, encode_sealed

SPY = '''\
class Spy:
    def task_touch(self, path):
        open(path, "a").close()
        return path
'''


async def test_a_run_signed_with_another_key_is_left_alone(tree, client, book, tmp_path, monkeypatch, until):
    other_key = tmp_path / "key"
    other_key.write_bytes(secrets.token_bytes(32))
    monkeypatch.setenv("ELFBOOK_KEY_FILE", str(other_key))
    stranger = await Client.open(tree.place)
    monkeypatch.delenv("ELFBOOK_KEY_FILE")
    theirs = type(book)(stranger)
    path = tmp_path / "touched"
    try:
        spy = theirs.cell(SPY)["Spy"]()
        run = await theirs.submit("spy", lambda: spy.task_touch(str(path)))
        mine = book.cell(SPY)["Spy"]()
        done = await book.settled(await book.submit("after_spy", lambda: mine.task_touch(str(tmp_path / "mine"))))
        assert done.state.jobs[0].state is State.DONE
        await until(lambda: "is set aside" in tree.log("scheduler"))
        assert run.state.jobs[0].state is State.WAITING
        assert not path.exists()
        with pytest.raises(Untrusted):
            await client.watch("spy")
    finally:
        await stranger.close()


def forged(run, **changes) -> Dispatch:
    """An offer of a job that a run does not have, made by hand."""
    words = {
        "run": run,
        "job": 0,
        "seq": 0,
        "attempt": 1,
        "label": "task_touch[0]",
        "elf": ElfUse(elf="Spy", revision="0" * 64),
        "code": ValueRef(digest="0" * 64, size=3, inline=b"abc"),
        "task": "task_touch",
        "arguments": b"",
    }
    return Dispatch(**(words | changes))


async def test_offers_that_cannot_be_read_are_dropped_and_the_worker_goes_on(tree, client, book, until):
    mycelium = client.mycelium
    names = mycelium.names
    offers = {
        "rubbish": b"\x00\xffrubbish",
        "empty": b"",
        "unsigned": encode(forged("unsigned.1")),
        "other-key": encode_sealed(forged("other-key.1"), b"k" * 32),
        "other-type": encode_sealed(Claimed(nonce="x"), mycelium.key),
    }
    for number, data in enumerate(offers.values()):
        await mycelium.link.request(names.offer_to_pool("main", "forged.1", number, 0), data)

    async def dealt_with():
        state = (await mycelium.link.api(f"STREAM.INFO.{names.work}"))["state"]
        return state["messages"] == 0

    await until(dealt_with)
    for number in range(len(offers)):
        assert await mycelium.last_event("forged.1", number) is None, "nobody claimed it"
    words = "".join(tree.log(beat.worker) for beat in await client.workers())
    assert words.count("an offer that cannot be read is dropped") == len(offers)
    run = await book.submit("after_forged", lambda: book.names["Sums"]().task_same.map([1, 2, 3]))
    assert await book.values(await book.settled(run)) == [1, 2, 3]


async def test_code_that_is_not_what_it_says_fails_its_job_and_never_runs(client, book, tmp_path):
    """A signed offer whose code was exchanged: the seal of the code tells."""
    mycelium = client.mycelium
    path = tmp_path / "touched"
    spy = book.cell(SPY)["Spy"]()
    run = await book.settled(await book.submit("seal", lambda: spy.task_touch(str(path))))
    path.unlink()
    ref = next(iter(run.manifest.revisions.values()))
    code = await mycelium.fetch(ref)
    altered = ValueRef(digest="1" * 64, size=len(code), inline=code.replace(b"open(path", b"OPEN(path"))
    use = ElfUse(elf="Spy", revision="1" * 64)
    spec = run.graph.jobs[0]
    offer = forged("seal.7", elf=use, code=altered, arguments=spec.arguments)
    await mycelium.link.request(mycelium.names.offer_to_pool("main", "seal.7", 0, 0), encode_sealed(offer, mycelium.key))
    event = None
    while event is None or isinstance(event[0], Claimed):
        event = await mycelium.last_event("seal.7", 0)
    assert event[0].outcome == "refused"
    assert event[0].failure.type == "Untrusted"
    assert not path.exists()


async def test_a_record_that_cannot_be_read_harms_no_other_run(tree, client, book, gates, until):
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    run = await book.submit("damaged", lambda: sums.task_same(gate.task_pass(str(gates.folder), "x")))
    await book.running(run, 0)
    names = client.mycelium.names
    await client.mycelium.jobs.write(names.job(run.run, 1), b"\x09not a record", 0)
    await until(lambda: run.state.jobs[1].state is State.FAILED)
    assert run.state.jobs[1].event.failure.type == "StoreCorrupt"
    for _ in range(3):
        other = await book.settled(await book.submit("healthy", lambda: sums.task_add(1, sums.task_same(2))))
        assert await book.value(other, 1) == 3
    gates.open()
    await book.settled(run)
    assert run.state.jobs[0].state is State.DONE, "nor any other job"


async def test_two_schedulers_at_once_are_harmless(tree, book, tmp_path, until):
    command = [sys.executable, "-m", "elfbook.host.schedulerprocess", "--state-dir", str(tree.place.state_dir)]
    with open(tmp_path / "log", "wb") as log:
        second = subprocess.Popen([*command, "--name", "second", "--parent"], stdin=subprocess.PIPE, stderr=log)
    try:
        path, note = tmp_path / "notes", book.names["Sums"]()

        def calls():
            row = [note.task_note(str(path), n) for n in range(30)]
            for level in range(1, 8):
                row = [note.task_note(str(path), level * 30 + n, row[n], row[n - 1]) for n in range(30)]
            return row

        for attempt in range(3):
            run = await book.settled(await book.submit(f"twice{attempt}", calls))
            assert await book.values(run) == list(range(240))
            await book.check(run, attempts=1)
        lines = path.read_text().split()
        assert len(lines) == 3 * 240
        assert second.poll() is None, (tmp_path / "log").read_text()
    finally:
        second.stdin.close()
        assert second.wait(20) == 0
