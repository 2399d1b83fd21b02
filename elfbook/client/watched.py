"""A run as one process sees it: its log folded and its output gathered while both grow."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from elfbook.errors import ElfbookError, MyceliumError
from elfbook.log.fold import RunState, fold
from elfbook.model import Graph, Manifest, Output, Revision, ValueRef
from elfbook.store.follow import Follower
from elfbook.store.link import Unanswered
from elfbook.store.mycelium import Mycelium
from elfbook.wire import decode, unseal


@dataclass(eq=False)
class Watched:
    """A run as this process sees it, kept current by tasks of the client's loop."""

    mycelium: Mycelium
    manifest: Manifest
    graph: Graph
    revisions: dict[str, Revision]
    state: RunState
    outputs: dict[int, list[Output]] = field(default_factory=dict)
    version: int = 0
    """Grows with every change of `state` or `outputs`."""
    error: Exception | None = None
    """Why watching ended early; None while all is well."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task] = field(default_factory=list)

    @property
    def run(self) -> str:
        return self.manifest.run

    def begin(self) -> None:
        """Follow the run until it has settled; does nothing while it is followed already."""
        if not self._tasks:
            follow = asyncio.create_task
            self._tasks = [
                follow(self._follow(self.mycelium.follow_run(self.run), self._take_facts)),
                follow(self._follow(self.mycelium.follow_outputs(self.run), self._take_outputs)),
                follow(self._until_over()),
            ]

    async def _until_over(self) -> None:
        """A settled run needs no followers: a server has room for a thousand of them."""
        while not self.state.settled:
            await self._changed.wait()
        with contextlib.suppress(MyceliumError, Unanswered):
            await self.complete_outputs()
        _, followers = self._tasks.pop(), self._tasks
        self._tasks = []
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        if not self.state.settled:
            self.begin()  # it was opened again meanwhile

    async def _follow(self, follower: Follower, take) -> None:
        try:
            async for batch in follower.batches():
                for entry in batch:
                    take(entry)
                self._note_change()
        except (ElfbookError, Unanswered) as error:
            self.error = error
            self._note_change()

    def _take_facts(self, entry) -> None:
        _, stored = self.mycelium.stored(entry)
        fold(self.state, stored)

    def _take_outputs(self, entry) -> None:
        for output in decode(entry.data, tuple[Output, ...]):
            self.outputs.setdefault(output.job, []).append(output)

    def _note_change(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self, version: int) -> int:
        """The version once it is another than `version`."""
        while self.version == version:
            await self._changed.wait()
        return self.version

    async def settled(self) -> None:
        """Returns once every job has ended; raises what keeps this process from knowing."""
        while not self.state.settled:
            if self.error is not None:
                raise self.error
            await self._changed.wait()

    async def catch_up(self) -> None:
        """Holds afterwards: everything stored up to now is in `state` and `outputs`."""
        names = self.mycelium.names
        async for entry in self.mycelium.read(names.jobs, names.jobs_of(self.run)):
            self._take_facts(entry)
        await self.complete_outputs()
        if not self.state.settled:
            self.begin()

    async def complete_outputs(self) -> None:
        """Holds afterwards: `outputs` has everything stored up to now."""
        outputs: dict[int, list[Output]] = {}
        names = self.mycelium.names
        async for entry in self.mycelium.read(names.output, names.outputs_of(self.run)):
            for output in decode(entry.data, tuple[Output, ...]):
                outputs.setdefault(output.job, []).append(output)
        if outputs != self.outputs:
            self.outputs.update(outputs)
            self._note_change()

    async def learn(self, digest: str, ref: ValueRef) -> None:
        """Have the revision of that digest among `revisions`."""
        if digest not in self.revisions:
            self.revisions[digest] = await read_revision(self.mycelium, digest, ref)

    async def close(self) -> None:
        """Stop watching; the run goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def read_revision(mycelium: Mycelium, digest: str, ref: ValueRef) -> Revision:
    """A stored revision; Untrusted unless it is signed with this mycelium's key."""
    return decode(unseal(await mycelium.fetch(ref), mycelium.key, f"code {digest[:12]}"), Revision)
