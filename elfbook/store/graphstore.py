"""A run's graph in the store: inside the manifest when small, as signed parts when large."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec

from elfbook.model import INLINE_LIMIT, Graph, JobSpec, Manifest, Struct, ValueRef
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode, digest_of, encode, seal, unseal

JOBS_A_PART = 2000
AT_ONCE = 8
"""Parts under way at the same time."""


class GraphPart(Struct, frozen=True):
    """Some of a graph's jobs, in order."""

    jobs: tuple[JobSpec, ...]


class Written(NamedTuple):
    """A graph as it is stored."""

    head: bytes
    """All but the jobs; all of it where there are no parts."""
    parts: tuple[bytes, ...] = ()

    @property
    def digest(self) -> str:
        """Tells graphs apart."""
        return digest_of(self.head, *self.parts)


def written(graph: Graph) -> Written:
    """The graph encoded, in parts of some thousand jobs where it is large."""
    if len(graph.jobs) <= JOBS_A_PART:
        whole = encode(graph)
        if len(whole) <= INLINE_LIMIT:
            return Written(whole)
    parts = [graph.jobs[start : start + JOBS_A_PART] for start in range(0, len(graph.jobs), JOBS_A_PART)]
    head = encode(msgspec.structs.replace(graph, jobs=()))
    return Written(head, tuple(encode(GraphPart(jobs=part)) for part in parts))


async def store_graph(mycelium: Mycelium, manifest: Manifest, graph: Graph, form: Written) -> Manifest:
    """The manifest with its graph, or with references to its stored parts."""
    if not form.parts:
        return msgspec.structs.replace(manifest, graph=graph)
    turn = asyncio.Semaphore(AT_ONCE)

    async def put(part: bytes) -> ValueRef:
        async with turn:
            return await mycelium.put([seal(part, mycelium.key)], inline=False)

    refs = await asyncio.gather(*map(put, [*form.parts, form.head]))
    return msgspec.structs.replace(manifest, parts=tuple(refs))


async def graph_of(mycelium: Mycelium, manifest: Manifest) -> Graph:
    """The run's graph, checked; Untrusted unless it is signed with this mycelium's key."""
    if manifest.graph is not None:
        return manifest.graph
    what = f"the graph of flow {manifest.flow}"
    jobs: list[JobSpec] = []
    body = b""
    for start in range(0, len(manifest.parts), AT_ONCE):
        refs = manifest.parts[start : start + AT_ONCE]
        for data in await asyncio.gather(*map(mycelium.fetch, refs)):
            if body:  # the one before: the last part is the head
                jobs += decode(body, GraphPart).jobs
            body = unseal(data, mycelium.key, what)
    return msgspec.structs.replace(decode(body, Graph), jobs=tuple(jobs))
