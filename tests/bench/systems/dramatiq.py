"""dramatiq with Redis as broker and store of results: two processes of one thread, values by pickle."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import work
from systems.redis_server import Redis

HERE = Path(__file__).resolve().parents[1]
WAIT_MS = 280_000


def actors(url: str) -> dict:
    """The actors that client and workers share, by name."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.encoder import PickleEncoder
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    dramatiq.set_encoder(PickleEncoder())
    broker = RedisBroker(url=url)
    broker.add_middleware(Results(backend=RedisBackend(url=url, encoder=PickleEncoder())))
    dramatiq.set_broker(broker)
    return {
        name: dramatiq.actor(function, actor_name=name, store_results=True)
        for name, function in work.BY_NAME.items()
    }


if url := os.environ.get("BENCH_DRAMATIQ"):  # in a worker
    actors(url)


class System:
    """Groups and pipelines; the client feeds the fan's results into its end."""

    @staticmethod
    def missing() -> str:
        lacking = [name for name in ("dramatiq", "redis") if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}" if lacking else Redis.missing()

    def up(self, workers: int) -> None:
        self.redis = Redis()
        self.actors = actors(self.redis.url)
        words = [
            sys.executable,
            "-m",
            "dramatiq",
            "systems.dramatiq",
            "--processes",
            str(workers),
            "--threads",
            "1",
        ]
        environ = os.environ | {"BENCH_DRAMATIQ": self.redis.url}
        self.worker = subprocess.Popen(
            words, env=environ, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.one(0)

    def down(self) -> None:
        self.worker.terminate()
        self.worker.wait()
        self.redis.close()

    def one(self, x):
        return self.actors["noop"].send(x).get_result(block=True, timeout=WAIT_MS)

    def _all(self, name: str, rows: list[tuple]) -> list:
        import dramatiq

        group = dramatiq.group([self.actors[name].message(*row) for row in rows]).run()
        return list(group.get_results(block=True, timeout=WAIT_MS))

    def many(self, n: int) -> list:
        return self._all("noop", [(i,) for i in range(n)])

    def chain(self, n: int) -> int:
        import dramatiq

        link = self.actors["add_one"]
        line = dramatiq.pipeline([link.message(0), *[link.message() for _ in range(n - 1)]]).run()
        return line.get_result(block=True, timeout=WAIT_MS)

    def fan(self, n: int) -> int:
        root = self.one(1)
        leaves = self._all("leaf", [(root, i) for i in range(n)])
        return self.actors["total"].send(leaves).get_result(block=True, timeout=WAIT_MS)

    def negate(self, array):
        return self.actors["negate"].send(array).get_result(block=True, timeout=WAIT_MS)

    def worker_pids(self) -> list[set[int]]:
        return [{pid} for pid in {pid for pid, _ in self._all("where", [()] * 40)}]
