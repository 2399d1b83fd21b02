"""Faults: each is let loose on a real mycelium, and what must hold afterwards is checked.

    python tests/faults/run.py                   all of them, as a table
    python tests/faults/run.py --only 1,4,16     some of them
    python tests/faults/run.py --quick           those that the ordinary tests run
    python tests/faults/run.py --markdown        as the table of docs/faults.md

Exit code 1 when something that must hold did not. A fault that this machine cannot produce is
listed with the reason. tests/faults/checker.py has the seven points that are checked after each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import sys
import textwrap
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ground import Broken, Ground, NotHere, fresh
from table import FAULTS, Fault

FAMILIES = (
    "of_workers",
    "of_clients",
    "of_servers",
    "of_power",
    "of_stores",
    "of_networks",
    "of_messages",
    "of_clocks",
    "of_crowds",
    "of_all_sorts",
)
LIMIT_S = 900.0


@dataclass
class Row:
    """What came of one fault."""

    number: str
    name: str
    done: str
    outcome: str
    """`held`, `broken`, or `not here`."""
    seen: str
    seconds: float

    def markdown(self) -> str:
        """A row of docs/faults.md."""
        fault, seen = FAULTS.get(self.number, LEFT), " ".join(self.seen.split())
        outcome = {"held": "", "broken": "**broken** ", "not here": "*not here:* "}[self.outcome]
        return f"{fault.row()} {outcome}{seen} |"

    def line(self) -> str:
        head = f"{self.number:>3}  {self.outcome:<8} {self.seconds:6.1f} s  {self.name}"
        wide = textwrap.wrap(f"{self.done}: {self.seen}", 100) if self.outcome != "broken" else []
        rest = self.seen.splitlines() if self.outcome == "broken" else wide
        return "\n".join([head, *(" " * 24 + each for each in rest)])


async def let_loose(fault: Fault, ground: Ground, *, patient: bool = True) -> Row:
    """One fault on the ground, then the checker; leftovers may be left for later by the impatient."""
    began = time.monotonic()
    outcome, seen = "held", ""
    try:
        async with asyncio.timeout(LIMIT_S):
            seen = await fault.act(ground)
            if not ground.ruined:
                if ground.workers:
                    await ground.tree.whole(ground.workers)  # what was killed last may still be away
                await ground.checked(quiet=patient)
    except NotHere as reason:
        outcome, seen = "not here", str(reason)
    except Broken as error:
        outcome, seen = "broken", str(error)
    except Exception:
        outcome, seen = "broken", traceback.format_exc()
    return Row(fault.number, fault.name, fault.done, outcome, seen, time.monotonic() - began)


async def _nothing(_: Ground) -> str:
    return "no offers, no claims, no deserted consumers"


LEFT = Fault(
    "end", "what all of these left over", "wait until the server has had its time", "", _nothing, workers=2
)


async def rows(faults: Iterable[Fault], *, patient: bool) -> AsyncIterator[Row]:
    """What came of each; those that harm nobody else share a mycelium, which is made anew after a break.

    An offer whose holder died comes back after 30 s. The impatient look once, at the end, for what is
    left over of all of them.
    """
    async with contextlib.AsyncExitStack() as stack:
        shared = None
        for fault in faults:
            if fault.own:
                try:
                    async with fresh(fault.workers) as ground:
                        row = await let_loose(fault, ground)
                except Exception:  # also what is still there when all of it should have ended
                    row = Row(fault.number, fault.name, fault.done, "broken", traceback.format_exc(), 0.0)
                yield row
                continue
            if shared is None:
                shared = await stack.enter_async_context(fresh())
            yield (row := await let_loose(fault, shared, patient=patient))
            if row.outcome == "broken":
                with contextlib.suppress(AssertionError):  # the fault that broke left something
                    await stack.aclose()
                shared = None
        if shared is not None and not patient:
            yield await let_loose(LEFT, shared)


def chosen(given: argparse.Namespace) -> list[Fault]:
    for family in FAMILIES:
        importlib.import_module(family)
    faults = sorted(FAULTS.values(), key=lambda fault: fault.order)
    if given.only:
        wanted = given.only.split(",")
        if unknown := set(wanted) - set(FAULTS):
            sys.exit(
                f"there are no faults called {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}"
            )
        return [fault for fault in faults if fault.number in wanted]
    return [fault for fault in faults if fault.quick or not given.quick]


async def show(faults: list[Fault], given: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    async for row in rows(faults, patient=not given.quick):
        counts[row.outcome] += 1
        words = json.dumps(asdict(row)) if given.json else row.markdown() if given.markdown else row.line()
        print(words, flush=True)
    if not given.json:
        print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    return 1 if counts["broken"] else 0


def main() -> int:
    """Parse, run, print."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--only", metavar="NUMBERS", help="such as 1,4,16")
    parser.add_argument("--quick", action="store_true", help="those that the ordinary tests run")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--list", action="store_true", help="say what there is and do nothing")
    parser.add_argument("--markdown", action="store_true", help="rows of Markdown, as in docs/faults.md")
    given = parser.parse_args()
    faults = chosen(given)
    if given.list:
        for fault in faults:
            print(fault.row() if given.markdown else f"{fault.number:>3}  {fault.name}")
        return 0
    return asyncio.run(show(faults, given))


if __name__ == "__main__":
    sys.exit(main())
