"""A board without a browser: it keeps what the messages say, exactly as they say it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from elfbook.view.messages import STATES, Snapshot


def numbers(code: str, data: bytes) -> list[float]:
    return list(array(code, data))


@dataclass
class Page:
    """What a page keeps: columns by job, changed by patches exactly as the messages say."""

    head: object = None
    tasks: tuple = ()
    groups: tuple = ()
    workers: list[str] = field(default_factory=list)
    columns: dict[str, list[float]] = field(default_factory=dict)
    seq: int = -1

    def take(self, message: object, buffers: Sequence[bytes]) -> None:
        # Through JSON and back: what is not sent because it is a default must come back as one.
        message = msgspec.json.decode(msgspec.json.encode(message), type=type(message))
        names = ("state", "task", "number", "attempts", "worker", "started", "ended")
        if isinstance(message, Snapshot):
            codes = "Biiiidd"
            self.columns = {n: numbers(c, b) for n, c, b in zip(names, codes, buffers[:7], strict=True)}
            self.edges = [numbers("i", buffer) for buffer in buffers[7:]]
            self.tasks, self.workers, self.groups = message.tasks, list(message.workers), message.groups
        else:
            assert message.seq == self.seq + 1
            self.workers += message.more_workers
            self.groups = self.groups if message.groups is None else message.groups
            codes = "iBiidd"
            jobs, *columns = [numbers(c, b) for c, b in zip(codes, buffers, strict=True)]
            for name, column in zip(("state", "attempts", "worker", "started", "ended"), columns, strict=True):
                for job, number in zip(jobs, column, strict=True):
                    self.columns[name][job] = number
        self.head, self.seq = message.head, message.seq

    def shown(self) -> dict:
        """Everything, in a form that can be compared: workers by name, NaN as None."""
        columns = {
            name: [None if isinstance(n, float) and math.isnan(n) else n for n in column]
            for name, column in self.columns.items()
        }
        columns["worker"] = [None if n < 0 else self.workers[int(n)] for n in columns["worker"]]
        return {"head": self.head, "tasks": self.tasks, "groups": self.groups, **columns}

    def states(self) -> list[str]:
        return [STATES[int(code)] for code in self.columns["state"]]
