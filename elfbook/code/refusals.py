"""What elfbook says when a class cannot leave the notebook, and what to type instead."""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable

from elfbook.code.parts import Statement
from elfbook.code.statements import Use
from elfbook.errors import CannotSend, DefinitionError, MissingName

_KINDS = {
    "lock": "a thread lock",
    "RLock": "a thread lock",
    "generator": "a generator",
    "coroutine": "a coroutine",
    "TextIOWrapper": "an open file",
    "BufferedReader": "an open file",
    "BufferedWriter": "an open file",
    "socket": "a network connection",
    "module": "a module",
    "frame": "a stack frame",
}


def _user(part: Statement, use: Use) -> str:
    return use.member if use.member.isidentifier() else part.title


def _place(part: Statement, use: Use) -> str:
    return f"({part.script.source.label}, line {use.line})"


def missing_name(part: Statement, use: Use, known: Iterable[str]) -> MissingName:
    """The name is defined nowhere; the hint is the nearest one that is."""
    near = difflib.get_close_matches(use.name, [*known, *dir(builtins)], n=1)
    return MissingName(
        f"{_user(part, use)} uses {use.name}, which is defined nowhere {_place(part, use)}",
        line=use.line,
        hint=f"Did you mean {near[0]}?"
        if near
        else f"Define {use.name} in a cell, or import it, before this one.",
    )


def no_source(name: str) -> DefinitionError:
    """The object's text is not to be had."""
    return DefinitionError(
        f"the text that defines {name} was not found: it was not written in a cell or a file",
        hint=f"Define {name} with its def or class statement at the top level of a cell.",
    )


def nested_class(cls: type) -> DefinitionError:
    """The class statement does not stand at the top level."""
    outer = cls.__qualname__.removesuffix(f".{cls.__name__}").replace(".<locals>", "")
    return DefinitionError(
        f"{cls.__name__} is defined inside {outer}, so it cannot be made again elsewhere",
        hint=f"Move the class statement of {cls.__name__} to the top level of a cell.",
    )


def attached_task(cls: type, task: str, label: str) -> DefinitionError:
    """The task is not what the class statement says."""
    return DefinitionError(
        f"{task} of {cls.__name__} is not the one that its class statement has ({label})",
        hint=f"Write {task} inside the class statement, and run that cell.",
    )


def no_module_source(name: str) -> DefinitionError:
    """A module of the user's without readable source."""
    return DefinitionError(
        f"the source of module {name} was not found",
        hint="Your own modules travel as source. Install this one as a package where the workers run.",
    )


def module_not_here(name: str, label: str, line: int) -> DefinitionError:
    """A function imports a module that is neither a library nor loaded here."""
    return DefinitionError(
        f"module {name} is neither installed nor imported in this notebook yet ({label}, line {line})",
        line=line,
        hint=f"Run  import {name}  in a cell first: then its source travels with the elf.",
    )


def of_this_notebook(part: Statement, use: Use) -> DefinitionError:
    """A name that only the notebook's own kernel can answer."""
    if use.name == "get_ipython":
        what = "get_ipython, or a line that begins with % or !, which only the notebook's own kernel has"
        hint = "Do that in a cell of its own; in a task, use plain Python such as subprocess.run."
    elif use.name in ("exit", "quit"):
        what = f"{use.name}, which ends a notebook"
        hint = "To end a task early, use return or raise an exception."
    else:
        what = f"{use.name}, which is the notebook's own record of inputs and outputs"
        hint = "Give the value a name of its own in a cell, and use that name."
    return DefinitionError(f"{_user(part, use)} uses {what} {_place(part, use)}", line=use.line, hint=hint)


def cannot_send(part: Statement, use: Use, value: object, path: str, type_name: str) -> CannotSend:
    """The value, or the part of it at `path`, can be held by no other process."""
    whole = f" ({_article(type(value).__name__)}), which holds" if path else ","
    inside = f" at {use.name}{path}" if path else ""
    return CannotSend(
        f"{_user(part, use)} uses {use.name}{whole} {_article(type_name)}{inside} {_place(part, use)}",
        name=use.name,
        line=use.line,
        hint="Make it inside the task, or send what it is made from and make it there.",
    )


def _article(type_name: str) -> str:
    short = type_name.rpartition(".")[2]
    return _KINDS.get(short) or f"{'an' if short[:1].lower() in tuple('aeiou') else 'a'} {short}"
