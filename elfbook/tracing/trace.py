"""What happens inside a flow, written down: elves made, tasks called, and from which line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Any

from elfbook.errors import CannotSend, DeferredValueError, DefinitionError
from elfbook.model import JobSpec, Policy, Revision
from elfbook.tracing import values
from elfbook.tracing.elves import BoundTask
from elfbook.tracing.expr import Value, gathered, value_of_job
from elfbook.tracing.graph import Drawn, Recorded, Used, draw
from elfbook.tracing.making import LISTENER, Listener, Use, refuse_hollow, use_of
from elfbook.tracing.nodes import (
    Deferred,
    Ledger,
    Node,
    freeze,
    jobs_of,
    lift,
    lift_call,
    written_at_once,
)

__all__ = ["Drawn", "Recorder", "current", "gather"]


class Recorder:
    """Writes down one flow: inside `with`, task calls become jobs and give values.

    `filename` is the name the flow's cell was compiled under; calls note their line in it. `copy` makes
    one buffer of the pieces of a large argument, as it is now.
    """

    def __init__(
        self, flow: str, filename: str | None = None, copy: Callable[[list], Any] = b"".join
    ) -> None:
        self.flow = flow
        self.filename = filename
        self.calls: list[JobSpec] = []
        """The jobs, as far as they are known while the flow is being recorded."""
        self._arguments: dict[int, Node] = {}
        """Of jobs whose arguments are to be written when the key is known: values, pickles, large ones."""
        self._last: dict[int, int] = {}
        """The last job of each named elf, by the elf's place."""
        self.elves: list[Used] = []
        self._ledger = Ledger(flow, refuse_hollow, Labels(self.calls), copy)
        self._places: dict[int, int] = {}
        self._instances: list[object] = []
        self._named: dict[str, tuple[str, int]] = {}
        self._numbers: dict[str, int] = {}
        self._token: Token[Listener | None] | None = None

    def __enter__(self) -> Recorder:
        if self._token is not None:
            raise DefinitionError(f"flow {self.flow} has been recorded already", hint="Begin a new one.")
        outer = current()
        if outer is not None:
            raise DefinitionError(
                f"flow {self.flow} begins inside flow {outer.flow}, and flows do not nest",
                hint=f"End {outer.flow} first, or call the tasks in {outer.flow} itself.",
            )
        self._token = LISTENER.set(self)
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._token is not None
        LISTENER.reset(self._token)
        self._ledger.open = False

    def graph(
        self,
        result: object,
        policy: Policy | None,
        revision_of: Callable[[type], Revision],
        key: bytes,
    ) -> Drawn:
        """What was recorded, complete; DefinitionError when no task was called."""
        if not self.calls:
            raise DefinitionError(
                f"flow {self.flow} calls no task",
                hint="Make an elf and call one of its task_ methods in the flow.",
            )
        try:
            node = None if result is None else lift(result, self._ledger)
        except values.CannotEncode as error:
            raise _cannot_send(f"the result of flow {self.flow}", error, "result") from error
        jobs = Recorded(self.elves, self.calls, self._arguments)
        return draw(jobs, node, policy or Policy(), revision_of, key)

    # ------------------------------------------------------------------ as a Listener

    def made(self, instance: object, use: Use) -> None:
        """An elf was made inside the flow: its arguments are taken as they are now."""
        self._place(instance, use)

    def called(self, task: BoundTask, args: tuple, kwargs: dict[str, Any], after: object) -> Value:
        """A task was called: one more job. TypeError when the arguments do not fit."""
        __tracebackhide__ = True
        spec = task.task
        name, instance = spec.name, task.instance
        spec.check_call(args, kwargs)
        if getattr(type(instance), name, spec) is not spec:
            raise DefinitionError(f"super().{name}() cannot be a job of its own: only {name} itself can")
        elf = self._places.get(id(instance))
        if elf is None:
            elf = self._place(instance, use_of(instance))
        waits = () if after is None else tuple(sorted(self._jobs(after, name)))
        expression = written_at_once(args, kwargs)
        number = len(self.calls)
        if expression is None:
            try:
                self._arguments[number] = lift_call(args, kwargs, self._ledger)
            except values.CannotEncode as error:
                raise self._guilty(task, args, kwargs, error) from error
        turn = self._last.get(elf)
        if turn is not None or self.elves[elf].name:
            self._last[elf] = number
        nth = self._numbers.get(name, 0)
        self._numbers[name] = nth + 1
        self.calls.append(
            JobSpec(elf, name, expression or b"", (), waits, turn, nth, self._line(), **spec.options)
        )
        return value_of_job(self._ledger, number, spec.outputs)

    # ------------------------------------------------------------------ parts

    def _place(self, instance: object, use: Use) -> int:
        """The instance's place among the flow's elves; two equal uses of a name are one."""
        title = use.cls.__qualname__
        try:
            arguments = lift_call(use.args, use.kwargs, self._ledger) if use.args or use.kwargs else None
        except values.CannotEncode as error:
            raise _cannot_send(f"an argument of {title}", error, title) from error
        if arguments is not None and jobs_of(arguments):
            raise DeferredValueError(
                f"{title} is made with a value that has not been computed yet",
                hint="Pass the value to a task of it instead: every worker must be able to make the elf.",
            )
        used = Used(use.cls, use.name, arguments)
        place = self._same(use, used) if use.name else None
        if place is None:
            place = len(self.elves)
            self.elves.append(used)
            if use.name:
                self._named[use.name] = use.spelled, place
        self._places[id(instance)] = place
        self._instances.append(instance)  # so that no other object gets its id
        return place

    def _same(self, use: Use, used: Used) -> int | None:
        if use.name not in self._named:
            return None
        spelled, place = self._named[use.name]
        other = self.elves[place]
        if spelled != use.spelled:
            raise DefinitionError(f"the elf names {spelled!r} and {use.spelled!r} both become {use.name!r}")
        if other.cls is not used.cls:
            raise DefinitionError(
                f"{spelled!r} is the name of a {other.cls.__qualname__} and of a {used.cls.__qualname__}",
                hint="A name is one elf in the whole mycelium: give them different names.",
            )
        if _written(other.arguments) != _written(used.arguments):
            raise DefinitionError(
                f"{used.cls.__qualname__} {spelled!r} is made twice with different arguments",
                hint="A name is one elf in the whole mycelium: make it once, or name the second differently.",
            )
        return place

    def _jobs(self, after: object, name: str) -> set[int]:
        """The jobs behind the value or values given as `after=`."""
        if isinstance(after, Deferred):
            return set(jobs_of(lift(after, self._ledger)))
        if isinstance(after, (list, tuple, set, frozenset)):
            return set().union(*(self._jobs(item, name) for item in after))
        if isinstance(after, dict):
            return self._jobs(list(after.values()), name)
        raise TypeError(f"{name}(after=…) takes values or lists of values, not {type(after).__name__}")

    def _guilty(self, task: BoundTask, args: tuple, kwargs: dict, error: values.CannotEncode) -> CannotSend:
        bound = task.task.signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            try:
                values.encode(value, None)
            except values.CannotEncode as found:
                return _cannot_send(f"argument {name} of {task.task.name}", found, name, self._line())
        return _cannot_send(f"an argument of {task.task.name}", error, "", self._line())

    def _line(self) -> int:
        """The line of the flow's cell that is being executed; 0 when there is no cell."""
        if self.filename is None:
            return 0
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename == self.filename:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return 0


class Labels(Sequence[str]):
    """`task_hello[2]` for each job, made when somebody reads it."""

    def __init__(self, calls: list[JobSpec]) -> None:
        self._calls = calls

    def __getitem__(self, job: Any) -> Any:
        spec = self._calls[job]
        return f"{spec.task}[{spec.number}]"

    def __len__(self) -> int:
        return len(self._calls)


def _cannot_send(what: str, error: values.CannotEncode, name: str, line: int = 0) -> CannotSend:
    path = error.path.removeprefix(" -> ")
    part = f"its {path} is" if path else "it is"
    return CannotSend(
        f"{what} cannot be sent to a worker: {part} a {error.type_name} ({error.reason})",
        name=name,
        line=line,
        hint="Make it inside the task, or send what it can be made from.",
    )


def _written(arguments: Node | None) -> bytes:
    return b"" if arguments is None else freeze(arguments, b"").expression


def current() -> Recorder | None:
    """The recorder of the flow we are in, None outside."""
    listener = LISTENER.get()
    return listener if isinstance(listener, Recorder) else None


def gather(*items: object) -> Any:
    """One value of the list of these values; outside a flow, simply the list."""
    flow = current()
    return list(items) if flow is None else gathered(list(items), flow._ledger)
