"""A store that has gone backwards is noticed, and what is merely newer is not blamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.store.marks import Chain, Mark, Marks, RunMark, losses, ranges, remembered, runs_hit

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


@pytest.mark.parametrize(
    ("records", "missing"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([("a", 1, 0), ("b", 2, 0), ("a", 3, 1), ("b", 4, 2)], [], id="whole"),
        pytest.param([("a", 1, 0), ("a", 3, 2)], [("a", 2)], id="one in the middle"),
        pytest.param([("a", 3, 1), ("b", 4, 2)], [("a", 1), ("b", 2)], id="the first of each"),
        pytest.param([("a", 1, 0), ("a", 9, 5), ("a", 12, 9)], [("a", 5)], id="it goes on after that"),
        pytest.param([("a", 1, 0), ("a", 2, None), ("a", 3, 2)], [], id="written over whatever was there"),
        pytest.param([("a", 1, 0), ("b", 2, 0)], [], id="the last of a job is told by nobody"),
    ],
)
def test_a_record_that_is_gone_is_named_by_the_next(records: list, missing: list) -> None:
    chain = Chain()
    for record in records:
        chain.take(*record)
    assert [(each.subject, each.seq) for each in chain.missing] == missing


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_whichever_record_is_gone_the_next_of_its_job_tells(jobs: list[int], data: st.DataObject) -> None:
    newest: dict[str, int] = {}
    log = []
    for seq, job in enumerate(jobs, 1):
        log.append((str(job), seq, newest.get(str(job), 0)))
        newest[str(job)] = seq
    gone = data.draw(st.sampled_from(log))
    chain = Chain()
    for record in log:
        if record != gone:
            chain.take(*record)
    last = gone[1] == newest[gone[0]]
    assert [(each.subject, each.seq) for each in chain.missing] == ([] if last else [gone[:2]])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), ""), ((3,), "3"), ((3, 4), "3 to 4"), ((9, 5, 7, 6), "5 to 7 and 9"), ((1, 3, 4, 9), "1, 3 to 4 and 9")],
)
def test_numbers_in_words(numbers: tuple, text: str) -> None:
    assert ranges(numbers) == text


def test_the_runs_that_a_cut_has_hit() -> None:
    runs = {"a.1": RunMark(2, 10, settled=True), "a.2": RunMark(5, 20), "b.1": RunMark(7, 0)}
    assert runs_hit(runs, 10, manifests=False) == ["a.2"]
    assert runs_hit(runs, 9, manifests=False) == ["a.1", "a.2"]
    assert runs_hit(runs, 4, manifests=True) == ["a.2", "b.1"]
    assert runs_hit(runs, 0, manifests=False) == ["a.1", "a.2"]
