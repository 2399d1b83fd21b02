"""A worker's ipykernel from outside: start it, give it jobs, hear it, stop it.

The one file that imports jupyter_client. Any Python kernelspec will do: what has to run inside
is sent as source text.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from elfbook.errors import KernelError
from elfbook.model import INLINE_LIMIT
from elfbook.progress import Progress
from elfbook.store.beside import ended
from elfbook.work.channel import Channel
from elfbook.work.memory import Memory, ending, reap
from elfbook.work.replies import PROGRESS_AT, TOKEN_BYTES, progress_in

log = logging.getLogger("elfbook")

START_S = 60.0
LOOK_S = 0.005
ASK_S = 0.5
LAST_WORDS_S = 0.1
SHIPPED = (
    *("tracing/plain", "tracing/values", "tracing/evaluate", "code/cells"),
    *("work/fence", "work/replies", "work/room", "work/shim"),
)
BEGIN = """\
def __elfbook_begin__(sources, key, folder, values, limit, worker):
    import sys, types
    modules = {{}}
    for name, text in sources.items():
        module = types.ModuleType("elfbook_inside_" + name)
        module.__elfbook_inside__ = True
        sys.modules[module.__name__] = module
        exec(compile(text, "<elfbook " + name + ">", "exec"), module.__dict__)
        modules[name] = module
    from IPython import get_ipython
    from IPython.display import display
    modules["fence"].ensure_elfbook()
    room = modules["room"].Room(
        modules["values"], modules["evaluate"], modules["cells"], modules["fence"], key,
        {{"display": display, "get_ipython": get_ipython}},
    )
    modules["shim"].start(room, modules["replies"], folder, values, limit, worker)
