"""Which jobs depend on some, and which nothing else needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.log.reach import above, below
from elfbook.model import Graph, JobSpec


def graph(*needs: tuple[int, ...], after: tuple[int, ...] = (), turn: int | None = None) -> Graph:
    """The last job also waits for `after`."""
    jobs = [JobSpec(0, "task_t", b"", parents=each) for each in needs]
    jobs[-1] = JobSpec(0, "task_t", b"", parents=needs[-1], after=after, turn=turn)
    return Graph((), tuple(jobs), b"")


#   0     1
#   | \   |
#   2  3  |
#    \  \ |
#     5  4
DIAMOND = graph((), (), (0,), (0,), (3, 1), (2,))


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([0], {0, 2, 3, 4, 5}),
        ([1], {1, 4}),
        ([2], {2, 5}),
        ([3], {3, 4}),
        ([5], {5}),
        ([], set()),
        ([1, 2], {1, 2, 4, 5}),
    ],
)
def test_below(jobs: list[int], expected: set[int]) -> None:
    assert below(DIAMOND, jobs) == expected


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([5], {5, 2}),  # 0 is needed by 3 as well
        ([4], {4, 3, 1}),
        ([4, 5], {0, 1, 2, 3, 4, 5}),
        ([2, 3], {0, 2, 3}),
        ([0], {0}),
        ([], set()),
    ],
)
def test_above(jobs: list[int], expected: set[int]) -> None:
    assert above(DIAMOND, jobs) == expected


def test_after_counts_and_mere_order_does_not() -> None:
    assert below(graph((), (), after=(0,)), [0]) == {0, 1}
    assert above(graph((), (), after=(0,)), [1]) == {0, 1}
    assert below(graph((), (), turn=0), [0]) == {0}
    assert above(graph((), (), turn=0), [1]) == {1}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, set[int]]:
    size = draw(st.integers(1, 12))
    needs = [
        tuple(sorted(draw(st.sets(st.integers(0, n - 1), max_size=3)))) if n else () for n in range(size)
    ]
    return graph(*needs), draw(st.sets(st.integers(0, size - 1), max_size=3))


@given(graphs())
def test_nothing_outside_needs_what_is_inside_and_the_other_way_round(given: tuple[Graph, set[int]]) -> None:
    drawn, named = given
    down, up = below(drawn, named), above(drawn, named)
    for job, spec in enumerate(drawn.jobs):
        if job not in down:
            assert down.isdisjoint(spec.parents), "a job that depends on one of them is left out"
        if job not in up:
            assert (up - named).isdisjoint(spec.parents), "something else needs what was taken"
    assert named <= down
    assert named <= up
    both = above(drawn, down)
    assert both >= down | up
