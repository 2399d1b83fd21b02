"""The benchmarks run and tell what they say they tell; their numbers are nobody's test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent / "bench"


def bench(*arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *arguments], capture_output=True, text=True, check=True
    )
    return told.stdout


def test_one_object_a_line() -> None:
    told = bench("--only", "noop_latency", "--system", "pool", "--quick", "--json")
    figures = [json.loads(line) for line in told.splitlines()]
    assert [figure["measure"] for figure in figures] == ["noop_latency_p50", "noop_latency_p99"]
    for figure in figures:
        assert set(figure) == {"measure", "system", "value", "unit", "reps", "spread"}
        assert (figure["system"], figure["unit"], figure["reps"]) == ("pool", "ms", 1)
        assert figure["value"] > 0


def test_a_system_that_is_not_there_is_named_with_the_reason() -> None:
    """Bare kernels carry no arrays; the table says so instead of leaving the line out."""
    told = bench("--only", "arrays", "--system", "kernels", "--quick", "--json")
    (figure,) = [json.loads(line) for line in told.splitlines()]
    assert figure["value"] is None
    assert figure["note"] == "execute_request carries text only"


@pytest.mark.system
@pytest.mark.parametrize("measure", ["noop_throughput", "chain", "fan", "arrays", "memory"])
def test_elfbook_does_the_work(measure: str) -> None:
    told = bench("--only", measure, "--system", "elfbook", "--quick", "--json")
    figure, checked = [json.loads(line) for line in told.splitlines()]
    assert figure["value"] is not None, figure
    assert checked["measure"] == f"{measure}_checked"
    assert checked["value"] > 0
