"""taskiq over JetStream, results in its object store, two worker processes. Its results are polled for."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import work
from calls import Calls
from systems.nats import port_of

HERE = Path(__file__).resolve().parents[1]
POLL_S = 0.002
AT_ONCE = 64


def broker_of(url: str):
    """The broker that client and workers share, with its tasks by name."""
    from taskiq.serializers import PickleSerializer
    from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

    broker = PullBasedJetStreamBroker(url, "bench", pull_consume_batch=32, pull_consume_timeout=5)
    broker = broker.with_result_backend(NATSObjectStoreResultBackend(url)).with_serializer(PickleSerializer())
    return broker, {name: broker.register_task(each, task_name=name) for name, each in work.BY_NAME.items()}


if url := os.environ.get("BENCH_TASKIQ"):  # in a worker
    broker, _ = broker_of(url)


class System(Calls):
    """The client feeds results into the next call."""

    @staticmethod
    def missing() -> str:
        lacking = [name for name in ("taskiq", "taskiq_nats") if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}" if lacking else ""

    def up(self, workers: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._up(workers))

    async def _up(self, workers: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="taskiq-bench-")
        config = Path(self.folder, "server.conf")
        # Each result that is read leaves a consumer behind for minutes.
        config.write_text(
            f'jetstream {{ store_dir: "{self.folder}/store", limits {{ default_max_consumers: 1000000 }} }}\n'
        )
        command = [
            "nats-server",
            "-c",
            str(config),
            "-a",
            "127.0.0.1",
            "-p",
            "-1",
            "--ports_file_dir",
            self.folder,
        ]
        self.server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        url = await port_of(self.folder)
        words = ["-m", "taskiq", "worker", "systems.taskiq:broker", "--workers", str(workers)]
        self.worker = subprocess.Popen(
            [sys.executable, *words, "--log-level", "ERROR"],
            env=os.environ | {"BENCH_TASKIQ": url},
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.broker, self.tasks = broker_of(url)
        await self.broker.startup()
        await self._call("noop", 0)

    def down(self) -> None:
        self.loop.run_until_complete(self.broker.shutdown())
        for process in (self.worker, self.server):
            process.terminate()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _call(self, name: str, *args):
        return await self._result(await self.tasks[name].kiq(*args))

    async def _result(self, task):
        return (await task.wait_result(check_interval=POLL_S, timeout=280)).return_value

    async def _all(self, name: str, rows: list[tuple]) -> list:
        tasks = [await self.tasks[name].kiq(*row) for row in rows]
        found = []
        for start in range(0, len(tasks), AT_ONCE):
            found += await asyncio.gather(*map(self._result, tasks[start : start + AT_ONCE]))
        return found

    def negate(self, array):
        from samples import Unsupported

        raise Unsupported("its store of results takes neither arrays nor bytes")

    def worker_pids(self) -> list[set[int]]:
        found = self.loop.run_until_complete(self._all("where", [()] * 40))
        return [{pid} for pid in {pid for pid, _ in found}]
