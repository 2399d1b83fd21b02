"""What the host notices of its store, on a real server whose files and records are tampered with."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from elfbook.facts import Claimed
from elfbook.host.storekeeper import Storekeeper
from elfbook.model import Manifest, Origin, Settled
from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place, read_json
from elfbook.store.server import ensure_server, stop_server

JOBS = 30


@dataclass
class Kept:
    """A place with a server of its own, and its keeper."""

    place: Place
    mycelium: Mycelium
    keeper: Storekeeper

    async def add(self, flow: str, number: int, expect: int = 0) -> list[int]:
        """A run with two records for each of its jobs; gives their sequences."""
        manifest = Manifest(
            flow=flow, number=number, key="k", jobs=JOBS, nonce="n", origin=Origin(), submitted_at=1.0, revisions={}
        )
        await self.mycelium.add_run(manifest, expect)
        seqs = []
        for _ in range(2):
            over = seqs[-JOBS:] or [0] * JOBS
            event = Claimed("n" * 200, 1, "worker-1")
            writes = [self.mycelium.record(manifest.run, job, event, over[job]) for job in range(JOBS)]
            seqs += await asyncio.gather(*writes)
        return seqs

    async def restarted(self) -> Storekeeper:
        """The server with whatever is in its folder now, looked at by another host."""
        await self.mycelium.close()
        await asyncio.to_thread(ensure_server, self.place, mode="fast")
        self.mycelium = await Mycelium.open(self.place.address(), key=self.place.key())
        self.keeper = Storekeeper(self.place, self.mycelium, lambda: None)
        await self.keeper.begin()
        return self.keeper

    @property
    def blocks(self) -> list[Path]:
        return sorted(self.place.store.glob(f"**/{self.mycelium.names.jobs}/msgs/*.blk"))


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    place = Place(tmp_path / "state")
    ensure_server(place, mode="fast")
    mycelium = await Mycelium.open(place.address(), key=place.key())
    made = Kept(place, mycelium, Storekeeper(place, mycelium, lambda: None))
    await made.keeper.begin()
    yield made
    await made.mycelium.close()
    await asyncio.to_thread(stop_server, place)


async def test_a_store_that_only_grows_has_lost_nothing(kept: Kept) -> None:
    for number in (1, 2):
        await kept.add("crawl", number, number - 1)
        await kept.keeper.compare()
    await kept.mycelium.note_settled(Settled(run="crawl.1", counts={"done": JOBS}))
    await kept.mycelium.barrier()
    await kept.keeper.compare()
    assert (await kept.restarted()).losses == []
    marks = read_json(kept.place.marks_file)["runs"]
    assert [(run, mark.get("settled", False)) for run, mark in marks.items()] == [("crawl.1", True), ("crawl.2", False)]
    assert [mark["last"] for mark in marks.values()] == [2 * JOBS, 4 * JOBS]


async def test_a_record_that_is_gone_is_named_with_its_job(kept: Kept) -> None:
    seqs = await kept.add("crawl", 1)
    await kept.keeper.compare()
    epoch = kept.mycelium.epoch
    for job in (3, 7):
        await kept.mycelium.link.api(f"STREAM.MSG.DELETE.{kept.mycelium.names.jobs}", {"seq": seqs[job]})
    await kept.keeper.compare()
    assert kept.keeper.losses == [
        f"{kept.mycelium.names.jobs} has 2 records less than it had written",
        f"job 3 of crawl.1 has lost its record {seqs[3]}",
        f"job 7 of crawl.1 has lost its record {seqs[7]}",
    ]
    assert kept.mycelium.epoch > epoch
    await kept.keeper.compare()
    assert len(kept.keeper.losses) == 3, "said once"
    assert len((await kept.restarted()).losses) == 3, "until somebody knows"
    kept.place.losses_file.unlink()
    assert (await kept.restarted()).losses == []


async def test_a_copy_of_yesterday_names_the_runs_that_it_does_not_have(kept: Kept, tmp_path: Path) -> None:
    await kept.add("crawl", 1)
    await asyncio.to_thread(stop_server, kept.place)
    shutil.copytree(kept.place.store, tmp_path / "copy")
    await asyncio.to_thread(ensure_server, kept.place, mode="fast")
    await kept.restarted()
    await kept.add("party", 1)
    await kept.keeper.compare()
    epoch = kept.mycelium.epoch
    await asyncio.to_thread(stop_server, kept.place)
    shutil.rmtree(kept.place.store)
    (tmp_path / "copy").rename(kept.place.store)
    losses = (await kept.restarted()).losses
    assert any(f"it was at {4 * JOBS} and is at {2 * JOBS} now" in line for line in losses)
    assert "among what is gone are runs: party.1" in losses
    assert "among what is gone are the newest records of runs: party.1" in losses
    assert kept.mycelium.epoch > epoch


@pytest.mark.parametrize("how", ["flipped", "cut", "removed"])
async def test_a_damaged_file_is_noticed_and_its_run_named(kept: Kept, how: str) -> None:
    await kept.add("crawl", 1)
    await kept.add("party", 1)
    await kept.keeper.compare()
    await asyncio.to_thread(stop_server, kept.place)
    block = kept.blocks[0]
    data = bytearray(block.read_bytes())
    half = len(data) // 2
    if how == "removed":
        block.unlink()
    else:
        data[half] ^= 1
        block.write_bytes(bytes(data if how == "flipped" else data[:half]))
    for index in block.parent.glob("index.db"):
        index.unlink()  # it may say what was there; what counts is what can be read
    losses = (await kept.restarted()).losses
    assert any(line.startswith(kept.mycelium.names.jobs) for line in losses)
    assert any("party.1" in line for line in losses), losses
