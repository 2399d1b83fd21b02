"""The widget that draws a run: the only module that imports anywidget.

It carries messages and decides nothing. What the page asks may come in any thread, also while a cell
runs, so it is decoded, handed on and done elsewhere. What the kernel tells is published under the
surroundings of the page's last message: ipykernel takes the next message of the page where the last one
to it was published from, and under those of a running cell it would wait for that cell to end.
"""

from __future__ import annotations

import contextvars
import importlib.util
import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from elfbook.model import Manifest
from elfbook.view.board import identity
from elfbook.view.messages import ASKED, Told

log = logging.getLogger("elfbook")

STATIC = Path(__file__).parent.parent / "static"
"""What the page is made of; built from extension/."""
WIDGET = "application/vnd.jupyter.widget-view+json"

Heard = Callable[[ASKED], None]
MODELS: dict[str, Model] = {}
"""The widgets of this process that are open: one for each run, however often it is shown."""
RETIRED: dict[str, Model] = {}
"""Those among them whose runs have settled, the latest last."""
MOST_RETIRED = 8
"""A page that is loaded again before it was saved still shows these; each costs it their code."""


def available() -> bool:
    """True when there is a page to send and a package to send it with."""
    return (STATIC / "board.js").is_file() and importlib.util.find_spec("anywidget") is not None


def asset(name: str) -> bytes:
    """A file that a page asks for; empty when there is none."""
    path = STATIC / name
    return path.read_bytes() if path.is_file() else b""


@cache
def widget_class() -> type:
    """The widget's class; made late, because importing what it rests on takes a third of a second."""
    import anywidget

    style = STATIC / "board.css"

    class RunBoard(anywidget.AnyWidget):
        """A run's board."""

        _esm = (STATIC / "board.js").read_text(encoding="utf-8")
        _css = style.read_text(encoding="utf-8") if style.is_file() else ""

        def __repr__(self) -> str:
            return "RunBoard"

    return RunBoard


def model_of(manifest: Manifest, heard: Heard) -> Model:
    """The run's widget, made now if there is none; what its pages ask goes to `heard`, in any thread.

    Its id is the run's, in every kernel: so a restarted one revives what a file has saved.
    """
    name = identity(manifest)
    if name not in MODELS:
        MODELS[name] = Model(name)
    RETIRED.pop(name, None)
    MODELS[name].heard = heard
    return MODELS[name]


def retire(model: Model) -> None:
    """The model's run has settled: its outputs show a page that needs no widget."""
    RETIRED.pop(model.name, None)
    RETIRED[model.name] = model
    while len(RETIRED) > MOST_RETIRED:
        RETIRED.pop(next(iter(RETIRED))).close()


class Model:
    """One widget, in every place where it is shown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: Heard = forgotten
        self._widget: Any = widget_class()(model_id=name)
        self._widget.on_msg(self._take)
        self._surroundings = contextvars.copy_context()
        self._unbind()

    def _unbind(self) -> None:
        # Opened by a cell, the comm is bound to where cells run, and the page's first message would wait
        # until the cell that runs then has ended. Unbound, it is taken where the page has sent it.
        vars(self._widget.comm).pop("_reply_subshell_id", None)

    def _take(self, _widget: object, content: object, _buffers: object) -> None:
        self._surroundings = contextvars.copy_context()
        try:
            asked = msgspec.convert(content, ASKED)
        except msgspec.ValidationError as error:
            log.warning("a board asked for something that is not known here: %s", error)
            return
        self.heard(asked)

    def say(self, message: Told, buffers: Sequence[bytes] = ()) -> None:
        """The message is on its way to every page that shows the widget; one thread at a time."""
        self._surroundings.run(self._widget.send, msgspec.to_builtins(message), list(buffers))

    def view(self) -> dict[str, Any]:
        """What an output has under WIDGET to show it."""
        return {"version_major": 2, "version_minor": 0, "model_id": self.name}

    def close(self) -> None:
        """Pages show it no more."""
        if MODELS.pop(self.name, None) is not None:
            self._surroundings.run(self._widget.close)


def forgotten(_asked: ASKED) -> None:
    """What is asked of a board that nobody owns any more."""
