"""What is shipped is what the sources build: elfbook/static is committed, so that a checkout needs no Node."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.extension.conftest import EXTENSION, ROOT, run

STATIC = ROOT / "elfbook" / "static"
BUILT = ("board.css", "board.js", "graphviz.js")

pytestmark = pytest.mark.timeout(400)


def test_the_built_files_are_what_the_sources_build_in_any_folder(packages: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "extension"
    shutil.copytree(packages, elsewhere, ignore=shutil.ignore_patterns("node_modules"))
    (elsewhere / "node_modules").symlink_to(packages / "node_modules")
    run("node", "build.mjs", str(tmp_path / "built"), cwd=elsewhere)
    assert sorted(path.name for path in STATIC.iterdir()) == sorted(BUILT)
    for name in BUILT:
        same = (tmp_path / "built" / name).read_bytes() == (STATIC / name).read_bytes()
        assert same, f"elfbook/static/{name} is stale: cd extension && npm ci && npm run build"


def test_a_page_gets_little_and_fetches_nothing() -> None:
    board = (STATIC / "board.js").read_text(encoding="utf-8")
    assert len(board.encode()) <= 60 * 1024
    assert sum((STATIC / name).stat().st_size for name in BUILT) <= 1_500_000
    assert re.findall(r"https?://[^\"'`\s]*", board) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|innerHTML|insertAdjacentHTML", board)
    assert not re.search(r"url\(|@import", (STATIC / "board.css").read_text(encoding="utf-8"))


def test_the_lock_file_names_no_registry() -> None:
    text = (EXTENSION / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert "registry" not in text
    names = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert list(names) == ["@hpcc-js/wasm-graphviz"]
