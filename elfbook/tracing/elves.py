"""Elves: classes whose tasks run here, are written down inside a flow, and run on workers.

`adopt` changes a class in place. Its tasks stay what they were for ordinary calls, for `super()`,
`help`, `inspect` and pickling by reference; inside a flow a call is handed to whoever listens.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator
from operator import getitem
from typing import Any, TypeVar

from elfbook.errors import DeferredValueError, DefinitionError
from elfbook.tracing.making import LISTENER, bind, finish_making, record_making, records, use_of, without_self
from elfbook.tracing.nodes import ADVICE, Deferred
from elfbook.wire import limit_parts

__elfbook_inside__ = True  # our own frames: left out of what a user sees

__all__ = ["BoundTask", "Elf", "Task", "adopt", "is_elf", "task", "use_of"]

PREFIX = "task_"
_MARK = "__elfbook_task__"
_OPTIONS = "__elfbook_options__"
Cls = TypeVar("Cls", bound=type)
Function = TypeVar("Function", bound=Callable)


# ---------------------------------------------------------------------------- tasks


def task(
    function: Function | None = None,
    /,
    *,
    retries: int | None = None,
    timeout: float | None = None,
    limit: str = "",
) -> Any:
    """Marks a method as a task whatever its name.

    `@task(retries=2, timeout=90, limit="api:3")` also says how its jobs are tried, in place of what
    their flow says: further attempts after an exception, seconds for one attempt, and how many
    jobs under that name may run at once.
    """
    options: dict[str, Any] = {"retries": retries, "timeout_s": timeout, "limit": limit}
    options = {name: value for name, value in options.items() if value not in (None, "")}
    if limit:
        limit_parts(limit)
    if timeout is not None and not timeout > 0:
        raise DefinitionError(f"@task(timeout=…) is a length of time in seconds, not {timeout!r}")
    if function is not None:
        return _marked(function, options)
    return functools.partial(_marked, options=options)


def _marked(function: Function, options: dict[str, Any]) -> Function:
    if not callable(function) or isinstance(function, (staticmethod, classmethod, type)):
        raise DefinitionError("@task belongs directly above a method of an elf, on a plain def with self")
    setattr(function, _MARK, True)
    if options:
        setattr(function, _OPTIONS, options)
    return function


class Task:
    """A task as an attribute of its class; of an instance it is a BoundTask."""

    def __init__(self, function: Callable, name: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.signature = without_self(function)
        self.outputs = _outputs(function)
        self.options: dict[str, Any] = getattr(function, _OPTIONS, {})
        self.takes_after = "after" in self.signature.parameters
        self._fitting: set[tuple] = set()
        """Calls that are known to fit: how many arguments have no name, and the names of the others."""

    def check_call(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """TypeError unless the task can be called with as many arguments, and of these names."""
        __tracebackhide__ = True
        form = (len(args), *kwargs)
        if form not in self._fitting:
            bind(self.signature, self.__qualname__, args, kwargs)
            self._fitting.add(form)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else BoundTask(self, instance)

    def __call__(self, instance: object, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return BoundTask(self, instance)(*args, **kwargs)

    def __reduce__(self) -> tuple:
        # A class that is sent by value arrives with its plain functions.
        return getitem, ((self.function,), 0)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage within: of the hundred thousands of new objects all are in use."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()


def _unheard(done: float, total: float | None = None, text: str = "") -> None:
    """`self.progress` of a task that is called outside a run: nobody watches."""


class BoundTask:
    """A task of one elf instance: call it, `.map` it, or run it here with `.local`."""

    __slots__ = ("instance", "task")

    def __init__(self, task: Task, instance: object) -> None:
        self.task = task
        self.instance = instance

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The result outside a flow, a value inside one; `after=` waits for other values."""
        __tracebackhide__ = True
        after = None if self.task.takes_after else kwargs.pop("after", None)
        listener = LISTENER.get()
        if listener is not None:
            return listener.called(self, args, kwargs, after)
        return self._run(args, kwargs)

    def map(self, iterable: Iterable, /, *more: Iterable, after: object = None) -> list:
        """One call for each item, or for each tuple of items; the list of what the calls give."""
        __tracebackhide__ = True
        rows = _rows((iterable, *more), self.task.name)
        listener = LISTENER.get()
        if listener is not None:
            with _uncollected():
                return [listener.called(self, row, {}, after) for row in rows]
        return [self._run(row, {}) for row in rows]

    def local(self, /, *args: Any, **kwargs: Any) -> Any:
        """The result, computed here and now, inside a flow too."""
        __tracebackhide__ = True
        token = LISTENER.set(None)
        try:
            return self._run(args, kwargs)
        finally:
            LISTENER.reset(token)

    def _run(self, args: tuple, kwargs: dict) -> Any:
        __tracebackhide__ = True
        for value in (*args, *kwargs.values()):
            if isinstance(value, Deferred):
                raise DeferredValueError(
                    f"{self.task.name} would run here, but {value!r} has not been computed yet", hint=ADVICE
                )
        finish_making(self.instance)
        own, result = getattr(self.instance, "__dict__", None), None
        if own is None or hasattr(self.instance, "progress"):
            return self.task.function(self.instance, *args, **kwargs)
        own["progress"] = _unheard
        try:
            result = self.task.function(self.instance, *args, **kwargs)
        finally:
            if own.get("progress") is _unheard and not inspect.iscoroutine(result):  # that has not begun yet
                del own["progress"]
        return result

    @property
    def __wrapped__(self) -> Any:
        return types.MethodType(self.task.function, self.instance)

    @property
    def __self__(self) -> object:
        return self.instance

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.task.__doc__

    def __getattr__(self, name: str) -> Any:
        if name in ("task", "instance"):  # while being copied, before there is anything
            raise AttributeError(name)
        return getattr(self.task.function, name)

    def __repr__(self) -> str:
        return f"<task {self.task.__qualname__} of {self.instance!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundTask):
            return NotImplemented
        return self.task is other.task and self.instance is other.instance

    def __hash__(self) -> int:
        return hash((id(self.task), id(self.instance)))

    def __reduce__(self) -> tuple:
        return getattr, (self.instance, self.task.name)


