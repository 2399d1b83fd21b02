"""What a person types to mean a run or a job: `party`, `task_hello[2]`, `party/calc1.task_add[3]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from elfbook.errors import ElfUsageError
from elfbook.model import Graph
from elfbook.notebook.grammar import nearest, unknown
from elfbook.view.outline import job_label

RUN = re.compile(r"(?P<flow>[^\W\d][\w-]*)(?:\.(?P<number>\d+))?")
TASK = re.compile(r"(?:(?P<owner>[^\[\]]+)\.)?(?P<task>\w+)(?:\[(?P<number>\d+)\])?")
MOST_NAMED = 4


def run_reference(text: str) -> tuple[str, int | None]:
    """Flow and number of a run: `party` is its latest, `party.2` its second."""
    found = RUN.fullmatch(text)
    if found is None:
        raise ElfUsageError(f"`{text}` is not the name of a flow", hint="See  %elf runs")
    return found["flow"], int(found["number"]) if found["number"] else None


def parts(text: str) -> tuple[str, str]:
    """The run and the job that the text names; empty for the one it leaves out."""
    run, slash, job = text.partition("/")
    if slash:
        return run, job
    return ("", text) if "[" in text else (text, "")


def jobs_named(graph: Graph, text: str) -> list[int]:
    """Jobs that the text names: by task, by elf, or one by its number; empty when none."""
    if text in {use.elf for use in graph.elves} | {use.name for use in graph.elves if use.name}:
        return [
            job
            for job, spec in enumerate(graph.jobs)
            if text in (graph.elves[spec.elf].elf, graph.elves[spec.elf].name)
        ]
    found = TASK.fullmatch(text)
    if found is None:
        return []
    wanted, number = found["task"], found["number"]
    return [
        job
        for job, spec in enumerate(graph.jobs)
        if wanted in (spec.task, spec.task.removeprefix("task_"))
        and (number is None or spec.number == int(number))
        and found["owner"] in (None, graph.elves[spec.elf].elf, graph.elves[spec.elf].name)
    ]


def job_named(graph: Graph, text: str) -> int:
    """The one job that the text names; ElfUsageError for none, or for several."""
    found = jobs_named(graph, text)
    if len(found) == 1:
        return found[0]
    if not found:
        raise no_such_job(graph, text)
    some = ", ".join(f"`{full_label(graph, job)}`" for job in found[:MOST_NAMED])
    more = ", …" if len(found) > MOST_NAMED else ""
    raise ElfUsageError(f"`{text}` means {len(found)} jobs: {some}{more}", hint="Name one of them.")


def full_label(graph: Graph, job: int) -> str:
    """The job's label, with its elf in front where another elf's job has the same."""
    spec = graph.jobs[job]
    label = job_label(spec)
    alike = [other for other in graph.jobs if other.task == spec.task and other.number == spec.number]
    use = graph.elves[spec.elf]
    return label if len(alike) == 1 else f"{use.name or use.elf}.{label}"


def no_such_job(graph: Graph, text: str) -> ElfUsageError:
    """The error for a name that fits no job; it offers the nearest task."""
    tasks = known_words(graph)
    task = text.partition("[")[0]
    jobs = jobs_named(graph, task)
    if "[" in text and jobs:
        last = max(graph.jobs[job].number for job in jobs)
        return ElfUsageError(f"there is no job `{text}`; `{task}` has the numbers 0 to {last}")
    near = nearest(task, tasks)
    if near:
        return ElfUsageError(f"there is no job `{text}`; did you mean `{near}{text[len(task) :]}`?")
    return unknown("task", text, tasks)


def known_words(graph: Graph) -> list[str]:
    """Tasks, elf names and elf classes of the graph, each once."""
    tasks = (spec.task for spec in graph.jobs)
    return unique([*tasks, *(use.name for use in graph.elves if use.name), *(use.elf for use in graph.elves)])


def unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
