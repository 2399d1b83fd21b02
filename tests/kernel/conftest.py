"""A real ipykernel with an elf in it, and everything that it says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from elfbook.code.cells import read, span
from elfbook.model import Dispatch, ElfUse, Piece, Revision, ValueRef
from elfbook.tracing import values
from elfbook.tracing.expr import freeze
from elfbook.work.kernel import Kernel
from elfbook.work.outputs import text_of_display
from elfbook.work.parcels import build, keeping, plain_revision

KEY = bytes(range(32))
CELL = """\
import asyncio, os, sys, time, threading

class Zoo:
    def task_double(self, x): return 2 * x
    def task_say(self, text):
        print(text)
        print(text.upper(), file=sys.stderr)
    def task_show(self, text):
        from IPython.display import HTML
        display(HTML(text))
    def task_fail(self): return 1 / 0
    def task_spin(self, path):
        open(path, "x").close()
        while True: pass
    def task_stubborn(self, path):
        open(path, "x").close()
        while not os.path.exists(path + ".go"): pass
        return "ready"
    async def task_wait(self, path):
        open(path, "x").close()
        await asyncio.Event().wait()
    async def task_later(self, x):
        await asyncio.sleep(0)
        print("later", x)
        return x + 1
    def task_die(self, how, path):
        print("last words")
        while not os.path.exists(path): pass
        os._exit(how) if how >= 0 else os.kill(os.getpid(), -how)
    def task_leave(self): sys.exit(3)
    async def task_leave_later(self): sys.exit(3)
    def task_large(self, size): return bytes(size)
    def task_parent(self): return get_ipython().get_parent()["header"]["msg_id"]
    def task_thread(self, text):
        thread = threading.Thread(target=print, args=(text,))
        thread.start()
        thread.join()
    def task_run_cell(self): return get_ipython().run_cell("21 * 2").result
    def task_figure(self):
        import matplotlib
        matplotlib.use("module://matplotlib_inline.backend_inline")
        from matplotlib import pyplot
        pyplot.plot([1, 2])
    def task_count(self):
        self.seen = getattr(self, "seen", 0) + 1
        return self.seen
    def task_fence(self):
        import elfbook
        return self.fence, elfbook.fence(), str(self.fence)
    async def task_fence_later(self):
        from elfbook import fence
        await asyncio.sleep(0)
        return fence()
    def task_keep(self, x):
        self.keep["x"] = self.keep.get("x", 0) + x
        return dict(self.keep)
"""


@cache
def revision_of(text: str, digest: str = "r1") -> Revision:
    piece = Piece("/tmp/ipykernel_1/1.py", "Cell In[1]", text, tuple(span(node) for node in read(text).body))
    return Revision(elf="Zoo", digest=digest, tasks=(), pieces=(piece,), label="Cell In[1]")


@dataclass(eq=False)
class Desk:
    """A kernel, and everything it has said."""

    folder: Path
    kernel: Kernel = None
    done: dict[str, tuple[dict, list[bytes]]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    heard: list[tuple[str, str, dict]] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    count: int = 0

    @property
    def values(self) -> Path:
        return self.folder.parent / "values"

    def learn(self, cell: str = CELL) -> None:
        self.kernel.learn(plain_revision(revision_of(cell)), [])

    async def start(self, spec: str = "python3", cell: str = CELL, **environment: str) -> Kernel:
        self.kernel = Kernel(
            spec=spec,
            folder=self.folder,
            key=KEY,
            worker="w1",
            on_done=lambda header, parts: self.done.update({header["done"]: (header, parts)}),
            on_dropped=self.dropped.extend,
            on_output=lambda *heard: self.heard.append(heard),
            on_death=self.deaths.append,
            environment={**os.environ, **environment},
            values=self.values,
        )
        self.values.mkdir(exist_ok=True)
        await self.kernel.start()
        self.learn(cell)
        return self.kernel

    def job(self, task: str, *args: object, name: str = "", kept: bytes | None = None):
        self.count += 1
        token = f"w1.{self.count}"
        expression = freeze((args, {}), KEY).expression
        use = ElfUse(elf="Zoo", revision="r1", name=name)
        dispatch = Dispatch("zoo.1", self.count, 0, 1, "", use, ValueRef("r1", 1), f"task_{task}", expression)
        return keeping(build(token, dispatch, revision_of(CELL), (), {}, (3, self.count)), kept)

    def put(self, task: str, *args: object, **more: object) -> str:
        """Queue one job; gives its token."""
        job = self.job(task, *args, **more)
        self.kernel.run([job])
        return job.token

    @staticmethod
    def encode(value: object) -> bytes:
        return b"".join(bytes(part) for part in values.encode(value, KEY))

    @staticmethod
    def decode(data: bytes) -> object:
        return values.decode(data, KEY)

    def value(self, token: str) -> object:
        header, parts = self.done[token]
        assert header["ok"], header["failure"]
        return self.decode(parts[0])

    def failure(self, token: str) -> dict:
        header, _ = self.done[token]
        assert not header["ok"]
        return header["failure"]

    def text(self, token: str, name: str = "stdout") -> str:
        return "".join(
            c["text"] for t, kind, c in self.heard if (t, kind) == (token, "stream") and c["name"] == name
        )

    def bundles(self, token: str) -> list[dict[str, str]]:
        return [text_of_display(c) for t, kind, c in self.heard if (t, kind) == (token, "display_data")]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="k"))  # a short path, for the names of sockets
    yield made
    shutil.rmtree(made)


@pytest.fixture
def new_desk() -> type[Desk]:
    """`new_desk(folder)`: one that is not stopped by itself."""
    return Desk


@pytest.fixture
async def desk(folder: Path, processes) -> AsyncIterator[Desk]:
    made = Desk(folder / "k")
    yield made
    if made.kernel is not None:
        await made.kernel.stop()
        assert processes(folder) == {}
        assert not list(made.folder.glob("ipc-*"))
