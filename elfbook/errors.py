"""Every exception that elfbook raises.

ElfbookError                   carries .hint: what to type next
├─ ElfUsageError               a mistyped magic, flag or name
├─ DefinitionError             an elf or flow cell that cannot be recorded (.line)
│  ├─ MissingName              a task uses a name that exists nowhere
│  └─ CannotSend               a value that no worker could receive (.name)
├─ DeferredValueError          a result was used as if it were already there
├─ FlowFailed                  a run ended with failed jobs (.failures)
├─ FlowCancelled               a run was cancelled
├─ MyceliumError               the server
│  ├─ MyceliumUnreachable      nothing answers; says what holds nevertheless
│  ├─ AccessDenied             it does not let us in, or not do what we must
│  ├─ WrongServer              what answers is no NATS server, too old, or without JetStream
│  ├─ StoreFull                the store refuses to grow
│  ├─ StoreRegressed           acknowledged records are gone
│  ├─ StoreCorrupt             a blob's bytes are not what their hash says
│  └─ Untrusted                bytes not signed with this mycelium's key
├─ KernelError                 a kernel did not start
└─ InternalError               our bug
"""

from __future__ import annotations


class ElfbookError(Exception):
    """Base of them all; `str()` is one or more plain lines, `hint` what to do next."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback through our own frames."""
        lines = [f"{type(self).__name__}: {self}"]
        return [*lines, self.hint] if self.hint else lines


class ElfUsageError(ElfbookError):
    """A verb, flag or name that does not exist. Not IPython's UsageError: that one sends no
    error message, so a notebook under test would pass with it."""


class DefinitionError(ElfbookError):
    """A cell that cannot become an elf or a flow; nothing was recorded."""

    def __init__(self, message: str, *, line: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line


class MissingName(DefinitionError):
    """A task, or something it calls, uses a name that is defined nowhere."""


class CannotSend(DefinitionError):
    """A value cannot leave this process; the message names it, its type and its cell."""

    def __init__(self, message: str, *, name: str = "", line: int = 0, hint: str = "") -> None:
        super().__init__(message, line=line, hint=hint)
        self.name = name


class DeferredValueError(ElfbookError):
    """A value that a worker has yet to compute was used as if it were here."""


class FlowFailed(ElfbookError):
    """A run ended with failed jobs. A plain exception, not a group: IPython prints groups
    without an error message, so tests of notebooks would not see it."""

    def __init__(self, message: str, *, lines: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lines = lines

    def _render_traceback_(self) -> list[str]:
        return list(self.lines) if self.lines else super()._render_traceback_()


class FlowCancelled(ElfbookError):
    """The run was cancelled before it could give a result."""


class MyceliumError(ElfbookError):
    """The server, or the way to it."""


class MyceliumUnreachable(MyceliumError):
    """No server answered. The message says what holds nevertheless, of what was asked for."""

    def __init__(self, message: str, *, hint: str = "", why: str = "") -> None:
        super().__init__(message, hint=hint)
        self.why = why
        """The message without what holds; empty where it says nothing of that."""


class AccessDenied(MyceliumError):
    """The server answers, and refuses these credentials or what they ask for."""


class WrongServer(MyceliumError):
    """What answers cannot keep a mycelium: it is another kind of server, or lacks what is needed."""


class StoreFull(MyceliumError):
    """The store does not take more."""


class StoreRegressed(MyceliumError):
    """Records that the store had acknowledged are gone."""


class StoreCorrupt(MyceliumError):
    """Stored bytes are missing or differ from their hash."""


class Untrusted(MyceliumError):
    """Bytes that could run code are not signed with this mycelium's key."""


class KernelError(ElfbookError):
    """A worker's kernel did not start."""


class InternalError(ElfbookError):
    """A bug in elfbook, please report it."""

    hint = "This is a bug in elfbook, not in your code. Please report it with the text above."
