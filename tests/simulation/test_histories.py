"""Some histories, each a whole mycelium with faults; `python -m tests.simulation` tells many more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.history import tell

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = (*range(30), 34, 48, 166, 202)
"""The last four because what is rare happens in them, see `test_the_histories_are_not_dull`."""
SEEN: dict[int, Counter[str]] = {}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_guarantee_holds(seed: int) -> None:
    told = tell(seed)
    SEEN[seed] = told.facts
    assert told.wrongs == [], f"to see it again:  python -m tests.simulation --seed {seed} --lines 200"


def test_the_histories_are_not_dull() -> None:
    """Everything that can be stored about a job is, in some of them."""
    if len(SEEN) < len(SEEDS):
        pytest.skip("not all histories were told")
    facts = sum(SEEN.values(), Counter())
    alone = {"Claimed", "Released", "Succeeded", "Failed", "Lost", "Skipped", "Cancelled", "Reopened", "Paused"}
    together = {f"{each} together" for each in ("Claimed", "Released", "Succeeded", "Failed", "Lost")}
    assert sorted((alone | together) - set(facts)) == []


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """Nothing of it depends on where objects lie, on how sets are ordered, or on the real clock."""
    seed, ours = 7, tell(7)
    words = f"from tests.simulation.history import tell; told = tell({seed}); print(told.digest, told.steps)"
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(ROOT)}
        told = subprocess.run(
            [sys.executable, "-c", words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == [ours.digest, str(ours.steps)]


def test_another_seed_is_another_history() -> None:
    assert tell(8).digest != tell(9).digest
