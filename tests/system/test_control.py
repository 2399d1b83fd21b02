"""Retries, failures upstream, time limits, cancel, mended code, and joining a run."""

from __future__ import annotations

import asyncio
import time

import pytest

from elfbook.client.client import Client
from elfbook.facts import Cancelled, Claimed, Failed, Lost, Skipped, State, Succeeded
from elfbook.log.fold import to_reopen
from elfbook.model import Origin

WORKERS = 2


def states(run) -> list[str]:
    return [job.state.value for job in run.state.jobs]


# ---------------------------------------------------------------------------- failures

FAILING = '''\
import os
import threading


class Shaky:
    def task_fail(self, times, path):
        with open(path, "a") as file:
            file.write("x")
        size = os.path.getsize(path)
        if size <= times:
            raise ValueError(f"attempt {size} of {times}")
        return size

    def task_use(self, *given):
        return given

    def task_die(self):
        print("about to go")
        os._exit(7)

    def task_unsaved(self):
        return {"ok": 1, "not ok": threading.Lock()}
'''


@pytest.fixture
def shaky(book):
    return book.cell(FAILING)["Shaky"]()


async def test_retries_wait_longer_each_time_and_end_with_the_first_success(book, shaky, tmp_path):
    path = str(tmp_path / "tries")
    run = await book.submit("retries", lambda: shaky.task_fail(2, path), retries=2, backoff_s=0.2)
    await book.settled(run)
    assert await book.value(run, 0) == 3
    facts = await book.facts(run)
    assert [type(fact.event) for fact in facts] == [Claimed, Failed, Claimed, Failed, Claimed, Succeeded]
    first = facts[2].at - facts[1].at
    second = facts[4].at - facts[3].at
    assert first >= 0.1, "half of the first back-off is certain"
    assert second >= 0.2, "and of the second one, which is twice as long"
    await book.check(run)


async def test_a_failure_skips_all_that_depends_on_it_and_nothing_else(book, shaky, tmp_path):
    path = str(tmp_path / "tries")

    def calls():
        bad = shaky.task_fail(9, path)
        below = shaky.task_use(shaky.task_use(bad))
        beside = shaky.task_use(1)
        return below, beside, shaky.task_use(2, after=bad)

    run = await book.submit("upstream", calls)
    await book.settled(run)
    assert states(run) == ["failed", "skipped", "skipped", "done", "skipped"]
    assert {run.state.jobs[job].event.because for job in (1, 2, 4)} == {0}
    event = run.state.jobs[0].event
    assert (event.outcome, event.failure.type, event.failure.message) == ("crashed", "ValueError", "attempt 1 of 9")
    own = [(frame.filename, frame.line) for frame in event.failure.frames if frame.own]
    assert own == [("<cell 2>", 11)], "the user's line and no other"


async def test_three_failures_at_one_line_keep_their_three_messages(book, shaky, tmp_path):
    """BM-13: and the worker goes on with the next job."""
    paths = [str(tmp_path / name) for name in "abc"]
    run = await book.submit("three", lambda: [shaky.task_fail(9 + n, path) for n, path in enumerate(paths)])
    await book.settled(run)
    assert [job.event.failure.message for job in run.state.jobs] == [f"attempt 1 of {n}" for n in (9, 10, 11)]
    after = await book.settled(await book.submit("three", lambda: shaky.task_use(1)))
    assert states(after) == ["done"]


async def test_a_kernel_that_ends_itself_costs_an_attempt_each_time(book, shaky):
    run = await book.submit("die", shaky.task_die, lost_retries=1, backoff_s=0.01)
    await book.settled(run)
    assert states(run) == ["failed"]
    assert [type(fact.event) for fact in run.state.jobs[0].history] == [Lost, Lost]
    why = run.state.jobs[0].event.why
    assert "ended itself with exit code 7 while doing task_die[0]" in why
    assert 'Last output: "about to go"' in why


FENCED = '''\
import os
import elfbook


class Fenced:
    def task_token(self, path):
        with open(path, "a") as file:
            file.write(f"{elfbook.fence()}\\n")
        if os.path.getsize(path) < 60:
            raise ValueError("once more")
        return tuple(self.fence)
'''


async def test_each_attempt_has_a_larger_token(client, book, tmp_path):
    path = tmp_path / "tokens"
    fenced = book.cell(FENCED)["Fenced"]()
    run = await book.submit("tokens", lambda: fenced.task_token(str(path)), retries=2, backoff_s=0.01)
    await book.settled(run)
    claims = [fact.seq for fact in await book.facts(run) if isinstance(fact.event, Claimed)]
    epoch = client.mycelium.epoch
    assert epoch > 0
    assert await book.value(run, 0) == (epoch, claims[-1])
    tokens = path.read_text().split()
    assert tokens == sorted(tokens)
    assert [int(token.partition("-")[2]) for token in tokens] == claims
    assert len(set(tokens)) == 3


