"""Where boxes go: never on one another, never too wide, arrows always down."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.view.layout import GAP, Box, Layout, layout

ROOM = 720.0


@st.composite
def drawings(draw: st.DrawFn, size: int = 24) -> tuple[list[float], list[tuple[int, int]]]:
    """Boxes of different widths with edges in any direction, repeats and loops included."""
    widths = draw(st.lists(st.sampled_from([60.0, 90.0, 133.0, 220.0]), min_size=1, max_size=size))
    ends = st.integers(0, len(widths) - 1)
    return widths, draw(st.lists(st.tuples(ends, ends), max_size=3 * size))


def overlaps(first: Box, second: Box) -> bool:
    return (
        first.x < second.x + second.width and second.x < first.x + first.width
        and first.y < second.y + second.height and second.y < first.y + first.height
    )


@settings(deadline=None, max_examples=200)
@given(drawings(), st.booleans())
def test_any_graph_is_laid_out_well(drawing: tuple[list[float], list[tuple[int, int]]], sideways: bool) -> None:
    widths, edges = drawing
    placed = layout(widths, edges, room=ROOM, sideways=sideways)
    assert [box.width for box in placed.boxes] == widths
    assert (placed.height if sideways else placed.width) <= ROOM
    for number, box in enumerate(placed.boxes):
        assert not any(overlaps(box, other) for other in placed.boxes[:number])
        assert box.x >= -0.1 and box.x + box.width <= placed.width + 0.1
        assert box.y >= -0.1 and box.y + box.height <= placed.height + 0.1
    for source, target in edges:
        if source < target:
            before, after = placed.boxes[source], placed.boxes[target]
            if sideways:
                assert before.x + before.width < after.x
            else:
                assert before.y + before.height < after.y
    assert layout(widths, list(reversed(edges)), room=ROOM, sideways=sideways) == placed


def test_two_chains_stand_side_by_side() -> None:
    assert layout([100.0] * 4, [(0, 2), (1, 3)]) == Layout(
        boxes=(
            Box(0.0, 0.0, 100.0, 38.0), Box(114.0, 0.0, 100.0, 38.0),
            Box(0.0, 80.0, 100.0, 38.0), Box(114.0, 80.0, 100.0, 38.0),
        ),
        width=214.0,
        height=118.0,
    )


def test_sideways_they_stand_one_below_the_other_and_each_in_the_middle_of_its_column() -> None:
    placed = layout([100.0, 60.0, 100.0, 60.0], [(0, 2), (1, 3)], height=30.0, gap=50.0, sideways=True)
    assert placed == Layout(
        boxes=(
            Box(0.0, 0.0, 100.0, 30.0), Box(20.0, 44.0, 60.0, 30.0),
            Box(150.0, 0.0, 100.0, 30.0), Box(170.0, 44.0, 60.0, 30.0),
        ),
        width=250.0,
        height=74.0,
    )


def test_a_join_stands_under_the_middle_of_its_parents() -> None:
    boxes = layout([100.0] * 4, [(0, 3), (1, 3), (2, 3)]).boxes
    assert boxes[3].middle == boxes[1].middle == 164.0


def test_siblings_stand_around_the_place_that_all_of_them_want() -> None:
    boxes = layout([100.0] * 7, [(2, 5), (2, 6)]).boxes
    assert boxes[5].middle + boxes[6].middle == 2 * boxes[2].middle
    assert boxes[6].middle - boxes[5].middle == 114.0


def test_crossed_chains_are_uncrossed() -> None:
    boxes = layout([100.0] * 6, [(0, 5), (1, 4), (2, 3)]).boxes
    tops = sorted(range(3), key=lambda node: boxes[node].x)
    assert sorted((5, 4, 3), key=lambda node: boxes[node].x) == [5 - node for node in tops]


def test_a_wide_rank_is_wrapped_into_even_rows() -> None:
    edges = [edge for node in range(1, 13) for edge in ((0, node), (node, 13))]
    boxes = layout([100.0] * 14, edges).boxes
    rows: dict[float, int] = {}
    for box in boxes:
        rows[box.y] = rows.get(box.y, 0) + 1
    assert list(rows.values()) == [1, 6, 6, 1]


def test_a_source_stands_just_above_its_first_use() -> None:
    boxes = layout([60.0] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)]).boxes
    assert boxes[3].y == boxes[2].y


def test_nothing_is_a_picture_too() -> None:
    assert layout([], []) == Layout((), 0.0, 0.0)
    assert layout([900.0], [(0, 0)]).width == 900.0
    assert GAP > 0
