"""Celery with Redis as broker and store of results: two processes, values by pickle, early acknowledgement."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import work
from systems.redis_server import Redis

HERE = Path(__file__).resolve().parents[1]


def application(url: str):
    """The application that client and worker share, with its tasks by name."""
    from celery import Celery

    app = Celery("bench", broker=url, backend=url)
    app.conf.update(
        task_serializer="pickle",
        result_serializer="pickle",
        accept_content=["pickle", "json"],
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )
    return app, {name: app.task(function, name=name) for name, function in work.BY_NAME.items()}


def serve(url: str, workers: int) -> None:
    """The worker's side; returns when it is told to end."""
    app, _ = application(url)
    app.worker_main(["worker", "-c", str(workers), "-P", "prefork", "-l", "ERROR", "-n", "bench@localhost"])


class System:
    """Its own chains, groups and chords."""

    @staticmethod
    def missing() -> str:
        lacking = [name for name in ("celery", "redis") if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}" if lacking else Redis.missing()

    def up(self, workers: int) -> None:
        self.redis = Redis()
        _, self.tasks = application(self.redis.url)
        words = f"import systems.celery as it; it.serve({self.redis.url!r}, {workers})"
        environ = os.environ | {"C_FORCE_ROOT": "1"}
        self.worker = subprocess.Popen(
            [sys.executable, "-c", words],
            env=environ,
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.tasks["noop"].delay(0).get(timeout=60)

    def down(self) -> None:
        self.worker.terminate()
        self.worker.wait()
        self.redis.close()

    def one(self, x):
        return self.tasks["noop"].delay(x).get()

    def many(self, n: int) -> list:
        from celery.result import ResultSet

        return ResultSet([self.tasks["noop"].delay(i) for i in range(n)]).join_native()

    def chain(self, n: int) -> int:
        from celery import chain

        link = self.tasks["add_one"]
        return chain(link.s(0), *[link.s() for _ in range(n - 1)]).delay().get()

    def fan(self, n: int) -> int:
        from celery import chain, chord

        leaves = [self.tasks["leaf"].s(i) for i in range(n)]
        return chain(self.tasks["noop"].s(1), chord(leaves, self.tasks["total"].s())).delay().get()

    def negate(self, array):
        return self.tasks["negate"].delay(array).get()

    def worker_pids(self) -> list[set[int]]:
        found = [result.get() for result in [self.tasks["where"].delay() for _ in range(40)]]
        return [{pid} for pid in {pid for pid, _ in found}]
