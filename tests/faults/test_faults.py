"""The quick ones among the faults, and a short soak, by the very commands that people run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def told_by(program: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(HERE / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict]:
    """What came of each quick fault, by its number."""
    told = told_by("run.py", "--quick", "--json")
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert found, told.stderr
    return {row["number"]: row for row in found}


QUICK = told_by("run.py", "--quick", "--list").stdout.splitlines()


@pytest.mark.parametrize("number", [line.split()[0] for line in QUICK] + ["end"])
def test_what_must_hold_after(number: str, rows: dict[str, dict]) -> None:
    row = rows[number]
    if row["outcome"] == "not here" and not (os.environ.get("CI") and os.geteuid() == 0):
        pytest.skip(row["seen"])
    assert row["outcome"] == "held", row["seen"]


def test_the_page_has_every_fault() -> None:
    """docs/faults.md: what is done and what is allowed, in the words of the table itself."""
    page = (HERE.parent.parent / "docs" / "faults.md").read_text()
    rows = told_by("run.py", "--list", "--markdown").stdout.splitlines()
    assert len(rows) > 40
    assert [row for row in rows if row not in page] == []


def test_half_a_minute_of_soak() -> None:
    told = told_by("soak.py", "--minutes", "0.5", "--every", "3")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "nothing wrong" in told.stdout
