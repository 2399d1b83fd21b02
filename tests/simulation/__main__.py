"""Many histories, one after the other:  python -m tests.simulation --seeds 1000

Each seed is one history (tests/simulation/history.py), the same each time. A history in which a
guarantee does not hold is printed with the command that repeats it:

    python -m tests.simulation --seed 4711 --lines 200

Ends with exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from tests.simulation.history import Told, tell


def show(told: Told) -> None:
    for line in told.lines:
        print(line)
    print(f"seed {told.seed}: {told.facts.total()} facts, {told.steps} steps, digest {told.digest[:16]}")
    for wrong in told.wrongs:
        print(f"    {wrong}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate histories.")
    parser.add_argument("--seeds", type=int, default=100, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--lines", type=int, default=0, help="show so many of the last things that happened")
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="seeds to leave out")
    parser.add_argument("--until-failure", action="store_true", help="end at the first that fails")
    args = parser.parse_args(argv)
    seeds = range(args.first, args.first + args.seeds) if args.seed is None else [args.seed]
    if args.seed is None:
        logging.getLogger("elfbook").setLevel(logging.CRITICAL)
    seeds = [seed for seed in seeds if seed not in args.skip]
    began, failed, steps, facts = time.perf_counter(), [], 0, Counter()
    for seed in seeds:
        told = tell(seed, args.lines)
        steps += told.steps
        facts += told.facts
        if told.wrongs or args.seed is not None:
            show(told)
        if told.wrongs:
            failed.append(seed)
            print(f"    again:  python -m tests.simulation --seed {seed} --lines 200", flush=True)
            if args.until_failure:
                break
    elapsed_s = time.perf_counter() - began
    print(", ".join(f"{count} {kind}" for kind, count in sorted(facts.items())))
    print(f"{len(seeds)} histories, {steps} steps, {elapsed_s:.0f} s; {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
