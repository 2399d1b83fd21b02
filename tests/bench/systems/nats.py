"""Floor: nats-py request and reply over a queue group. No jobs, no graph, no kernels, nothing kept."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile

import work
from calls import Calls

IN_FLIGHT = 500


async def serve(url: str) -> None:
    """A worker: answers calls until its end."""
    import nats

    connection = await nats.connect(url)

    async def answer(message) -> None:
        name, args = pickle.loads(message.data)
        await connection.publish(message.reply, pickle.dumps(work.BY_NAME[name](*args)))

    await connection.subscribe("work", "workers", cb=answer)
    await connection.publish("ready", b"")
    await asyncio.Event().wait()


class System(Calls):
    """Two processes that take calls; the client feeds results into the next call."""

    @staticmethod
    def missing() -> str:
        if importlib.util.find_spec("nats") is None:
            return "not installed: pip install nats-py"
        return "" if shutil.which("nats-server") else "there is no nats-server on the PATH"

    def up(self, workers: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._up(workers))

    async def _up(self, workers: int) -> None:
        import nats

        self.folder = tempfile.mkdtemp(prefix="nats-bench-")
        command = ["nats-server", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", self.folder]
        self.server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        url = await port_of(self.folder)
        self.nats = await nats.connect(url)
        ready = await self.nats.subscribe("ready")
        await self.nats.flush()
        words = [sys.executable, "-c", f"import asyncio, systems.nats as it; asyncio.run(it.serve({url!r}))"]
        self.workers = [subprocess.Popen(words) for _ in range(workers)]
        for _ in self.workers:
            await ready.next_msg(30)
        self.room = asyncio.Semaphore(IN_FLIGHT)

    def down(self) -> None:
        self.loop.run_until_complete(self.nats.close())
        for process in (*self.workers, self.server):
            process.send_signal(signal.SIGTERM)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _call(self, name: str, *args):
        async with self.room:
            reply = await self.nats.request("work", pickle.dumps((name, args)), timeout=60)
        return pickle.loads(reply.data)

    def graph(self, layers: int, width: int) -> int:
        async def all_layers() -> int:
            row = await self._all("node", [(1, j) for j in range(width)])
            for _ in range(layers - 1):
                row = await self._all("node", [(row[j], row[(j + 1) % width]) for j in range(width)])
            return sum(row)

        return self.loop.run_until_complete(all_layers())

    def worker_pids(self) -> list[set[int]]:
        return [{process.pid} for process in self.workers]


async def port_of(folder: str) -> str:
    """The address that the server has written into its ports file."""
    while True:
        for name in [each for each in os.listdir(folder) if each.endswith(".ports")]:
            with open(os.path.join(folder, name)) as file:
                text = file.read()
            if text:
                return json.loads(text)["nats"][0]
        await asyncio.sleep(0.01)
