"""Benchmarks: the same work on elfbook and on others, side by side, in one run.

    python tests/bench/run.py                                 what takes minutes, as a table
    python tests/bench/run.py --all --out figures.json        everything but a million jobs, kept
    python tests/bench/run.py --only noop_throughput --json   one measure, a JSON object a line
    python tests/bench/run.py --system elfbook --system pool  some of the systems
    python tests/bench/run.py --only board --system elfbook   a board in Chromium: its frames, its kernel

Peers need not be in elfbook's own environment: `--peers FOLDER` (or BENCH_PEERS) names a folder with a
virtual environment for each, FOLDER/dask and so on; `python tests/bench/environments.py FOLDER` makes
them. What is in neither place is listed as missing.

Each system runs in a process of its own with two workers. `value` is the median of `reps` repetitions,
`spread` the largest minus the smallest. Numbers are reported, never judged: on a shared machine only
the ratios of one run mean something. After each measure elfbook's log is read again from its beginning:
every job must have ended with exactly one success.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from child import Child  # noqa: E402  (the path above comes first)
from samples import Figure, Sample, Unsupported  # noqa: E402

WORKERS = 2
USUAL = ("cold_start", "memory", "noop_latency", "noop_throughput", "chain", "fan", "arrays")
LONG = ("graph", "wide", "growth", "gigabyte")
MEASURES = (*USUAL, *LONG, "board", "million")
LIMITS_S = {"": 120.0, "wide": 600.0, "growth": 900.0, "million": 3600.0}
"""How long a measure may be silent; the first is for the start of a system."""
FLOORS = ("pool", "kernels", "nats")
PEERS = ("dask", "ray", "ipyparallel", "parsl", "celery", "dramatiq", "taskiq")
SYSTEMS = ("elfbook", "elfbook_fast", *FLOORS, *PEERS)


def take(name: str, measures: list[str], *, quick: bool) -> None:
    """In a process of its own: print what the measures give on one system, a JSON object a line."""
    module = importlib.import_module(f"systems.{name}")
    started = float(os.environ.get("BENCH_STARTED", time.time()))
    if reason := module.System.missing():
        say(missing=reason)
        return
    system = module.System()
    try:
        system.up(WORKERS)
        for measure in measures:
            say(begun=measure)
            _take_one(system, measure, quick=quick, started=started)
    except BaseException:
        with contextlib.suppress(Exception):  # it may not even have been up; what went wrong first counts
            system.down()
        raise
    system.down()


def _take_one(system, measure: str, *, quick: bool, started: float) -> None:
    try:
        for sample in importlib.import_module(f"measures.{measure}").samples(
            system, quick=quick, started=started
        ):
            say(sample=sample.__dict__)
        check = getattr(system, "check", None)
        if check is not None:
            say(checked=check())
    except Unsupported as reason:
        say(skipped=str(reason))
    except Exception as error:
        traceback.print_exc()
        say(failed=f"{type(error).__name__}: {error}")


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def figures(name: str, measures: list[str], *, quick: bool, peers: Path | None) -> Iterator[Figure]:
    """Every figure of one system, as soon as it is there."""
    left = list(measures)
    if "cold_start" in left:
        left.remove("cold_start")
        yield from _cold_start(name, quick=quick, peers=peers)
    while left:
        child = Child(name, left, quick=quick, peers=peers)
        for line in child.lines(LIMITS_S):
            if "missing" in line:
                yield from (Figure.absent(measure, name, line["missing"]) for measure in left)
                return
            if "begun" in line:
                left.remove(child.current)
            elif figure := _figure_of(line, child.current, name):
                yield figure
        if child.trouble:
            yield Figure.absent(child.current or left[0], name, child.trouble)
            if not child.current:  # it does not even start
                return


def _figure_of(line: dict, measure: str, name: str) -> Figure | None:
    if "sample" in line:
        return Figure.of(Sample(**line["sample"]), name)
    if "checked" in line:
        return Figure(f"{measure}_checked", name, float(line["checked"]), "jobs", 1, None)
    return Figure.absent(measure, name, line.get("skipped") or line["failed"])


def _cold_start(name: str, *, quick: bool, peers: Path | None) -> Iterator[Figure]:
    gathered: Sample | None = None
    for _ in range(1 if quick else 3):
        child = Child(name, ["cold_start"], quick=quick, peers=peers)
        for line in child.lines(LIMITS_S):
            reason = line.get("missing") or line.get("failed") or line.get("skipped")
            if reason:
                yield Figure.absent("cold_start", name, reason)
                return
            if "sample" in line:
                sample = Sample(**line["sample"])
                gathered = gathered.and_also(sample) if gathered else sample
        if child.trouble:
            yield Figure.absent("cold_start", name, child.trouble)
            return
    if gathered:
        yield Figure.of(gathered, name)


def machine() -> dict[str, object]:
    """What the numbers depend on, in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        "system": f"{platform.system()} on {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 1),
    }


def arguments() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--only", action="append", choices=MEASURES, metavar="MEASURE", help=str(MEASURES))
    parser.add_argument("--system", action="append", choices=SYSTEMS, metavar="NAME", help=str(SYSTEMS))
    parser.add_argument("--all", action="store_true", help="also the measures that take longer")
    parser.add_argument("--million", action="store_true", help="also a run of a million jobs, on elfbook")
    parser.add_argument("--peers", type=Path, default=os.environ.get("BENCH_PEERS"), metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep all figures there, as JSON")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--take", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Parse, run, print."""
    given = arguments()
    if given.take:
        take(given.take[0], given.take[1:], quick=given.quick)
        return
    measures = given.only or [*USUAL, *(LONG if given.all else ()), *(["million"] if given.million else [])]
    if not given.json:
        print(Figure.heading())
    found: list[Figure] = []
    about = {**machine(), "command": " ".join(["python", "tests/bench/run.py", *shown(sys.argv[1:])])}
    for name in given.system or SYSTEMS:
        for figure in figures(name, measures, quick=given.quick, peers=given.peers and Path(given.peers)):
            first = next((each for each in found if each.measure == figure.measure), None)
            found.append(figure)
            print(figure.as_json() if given.json else figure.as_row(first), flush=True)
            if given.out:
                told = {**about, "figures": [each.as_dict() for each in found]}
                given.out.write_text(json.dumps(told, indent=1) + "\n")


def shown(words: list[str]) -> list[str]:
    """The command line without what is particular to one machine."""
    return [word if os.sep not in word else "…" for word in words]


if __name__ == "__main__":
    main()
