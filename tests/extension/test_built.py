"""What is shipped is what the sources build: elfbook/static and elfbook/labextension are committed, so that a checkout
needs no Node."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from elfbook.version import __version__
from tests.extension.conftest import EXTENSION, ROOT, run

STATIC = ROOT / "elfbook" / "static"
BUILT = ("board.css", "board.js", "canvas.js", "graphviz.js")
LAB = ROOT / "elfbook" / "labextension"
LAB_BUILT = ("package.json", "schemas/elfbook/settings.json", "static/remoteEntry.js")

pytestmark = pytest.mark.timeout(400)


def test_the_built_files_are_what_the_sources_build_in_any_folder(packages: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "extension"
    shutil.copytree(packages, elsewhere, ignore=shutil.ignore_patterns("node_modules"))
    (elsewhere / "node_modules").symlink_to(packages / "node_modules")
    (elsewhere.parent / "elfbook").mkdir()
    shutil.copy(ROOT / "elfbook" / "version.py", elsewhere.parent / "elfbook")
    run("node", "build.mjs", str(tmp_path / "built"), cwd=elsewhere)
    assert sorted(path.name for path in STATIC.iterdir()) == sorted(BUILT)
    assert files(LAB) == sorted(LAB_BUILT) == files(tmp_path / "built" / "labextension")
    pairs = [(STATIC / name, tmp_path / "built" / name) for name in BUILT]
    pairs += [(LAB / name, tmp_path / "built" / "labextension" / name) for name in LAB_BUILT]
    for kept, made in pairs:
        same = made.read_bytes() == kept.read_bytes()
        assert same, f"{kept.relative_to(ROOT)} is stale: cd extension && npm ci && npm run build"


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_extension_shares_what_jupyterlab_has_and_names_no_place_of_its_own() -> None:
    """That nobody but the Jupyter server is asked, tests/browser/test_panel.py sees."""
    entry = (LAB / "static" / "remoteEntry.js").read_text(encoding="utf-8")
    assert len(entry.encode()) <= 70 * 1024
    assert set(re.findall(r"(?:https?|wss?)://[^\"'`\s]*", entry)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"XMLHttpRequest|EventSource|innerHTML|insertAdjacentHTML|\beval\(|new Function", entry)
    assert json.loads((LAB / "package.json").read_text(encoding="utf-8"))["version"] == __version__


def test_an_installation_has_the_extension_where_jupyter_looks() -> None:
    """The editable one of these tests too."""
    placed = [str(path) for path in importlib.metadata.files("elfbook") or [] if "labextensions" in path.parts]
    if not placed and not os.environ.get("CI"):
        pytest.skip("installed before there was an extension: pip install -e . puts it there")
    root = Path("share/jupyter/labextensions/elfbook")
    found = sorted(path.relative_to(Path(sys.prefix, root)).as_posix() for path in Path(sys.prefix, root).rglob("*.js*"))
    assert found == sorted(LAB_BUILT)
    assert len(placed) == len(LAB_BUILT)


def test_an_installation_has_the_part_of_jupyters_server_enabled() -> None:
    parts = Path("jupyter_server_config.d", "elfbook.json").parts
    placed = [path for path in importlib.metadata.files("elfbook") or [] if path.parts[-2:] == parts and "etc" in path.parts]
    if not placed and not os.environ.get("CI"):
        pytest.skip("installed before there was such a part: pip install -e . puts it there")
    own = ROOT.joinpath("elfbook", "server", "config", *parts)
    assert Path(sys.prefix, "etc/jupyter", *parts).read_text() == own.read_text()


def test_a_page_gets_little_and_fetches_nothing() -> None:
    board = (STATIC / "board.js").read_text(encoding="utf-8")
    assert len(board.encode()) <= 60 * 1024
    assert sum((STATIC / name).stat().st_size for name in BUILT) <= 1_500_000
    for page in (board, (STATIC / "canvas.js").read_text(encoding="utf-8")):
        assert set(re.findall(r"https?://[^\"'`\s]*", page)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|innerHTML|insertAdjacentHTML", page)
    assert not re.search(r"url\(|@import", (STATIC / "board.css").read_text(encoding="utf-8"))


def test_the_lock_file_names_no_registry() -> None:
    text = (EXTENSION / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert "registry" not in text
    names = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert list(names) == ["@hpcc-js/wasm-graphviz"]
