"""What user code finds of elfbook in a kernel: above all the token of the present attempt.

Also sent as text into worker kernels: standard library only, Python 3.9 and up, no import of ours.
"""

from __future__ import annotations

import importlib
import sys
import types
import typing

__elfbook_inside__ = True  # our own frames: left out of what a user sees


class Fence(typing.NamedTuple):
    """A token of one attempt: larger than those of all attempts of the same job before it."""

    epoch: int
    """Of the store: grows whenever another store takes its place, or it has gone back."""
    seq: int
    """Of the attempt's claim in the store's log."""

    def __str__(self):
        """Such that texts are in the same order as the tokens."""
        return f"{self.epoch:010d}-{self.seq:016d}"

    def __reduce__(self):
        return tuple, (tuple(self),)  # elsewhere it is a plain pair of numbers


NOW = []  # the token of the attempt under way in this process, if there is one


def begin(token):
    """An attempt begins here."""
    NOW[:] = [Fence(*token)]


def end():
    """No attempt is under way here."""
    NOW.clear()


def put(instance):
    """`self.fence` is the token of the attempt, unless the elf means something else by that name."""
    own = getattr(instance, "__dict__", None)
    if not NOW or own is None or hasattr(type(instance), "fence"):
        return
    if isinstance(own.get("fence", NOW[0]), Fence):
        own["fence"] = NOW[0]


def fence():
    """The token of the attempt under way, for outside systems that refuse what is out of date.

    It orders by (epoch of the store, sequence of the claim), and so does its `str()`. Raises
    ElfUsageError outside a task.
    """
    if NOW:
        return NOW[0]
    try:
        kind = importlib.import_module("elfbook.errors").ElfUsageError
    except ImportError:  # a kernel whose environment has no elfbook
        kind = RuntimeError
    raise kind("elfbook.fence() is the token of an attempt, and no task is running here")


def ensure_elfbook():
    """Let `from elfbook import Elf, task, fence` work in an environment that has no elfbook."""
    try:
        import elfbook
    except ImportError:
        elfbook = types.ModuleType("elfbook")
        elfbook.Elf = type("Elf", (), {"__doc__": "An elf on a worker without elfbook."})

        def task(function=None, **options):  # what it says was read where the flow was recorded
            if function is None:
                return task
            function.__elfbook_task__ = True
            return function

        elfbook.task = task
        sys.modules["elfbook"] = elfbook
    elfbook.fence = fence  # of this module, where this kernel's attempts are noted
