"""What the tests of the page's sources need: Node, and the packages that package-lock.json names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSION = ROOT / "extension"


def run(*command: str, cwd: Path = EXTENSION) -> str:
    """What the program said; fails with all of it when the program does."""
    told = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{' '.join(command)}\n{told.stdout}{told.stderr}"
    return told.stdout


@pytest.fixture(scope="session")
def packages() -> Path:
    """The extension's folder with its packages installed, as they are on a fresh machine."""
    if not (shutil.which("node") and shutil.which("npm")):
        if os.environ.get("CI"):
            pytest.fail("install nodejs and npm: with CI=1 the page's sources are not left untested")
        pytest.skip("no node and npm on this machine; the built files are in elfbook/static")
    lock, installed = EXTENSION / "package-lock.json", EXTENSION / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run("npm", "ci", "--no-audit", "--no-fund")
    return EXTENSION
