"""Faults 26 to 28: offers that come twice, late or in no order, records that nobody can read, odd values."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import random
import re
import secrets
import sys
import threading
import types
from pathlib import Path

from ground import Ground, need, until
from of_servers import some, under_load
from table import fault

from elfbook.errors import ElfbookError
from elfbook.facts import State
from elfbook.store.link import Message
from elfbook.view.waiting import why
from elfbook.wire import encode, seal

MB = 2**20


@fault(
    "26", "offers come twice, late and in another order", quick=True,
    done="each offer on the queue is put there three times more, after random pauses; every third delivery of "
    "the pool is taken and given back",
    allowed="one result each; the copies are dropped",
)  # fmt: skip
async def doubled(ground: Ground) -> str:
    link, names = ground.client.mycelium.link, ground.client.mycelium.names
    chance, copies, given_back = random.Random(26), [], 0

    async def again(message: Message, number: int) -> None:
        await asyncio.sleep(chance.uniform(0, 0.3))  # late, and so in another order
        await link.publish(f"{message.subject}{MARK}{number}", message.data)

    def heard(message: Message) -> None:
        if MARK not in message.subject:
            copies.extend(asyncio.create_task(again(message, number)) for number in range(3))

    def taken(message: Message) -> None:
        nonlocal given_back
        if message.reply.startswith("$JS.ACK"):
            given_back += 1
            copies.append(asyncio.create_task(link.publish(message.reply, b"-NAK")))

    inbox = f"_INBOX.{secrets.token_hex(8)}"
    undo = [await link.subscribe(f"elf.{names.namespace}.work.>", heard), await link.subscribe(inbox, taken)]
    try:
        async with under_load(ground) as count:
            while count() < 12:
                before = count()
                with contextlib.suppress(ElfbookError):
                    pull = b'{"batch":3,"expires":1000000000}'
                    await link.publish(f"$JS.API.CONSUMER.MSG.NEXT.{names.work}.pool-main", pull, inbox)
                await until(lambda before=before: count() > before, "a run has ended", 60)
        await asyncio.gather(*copies)
    finally:
        for call in undo:
            await call()
    need(len(copies) > 100, "there were few offers")
    return (
        f"{len(copies) - given_back} copies, {given_back} deliveries given back; {count()} runs ended right"
    )


MARK = "again"


@fault(
    "27", "messages that nobody can read", own=True,
    done="bytes that are nothing, of an unknown version, signed with another key, on every queue and in the log; "
    "code that cannot be imported where it runs",
    allowed="set aside with a reason, or waits and says for what; no process ends, what is good goes on",
)  # fmt: skip
async def poison(ground: Ground) -> str:
    mycelium = ground.client.mycelium
    link, names = mycelium.link, mycelium.names
    before = await asyncio.to_thread(ground.tree.facts)
    good = encode({"run": "nothing.1"})
    bodies = [
        b"",
        b"\xff\x00garbage",
        seal(b"\x09" + good[1:], mycelium.key),
        seal(good, secrets.token_bytes(32)),
        seal(good, mycelium.key),
    ]
    worker = before.ready[0]
    for number, body in enumerate(bodies):
        for where in (
            names.offer_to_pool("main", "nothing.1", number, "0"),
            names.offer_to_worker(worker, "nothing.1", number, "0"),
            names.lot_offer("main", "nothing.1", number, 0),
            names.run(f"nothing{number}"),
        ):
            await link.publish(where, body)
    trail = ground.trail
    gate = ground.path("gate27")
    bad = await ground.book.submit("spoilt", lambda: trail.task_step(ground.path("spoilt"), "0", gate=gate))
    await until(lambda: bad.state.counts[State.RUNNING], "the job runs whose record is spoilt")
    await link.publish(names.job(bad.run, 0), b"\xff\x00garbage")
    Path(gate).touch()
    sys.modules["elf_module_of_here"] = types.ModuleType("elf_module_of_here")
    strange = ground.book.cell(
        "import elf_module_of_here as here\n\nclass Far:\n    def task_go(self):\n        return str(here)\n"
    )["Far"]()
    run = await ground.book.submit("unimportable", strange.task_go)
    ground.note(run, None)

    async def told() -> bool:
        """Whoever asks hears why it waits: nobody has that module."""
        situation = await ground.client.situation()
        return "no worker has elf_module_of_here" in why(run.state, 0, situation=situation)

    await until(told, "the job that nobody can import says so")
    need(await ground.client.cancel(run) == 1, "it could not be cancelled")
    after = await ground.submit("after", lambda path: [trail.task_step(path, str(n)) for n in range(20)])
    await ground.settled(after)
    facts = await asyncio.to_thread(ground.tree.facts)
    need(
        (facts.scheduler_pid, facts.ready) == (before.scheduler_pid, before.ready),
        "a process has ended of it",
    )

    async def off() -> bool:
        return not (await link.api(f"STREAM.INFO.{names.work}"))["state"]["messages"]

    await until(off, "what cannot be read is off the queue", 45)
    return "nobody ended of it; code that nobody can import waits, and says for what"


class Thorn:
    """Cannot be taken apart."""

    def __reduce__(self) -> object:
        raise RuntimeError("a thorn cannot be pickled")


@fault(
    "28", "values that cannot be sent, and odd ones that can", quick=True,
    done="a lock, an object whose __reduce__ raises; 100,000 small ones, NaN, infinities, half a surrogate pair",
    allowed="the first two raise where they are submitted and say where they are; the others come back the same",
)  # fmt: skip
async def odd_values(ground: Ground) -> str:
    said = []
    same = ground.book.cell(ECHO)["Echo"]()
    for value in ({"deep": [1, threading.Lock()]}, {"deep": [1, Thorn()]}):
        try:
            ground.book.draw(lambda value=value: same.task_same(value))
        except (ElfbookError, TypeError, RuntimeError) as error:
            said.append(f"{type(error).__name__}: {error}".splitlines()[0])
    need(len(said) == 2 and all("deep" in each for each in said), f"it says {said}")
    odd = [math.inf, -math.inf, "half \ud800 pair", -0.0, {"k": (1, 2)}, 2**70]
    run = await ground.book.submit(
        "odd", lambda: [same.task_same([*odd, math.nan]), same.task_same(list(range(100_000)))]
    )
    await ground.settled(ground.note(run, None))
    back = await ground.book.value(run, 0)
    need(
        back[:-1] == odd and math.isnan(back[-1]) and math.copysign(1, back[3]) < 0, f"it came back as {back}"
    )
    need(await ground.book.value(run, 1) == list(range(100_000)), "100,000 numbers came back otherwise")
    return "; ".join(said)


ECHO = """\
class Echo:
    def task_same(self, value):
        return value

    def task_many(self, size):
        return bytes(size)

    def task_length(self, data):
        return len(data)
"""


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


@fault(
    "28b", "a value of 1 GiB", own=True,
    done="a task makes it, another one takes it",
    allowed="it passes, by its hash, through at most 64 MiB more of the workers' own memory",
)  # fmt: skip
async def gigabyte(ground: Ground) -> str:
    before = {beat.worker: peak(beat.pid) for beat in await ground.client.workers()}
    same = ground.book.cell(ECHO)["Echo"]()
    run = await ground.book.submit("gigabyte", lambda: same.task_length(same.task_many(1024 * MB)))
    await ground.settled(ground.note(run, None), 300)
    need(run.state.counts[State.DONE] == 2, f"it ended as {[job.event for job in run.state.jobs]}")
    need(await ground.book.value(run, 1) == 1024 * MB, "it is shorter on the other side")
    grown = {
        beat.worker: (peak(beat.pid) - before[beat.worker]) / MB for beat in await ground.client.workers()
    }
    need(max(grown.values()) <= 64, f"the workers grew by {grown} MiB")
    took = run.state.jobs[1].ended_at - run.state.jobs[0].started_at
    return f"in {took:.0f} s; the workers' own processes grew by at most {max(grown.values()):.0f} MiB"


__all__ = ["hashlib", "some"]
