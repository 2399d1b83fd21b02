"""The scheduler's process: `python -m elfbook.host.schedulerprocess`, started by the host."""

from __future__ import annotations

import asyncio
import os
import sys

from elfbook.host.scheduler import Scheduler
from elfbook.host.snapshots import Snapshots
from elfbook.store.mycelium import Mycelium
from elfbook.work.processes import child_arguments, life_of, main_of, place_of, until_stopped


def main(argv: list[str] | None = None) -> int:
    args = child_arguments("elfbook scheduler").parse_args(argv)
    place = place_of(args)

    async def schedule(mycelium: Mycelium, stop: asyncio.Event) -> None:
        await Scheduler(mycelium, Snapshots(place.state_dir / "snapshots"), life_of(os.getpid())).run(stop)

    return main_of(until_stopped(place, args.name, schedule, parent=args.parent))


if __name__ == "__main__":
    sys.exit(main())
