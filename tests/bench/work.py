"""The functions that every system runs; imported by clients and workers alike."""

from __future__ import annotations

import os
import time

MODULUS = 65_521


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


def node(a, b):
    """A node of the graph."""
    return (a + b + 1) % MODULUS


def graph_total(layers, width):
    """What the graph must give."""
    row = [node(1, j) for j in range(width)]
    for _ in range(layers - 1):
        row = [node(row[j], row[(j + 1) % width]) for j in range(width)]
    return sum(row)


def negate(array):
    """There, and back as other bytes."""
    return -array


def began(_=None):
    """When it ran, in seconds since the epoch."""
    return time.time()


def where(_=None):
    """This process and its parent; slow enough that every worker gets some."""
    time.sleep(0.05)
    return os.getpid(), os.getppid()


BY_NAME = {each.__name__: each for each in (noop, add_one, leaf, total, node, negate, began, where)}
