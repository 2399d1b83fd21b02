"""How the jobs of a flow are tried, from what a person wrote: the words of flags and keywords."""

from __future__ import annotations

from elfbook.errors import ElfUsageError
from elfbook.model import PRIORITIES, Policy
from elfbook.notebook.grammar import nearest
from elfbook.wire import limit_parts

ON_LOST = ("fail", "retry")
USUAL = Policy()


def policy(  # noqa: PLR0913 (keywords, each a flag of `%%elf flow`)
    *,
    retries: int = USUAL.retries,
    lost_retries: int = USUAL.lost_retries,
    memory_retries: int = USUAL.memory_retries,
    timeout_retries: int | None = None,
    on_lost: str = USUAL.on_lost,
    timeout: float | None = None,
    deadline: float | None = None,
    priority: str = PRIORITIES[USUAL.priority],
    limit: str = "",
    on: str = USUAL.pool,
) -> Policy:
    """The policy in stored form; ElfUsageError for what does not fit."""
    counts = {"retries": retries, "lost_retries": lost_retries, "memory_retries": memory_retries}
    for name, count in (*counts.items(), ("timeout_retries", timeout_retries or 0)):
        if not isinstance(count, int) or count < 0:
            raise ElfUsageError(f"`{name}` is how many further attempts there may be, not {count!r}")
    for name, length_s in (("timeout", timeout), ("deadline", deadline)):
        if length_s is not None and not length_s > 0:
            raise ElfUsageError(f"`{name}` is a length of time in seconds, not {length_s!r}")
    if limit:
        limit_parts(limit)
    return Policy(
        **counts,
        timeout_retries=timeout_retries,
        on_lost=one_of(on_lost, ON_LOST, "on_lost"),
        timeout_s=timeout,
        deadline_s=deadline,
        priority=PRIORITIES.index(one_of(priority, PRIORITIES, "priority")),
        limit=limit,
        pool=on,
    )


def one_of(word: str, words: tuple[str, ...], name: str) -> str:
    """The word, when it is one of those; ElfUsageError otherwise."""
    if word in words:
        return word
    near = nearest(str(word), words)
    meant = f"; did you mean {near!r}?" if near else ""
    raise ElfUsageError(f"`{name}` is one of {', '.join(words)}, not {word!r}{meant}")
