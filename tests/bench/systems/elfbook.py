"""elfbook as a script uses it: an embedded, durable mycelium in a directory of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from memory_of import cpu_s

WAIT_S = 1_000


class System:
    """Two workers with one ipykernel each; a flow for every call."""

    scales = True

    @staticmethod
    def missing() -> str:
        return ""

    def up(self, workers: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="elfbook-bench-")
        os.environ |= {"ELFBOOK_STATE_DIR": self.folder, "ELFBOOK_DISPLAY": "static"}
        from systems.elves import Work

        import elfbook
        from elfbook.notebook.notebook import current

        self.elfbook, self.work, self.notebook = elfbook, Work, current()
        self.unchecked: list = []
        self.submit_cpu_s = 0.0
        self._serve()
        elfbook.up(workers)

    def _serve(self) -> None:
        """The embedded server comes with the host."""

    def down(self) -> None:
        self.elfbook.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ the work

    def _start(self, calls):
        before = time.process_time()
        with self.elfbook.flow("bench") as run:
            calls(self.work())
        self.submit_cpu_s = time.process_time() - before
        self.unchecked.append(run.manifest)
        return run

    def _run(self, calls) -> list:
        """The results of the jobs that no other job consumes."""
        return self._start(calls).result(timeout=WAIT_S)

    def one(self, x):
        return self._run(lambda elf: elf.task_noop(x))[0]

    def many(self, n: int) -> list:
        return self._run(lambda elf: elf.task_noop.map(range(n)))

    def submit(self, n: int):
        return self._start(lambda elf: elf.task_noop.map(range(n)))

    def began(self, n: int) -> list:
        return self._run(lambda elf: elf.task_began.map(range(n)))

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

    def graph(self, layers: int, width: int) -> int:
        def calls(elf) -> None:
            row = [elf.task_node(1, j) for j in range(width)]
            for _ in range(layers - 1):
                row = [elf.task_node(row[j], row[(j + 1) % width]) for j in range(width)]

        return sum(self._run(calls))

    def negate(self, array):
        return self._run(lambda elf: elf.task_negate(array))[0]

    # ------------------------------------------------------------------ its processes

    def worker_pids(self) -> list[set[int]]:
        """A worker is two processes: the one that talks to the mycelium, and its kernel."""
        pairs = self._run(lambda elf: elf.task_where.map(range(40)))
        return [set(pair) for pair in set(pairs)]

    def processes(self) -> dict[str, int]:
        """Every process but this one, by what it is."""
        from elfbook.host import hostfile

        facts = hostfile.find(self.notebook.place)
        workers = {f"worker{n}": worker["pid"] for n, worker in enumerate(facts.workers, 1)}
        beats = {beat.pid: beat.kernel_pid for beat in self.notebook.workers()}
        kernels = {name.replace("worker", "kernel"): beats[pid] for name, pid in workers.items()}
        return {"scheduler": facts.scheduler_pid, "server": facts.server_pid, **workers, **kernels}

    def scheduler_pid(self) -> int:
        from elfbook.host import hostfile

        facts = hostfile.find(self.notebook.place)
        return facts.scheduler_pid if facts else 0

    def scheduler_cpu_s(self) -> float:
        return cpu_s(self.scheduler_pid())

    # ------------------------------------------------------------------ the check

    def check(self) -> int:
        """How many jobs ended, each with exactly one success that counts, by the log alone."""
        checked = 0
        for manifest in self.unchecked:
            checked += self.notebook.ask(self._check_run, manifest)
        self.unchecked.clear()
        return checked

    async def _check_run(self, manifest) -> int:
        from elfbook.facts import State, Succeeded
        from elfbook.log.fold import fold, start
        from elfbook.store.graphstore import graph_of

        mycelium = self.notebook.client.mycelium
        state = start(await graph_of(mycelium, manifest), manifest.run)
        names = mycelium.names
        async for entry in mycelium.read(names.jobs, names.jobs_of(manifest.run)):
            for stored in mycelium.facts(entry)[1]:
                fold(state, stored)
        for number, job in enumerate(state.jobs):
            successes = sum(isinstance(stored.event, Succeeded) for stored in job.history)
            if job.state is not State.DONE or successes != 1:
                raise AssertionError(f"job {number} of {manifest.run} is {job.state}, {successes} successes")
        return len(state.jobs)
