"""Benchmarks: the same work on elfbook and on others, side by side.

    python tests/bench/run.py                                 everything, as a table
    python tests/bench/run.py --only noop_throughput --json   one measure, a JSON object a line
    python tests/bench/run.py --system elfbook --system pool  some of the systems

Each measure runs in a process of its own for each system, on two workers. `value` is the median of
`reps` repetitions, `spread` the largest minus the smallest. Numbers are reported, never judged: on a
shared machine only the ratios of one run mean something.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from figures import Figure, Sample, Unsupported  # noqa: E402  (the path above comes first)

WORKERS = 2
LIMIT_S = 300
MEASURES = ("cold_start", "noop_latency", "noop_throughput", "chain", "fan", "arrays", "memory")
SYSTEMS = ("elfbook", "pool", "kernels", "dask", "ray", "ipyparallel")


def take(measure: str, name: str, *, quick: bool) -> None:
    """In a process of its own: print the samples of one measure on one system, a line each."""
    module = importlib.import_module(f"measures.{measure}")
    system = importlib.import_module(f"systems.{name}").System()
    started = float(os.environ.get("BENCH_STARTED", time.time()))
    try:
        system.up(WORKERS)
        for sample in module.samples(system, quick=quick, started=started):
            print(json.dumps(sample.__dict__), flush=True)
    except Unsupported as reason:
        print(json.dumps({"skipped": str(reason)}), flush=True)
    finally:
        system.down()


def spawn(measure: str, name: str, *, quick: bool) -> tuple[list[Sample], str]:
    """The samples of one measure on one system, and why there are none."""
    command = [sys.executable, str(HERE / "run.py"), "--take", measure, name, *(["--quick"] if quick else [])]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = os.environ | {"BENCH_STARTED": str(time.time()), "PYTHONPATH": path}
    try:
        told = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"not done after {LIMIT_S} s"
    lines = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    for line in lines:
        if "skipped" in line:
            return [], line["skipped"]
    if told.returncode:
        return [], (told.stderr.strip().splitlines() or [f"ended with code {told.returncode}"])[-1]
    return [Sample(**line) for line in lines], ""


def figures(measures: list[str], systems: list[str], *, quick: bool) -> Iterator[Figure]:
    """Every figure asked for, as soon as it is there."""
    for measure in measures:
        fresh = importlib.import_module(f"measures.{measure}").PROCESSES
        for name in systems:
            module = importlib.import_module(f"systems.{name}")
            reason = module.System.missing()
            gathered: dict[str, Sample] = {}
            for _ in range(1 if quick else fresh):
                if reason:
                    break
                samples, reason = spawn(measure, name, quick=quick)
                for sample in samples:
                    known = gathered.get(sample.measure)
                    gathered[sample.measure] = known.and_also(sample) if known else sample
            if reason:
                yield Figure.absent(measure, name, reason)
            else:
                yield from (Figure.of(sample, name) for sample in gathered.values())


def main() -> None:
    """Parse, run, print."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--only", action="append", choices=MEASURES, metavar="MEASURE", help=str(MEASURES))
    parser.add_argument("--system", action="append", choices=SYSTEMS, metavar="NAME", help=str(SYSTEMS))
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take:
        take(*given.take, quick=given.quick)
        return
    if not given.json:
        print(Figure.heading())
    for figure in figures(given.only or list(MEASURES), given.system or list(SYSTEMS), quick=given.quick):
        print(figure.as_json() if given.json else figure.as_row(), flush=True)


if __name__ == "__main__":
    main()
