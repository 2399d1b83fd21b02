"""Faults 9 to 11: notebooks whose kernel dies, while they submit or afterwards, or that are closed for long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from ground import HERE, Ground, need, until
from table import fault

from elfbook.client.watched import Watched
from elfbook.facts import State
from elfbook.view.view import look

CLOSED_S = 70.0
"""Longer than the minute for which a server remembers a consumer that nobody uses."""


def where(ground: Ground) -> str:
    """The place, as another process is told of it."""
    return f"{ground.place.url or ''}|{ground.place.state_dir}"


@contextlib.contextmanager
def notebook(ground: Ground, *words: object):
    """Another notebook's process; ended afterwards, however it stands."""
    command = [sys.executable, str(HERE / "notebook.py"), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


async def told(process: subprocess.Popen) -> dict:
    """The next object that it prints."""
    line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)
    need(line, f"the other notebook ended with code {process.poll()}")
    return json.loads(line)


async def submitted_elsewhere(ground: Ground, facts: dict, *, trail: bool = True) -> Watched:
    """A run that another notebook submitted, watched here and among those that are checked."""
    watched = await ground.client.watch(facts["flow"], facts["number"])
    need(watched.manifest.nonce == facts["nonce"], "the store has another run under that number")
    return ground.note(watched, Path(facts["trail"]) if trail else None)


@fault(
    "9", "a notebook's kernel dies at each message of a submission", quick=True,
    done="SIGKILL at the 1st, 2nd, … message that a submission with large literals sends",
    allowed="each time either no run or the whole run; never a part",
)  # fmt: skip
async def killed_while_submitting(ground: Ground) -> str:
    with notebook(ground, "cut", where(ground), "cut", 0) as process:
        lines = [json.loads(line) for line in await asyncio.to_thread(process.stdout.readlines)]
    messages = lines[-1]["messages"]
    need(messages > 5, f"a submission sent only {messages} messages")
    manifests, _ = await ground.client.mycelium.all_runs()
    there = [manifest for manifest in manifests if manifest.flow.startswith("cut")]
    for manifest in there:
        watched = await ground.client.watch(manifest.flow, manifest.number)
        await ground.settled(ground.note(watched, None))
        need(watched.state.counts[State.DONE] == 3, f"{watched.run} ended as {watched.state.counts}")
    flows = {manifest.flow for manifest in there}
    need(f"cut{messages + 1}" in flows, "the submission that nobody cut is not there")
    return f"{messages} messages: {len(flows) - 1} of the cut submissions are there, whole; the others not at all"


@fault(
    "10", "a notebook's kernel is restarted after submit", quick=True,
    done="SIGKILL to it as soon as submit of 1,000 jobs has returned; another client opens",
    allowed="the run goes on; the same graph is on the screen again",
)  # fmt: skip
async def restarted_after_submit(ground: Ground) -> str:
    with notebook(ground, "submit", where(ground), "restarted", 1000) as process:
        facts = await told(process)
        process.send_signal(signal.SIGKILL)
    await ground.connect()
    began = time.monotonic()
    watched = await submitted_elsewhere(ground, facts)
    shown = look(watched.manifest, watched.state)
    took = time.monotonic() - began
    need(shown.total == 1000, f"it shows {shown.total} jobs")
    await ground.settled(watched)
    return f"the graph of 1,000 jobs was back after {took:.2f} s, and all of them ended"


@fault(
    "11", "the notebook is closed for long",
    done=f"no client for {CLOSED_S:g} s while a run is under way (a minute stands for the hour)",
    allowed="the run goes on without it and is all there when it comes back",
)  # fmt: skip
async def closed_for_long(ground: Ground) -> str:
    with notebook(ground, "submit", where(ground), "closed", 300) as process:
        facts = await told(process)
    await ground.client.close()
    reopen_at = time.monotonic() + CLOSED_S
    while time.monotonic() < reopen_at:
        await asyncio.sleep(1)
    ground.client = None
    await ground.connect()
    watched = await submitted_elsewhere(ground, facts)
    need(watched.state.settled, f"when the notebook came back: {watched.state.counts}")
    return "all 300 jobs had ended when it came back"


@fault(
    "s", "the same cell is submitted from two kernels at once", quick=True,
    done="two processes submit the same flow with the same arguments at the same moment, three times",
    allowed="one run each time, of which both know",
)  # fmt: skip
async def submitted_twice(ground: Ground) -> str:
    joined = 0
    for turn in range(3):
        with (
            notebook(ground, "same", where(ground), f"same{turn}", 200) as one,
            notebook(ground, "same", where(ground), f"same{turn}", 200) as two,
        ):
            for process in (one, two):
                await asyncio.to_thread(process.stdout.readline)
            for process in (one, two):
                process.stdin.write("go\n")
                process.stdin.flush()
            first, second = await told(one), await told(two)
        need(
            first["nonce"] == second["nonce"] and first["number"] == second["number"], f"{first} and {second}"
        )
        joined += first["joined"] + second["joined"]
        ground.folder.joinpath(f"same{turn}.gate").touch()
        await ground.settled(await submitted_elsewhere(ground, first))
        manifests, _ = await ground.client.mycelium.all_runs()
        count = sum(manifest.flow == f"same{turn}" for manifest in manifests)
        need(count == 1, f"the flow has {count} runs")
    need(joined == 3, f"{joined} of three joined the other's run")
    return "one run each time; the second to come joined it"


__all__ = ["until"]
