"""A worker learns that nobody can have heard of it for a lease, and only then."""

from __future__ import annotations

import pytest

from elfbook.work import pulse
from elfbook.work.pulse import LEASE_S, Pulse


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


@pytest.fixture
def told() -> list[float]:
    return []


@pytest.fixture
def beats(clock: Clock, told: list[float]) -> Pulse:
    made = Pulse(None, None, lambda: told.append(clock.now))
    made._sent = clock.now
    made._came_through(None)
    return made


def beat(beats: Pulse, clock: Clock, after_s: float, *, heard: bool = True) -> None:
    clock.now += after_s
    beats.notice_sleep()
    beats._sent = clock.now
    if heard:
        beats._came_through(None)


def test_beats_that_come_through_are_no_sleep(beats: Pulse, clock: Clock, told: list[float]) -> None:
    for _ in range(10):
        beat(beats, clock, LEASE_S / 2)
    assert told == []


def test_a_frozen_worker_learns_it_at_its_first_look(beats: Pulse, clock: Clock, told: list[float]) -> None:
    clock.now += LEASE_S + 1
    beats.notice_sleep()
    assert told == [clock.now]
    beats.notice_sleep()
    assert len(told) == 1, "once for each sleep"


def test_the_echo_of_a_beat_from_before_the_sleep_does_not_hide_it(
    beats: Pulse, clock: Clock, told: list[float]
) -> None:
    clock.now += LEASE_S + 1
    beats._came_through(None)
    assert told == [clock.now]


def test_a_worker_that_was_cut_off_had_sent_beats_for_nothing(
    beats: Pulse, clock: Clock, told: list[float]
) -> None:
    for _ in range(4):
        beat(beats, clock, LEASE_S / 4, heard=False)
    assert told == []
    beat(beats, clock, 1.0, heard=False)
    assert told == [clock.now]


def test_before_the_first_beat_there_is_nothing_to_conclude(clock: Clock, told: list[float]) -> None:
    fresh = Pulse(None, None, lambda: told.append(clock.now))
    clock.now += 100 * LEASE_S
    fresh.notice_sleep()
    assert told == []
