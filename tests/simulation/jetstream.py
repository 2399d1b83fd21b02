"""A NATS server with JetStream in memory, as far as elfbook uses one.

Knows nothing of time or networks: whoever owns it gives it a clock, and hears what it sends. What
it answers is what nats-server 2.15 answers; `test_conformance.py` asks both the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.simulation.consumers import create, delete
from tests.simulation.streams import NO_STREAM, Kept, Refusal, Stream, matches, overlap


@dataclass(eq=False)
class Server:
    """Streams, and who listens."""

    now: Callable[[], float]
    """Seconds since the epoch."""
    later: Callable[[float, Callable[[], None]], object]
    """Has something done so many seconds from now."""
    streams: dict[str, Stream] = field(default_factory=dict)
    listeners: dict[object, dict[int, tuple[str, Callable]]] = field(default_factory=dict)
    """For each connection its subscriptions: pattern, and what takes a message."""

    # ------------------------------------------------------------------ subjects

    def listen(self, whose: object, number: int, pattern: str, take: Callable) -> None:
        self.listeners.setdefault(whose, {})[number] = (pattern, take)

    def unlisten(self, whose: object, number: int) -> None:
        self.listeners.get(whose, {}).pop(number, None)

    def disconnect(self, whose: object) -> None:
        self.listeners.pop(whose, None)

    def is_heard(self, subject: str) -> bool:
        return any(matches(p, subject) for subs in self.listeners.values() for p, _ in subs.values())

    def send(
        self, to: str, data: bytes = b"", reply: str = "", headers: dict | None = None, subject: str = ""
    ) -> bool:
        """Give a message to whoever listens at `to`, named `subject` if that is another."""
        takers = [
            take
            for subs in list(self.listeners.values())
            for pattern, take in list(subs.values())
            if pattern == to or (pattern[-1] in "*>" and matches(pattern, to))
        ]
        for take in takers:
            take(subject or to, data, reply, headers)
        return bool(takers)

    def receive(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> None:
        """A message has arrived."""
        if subject.startswith("$JS.API.DIRECT.GET."):
            self._direct(subject, data, reply)
        elif subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
            self._pull(subject, data, reply)
        elif subject.startswith("$JS.API."):
            self._answer(reply, lambda: self._api(subject.split(".")[2:], json.loads(data or b"{}")))
        elif subject.startswith("$JS.ACK."):
            self._ack(subject.split("."), data)
        else:
            heard = self.send(subject, data, reply, headers)
            stream = next((s for s in self.streams.values() if s.takes(subject)), None)
            if stream is not None:
                self._publish(stream, subject, data, reply, headers or {})
            elif not heard:
                self._nobody(reply)

    def _nobody(self, reply: str) -> None:
        if reply:
            self.send(reply, headers={"Status": "503"})

    def _publish(self, stream: Stream, subject: str, data: bytes, reply: str, headers: dict) -> None:
        try:
            answer = stream.publish(subject, data, headers, self.now())
            body = b"" if answer is None else json.dumps(answer).encode()
        except Refusal as refusal:
            body = json.dumps({"error": refusal.error, "stream": stream.config["name"], "seq": 0}).encode()
        if reply:
            self.send(reply, body)

    def _answer(self, reply: str, ask: Callable[[], dict]) -> None:
        try:
            answer = ask()
        except Refusal as refusal:
            answer = {"error": refusal.error}
        if reply:
            self.send(reply, json.dumps(answer).encode())

    # ------------------------------------------------------------------ the API

    def stream(self, name: str) -> Stream:
        if name not in self.streams:
            raise Refusal(*NO_STREAM)
        return self.streams[name]

    def _api(self, verb: list[str], body: dict) -> dict:
        match verb:
            case ["STREAM", "CREATE", name]:
                return self._create(name, body)
            case ["STREAM", "UPDATE", name]:
                self.stream(name).config = body
                return self.stream(name).facts()
            case ["STREAM", "INFO", name]:
                return self.stream(name).facts(body.get("subjects_filter", ""))
            case ["STREAM", "DELETE", name]:
                return self._delete(name)
            case ["STREAM", "PURGE", name]:
                return {"success": True, "purged": self.stream(name).purge(body.get("filter", ">"))}
            case ["STREAM", "MSG", "GET", name]:
                return {"message": _told(self.stream(name).find(body))}
            case ["CONSUMER", "CREATE", name, consumer, *_]:
                return create(self, self.stream(name), consumer, body)
            case ["CONSUMER", "DELETE", name, consumer]:
                return delete(self.stream(name), consumer)
        raise NotImplementedError(f"the model knows no {'.'.join(verb)}")

    def _create(self, name: str, config: dict) -> dict:
        if (found := self.streams.get(name)) is not None:
            if found.config != config:
                raise Refusal(400, 10058, "stream name already in use with a different configuration")
            return found.facts()
        taken = [subject for stream in self.streams.values() for subject in stream.config["subjects"]]
        if any(overlap(one, other) for one in config["subjects"] for other in taken):
            raise Refusal(400, 10065, "subjects overlap with an existing stream")
        made = self.streams[name] = Stream(dict(config), as_text(self.now()))
        return made.facts()

    def _delete(self, name: str) -> dict:
        for consumer in list(self.stream(name).consumers.values()):
            consumer.end()
        del self.streams[name]
        return {"success": True}

    def _direct(self, subject: str, data: bytes, reply: str) -> None:
        _, _, _, _, name, *rest = subject.split(".")
        stream = self.streams.get(name)
        if stream is None or not stream.config.get("allow_direct"):
            self._nobody(reply)
            return
        try:
            found = stream.find({"last_by_subj": ".".join(rest)} if rest else json.loads(data))
        except Refusal:
            self.send(reply, headers={"Status": "404", "Description": "Message Not Found"})
            return
        facts = {"Nats-Stream": name, "Nats-Subject": found.subject, "Nats-Sequence": str(found.seq)}
        self.send(reply, found.data, headers={**(found.headers or {}), **facts})

    def _pull(self, subject: str, data: bytes, reply: str) -> None:
        *_, name, consumer = subject.split(".")
        found = self.streams[name].consumers.get(consumer) if name in self.streams else None
        if found is None:
            self._nobody(reply)
        else:
            found.pull(reply, json.loads(data or b"{}"))

    def _ack(self, tokens: list[str], data: bytes) -> None:
        stream = self.streams.get(tokens[2])
        consumer = stream.consumers.get(tokens[3]) if stream else None
        if consumer is not None:
            consumer.acknowledged(int(tokens[5]), data)

    # ------------------------------------------------------------------ the end of a process

    def restart(self) -> None:
        """What was in memory is gone: streams, batches, connections, and consumers without a name for good."""
        self.listeners.clear()
        for name, stream in list(self.streams.items()):
            stream.batches.clear()
            for consumer in list(stream.consumers.values()):
                if stream.config.get("storage") == "memory" or not consumer.durable:
                    consumer.end()
                else:
                    consumer.forget_pulls()
            if stream.config.get("storage") == "memory":
                del self.streams[name]


def _told(kept: Kept) -> dict:
    data = base64.b64encode(kept.data).decode()
    told = {"subject": kept.subject, "seq": kept.seq, "time": as_text(kept.at)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (kept.headers or {}).items())
    headers = base64.b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode() if lines else ""
    return told | ({"data": data} if data else {}) | ({"hdrs": headers} if headers else {})


def as_text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
