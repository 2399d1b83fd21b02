"""The tutorials, run as a reader runs them: every output is the saved one, and nothing stays behind.

nbval compares what each cell shows. It misses two things, which the runs through nbclient catch: a
magic that IPython refuses, and a display that is updated later.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SIX = ["animals", "calc1", "calc2", "calc3", "formatter", "storage"]

pytestmark = [pytest.mark.notebooks, pytest.mark.timeout(600)]


def read(name: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def is_tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of the test's own, known to every kernel; no process has it at the end."""
    state = tmp_path / "state"
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(state))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("ELFBOOK_DISPLAY", raising=False)
    yield state
    left = processes_of(state)
    if left:
        subprocess.run([sys.executable, "-m", "elfbook", "down"], check=False, timeout=60)
    assert left == []


def processes_of(state: Path) -> list[str]:
    """Command lines of the living processes that were started with this state directory."""
    found = []
    mark = os.fsencode(state)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            ours = mark in command or mark in (entry / "environ").read_bytes()
            if ours and int(entry.name) != os.getpid():
                found.append(command.replace(b"\0", b" ").decode(errors="replace").strip())
        except OSError:
            continue
    return [command for command in found if command]


def with_workers(book: NotebookNode, workers: int) -> NotebookNode:
    """The notebook with `workers` workers for everyone in place of those it starts itself."""
    for cell in book.cells:
        if is_tagged(cell, "workers"):
            kept = [line for line in cell.source.splitlines() if not line.startswith("%elf up")]
            cell.source = "\n".join([*kept, f"%elf up {workers}"])
            cell.metadata.tags = [*cell.metadata.tags, "nbval-ignore-output"]
    return book


def nbval(book: NotebookNode, folder: Path) -> None:
    """Holds afterwards: every cell showed what is saved in the notebook."""
    path = folder / "tutorial.ipynb"
    nbformat.write(book, path)
    (folder / "nbval.ini").write_text("[pytest]\n")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120",
         "-c", "nbval.ini", "-p", "no:cacheprovider", "-q", path.name],
        cwd=folder, capture_output=True, text=True, check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def run(cells: list[NotebookNode], book: NotebookNode, folder: Path, **hooks: object) -> list[NotebookNode]:
    """The cells after running in a fresh kernel; a cell that fails, and should not, raises."""
    part = nbformat.v4.new_notebook(metadata=book.metadata, cells=[NotebookNode(cell) for cell in cells])
    NotebookClient(part, timeout=120, resources={"metadata": {"path": str(folder)}}, **hooks).execute()
    for cell in part.cells:
        failed = any(output.output_type == "error" for output in cell.get("outputs", ()))
        assert failed == is_tagged(cell, "raises-exception"), cell.source
    return part.cells


def shown(cells: list[NotebookNode]) -> list[list[dict]]:
    """What a reader sees of each cell in the end, without pictures and without our own frames."""

    def facts(output: NotebookNode) -> dict:
        data = {kind: text for kind, text in output.get("data", {}).items() if kind != "image/png"}
        return {"text": output.get("text", ""), "data": data, "error": output.get("evalue", "")}

    def joined(outputs: list[NotebookNode]) -> list[dict]:
        """Text that came in several messages, as chance would have it, is one text to a reader."""
        texts: list[dict] = []
        for fact in map(facts, outputs):
            if texts and texts[-1]["text"] and fact["text"]:
                texts[-1]["text"] += fact["text"]
            else:
                texts.append(fact)
        return texts

    return [joined(cell.get("outputs", ())) for cell in cells]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_as_saved_twice_in_a_row(name: str, workers: int, place: Path, tmp_path: Path) -> None:
    for _ in range(2):
        nbval(with_workers(read(name), workers), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_sees_what_is_saved(name: str, place: Path, tmp_path: Path) -> None:
    """As written, in the mode that elfbook chooses by itself when no one is watching."""
    book = read(name)
    saved = shown(book.cells)
    cells = run(book.cells, book, tmp_path)
    assert shown(cells) == saved
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def test_a_run_is_there_after_the_kernel_has_gone(place: Path, tmp_path: Path) -> None:
    book = read("01_first_flow")
    (tomorrow,) = [n for n, cell in enumerate(book.cells) if cell.source.startswith("## Come back tomorrow")]
    saved = shown(book.cells)
    run(book.cells[:tomorrow], book, tmp_path)
    after = run(book.cells[tomorrow:], book, tmp_path)
    asked = "party.result()"
    result = shown(after)[[cell.source for cell in after].index(asked)]
    assert result == saved[[cell.source for cell in book.cells].index(asked)]


def test_workers_may_be_started_from_a_shell(place: Path, tmp_path: Path) -> None:
    """The six named elves of the animals, each by `elfbook worker --elf NAME`, in any order."""
    book = read("02_animals")
    (cell,) = [cell for cell in book.cells if "--elf" in cell.source and is_tagged(cell, "workers")]
    cell.source = "# the workers are started from a shell"
    started: list[subprocess.Popen] = []

    def start(cell: NotebookNode, cell_index: int) -> None:
        if cell.source.startswith("# the workers are started"):
            for name in random.Random(6).sample(SIX, k=6):
                command = [sys.executable, "-m", "elfbook", "worker", "--elf", name]
                null = subprocess.DEVNULL
                started.append(subprocess.Popen(command, stdin=null, stdout=null, stderr=null))

    try:
        run(book.cells, book, tmp_path, on_cell_start=start)
        assert len(started) == len(SIX)
        for process in started:
            process.wait(timeout=30)  # `%elf down` at the end reaches them too
    finally:
        for process in started:
            process.kill()
            process.wait()
