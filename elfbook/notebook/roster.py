"""The elves that a notebook knows: what each definition changed, in numbered versions."""

from __future__ import annotations

from dataclasses import dataclass, field

from elfbook.model import Revision
from elfbook.words import listing


@dataclass(frozen=True)
class Change:
    """What one definition did to an elf."""

    elf: str
    version: int
    """Counts the definitions that differed from the one before, from 1."""
    kind: str
    """`first`, `same`, `changed` or `back`: to the code of an earlier version."""
    tasks: tuple[str, ...]
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    same_as: int = 0
    """For `back`: the version whose code it is."""
    moved: tuple[str, str] | None = None
    """Labels of the present and the earlier cell, when another cell defines it now."""

    @property
    def text(self) -> str:
        """The change in one line, with a second one when the elf has moved to another cell."""
        lines = [self._line()]
        if self.moved:
            lines.append(f"{self.elf} now comes from {self.moved[0]}; {self.moved[1]} is no longer used")
        return "\n".join(lines)

    def _line(self) -> str:
        named = self.elf if self.version == 1 else f"{self.elf} v{self.version}"
        if self.kind == "first":
            return f"{self.elf} is ready: {', '.join(self.tasks) or 'it has no task yet'}"
        if self.kind == "same":
            return f"{named}: unchanged"
        if self.kind == "back":
            return f"{named}: same code as v{self.same_as}"
        parts = [
            f"{', '.join(names)} {word}"
            for names, word in (
                (self.changed, "changed"),
                (self.added, "new"),
                (self.gone, "gone"),
                (self.unchanged, "unchanged"),
            )
            if names
        ]
        if not (self.changed or self.added or self.gone):
            parts.insert(0, "changed outside its tasks")
        return f"{named}: {', '.join(parts)}"


@dataclass
class Known:
    """One elf: its present definition and the way to it."""

    revision: Revision
    history: list[str]
    """Digests of the versions in order; the same digest comes again after a way back."""
    defined_here: bool
    """False when it came back from the store and its cell has not been run in this kernel."""
    cell_id: str = ""


@dataclass
class Roster:
    """The known elves by class name."""

    known: dict[str, Known] = field(default_factory=dict)

    def define(self, revision: Revision, *, cell_id: str = "", stored: bool = False) -> Change:
        """Takes note of a definition and says what it changed."""
        before = self.known.get(revision.elf)
        if before is None:
            self.known[revision.elf] = Known(revision, [revision.digest], not stored, cell_id)
            return Change(revision.elf, 1, "first", names(revision))
        change = compared(before, revision, cell_id)
        if change.kind != "same":
            before.history.append(revision.digest)
        before.revision, before.defined_here = revision, before.defined_here or not stored
        before.cell_id = cell_id or before.cell_id
        return change

    def newest(self, elf: str) -> Revision | None:
        """The present definition; None for an elf that this notebook has not seen."""
        known = self.known.get(elf)
        return known.revision if known else None

    def version(self, elf: str, digest: str) -> int | None:
        """The latest version of the elf that has this code."""
        known = self.known.get(elf)
        if known is None or digest not in known.history:
            return None
        return len(known.history) - known.history[::-1].index(digest)

    def versions(self) -> dict[str, int]:
        """The version number of each digest, for those who show runs."""
        return {
            digest: number
            for known in self.known.values()
            for number, digest in enumerate(known.history, start=1)
        }


def compared(before: Known, revision: Revision, cell_id: str) -> Change:
    """What the new definition changes."""
    old = {task.name: task.digest for task in before.revision.tasks}
    new = {task.name: task.digest for task in revision.tasks}
    both = [name for name in new if name in old]
    version, kind, same_as = len(before.history), "changed", 0
    if revision.digest == before.revision.digest:
        kind = "same"
    else:
        version += 1
        if revision.digest in before.history:
            kind, same_as = "back", before.history.index(revision.digest) + 1
    moved = None
    if cell_id and before.cell_id and cell_id != before.cell_id and revision.label != before.revision.label:
        moved = (revision.label, before.revision.label)
    return Change(
        revision.elf,
        version,
        kind,
        tuple(new),
        changed=tuple(name for name in both if old[name] != new[name]),
        unchanged=tuple(name for name in both if old[name] == new[name]),
        added=tuple(name for name in new if name not in old),
        gone=tuple(name for name in old if name not in new),
        same_as=same_as,
        moved=moved,
    )


def names(revision: Revision) -> tuple[str, ...]:
    """The revision's tasks in the order of the source."""
    return tuple(task.name for task in revision.tasks)


def use_line(count: int, flow: str, uses: list[tuple[str, int | None]], version: int) -> str:
    """Who waits for the new version: failed jobs of a flow that ran an earlier one."""
    ran = listing(f"{task} v{number}" if number else f"{task} as stored" for task, number in uses)
    jobs = "1 failed job" if count == 1 else f"{count} failed jobs"
    them = "it" if count == 1 else "them"
    return f"{jobs} of flow {flow} used {ran};  %elf retry {flow}  runs {them} again with v{version}"
