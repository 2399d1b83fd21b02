"""ipyparallel: a controller and engines on loopback, a load-balanced view. Nothing is kept."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile

import work


class System:
    """`after=` orders tasks but passes no values, so the client feeds results into the next call."""

    @staticmethod
    def missing() -> str:
        return "" if importlib.util.find_spec("ipyparallel") else "not installed: pip install ipyparallel"

    def up(self, workers: int) -> None:
        import ipyparallel

        self.folder = tempfile.mkdtemp(prefix="ipyparallel-bench-")
        os.environ["IPYTHONDIR"] = self.folder
        self.cluster = ipyparallel.Cluster(n=workers, log_level=40)
        self.client = self.cluster.start_and_connect_sync()
        self.client.wait_for_engines(workers, timeout=60)
        self.view = self.client.load_balanced_view()

    def down(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()
        shutil.rmtree(self.folder, ignore_errors=True)

    def one(self, x):
        return self.view.apply_sync(work.noop, x)

    def many(self, n: int) -> list:
        return list(self.view.map_async(work.noop, range(n), chunksize=1).get())

    def chain(self, n: int) -> int:
        value = 0
        for _ in range(n):
            value = self.view.apply_sync(work.add_one, value)
        return value

    def fan(self, n: int) -> int:
        root = self.view.apply_sync(work.noop, 1)
        leaves = self.view.map_async(work.leaf, [root] * n, range(n), chunksize=1).get()
        return self.view.apply_sync(work.total, list(leaves))

    def negate(self, array):
        return self.view.apply_sync(work.negate, array)

    def worker_pids(self) -> list[set[int]]:
        return [{pid} for pid, _ in self.client[:].apply_sync(work.where)]
