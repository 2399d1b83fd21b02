"""How elf instances are made: noted everywhere, and inside a flow only noted.

A worker makes an elf again from the arguments of its constructor, so these are remembered for
every instance of an adopted class, and the name that makes it one identity in the mycelium.
"""

from __future__ import annotations

import functools
import inspect
import re
import unicodedata
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from elfbook.errors import DefinitionError

__elfbook_inside__ = True  # our own frames: left out of what a user sees

_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


class Listener(Protocol):
    """Who writes down what happens to elves inside a flow."""

    def made(self, instance: object, use: Use) -> None: ...

    def called(self, task: Any, args: tuple, kwargs: dict, after: object) -> object: ...


LISTENER: ContextVar[Listener | None] = ContextVar("elfbook_listener", default=None)
"""Set inside a flow, None elsewhere."""


@dataclass(eq=False)
class Use:
    """How an elf instance was made."""

    cls: type
    name: str
    """Its name in the mycelium; empty for an anonymous instance."""
    args: tuple
    kwargs: dict[str, Any]
    spelled: str = ""
    """The name as it was given."""
    pending: bool = False
    """True for an instance made in a flow, whose own __init__ has not run."""


# ---------------------------------------------------------------------------- constructors


def records(init: Any) -> bool:
    """True for an __init__ that notes its arguments."""
    return getattr(init, "__elfbook_records__", False) is True


def record_making(cls: type) -> None:
    """Sets an __init__ that notes the arguments, and inside a flow does nothing else."""
    own = cls.__init__
    plain = own is object.__init__
    signature = _making_signature(own, plain)

    @functools.wraps(own)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        if type(self).__init__ is not __init__:  # a subclass calls, and has noted its own arguments
            return own(self, *args, **kwargs)
        use = _use(type(self), signature, plain, args, kwargs)
        _remember(self, use)
        listener = LISTENER.get()
        if listener is not None:
            listener.made(self, use)
            use.pending = not plain
        return None if use.pending else _make(self, use, own, plain)

    __init__.__elfbook_records__ = True  # type: ignore[attr-defined]
    __init__.__elfbook_own__ = (own, plain)  # type: ignore[attr-defined]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown = signature.replace(parameters=[first, *signature.parameters.values()])
    __init__.__signature__ = shown  # type: ignore[attr-defined]
    if plain:
        __init__.__doc__ = "`name` makes the instance one identity in the whole mycelium."
        __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = __init__  # type: ignore[misc]


def _making_signature(own: Any, plain: bool) -> inspect.Signature:
    if not plain:
        return without_self(own).replace(return_annotation=inspect.Signature.empty)
    name = inspect.Parameter("name", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    return inspect.Signature([name])


def _use(cls: type, signature: inspect.Signature, plain: bool, args: tuple, kwargs: dict) -> Use:
    """Reads the elf's name from its constructor's arguments; TypeError if they do not fit."""
    takes_name = "name" in signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    spelled = None
    if not takes_name and "name" in kwargs:
        spelled = kwargs["name"]
        if not takes_any:
            kwargs = {key: value for key, value in kwargs.items() if key != "name"}
    bound = bind(signature, cls.__qualname__, args, kwargs)
    if takes_name:
        spelled = bound.arguments.get("name")
    if spelled is not None and not isinstance(spelled, str):
        if plain or not takes_name:
            raise TypeError(f"the name of an elf is text, not {spelled!r}")
        spelled = None
    name = normal_name(spelled) if spelled else ""
    return Use(cls, name, () if plain else args, {} if plain else kwargs, spelled or "")


def bind(signature: inspect.Signature, name: str, args: tuple, kwargs: dict) -> inspect.BoundArguments:
    """The arguments by parameter; Python's own TypeError, with the callable's name in front."""
    __tracebackhide__ = True
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        if inspect.Parameter.VAR_KEYWORD in kinds and inspect.Parameter.POSITIONAL_ONLY in kinds:
            # Python gives **kwargs also the names of positional parameters; `Signature.bind` forgets it.
            names = {p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY}
            rest = {key: value for key, value in kwargs.items() if key not in names}
            if len(rest) < len(kwargs):
                return bind(signature, name, args, rest)
        raise TypeError(f"{name}(): {error}") from None


def _make(instance: Any, use: Use, own: Callable, plain: bool) -> None:
    __tracebackhide__ = True
    use.pending = False
    if plain:
        if use.name:
            instance.name = use.name
    else:
        own(instance, *use.args, **use.kwargs)


def without_self(function: Callable) -> inspect.Signature:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return _ANYTHING
    first, *rest = [*signature.parameters.values(), None]
    if first is None:
        title = getattr(function, "__qualname__", function)
        raise DefinitionError(f"{title} takes no self, so it is no method")
    if first.kind is not inspect.Parameter.VAR_POSITIONAL:
        return signature.replace(parameters=[parameter for parameter in rest if parameter is not None])
    return signature


def normal_name(name: str) -> str:
    """Lower case, blanks as `_`, without other signs: how a name is known in the mycelium."""
    text = unicodedata.normalize("NFKC", name).strip().lower()
    normal = re.sub(r"[^\w]", "", re.sub(r"\s+", "_", text))
    if not normal:
        raise DefinitionError(f"{name!r} is no name for an elf: it needs a letter or a digit")
    return normal


# ---------------------------------------------------------------------------- instances

_USES: dict[int, tuple[Any, Use]] = {}
"""By the instance's id, with a weak reference where the class allows one, else the instance."""


def _remember(instance: Any, use: Use) -> None:
    number = id(instance)
    try:
        _USES[number] = weakref.ref(instance, lambda gone: _USES.pop(number, None)), use
    except TypeError:
        _USES[number] = instance, use


def use_of(instance: Any) -> Use:
    """How the instance was made; DefinitionError when it was made before its class was an elf."""
    found = _USES.get(id(instance))
    if found is not None:
        return found[1]
    cls = type(instance)
    if getattr(cls.__init__, "__elfbook_own__", (None, False))[1]:
        use = Use(cls, "", (), {})
        _remember(instance, use)
        return use
    raise DefinitionError(
        f"elfbook did not see how this {cls.__qualname__} was made, so no worker could make it again",
        hint=f"Make it again: {cls.__qualname__}(…), not as a copy.",
    )


def finish_making(instance: Any) -> None:
    """Runs the __init__ of an instance that a flow only wrote down, once; does nothing else."""
    found = _USES.get(id(instance))
    if found is not None and found[1].pending:
        _make(instance, found[1], *type(instance).__init__.__elfbook_own__)


def refuse_hollow(value: object) -> None:
    """DefinitionError for an elf that a flow only wrote down: it has no attributes to send."""
    found = _USES.get(id(value))
    if found is not None and found[1].pending:
        title = type(value).__qualname__
        raise DefinitionError(
            f"a {title} made in a flow cannot be an argument: it is made on a worker, not here",
            hint=f"Call tasks of the {title} in the flow and pass their values, or make it inside the task.",
        )