async def test_at_most_once_is_never_tried_again(tree, client, book, gates, until):
    """G3: with on_lost="fail" the job may have had its effect, so it is not repeated."""
    gate = book.names["Gate"]()
    run = await book.submit("once", lambda: gate.task_pass(str(gates.folder), "once"), on_lost="fail")
    worker = await book.running(run, 0)
    await until(gates.begun)
    await tree.kill("worker", client, worker)
    await book.settled(run)
    assert states(run) == ["failed"]
    assert isinstance(run.state.jobs[0].event, Lost)
    assert worker in run.state.jobs[0].event.why
    assert len(gates.begun()) == 1


async def test_a_result_that_cannot_be_sent_fails_its_job_and_names_it(book, shaky):
    run = await book.settled(await book.submit("unsaved", shaky.task_unsaved))
    assert states(run) == ["failed"]
    message = run.state.jobs[0].event.failure.message
    assert "not ok" in message
    assert "lock" in message


# ---------------------------------------------------------------------------- time limits and cancel

SLOW = '''\
import os
import time


class Slow:
    def task_sleep(self, path):
        open(path, "w").close()
        time.sleep(60)

    async def task_wait(self, path):
        import asyncio
        open(path, "w").close()
        await asyncio.sleep(60)

    def task_deaf(self, path):
        while True:
            try:
                open(path, "w").close()
                time.sleep(60)
            except KeyboardInterrupt:
                pass

    def task_in_c(self, path):
        open(path, "w").close()
        sum(range(10**13))  # one call of C code: holds the GIL and hears no signal

    def task_quick(self, *given):
        return os.getpid()
'''


@pytest.fixture
def slow(book):
    return book.cell(SLOW)["Slow"]()


@pytest.mark.parametrize(
    ("task", "survives"), [("task_sleep", True), ("task_wait", True), ("task_deaf", False), ("task_in_c", False)]
)
async def test_a_time_limit_ends_the_attempt_whatever_it_does(
    task, survives, client, book, slow, tmp_path, until
):
    """Interrupted where that is enough; otherwise its kernel is replaced."""
    path = str(tmp_path / "begun")

    async def kernels():
        numbers = {beat.kernel_pid for beat in await client.workers()}
        return numbers if len(numbers) == WORKERS and 0 not in numbers else None

    before = await until(kernels)
    began = time.monotonic()
    run = await book.submit(f"limit_{task}", lambda: getattr(slow, task)(path), timeout_s=0.4)
    await book.settled(run, 20)
    event = run.state.jobs[0].event
    assert isinstance(event, Failed)
    assert event.outcome == "timed out"
    assert event.failure.type == "TimedOut"
    assert "0.4 s" in event.failure.message
    assert time.monotonic() - began < 15
    after = await book.settled(await book.submit("limit_after", slow.task_quick))
    assert states(after) == ["done"], "the worker takes the next job"
    if survives:
        assert await until(kernels) == before
    else:

        async def replaced():
            return await kernels() not in (None, before)

        await until(replaced)


async def test_a_time_limit_is_for_one_attempt(book, slow, tmp_path):
    path = str(tmp_path / "begun")
    policy = {"timeout_s": 0.3, "retries": 1, "backoff_s": 0.01}
    run = await book.settled(await book.submit("limit_twice", lambda: slow.task_sleep(path), **policy))
    assert [fact.event.outcome for fact in run.state.jobs[0].history] == ["timed out", "timed out"]


async def test_cancel_ends_waiting_and_running_jobs(client, book, slow, tmp_path, until):
    path = tmp_path / "begun"

    def calls():
        running = slow.task_sleep(str(path))
        return running, slow.task_quick(running), slow.task_quick(slow.task_quick(running))

    run = await book.submit("cancel", calls)
    await book.running(run, 0)
    await until(path.exists)
    began = time.monotonic()
    assert await client.cancel(run, "enough") == 4
    assert states(run) == ["cancelled"] * 4
    assert run.state.jobs[0].event.why == "enough"
    after = await book.settled(await book.submit("cancel_after", lambda: slow.task_quick.map([1, 2, 3, 4])))
    assert states(after) == ["done"] * 4
    assert time.monotonic() - began < 5, "the kernel was interrupted and both workers go on"
    facts = await book.facts(run)
    assert not [fact for fact in facts if isinstance(fact.event, Succeeded | Skipped)]


