"""Elves that leave a trail: a line when an attempt begins, a line when it ends, a result that names itself.

A result says which attempt made it and from which results. So the trail and the results together
tell afterwards which attempts there were, which of them counted, and what each one was given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ELVES = '''\
import json
import os
import time
import uuid


def begin(path, word):
    token = uuid.uuid4().hex
    line(path, "begin", word, token)
    return token


def line(path, what, word, token):
    text = json.dumps({"what": what, "word": word, "token": token, "at": time.monotonic(), "pid": os.getpid()})
    with open(path, "a") as file:
        file.write(text + "\\n")


def wait(gate, seconds):
    if gate:
        while not os.path.exists(gate):
            time.sleep(0.01)
    if seconds:
        time.sleep(seconds)


def made(word, token, given, size=0):
    return {"word": word, "token": token, "of": [each["token"] for each in given], "fill": bytes(size)}


class Trail:
    def task_step(self, path, word, *given, seconds=0.0, gate="", size=0):
        token = begin(path, word)
        wait(gate, seconds)
        line(path, "end", word, token)
        return made(word, token, given, size)

    def task_join(self, path, word, given):
        token = begin(path, word)
        line(path, "end", word, token)
        return made(word, token, given)

    def task_shaky(self, path, word, failures, *given):
        token = begin(path, word)
        with open(path) as file:
            begun = sum(json.loads(each)["word"] == word for each in file if '"begin"' in each)
        if begun <= failures:
            raise ValueError(f"attempt {begun} of {failures} that fail")
        line(path, "end", word, token)
        return made(word, token, given)


class Ledger:
    """A named elf: what it keeps is stored with the result of the job, or not at all."""

    def task_enter(self, path, word, *given):
        token = begin(path, word)
        self.keep["entries"] = self.keep.get("entries", 0) + 1
        line(path, "end", word, token)
        return {**made(word, token, given), "entry": self.keep["entries"]}
'''


@dataclass(frozen=True)
class Mark:
    """One line of a trail."""

    what: str
    """`begin` or `end`."""
    word: str
    token: str
    at: float
    """Monotonic seconds: one clock for all processes of a machine."""
    pid: int


def marks_of(path: Path) -> list[Mark]:
    """The whole lines of a trail, in order; a process may have died while it wrote one."""
    if not path.exists():
        return []
    return [Mark(**json.loads(text)) for text in path.read_text().splitlines() if text.endswith("}")]
