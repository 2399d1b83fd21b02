"""dask.distributed: a local cluster of processes with one thread each, no dashboard. Nothing is kept."""

from __future__ import annotations

import importlib.util

import work


class System:
    """Futures as arguments make the graph."""

    @staticmethod
    def missing() -> str:
        return "" if importlib.util.find_spec("distributed") else "not installed: pip install distributed"

    def up(self, workers: int) -> None:
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        )
        self.client = Client(self.cluster)
        self.client.wait_for_workers(workers)

    def down(self) -> None:
        self.client.close()
        self.cluster.close()

    def one(self, x):
        return self.client.submit(work.noop, x, pure=False).result()

    def many(self, n: int) -> list:
        return self.client.gather(self.client.map(work.noop, range(n), pure=False))

    def chain(self, n: int) -> int:
        value = self.client.submit(work.add_one, 0, pure=False)
        for _ in range(n - 1):
            value = self.client.submit(work.add_one, value, pure=False)
        return value.result()

    def fan(self, n: int) -> int:
        root = self.client.submit(work.noop, 1, pure=False)
        leaves = self.client.map(work.leaf, [root] * n, range(n), pure=False)
        return self.client.submit(work.total, leaves, pure=False).result()

    def graph(self, layers: int, width: int) -> int:
        submit = self.client.submit
        row = [submit(work.node, 1, j, pure=False) for j in range(width)]
        for _ in range(layers - 1):
            row = [submit(work.node, row[j], row[(j + 1) % width], pure=False) for j in range(width)]
        return sum(self.client.gather(row))

    def negate(self, array):
        return self.client.submit(work.negate, array, pure=False).result()

    def worker_pids(self) -> list[set[int]]:
        return [{pid} for pid, _ in self.client.run(work.where).values()]
