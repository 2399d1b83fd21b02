"""The scheduler's process: `python -m elfbook.host.schedulerprocess`, started by the host."""

from __future__ import annotations

import asyncio
import sys

from elfbook.host.scheduler import Scheduler
from elfbook.store.mycelium import Mycelium
from elfbook.work.processes import child_arguments, main_of, place_of, until_stopped


async def schedule(mycelium: Mycelium, stop: asyncio.Event) -> None:
    await Scheduler(mycelium).run(stop)


def main(argv: list[str] | None = None) -> int:
    args = child_arguments("elfbook scheduler").parse_args(argv)
    return main_of(until_stopped(place_of(args), args.name, schedule, parent=args.parent))


if __name__ == "__main__":
    sys.exit(main())
