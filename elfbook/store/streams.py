"""The streams of one mycelium: how each is made, how far it has come, and the store's epoch.

RUNS, JOBS and BLOBS are the truth. They are made together, once; when one of them is missing
later, an empty one in its place would say that nothing had happened, so that is refused. OUTPUT
and WORK are made again whenever they are missing: nothing is decided by what is in them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from elfbook.errors import StoreRegressed
from elfbook.store.answers import NOT_FOUND, TOO_MUCH
from elfbook.store.link import Link, Refused
from elfbook.store.marks import Mark
from elfbook.wire import Names

EXISTS = 10058
NO_PEERS = 10005
"""What a cluster says when none of its servers has so much room."""
NO_STREAM = 10059
OUTPUT_BYTES = tuple(size * 1024 * 1024 for size in (2048, 256, 32, 4))
"""At most so much output is kept: as much of the first as the server has disk for."""
OUTPUT_AGE_S = 30 * 24 * 3600
NANO = 1_000_000_000
EPOCH = "elfbook.epoch"
"""Key in the metadata of JOBS."""
OWN_METADATA = "_nats."
"""What the server notes of itself; it refuses to be told."""
GONE = (
    "Somebody has deleted it, or its files are gone. Bring back a copy of the whole store, or begin anew: "
    "%elf down, then move the folder `store` of the state directory away  (elfbook status  names it)"
)


@dataclass(eq=False)
class Streams:
    """What a mycelium has on its server."""

    link: Link
    names: Names
    atomic: bool
    """False on servers before 2.12.1, which know no atomic batches."""

    @property
    def truth(self) -> tuple[str, ...]:
        """The streams that are never trimmed and never made twice."""
        return (self.names.runs, self.names.jobs, self.names.blobs)

    async def ensure(self) -> None:
        """Holds afterwards: all five exist. StoreRegressed when one that is the truth is gone."""
        names = self.names
        all_five = (*self.truth, names.output, names.work)
        found = dict(zip(all_five, await asyncio.gather(*map(self._facts, all_five)), strict=True))
        missing = [stream for stream in self.truth if found[stream] is None]
        used = {s: found[s]["state"]["last_seq"] for s in self.truth if found[s] is not None}
        if missing and any(used.values()):
            there = " and ".join(f"{stream} has {last}" for stream, last in used.items() if last)
            raise StoreRegressed(
                f"the store has lost all of {' and '.join(missing)} ({there} records)", hint=GONE
            )
        for stream in missing:
            await self._create(stream, self._config(stream))
        for facts in found.values():
            if facts is not None:
                await self._complete(facts["config"])
        if found[names.output] is None:
            await self.ensure_output()
        if found[names.work] is None:
            await self.ensure_work()

    async def mend(self) -> None:
        """OUTPUT and WORK exist again, if somebody has deleted them: nothing is decided by either."""
        if await self._facts(self.names.output) is None:
            await self.ensure_output()
        if await self._facts(self.names.work) is None:
            await self.ensure_work()

    async def ensure_work(self) -> None:
        """The work queue exists; it has to be made anew after each server restart."""
        await self._create(self.names.work, self._config(self.names.work))

    async def ensure_output(self) -> None:
        """OUTPUT exists. The server sets its limit aside, so on a disk that is nearly full it is lower."""
        for limit in OUTPUT_BYTES:
            try:
                await self._create(self.names.output, self._config(self.names.output) | {"max_bytes": limit})
                return
            except Refused as error:
                if error.code not in {*TOO_MUCH, NO_PEERS} or limit == OUTPUT_BYTES[-1]:
                    raise

    def _config(self, stream: str) -> dict[str, object]:
        names = self.names
        config: dict[str, object] = {
            "name": stream,
            "subjects": names.stream_subjects()[stream],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": 1,
            "allow_direct": stream in (names.blobs, names.output),
        }
        if stream == names.work:
            return config | {
                "storage": "memory",
                "retention": "workqueue",
                "max_msgs_per_subject": 1,
                "discard_new_per_subject": True,
            }
        if stream == names.output:
            return config | {"discard": "old", "max_age": OUTPUT_AGE_S * NANO}
        if stream == names.jobs:
            config["metadata"] = {EPOCH: str(int(time.time()))}
        return config | ({"allow_atomic": True} if self.atomic else {})

    async def _create(self, stream: str, config: dict[str, object]) -> None:
        try:
            await self.link.api(f"STREAM.CREATE.{stream}", config)
        except Refused as error:
            if error.code != EXISTS:
                raise

    async def _complete(self, config: dict) -> None:
        """Give a stream that an earlier elfbook made what this one needs of it besides."""
        wanted = self._config(config["name"])
        subjects = [s for s in wanted["subjects"] if s not in config["subjects"]]
        metadata = {} if EPOCH in (config.get("metadata") or {}) else wanted.get("metadata", {})
        if subjects or metadata:
            await self._update(config, subjects, metadata)

    async def _update(self, config: dict, subjects: list[str], metadata: dict[str, str]) -> None:
        kept = {
            key: value
            for key, value in (config.get("metadata") or {}).items()
            if not key.startswith(OWN_METADATA)
        }
        changed = config | {"subjects": config["subjects"] + subjects, "metadata": kept | metadata}
        await self.link.api(f"STREAM.UPDATE.{config['name']}", changed)

    async def _facts(self, stream: str) -> dict | None:
        """What the server says of a stream; None when there is none."""
        try:
            return await self.link.api(f"STREAM.INFO.{stream}")
        except Refused as error:
            if error.code in NOT_FOUND:
                return None
            raise

    async def marks(self) -> dict[str, Mark]:
        """How far each of the streams that are never trimmed has come; without those that are gone."""
        marks = {}
        for stream in self.truth:
            if (facts := await self._facts(stream)) is not None:
                state = facts["state"]
                marks[stream] = Mark(
                    created=facts["created"], last=state["last_seq"], messages=state["messages"]
                )
        return marks

    async def holes(self, stream: str) -> list[int]:
        """The sequences up to its newest that a stream does not have."""
        facts = await self.link.api(f"STREAM.INFO.{stream}", {"deleted_details": True})
        state = facts["state"]
        return [*range(1, state["first_seq"]), *(state.get("deleted") or ())] if state["last_seq"] else []

    # ------------------------------------------------------------------ epoch

    async def epoch(self) -> int:
        """The store's epoch; 0 when JOBS is gone."""
        facts = await self._facts(self.names.jobs)
        return epoch_in(facts["config"]) if facts else 0

    async def renew_epoch(self, above: int) -> int:
        """Give the store a new epoch, larger than its own and than `above`; gives that."""
        facts = await self.link.api(f"STREAM.INFO.{self.names.jobs}")
        fresh = max(above + 1, epoch_in(facts["config"]) + 1, int(time.time()))
        await self._update(facts["config"], [], {EPOCH: str(fresh)})
        return fresh


def epoch_in(config: dict) -> int:
    text = (config.get("metadata") or {}).get(EPOCH, "")
    return int(text) if text.isdecimal() else 0
