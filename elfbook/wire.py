"""How our words look on the network: subjects, encodings, seals. Pure.

Every stored body is MessagePack behind one version byte, so that a later elfbook can tell
yesterday's records from its own. Code and graphs are sealed: signed with the mycelium's key,
since a worker runs what they say.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TypeVar

import msgspec

from elfbook.errors import ElfUsageError, StoreCorrupt, Untrusted
from elfbook.facts import LOT, AnyRecord

VERSION = b"\x01"
LIMIT = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,63}):([1-9][0-9]{0,5})")
FLOW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
TOKEN = re.compile(r"[A-Za-z0-9_-]+")

T = TypeVar("T")
NO_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no record; texts that are not UTF-8 have their own error."""
_pack = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(AnyRecord).decode


def encode(value: object) -> bytes:
    """The stored form of any type of the model."""
    return VERSION + _pack(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The value that `encode` stored; StoreCorrupt for bytes that are none."""
    try:
        if data[:1] != VERSION:
            raise msgspec.DecodeError(f"version byte {data[:1]!r}")
        return msgspec.msgpack.decode(memoryview(data)[1:], type=kind)
    except NO_RECORD as error:
        name = getattr(kind, "__name__", "record")
        raise StoreCorrupt(f"a stored {name} cannot be read: {error}") from error


def decode_record(data: bytes) -> AnyRecord:
    """One message of the log; as `decode`, without looking the type up each time."""
    if data[:1] != VERSION:
        raise StoreCorrupt(f"a stored event begins with {data[:1]!r}, not with a known version")
    try:
        return _record(memoryview(data)[1:])
    except NO_RECORD as error:
        raise StoreCorrupt(f"a stored event cannot be read: {error}") from error


def digest_of(*buffers: bytes | memoryview) -> str:
    """SHA-256 of the buffers as one, hexadecimal."""
    sha = hashlib.sha256()
    for buffer in buffers:
        sha.update(buffer)
    return sha.hexdigest()


# ---------------------------------------------------------------------------- seals

SEAL_BYTES = 32
OTHER_KEY = (
    "If another elfbook with another key uses the same server and namespace: give both the same key "
    "file (ELFBOOK_KEY_FILE), or another namespace. Otherwise the store was tampered with or is damaged."
)


def seal(body: bytes, key: bytes) -> bytes:
    """`body` behind its HMAC-SHA256 under the mycelium's key."""
    return hmac.digest(key, body, "sha256") + body


def unseal(data: bytes, key: bytes, what: str) -> bytes:
    """The body of a seal; Untrusted when it was not made with this key."""
    body = bytes(data[SEAL_BYTES:])
    if not hmac.compare_digest(hmac.digest(key, body, "sha256"), bytes(data[:SEAL_BYTES])):
        raise Untrusted(
            f"{what} is not signed with this mycelium's key, so nothing of it was opened or run",
            hint=OTHER_KEY,
        )
    return body


def encode_sealed(value: object, key: bytes) -> bytes:
    """The stored form of something that a worker acts on: signed."""
    return seal(encode(value), key)


def decode_sealed(data: bytes, kind: type[T], key: bytes, what: str) -> T:
    """The value that `encode_sealed` stored; Untrusted unless it was sealed with this key."""
    return decode(unseal(data, key, what), kind)


# ---------------------------------------------------------------------------- names


def check_flow_name(name: str) -> str:
    """`name` itself; ElfUsageError when a flow cannot be called so."""
    if not FLOW_NAME.fullmatch(name):
        raise ElfUsageError(
            f"a flow cannot be called {name!r}: letters, digits, - and _, at most 64, "
            "the first one a letter or _",
            hint="For example:  %%elf flow crawl",
        )
    return name


def limit_parts(limit: str) -> tuple[str, int]:
    """Name and number of `api:3`; ElfUsageError for what is no limit."""
    found = LIMIT.fullmatch(limit)
    if found is None:
        raise ElfUsageError(
            f"{limit!r} is not a limit: it is a name and how many may run at once",
            hint="For example  api:3 . All jobs under the same name count together, in whatever run.",
        )
    return found[1], int(found[2])


class Names:
    """Streams and subjects of one mycelium; the only place that spells them."""

    def __init__(self, namespace: str = "main") -> None:
        if not TOKEN.fullmatch(namespace):
            raise ElfUsageError(f"a namespace cannot be called {namespace!r}: use letters, digits, - and _")
        self.namespace = namespace
        self._root = f"elf.{namespace}"
        upper = f"ELF_{namespace}"
        self.runs, self.jobs, self.work = f"{upper}_RUNS", f"{upper}_JOBS", f"{upper}_WORK"
        self.blobs, self.output = f"{upper}_BLOBS", f"{upper}_OUTPUT"

    # RUNS
    def run(self, flow: str) -> str:
        return f"{self._root}.run.{flow}"

    def settled(self, run: str) -> str:
        return f"{self._root}.settled.{run}"

    @property
    def every_run(self) -> str:
        return f"{self._root}.run.*"

    @property
    def every_settled(self) -> str:
        return f"{self._root}.settled.>"

    # JOBS: a lot's claims and its jobs' own records lie under one prefix, so that a claim can expect
    # that nothing has been stored under it since the offer.
    def job(self, run: str, job: int) -> str:
        return f"{self._root}.job.{run}.{job // LOT}.{job}"

    def jobs_of(self, run: str) -> str:
        return f"{self._root}.job.{run}.>"

    def claims(self, run: str, lot: int) -> str:
        return f"{self._root}.job.{run}.{lot}.claims"

    def lot(self, run: str, lot: int) -> str:
        """Everything about a lot but the ends of jobs that were claimed together."""
        return f"{self._root}.job.{run}.{lot}.>"

    def ends(self, run: str) -> str:
        return f"{self._root}.job.{run}.ends"

    def pause(self, run: str) -> str:
        return f"{self._root}.job.{run}.pause"

    def jobs_of_flow(self, flow: str) -> str:
        return f"{self._root}.job.{flow}.>"

    @property
    def every_job(self) -> str:
        return f"{self._root}.job.>"

    def keep(self, elf_name: str) -> str:
        return f"{self._root}.keep.{elf_name}"

    def holder(self, elf_name: str) -> str:
        return f"{self._root}.holder.{elf_name}"

    def slot(self, limit: str, number: int) -> str:
        return f"{self._root}.slot.{limit}.{number}"

    @property
    def every_slot(self) -> str:
        return f"{self._root}.slot.*.*"

    @property
    def everything(self) -> str:
        """Whatever is stored in a stream of this mycelium."""
        return f"{self._root}.>"

    @staticmethod
    def kind_of(subject: str) -> str:
        """What a subject is about: `job`, `slot`, `keep`, …"""
        return subject.split(".", 3)[2]

    @staticmethod
    def slot_of(subject: str) -> tuple[str, int]:
        """The limit and the slot that a subject names."""
        *_, limit, number = subject.split(".")
        return limit, int(number)

    @property
    def barrier(self) -> str:
        """Records that say nothing but that they are there."""
        return f"{self._root}.barrier"

    @staticmethod
    def job_of(subject: str) -> tuple[str, int]:
        """The run that a subject of the JOBS stream names, and the job if it is one's own; else -1."""
        _, _, _, flow, number, *rest = subject.split(".")
        if not number.isdecimal() or rest[-1].startswith("-"):
            raise ValueError(subject)
        return f"{flow}.{number}", -1 if rest[-1] in ("claims", "ends", "pause") else int(rest[-1])

    @staticmethod
    def lot_of(subject: str) -> int | None:
        """The lot whose claims are at a subject of the JOBS stream; None for other subjects."""
        *_, lot, last = subject.split(".")
        return int(lot) if last == "claims" and lot.isdecimal() else None

    @staticmethod
    def run_of(subject: str) -> str:
        """The run that a subject of JOBS or OUTPUT is about."""
        _, _, _, flow, number, _ = subject.split(".", 5)
        return f"{flow}.{number}"

    # WORK: the last token is the state that the offer is based on (the message that led to it), so
    # that one state of a job is offered at most once and a new state is a new offer.
    def offer_to_pool(self, pool: str, run: str, job: int, state: str) -> str:
        return f"{self._root}.work.pool.{pool}.{run}.{job}.{state}"

    def offer_to_worker(self, worker: str, run: str, job: int, state: str) -> str:
        return f"{self._root}.work.worker.{worker}.{run}.{job}.{state}"

    def lot_offer(self, pool: str, run: str, lot: int, seq: int) -> str:
        return f"{self._root}.work.lot.{pool}.{run}.{lot}.{seq}"

    def lot_offers(self, pool: str) -> str:
        return f"{self._root}.work.lot.{pool}.>"

    def pool_offers(self, pool: str) -> str:
        return f"{self._root}.work.pool.{pool}.>"

    def offers_of(self, run: str) -> str:
        return f"{self._root}.work.*.*.{run}.>"

    @property
    def every_worker_offer(self) -> str:
        return f"{self._root}.work.worker.>"

    @staticmethod
    def worker_of_offer(subject: str) -> str:
        """The worker that an offer is addressed to."""
        return subject.split(".")[4]

    def worker_offers(self, worker: str) -> str:
        return f"{self._root}.work.worker.{worker}.>"

    # BLOBS, OUTPUT
    def chunk(self, digest: str, index: int) -> str:
        return f"{self._root}.blob.{digest}.{index}"

    def chunks(self, digest: str) -> str:
        return f"{self._root}.blob.{digest}.*"

    def output_of(self, run: str, job: int) -> str:
        return f"{self._root}.out.{run}.{job}"

    def outputs_of(self, run: str) -> str:
        return f"{self._root}.out.{run}.*"

    def outputs_of_flow(self, flow: str) -> str:
        return f"{self._root}.out.{flow}.>"

    def aside(self, subject: str, name: str) -> str:
        """The note on something at `subject` that was set aside: one for each stream, kind and name."""
        kind = TOKEN.match(subject.removeprefix(f"{self._root}."))
        return f"{self._root}.aside.{kind[0] if kind else 'other'}.{name}"

    @property
    def every_aside(self) -> str:
        return f"{self._root}.aside.>"

    # not stored
    def progress(self, run: str) -> str:
        return f"{self._root}.progress.{run}"

    def progress_of_flow(self, flow: str) -> str:
        return f"{self._root}.progress.{flow}.*"

    def beat(self, worker: str) -> str:
        return f"{self._root}.beat.{worker}"

    @property
    def every_beat(self) -> str:
        return f"{self._root}.beat.*"

    @property
    def census(self) -> str:
        """Whoever hears a message here says at once that it is alive."""
        return f"{self._root}.census"

    @property
    def epoch(self) -> str:
        """The store's new epoch is said here."""
        return f"{self._root}.epoch"

    @property
    def schedulers(self) -> str:
        """Schedulers say here since when they have been there."""
        return f"{self._root}.scheduler"

    @property
    def trouble(self) -> str:
        """Who cannot store what it has says so here."""
        return f"{self._root}.trouble"

    @property
    def modules(self) -> str:
        """Whoever hears names of packages here tells with its beats whether its kernel has them."""
        return f"{self._root}.modules"

    def gone(self, worker: str) -> str:
        return f"{self._root}.gone.{worker}"

    @property
    def every_gone(self) -> str:
        return f"{self._root}.gone.*"

    def stop_job(self, worker: str) -> str:
        return f"{self._root}.stop.{worker}"

    @property
    def situation(self) -> str:
        """The scheduler that leads answers here what may keep jobs waiting."""
        return f"{self._root}.situation"

    @property
    def client_beat(self) -> str:
        return f"{self._root}.client"

    def host(self, host: str) -> str:
        return f"{self._root}.host.{host}"

    def stream_subjects(self) -> dict[str, list[str]]:
        """Each stream's subjects."""
        root = self._root
        return {
            self.runs: [f"{root}.run.>", f"{root}.settled.>"],
            self.jobs: [
                f"{root}.job.>",
                f"{root}.keep.>",
                f"{root}.holder.>",
                f"{root}.slot.>",
                f"{root}.barrier",
            ],
            self.work: [f"{root}.work.>"],
            self.blobs: [f"{root}.blob.>"],
            self.output: [f"{root}.out.>", f"{root}.aside.>"],
        }
