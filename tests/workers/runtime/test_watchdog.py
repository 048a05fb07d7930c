"""When a worker that lives but does not work is ended."""

from __future__ import annotations

import math

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError
from structlog.testing import capture_logs

from workers.jobs import keys
from workers.jobs.records import Store
from workers.runtime import tasks
from workers.runtime.settings import SettingRefused
from workers.runtime.supervise import activity, watchdog
from workers.runtime.supervise.watchdog import Watchdog


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    monkeypatch.setattr(activity, "time", clock)
    monkeypatch.setattr(activity._at, "value", 0.0)
    return clock


def looks(dog: Watchdog, clock: Clock, seconds: float) -> bool:
    """Whether it would end the worker, in so many seconds of looking."""
    ends = False
    for _ in range(int(seconds / watchdog.LOOK_S)):
        clock.now += watchdog.LOOK_S
        ends = ends or dog.stalled()
    return ends


def test_a_worker_that_leaves_work_waiting_is_ended(clock: Clock) -> None:
    dog = Watchdog(lambda: True, _since=clock.now)
    assert not looks(dog, clock, 30)
    assert looks(dog, clock, 4)


def test_one_that_works_is_not(clock: Clock) -> None:
    dog = Watchdog(lambda: True, _since=clock.now)
    for _ in range(10):
        activity.note()
        assert not looks(dog, clock, 20)
    assert looks(dog, clock, 20)


def test_nor_one_that_has_nothing_to_do_or_has_only_begun_to_have(clock: Clock) -> None:
    waits = False
    dog = Watchdog(lambda: waits, _since=clock.now)
    assert not looks(dog, clock, 1000)
    waits = True
    assert not looks(dog, clock, 30)
    assert looks(dog, clock, 4)


def test_nor_one_without_redis(clock: Clock) -> None:
    away = True

    def waiting() -> bool:
        if away:
            raise NoConnection
        return True

    dog = Watchdog(waiting, _since=clock.now)
    assert not looks(dog, clock, 1000)
    away = False
    assert not looks(dog, clock, 30)


def test_nor_one_whose_redis_takes_no_writes(store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not store.waiting(["interactive"], "p")
    jobs.sadd(keys.classes("interactive"), "o,p")
    assert store.waiting(["interactive"], "p")

    def refuses(*_: object, **__: object) -> None:
        raise ReadOnlyError

    monkeypatch.setattr(jobs, "set", refuses)
    with pytest.raises(ReadOnlyError):
        store.waiting(["interactive"], "p")


def test_nor_one_whose_child_still_starts(clock: Clock) -> None:
    activity.opening()
    assert not looks(Watchdog(lambda: True, _since=clock.now), clock, 1000)


def test_a_setting_that_cannot_be_followed_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise SettingRefused("cpu works here")

    monkeypatch.setattr("workers.runtime.startup.open_worker", refused)
    with capture_logs() as told:
        tasks._child_starts()
    assert [one for one in told if one["log_level"] == "critical"] == [
        {"event": "the worker cannot start", "reason": "cpu works here", "log_level": "critical"}
    ]
    assert not any("exc_info" in one for one in told)
    assert activity.last() == -math.inf


def test_one_whose_child_cannot_start_is_ended_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise ValueError("no such device")

    monkeypatch.setattr("workers.runtime.startup.open_worker", cannot)
    monkeypatch.setattr(tasks, "_worker", None)
    tasks._child_starts()
    assert activity.last() == -math.inf
    assert Watchdog(lambda: False, _since=clock.now).stalled()
