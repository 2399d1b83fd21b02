"""Random operations on a server, as data, and what each of them brings to light.

`perform` speaks to whatever a Link leads to: nats-server, or the model. It returns only what both
must agree on: no times, no texts that name an address.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field

from elfbook.store.follow import NANO
from elfbook.store.link import Link, Message, Unanswered

EXPECT = "Nats-Expected-Last-Subject-Sequence"
AMONG = "Nats-Expected-Last-Subject-Sequence-Subject"
EXPIRES_S = 0.2
HEARTBEAT_S = 0.04
PATIENCE_S = 30.0
HOLD_S = 5.0
WAIT_S = 3.0
"""Twice this is longer than HOLD_S; once, with some operations before and after, is not."""
MARGIN_S = 0.6
"""So much longer than they should these operations may take, and that is still so."""
SUBJECTS = ("a", "b", "c.1", "c.2", "d")
PATTERNS = ((">",), ("a",), ("c.*",), ("a", "c.>"), ("b", "d"), ("a", ">"))
POLICIES = ("all", "by_start_sequence", "last_per_subject", "new")


def operations(seed: int, count: int = 40) -> list[tuple]:
    """What to do with a stream of records, and with its readers or with a purge.

    Not with both: after a purge nats-server 2.15 miscounts what is left for a reader, also when the
    reader did not want what went. elfbook purges nothing.
    """
    chance = random.Random(seed)
    expects = ("none", "right", "right", "zero", "wrong", "among", "among")

    def write() -> tuple[str, str]:
        return chance.choice(SUBJECTS), chance.choice(expects)

    def batch() -> tuple:
        # Half of them as elfbook writes them: nothing wrong, no subject twice.
        if chance.random() < 0.5:
            names = chance.sample(SUBJECTS, chance.randint(1, 4))
            return "batch", [(name, "right") for name in names], "whole"
        writes = [write() for _ in range(chance.randint(1, 4))]
        return (
            "batch",
            writes,
            chance.choice(["whole", "whole", "whole", "gap", "uncommitted", "not allowed"]),
        )

    kinds = [
        (8, lambda: ("publish", *write())),
        (8, batch),
        (3, lambda: ("last", chance.choice((*SUBJECTS, "never")))),
        (2, lambda: ("at", chance.randint(1, 30))),
        (2, lambda: ("direct", chance.choice((*SUBJECTS, "never")))),
        (2, lambda: ("marks",)),
        (1, lambda: ("make again", chance.random() < 0.5)),
    ]
    if seed % 4:
        kinds += [
            (3, lambda: ("read", chance.randrange(3), chance.choice(POLICIES), chance.choice(PATTERNS))),
            (6, lambda: ("pull", chance.randrange(3), chance.choice([1, 2, 5, 50]))),
            (1, lambda: ("forget", chance.randrange(3))),
        ]
    else:
        kinds.append((1, lambda: ("widen", chance.randrange(3))))
        kinds.append((3, lambda: ("purge", chance.choice((*SUBJECTS, "c.>")))))
    weights = [weight for weight, _ in kinds]
    return [chance.choices(kinds, weights)[0][1]() for _ in range(count)] + [("end",)]


def queue_operations(seed: int, count: int = 19) -> list[tuple]:
    """What to do with a work queue; what lapses, lapses with a wide margin."""
    chance = random.Random(f"queue {seed}")
    quick = [
        lambda: ("offer", chance.choice(SUBJECTS)),
        lambda: ("offer", chance.choice(SUBJECTS)),
        lambda: ("take", chance.choice([1, 1, 2, 5])),
        lambda: ("say", chance.choice([b"+ACK", b"+ACK", b"-NAK", b"+WPI"]), chance.randrange(9)),
        lambda: ("marks",),
    ]
    made = []
    for index in range(count):
        made.append(("wait",) if index % 4 == 3 else chance.choice(quick)())
    return [*made, ("end",)]


@dataclass(eq=False)
class Performance:
    """One list of operations on one server, with streams of its own."""

    link: Link
    mark: str
    """Its streams and subjects bear it."""
    seen: list = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    """The last sequence of each subject, as the acknowledgements say."""
    heard: dict[str, list[Message]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    """When each operation began, and when the last had ended."""
    taken: list[Message] = field(default_factory=list)
    batches: int = 0
    inboxes: int = 0

    @property
    def stream(self) -> str:
        return f"REC_{self.mark}"

    @property
    def queue(self) -> str:
        return f"QUEUE_{self.mark}"

    def subject(self, name: str) -> str:
        return f"rec{self.mark}.{name}"

    async def run(self, todo: list[tuple]) -> list:
        await self.make(self.stream, self.subject(">"), allow_atomic=True, allow_direct=True)
        await self.make(
            self.queue, f"queue{self.mark}.>", storage="memory", retention="workqueue",
            max_msgs_per_subject=1, discard_new_per_subject=True,
        )  # fmt: skip
        for kind, *given in todo:
            self.times.append(asyncio.get_running_loop().time())
            found = await getattr(self, "do_" + kind.replace(" ", "_"))(*given)
            self.seen.append((kind, *given, found))
        self.times.append(asyncio.get_running_loop().time())
        return self.seen

    async def make(self, name: str, pattern: str, **more: object) -> object:
        config = {
            "name": name, "subjects": [pattern], "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": 1, **more,
        }  # fmt: skip
        return await self.api(f"STREAM.CREATE.{name}", config)

    async def ask(self, subject: str, data: bytes = b"", headers: dict | None = None) -> object:
        try:
            reply = await self.link.request(subject, data, headers, timeout_s=PATIENCE_S)
        except Unanswered as error:
            return str(error)
        if status := (reply.headers or {}).get("Status"):
            return status
        return json.loads(reply.data) if reply.data else ""

    async def api(self, verb: str, body: dict | None = None) -> object:
        answer = await self.ask(f"$JS.API.{verb}", json.dumps(body or {}).encode())
        if isinstance(answer, dict):
            answer = {
                key: answer[key]
                for key in ("error", "success", "purged", "num_pending", "delivered")
                if key in answer
            }
        return answer

    async def consumer(self, stream: str, name: str, config: dict) -> object:
        """Made, or found. How much is left is told exactly only when it is made, and used only then."""
        body = {"stream_name": stream, "config": config, "action": "create"}
        answer = await self.api(f"CONSUMER.CREATE.{stream}.{name}", body)
        if name in self.made:
            answer.pop("num_pending", None)
        if config.get("deliver_policy") != "new":
            answer.pop("delivered", None)
        self.made.add(name)
        return answer

    # ------------------------------------------------------------------ records

    def expected(self, name: str, expect: str) -> dict[str, str]:
        last = self.known.get(name, 0)
        if expect == "among":  # as a claim of many expects the last of its whole lot
            newest = max((seq for each, seq in self.known.items() if each.startswith("c.")), default=0)
            return {EXPECT: str(newest), AMONG: self.subject("c.>")}
        number = {"right": last, "zero": 0, "wrong": last + 3}.get(expect)
        return {} if number is None else {EXPECT: str(number)}

    async def do_publish(self, name: str, expect: str) -> object:
        answer = await self.ask(
            self.subject(name), f"p{len(self.seen)}".encode(), self.expected(name, expect)
        )
        if isinstance(answer, dict) and answer.get("seq"):
            self.known[name] = answer["seq"]
        return answer

    async def do_batch(self, writes: list[tuple[str, str]], how: str) -> object:
        self.batches += 1
        answer = None
        for index, (name, expect) in enumerate(writes, 1):
            order = index + 1 if how == "gap" and index > 1 else index
            headers = {"Nats-Batch-Id": f"{self.mark}-{self.batches}", "Nats-Batch-Sequence": str(order)}
            headers |= self.expected(name, expect)
            subject = self.subject(name) if how != "not allowed" else f"queue{self.mark}.{name}"
            data = f"b{len(self.seen)}.{index}".encode()
            if index < len(writes) or how == "uncommitted":
                await self.link.publish(subject, data, "", headers)
            else:
                answer = await self.ask(subject, data, {**headers, "Nats-Batch-Commit": "1"})
        if isinstance(answer, dict) and answer.get("seq"):
            for back, (name, _) in enumerate(reversed(writes)):
                self.known[name] = max(self.known.get(name, 0), answer["seq"] - back)
        return answer

    async def do_last(self, name: str) -> object:
        entry = await self.link.last(self.stream, self.subject(name))
        return entry and (entry.subject, entry.seq, entry.data, entry.over)

    async def do_at(self, seq: int) -> object:
        entry = await self.link.at(self.stream, seq)
        return entry and (entry.subject, entry.seq, entry.data, entry.over)

    async def do_direct(self, name: str) -> object:
        reply = await self.link.request(f"$JS.API.DIRECT.GET.{self.stream}.{self.subject(name)}")
        wanted = ("Status", "Nats-Stream", "Nats-Subject", "Nats-Sequence")
        return reply.data, {key: reply.headers[key] for key in wanted if key in reply.headers}

    async def do_purge(self, name: str) -> object:
        answer = await self.api(f"STREAM.PURGE.{self.stream}", {"filter": self.subject(name)})
        for each in list(self.known):
            if each == name or (name == "c.>" and each.startswith("c.")):
                del self.known[each]
        return answer

    async def do_marks(self) -> object:
        told = []
        for stream in (self.stream, self.queue):
            answer = await self.ask(f"$JS.API.STREAM.INFO.{stream}")
            state = answer["state"]
            told.append(
                {key: state.get(key) for key in ("messages", "first_seq", "last_seq", "consumer_count")}
            )
        return told

    async def do_make_again(self, same: bool) -> object:
        options = {"allow_atomic": True, "allow_direct": True} if same else {"allow_direct": True}
        return await self.make(self.stream, self.subject(">"), **options), await self.make(
            f"OTHER_{self.mark}", self.subject("a")
        )

    async def do_widen(self, number: int) -> object:
        """Give the stream one more subject, and see whether that takes messages now."""
        config = (await self.ask(f"$JS.API.STREAM.INFO.{self.stream}"))["config"]
        before = await self.ask(f"more{self.mark}.{number}", b"?")
        config["subjects"] = sorted({*config["subjects"], f"more{self.mark}.{number}"})
        config["metadata"] = {"note": str(number)}
        changed = await self.api(f"STREAM.UPDATE.{self.stream}", config)
        return before, changed, await self.ask(f"more{self.mark}.{number}", b"!")

    # ------------------------------------------------------------------ readers

    async def do_read(self, reader: int, policy: str, names: tuple[str, ...]) -> object:
        filters = [self.subject(name) for name in names]
        which = {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": filters}
        start = {"opt_start_seq": 3} if policy == "by_start_sequence" else {}
        config = {
            "name": f"reader{reader}", "ack_policy": "none", "max_deliver": -1, "deliver_policy": policy,
            "inactive_threshold": 60 * NANO, "mem_storage": True, "num_replicas": 1, **which, **start,
        }  # fmt: skip
        return await self.consumer(self.stream, f"reader{reader}", config)

    async def do_forget(self, reader: int) -> object:
        self.made.discard(f"reader{reader}")
        return await self.api(f"CONSUMER.DELETE.{self.stream}.reader{reader}")

    async def do_pull(self, reader: int, count: int) -> object:
        return told(await self.collect(self.stream, f"reader{reader}", count))

    async def collect(self, stream: str, consumer: str, count: int) -> list[Message]:
        """What a pull brings, until it has all it asked for or is told that there is no more.

        One that brings nothing at all before it is over is repeated: a server that has much to do says so
        late, or says nothing.
        """
        while True:
            got = await self.collect_once(stream, consumer, count)
            if [(message.headers or {}).get("Status") for message in got] != ["408"]:
                return got

    async def collect_once(self, stream: str, consumer: str, count: int) -> list[Message]:
        self.inboxes += 1
        inbox, got, over = f"in{self.mark}.{self.inboxes}", [], asyncio.Event()

        def heard(message: Message) -> None:
            got.append(message)
            status = (message.headers or {}).get("Status")
            given = sum("Status" not in (each.headers or {}) for each in got)
            if given == count or status not in (None, "100"):
                over.set()

        undo = await self.link.subscribe(inbox, heard)
        body = {"batch": count, "expires": int(EXPIRES_S * NANO), "idle_heartbeat": int(HEARTBEAT_S * NANO)}
        await self.link.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps(body).encode(), inbox
        )
        async with asyncio.timeout(PATIENCE_S):
            await over.wait()
        await undo()
        return got

    # ------------------------------------------------------------------ the queue

    async def do_offer(self, name: str) -> object:
        return await self.ask(f"queue{self.mark}.{name}", f"o{len(self.seen)}".encode())

    async def do_take(self, count: int) -> object:
        config = {
            "durable_name": "pool", "name": "pool", "ack_policy": "explicit", "ack_wait": int(HOLD_S * NANO),
            "max_deliver": -1, "max_ack_pending": 100_000, "filter_subject": f"queue{self.mark}.>",
        }  # fmt: skip
        made = await self.consumer(self.queue, "pool", config)
        got = await self.collect(self.queue, "pool", count)
        self.taken += [message for message in got if message.reply]
        return made, told(got)

    async def do_say(self, word: bytes, which: int) -> object:
        if self.taken:
            await self.link.publish(self.taken[which % len(self.taken)].reply, word)
        return await self.ask(f"$JS.API.STREAM.INFO.{self.queue}") and None

    async def do_wait(self) -> None:
        await asyncio.sleep(WAIT_S)  # the server's own patience is what is compared

    async def do_end(self) -> object:
        """The stream is deleted. (Whether a pull that waits meanwhile hears so is a race in nats-server.)"""
        name = f"STREAM.DELETE.{self.stream}"
        return await self.api(name), await self.api(name), await self.ask(self.subject("a"), b"too late")


def told(messages: list[Message]) -> list[tuple]:
    """Messages without their times; of heartbeats only that there were some while nothing came."""
    seen = []
    for message in messages:
        headers = {str(getattr(key, "value", key)): value for key, value in (message.headers or {}).items()}
        if "Status" in headers:
            wanted = ("Status", "Description", "Nats-Pending-Messages", "Nats-Last-Consumer")
            line = tuple(headers.get(key) for key in wanted)
            if headers["Status"] == "503":
                line = ("503",)
            if line[0] != "100" or line not in seen:
                seen.append(line)
        else:
            # Not what it says is left: nats-server 2.15 miscounts that by one now and then.
            place = message.reply.split(".")
            seen.append((message.subject, message.data, headers, *place[4:7]))
    given = any(line[0] not in ("100", "408", "503") for line in seen)
    return [line for line in seen if line[0] != "100"] if given else seen


def strayed_s(ours: list[float], theirs: list[float]) -> float:
    """How much longer some operations took there than here; at most so many as are between three waits."""
    pairs = list(zip(ours, theirs, strict=True))
    return max(
        (there - first_there) - (here - first_here)
        for index, (first_here, first_there) in enumerate(pairs)
        for here, there in pairs[index : index + 9]
    )
