"""Ready jobs in the order in which they are offered: each once, by priority, and fair among groups."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.facts import LOT
from elfbook.log.lineup import WEIGHTS, Lineup

HIGH, NORMAL, LOW = range(len(WEIGHTS))
CALM = settings(deadline=None, max_examples=200)
PLACES = st.tuples(st.integers(HIGH, LOW), st.sampled_from("abcd"), st.integers(0, 3 * LOT))
MOST = st.integers(1, 200)


def drained(lineup: Lineup, most: int = 1) -> list[tuple[str, list[int]]]:
    taken = []
    while (found := lineup.take(most)) is not None:
        taken.append(found)
    assert (lineup.size, lineup.next_group()) == (0, None)
    return taken


@CALM
@given(st.lists(PLACES, unique=True), MOST)
def test_each_job_is_taken_once_and_in_order(places: list[tuple[int, str, int]], most: int) -> None:
    lineup = Lineup()
    for priority, group, job in places:
        lineup.add(priority, (priority, group), job)
    assert lineup.size == len(places)
    seen: dict[object, list[int]] = {}
    while (following := lineup.next_group()) is not None:
        group, jobs = lineup.take(most)
        assert group == following[1]
        assert 1 <= len(jobs) <= most
        assert len({job // LOT for job in jobs}) == 1, "of one lot"
        seen.setdefault(group, []).extend(jobs)
    assert lineup.size == 0
    for group, jobs in seen.items():
        assert jobs == sorted(jobs)
        assert jobs == sorted(job for priority, letter, job in places if (priority, letter) == group)
    assert sum(map(len, seen.values())) == len(places)


@CALM
@given(st.lists(st.one_of(PLACES, MOST), max_size=80), MOST)
def test_what_is_added_while_others_are_taken_is_taken_too(steps: list, most: int) -> None:
    """Also twice: then it is taken once or twice, and nothing is lost or counted wrongly."""
    lineup = Lineup()
    added: Counter[tuple[object, int]] = Counter()
    taken: Counter[tuple[object, int]] = Counter()

    def take(limit: int) -> None:
        if (found := lineup.take(limit)) is not None:
            group, jobs = found
            assert len(set(jobs)) == len(jobs)
            taken.update((group, job) for job in jobs)

    for step in steps:
        if isinstance(step, int):
            take(step)
        else:
            priority, letter, job = step
            lineup.add(priority, (priority, letter), job)
            added[(priority, letter), job] += 1
        assert lineup.size == sum(len(heap) for level in lineup.levels for heap in level.groups.values())
    while lineup.size:
        take(most)
    assert taken.keys() == added.keys()
    assert all(1 <= taken[each] <= count for each, count in added.items())


def test_a_job_added_twice_is_in_a_take_once() -> None:
    lineup = Lineup()
    for job in (5, 3, 5, 3, 4):
        lineup.add(NORMAL, "a", job)
    assert drained(lineup, 9) == [("a", [3, 4, 5])]


def test_of_21_jobs_16_are_high_4_normal_and_1_low() -> None:
    lineup = Lineup()
    for priority in (HIGH, NORMAL, LOW):
        for job in range(100):
            lineup.add(priority, priority, job)
    order = [lineup.take(1)[0] for _ in range(105)]
    for first in range(0, 105, 21):
        assert Counter(order[first : first + 21]) == {HIGH: 16, NORMAL: 4, LOW: 1}


def test_shares_are_of_jobs_and_not_of_takes() -> None:
    """A priority whose jobs go many at a time has no larger share for it."""
    lineup = Lineup()
    for job in range(4000):
        lineup.add(HIGH, "long", job)
        lineup.add(NORMAL, "short", job)
    taken: Counter[str] = Counter()
    while taken.total() < 2000:
        most = 1 if lineup.next_group()[0] == HIGH else 64
        group, jobs = lineup.take(most)
        taken[group] += len(jobs)
    assert abs(taken["long"] - 4 * taken["short"]) <= 4 * 64


@CALM
@given(st.lists(st.sampled_from([HIGH, NORMAL]), max_size=60), MOST)
def test_nothing_starves(others: list[int], most: int) -> None:
    """However many more urgent jobs keep coming, one of low priority has its turn."""
    lineup = Lineup()
    lineup.add(LOW, "patient", 0)
    number, jobs = 0, 0
    while True:
        for priority in [HIGH, NORMAL, *others]:
            for _ in range(most):
                number += 1
                lineup.add(priority, priority, number)
        group, taken = lineup.take(most)
        if group == "patient":
            break
        jobs += len(taken)
        assert jobs <= 20 + 3 * most, "starved"


def test_a_priority_alone_gets_everything() -> None:
    lineup = Lineup()
    for job in range(50):
        lineup.add(LOW, "a", job)
    assert [jobs[0] for _, jobs in drained(lineup)] == list(range(50))


def test_a_level_that_was_empty_has_saved_nothing_up() -> None:
    lineup = Lineup()
    for job in range(1000):
        lineup.add(HIGH, "steady", job)
    for _ in range(800):
        lineup.take(1)
    for job in range(100):
        lineup.add(LOW, "late", job)
    assert Counter(lineup.take(1)[0] for _ in range(34))["late"] <= 3


def test_a_level_that_had_all_to_itself_has_nothing_to_pay_back() -> None:
    lineup = Lineup()
    for job in range(500):
        lineup.add(LOW, "alone", job)
    drained(lineup, LOT)
    for job in range(100):
        lineup.add(HIGH, "new", job)
        lineup.add(LOW, "alone", job)
    assert Counter(lineup.take(1)[0] for _ in range(34))["alone"] >= 1


def test_groups_take_turns_whatever_their_size() -> None:
    lineup = Lineup()
    for job in range(100):
        lineup.add(NORMAL, "large", job)
    lineup.take(1)
    lineup.add(NORMAL, "small", 0)
    lineup.add(NORMAL, "other", 0)
    order = [lineup.take(1)[0] for _ in range(5)]
    assert order == ["large", "small", "other", "large", "large"]


def test_a_take_ends_with_its_lot() -> None:
    lineup = Lineup()
    for job in range(LOT - 2, LOT + 3):
        lineup.add(NORMAL, "a", job)
    assert drained(lineup, 100) == [("a", [LOT - 2, LOT - 1]), ("a", [LOT, LOT + 1, LOT + 2])]


def test_groups_can_be_forgotten() -> None:
    lineup = Lineup()
    for priority, group, job in ((HIGH, "a", 1), (HIGH, "b", 2), (LOW, "a", 3), (LOW, "a", 4)):
        lineup.add(priority, group, job)
    lineup.forget(lambda group: group == "a")
    assert lineup.size == 1
    assert drained(lineup) == [("b", [2])]


@CALM
@given(st.lists(PLACES, unique=True), st.lists(PLACES, unique=True), MOST)
def test_many_at_once_are_lined_up_as_one_by_one(before: list, many: list, most: int) -> None:
    alone, together = Lineup(), Lineup()
    for priority, group, job in before:
        alone.add(priority, group, job)
        together.add(priority, group, job)
    groups: dict[tuple[int, str], list[int]] = {}
    for priority, group, job in many:
        groups.setdefault((priority, group), []).append(job)
    for (priority, group), jobs in groups.items():
        for job in jobs:
            alone.add(priority, group, job)
        together.add_all(priority, group, jobs)
    assert together.size == alone.size
    assert drained(together, most) == drained(alone, most)