__elfbook_begin__({sources!r}, {key!r}, {folder!r}, {values!r}, {limit!r}, {worker!r})
del __elfbook_begin__
"""


@dataclass(frozen=True)
class Job:
    """One call as the kernel needs it."""

    token: str
    header: dict
    parts: tuple[bytes, ...]
    shared: dict | None = None
    """What the jobs of a lot have in common: sent once for all of them."""


@dataclass(eq=False)
class Kernel:
    """One kernel process; replaced, not revived, when it dies."""

    spec: str
    folder: Path
    key: bytes
    worker: str
    environment: Mapping[str, str] = field(default_factory=dict)
    values: Path | None = None
    """Where it puts large results; beside its socket if nowhere else."""
    on_done: Callable[[dict, list[bytes]], None] | None = None
    """A job ended: the shim's header and parts."""
    on_dropped: Callable[[list[str]], None] | None = None
    on_output: Callable[[str, str, dict], None] | None = None
    """(token, message type, content) of whatever a job printed or displayed."""
    on_death: Callable[[str], None] | None = None
    """The kernel ended by itself; a phrase that says how: `was killed by signal 9 (SIGKILL)`."""
    pid: int = 0
    _memory: Memory | None = None
    python: str = ""
    _manager: AsyncKernelManager | None = None
    _channel: Channel | None = None
    _joined: asyncio.Future | None = None
    """Gives what the kernel says when it is ready."""
    _server: asyncio.Server | None = None
    _tasks: list[asyncio.Task] = field(default_factory=list)
    _client: object = None
    _stopping: bool = False
    _known: set[str] = field(default_factory=set)
    _starting: asyncio.Task | None = None
    _asked: list[asyncio.Future] = field(default_factory=list)
    """Who waits to hear what packages there are."""

    def tell(self, **calls: Callable) -> None:
        """Who is to hear of it, where that was not known when it was made."""
        for name, call in calls.items():
            setattr(self, name, call)

    def begin(self) -> None:
        """Start it beside other things; `start` waits for it."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def start(self) -> None:
        """Holds afterwards: the kernel answers and takes jobs. KernelError otherwise."""
        if self._starting is None:
            self.begin()
        await self._starting

    async def _start(self) -> None:
        self._stopping = False
        self._known.clear()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._joined = asyncio.get_running_loop().create_future()
        path = self.folder / "channel"
        path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, str(path))
        path.chmod(0o600)
        try:
            async with asyncio.timeout(START_S):
                await self._launch()
                await self._send_shim()
                header = await self._joined
        except TimeoutError:
            await self._give_up(f"the kernel {self.spec} took no jobs within {START_S:g} s")
        self.pid, self.python = header["ready"], header["python"]
        self._memory = Memory(self.pid)
        self._tasks.append(asyncio.get_running_loop().create_task(self._listen()))

    async def _launch(self) -> None:
        manager = AsyncKernelManager(
            kernel_name=self.spec, connection_file=str(self.folder / "kernel.json"), transport="ipc"
        )
        manager.ip = str(self.folder / "ipc")
        manager.cache_ports = False
        self._manager = manager  # from here on `stop` ends whatever has begun
        try:
            # stdout and stderr of the process itself go to a file: ipykernel watches and forwards them
            with open(self.folder / "kernel.log", "ab") as output:
                await manager.start_kernel(
                    env=dict(self.environment), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
                )
        except NoSuchKernel as error:
            raise KernelError(
                f"there is no kernel called {self.spec!r} on this machine",
                hint="See what there is with  jupyter kernelspec list",
            ) from error
        except OSError as error:
            raise KernelError(f"the kernel {self.spec} could not be started: {error}") from error
        await self._until_open()
        self._client = manager.client()
        self._client.start_channels(shell=True, iopub=True, stdin=False, hb=False, control=True)

    async def _until_open(self) -> None:
        """Holds afterwards: its sockets are there. Who connects to one that is not tries again much later."""
        manager = self._manager
        ports = (manager.shell_port, manager.iopub_port, manager.control_port)
        sockets = [Path(f"{manager.ip}-{port}") for port in ports]
        while not all(path.exists() for path in sockets):
            await self._check_start()
            await asyncio.sleep(LOOK_S)

    async def _check_start(self) -> None:
        if not await self._manager.is_alive():
            await self._give_up(f"the kernel {self.spec} ended before it answered")

    async def _give_up(self, why: str) -> None:
        # A start that was begun beside other things must not be cancelled by its own end.
        self._starting = None
        await self.stop()
        raise KernelError(why, hint=f"Its log is {self.folder / 'kernel.log'}")

    async def _send_shim(self) -> None:
        package = Path(__file__).parent.parent
        code = BEGIN.format(
            sources={name.rpartition("/")[2]: (package / f"{name}.py").read_text() for name in SHIPPED},
            key=self.key,
            folder=str(self.folder),
            values=str(self.values or self.folder),
            limit=INLINE_LIMIT,
            worker=self.worker,
        )
        asked = {self._client.execute(code, silent=True, store_history=False, allow_stdin=False)}
        while (reply := await self._next(self._client.get_shell_msg)) is None:
            pass
        content = reply["content"]
        if content["status"] != "ok":
            why = f"{content.get('ename')}: {content.get('evalue')}"
            await self._give_up(f"the kernel {self.spec} cannot take jobs: {why}")
        # Whoever hears it say this to all will hear the rest; and only now is it done with the request: a
        # job that began before would lose its handler of interrupts to the end of it.
        while not is_idle(said := await self._next(self._client.get_iopub_msg), asked):
            if said is None:
                asked.add(self._client.kernel_info())

    async def _next(self, get: Callable[..., Awaitable[dict]]) -> dict | None:
        """The next message of a kernel that is starting; None when there is none for a while."""
        try:
            return await get(timeout=ASK_S)
        except queue.Empty:
            await self._check_start()
            return None

    # ------------------------------------------------------------------ the channel

    def _accept(self) -> Channel:
        channel = Channel(self._heard, lambda: self._closed(channel))
        if self._channel is None:
            self._channel = channel
        return channel

    def _heard(self, header: dict, parts: list[bytes]) -> None:
        if "done" in header:
            self.on_done(header, parts)
        elif "dropped" in header:
            self.on_dropped(header["dropped"])
        elif "found" in header:
            self._answer(header["found"])
        elif not self._joined.done():
            self._joined.set_result(header)

    def _closed(self, channel: Channel) -> None:
        if channel is self._channel and self._joined.done() and not self._stopping:
            self._tasks.append(asyncio.get_running_loop().create_task(self._tell_death()))

    async def _tell_death(self) -> None:
        how = await self._how_it_ended()
        await asyncio.sleep(LAST_WORDS_S)  # what it printed at the end comes another way
        self.on_death(how)

    async def _how_it_ended(self) -> str:
        """The channel closed: how did the process end?"""
        process = getattr(self._manager.provisioner, "process", None)
        for _ in range(200):
            code, most = reap(process) if process is not None else (0, 0)
            if code is not None:
                if code == -signal.SIGKILL:
                    self._memory.ended(most)
                return ending(code)
            await asyncio.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return "closed its channel and was killed"

    def _send(self, header: dict, parts: Sequence[bytes] = ()) -> None:
        if self._channel is not None:
            self._channel.send(header, parts)

    def begun(self) -> str:
        """Token of the job that it began last; also when the process has ended."""
        return self._left()[:TOKEN_BYTES].rstrip(b"\0").decode(errors="ignore")

    def last_words(self) -> str:
        """The end of what that job has printed; also when the process has ended."""
        return self._left()[TOKEN_BYTES:PROGRESS_AT].rstrip(b"\0").decode(errors="ignore")

    def said(self, token: str) -> Progress | None:
        """How far that job is, as it says itself; None if it does not, or is just about to."""
        left = self._left()
        found = progress_in(left) if left[:TOKEN_BYTES].rstrip(b"\0") == token.encode() else None
        return Progress(*found) if found is not None else None

    def _left(self) -> bytes:
        try:
            return (self.folder / "last").read_bytes()
        except OSError:
            return b""

    def look(self) -> None:
        """Take note of how much memory it uses; called from time to time while it works."""
        self._memory.look()

    @property
    def used_up(self) -> int | None:
        """How many bytes it had used when it was ended for want of memory; None if it was not."""
        return self._memory.used if self._memory.ran_out else None

    def knows(self, digest: str) -> bool:
        return digest in self._known

    async def find(self, modules: Iterable[str]) -> dict[str, bool]:
        """Whether these packages can be imported there; {} when the kernel ends before it can tell."""
        self._asked.append(asyncio.get_running_loop().create_future())
        self._send({"find": sorted(modules)})
        return await self._asked[-1]

    def _answer(self, found: dict[str, bool]) -> None:
        for future in self._asked[:1] if found else self._asked:
            if not future.done():
                future.set_result(found)
        del self._asked[: 1 if found else None]

    def learn(self, revision: dict, captures: list[bytes]) -> None:
        """Send a revision ahead of the first job that needs it."""
        self._known.add(revision["digest"])
        self._send({"revision": revision}, captures)

    def run(self, jobs: list[Job]) -> None:
        """Queue jobs in the kernel; each comes back through `on_done`, in this order."""
        header: dict = {"jobs": [job.header for job in jobs]}
        shared = jobs[0].shared
        if shared is not None and all(job.shared is shared for job in jobs):
            header["shared"] = shared
        else:
            header["jobs"] = [{**(job.shared or {}), **job.header} for job in jobs]
        self._send(header, [part for job in jobs for part in job.parts])

    def drop(self, tokens: list[str]) -> None:
        """Take jobs back that have not begun; `on_dropped` says which."""
        self._send({"drop": tokens})

    def forget(self, names: list[str]) -> None:
        self._send({"forget": names})

    async def interrupt(self, token: str) -> None:
        """SIGINT for that job, and for no other that may have begun meanwhile."""
        draft = self.folder / "stop.new"
        draft.write_text(token)
        draft.replace(self.folder / "stop")
        with contextlib.suppress(ProcessLookupError, RuntimeError):
            await self._manager.interrupt_kernel()

    # ------------------------------------------------------------------ output

    async def _listen(self) -> None:
        while True:
            message = await self._client.get_iopub_msg(timeout=None)
            token = message["parent_header"].get("msg_id", "")
            with contextlib.suppress(KeyError):
                self.on_output(token, message["msg_type"], message["content"])

    # ------------------------------------------------------------------ the end

    def kill(self) -> None:
        """End the process at once; `on_death` follows."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Holds afterwards: the process has ended and nothing of it is left."""
        self._stopping = True
        self._answer({})
        if self._starting is not None:
            await ended([self._starting])
            self._starting = None
        await ended(self._tasks)
        self._tasks.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._client is not None:
            self._client.stop_channels()
            self._client = None
        if self._manager is not None:
            with contextlib.suppress(ProcessLookupError, RuntimeError):
                if self._manager.has_kernel:
                    await self._manager.shutdown_kernel(now=True)
            self._manager = None
        for file in self.folder.glob("ipc-*"):
            file.unlink(missing_ok=True)


def is_idle(message: dict | None, asked: set[str]) -> bool:
    """True for a kernel's word that it is done with one of these requests."""
    said = message or {"parent_header": {}, "content": {}}
    return said["parent_header"].get("msg_id") in asked and said["content"].get("execution_state") == "idle"


def own_python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])
