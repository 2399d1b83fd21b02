"""The functions that every system runs; imported by clients and workers alike."""

from __future__ import annotations

import os
import time


def noop(x=None):
    """Nothing."""
    return x


def add_one(x):
    """A link of the chain."""
    return x + 1


def leaf(root, i):
    """One of the many between one and one."""
    return root + i


def total(values):
    """The end of the fan."""
    return sum(values)


def fan_total(n):
    """What the fan must give."""
    return n + n * (n - 1) // 2


def echo(array):
    """There and back."""
    return array


def where(_=None):
    """This process and its parent; slow enough that every worker gets some."""
    time.sleep(0.05)
    return os.getpid(), os.getppid()
