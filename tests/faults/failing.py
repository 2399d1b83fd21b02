"""A worker that kills itself at a chosen point: `failing.py accept|record …workerprocess arguments`."""

from __future__ import annotations

import os
import signal
import sys

from elfbook.facts import Succeeded
from elfbook.store.follow import Taker
from elfbook.store.mycelium import Mycelium
from elfbook.work import workerprocess


def die(*_given: object, **_words: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    point = sys.argv.pop(1)
    if point == "accept":
        Taker.accept = die
    else:
        record = Mycelium.record

        def dying(mycelium: Mycelium, run: str, job: int, event: object, *rest: object, **words: object):
            if isinstance(event, Succeeded):
                die()
            return record(mycelium, run, job, event, *rest, **words)

        Mycelium.record = dying
        Mycelium.end_lots = die
    return workerprocess.main()


if __name__ == "__main__":
    sys.exit(main())
