"""What a definition changed, in words, and what a person may type to mean a run or a job."""

from __future__ import annotations

import pytest

from elfbook.errors import ElfUsageError
from elfbook.model import ElfUse, Graph, JobSpec, Revision, TaskSpec
from elfbook.notebook.naming import full_label, job_named, jobs_named, parts, run_reference
from elfbook.notebook.roster import Change, Roster, use_line


def revision(digest: str, label: str = "Cell In[1]", **tasks: str) -> Revision:
    return Revision(
        elf="Greeter",
        digest=digest,
        tasks=tuple(TaskSpec(name=name, line=1, digest=mark) for name, mark in tasks.items()),
        pieces=(),
        label=label,
    )


FIRST = revision("d1", task_hello="h1", task_shout="s1")
SECOND = revision("d2", task_hello="h2", task_shout="s1")


def test_versions_count_differing_definitions() -> None:
    roster = Roster()
    kinds = [roster.define(each) for each in (FIRST, FIRST, SECOND, SECOND, FIRST, SECOND)]
    assert [(change.kind, change.version, change.same_as) for change in kinds] == [
        ("first", 1, 0),
        ("same", 1, 0),
        ("changed", 2, 0),
        ("same", 2, 0),
        ("back", 3, 1),
        ("back", 4, 2),
    ]
    assert roster.version("Greeter", "d1") == 3
    assert roster.version("Greeter", "d9") is None
    assert roster.version("Nobody", "d1") is None
    assert roster.versions() == {"d1": 3, "d2": 4}
    assert roster.newest("Greeter") is SECOND


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("G", 1, "first", ("task_a", "task_b")), "G is ready: task_a, task_b"),
        (Change("G", 1, "first", ()), "G is ready: it has no task yet"),
        (Change("G", 1, "same", ("task_a",)), "G: unchanged"),
        (Change("G", 2, "same", ("task_a",)), "G v2: unchanged"),
        (Change("G", 3, "back", ("task_a",), same_as=1), "G v3: same code as v1"),
        (Change("G", 2, "changed", (), changed=("task_a",)), "G v2: task_a changed"),
        (
            Change("G", 2, "changed", (), changed=("task_a", "task_b"), added=("task_n",), gone=("task_o",)),
            "G v2: task_a, task_b changed, task_n new, task_o gone",
        ),
        (
            Change("G", 2, "changed", (), unchanged=("task_a",)),
            "G v2: changed outside its tasks, task_a unchanged",
        ),
    ],
)
def test_a_change_in_words(change: Change, text: str) -> None:
    assert change.text == text


@pytest.mark.parametrize(
    ("cells", "moved"),
    [(("a", "b"), True), (("a", "a"), False), (("", "b"), False), (("a", ""), False)],
)
def test_only_another_cell_moves_an_elf(cells: tuple[str, str], moved: bool) -> None:
    roster = Roster()
    roster.define(FIRST, cell_id=cells[0])
    later = revision("d2", label="Cell In[9]", task_hello="h2")
    change = roster.define(later, cell_id=cells[1])
    assert ("Greeter now comes from Cell In[9]; Cell In[1] is no longer used" in change.text) is moved


def test_an_elf_from_the_store_becomes_the_notebooks_own() -> None:
    roster = Roster()
    roster.define(FIRST, stored=True)
    assert not roster.known["Greeter"].defined_here
    roster.define(FIRST)
    assert roster.known["Greeter"].defined_here


def test_who_waits_for_a_new_version() -> None:
    assert use_line(1, "party", [("task_hello", 1)], 2) == (
        "1 failed job of flow party used task_hello v1;  %elf retry party  runs it again with v2"
    )
    assert use_line(3, "party", [("task_hello", 1), ("task_shout", None)], 2) == (
        "3 failed jobs of flow party used task_hello v1 and task_shout as stored;"
        "  %elf retry party  runs them again with v2"
    )


# ---------------------------------------------------------------------------- names


def job(elf: int, task: str, number: int) -> JobSpec:
    return JobSpec(elf=elf, task=task, arguments=b"", number=number)


GRAPH = Graph(
    elves=(ElfUse("Stats", "d", "calc1"), ElfUse("Stats", "d", "calc2"), ElfUse("Format", "e")),
    jobs=(job(0, "task_add", 0), job(1, "task_add", 1), job(2, "task_add", 0), job(2, "write", 0)),
    result=b"",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("task_add", [0, 1, 2]),
        ("add", [0, 1, 2]),
        ("task_add[1]", [1]),
        ("add[1]", [1]),
        ("calc2", [1]),
        ("Stats", [0, 1]),
        ("Stats.task_add", [0, 1]),
        ("calc1.task_add[0]", [0]),
        ("Format.add[0]", [2]),
        ("write", [3]),
        ("calc9.task_add", []),
        ("task_add[7]", []),
        ("task add", []),
    ],
)
def test_jobs_by_name(text: str, found: list[int]) -> None:
    assert jobs_named(GRAPH, text) == found


def test_a_label_that_two_jobs_have_gets_its_elf() -> None:
    assert [full_label(GRAPH, number) for number in range(4)] == [
        "calc1.task_add[0]",
        "task_add[1]",
        "Format.task_add[0]",
        "write[0]",
    ]
    assert all(job_named(GRAPH, full_label(GRAPH, number)) == number for number in range(4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task_ad[1]", "there is no job `task_ad[1]`; did you mean `task_add[1]`?"),
        ("task_add[9]", "there is no job `task_add[9]`; `task_add` has the numbers 0 to 1"),
        ("task_add[0]", "`task_add[0]` means 2 jobs: `calc1.task_add[0]`, `Format.task_add[0]`"),
        ("zzz", "unknown task `zzz`; there are `task_add`, `write`, `calc1`, `calc2`, `Stats`, `Format`"),
    ],
)
def test_a_name_that_means_no_job_or_several(text: str, message: str) -> None:
    with pytest.raises(ElfUsageError) as caught:
        job_named(GRAPH, text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("party", ("party", "")),
        ("party/task_hello[2]", ("party", "task_hello[2]")),
        ("task_hello[2]", ("", "task_hello[2]")),
        ("party.2/calc1.add[3]", ("party.2", "calc1.add[3]")),
    ],
)
def test_run_and_job_in_one_word(text: str, expected: tuple[str, str]) -> None:
    assert parts(text) == expected


def test_which_run_of_a_flow() -> None:
    assert run_reference("party") == ("party", None)
    assert run_reference("crawl-2.17") == ("crawl-2", 17)
    with pytest.raises(ElfUsageError, match="is not the name of a flow"):
        run_reference("2nd")
