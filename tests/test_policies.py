"""How jobs are tried: from the words of flags and keywords to what is stored, and nothing else passes."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from elfbook.entry import magics
from elfbook.errors import ElfUsageError
from elfbook.model import Policy
from elfbook.notebook.flows import Flow, How, flow
from elfbook.notebook.grammar import parse
from elfbook.notebook.policies import policy
from elfbook.notebook.vocabulary import FLOW

EVERYTHING = {
    "retries": 2,
    "lost_retries": 5,
    "memory_retries": 0,
    "timeout_retries": 1,
    "on_lost": "fail",
    "timeout": 90.0,
    "deadline": 600.0,
    "priority": "high",
    "limit": "api:3",
    "on": "gpu",
}
STORED = Policy(
    retries=2, lost_retries=5, memory_retries=0, timeout_retries=1, on_lost="fail", timeout_s=90.0,
    deadline_s=600.0, priority=0, limit="api:3", pool="gpu",
)  # fmt: skip


def test_nothing_said_is_the_usual() -> None:
    assert policy() == Policy()


def test_each_keyword_has_its_place() -> None:
    assert policy(**EVERYTHING) == STORED


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"retries": -1}, "`retries` is how many further attempts there may be, not -1"),
        ({"memory_retries": 1.5}, "`memory_retries` is how many"),
        ({"timeout_retries": -2}, "`timeout_retries` is how many"),
        ({"timeout": 0}, "`timeout` is a length of time in seconds, not 0"),
        ({"deadline": float("nan")}, "`deadline` is a length of time in seconds, not nan"),
        ({"on_lost": "fial"}, "`on_lost` is one of fail, retry, not 'fial'; did you mean 'fail'?"),
        ({"priority": 0}, "`priority` is one of high, normal, low, not 0"),
        ({"limit": "api:many"}, "'api:many' is not a limit"),
        ({"limit": "a.b:3"}, "'a.b:3' is not a limit"),  # a dot would part a subject
        ({"limit": "3"}, "'3' is not a limit"),
    ],
)
def test_what_does_not_fit_is_named(words: dict, message: str) -> None:
    with pytest.raises(ElfUsageError) as caught:
        policy(**words)
    assert message in str(caught.value)


def typed(words: dict) -> list[str]:
    return [part for name, value in words.items() for part in ("--" + name.replace("_", "-"), str(value))]


def test_flags_and_keywords_are_the_same() -> None:
    assert set(get_type_hints(How)) == set(EVERYTHING)
    assert magics.flow_options(parse(["party", *typed(EVERYTHING)], FLOW), quiet=False).policy == STORED
    made = flow("party", **EVERYTHING)
    assert isinstance(made, Flow)
    assert made._options.policy == STORED
    assert magics.flow_options(parse(["party"], FLOW), quiet=False).policy == Policy()


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_flag_is_understood_alone(name: str) -> None:
    alone = {name: EVERYTHING[name]}
    assert magics.flow_options(parse(["party", *typed(alone)], FLOW), quiet=False).policy == policy(**alone)
