"""What IPython shows of an exception: the user's own frames, or words in place of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from elfbook.errors import ElfbookError

Shell = Any
OWN_FOLDER = os.path.join(Path(__file__).parent.parent, "")


class Words:
    """Renders an exception as these lines, wherever it goes; it can be pickled with it."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def __call__(self) -> list[str]:
        return list(self.lines)


class OwnFrames:
    """Renders an exception as IPython does in its present mode, with the user's frames only."""

    def __init__(self, shell: Shell, error: BaseException, below: CodeType | None) -> None:
        self._shell, self._error, self._below = shell, error, below

    def __call__(self) -> list[str]:
        error = self._error
        kept = users_frames(error.__traceback__, self._below)
        hint = [error.hint] if isinstance(error, ElfbookError) and error.hint else []
        if kept is None:
            return [f"{type(error).__name__}: {error}", *hint]
        show = self._shell.InteractiveTB.structured_traceback
        return [*show(type(error), error, kept, tb_offset=0), *hint]

    def __reduce__(self) -> tuple[type[Words], tuple[str, ...]]:
        return Words, tuple(self())


def shown_as(error: BaseException, *lines: str) -> None:
    """IPython shows the error as these lines."""
    error._render_traceback_ = Words(*lines)  # type: ignore[attr-defined]


def show_own_frames(shell: Shell | None, error: BaseException, below: CodeType | None = None) -> None:
    """IPython shows the error with the user's frames only, those after `below` if that is given.

    An error that renders itself in a way of its own keeps that.
    """
    own = getattr(type(error), "_render_traceback_", None)
    if shell is None or "_render_traceback_" in vars(error):
        return
    if own is None or own is ElfbookError._render_traceback_:
        error._render_traceback_ = OwnFrames(shell, error, below)  # type: ignore[attr-defined]


def users_frames(trace: TracebackType | None, below: CodeType | None = None) -> TracebackType | None:
    """The traceback without elfbook's frames, and without library frames below those."""
    steps: list[TracebackType] = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    if below is not None:
        start = max((i for i, step in enumerate(steps) if step.tb_frame.f_code is below), default=-1)
        steps = steps[start + 1 :]
    kept: list[TracebackType] = []
    ours = False
    for step in steps:
        filename = step.tb_frame.f_code.co_filename
        if filename.startswith(OWN_FOLDER):
            ours = True
        elif not ours or not is_library(filename):
            ours = False
            kept.append(step)
    head: TracebackType | None = None
    for step in reversed(kept):
        head = TracebackType(head, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return head


def is_library(filename: str) -> bool:
    """True for installed code, frozen modules among it."""
    return "site-packages" in filename or filename.startswith((sys.base_prefix, sys.prefix, "<frozen"))
