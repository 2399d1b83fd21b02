"""A worker's process: started by the host, or by a person with `elfbook worker`."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from elfbook.store.mycelium import Mycelium
from elfbook.store.place import Place
from elfbook.store.server import inherited
from elfbook.work.kernel import Kernel
from elfbook.work.processes import child_arguments, main_of, place_of, until_stopped
from elfbook.work.worker import Worker


async def work_for(  # noqa: PLR0913 (keywords, each a flag of `elfbook worker`)
    place: Place,
    name: str,
    *,
    kernel: str = "python3",
    pool: str = "main",
    elf: Sequence[str] = (),
    runtime: Path | None = None,
    parent: bool = False,
) -> None:
    """Serve as the worker `name` until stopped; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="elf-", dir=runtime))
    environment, cellar = inherited(dict(os.environ)), place.values / name
    # A kernel takes longest to start, and needs no mycelium for that.
    first = Kernel(
        spec=kernel, folder=folder, key=place.key(), worker=name, environment=environment, values=cellar
    )
    first.begin()

    async def work(mycelium: Mycelium, stop: asyncio.Event) -> None:
        worker = Worker(
            mycelium=mycelium,
            name=name,
            host=socket.gethostname(),
            folder=folder,
            cellar=cellar,
            spec=kernel,
            pool=pool,
            only=tuple(elf),
            environment=environment,
            first_kernel=first,
        )
        await worker.run(stop)

    try:
        await until_stopped(place, name, work, parent=parent)
    finally:
        await first.stop()  # the worker has done so, if it came to be one
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(cellar, ignore_errors=True)


def run_worker(place: Place, *, elf: Sequence[str] = (), kernel: str = "python3", pool: str = "main") -> int:
    """Serve in the foreground until Ctrl-C or SIGTERM; the exit code."""
    name = f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{os.urandom(2).hex()}"
    return main_of(work_for(place, name, kernel=kernel, pool=pool, elf=elf), watched=True)


def main(argv: list[str] | None = None) -> int:
    parser = child_arguments("elfbook worker")
    parser.add_argument("--kernel", default="python3")
    parser.add_argument("--pool", default="main")
    parser.add_argument("--elf", action="append", default=[])
    parser.add_argument("--runtime", type=Path)
    args = parser.parse_args(argv)
    return main_of(
        work_for(
            place_of(args),
            args.name,
            kernel=args.kernel,
            pool=args.pool,
            elf=args.elf,
            runtime=args.runtime,
            parent=args.parent,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
