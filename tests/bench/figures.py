"""Writes what a run of run.py found into docs/benchmarks.md, and its plot beside it.

python tests/bench/run.py --all --out figures.json && python tests/bench/figures.py figures.json
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from samples import Figure, advantage, more_is_better, short  # noqa: E402

DOCS = HERE.parents[1] / "docs"
BEGIN, END = "<!-- figures: written by tests/bench/figures.py -->", "<!-- end of figures -->"
FIRST = "elfbook"
SIDE_BY_SIDE = {
    "noop_throughput": ("10,000 no-ops", "jobs/s"),
    "noop_latency_p50": ("idle no-op, p50", "ms"),
    "noop_latency_p99": ("idle no-op, p99", "ms"),
    "chain": ("chain of 200", "ms a link"),
    "fan": ("1 → 1,000 → 1", "s"),
    "graph": ("100 × 100 graph", "s"),
    "arrays": ("10 MB arrays", "MB/s"),
    "cold_start": ("cold start", "s"),
    "memory": ("an idle worker", "MiB"),
}
ALONE = {
    "graph_submit_cpu": "100 × 100 graph: recorded, frozen and submitted, s of the client's CPU",
    "graph_scheduler_cpu": "the same graph: the scheduler's CPU, µs for each event",
    "wide_first_start": "100,000-way map: until the first job began, s",
    "wide": "100,000-way map: until all results were there, s",
    "wide_client_growth": "100,000-way map: the client grew by, MiB",
    "gigabyte": "1 GiB there and 1 GiB back, MB/s",
    "gigabyte_extra_client": "1 GiB: the client's memory beside argument and result, MiB",
    "gigabyte_extra_server": "1 GiB: extra memory of the server, MiB",
    "gigabyte_extra_scheduler": "1 GiB: extra memory of the scheduler, MiB",
    "gigabyte_extra_worker1": "1 GiB: extra memory of the first worker, MiB",
    "gigabyte_extra_worker2": "1 GiB: extra memory of the second worker, MiB",
    "gigabyte_extra_kernel1": "1 GiB: extra memory of the first kernel, MiB",
    "gigabyte_extra_kernel2": "1 GiB: extra memory of the second kernel, MiB",
    "million": "a million jobs in one run, min",
    "million_submitted": "a million jobs: until they were stored, s",
    "million_stalled": "a million jobs: longest pause after the scheduler was killed, s",
    "million_client": "a million jobs: the client's largest size, MiB",
    "million_scheduler": "a million jobs: the scheduler's, MiB",
    "million_worker1": "a million jobs: a worker's, MiB",
    "million_kernel1": "a million jobs: a kernel's, MiB",
    "million_server": "a million jobs: the server's, MiB",
}
GROWTH = "growth_"
BUSY = "The machine was busy with other work meanwhile: only the ratios of these figures mean something."


def read(path: Path) -> tuple[dict, list[Figure]]:
    """What was noted about the machine, and the figures."""
    told = json.loads(path.read_text())
    return told, [Figure(**figure) for figure in told["figures"]]


# ---------------------------------------------------------------------------- the page


def page(told: dict, figures: list[Figure]) -> str:
    """The part of the page that a run writes."""
    known = {(figure.measure, figure.system): figure for figure in figures}
    systems = list(dict.fromkeys(figure.system for figure in figures))
    machine = (
        f"{told['cores']} cores, {told['memory_gib']} GiB, {told['system']}, Python {told['python']}; "
        f"load before it began: {told['load_before']}"
    )
    checked = sum(int(figure.value or 0) for figure in figures if figure.measure.endswith("_checked"))
    lines = [
        f"Made by `{told['command']}` on {machine}.",
        *([BUSY] if told["load_before"] > told["cores"] / 4 else []),
        f"After its measures elfbook's log was read again: {checked:,} jobs, each with exactly one success.",
        "",
        "![The figures as a plot](benchmarks.svg)",
        "",
        *_table(known, systems),
        "",
        "How many times better elfbook is (durable, against the others as they come):",
        "",
        *_ratios(known, systems),
        "",
        *_alone(known),
        "",
        *_growth(known, systems),
    ]
    return "\n".join(lines)


def _table(known: dict, systems: list[str]) -> list[str]:
    measures = [measure for measure in SIDE_BY_SIDE if any((measure, each) in known for each in systems)]
    rows = [
        f"| {name_of(system)} | " + " | ".join(_cell(known.get((m, system))) for m in measures) + " |"
        for system in systems
    ]
    heads = " | ".join(", ".join(SIDE_BY_SIDE[measure]) for measure in measures)
    return [f"| | {heads} |", "|---" * (len(measures) + 1) + "|", *rows]


def _ratios(known: dict, systems: list[str]) -> list[str]:
    measures = [measure for measure in SIDE_BY_SIDE if (measure, FIRST) in known]
    rows = []
    for system in systems:
        if system == FIRST:
            continue
        cells = []
        for measure in measures:
            other = known.get((measure, system))
            times = advantage(known[measure, FIRST], other) if other else None
            cells.append("–" if times is None else f"{short(times)} ×")
        rows.append(f"| {name_of(system)} | " + " | ".join(cells) + " |")
    heads = " | ".join(SIDE_BY_SIDE[measure][0] for measure in measures)
    return [f"| | {heads} |", "|---" * (len(measures) + 1) + "|", *rows]


def _alone(known: dict) -> list[str]:
    rows = [
        f"| {words} | {_cell(known.get((measure, FIRST)))} |"
        for measure, words in ALONE.items()
        if (measure, FIRST) in known
    ]
    return ["| elfbook alone | |", "|---|---|", *rows] if rows else []


def _growth(known: dict, systems: list[str]) -> list[str]:
    sizes = sizes_of(known)
    rows = [
        f"| {name_of(system)} | "
        + " | ".join(_cell(known.get((f"{GROWTH}{size}", system))) for size in sizes)
        + " |"
        for system in systems
        if any((f"{GROWTH}{size}", system) in known for size in sizes)
    ]
    if not rows:
        return []
    heads = " | ".join(f"{size:,} jobs" for size in sizes)
    return [f"| µs for each job in a run of | {heads} |", "|---" * (len(sizes) + 1) + "|", *rows]


def _cell(figure: Figure | None) -> str:
    return "–" if figure is None or figure.value is None else short(figure.value)


def sizes_of(known: Iterable[tuple[str, str]]) -> list[int]:
    """The sizes of runs whose cost was measured, ascending."""
    found = {measure.removeprefix(GROWTH) for measure, _ in known if measure.startswith(GROWTH)}
    return sorted(int(size) for size in found if size.isdigit())


def name_of(system: str) -> str:
    """What people call it."""
    names = {
        "elfbook": "**elfbook**, durable",
        "elfbook_fast": "elfbook, fast mode",
        "dask": "Dask",
        "ray": "Ray",
        "parsl": "Parsl HTEX",
        "celery": "Celery + Redis",
        "dramatiq": "dramatiq + Redis",
        "taskiq": "taskiq-nats",
        "kernels": "*floor:* bare ipykernels",
        "nats": "*floor:* nats-py alone",
        "pool": "*floor:* ProcessPoolExecutor",
    }
    return names.get(system, system)


# ---------------------------------------------------------------------------- the plot

WIDTH, ROW, LEFT, TOP = 760, 22, 190, 36
PLOTTED = ("noop_throughput", "noop_latency_p50", "graph")
STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #444 } .t { font-weight: 600 } "
    ".o { fill: #b9c4cf } .e { fill: #2e7d5b } .l { stroke: #2e7d5b; fill: none; stroke-width: 2 } "
    ".a { stroke: #aaa } @media (prefers-color-scheme: dark) { text { fill: #ccc } }"
)


def plot(figures: list[Figure]) -> str:
    """Bars for each measure on a logarithmic scale, and the cost of a job in runs of several sizes."""
    known = {(figure.measure, figure.system): figure for figure in figures if figure.value}
    parts: list[str] = []
    y = 0
    for measure in PLOTTED:
        rows = [figure for (each, _), figure in known.items() if each == measure]
        if rows:
            parts += _bars(", ".join(SIDE_BY_SIDE[measure]), rows, y)
            y += TOP + ROW * len(rows) + 14
    sizes = sizes_of(known)
    line = [known.get((f"{GROWTH}{size}", FIRST)) for size in sizes]
    if len(sizes) > 1 and all(line):
        parts += _line(sizes, [figure.value for figure in line], y)
        y += 190
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def _bars(title: str, rows: list[Figure], y: float) -> list[str]:
    rows = sorted(rows, key=lambda figure: figure.value, reverse=more_is_better(rows[0].unit))
    low = math.log10(min(figure.value for figure in rows)) - 0.3
    high = math.log10(max(figure.value for figure in rows))
    parts = [f'<text class="t" x="8" y="{y + 22}">{escape(title)} (logarithmic)</text>']
    for place, figure in enumerate(rows):
        top = y + TOP + ROW * place
        width = (WIDTH - LEFT - 90) * (math.log10(figure.value) - low) / max(high - low, 0.01)
        name = name_of(figure.system).replace("*", "")
        kind = "e" if figure.system.startswith(FIRST) else "o"
        parts += [
            f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{top + 2}" width="{width:.1f}" height="{ROW - 6}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{top + 13}">{short(figure.value)}</text>',
        ]
    return parts


def _line(sizes: list[int], values: list[float], y: float) -> list[str]:
    left, bottom, height = LEFT, y + 160, 110
    low, high = math.log10(sizes[0]), math.log10(sizes[-1])
    most = max(values) * 1.15
    points = [
        (
            left + (WIDTH - left - 90) * (math.log10(size) - low) / (high - low),
            bottom - height * value / most,
        )
        for size, value in zip(sizes, values, strict=True)
    ]
    parts = [
        f'<text class="t" x="8" y="{y + 22}">elfbook: µs for each job, by the size of the run</text>',
        f'<line class="a" x1="{left}" y1="{bottom}" x2="{WIDTH - 60}" y2="{bottom}"/>',
        f'<path class="l" d="M{" L".join(f"{x:.1f} {at:.1f}" for x, at in points)}"/>',
    ]
    for (x, at), size, value in zip(points, sizes, values, strict=True):
        parts += [
            f'<circle class="e" cx="{x:.1f}" cy="{at:.1f}" r="4"/>',
            f'<text x="{x:.1f}" y="{at - 9:.1f}" text-anchor="middle">{short(value)}</text>',
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{size:,} jobs</text>',
        ]
    return parts


# ---------------------------------------------------------------------------- the files


def put_in(text: str, between: str) -> str:
    """The page with what is between its two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"the page has no place for figures: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{between}\n{END}{after}"


def main() -> None:
    """Read, write."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    told, figures = read(Path(sys.argv[1]))
    target = DOCS / "benchmarks.md"
    target.write_text(put_in(target.read_text(), page(told, figures)))
    (DOCS / "benchmarks.svg").write_text(plot(figures))


if __name__ == "__main__":
    main()
