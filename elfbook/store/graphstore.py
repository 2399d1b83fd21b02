"""A run's graph in the store: inside the manifest when small, as signed parts when large."""

from __future__ import annotations

import msgspec

from elfbook.model import INLINE_LIMIT, Graph, JobSpec, Manifest, Struct, ValueRef
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode, encode, seal, unseal

JOBS_A_PART = 2000


class GraphPart(Struct, frozen=True):
    """Some of a graph's jobs, in order."""

    jobs: tuple[JobSpec, ...]


async def store_graph(mycelium: Mycelium, manifest: Manifest, graph: Graph) -> Manifest:
    """The manifest with its graph, or with references to its stored parts."""
    if len(encode(graph)) <= INLINE_LIMIT:
        return msgspec.structs.replace(manifest, graph=graph)
    refs: list[ValueRef] = []
    for start in range(0, len(graph.jobs), JOBS_A_PART):
        part = encode(GraphPart(jobs=graph.jobs[start : start + JOBS_A_PART]))
        refs.append(await mycelium.put([seal(part, mycelium.key)], inline=False))
    head = encode(msgspec.structs.replace(graph, jobs=()))
    refs.append(await mycelium.put([seal(head, mycelium.key)], inline=False))
    return msgspec.structs.replace(manifest, parts=tuple(refs))


async def graph_of(mycelium: Mycelium, manifest: Manifest) -> Graph:
    """The run's graph, checked; Untrusted unless it is signed with this mycelium's key."""
    if manifest.graph is not None:
        return manifest.graph
    what = f"the graph of flow {manifest.flow}"
    *parts, head = [unseal(await mycelium.fetch(ref), mycelium.key, what) for ref in manifest.parts]
    jobs = tuple(job for part in parts for job in decode(part, GraphPart).jobs)
    return msgspec.structs.replace(decode(head, Graph), jobs=jobs)
