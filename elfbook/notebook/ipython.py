"""IPython from inside a notebook: the only module that imports it.

Everything here runs in the thread of a cell, except `Spot.replace`, which publishes under
the saved surroundings of the cell that made the spot and so never lands under another.
"""

from __future__ import annotations

import contextvars
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal

Mode = Literal["live", "static", "plain"]
"""`live`: somebody watches, cells return at once. `static`: headless, flow cells wait and
show one final form. `plain`: text in a terminal or script."""

MODES: tuple[Mode, ...] = ("live", "static", "plain")
Shell = Any
Bundle = dict[str, Any]
"""MIME type to data: text, or what JSON can tell where the type ends in `+json`."""
Metadata = dict[str, Any]
"""What a file keeps beside an output, and nobody shows."""


def here() -> Shell | None:
    """The IPython shell of this process, None where there is none."""
    if "IPython" not in sys.modules:  # a script must not pay for importing it
        return None
    from IPython import get_ipython

    return get_ipython()


def display_mode(shell: Shell | None, environ: Mapping[str, str] = os.environ) -> Mode:
    """How to show things: as ELFBOOK_DISPLAY says, otherwise by who seems to be watching."""
    asked = environ.get("ELFBOOK_DISPLAY", "").strip().lower()
    for mode in MODES:
        if asked == mode:
            return mode
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "plain"
    # Front ends with a person in front allow input requests; nbclient, papermill, nbval do not.
    return "live" if getattr(kernel, "_allow_stdin", False) else "static"


def namespace(shell: Shell | None) -> MutableMapping[str, Any]:
    """The names of the notebook's cells, or of the script that runs."""
    return shell.user_ns if shell is not None else vars(sys.modules["__main__"])


def notebook_path(environ: Mapping[str, str] = os.environ) -> str:
    """The notebook's path as Jupyter tells it, empty where it does not."""
    return environ.get("JPY_SESSION_NAME", "")


def is_kernel(shell: Shell | None) -> bool:
    """True in a Jupyter kernel, where an output can be replaced later."""
    return getattr(shell, "kernel", None) is not None


class Spot:
    """One output of a cell whose content can be replaced while the page is open."""

    def __init__(self, bundle: Bundle, metadata: Metadata | None = None) -> None:
        from IPython.display import display

        self.display_id = uuid.uuid4().hex
        self._metadata = metadata or {}
        self._surroundings = contextvars.copy_context()
        display(bundle, raw=True, metadata=self._metadata, display_id=self.display_id)

    def replace(self, bundle: Bundle) -> None:
        """The output shows `bundle`; safe from any thread, one at a time."""
        from IPython.display import update_display

        told = {"raw": True, "metadata": self._metadata, "display_id": self.display_id}
        self._surroundings.run(update_display, bundle, **told)


def show(bundle: Bundle, metadata: Metadata | None = None) -> None:
    """The bundle is an output of the running cell."""
    shell = here()
    if shell is None:
        print(bundle.get("text/plain", ""))
        return
    from IPython.display import display

    display(bundle, raw=True, metadata=metadata or {})


def add_magic(shell: Shell, function: Callable[..., object], name: str) -> None:
    """`%name` and `%%name` call `function(line, cell=None)`, its text taken as typed."""
    from IPython.core.magic import no_var_expand

    no_var_expand(function)
    shell.register_magic_function(function, magic_kind="line_cell", magic_name=name)


def remove_magic(shell: Shell, name: str) -> None:
    """`%name` and `%%name` are gone."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(name, None)


Offer = Callable[[str], Iterable[tuple[str, str]]]
"""From the line up to the cursor to (word, kind) pairs that complete its last word."""


def add_completion(shell: Shell, name: str, offer: Offer) -> Callable[[], None]:
    """Tab after `%name` and `%%name` offers what `offer` says; returns the undo."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=f"{name}_magic", priority=200)
    def matcher(context: Any) -> dict[str, Any]:
        line = context.text_until_cursor
        found = list(offer(line)) if line.lstrip().startswith((f"%{name} ", f"%%{name} ")) else []
        fragment = "" if line[-1:].isspace() else line.split()[-1] if line.split() else ""
        return {
            "completions": [SimpleCompletion(text=text, type=kind) for text, kind in found],
            "suppress": bool(found),
            "ordered": True,
            "matched_fragment": fragment,
        }

    def hook(_: Any, event: Any) -> list[str]:
        return [text for text, _kind in offer(event.line)]

    completer = shell.Completer
    completer.custom_matchers.append(matcher)
    shell.set_hook("complete_command", hook, str_key=f"%{name}")
    shell.set_hook("complete_command", hook, str_key=f"%%{name}")

    def undo() -> None:
        if matcher in completer.custom_matchers:
            completer.custom_matchers.remove(matcher)
        for key in (f"%{name}", f"%%{name}"):
            shell.strdispatchers["complete_command"].strs.pop(key, None)

    return undo


def add_listener(shell: Shell, event: str, function: Callable[..., None]) -> Callable[[], None]:
    """`function` is called at each `event` of the shell; returns the undo."""
    shell.events.register(event, function)

    def undo() -> None:
        if function in shell.events.callbacks[event]:
            shell.events.unregister(event, function)

    return undo


def caller_filename(depth: int) -> str:
    """The file name of the code that called, `depth` frames up."""
    return sys._getframe(depth).f_code.co_filename
