"""elfbook as a script uses it: an embedded, durable mycelium in a directory of its own."""

from __future__ import annotations

import os
import shutil
import tempfile

WAIT_S = 280


class System:
    """Two workers with one ipykernel each; a flow for every call."""

    @staticmethod
    def missing() -> str:
        return ""

    def up(self, workers: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="elfbook-bench-")
        os.environ |= {"ELFBOOK_STATE_DIR": self.folder, "ELFBOOK_DISPLAY": "static"}
        from systems.elves import Work

        import elfbook

        self.elfbook, self.work = elfbook, Work
        elfbook.up(workers)

    def down(self) -> None:
        self.elfbook.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, calls) -> list:
        """The results of the jobs that no other job consumes."""
        with self.elfbook.flow("bench") as run:
            calls(self.work())
        return run.result(timeout=WAIT_S)

    def one(self, x):
        return self._run(lambda elf: elf.task_noop(x))[0]

    def many(self, n: int) -> list:
        return self._run(lambda elf: elf.task_noop.map(range(n)))

    def chain(self, n: int) -> int:
        def calls(elf) -> None:
            value = 0
            for _ in range(n):
                value = elf.task_add_one(value)

        return self._run(calls)[0]

    def fan(self, n: int) -> int:
        def calls(elf) -> None:
            root = elf.task_noop(1)
            elf.task_total([elf.task_leaf(root, i) for i in range(n)])

        return self._run(calls)[0]

    def echo(self, array):
        return self._run(lambda elf: elf.task_echo(array))[0]

    def worker_pids(self) -> list[set[int]]:
        """A worker is two processes: the one that talks to the mycelium, and its kernel."""
        pairs = self._run(lambda elf: elf.task_where.map(range(40)))
        return [set(pair) for pair in set(pairs)]
