"""What calls of the client raise when the server does not answer: a named error that says what holds.

And what whoever clicked is told of any error.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from elfbook.errors import ElfbookError, MyceliumError, MyceliumUnreachable
from elfbook.store.answers import Refused, Unanswered
from elfbook.view.acted import in_words

log = logging.getLogger("elfbook")

C = TypeVar("C", bound=type)

NOTHING = "Nothing was changed by asking."
HOLDS = {
    "submit": "It is not known whether the run was stored: all of it was, or nothing. Submit it again, and "
    "nothing starts twice: if it is there, you get that run.",
    "cancel": "Some of its jobs may have been cancelled, and the others go on. Cancel it again.",
    "pause": "It may be paused already, or may not. Pause it again.",
    "resume": "It may go on already, or may not. Resume it again.",
    "reopen": "Some of its jobs may wait to run again already. Retry it once more: none is opened twice.",
    "store": "Parts of the values may have been stored, which does no harm. Do it again.",
}
"""What is true after a call that got no answer, and what to do."""
NEXT_STEP = "See  %elf doctor   (in a shell:  elfbook doctor) ;  %elf up  starts a server that has ended."


def named(error: Exception, verb: str = "") -> Exception:
    """The error as people are to see it, who called `verb`; as it is when it has a name already."""
    if isinstance(error, Refused):
        return MyceliumError(f"the server refused: {error}", hint=NEXT_STEP)
    if isinstance(error, Unanswered):
        why, hint = f"the server does not answer ({error})", NEXT_STEP
    elif not isinstance(error, MyceliumUnreachable) or (error.why and verb not in HOLDS):
        return error  # one call inside another has said already what holds
    else:
        why, hint = error.why or str(error).rstrip("."), error.hint or NEXT_STEP
    return MyceliumUnreachable(f"{why}. {HOLDS.get(verb, NOTHING)}", hint=hint, why=why)


def outward(cls: C) -> C:
    """A class whose public coroutines raise errors that have a name; it decorates the class."""
    for name, function in list(vars(cls).items()):
        if inspect.iscoroutinefunction(function) and not name.startswith("_"):
            setattr(cls, name, _naming(name, function))
    return cls


def _naming(verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def naming(*args: Any, **named_args: Any) -> Any:
        try:
            return await function(*args, **named_args)
        except (Unanswered, Refused, MyceliumUnreachable) as error:
            fresh = named(error, verb)
            if fresh is error:
                raise
            raise fresh from error

    return naming


def told(error: Exception, asked: str) -> str:
    """The error in words for whoever asked; one that is none of elfbook's is in the log too."""
    if isinstance(error, ElfbookError):
        return in_words(error)
    log.error("%s failed", asked, exc_info=error)
    return f"{type(error).__name__}: {error}"
