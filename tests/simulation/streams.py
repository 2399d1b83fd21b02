"""The model's streams: messages in order, and what may be stored over what."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

EXPECT = "Nats-Expected-Last-Subject-Sequence"
AMONG = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH, ORDER, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
BATCH_LIMIT = 1000
BATCH_IDLE_S = 10.0


class Refusal(Exception):
    """What the server answers instead: HTTP-like code, error code, words."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.error = {"code": code, "err_code": err_code, "description": description}


NO_STREAM = (404, 10059, "stream not found")
NO_CONSUMER = (404, 10014, "consumer not found")
NO_MESSAGE = (404, 10037, "no message found")


@lru_cache(maxsize=100_000)
def matches(pattern: str, subject: str) -> bool:
    """Whether a subject, or every subject that a second pattern means, is among the pattern's."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given) > index
        if index >= len(given) or given[index] == ">" or token not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether some subject is meant by both patterns."""
    a, b = one.split("."), other.split(".")
    for left, right in zip(a, b, strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(a) == len(b)


class Reader(Protocol):
    """Who hears what a stream stores and removes."""

    def stored(self, kept: Kept) -> None: ...
    def removed(self, kept: Kept) -> None: ...


@dataclass(slots=True)
class Kept:
    """One stored message."""

    seq: int
    subject: str
    data: bytes
    headers: dict[str, str] | None
    at: float


@dataclass(eq=False)
class Stream:
    """Messages in order, and what may be stored over what."""

    config: dict
    created: str
    last: int = 0
    messages: dict[int, Kept] = field(default_factory=dict)
    subjects: dict[str, dict[int, None]] = field(default_factory=lambda: defaultdict(dict))
    """Each subject's sequences, ascending."""
    consumers: dict[str, Reader] = field(default_factory=dict)
    batches: dict[str, tuple[list[tuple[str, bytes, dict]], float]] = field(default_factory=dict)
    """Batches that have begun: their messages, and when the last of them came."""

    def takes(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.config["subjects"])

    def last_of(self, subject: str) -> int:
        """The newest sequence of a subject or pattern, 0 for none."""
        if "*" in subject or ">" in subject:
            return max(
                (self.last_of(each) for each in list(self.subjects) if matches(subject, each)), default=0
            )
        return next(reversed(self.subjects[subject]), 0) if subject in self.subjects else 0

    def publish(self, subject: str, data: bytes, headers: dict[str, str], at: float) -> dict | None:
        """The acknowledgement; None for one without words, Refusal for a refusal."""
        if BATCH in headers:
            return self._batched(subject, data, headers, at)
        self._check(subject, headers)
        if self.config.get("discard_new_per_subject") and self._is_full(subject):
            raise Refusal(503, 10077, "maximum messages per subject exceeded")
        return {"stream": self.config["name"], "seq": self.store(subject, data, headers, at).seq}

    def _check(self, subject: str, headers: dict[str, str]) -> None:
        """Also in a batch what is expected is compared with what was there before all of it."""
        if EXPECT in headers and (last := self.last_of(headers.get(AMONG, subject))) != int(headers[EXPECT]):
            raise Refusal(400, 10071, f"wrong last sequence: {last}")

    def _is_full(self, subject: str) -> bool:
        limit = self.config.get("max_msgs_per_subject", -1)
        return 0 < limit <= len(self.subjects.get(subject, ()))

    def _batched(self, subject: str, data: bytes, headers: dict[str, str], at: float) -> dict | None:
        if not self.config.get("allow_atomic"):
            raise Refusal(400, 10174, "atomic publish is disabled")
        batch, order = headers[BATCH], int(headers[ORDER])
        so_far, since = self.batches.pop(batch, ([], at))
        if order == 1:
            so_far = []
        if order != len(so_far) + 1 or at - since > BATCH_IDLE_S:
            raise Refusal(400, 10176, "atomic publish batch is incomplete")
        if order > BATCH_LIMIT:
            raise Refusal(400, 10199, "atomic publish batch is too large: 1000")
        so_far.append((subject, data, headers))
        if COMMIT not in headers:
            self.batches[batch] = (so_far, at)
            return None
        written: set[str] = set()
        for each, _, told in so_far:
            if told.get(AMONG, each) in written and EXPECT in told:
                raise Refusal(400, 10164, "wrong last sequence")
            self._check(each, told)
            written.add(each)
        for each, body, told in so_far:
            kept = self.store(each, body, told, at)
        return {"stream": self.config["name"], "seq": kept.seq, "batch": batch, "count": len(so_far)}

    def store(self, subject: str, data: bytes, headers: dict[str, str], at: float) -> Kept:
        self.last += 1
        kept = self.messages[self.last] = Kept(self.last, subject, data, headers or None, at)
        self.subjects[subject][self.last] = None
        if not self.config.get("discard_new_per_subject"):
            while (limit := self.config.get("max_msgs_per_subject", -1)) > 0 and len(
                self.subjects[subject]
            ) > limit:
                self.remove(next(iter(self.subjects[subject])))
        for consumer in list(self.consumers.values()):
            consumer.stored(kept)
        return kept

    def remove(self, seq: int) -> None:
        kept = self.messages.pop(seq, None)
        if kept is not None:
            del self.subjects[kept.subject][seq]
            if not self.subjects[kept.subject]:
                del self.subjects[kept.subject]
            for consumer in self.consumers.values():
                consumer.removed(kept)

    def purge(self, pattern: str) -> int:
        gone = [kept.seq for kept in self.messages.values() if matches(pattern, kept.subject)]
        for seq in gone:
            self.remove(seq)
        return len(gone)

    def facts(self, pattern: str = "") -> dict:
        state = {
            "messages": len(self.messages),
            "first_seq": min(self.messages, default=self.last + 1 if self.last else 0),
            "last_seq": self.last,
            "num_subjects": len(self.subjects),
            "consumer_count": len(self.consumers),
        }
        if pattern:
            state["subjects"] = {
                each: len(seqs) for each, seqs in self.subjects.items() if matches(pattern, each)
            }
        return {"config": self.config, "created": self.created, "state": state}

    def find(self, wanted: dict) -> Kept:
        seq = wanted.get("seq") or self.last_of(wanted.get("last_by_subj", ""))
        if "next_by_subj" in wanted:
            later = (
                kept.seq
                for kept in self.messages.values()
                if kept.seq >= seq and matches(wanted["next_by_subj"], kept.subject)
            )
            seq = min(later, default=0)
        if seq not in self.messages:
            raise Refusal(*NO_MESSAGE)
        return self.messages[seq]
