"""Elves in notebooks: classes whose tasks run on workers, in flows that nothing stops.

    %load_ext elfbook           in a notebook; then  %elf?  tells the rest

    import elfbook              anywhere
    elfbook.up(2)               two workers on this machine
    with elfbook.flow("party") as party:
        ...                     calls of tasks are recorded here
    party.result()              waits for what they come to

Every verb of the magic is a function or a method of a run's handle.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elfbook.version import __version__ as __version__

if TYPE_CHECKING:
    from elfbook.errors import ElfbookError, FlowFailed
    from elfbook.notebook.flows import flow
    from elfbook.notebook.verbs import attach, doctor, down, find, runs, up
    from elfbook.tracing.elves import Elf, task
    from elfbook.tracing.trace import gather
    from elfbook.work.fence import fence

__all__ = [
    "Elf",
    "ElfbookError",
    "FlowFailed",
    "attach",
    "doctor",
    "down",
    "fence",
    "find",
    "flow",
    "gather",
    "load_ipython_extension",
    "runs",
    "task",
    "up",
]

_OWNERS = {
    "Elf": "tracing.elves",
    "task": "tracing.elves",
    "ElfbookError": "errors",
    "FlowFailed": "errors",
    "flow": "notebook.flows",
    "gather": "tracing.trace",
    "attach": "notebook.verbs",
    "doctor": "notebook.verbs",
    "down": "notebook.verbs",
    "fence": "work.fence",
    "find": "notebook.verbs",
    "runs": "notebook.verbs",
    "up": "notebook.verbs",
}
"""Names to their modules, imported when the name is first used: `import elfbook` stays quick."""


def __getattr__(name: str) -> Any:
    if name not in _OWNERS:
        raise AttributeError(f"module 'elfbook' has no attribute {name!r}")
    value = getattr(import_module(f"elfbook.{_OWNERS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: Any) -> None:
    """`%elf` and `%%elf` work in this notebook; loading twice is harmless."""
    from elfbook.entry.magics import load  # IPython only where there is one

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%elf` is gone from this notebook; runs and workers go on."""
    from elfbook.entry.magics import unload

    unload(shell)
