"""What a job needs, brought to its worker: code, parents' values, large literals."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from elfbook.errors import StoreCorrupt
from elfbook.model import Dispatch, ElfUse, LotOffer, Revision, ValueRef
from elfbook.store.blobs import CHUNK
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode, unseal
from elfbook.work.kernel import Job

CELLAR_BYTES = 2 * 1024 * 1024 * 1024
REVISIONS_KEPT = 256


@dataclass(eq=False)
class Cellar:
    """Large values of one worker as files, by hash; the least recently used go first."""

    folder: Path
    limit: int = CELLAR_BYTES
    _sizes: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for stale in self.folder.iterdir():
            stale.unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        return self.folder / digest

    async def bring(self, mycelium: Mycelium, ref: ValueRef) -> str:
        """The path of a file that holds the value, fetched and checked if it is not here yet."""
        path = self.path(ref.digest)
        if ref.digest in self._sizes and path.exists():
            self._sizes.move_to_end(ref.digest)
            return str(path)
        draft = self.folder / f"{ref.digest}.{os.urandom(4).hex()}"  # two jobs may want it at once
        try:
            shelf = mycelium.shelf_for(ref.size)
            if not (shelf and await asyncio.to_thread(shelf.lend, ref.digest, ref.size, draft)):
                with open(draft, "xb") as file:
                    async for chunk in (await mycelium.blobs()).stream(ref.digest, ref.size):
                        file.write(chunk)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        self._note(ref.digest, ref.size)
        return str(path)

    def adopt(self, made: Path, digest: str, size: int) -> Path:
        """Keep a file that was just made here as the value of that hash; gives where it is from now on."""
        os.replace(made, self.path(digest))
        self._note(digest, size)
        return self.path(digest)

    def _note(self, digest: str, size: int) -> None:
        self._sizes[digest] = size
        while len(self._sizes) > 1 and sum(self._sizes.values()) > self.limit:
            gone, _ = self._sizes.popitem(last=False)
            self.path(gone).unlink(missing_ok=True)


def chunks_of(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@dataclass(eq=False)
class Parcels:
    """Turns dispatches into jobs that the kernel can run without asking back."""

    mycelium: Mycelium
    cellar: Cellar
    _revisions: OrderedDict[str, Revision] = field(default_factory=OrderedDict)

    async def revision(self, dispatch: Dispatch) -> Revision:
        """The job's code; Untrusted unless it is signed with this mycelium's key."""
        digest = dispatch.elf.revision
        if digest not in self._revisions:
            sealed = await self.mycelium.fetch(dispatch.code)
            body = unseal(sealed, self.mycelium.key, f"the code of {dispatch.elf.elf}")
            revision = decode(body, Revision)
            if revision.digest != digest:
                raise StoreCorrupt(f"the code of {dispatch.elf.elf} is not the revision it should be")
            self._revisions[digest] = revision
            while len(self._revisions) > REVISIONS_KEPT:
                self._revisions.popitem(last=False)
        return self._revisions[digest]

    async def lesson(self, revision: Revision) -> tuple[dict, list[bytes]]:
        """The revision as the kernel learns it: plain data, and its small captures as bytes."""
        plain = plain_revision(revision)
        parts = []
        for capture, told in zip(revision.captures, plain["captures"], strict=True):
            if capture.value.inline is not None:
                parts.append(capture.value.inline)
            else:
                told["path"] = await self.cellar.bring(self.mycelium, capture.value)
        return plain, parts

    async def inputs(self, dispatch: Dispatch) -> tuple[tuple[int, ValueRef], ...]:
        if dispatch.bundle is None:
            return dispatch.inputs
        data = await self.mycelium.fetch(dispatch.bundle)
        return msgspec.msgpack.decode(data, type=tuple[tuple[int, ValueRef], ...])

    def simple(self, dispatch: Dispatch) -> bool:
        """True when nothing has to be fetched for the job."""
        return (
            dispatch.elf.revision in self._revisions
            and dispatch.bundle is None
            and not dispatch.blobs
            and all(ref.inline is not None for _, ref in dispatch.inputs)
        )

    async def job(self, token: str, dispatch: Dispatch, fence: tuple[int, int]) -> Job:
        """The call with everything it needs; blobs are files in the cellar."""
        revision = await self.revision(dispatch)
        paths = {ref.digest: await self.cellar.bring(self.mycelium, ref) for ref in dispatch.blobs}
        inputs = await self.inputs(dispatch)
        for _, ref in inputs:
            if ref.inline is None:
                paths[ref.digest] = await self.cellar.bring(self.mycelium, ref)
        return build(token, dispatch, revision, inputs, paths, fence)

    async def lot(self, offer: LotOffer, tokens: list[str], fence: tuple[int, int]) -> list[Job]:
        """The jobs of a lot, for which nothing but their code has to be fetched."""
        revision = await self.revision(offer.dispatch(offer.jobs[0]))
        shared = header_of(offer.elf, offer.task, revision, fence) | {"blobs": {}, "kept": False}
        jobs = []
        for token, each in zip(tokens, offer.jobs, strict=True):
            parts = (each.arguments, offer.elf.arguments, *(ref.inline for _, ref in each.inputs))
            header = {"token": token, "inputs": [(parent, None) for parent, _ in each.inputs]}
            jobs.append(Job(token, header | {"parts": len(parts)}, parts, shared))
        return jobs

    def job_at_once(self, token: str, dispatch: Dispatch, fence: tuple[int, int]) -> Job:
        """As `job`, for a `simple` dispatch."""
        revision = self._revisions[dispatch.elf.revision]
        return build(token, dispatch, revision, dispatch.inputs, {}, fence)


def build(
    token: str,
    dispatch: Dispatch,
    revision: Revision,
    inputs: tuple[tuple[int, ValueRef], ...],
    paths: dict[str, str],
    fence: tuple[int, int],
) -> Job:
    """The call, for a kernel that has the elf if it has a name; otherwise see `keeping`."""
    parts = [dispatch.arguments, dispatch.elf.arguments]
    places: list[tuple[int, str | None]] = []
    for parent, ref in inputs:
        if ref.inline is not None:
            parts.append(ref.inline)
            places.append((parent, None))
        else:
            places.append((parent, paths[ref.digest]))
    header = header_of(dispatch.elf, dispatch.task, revision, fence) | {
        "token": token,
        "inputs": places,
        "blobs": {ref.digest: paths[ref.digest] for ref in dispatch.blobs},
        "kept": False,
        "parts": len(parts),
    }
    return Job(token, header, tuple(parts))


def keeping(job: Job, kept: bytes | None) -> Job:
    """The same for a kernel that does not have its elf: it is made from what it has kept, if anything."""
    if kept is None:
        return job
    header = job.header | {"kept": True, "parts": len(job.parts) + 1}
    return Job(job.token, header, (*job.parts, kept), job.shared)


def header_of(use: ElfUse, task: str, revision: Revision, fence: tuple[int, int]) -> dict:
    """What to call, and in whose name."""
    return {
        "task": task,
        "elf": {"elf": use.elf, "revision": use.revision, "name": use.name},
        "outputs": next((each.outputs for each in revision.tasks if each.name == task), None),
        "fence": fence,
    }


def plain_revision(revision: Revision) -> dict:
    """A revision as JSON-ready data, captures without their values."""
    return {
        "digest": revision.digest,
        "elf": revision.elf,
        "module": revision.module,
        "pieces": [msgspec.structs.asdict(piece) for piece in revision.pieces],
        "captures": [{"name": capture.name, "module": capture.module} for capture in revision.captures],
    }
