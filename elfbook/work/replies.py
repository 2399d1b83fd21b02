"""What a kernel says to its worker: answers, progress, and the last words of a process that ends.

Sent as text into the kernel, whose environment need not have elfbook: standard library only, no
import of ours.

Short jobs are answered many at a time, which saves a system call and a switch of processes for
each. What is held back is on its way within about a millisecond of work, or as soon as a thread of
its own gets to run while a job takes long. If the process ends before, those jobs are run again;
which job it ended in, it has written down when that job began.

How far a job is, it writes down too, into the same file, and the worker looks there when it likes: so it
costs a job next to nothing however often it says so, the last word is always there, and code that keeps
the interpreter to itself afterwards hides nothing.
"""

import json
import mmap
import re
import struct
import threading
import time
import zlib

TOKEN_BYTES = 128
LAST_BYTES = 2000
PROGRESS_AT = TOKEN_BYTES + LAST_BYTES
MOST_TEXT = 200
HEAD = struct.Struct(">IH")
"""Before what is said of progress: its checksum, made with the job's token, and its length."""
NUMBERS = struct.Struct(">dd")
FILE_BYTES = PROGRESS_AT + HEAD.size + NUMBERS.size + 4 * MOST_TEXT
WRITTEN_OVER = re.compile(r"[^\r\n]*\r+(?=[^\r\n])")
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
    """The job that was begun last, how far it is and the end of what it has printed, in a file that outlives
    this process however it ends."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(FILE_BYTES)
            self.map = mmap.mmap(file.fileno(), FILE_BYTES)
        self.text = ""
        self.token = b""
        self.told = False

    def begin(self, token):
        if self.told:  # before the token: nobody may take it for progress of the new job
            self.told = False
            self.map[PROGRESS_AT : PROGRESS_AT + HEAD.size] = bytes(HEAD.size)
        self.token = token.encode()[:TOKEN_BYTES].ljust(TOKEN_BYTES, b"\0")
        self.map[:TOKEN_BYTES] = self.token
        if self.text:
            self.text = ""
            self.add("")

    def add(self, text):
        self.text += text
        if "\r" in text:
            self.text = WRITTEN_OVER.sub("", self.text)
        self.text = self.text[-LAST_BYTES:]
        left = self.text.encode("utf-8", "replace")[-LAST_BYTES:].ljust(LAST_BYTES, b"\0")
        self.map[TOKEN_BYTES:PROGRESS_AT] = left

    def progress(self, done, total, text):
        """The job that was begun last is that far; `total` is None when nobody knows."""
        self.told = True
        body = NUMBERS.pack(done, -1.0 if total is None else total)
        if text:
            body += text[:MOST_TEXT].encode("utf-8", "replace")
        frame = HEAD.pack(zlib.crc32(body, zlib.crc32(self.token)), len(body)) + body
        self.map[PROGRESS_AT : PROGRESS_AT + len(frame)] = frame


def progress_in(left):
    """(done, total, text) as the job that was begun last has said it last, from the bytes of that file.

    None if it has said nothing, or is just about to write it.
    """
    if len(left) < FILE_BYTES:
        return None
    checksum, size = HEAD.unpack_from(left, PROGRESS_AT)
    body = left[PROGRESS_AT + HEAD.size :][:size]
    if size < NUMBERS.size or zlib.crc32(body, zlib.crc32(left[:TOKEN_BYTES])) != checksum:
        return None
    done, total = NUMBERS.unpack_from(body)
    return done, (None if total < 0 else total), body[NUMBERS.size :].decode("utf-8", "replace")
