"""Floor: the standard library's ProcessPoolExecutor. No graph, no kernels, nothing kept."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import work


class System:
    """Item by item; the client feeds results into the next call."""

    scales = True

    @staticmethod
    def missing() -> str:
        return ""

    def up(self, workers: int) -> None:
        self.pool = ProcessPoolExecutor(workers)

    def down(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def one(self, x):
        return self.pool.submit(work.noop, x).result()

    def many(self, n: int) -> list:
        return [future.result() for future in [self.pool.submit(work.noop, i) for i in range(n)]]

    def chain(self, n: int) -> int:
        value = 0
        for _ in range(n):
            value = self.pool.submit(work.add_one, value).result()
        return value

    def fan(self, n: int) -> int:
        root = self.pool.submit(work.noop, 1).result()
        leaves = [future.result() for future in [self.pool.submit(work.leaf, root, i) for i in range(n)]]
        return self.pool.submit(work.total, leaves).result()

    def began(self, n: int) -> list:
        return [future.result() for future in [self.pool.submit(work.began, i) for i in range(n)]]

    def negate(self, array):
        return self.pool.submit(work.negate, array).result()

    def worker_pids(self) -> list[set[int]]:
        return [{pid} for pid in {pair[0] for pair in self.pool.map(work.where, range(40))}]
