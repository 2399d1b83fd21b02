"""The page's own checks: types, style and unit tests, each as a developer runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extension.conftest import run

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("script", ["check", "test"])
def test_npm(script: str, packages: Path) -> None:
    run("npm", "run", script, cwd=packages)
