"""Parsl's HighThroughputExecutor on loopback, without monitoring and memoisation. Nothing is kept."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile

import work


def total_of(*values):
    """The end of the fan; futures are found among arguments only."""
    return sum(values)


class System:
    """Futures as arguments make the graph."""

    @staticmethod
    def missing() -> str:
        return "" if importlib.util.find_spec("parsl") else "not installed: pip install parsl"

    def up(self, workers: int) -> None:
        import parsl
        from parsl.config import Config
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider

        self.folder = tempfile.mkdtemp(prefix="parsl-bench-")
        os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
        executor = HighThroughputExecutor(
            address="127.0.0.1", max_workers_per_node=workers, cores_per_worker=1, provider=provider
        )
        config = Config(
            executors=[executor], run_dir=self.folder, initialize_logging=False, strategy="none", retries=0
        )
        parsl.load(config)
        self.parsl = parsl
        functions = (*work.BY_NAME.values(), total_of)
        self.apps = {each.__name__: parsl.python_app(each, cache=False) for each in functions}

    def down(self) -> None:
        self.parsl.dfk().cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def one(self, x):
        return self.apps["noop"](x).result()

    def many(self, n: int) -> list:
        return [future.result() for future in [self.apps["noop"](i) for i in range(n)]]

    def chain(self, n: int) -> int:
        value = 0
        for _ in range(n):
            value = self.apps["add_one"](value)
        return value.result()

    def fan(self, n: int) -> int:
        root = self.apps["noop"](1)
        return self.apps["total_of"](*[self.apps["leaf"](root, i) for i in range(n)]).result()

    def graph(self, layers: int, width: int) -> int:
        node = self.apps["node"]
        row = [node(1, j) for j in range(width)]
        for _ in range(layers - 1):
            row = [node(row[j], row[(j + 1) % width]) for j in range(width)]
        return sum(future.result() for future in row)

    def negate(self, array):
        return self.apps["negate"](array).result()

    def worker_pids(self) -> list[set[int]]:
        found = [future.result() for future in [self.apps["where"]() for _ in range(40)]]
        return [{pid} for pid in {pid for pid, _ in found}]
