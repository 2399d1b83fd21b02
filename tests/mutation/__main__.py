"""Take each rule away in turn, and see that a test notices:  python -m tests.mutation

Works on a copy of the tree. Prints a table, in Markdown; with --write it becomes docs/mutation.md.
Ends with exit code 1 if a mutant survives, or if what it would change is no longer there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutations import HISTORIES, MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 600
PAGE = ROOT / "docs" / "mutation.md"
HEAD = """\
# What the tests would notice

Each line takes one rule away from the code: a compare-and-set, an expected sequence, the order of two
steps. Then the named tests must fail. `histories` are simulated ones
([`tests/simulation`](../tests/simulation)): the first whose outcome breaks a guarantee is named. The
rules stand in [`tests/mutation/mutations.py`](../tests/mutation/mutations.py); an ordinary test sees to
it that each still names code that exists.

    python -m tests.mutation --write

"""

TAIL = """\

Not in the table, because nothing breaks without them: the sequence that a cancel expects (the fold lets a
job's first end stand, so a cancel that comes late changes nothing), that no batch has two messages of one
subject (the server refuses such a batch and its writes go out one by one), that everything due is offered
again at once after a server's return (it is, fifteen seconds later), and that a follower drops what it has
given already (the consumer that would bring it twice is no longer listened to). They save time.
"""


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant."""

    mutation: Mutation
    killed_by: str
    """Empty for a survivor."""
    seconds: float

    @property
    def line(self) -> str:
        killed_by = self.killed_by or "**nothing: it survives**"
        return f"| {self.mutation.rule} | `{self.mutation.file}` | {killed_by} | {self.seconds:.0f} |"


def copy_tree(folder: Path) -> None:
    """The tracked and new files of the tree, without its history."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def known_failures(folder: Path) -> list[str]:
    """Seeds of histories that go wrong with every rule in its place: they say nothing about a mutant."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(HISTORIES)], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [line.split(":")[0].split()[1] for line in told.stdout.splitlines() if line.startswith("seed ")]


def run(folder: Path, test: str, skipped: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether the test fails in that tree, and what to call it."""
    if test == "histories":
        command = ["-m", "tests.simulation", "--seeds", str(HISTORIES), "--until-failure", "--skip", *skipped]
    else:
        command = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        told = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True, f"`{test}`: not over after {LIMIT_S} s"
    if told.returncode not in (0, 1):
        raise RuntimeError(f"{test} could not be run:\n{told.stdout[-2000:]}{told.stderr[-2000:]}")
    if test == "histories":
        seeds = [line.split(":")[0] for line in told.stdout.splitlines() if line.startswith("seed ")]
        return told.returncode == 1, f"histories, {seeds[0] if seeds else 'which end in an error'}"
    names = [line.split()[1] for line in told.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return told.returncode == 1, f"`{names[0].partition('[')[0] if names else test}`"


def judge(mutation: Mutation, folder: Path, skipped: Sequence[str] = ()) -> Verdict:
    """Put the mutant in its place in the copy, run the tests until one fails, take it out again."""
    path = folder / mutation.file
    before = path.read_text()
    if before.count(mutation.text) != 1:
        raise SystemExit(f"{mutation.file} has no longer exactly once:\n{mutation.text}")
    began, killed_by = time.monotonic(), ""
    path.write_text(before.replace(mutation.text, mutation.instead))
    try:
        for test in mutation.by:
            failed, name = run(folder, test, skipped)
            if failed:
                killed_by = name
                break
    finally:
        path.write_text(before)
    return Verdict(mutation, killed_by, time.monotonic() - began)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Take rules away.")
    parser.add_argument("--only", default="", help="only rules with these words")
    parser.add_argument("--part", default="1/1", help="such as 2/3: the second third of the rules")
    parser.add_argument("--write", action="store_true", help="put the table into docs/mutation.md")
    args = parser.parse_args(argv)
    chosen = [each for each in MUTATIONS if args.only.lower() in (each.rule + each.file).lower()]
    part, parts = map(int, args.part.split("/"))
    chosen = chosen[part - 1 :: parts]
    lines = ["| rule | file | without it fails | s |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="elf-mutants-") as name:
        copy_tree(Path(name))
        skipped = known_failures(Path(name))
        for mutation in chosen:
            verdicts.append(judge(mutation, Path(name), skipped))
            print(verdicts[-1].line, flush=True)
    survivors = [verdict for verdict in verdicts if not verdict.killed_by]
    print(f"{len(verdicts)} mutants, {len(survivors)} survive")
    if args.write:
        PAGE.write_text(HEAD + "\n".join([*lines, *(verdict.line for verdict in verdicts)]) + "\n" + TAIL)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
