"""Progress of jobs on real workers: said by the job itself, or by a bar that it prints; never stored, never stale."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from elfbook.facts import Failed, State
from elfbook.progress import Progress, Report
from elfbook.view.view import Known, look
from elfbook.wire import decode
from elfbook.work import reports

FAR = '''\
import os
import sys
import threading
import time


class Far:
    def task_steps(self, folder):
        for step in range(3):
            self.progress(step, 3, f"<b>part</b> {step}")
            self.wait(folder, step)
        return "end"

    def task_again(self, folder, times):
        self.progress(1, 2, f"try {times}") if not os.path.exists(f"{folder}/tried") else None
        self.wait(folder, 0)
        if not os.path.exists(f"{folder}/tried"):
            open(f"{folder}/tried", "w").close()
            raise ValueError("not this time")
        self.wait(folder, 1)

    def task_bar(self, folder):
        from tqdm import tqdm

        print("before")
        for step in tqdm(range(500), desc="reading", mininterval=0):
            if step == 250:
                self.wait(folder, 0)
        print("after")
        self.wait(folder, 1)

    def task_loop(self, folder, times):
        for step in range(times):
            self.progress(step + 1, times)
        self.wait(folder, 0)

    def task_wrong(self):
        self.progress(1, 2)
        self.progress(-1, 2)

    def wait(self, folder, step):
        while not os.path.exists(f"{folder}/{step}"):
            time.sleep(0.005)
'''


@pytest.fixture
def far(book):
    return book.cell(FAR)["Far"]()


def progress(run, job: int = 0) -> Progress | None:
    return run.progress().get(job)


def let(folder: Path, step: int) -> None:
    (folder / str(step)).touch()


async def test_each_step_is_seen_while_the_job_runs_and_nothing_once_it_has_ended(book, far, tmp_path, until):
    run = await book.submit("steps", lambda: far.task_steps(str(tmp_path)))
    for step in range(3):
        wanted = Progress(float(step), 3.0, f"<b>part</b> {step}")
        await until(lambda wanted=wanted: progress(run) == wanted)
        lines = look(run.manifest, run.state, Known(progress=run.progress())).progress
        assert len(lines) == 1 and lines[0].startswith("task_steps[0]") and f"{step}/3" in lines[0]
        let(tmp_path, step)
    await book.settled(run)
    assert run.progress() == {}
    assert await book.value(run, 0) == "end"


async def test_whoever_comes_later_hears_what_was_said_before(tree, client, book, far, tmp_path, until):
    """The job says nothing new; its worker does, for it."""
    run = await book.submit("late", lambda: far.task_steps(str(tmp_path)))
    await until(lambda: progress(run) is not None)
    other = await client.open(tree.place)
    try:
        seen = await other.watch("late")
        await until(lambda: progress(seen) == Progress(0.0, 3.0, "<b>part</b> 0"))
    finally:
        await other.close()
    for step in range(3):
        let(tmp_path, step)
    await book.settled(run)


async def test_a_new_attempt_begins_anew(book, far, tmp_path, until):
    run = await book.submit("anew", lambda: far.task_again(str(tmp_path), 1), retries=1, backoff_s=0.0)
    await until(lambda: progress(run) == Progress(1.0, 2.0, "try 1"))
    let(tmp_path, 0)
    await until(lambda: run.state.jobs[0].attempt == 2 and run.state.jobs[0].state is State.RUNNING)
    assert run.progress() == {}, "the second attempt has said nothing"
    let(tmp_path, 1)
    await book.settled(run)
    assert run.state.jobs[0].state is State.DONE


async def test_a_plain_bar_is_progress_and_leaves_one_line(book, far, tmp_path, until):
    pytest.importorskip("tqdm")
    run = await book.submit("bar", lambda: far.task_bar(str(tmp_path)))
    told = await until(lambda: (found := progress(run)) and found.done == 250.0 and found)
    assert told.total == 500.0 and told.share == 0.5 and told.text.startswith("reading: [")
    assert "█" not in told.text, "the bar is drawn by whoever shows it"
    let(tmp_path, 0)
    await until(lambda: "after\n" in "".join(o.text for o in run.outputs.get(0, []) if o.kind == "stdout"))
    await until(lambda: progress(run) is None)
    let(tmp_path, 1)
    await book.settled(run)
    await run.complete_outputs()
    bars = "".join(output.text for output in run.outputs[0] if output.kind == "stderr")
    assert bars.count("\n") == 1 and "\r" not in bars and "500/500" in bars, bars
    assert len(bars) < 200


async def test_a_loop_that_says_it_a_million_times_sends_a_few_messages(client, book, far, tmp_path, until):
    names, heard, stored = client.mycelium.names, [], []
    undo = await client.mycelium.link.subscribe(names.progress_of_flow("loop"), heard.append)
    undo_stored = await client.mycelium.link.subscribe(f"{names.output_of('loop.1', 0)}", stored.append)
    began = time.monotonic()
    run = await book.submit("loop", lambda: far.task_loop(str(tmp_path), 1_000_000))
    await until(lambda: progress(run) == Progress(1e6, 1e6), 40)
    took_s = time.monotonic() - began
    await undo()
    await undo_stored()
    assert decode(heard[-1].data, Report).progress.done == 1e6, "the last word is always sent"
    assert len(heard) <= took_s / reports.EVERY_S + 2 and stored == []
    let(tmp_path, 0)
    await book.settled(run)


async def test_what_is_no_progress_fails_at_its_own_line(book, far):
    run = await book.settled(await book.submit("wrong", far.task_wrong))
    event = run.state.jobs[0].event
    assert isinstance(event, Failed)
    assert event.failure.message == "progress: done is to be a number from 0 on, not -1.0"
    assert event.failure.type == "ValueError"
    (frame,) = event.failure.frames
    assert frame.context[frame.line - frame.first].strip() == "self.progress(-1, 2)"


async def test_a_frozen_workers_progress_is_known_no_more(tree, client, book, far, tmp_path, until, monkeypatch):
    run = await book.submit("frozen", lambda: far.task_steps(str(tmp_path)))
    await until(lambda: progress(run) is not None)
    worker = run.state.jobs[0].worker
    numbers = await tree.numbers("worker", client, worker)
    for number in numbers:
        tree.send(number, signal.SIGSTOP)
    try:
        version = run.version
        await until(lambda: progress(run) is None, 30)
        assert run.state.jobs[0].worker == worker, "long before anybody gives the worker up"
        await until(lambda: run.version > version)
    finally:
        for number in numbers:
            tree.send(number, signal.SIGCONT)
    await until(lambda: progress(run) is not None)
    for step in range(3):
        let(tmp_path, step)
    await book.settled(run)


async def test_what_others_say_of_a_job_is_not_believed(client, book, gates, until):
    """Anybody may write to the server: a job's claim has to be named, and what cannot be read does no harm."""
    gate, held, then = book.names["Gate"](), str(gates.folder), book.names["Sums"]()
    run = await book.submit("forged", lambda: then.task_same(gate.task_pass(held, "held")))
    await until(gates.begun)
    await book.running(run, 0)
    claim, mycelium = run.state.jobs[0].held, client.mycelium
    forged = [(0, claim + 1), (0, 0), (1, claim), (1, 0), (0, claim)]
    for job, named in forged:
        version = run.version
        await mycelium.report(Report("forged.1", job, named, Progress(1.0, 2.0)))
        await until(lambda version=version: run.version > version)
        assert list(run.progress()) == ([0] if (job, named) == (0, claim) else [])
    await mycelium.report(Report("forged.1", 7, claim, Progress(1.0)))
    await mycelium.link.publish(mycelium.names.progress("forged.1"), b"\x01no report")
    await mycelium.report(Report("forged.1", 0, claim, Progress(float("nan"), -1.0, "\x1b[2J<b>x</b>\nsecond")))
    told = await until(lambda: progress(run) != Progress(1.0, 2.0) and progress(run))
    assert told.share is None and str(told).endswith("<b>x</b>")
    gates.open()
    await book.settled(run)
    await book.check(run)
