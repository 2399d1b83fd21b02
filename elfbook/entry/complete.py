"""What Tab offers after `%elf` and `%%elf`, from what this notebook already knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from elfbook.notebook.grammar import Flag, Operand, Verb
from elfbook.notebook.notebook import Notebook
from elfbook.notebook.vocabulary import DEFINE, FLOW, VERBS

Word = tuple[str, str]
"""The completed word and what it is: `verb`, `flag`, `run`, `job`, `worker`, `elf`, `value`."""


def offer(notebook: Notebook, line: str) -> list[Word]:
    """Words that can stand where the last one of the line is being typed."""
    words = line.split()
    typed = "" if line[-1:].isspace() else words.pop()
    if not words:
        return []
    cell = words[0].startswith("%%")
    found = list(after_cell(notebook, words[1:]) if cell else after_line(notebook, words[1:]))
    return [word for word in dict.fromkeys(found) if word[0].startswith(typed) and word[0] != typed]


def after_line(notebook: Notebook, words: list[str]) -> Iterator[Word]:
    """Verbs first; after a verb what belongs to it."""
    if not words:
        yield from ((name, "verb") for name in VERBS)
    elif words[0] in VERBS:
        yield from after_verb(notebook, VERBS[words[0]], words[1:])


def after_cell(notebook: Notebook, words: list[str]) -> Iterator[Word]:
    """`flow`, its options, names of earlier flows."""
    if not words:
        yield "flow", "verb"
        yield from flags(DEFINE, words)
    elif words[0] == "flow":
        yield from after_verb(notebook, FLOW, words[1:])


def after_verb(notebook: Notebook, verb: Verb, words: list[str]) -> Iterator[Word]:
    """A flag's value, or the next operand, or a flag."""
    flag = next((flag for flag in verb.flags if words and flag.name == words[-1]), None)
    if flag is not None and flag.metavar and not flag.optional:
        yield from of_kind(notebook, flag)
        return
    given = sum(not word.startswith("-") for word in words)
    if given < len(verb.places):
        yield from of_kind(notebook, verb.places[given])
    yield from flags(verb, words)


def flags(verb: Verb, words: list[str]) -> Iterator[Word]:
    """The verb's flags that can still be given."""
    yield from ((flag.name, "flag") for flag in verb.flags if flag.many or flag.name not in words)


def of_kind(notebook: Notebook, wanted: Flag | Operand) -> Iterator[Word]:
    """Words of the kind that an operand or a flag's value is."""
    yield from ((word, "value") for word in getattr(wanted, "words_of", ()))
    kind = "flow" if wanted.name == "name" else wanted.of
    yield from KINDS.get(kind, nothing)(notebook)


def nothing(_notebook: Notebook) -> Iterator[Word]:
    return iter(())


def verbs(_notebook: Notebook) -> Iterator[Word]:
    yield from ((name, "verb") for name in [*VERBS, "flow"])


def runs(notebook: Notebook) -> Iterator[Word]:
    """Runs held here, the newest first, then runs that were listed."""
    held = [run.flow for run in reversed(notebook.runs.values())]
    yield from ((flow, "run") for flow in [*held, *notebook.seen_runs])
    yield from ((label, "job") for label in notebook.job_labels())
    yield from ((worker, "worker") for worker in notebook.seen_workers)


def failed_runs(notebook: Notebook) -> Iterator[Word]:
    """Runs with failures first."""
    held = sorted(notebook.runs.values(), key=lambda run: not run.started or not run.failed)
    yield from ((run.flow, "run") for run in held)
    yield from runs(notebook)


def active_runs(notebook: Notebook) -> Iterator[Word]:
    """Runs that have not ended first."""
    held = sorted(notebook.runs.values(), key=lambda run: run.started and run.settled)
    yield from ((run.flow, "run") for run in held)
    yield from runs(notebook)


def jobs(notebook: Notebook) -> Iterator[Word]:
    """Failed jobs, then running ones, then the others."""
    yield from ((label, "job") for label in notebook.job_labels())


def elf_names(notebook: Notebook) -> Iterator[Word]:
    """Names of elf instances in the runs held here."""
    for run in notebook.runs.values():
        if run.started:
            yield from ((use.name, "elf") for use in run.plan.elves if use.name)


KINDS: dict[str, Callable[[Notebook], Iterator[Word]]] = {
    "verb": verbs,
    "run": runs,
    "failed": failed_runs,
    "active": active_runs,
    "job": jobs,
    "elf": elf_names,
    "flow": lambda notebook: ((flow, "run") for flow in notebook.runs),
}
