"""Ray on one node without its dashboard. Nothing is kept."""

from __future__ import annotations

import importlib.util
import os

import work


class System:
    """Object references as arguments make the graph."""

    @staticmethod
    def missing() -> str:
        return "" if importlib.util.find_spec("ray") else "not installed: pip install ray"

    def up(self, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray = ray
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        remote = ray.remote(num_cpus=1)
        self.noop, self.add_one, self.leaf = remote(work.noop), remote(work.add_one), remote(work.leaf)
        self.negated, self.where, self.node = remote(work.negate), remote(work.where), remote(work.node)
        self.total = remote(lambda *values: work.total(values))

    def down(self) -> None:
        self.ray.shutdown()

    def one(self, x):
        return self.ray.get(self.noop.remote(x))

    def many(self, n: int) -> list:
        return self.ray.get([self.noop.remote(i) for i in range(n)])

    def chain(self, n: int) -> int:
        value = 0
        for _ in range(n):
            value = self.add_one.remote(value)
        return self.ray.get(value)

    def fan(self, n: int) -> int:
        root = self.noop.remote(1)
        return self.ray.get(self.total.remote(*[self.leaf.remote(root, i) for i in range(n)]))

    def graph(self, layers: int, width: int) -> int:
        row = [self.node.remote(1, j) for j in range(width)]
        for _ in range(layers - 1):
            row = [self.node.remote(row[j], row[(j + 1) % width]) for j in range(width)]
        return sum(self.ray.get(row))

    def negate(self, array):
        return self.ray.get(self.negated.remote(array))

    def worker_pids(self) -> list[set[int]]:
        return [{pid} for pid in {pid for pid, _ in self.ray.get([self.where.remote() for _ in range(40)])}]
