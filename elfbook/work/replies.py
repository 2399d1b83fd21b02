"""What a kernel says to its worker: answers, and the last words of a process that ends.

Sent as text into the kernel, whose environment need not have elfbook: standard library only, no
import of ours.

Short jobs are answered many at a time, which saves a system call and a switch of processes for
each. What is held back is on its way within about a millisecond of work, or as soon as a thread of
its own gets to run while a job takes long. If the process ends before, those jobs are run again;
which job it ended in, it has written down when that job began.
"""

import json
import mmap
import struct
import threading
import time

TOKEN_BYTES = 128
LAST_BYTES = 2000
HELD = 64
HELD_S = 0.001
LATE_S = 0.003


class Channel:
    """Frames over a stream socket: a length, a JSON header, the header's binary parts."""

    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Lock()
        self.held = []
        self.since = 0.0
        self.some = threading.Event()
        threading.Thread(target=self.keep_flushing, name="elfbook answers", daemon=True).start()

    def send(self, header, parts=()):
        """Send a frame, and before it whatever was held back."""
        self.answer(header, parts, False)

    def answer(self, header, parts, may_wait):
        """Send a frame; if it may wait, perhaps together with those that come next."""
        frame = framed(header, parts)
        with self.lock:
            self.held.append(frame)
            if len(self.held) == 1 and may_wait:
                self.since = time.monotonic()
                self.some.set()
            elif not may_wait or len(self.held) >= HELD or time.monotonic() - self.since > HELD_S:
                self.flush()

    def flush(self):
        """Send what is held; the lock is held by whoever calls."""
        frames, self.held = self.held, []
        if frames:
            self.sock.sendall(b"".join(frames))

    def keep_flushing(self):
        """Run by a thread: a job that takes long must not keep the answers before it from leaving."""
        while True:
            self.some.wait()
            self.some.clear()
            time.sleep(LATE_S)
            with self.lock:
                try:
                    self.flush()
                except OSError:
                    return  # the worker is gone, and the reading thread ends the process

    def exactly(self, count):
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count:
            step = self.sock.recv_into(view[got:])
            if not step:
                raise EOFError
            got += step
        return data

    def receive(self):
        (size,) = struct.unpack(">I", self.exactly(4))
        header = json.loads(bytes(self.exactly(size)))
        return header, [self.exactly(size) for size in header.get("sizes", ())]


def framed(header, parts):
    sizes = [memoryview(part).nbytes for part in parts]
    if sizes:
        header["sizes"] = sizes
    body = json.dumps(header, separators=(",", ":")).encode()
    return b"".join([struct.pack(">I", len(body)), body, *[bytes(part) for part in parts]])


class LastWords:
    """The job that was begun last and the end of what it has printed, in a file that outlives this
    process however it ends."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(TOKEN_BYTES + LAST_BYTES)
            self.map = mmap.mmap(file.fileno(), TOKEN_BYTES + LAST_BYTES)
        self.text = ""

    def begin(self, token):
        self.map[:TOKEN_BYTES] = token.encode()[:TOKEN_BYTES].ljust(TOKEN_BYTES, b"\0")
        if self.text:
            self.text = ""
            self.add("")

    def add(self, text):
        self.text = (self.text + text)[-LAST_BYTES:]
        self.map[TOKEN_BYTES:] = self.text.encode("utf-8", "replace")[-LAST_BYTES:].ljust(LAST_BYTES, b"\0")
