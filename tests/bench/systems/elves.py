"""The elf that elfbook runs: the functions of work.py as tasks."""

from __future__ import annotations

import os
import time

from elfbook import Elf

MODULUS = 65_521


class Work(Elf):
    """The benchmark's work."""

    def task_noop(self, x=None):
        return x

    def task_add_one(self, x):
        return x + 1

    def task_leaf(self, root, i):
        return root + i

    def task_total(self, values):
        return sum(values)

    def task_node(self, a, b):
        return (a + b + 1) % MODULUS

    def task_negate(self, array):
        return -array

    def task_began(self, _=None):
        return time.time()

    def task_where(self, _=None):
        time.sleep(0.05)
        return os.getpid(), os.getppid()