async def test_cancel_replaces_a_kernel_that_does_not_listen(client, book, slow, tmp_path, until):
    """G7: interrupted, interrupted again, then killed; its worker goes on with a new kernel."""
    path = tmp_path / "begun"
    run = await book.submit("deaf", lambda: slow.task_deaf(str(path)))
    name = await book.running(run, 0)
    await until(path.exists)
    before = {beat.worker: beat.kernel_pid for beat in await client.workers()}
    await client.cancel(run)

    async def replaced():
        beats = {beat.worker: beat for beat in await client.workers()}
        return name in beats and beats[name].kernel_pid != before[name]

    await until(replaced, 20)
    assert states(run) == ["cancelled"]
    assert not [fact for fact in await book.facts(run) if isinstance(fact.event, Succeeded | Lost)]


async def test_a_cancelled_job_cannot_commit_though_it_finishes(tree, client, book, gates, until):
    """G7: the result comes after the cancel and goes nowhere."""
    gate = book.names["Gate"]()
    run = await book.submit("late", lambda: gate.task_pass(str(gates.folder), "late"))
    await book.running(run, 0)
    await until(gates.begun)
    await client.mycelium.record(run.run, 0, Cancelled(nonce="by hand"), run.state.jobs[0].seq)
    gates.open()
    other = await book.settled(await book.submit("late_after", lambda: gate.task_pass(str(gates.folder), "x")))
    assert states(other) == ["done"]
    assert [type(fact.event) for fact in await book.facts(run)][1:] == [Cancelled]

    async def evidence():
        await run.complete_outputs()
        return [output.text for output in run.outputs.get(0, ()) if output.kind == "late"]

    (text,) = await until(evidence)
    assert "succeeded when the job was no longer its own: 'late'" in text


async def test_cancel_of_one_job_leaves_the_rest(client, book, gates, until):
    gate, sums = book.names["Gate"](), book.names["Sums"]()

    def calls():
        held = gate.task_pass(str(gates.folder), "held")
        return sums.task_same(held), sums.task_same(1)

    run = await book.submit("part", calls)
    await book.running(run, 0)
    await client.cancel(run, jobs=[1])
    gates.open()
    await book.settled(run)
    assert states(run) == ["done", "cancelled", "done"]


async def test_cancel_racing_with_the_end_has_one_outcome(client, book):
    sums = book.names["Sums"]()
    for attempt in range(15):
        run = await book.submit("race", lambda: sums.task_same.map(range(20)))
        if attempt % 3:
            await run.changed(0)
        await client.cancel(run)
        await book.settled(run)
        assert set(states(run)) <= {"done", "cancelled"}
        await book.check(run)
        ends = [fact.job for fact in await book.facts(run) if not isinstance(fact.event, Claimed)]
        assert sorted(set(ends)) == list(range(20))


# ---------------------------------------------------------------------------- mended code, joining

BROKEN = '''\
class Cook:
    def task_boil(self, path, water):
        with open(path, "a") as file:
            file.write("boil ")
        return water * 2

    def task_salt(self, path, water):
        with open(path, "a") as file:
            file.write("salt ")
        return water / 0

    def task_serve(self, path, soup):
        with open(path, "a") as file:
            file.write("serve ")
        return f"soup {soup}"
'''


async def test_a_retry_with_mended_code_runs_what_failed_and_what_was_skipped(client, book, tmp_path):
    path = str(tmp_path / "done")
    cook = book.cell(BROKEN)["Cook"]()

    def calls():
        return cook.task_serve(path, cook.task_salt(path, cook.task_boil(path, 4)))

    run = await book.settled(await book.submit("soup", calls))
    assert states(run) == ["done", "failed", "skipped"]
    assert run.state.jobs[1].event.failure.type == "ZeroDivisionError"
    mended = book.revision(book.cell(BROKEN.replace("water / 0", "water + 1"))["Cook"])
    assert await client.reopen(run, to_reopen(run.state), {"Cook": mended}) == 2
    await book.settled(run)
    assert await book.values(run) == [8, 9, "soup 9"]
    assert (tmp_path / "done").read_text().split() == ["boil", "salt", "salt", "serve"]
    assert run.state.jobs[1].attempt == 2
    assert [type(fact.event) for fact in run.state.jobs[1].history] == [Failed, Succeeded]
    other = await Client.open(client.place)
    try:
        again = await other.watch("soup")
        assert states(again) == ["done"] * 3
        assert again.revisions[again.state.jobs[1].revision].digest == mended.digest
    finally:
        await other.close()


