"""The files of the repository, read as text: nothing of one machine, nothing unfinished."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


GRAPHVIZ = ROOT / "elfbook" / "static" / "graphviz.js"
"""Another project's program, built: its text is packed bytes, in which any three letters occur. Committed, so that
a checkout installs without Node; tests/extension/test_built.py holds what it is and how large."""


def tree() -> list[Path]:
    """Every file that is tracked, or would be by `git add .`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def text_of(path: Path) -> str:
    """The file as text, empty for a binary one."""
    try:
        return "" if path == GRAPHVIZ else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def places(pattern: str, *, suffixes: set[str] | None = None) -> list[str]:
    """`file:line` of every match in the tree."""
    found = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tree()
        if suffixes is None or path.suffix in suffixes
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if found.search(line)
    ]


# Written in pieces, so that this file is not its own first finding.
PLACES = "|".join(["work", "farm", "root", "home/[a-z]", "Users/[a-z]", "opt/ev"])
MACHINE_PATHS = f"(^|[^A-Za-z0-9.~])/({PLACES})/"
HOSTS = "|".join(
    ["pypi[.]org/" + "simple", "files[.]python" + "hosted", "npm" + "js[.]org", "deb[.]deb" + "ian[.]org"]
)
REGISTRY_HOSTS = f"({HOSTS})"
UNFINISHED = r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"
CONFLICT = "^(<<<<" + "<<<|>>>>" + ">>>)( |$)"


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of one machine", MACHINE_PATHS),
        ("the host of a package registry", REGISTRY_HOSTS),
        ("unfinished work", UNFINISHED),
        ("an unsolved merge", CONFLICT),
    ],
)
def test_no_file_holds(what: str, pattern: str) -> None:
    assert places(pattern) == [], what


def sleeps(text: str) -> list[int]:
    """Lines that sleep, outside of tasks (they are the user's code) and of loops, which poll.

    A pause that nothing can be waited for instead has its reason as a comment on its line.
    """
    found: list[int] = []
    lines = text.splitlines()

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.While) or str(getattr(node, "name", "")).startswith("task_"):
            return
        call = isinstance(node, ast.Call) and node.args and re.search(r"(^|\.)sleep$", ast.unparse(node.func))
        if call and ast.unparse(node.args[0]) != "0" and "  # " not in lines[node.lineno - 1]:
            found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            look(child)

    look(ast.parse(text))
    return found


def test_no_test_sleeps() -> None:
    """Tests wait for a condition with a deadline; benchmarks may pace themselves, simulated time is free."""
    asleep = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "tests").rglob("*.py")
        if not {"bench", "simulation"} & set(path.parts)
        for line in sleeps(path.read_text())
    }
    assert asleep == set()


def test_files_are_small() -> None:
    """Nothing recorded or downloaded is in the tree, and of what is built only what a checkout needs."""
    large = [str(path.relative_to(ROOT)) for path in tree() if path.stat().st_size > 400_000]
    assert large == [str(GRAPHVIZ.relative_to(ROOT))]


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_holds_nothing_of_the_machine_that_ran_it(path: Path) -> None:
    book = json.loads(path.read_text())
    outputs = json.dumps([cell.get("outputs", []) for cell in book["cells"]])
    for what, pattern in {
        "a temporary path": r"/tmp/|/var/folders/",
        "an address": r"\bat 0x[0-9a-f]+",
        "a port": r"127\.0\.0\.1:\d+|localhost:\d+",
        "a clock time": r"\b\d\d:\d\d:\d\d\b",
        "a duration": r"\b\d+\.\d+ s\b",
        "a token": r"(?i)token=",
    }.items():
        assert re.search(pattern, outputs) is None, what


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_output_is_small_and_has_text(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        for output in cell.get("outputs", []):
            bundle = {kind: "".join(data) for kind, data in output.get("data", {}).items()}
            assert not bundle or "text/plain" in bundle
            assert sum(len(data) for kind, data in bundle.items() if kind != "image/png") <= 20_000
