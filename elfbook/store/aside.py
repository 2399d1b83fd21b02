"""What cannot be used is set aside: noted once, with its reason, and everything else goes on.

The thing itself stays where it is, since the log is never changed. The note says what it was and
why it is of no use, for `%elf doctor` to show. Whoever meets it first writes the note; the subject
of the note is made of its place, so that the server refuses a second one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from hashlib import blake2b

from elfbook.errors import MyceliumError, Untrusted
from elfbook.facts import Failed, Stored, Unreadable
from elfbook.model import Failure, Struct
from elfbook.store.link import Link, Unanswered
from elfbook.store.messages import EXPECT, Entry, Message
from elfbook.wire import Names, encode

log = logging.getLogger("elfbook")

NOTES = 200
"""A process writes no more of them: whoever floods us must not fill the store with it."""
SHOWN_BYTES = 80


class Aside(Struct, frozen=True):
    """Something that was set aside."""

    subject: str
    reason: str
    seq: int = 0
    """Its place in its stream; 0 for what is not stored for good, such as an offer or a beat."""
    begins: bytes = b""
    size: int = 0

    def __str__(self) -> str:
        place = f" at {self.seq}" if self.seq else ""
        return f"{self.subject}{place}: {self.reason}"


def damaged(job: int, lot: int | None, entry: Entry, error: Exception) -> Stored:
    """The fact that stands for a record that cannot be read: it ends its job, by name.

    Its place in the log is that of the record, so whoever opens the job again writes over it.
    Without a job it is about many, of a lot or of the run.
    """
    kind = "Untrusted" if isinstance(error, Untrusted) else "StoreCorrupt"
    if job < 0:
        failure = Failure(type=kind, message=f"record {entry.seq} was set aside: {error}")
        return Stored(job, entry.seq, entry.at, Unreadable("", 0, failure, lot))
    failure = Failure(type=kind, message=f"record {entry.seq} of this job was set aside: {error}")
    return Stored(job, entry.seq, entry.at, Failed("", 0, failure, "refused", final=True))


@dataclass(eq=False)
class Asides:
    """The notes that one process writes."""

    link: Link
    names: Names
    _noted: set[str] = field(default_factory=set)

    def is_new(self, found: Entry | Message) -> str | None:
        """The subject of the note on something; None when there is one, or there were too many."""
        name = str(found.seq) if isinstance(found, Entry) else blake2b(found.data, digest_size=8).hexdigest()
        subject = self.names.aside(found.subject, name)
        if subject in self._noted or len(self._noted) >= NOTES:
            return None
        self._noted.add(subject)
        return subject

    async def note(self, subject: str, found: Entry | Message, reason: str) -> None:
        """Write the note, if the store takes it: it is no more than a note."""
        log.warning("%s is set aside: %s", found.subject, reason)
        seq = found.seq if isinstance(found, Entry) else 0
        aside = Aside(found.subject, reason, seq, bytes(found.data[:SHOWN_BYTES]), len(found.data))
        try:
            await self.link.request(subject, encode(aside), {EXPECT: "0"})
        except (Unanswered, MyceliumError) as error:
            log.warning("the note on %s could not be stored: %s", found.subject, error)