async def test_an_attempt_runs_the_code_of_its_submit(book, gates, until):
    """G10: whatever is redefined while the run is under way."""
    gate = book.names["Gate"]()
    text = "class Ruler:\n    def task_length(self, given):\n        return 'first', given\n"
    ruler = book.cell(text)["Ruler"]()
    path = str(gates.folder)
    run = await book.submit("length", lambda: ruler.task_length(gate.task_pass(path, "go")))
    await until(gates.begun)
    ruler = book.cell(text.replace("first", "second"))["Ruler"]()
    newer = await book.submit("length2", lambda: ruler.task_length("at once"))
    await book.settled(newer)
    gates.open()
    await book.settled(run)
    assert await book.value(newer, 0) == ("second", "at once")
    assert await book.value(run, 1) == ("first", "go")


async def test_the_same_flow_submitted_twice_while_active_is_one_run(client, book, gates, until):
    gate = book.names["Gate"]()
    drawn = book.draw(lambda: gate.task_pass(str(gates.folder), "same"), "same")
    other = await Client.open(client.place)
    try:
        answers = await asyncio.gather(*(each.submit("same", drawn, Origin()) for each in (client, other) * 3))
        assert {run.manifest.nonce for run, _ in answers} == {answers[0][0].manifest.nonce}
        assert sorted(joined for _, joined in answers) == [False] + [True] * 5
        await until(gates.begun)
        gates.open()
        await book.settled(answers[0][0])
        assert len(gates.begun()) == 1
        run, joined = await client.submit("same", drawn, Origin())
        assert (run.manifest.number, joined) == (2, False), "the first has ended, so this is another run"
        await book.settled(run)
    finally:
        await other.close()


async def test_another_graph_of_the_same_name_is_another_run(client, book, gates):
    gate, sums = book.names["Gate"](), book.names["Sums"]()
    first = await book.submit("name", lambda: gate.task_pass(str(gates.folder), "held"))
    second = await book.submit("name", lambda: sums.task_same(5))
    assert (first.manifest.number, second.manifest.number) == (1, 2)
    await book.settled(second)
    gates.open()
    await book.settled(first)


async def test_a_run_is_submitted_whole_or_not_at_all(client, book, until):
    """G1: cut at each message of the submission, nothing of it exists and nothing of it runs."""
    sums = book.names["Sums"]()
    drawn = book.draw(lambda: sums.task_same.map(range(4000)), "whole")
    mycelium = client.mycelium
    put, add_run = mycelium.put, mycelium.add_run

    class Cut(Exception):
        pass

    for allowed in range(20):
        left = iter(range(allowed))

        def cut(call, left=left):
            async def may_fail(*args, **words):
                if next(left, None) is None:
                    raise Cut
                return await call(*args, **words)

            return may_fail

        mycelium.put, mycelium.add_run = cut(put), cut(add_run)
        client._code.clear()
        try:
            run, _ = await client.submit("whole", drawn, Origin())
            break
        except Cut:
            assert await mycelium.latest_run("whole") is None
        finally:
            mycelium.put, mycelium.add_run = put, add_run
    assert allowed >= 4, "code, two parts of the graph, its head and the manifest"
    await book.settled(run, 60)
    assert run.manifest.number == 1
    assert all(job.state is State.DONE for job in run.state.jobs)
    assert all(job.attempt == 1 for job in run.state.jobs)


async def test_a_flow_that_has_had_its_time_ends_with_all_that_has_not_ended(client, book, slow, tmp_path, until):
    path = tmp_path / "begun"

    def calls():
        long = slow.task_sleep(str(path))
        return slow.task_quick(), long, slow.task_quick(long), slow.task_quick(after=long)

    run = await book.submit("overdue", calls, deadline_s=3.0, retries=5)
    await until(path.exists)
    await book.settled(run)
    assert states(run) == ["failed", "done", "skipped", "skipped"]
    event = run.state.jobs[0].event
    assert (event.outcome, event.failure.message) == ("timed out", "flow overdue ran longer than its limit of 3 s")
    assert event.worker, "it was running"
    facts = await book.facts(run)
    first = min(fact.at for fact in facts)
    assert next(fact.at for fact in facts if fact.event == event) - first > 1

    async def idle():
        return not [beat for beat in await client.workers() if beat.running]

    await until(idle)  # interrupted, not slept through
    again = to_reopen(run.state)
    path.unlink()
    assert await client.reopen(run, again) == 3
    await until(path.exists)  # its time counts anew
    await client.cancel(run)
    await book.settled(run)


async def test_who_asks_for_a_run_at_the_same_moment_follows_the_same(client, book):
    """A settled run is heard of no more: who tries it again must mean the one that a board shows."""
    sums = book.names["Sums"]()
    run = await book.settled(await book.submit("asked", lambda: sums.task_same.map(range(3))))
    other = await Client.open(client.place)
    try:
        found = await asyncio.gather(*(other.watch("asked", run.manifest.number) for _ in range(4)))
        assert len({id(each) for each in found}) == 1
        assert found[0].state.settled
    finally:
        await other.close()
