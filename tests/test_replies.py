"""The kernel's side of the channel: answers that wait for one another, and what is left of a process."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfbook.work import replies
from elfbook.work.replies import PROGRESS_AT, TOKEN_BYTES, Channel, LastWords, progress_in


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    kernel, worker = socket.socketpair()
    worker.settimeout(10)
    with kernel, worker:
        yield kernel, worker


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        step = sock.recv(count - len(data))
        assert step, "the other side has closed"
        data += step
    return data


def frame(sock: socket.socket) -> tuple[dict, list[bytes]]:
    (size,) = struct.unpack(">I", exactly(sock, 4))
    header = json.loads(exactly(sock, size))
    return header, [exactly(sock, each) for each in header.get("sizes", ())]


def test_what_may_wait_is_sent_with_what_may_not(ends, monkeypatch) -> None:
    monkeypatch.setattr(replies, "LATE_S", 3600.0)  # the thread of its own does not help
    monkeypatch.setattr(replies, "HELD_S", 3600.0)
    kernel, worker = ends
    channel = Channel(kernel)
    channel.answer({"done": "1"}, [b"one"], True)
    channel.answer({"done": "2"}, [], True)
    worker.setblocking(False)
    with pytest.raises(BlockingIOError):
        worker.recv(1)
    worker.settimeout(10)
    channel.send({"dropped": []})
    assert [frame(worker) for _ in range(3)] == [
        ({"done": "1", "sizes": [3]}, [b"one"]),
        ({"done": "2"}, []),
        ({"dropped": []}, []),
    ]


def test_so_many_are_sent_though_all_may_wait(ends, monkeypatch) -> None:
    monkeypatch.setattr(replies, "LATE_S", 3600.0)
    monkeypatch.setattr(replies, "HELD_S", 3600.0)
    kernel, worker = ends
    channel = Channel(kernel)
    for number in range(replies.HELD):
        channel.answer({"done": str(number)}, [], True)
    assert [frame(worker)[0]["done"] for _ in range(replies.HELD)] == [str(n) for n in range(replies.HELD)]


def test_an_answer_leaves_though_nothing_comes_after_it(ends) -> None:
    """The job behind it takes long: the thread sends what was held back."""
    kernel, worker = ends
    Channel(kernel).answer({"done": "1"}, [], True)
    assert frame(worker) == ({"done": "1"}, [])


def test_last_words_name_the_job_that_was_begun(tmp_path: Path) -> None:
    path = tmp_path / "last"
    last = LastWords(path)
    last.begin("worker-1-7")
    last.add("nearly ")
    last.add("done\n")
    left = path.read_bytes()
    assert left[:TOKEN_BYTES].rstrip(b"\0") == b"worker-1-7"
    assert left[TOKEN_BYTES:PROGRESS_AT].rstrip(b"\0") == b"nearly done\n"
    last.begin("worker-1-8")
    left = path.read_bytes()
    assert (left[:TOKEN_BYTES].rstrip(b"\0"), left[TOKEN_BYTES:PROGRESS_AT].rstrip(b"\0")) == (b"worker-1-8", b"")


def test_the_end_of_a_long_text_is_kept(tmp_path: Path) -> None:
    last = LastWords(tmp_path / "last")
    last.begin("t")
    for _ in range(1000):
        last.add("0123456789")
    last.add("the end")
    left = (tmp_path / "last").read_bytes()
    assert len(left) == replies.FILE_BYTES
    assert left[:PROGRESS_AT].endswith(b"the end") and os.path.getsize(tmp_path / "last") == len(left)


def test_progress_is_that_of_the_job_that_was_begun_last(tmp_path: Path) -> None:
    path = tmp_path / "last"
    last = LastWords(path)
    assert progress_in(path.read_bytes()) is None
    last.begin("worker-1-7")
    last.progress(3.0, 10.0, "reading")
    last.add("and prints")
    assert progress_in(path.read_bytes()) == (3.0, 10.0, "reading")
    last.progress(0.0, None, "ä" * 500)
    assert progress_in(path.read_bytes()) == (0.0, None, "ä" * replies.MOST_TEXT)
    last.progress(1.0, 0.0, "\ud800")
    assert progress_in(path.read_bytes()) == (1.0, 0.0, "?")
    last.begin("worker-1-8")
    assert progress_in(path.read_bytes()) is None


def test_progress_that_is_half_written_is_none(tmp_path: Path) -> None:
    path = tmp_path / "last"
    last = LastWords(path)
    last.begin("t")
    last.progress(3.0, 10.0, "one")
    before = path.read_bytes()
    last.progress(4.0, 10.0, "two")
    after = path.read_bytes()
    places = [place for place in range(len(after)) if before[place] != after[place]]
    assert all(progress_in(before[:place] + after[place:]) is None for place in places[1:])
    assert progress_in(after[: PROGRESS_AT + 2]) is None
    other = b"u" + after[1:]
    assert progress_in(other) is None, "it was said by another job"


def test_last_words_have_a_line_that_is_written_over_once(tmp_path: Path) -> None:
    path = tmp_path / "last"
    last = LastWords(path)
    last.begin("t")
    last.add("begin\n")
    for step in range(1000):
        last.add(f"\r{step} of 1000")
    left = path.read_bytes()[TOKEN_BYTES:PROGRESS_AT].rstrip(b"\0")
    assert left == b"begin\n999 of 1000"
