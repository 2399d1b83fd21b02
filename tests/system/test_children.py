"""A host's children: how they begin, and that each is a process of its own from then on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from elfbook.errors import ElfbookError
from elfbook.host import hostfile
from elfbook.host.host import TROUBLE_AFTER
from elfbook.store.place import Place

STATE_S = 20.0


def parent_of(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def open_files(number: int) -> set[str]:
    return {os.readlink(each) for each in Path(f"/proc/{number}/fd").iterdir()}


async def test_children_hold_nothing_of_their_host(tree, client):
    """They are forked from it, so its locks would be theirs, and no host could follow one that was killed."""
    (host,) = await tree.numbers("host", client)
    children = await tree.numbers("worker", client) + await tree.numbers("scheduler", client)
    assert len(children) == 3
    for number in children:
        assert parent_of(number) == host
        assert os.getsid(number) == number
        assert not [name for name in open_files(number) if name.endswith((".lock", "host.log", "/host"))]


async def test_who_was_forked_and_dies_is_started_again(tree, client, book, until):
    before = set(await tree.numbers("worker", client) + await tree.numbers("scheduler", client))
    for number in before:
        tree.send(number, signal.SIGKILL)

    def all_new() -> bool:
        facts = tree.facts()
        now = {facts.scheduler_pid, *(worker["pid"] for worker in facts.workers)}
        return len(tree.live_workers()) == 2 and not now & {0, *before}

    await until(all_new)
    run = await book.submit("again", lambda: book.names["Gate"]().task_pass(str(tree.folder / "none"), "x"))
    await client.cancel(run)
    await book.settled(run)


async def test_a_scheduler_that_works_and_is_killed_soon_is_not_one_that_does_not_start(tree, client, until):
    said: list[str] = []
    undo = await client.mycelium.link.subscribe(
        client.mycelium.names.schedulers, lambda message: said.append(message.data.decode())
    )
    for _ in range(TROUBLE_AFTER + 1):
        number = tree.facts().scheduler_pid
        await until(lambda number=number: any(f":{number}:" in each for each in said))
        tree.send(number, signal.SIGKILL)
        await until(lambda number=number: tree.facts().scheduler_pid not in (0, number))
        assert tree.facts().trouble == ""
    await undo()


async def test_a_scheduler_that_never_comes_so_far_is_named(tree, client, until):
    def killed_again() -> bool:
        facts = tree.facts()
        if not facts.trouble and facts.scheduler_pid:
            tree.send(facts.scheduler_pid, signal.SIGKILL)
        return bool(facts.trouble)

    await until(killed_again)
    assert tree.facts().trouble.startswith("scheduler does not start: ")
    await until(lambda: not tree.facts().trouble)


@pytest.mark.parametrize("module", ["host.schedulerprocess", "work.workerprocess"])
async def test_a_child_waits_until_it_is_told_to_begin(tmp_path, module: str):
    """There is no server here yet: who connected at once would say so and fail."""
    place = Place(tmp_path / "state")
    place.prepare()
    words = ["--state-dir", str(place.state_dir), "--name", "early", "--parent"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"elfbook.{module}", *words, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = await asyncio.wait_for(child.communicate(b""), STATE_S)  # its pipe ends: it is to leave
    assert (child.returncode, said) == (0, b"")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"elfbook.{module}", *words, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdin.write(b"begin\n")
    said = await asyncio.wait_for(child.stderr.read(), STATE_S)
    assert (await child.wait(), b"MyceliumUnreachable" in said) == (1, True)


async def test_a_host_without_a_server_says_why_and_leaves_nothing(tmp_path, processes):
    place = Place(tmp_path / "state")
    place.prepare()
    with open(place.state_dir / "server.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ElfbookError, match=r"the host did not start: .*runs but does not answer"):
            await asyncio.to_thread(hostfile.ensure, place, workers=1)
    assert not place.host_file.exists()
    assert processes(tmp_path) == {}
