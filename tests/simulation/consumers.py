"""The model's consumers: who is given which messages, when again, and what an empty pull hears."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.simulation.streams import NO_CONSUMER, Kept, Refusal, Stream, matches, overlap

NANO = 1_000_000_000
DEFAULT_WAIT = 30 * NANO


class Around(Protocol):
    """What a consumer needs of its server."""

    now: Callable[[], float]
    later: Callable[[float, Callable[[], None]], object]

    def is_heard(self, subject: str) -> bool: ...
    def send(
        self, to: str, data: bytes = b"", reply: str = "", headers: dict | None = None, subject: str = ""
    ) -> bool: ...


@dataclass(eq=False)
class Pull:
    """A request for some messages."""

    inbox: str
    left: int
    ends_at: float
    beat_s: float
    """How often it hears that nothing has come; 0 for never."""
    beat_at: float = 0.0


@dataclass(eq=False)
class Consumer:
    """One reader's place in a stream."""

    server: Around
    stream: Stream
    config: dict
    filters: tuple[str, ...]
    next: int = 1
    """The first sequence that was not looked at yet."""
    first: deque[int] = field(default_factory=deque)
    """To be given before that: the newest of each subject, for a reader that wants only those."""
    begins_after: int = 0
    """The sequence before the first that it was to be given."""
    given: int = 0
    left: int = 0
    """Messages in the stream that were not given yet."""
    pulls: deque[Pull] = field(default_factory=deque)
    open: dict[int, float] = field(default_factory=dict)
    """Given and not acknowledged: until when they are whose they are."""
    again: deque[int] = field(default_factory=deque)
    """To be given again."""
    times: dict[int, int] = field(default_factory=dict)
    idle_since: float = 0.0
    ended: bool = False

    @property
    def durable(self) -> bool:
        return "durable_name" in self.config

    @property
    def explicit(self) -> bool:
        return self.config.get("ack_policy", "explicit") == "explicit"

    def wants(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.filters)

    def begin(self) -> None:
        policy = self.config.get("deliver_policy", "all")
        wanted = [kept.seq for kept in self.stream.messages.values() if self.wants(kept.subject)]
        if policy == "by_start_sequence":
            self.next = self.config["opt_start_seq"]
        elif policy == "new":
            self.next = self.stream.last + 1
        elif policy == "last_per_subject":
            newest = {self.stream.messages[seq].subject: seq for seq in wanted}
            self.first = deque(sorted(newest.values()))
            self.next = self.stream.last + 1
        self.begins_after = 0 if self.first else self.next - 1
        self.left = len(self.first) + sum(seq >= self.next for seq in wanted)
        self.idle_since = self.server.now()
        self._look_whether_used()

    def facts(self) -> dict:
        return {
            "stream_name": self.stream.config["name"],
            "name": self.config["name"],
            "config": self.config,
            "num_pending": self.left,
            "delivered": {"consumer_seq": self.given, "stream_seq": self.begins_after},
            "num_ack_pending": len(self.open),
        }

    # ------------------------------------------------------------------ what the stream does

    def stored(self, kept: Kept) -> None:
        if self.wants(kept.subject) and kept.seq >= self.next:
            self.left += 1
            self.serve()

    def removed(self, kept: Kept) -> None:
        self.open.pop(kept.seq, None)
        self.times.pop(kept.seq, None)
        if kept.seq in self.first:
            self.first.remove(kept.seq)
            self.left -= 1
        elif self.wants(kept.subject) and kept.seq >= self.next:
            self.left -= 1

    # ------------------------------------------------------------------ giving

    def pull(self, inbox: str, wanted: dict) -> None:
        now = self.server.now()
        expires_s = wanted.get("expires", 0) / NANO
        beat_s = wanted.get("idle_heartbeat", 0) / NANO
        made = Pull(inbox, wanted.get("batch", 1), now + expires_s, beat_s, now + beat_s)
        self.pulls.append(made)
        self.serve()
        if made.left and wanted.get("no_wait"):
            self._finish(made, "404", "No Messages")
        elif made.left:
            self.server.later(expires_s, lambda: self._finish(made, "408", "Request Timeout"))
            if beat_s:
                self.server.later(beat_s, lambda: self._beat(made))

    def serve(self) -> None:
        """Give what there is to those that ask, one each in turn."""
        while self.pulls:
            pull = self.pulls[0]
            if not self.server.is_heard(pull.inbox):
                self._drop(pull)
                continue
            seq = self._next_seq()
            if seq is None:
                return
            self.pulls.popleft()
            pull.left -= 1
            if pull.left:
                self.pulls.append(pull)
            else:
                self.idle_since = self.server.now()
            pull.beat_at = self.server.now() + pull.beat_s
            self._give(pull.inbox, self.stream.messages[seq])

    def _next_seq(self) -> int | None:
        while self.again:
            seq = self.again.popleft()
            if seq in self.stream.messages:
                return seq
        if self.first:
            self.left -= 1
            return self.first.popleft()
        while self.next <= self.stream.last:
            seq = self.next
            self.next += 1
            if seq in self.stream.messages and self.wants(self.stream.messages[seq].subject):
                self.left -= 1
                return seq
        return None

    def _give(self, inbox: str, kept: Kept) -> None:
        self.given += 1
        times = self.times[kept.seq] = self.times.get(kept.seq, 0) + 1
        where = f"{self.stream.config['name']}.{self.config['name']}"
        place = f"{times}.{kept.seq}.{self.given}.{int(kept.at * NANO)}.{self.left}"
        if self.explicit:
            self._hold(kept.seq)
        else:
            del self.times[kept.seq]
        self.server.send(inbox, kept.data, f"$JS.ACK.{where}.{place}", kept.headers, subject=kept.subject)

    def _hold(self, seq: int) -> None:
        wait_s = self.config.get("ack_wait", DEFAULT_WAIT) / NANO
        self.open[seq] = until = self.server.now() + wait_s
        self.server.later(wait_s, lambda: self._over(seq, until))

    def _over(self, seq: int, until: float) -> None:
        if not self.ended and self.open.get(seq) == until and seq not in self.again:
            self.again.append(seq)
            self.serve()

    def acknowledged(self, seq: int, word: bytes) -> None:
        """What a reader says about a message; a late word counts like one in time."""
        if word.startswith(b"-NAK"):
            if seq in self.open and seq not in self.again:
                self.again.append(seq)
                self.serve()
        elif word.startswith(b"+WPI"):
            if seq in self.open:
                self._hold(seq)
        elif self.explicit and seq in self.times:
            self.open.pop(seq, None)
            self.times.pop(seq, None)
            if seq in self.again:
                self.again.remove(seq)
            if self.stream.config.get("retention") == "workqueue":
                self.stream.remove(seq)

    # ------------------------------------------------------------------ not giving

    def _drop(self, pull: Pull) -> None:
        self.pulls.remove(pull)
        self.idle_since = self.server.now()

    def _finish(self, pull: Pull, status: str, words: str) -> None:
        if pull in self.pulls:
            self._drop(pull)
            headers = {"Status": status, "Description": words}
            if status == "408":
                headers |= {"Nats-Pending-Messages": str(pull.left), "Nats-Pending-Bytes": "0"}
            self.server.send(pull.inbox, headers=headers)

    def _beat(self, pull: Pull) -> None:
        if pull not in self.pulls:
            return
        now = self.server.now()
        if now >= pull.beat_at:
            pull.beat_at = now + pull.beat_s
            stream = max((seq for seq in self.stream.messages if seq < self.next), default=0)
            last = {"Nats-Last-Consumer": str(self.given), "Nats-Last-Stream": str(stream)}
            self.server.send(pull.inbox, headers={"Status": "100", "Description": "Idle Heartbeat", **last})
        self.server.later(pull.beat_at - now, lambda: self._beat(pull))

    def forget_pulls(self) -> None:
        self.pulls.clear()
        self.idle_since = self.server.now()

    def end(self, why: str = "") -> None:
        """Whoever waits hears why, if there are words for it."""
        self.ended = True
        self.stream.consumers.pop(self.config["name"], None)
        for pull in list(self.pulls):
            if why:
                self._finish(pull, "409", why)
            else:
                self._drop(pull)

    def _look_whether_used(self) -> None:
        threshold_s = self.config.get("inactive_threshold", 0) / NANO
        if not threshold_s or self.ended:
            return
        used = any(self.server.is_heard(pull.inbox) for pull in self.pulls)
        idle_s = 0.0 if used else self.server.now() - self.idle_since
        if used:
            self.idle_since = self.server.now()
        if idle_s >= threshold_s:
            self.end("Consumer Deleted")
        else:
            self.server.later(threshold_s - idle_s, self._look_whether_used)


def create(server: Around, stream: Stream, name: str, body: dict) -> dict:
    config = body["config"]
    filters = tuple(config.get("filter_subjects") or (config.get("filter_subject") or ">",))
    for index, one in enumerate(filters):
        if any(overlap(one, other) for other in filters[:index]):
            raise Refusal(400, 10138, "consumer subject filters cannot overlap")
    if (found := stream.consumers.get(name)) is not None:
        if found.config != config:
            raise Refusal(400, 10148, "consumer already exists")
        return found.facts()
    if stream.config.get("retention") == "workqueue":
        taken = [pattern for other in stream.consumers.values() for pattern in other.filters]
        if any(overlap(one, other) for one in filters for other in taken):
            raise Refusal(400, 10100, "filtered consumer not unique on workqueue stream")
    made = Consumer(server, stream, dict(config), filters)
    stream.consumers[name] = made
    made.begin()
    return made.facts()


def delete(stream: Stream, name: str) -> dict:
    if name not in stream.consumers:
        raise Refusal(*NO_CONSUMER)
    stream.consumers[name].end("Consumer Deleted")
    return {"success": True}
