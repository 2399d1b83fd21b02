"""The part of a worker that lives inside its ipykernel: takes jobs, runs them, answers.

Sent as text into the kernel, whose environment need not have elfbook: standard library and
ipykernel only, no import of ours.

A thread reads batches of jobs from a private socket; the kernel's main thread runs them one by
one as steps of its own event loop, so that ordinary shell messages get in between. Output
carries the job's token as its parent, hence lands with its job and nowhere else.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import importlib.util
import mmap
import os
import signal
import socket
import sys
import threading
import time
import uuid
from _signal import getsignal  # the public one makes an enum's member of each answer
from collections import deque

YIELD_S = 0.01
"""Longest stretch of short jobs between two looks at the shell's messages."""


class Shim:
    """One worker's jobs inside one kernel."""

    def __init__(self, kernel, room, channel, last, folder, inline_limit):
        self.kernel = kernel
        self.shell = kernel.shell
        self.room = room
        self.channel = channel
        self.values = folder
        """Where large results go."""
        self.inline_limit = inline_limit
        self.loop = asyncio.get_event_loop()
        self.queue = deque()
        self.lock = threading.Lock()
        self.draining = False
        self.current = None
        self.waiting = None
        self.wrote = False
        self.last = last
        self.stop_file = os.path.join(folder, "stop")

    # ------------------------------------------------------------------ reading

    def read(self):
        """Run by the reading thread until the worker goes away, and the kernel with it."""
        try:
            while True:
                header, parts = self.channel.receive()
                self.take(header, parts)
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGKILL)  # nobody is left to answer to

    def take(self, header, parts):
        if "revision" in header:
            with self.lock:
                self.queue.append(("learn", header["revision"], parts))
        elif "forget" in header:
            with self.lock:
                self.queue.append(("forget", header["forget"], parts))
        elif "drop" in header:
            self.drop(set(header["drop"]))
            return
        elif "find" in header:
            self.channel.send({"found": {name: is_there(name) for name in header["find"]}})
            return
        else:
            at = 0
            shared = header.get("shared")
            with self.lock:
                for told in header["jobs"]:
                    job = told
                    if shared is not None:
                        job = {**shared, "elf": dict(shared["elf"]), "short": True, **told}
                    count = job["parts"]
                    self.queue.append(("run", job, parts[at : at + count]))
                    at += count
        self.loop.call_soon_threadsafe(self.wake)

    def drop(self, tokens):
        """Give jobs back that have not begun; says which ones it could."""
        with self.lock:
            dropped = [
                item[1]["token"] for item in self.queue if item[0] == "run" and item[1]["token"] in tokens
            ]
            self.queue = deque(
                item for item in self.queue if item[0] != "run" or item[1]["token"] not in tokens
            )
        self.channel.send({"dropped": dropped})

    # ------------------------------------------------------------------ running

    def wake(self):
        if not self.draining:
            self.draining = True
            self.loop.create_task(self.drain())

    async def drain(self):
        looked = time.monotonic()
        try:
            while True:
                with self.lock:
                    if not self.queue:
                        self.draining = False
                        return
                    kind, what, parts = self.queue.popleft()
                if kind == "run":
                    await self.run(what, parts)
                elif kind == "learn":
                    self.learn(what, parts)
                else:
                    self.room.forget(what)
                if time.monotonic() - looked > YIELD_S:
                    await asyncio.sleep(0)
                    looked = time.monotonic()
        except BaseException:
            self.draining = False
            raise

    def learn(self, revision, parts):
        """Note a revision; the data of its captures follows as parts, or as files."""
        parts = iter(parts)
        for capture in revision["captures"]:
            path = capture.pop("path", None)
            capture["data"] = mapped(path) if path else next(parts)
        self.room.learn(revision)

    async def run(self, job, parts):
        token = job["token"]
        self.set_parent(token)
        self.watch_streams()
        self.last.begin(token)
        self.wrote = False
        if getsignal(signal.SIGINT) != self.interrupted:  # ipykernel sets its own for each cell it runs
            signal.signal(signal.SIGINT, self.interrupted)
        self.current = token
        self.room.fence.begin(job["fence"])
        try:
            self.unpack(job, parts)
            outcome = self.room.run(job)
            if "coroutine" in outcome:
                outcome = await self.run_async(job, outcome)
            self.show_figures()
        except BaseException as error:  # an interrupt that came a moment after the job had ended
            outcome = self.room.failed(job, error, time.perf_counter())
        finally:
            self.current = None
            self.room.fence.end()
        try:
            self.answer(job, token, outcome)
        except OSError as error:  # no room on the disk for a large result
            self.answer(job, token, self.room.failed(job, error, time.perf_counter()))

    def unpack(self, job, parts):
        """Put what came beside the job's header where the room looks for it."""
        at = iter(parts)
        job["arguments"] = bytes(next(at))
        job["elf"]["arguments"] = bytes(next(at))
        job["inputs"] = [(parent, mapped(path) if path else next(at)) for parent, path in job["inputs"]]
        job["blobs"] = {digest: mapped(path) for digest, path in job["blobs"].items()}
        if job["kept"]:
            self.room.kept.setdefault(job["elf"]["name"], bytes(next(at)))

    async def run_async(self, job, begun):
        self.waiting = asyncio.ensure_future(contained(begun["coroutine"]))
        try:
            value, error = await self.waiting
            if error is not None:
                return self.room.failed(job, error, begun["started"], begun["call"])
            return self.room.finish(job, value, begun["started"])
        except asyncio.CancelledError:
            return self.room.failed(job, KeyboardInterrupt(), begun["started"], begun["call"])
        except BaseException as error:
            return self.room.failed(job, error, begun["started"], begun["call"])
        finally:
            self.waiting = None

    def interrupted(self, number, frame):
        """SIGINT is for one job: the one whose token the worker wrote down."""
        try:
            with open(self.stop_file) as file:
                wanted = file.read()
        except OSError:
            return
        if self.current is None or wanted != self.current:
            return
        if self.waiting is not None:
            self.loop.call_soon_threadsafe(self.waiting.cancel)  # wakes the loop, which may be asleep
        else:
            raise KeyboardInterrupt

    def answer(self, job, token, outcome):
        header = {"done": token, "ok": outcome["ok"], "elapsed": outcome["elapsed"]}
        parts = []
        if outcome["ok"]:
            header["preview"] = outcome["preview"]
            encoded = outcome["parts"]
            if sum(memoryview(part).nbytes for part in encoded) <= self.inline_limit:
                parts.append(b"".join(encoded))
            else:
                header["file"] = self.save(encoded)
            if outcome.get("keep") is not None:
                header["keep"] = True
                parts.append(outcome["keep"])
                self.room.committed(job, outcome)
        else:
            header["failure"] = outcome["failure"]
            header["refused"] = outcome["refused"]
            header["memory"] = outcome["memory"]
        if self.wrote:
            self.flush_output(token)
            header["output"] = True
        # One of many short ones: its result may wait a moment for theirs.
        self.channel.answer(header, parts, job.get("short") and bool(self.queue))

    def save(self, encoded):
        """Put a large result into a file of the worker's folder; gives its facts."""
        path = os.path.join(self.values, "out-" + uuid.uuid4().hex)
        sha, size = hashlib.sha256(), 0
        try:
            with open(path, "xb") as file:
                for part in encoded:
                    view = memoryview(part).cast("B")
                    size += view.nbytes
                    # The hash is taken while the system writes: neither needs the interpreter for it.
                    hashing = threading.Thread(target=sha.update, args=(view,))
                    hashing.start()
                    try:
                        file.write(view)
                    finally:
                        hashing.join()
        except OSError:
            if os.path.exists(path):
                os.unlink(path)  # on a full disk every byte counts
            raise
        return {"path": path, "digest": sha.hexdigest(), "size": size}

    # ------------------------------------------------------------------ output

    def watch_output(self):
        """Learn whether a job wrote anything: only then is there something to flush."""

        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "flush_interval"):
                stream.flush_interval = 0.05

        def displayed(message):
            self.wrote = True
            return message

        self.shell.display_pub.register_hook(displayed)

    def watch_streams(self):
        """Notice writes of the coming job. IPython takes such a change back after each cell it runs."""
        for stream in (sys.stdout, sys.stderr):
            write = stream.write
            if getattr(write, "elfbook", None) is not self:

                def note(text, write=write):
                    self.wrote = True
                    self.last.add(str(text))
                    return write(text)

                note.elfbook = self
                stream.write = note

    def set_parent(self, token):
        header = {
            "msg_id": token,
            "msg_type": "execute_request",
            "session": "elfbook",
            "username": "elfbook",
            "version": "5.3",
            "date": datetime.datetime.now(datetime.timezone.utc),
        }
        self.parent = {"header": header, "msg_id": token, "msg_type": "execute_request"}
        self.shell.set_parent(self.parent)

    def flush_output(self, token):
        """All that the job wrote is sent, and behind it the mark that nothing follows."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.kernel.session.send(
            self.kernel.iopub_socket,
            "status",
            {"execution_state": "idle"},
            parent=self.parent,
            ident=self.kernel._topic("status"),
        )

    def show_figures(self):
        """Figures that a job left open are shown under it, as after a cell."""
        inline = sys.modules.get("matplotlib_inline.backend_inline")
        pyplot = sys.modules.get("matplotlib.pyplot")
        if inline is not None and pyplot is not None and pyplot.get_fignums():
            inline.flush_figures()


async def contained(coroutine):
    """What it gives and what it raised; asyncio would let SystemExit end the kernel's own loop."""
    try:
        return await coroutine, None
    except (KeyboardInterrupt, SystemExit) as error:
        return None, error


def mapped(path):
    """A file's bytes, writable here without changing the file."""
    size = os.path.getsize(path)
    if not size:
        return bytearray()
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)


def is_there(name):
    """True for a package that can be imported here; it is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: made by hand, without a spec
        return name in sys.modules


def start(room, replies, folder, values, inline_limit, name):
    """Join the worker that listens in `folder`; returns at once. `replies` is the module of that name."""
    from ipykernel.kernelapp import IPKernelApp

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(os.path.join(folder, "channel"))
    kernel = IPKernelApp.instance().kernel
    last = replies.LastWords(os.path.join(folder, "last"))
    shim = Shim(kernel, room, replies.Channel(sock), last, folder, inline_limit)
    shim.values = values
    shim.watch_output()
    room.fence.tell(last.progress)
    threading.Thread(target=shim.read, name="elfbook " + name, daemon=True).start()
    shim.channel.send({"ready": os.getpid(), "python": sys.version.split()[0]})
    return shim
