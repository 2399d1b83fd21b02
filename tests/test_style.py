"""Style is a rule that a program checks: ruff, with the choices and reasons of pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_ruff_has_nothing_to_say() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert told.returncode == 0, "\n" + told.stdout + told.stderr
