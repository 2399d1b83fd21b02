"""Faults 22 to 25: machines that cannot reach each other, wholly or one way, and links that are slow."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from pathlib import Path

from clusters import replicate
from ground import LEASE_S, Ground, fresh, need, until
from networks import wide
from of_servers import some, under_load
from table import fault

from elfbook.errors import ElfbookError, MyceliumUnreachable
from elfbook.facts import State
from elfbook.store.link import Unanswered

CUT_S = 30.0


async def pause(seconds: float) -> None:
    """Let time go by: that is the fault."""
    until_ = time.monotonic() + seconds
    while time.monotonic() < until_:
        await asyncio.sleep(0.1)


@fault(
    "22", "the notebook is cut off from the server", own=True, workers=0,
    done=f"its machine's link taken from the bridge for {CUT_S:g} s (network namespaces)",
    allowed="a submission says so instead of hanging; what runs goes on; afterwards the notebook catches up",
)  # fmt: skip
async def client_cut_off(_: Ground) -> str:
    async with wide("s", others=("w",)) as made:
        ground = made.ground
        await made.host("w", 2, "s")
        trail = ground.trail
        run = await ground.submit(
            "cut", lambda path: [trail.task_step(path, str(n), seconds=0.2) for n in range(80)]
        )
        await until(lambda: run.state.counts[State.DONE] > 2, "some jobs have ended")
        made.net.cut("here")
        began, raised = time.monotonic(), None
        seen = run.state.counts[State.DONE]
        try:
            async with asyncio.timeout(CUT_S + 60):
                await ground.book.submit("meanwhile", lambda: trail.task_step(ground.path("meanwhile"), "0"))
        except (ElfbookError, Unanswered, TimeoutError) as error:
            raised = error
        took = time.monotonic() - began
        await pause(max(0.0, CUT_S - took))
        need(
            isinstance(raised, MyceliumUnreachable) and "not known whether the run was stored" in str(raised),
            f"submit came to {raised!r} after {took:.0f} s",
        )
        made.net.heal("here")
        await ground.settled(run, 60)
        need(run.state.counts[State.DONE] == 80, f"{run.state.counts}")
        await ground.checked()
        ended = [job.ended_at for job in run.state.jobs]
        return (
            f"submit raised {type(raised).__name__} after {took:.0f} s; of 80 jobs {seen} had been seen to end before, "
            f"the last had ended {max(ended) - min(ended):.0f} s after the first, and all were there after the cut"
        )


@fault(
    "23", "a worker's machine is cut off", own=True, workers=0,
    done="its link taken from the bridge for three leases, another machine has a worker too",
    allowed="as 4: another worker takes over, the late result is refused",
)  # fmt: skip
async def worker_cut_off(_: Ground) -> str:
    async with wide("s", others=("a", "b")) as made:
        ground, gate = made.ground, made.ground.path("gate23")
        await made.host("a", 1, "s")
        trail = ground.trail
        run = await ground.submit("far", lambda path: trail.task_step(path, "0", gate=gate))
        await until(lambda: ground.begun(run), "the job has begun on the first machine")
        first = run.state.jobs[0].worker
        await made.host("b", 1, "s")
        made.net.cut("a")
        began = time.monotonic()
        await until(
            lambda: run.state.jobs[0].worker not in ("", first), "the other machine took over", 4 * LEASE_S
        )
        took = time.monotonic() - began
        await until(lambda: len(ground.begun(run)) == 2, "the second attempt has begun")
        await pause(max(0.0, 3 * LEASE_S - took))
        Path(gate).touch()
        await ground.settled(run)
        made.net.heal("a")

        async def both() -> bool:
            return len(await ground.client.workers()) == 2

        await until(both, "both machines' workers are there again", 60)
        need(run.state.jobs[0].worker != first, "the result of the worker that was cut off counted")
        await ground.checked()
        return f"taken over after {took:.1f} s; the worker that was cut off is back and works on"


async def three_with_hosts(made) -> None:
    ground = made.ground
    await until(lambda: _replicated(ground), "every stream is on three servers", 60)
    await made.host("w", 2, made.at)


async def _replicated(ground: Ground) -> bool:
    try:
        await replicate(ground)
    except (ElfbookError, Unanswered):
        return False
    return True


async def partition(harm, mend) -> str:
    """Mixed flows on a cluster of three machines, while one of the servers is cut off and comes back."""
    async with wide("p", "q", "r", others=("w",)) as made:
        made.at = "q"
        await three_with_hosts(made)
        ground = made.ground
        async with under_load(ground, players=2) as count:
            await some(count, 2)
            began = time.monotonic()
            leader = (
                await ground.client.mycelium.link.api(f"STREAM.INFO.{ground.client.mycelium.names.jobs}")
            )["cluster"]["leader"]
            machine = leader.removeprefix("n")
            harm(made.net, machine)
            await some(count, 3, 90)
            took = time.monotonic() - began
            mend(made.net, machine)
            await some(count, 3, 90)
        # A server that was away answers readers before it has all that the others have stored.
        await until(lambda: _replicated(ground), "every server has everything again", 60)
        await ground.checked()
        return f"three more runs ended within {took:.1f} s; {count()} in all"


@fault(
    "24", "one server of three, the leader, is cut off from the others", own=True, workers=0,
    done="the link of the machine that leads JOBS taken from the bridge, and given back",
    allowed="the majority goes on; nothing is done twice with effect, nothing lost",
)  # fmt: skip
async def minority_cut_off(_: Ground) -> str:
    return await partition(lambda net, machine: net.cut(machine), lambda net, machine: net.heal(machine))


@fault(
    "24b", "one server of three hears nothing of the others", own=True, workers=0,
    done="what the others send to the leader's machine is dropped there (nft), its own messages arrive",
    allowed="as 24",
)  # fmt: skip
async def one_way(_: Ground) -> str:
    def deafen(net, machine: str) -> None:
        net.deafen(machine, *({"p", "q", "r"} - {machine}))

    return await partition(deafen, lambda net, machine: net.hear(machine))


DELAY_S, JITTER_S, LOSS = 0.2, 0.1, 0.05


async def relay(port: int, chance: random.Random):
    """A door to a server at which each piece waits as on a bad link; gives the server object and its port.

    TCP hides a lost packet behind a pause of about its timeout, so that is what a loss is here.
    """

    async def carry(reader, writer) -> None:
        free_at = 0.0
        while data := await reader.read(2**16):
            wait_s = DELAY_S + chance.uniform(-JITTER_S, JITTER_S)
            wait_s += 3 * DELAY_S if chance.random() < LOSS else 0.0
            free_at = max(free_at, time.monotonic() + wait_s)  # in order, whatever happens

            async def later(at: float, data: bytes) -> None:
                await asyncio.sleep(max(0.0, at - time.monotonic()))  # the delay is the fault
                writer.write(data)

            await later(free_at, data) if len(data) == 2**16 else pending.append(
                asyncio.create_task(later(free_at, data))
            )
        writer.close()

    pending: list[asyncio.Task] = []

    async def meet(reader, writer) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, there[1]), carry(there[0], writer), return_exceptions=True)

    door = await asyncio.start_server(meet, "127.0.0.1", 0)
    return door, door.sockets[0].getsockname()[1]


def netem() -> bool:
    """True when the kernel can delay packets by itself."""
    if shutil.which("tc") is None:
        return False
    command = ["unshare", "-n", "sh", "-c", "ip link set lo up; tc qdisc add dev lo root netem delay 1ms"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@fault(
    "25", "a slow link with loss", own=True,
    done="notebook and host reach the server through a relay of 200 ± 100 ms, every 20th piece 600 ms later "
    "(the kernel here has no netem; with TCP a lost packet is a pause)",
    allowed="slow, and right",
)  # fmt: skip
async def slow_link(ground: Ground) -> str:
    from elfbook.store.place import Place, read_json

    facts = read_json(ground.place.server_file)
    door, port = await relay(facts["port"], random.Random(25))
    far = Place(ground.folder / "far", f"nats://{facts['user']}:{facts['password']}@127.0.0.1:{port}")
    far.prepare()
    (far.state_dir / "key").write_bytes(ground.place.key())
    from ground import hostfile

    try:
        await asyncio.to_thread(hostfile.ensure, far, workers=1, pool="far")
        near, ground.place = ground.place, far
        await ground.connect()
        began = time.monotonic()
        trail = ground.trail

        def calls(path: str) -> object:
            steps = [trail.task_step(path, str(n)) for n in range(200)]
            return trail.task_join(path, "200", steps)

        run = await ground.submit("slow", calls, pool="far")
        await ground.settled(run, 120)
        took = time.monotonic() - began
        await ground.checked(quiet=False)
        ground.place = near
        await ground.connect()
        return f"201 jobs in {took:.1f} s ({201 / took:.0f} a second)" + (
            "; netem would be here" if netem() else ""
        )
    finally:
        await asyncio.to_thread(hostfile.stop, far)
        door.close()


__all__ = ["fresh"]