def _rows(iterables: tuple[Iterable, ...], name: str) -> list[tuple]:
    for iterable in iterables:
        if isinstance(iterable, Deferred):
            raise DeferredValueError(
                f"{name}.map needs to know how many items there are, and {iterable!r} is not there yet",
                hint="Map over a list of values, or loop over the result inside a task.",
            )
    columns = [list(iterable) for iterable in iterables]
    sizes = {len(column) for column in columns}
    if len(sizes) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ValueError(f"{name}.map needs iterables of one length, not of {lengths}")
    return list(zip(*columns, strict=True))


def _outputs(function: Callable) -> tuple[str, ...] | None:
    """Keys that the return annotation declares; () for None, None for no such declaration."""
    notes = getattr(function, "__annotations__", {})
    if "return" not in notes:
        return None
    declared = notes["return"]
    if isinstance(declared, str):
        declared = _read_annotation(declared, getattr(function, "__globals__", {}))
    if declared is None or declared is type(None):
        return ()
    if hasattr(declared, "__total__") and hasattr(declared, "__annotations__"):  # TypedDict
        return tuple(declared.__annotations__)
    if not isinstance(declared, (list, tuple, dict)) or not declared:
        return None
    return tuple(declared) if all(isinstance(key, str) for key in declared) else None


def _read_annotation(text: str, names: dict[str, Any]) -> Any:
    """What a postponed annotation says, as far as it is a plain word or a list of texts."""
    text = text.strip("'\"") if text.count(text[:1]) == 2 else text
    if text == "None":
        return None
    if text.isidentifier():
        return names.get(text, ...)
    found = re.findall(r"""["'](\w+)["']\s*[:,\])}]""", text)
    return found if text[:1] in "[({" else ...


# ---------------------------------------------------------------------------- adoption


class Elf:
    """Optional parent of elves: a class that derives from it is one, in a cell or a module."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _adopt_tasks(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Only now is the class complete: @dataclass gives it an __init__ after its class statement.
        if not records(cls.__init__):
            record_making(cls)
        inherited = super().__new__
        return inherited(cls) if inherited is object.__new__ else inherited(cls, *args, **kwargs)

    __new__.__signature__ = inspect.signature(lambda cls, name=None: None)  # type: ignore[attr-defined]


def is_elf(cls: object) -> bool:
    """True for a class that derives from Elf or has tasks."""
    if not isinstance(cls, type):
        return False
    return (issubclass(cls, Elf) and cls is not Elf) or any(_own_tasks(parent) for parent in cls.__mro__)


def adopt(cls: Cls) -> Cls:
    """The same class, its tasks recordable inside flows; doing it again changes nothing.

    Raises DefinitionError for tasks that are no plain methods.
    """
    _adopt_tasks(cls)
    if not records(cls.__init__):
        record_making(cls)
    return cls


def _adopt_tasks(cls: type) -> None:
    for parent in cls.__mro__:
        for name, function in _own_tasks(parent).items():
            if not isinstance(function, Task):
                _check(parent, name, function)
                setattr(parent, name, Task(function, name))


def _own_tasks(cls: type) -> dict[str, Any]:
    """Tasks in the class's own body: Task objects, and what is still to become one."""
    found = {}
    for name, attribute in list(vars(cls).items()):
        inner = getattr(attribute, "__func__", attribute)
        named = name.startswith(PREFIX) and not isinstance(attribute, type)
        named = named and (callable(attribute) or isinstance(attribute, (classmethod, staticmethod)))
        if isinstance(attribute, Task) or named or getattr(inner, _MARK, False) is True:
            found[name] = attribute
    return found


def _check(cls: type, name: str, function: Any) -> None:
    where = f"{cls.__qualname__}.{name}"
    inner = getattr(function, "__func__", function)
    line = getattr(getattr(inner, "__code__", None), "co_firstlineno", 0)
    if isinstance(function, (classmethod, staticmethod)):
        kind = type(function).__name__
        raise DefinitionError(
            f"{where} is a {kind}, and a task belongs to an elf instance",
            line=line,
            hint=f"Remove @{kind} and give it self, or give it a name without {PREFIX}.",
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DefinitionError(
            f"{where} is a generator, and tasks cannot yield results one by one yet",
            line=line,
            hint="Collect the results in a list and return it.",
        )
    if not hasattr(function, "__get__"):
        raise DefinitionError(f"{where} is not a method", line=line, hint=f"Give it a name without {PREFIX}.")
