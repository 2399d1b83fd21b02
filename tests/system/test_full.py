"""A store that is full: whoever writes keeps what it has, says why, and goes on once there is room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfbook.client.client import Client
from elfbook.errors import StoreFull
from elfbook.facts import Claimed, Succeeded
from elfbook.host import hostfile
from elfbook.model import ElfUse, Graph, JobSpec, Origin
from elfbook.notebook import verbs
from elfbook.notebook.checks import examine
from elfbook.notebook.notebook import Notebook
from elfbook.store.place import Place, read_json
from elfbook.store.pressure import Trouble
from elfbook.tracing.graph import Drawn

MB = 1000**2
DISK_MB = 64


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A small disk of its own for the place; needs the right to mount one."""
    made = Path(tempfile.mkdtemp(prefix="e"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(made)], capture_output=True, check=False
    )
    if mounted.returncode:
        made.rmdir()
        pytest.skip("no right to mount a disk here")
    (made / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(made / "tmp"))
        yield made
        hostfile.stop(Place(made / "state"))
    subprocess.run(["umount", "-l", str(made)], check=True)
    made.rmdir()


@contextlib.contextmanager
def ballast(folder: Path, left: int) -> Iterator[None]:
    """Somebody else's file takes the disk up to so many bytes."""
    file = folder / "ballast"
    file.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - left)))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


async def facts_of(book, run) -> list:
    return [stored.event for stored in await book.facts(run)]


async def test_a_disk_that_is_really_full_is_named_and_all_goes_on_once_it_has_room(
    tree, client, book, folder, gates, until
):
    """The server says nothing then, and would say nothing for ever: it is started anew."""
    gate = book.names["Gate"]()
    names = client.mycelium.names
    filler = await Client.open(tree.place)
    run = await book.submit("kept", lambda: [gate.task_pass(str(gates.folder), n) for n in range(2)])
    await until(lambda: len(gates.begun()) == 2)
    server = read_json(tree.place.server_file)["pid"]
    with ballast(folder, 3 * MB):
        filler.mycelium.pressure.patience_s = 8.0
        before = time.monotonic()
        writes = [
            filler.mycelium.jobs.write(names.job("filler.1", n), os.urandom(200_000), 0) for n in range(40)
        ]
        await until(lambda: filler.mycelium.pressure.trouble is Trouble.DISK)
        assert "its disk is full" in filler.mycelium.pressure.why
        gates.open()
        await until(lambda: "worker-" in tree.facts().pressure, 30)
        assert "are free on its disk" in tree.facts().pressure
        results = await asyncio.gather(*writes, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        assert {type(result) for result in failed} == {StoreFull}
        assert time.monotonic() - before < 60
        assert read_json(tree.place.server_file)["pid"] == server, "it is of no use to start it anew yet"
    await book.settled(run, 60)
    assert [job.state.value for job in run.state.jobs] == ["done", "done"]
    assert read_json(tree.place.server_file)["pid"] != server
    assert [type(event) for event in await facts_of(book, run)].count(Succeeded) == 2
    assert [type(event) for event in await facts_of(book, run)].count(Claimed) == 2, "nothing ran twice"
    await until(lambda: tree.facts().pressure == "", 20)
    assert tree.facts().losses == ()
    await filler.close()


async def test_a_store_with_a_limit_slows_submit_and_says_why(tree, client, book, until):
    used = (await client.mycelium.link.api("INFO"))["storage"]
    await asyncio.to_thread(hostfile.ensure, tree.place, workers=2, store_limit=used + 100_000)
    await until(lambda: client.mycelium.link.connected)
    sums = book.names["Sums"]()
    client.mycelium.pressure.patience_s = 1.0
    with pytest.raises(StoreFull, match="the store is full") as told:
        for n in range(5):
            await book.submit(f"much{n}", lambda: sums.task_same(os.urandom(100_000)))
    assert "--store-limit" in told.value.hint
    client.mycelium.pressure.patience_s = 60.0
    waiting = asyncio.create_task(book.submit("patient", lambda: sums.task_same(os.urandom(100_000))))
    await until(lambda: "the store is full" in client.mycelium.pressure.why)
    await until(lambda: "the store is full" in tree.facts().pressure)
    report = await asyncio.to_thread(examine, tree.place)
    assert any("the store is full" in check.words for check in report.checks if check.verdict == "wrong")
    assert any("the store is full" in line for line in verbs.attention(tree.facts()))
    assert not waiting.done()
    await asyncio.to_thread(hostfile.ensure, tree.place, workers=2, store_limit=used + 20 * MB)
    run = await asyncio.wait_for(waiting, 60)
    await book.settled(run, 60)
    assert [job.state.value for job in run.state.jobs] == ["done"]
    await until(lambda: tree.facts().pressure == "", 20)


async def test_a_notebook_says_why_its_submission_waits_and_goes_on_with_room(tree, client, capsys, until):
    used = (await client.mycelium.link.api("INFO"))["storage"]
    await asyncio.to_thread(hostfile.ensure, tree.place, workers=2, store_limit=used + 100_000)
    notebook = Notebook(None, tree.place)
    literals = {"a" * 64: [os.urandom(100_000)], "b" * 64: [os.urandom(100_000)]}
    try:
        await until(lambda: client.mycelium.link.connected)
        before = {manifest.run async for manifest in client.mycelium.manifests()}
        begin = asyncio.to_thread(lambda: notebook.ask(notebook.client.submit, "told", calls(literals), Origin()))
        waiting = asyncio.create_task(begin)
        await until(lambda: "waiting: the store is full" in capsys.readouterr().out)
        assert not waiting.done()
        notebook.client.mycelium.pressure.patience_s = 1.0
        with pytest.raises(StoreFull, match="the store is full.*It was tried for 1 s, and was not stored") as told:
            await waiting
        assert "--store-limit" in told.value.hint
        assert {manifest.run async for manifest in client.mycelium.manifests()} == before, "nothing half done"
        notebook.client.mycelium.pressure.patience_s = 60.0
        begin = asyncio.to_thread(notebook.ask, notebook.client.submit, "told", calls(literals), Origin())
        waiting = asyncio.create_task(begin)
        await until(lambda: "waiting: the store is full" in capsys.readouterr().out)
        await asyncio.to_thread(hostfile.ensure, tree.place, workers=2, store_limit=used + 20 * MB)
        run, joined = await asyncio.wait_for(waiting, 60)
        assert (run.manifest.number, joined) == (1, False)
        await asyncio.to_thread(notebook.ask, notebook.client.cancel, run)
    finally:
        await asyncio.to_thread(notebook.disconnect)


def calls(blobs: dict) -> Drawn:
    spec = JobSpec(0, "task_same", b"", number=0)
    return Drawn(Graph((ElfUse("Sums", "d" * 64),), (spec,), b""), dict(blobs), {})
