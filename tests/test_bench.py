"""The benchmarks run and tell what they say they tell; their numbers are nobody's test."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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


@pytest.mark.browser
@pytest.mark.timeout(240)
@pytest.mark.skipif(not CHROMIUM and not os.environ.get("CI"), reason="no chromium on this machine")
def test_a_board_is_drawn_while_its_kernel_hears_of_changes() -> None:
    told = bench("--only", "board", "--system", "elfbook", "--quick", "--json")
    figures = {figure["measure"]: figure for figure in map(json.loads, told.splitlines())}
    for size in ("12", "10000", "10000_all"):
        for what in ("fps", "frame_p50", "frame_p95", "drawn", "share", "kernel"):
            assert figures.pop(f"board_{size}_{what}")["value"] > 0, (size, what)
    assert sorted(figures) == ["board_checked", "board_still_fps"]


# ---------------------------------------------------------------------------- arithmetic of the page


def figure(measure: str, system: str, value: float | None, unit: str) -> dict:
    return {"measure": measure, "system": system, "value": value, "unit": unit, "reps": 1, "spread": None}


TOLD = {
    "command": "python tests/bench/run.py",
    "cores": 2,
    "memory_gib": 8,
    "python": "3.11",
    "system": "Linux",
    "load_before": 0.1,
    "figures": [
        figure("noop_throughput", "elfbook", 5_000.0, "jobs/s"),
        figure("noop_throughput_checked", "elfbook", 30_100.0, "jobs"),
        figure("chain", "elfbook", 3.0, "ms/link"),
        figure("growth_1000", "elfbook", 210.0, "us/job"),
        figure("growth_10000", "elfbook", 190.0, "us/job"),
        figure("noop_throughput", "dask", 400.0, "jobs/s"),
        figure("chain", "dask", 6.0, "ms/link"),
        figure("noop_throughput", "pool", 10_000.0, "jobs/s"),
        figure("chain", "pool", None, ""),
    ],
}


def bench_module(name: str):
    """A module of the benchmarks, which are no package."""
    if str(BENCH) not in sys.path:
        sys.path.append(str(BENCH))
    return importlib.import_module(name)


def test_more_is_better_of_rates_and_less_of_times(tmp_path: Path) -> None:
    figures = bench_module("figures")
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(TOLD))
    told, found = figures.read(path)
    lines = figures.page(told, found).splitlines()
    assert "| Dask | 12.5 × | 2.00 × |" in lines
    assert "| *floor:* ProcessPoolExecutor | 0.500 × | – |" in lines
    assert "| **elfbook**, durable | 5,000 | 3.00 |" in lines
    assert "| **elfbook**, durable | 210 | 190 |" in lines
    assert any("30,100 jobs, each with exactly one success" in line for line in lines)


def test_a_page_keeps_all_but_its_figures(tmp_path: Path) -> None:
    figures = bench_module("figures")
    before = f"words\n{figures.BEGIN}\nold\n{figures.END}\nmore words\n"
    assert figures.put_in(before, "new") == f"words\n{figures.BEGIN}\nnew\n{figures.END}\nmore words\n"
    with pytest.raises(SystemExit, match="no place for figures"):
        figures.put_in("words", "new")


def test_the_plot_is_a_picture_with_every_system(tmp_path: Path) -> None:
    figures = bench_module("figures")
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(TOLD))
    drawn = ElementTree.fromstring(figures.plot(figures.read(path)[1]))
    words = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Dask", "elfbook, durable", "floor: ProcessPoolExecutor", "1,000 jobs"} <= set(words)
    # The larger rate has the longer bar.
    bars = [float(bar.get("width")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == sorted(bars, reverse=True) and len(bars) == 3


def test_what_takes_long_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = bench_module("samples")
    assert list(samples.rounds(3, quick=False)) == [0, 1, 2]
    assert list(samples.rounds(3, quick=True)) == [0]
    monkeypatch.setattr(samples, "ENOUGH_S", -1.0)
    assert list(samples.rounds(3, quick=False)) == [0]
