"""What user code finds of elfbook in a kernel: the token of its attempt, a way to tell how far it is.

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


class Progress:
    """`self.progress(done, total, text)` in a task says how far it is, to everyone who watches."""

    def __init__(self, token):
        self.token = token

    def __call__(self, done, total=None, text=""):
        """Say so. `done` of `total` is done, in any unit; without a total only `done` is shown.

        Raises TypeError for what is no number or no text, ValueError for numbers below zero, infinite
        ones and NaN. More than `total` is shown as all of it. Costs about two microseconds; the last
        word is the one that is seen. Nothing is said once the attempt is over.
        """
        done = amount("done", done)
        if total is not None:
            total = amount("total", total)
        if not isinstance(text, str):
            raise TypeError("progress: text is to be a text, not " + type(text).__name__)
        if NOW and NOW[0] is self.token and HEARS:
            HEARS[0](done, total, text)

    def __reduce__(self):
        return type(None), ()  # elsewhere nobody hears it


def amount(name, value):
    """The value as a number; an error that says which of the two is none."""
    if type(value) is not float:
        if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise TypeError("progress: " + name + " is to be a number, not " + type(value).__name__)
        value = float(value)
    if not 0.0 <= value < INFINITE:
        raise ValueError("progress: " + name + " is to be a number from 0 on, not " + str(value))
    return value


INFINITE = float("inf")
NOW = []  # the token of the attempt under way in this process, if there is one
HEARS = []  # who is told how far it is


def begin(token):
    """An attempt begins here."""
    NOW[:] = [Fence(*token)]


def end():
    """No attempt is under way here."""
    NOW.clear()


def tell(hears):
    """From now on `hears(done, total, text)` is called with the progress of attempts; None for nobody."""
    HEARS[:] = [hears] if hears is not None else []


def put(instance):
    """`self.fence` is the token of the attempt and `self.progress` says how far it is, unless the elf means
    something else by these names."""
    own = getattr(instance, "__dict__", None)
    if not NOW or own is None:
        return
    for name, mine in (("fence", NOW[0]), ("progress", Progress(NOW[0]))):
        if not hasattr(type(instance), name) and isinstance(own.get(name, mine), type(mine)):
            own[name] = mine


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
