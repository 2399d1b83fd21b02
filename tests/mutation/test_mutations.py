"""The table of mutations cannot rot, and its quickest lines are tried each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.__main__ import copy_tree, judge
from tests.mutation.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent.parent
QUICK = [each for each in MUTATIONS if each.by == ("tests/test_ends.py",)]
QUICK += [each for each in MUTATIONS if each.by == ("tests/simulation/test_races.py",)][:2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.rule)
def test_a_rule_names_code_that_exists(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text()
    assert text.count(mutation.text) == 1
    compile(text.replace(mutation.text, mutation.instead), mutation.file, "exec")
    for test in mutation.by:
        assert test == "histories" or (ROOT / test).exists()


def test_rules_have_different_names() -> None:
    assert len({each.rule for each in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", QUICK, ids=lambda each: each.rule)
def test_without_a_rule_a_test_fails(mutation: Mutation, tmp_path: Path) -> None:
    copy_tree(tmp_path)
    assert judge(mutation, tmp_path).killed_by
