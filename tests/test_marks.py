"""A store that has gone backwards is noticed, and what is merely newer is not blamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.store.marks import Mark, Marks, losses, remembered

DAY, NEXT_DAY = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        pytest.param(None, None, [], id="nothing was and nothing is"),
        pytest.param(None, Mark(DAY, 9, 9), [], id="a stream that was not known"),
        pytest.param(Mark(DAY, 9, 9), Mark(DAY, 9, 9), [], id="as it was"),
        pytest.param(Mark(DAY, 9, 9), Mark(DAY, 12, 12), [], id="it grew"),
        pytest.param(Mark(DAY, 9, 7), Mark(DAY, 12, 10), [], id="it had holes, and has the same ones"),
        pytest.param(Mark(DAY, 9, 7), Mark(DAY, 12, 12), [], id="holes that were filled"),
        pytest.param(Mark(DAY, 0, 0), Mark(DAY, 0, 0), [], id="empty"),
        pytest.param(Mark(DAY, 9, 9), None, ["JOBS with its 9 records is gone"], id="gone"),
        pytest.param(Mark(DAY, 9, 9), Mark(NEXT_DAY, 0, 0), ["JOBS with its 9 records is gone"], id="made anew"),
        pytest.param(Mark(DAY, 9, 9), Mark(NEXT_DAY, 20, 20), ["is gone"], id="made anew, and longer now"),
        pytest.param(
            Mark(DAY, 9, 9),
            Mark(DAY, 6, 6),
            ["lost its newest records: it was at 9 and is at 6"],
            id="shorter",
        ),
        pytest.param(Mark(DAY, 9, 9), Mark(DAY, 0, 0), ["it was at 9 and is at 0"], id="emptied"),
        pytest.param(Mark(DAY, 9, 9), Mark(DAY, 12, 10), ["has 2 records less"], id="a hole"),
        pytest.param(Mark(DAY, 9, 8), Mark(DAY, 12, 9), ["has 2 records less"], id="a second hole"),
        pytest.param(None, Mark(DAY, 12, 9), ["has 3 records less"], id="a hole in an unknown stream"),
        pytest.param(
            Mark(DAY, 9, 9),
            Mark(DAY, 6, 4),
            ["lost its newest records", "has 2 records less"],
            id="shorter and a hole",
        ),
    ],
)
def test_what_is_said_of_a_stream(before: Mark | None, now: Mark | None, said: list[str]) -> None:
    lines = losses({"JOBS": before} if before else {}, {"JOBS": now} if now else {})
    assert len(lines) == len(said)
    for line, words in zip(lines, said, strict=True):
        assert words in line
        assert line.startswith("JOBS ")


def test_each_stream_is_judged_by_itself() -> None:
    whole, short = Mark(DAY, 9, 9), Mark(DAY, 5, 5)
    before = {"RUNS": whole, "JOBS": whole, "BLOBS": whole}
    assert [line.split()[0] for line in losses(before, {"RUNS": whole, "JOBS": short})] == ["JOBS", "BLOBS"]


def test_marks_of_earlier_versions_are_read() -> None:
    mark = {"created": DAY, "last": 9, "messages": 8}
    assert remembered({}) == Marks()
    assert remembered({"JOBS": mark}) == Marks(streams={"JOBS": Mark(DAY, 9, 8)})
    assert remembered({"streams": {"JOBS": mark}, "epoch": 7}) == Marks({"JOBS": Mark(DAY, 9, 8)}, 7)


counts = st.integers(0, 50)


@given(counts, counts, counts)
def test_a_stream_that_only_grows_is_never_blamed(last: int, holes: int, more: int) -> None:
    before = Mark(DAY, last, max(0, last - holes))
    now = Mark(DAY, last + more, before.messages + more)
    assert losses({"JOBS": before}, {"JOBS": now}) == []


@given(st.integers(1, 50), st.data())
def test_a_lost_record_is_always_noticed(last: int, data: st.DataObject) -> None:
    """Whichever it was, and however many came after it."""
    before, kept = Mark(DAY, last, last), set(range(1, last + 1)) - {data.draw(st.integers(1, last))}
    newest = max(kept, default=0)
    more = data.draw(counts) if newest == last else 0  # after a cut, numbering goes on from the cut
    assert losses({"JOBS": before}, {"JOBS": Mark(DAY, newest + more, len(kept) + more)})
