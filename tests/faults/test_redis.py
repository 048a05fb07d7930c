"""Redis that dies, freezes, forgets or is full."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import pytest
from redis import Redis

from tests.faults.conftest import Fault
from tests.faults.house import FINAL, SWEEP, House, until
from workers.jobs import keys
from workers.jobs.doorbell import ring

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


def test_a_frozen_redis(house: House, fault: Fault) -> None:
    """Redis frozen for 12 s in the midst of a job."""
    job = house.ask(seconds=0.3, method=SWEEP)
    house.running(job)
    house.redis.freeze()
    fault.fire()
    end = time.monotonic() + 12
    while time.monotonic() < end:
        for answer in (house.post(), house.client.get(f"explanations/{job}")):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.elapsed.total_seconds() < 1.3
        time.sleep(0.5)
    house.redis.thaw()
    house.works(30)
    assert house.final(job)["status"] == "succeeded"
    fault.over(45, jobs=2)
    house.assert_clean()


def test_frozen_across_the_end_of_a_job(house: House, fault: Fault) -> None:
    """Redis frozen for 15 s across the end of a job."""
    job = house.ask(seconds=2.0)
    house.running(job)
    house.redis.freeze()
    fault.fire()
    time.sleep(15)
    house.redis.thaw()
    house.works(30)
    assert house.final(job)["status"] == "succeeded"
    fault.over(50, jobs=2)
    for _ in range(3):
        assert house.works() < 5, "it takes work no longer as it did"
    house.assert_clean()


def test_away_for_long_across_the_end_of_a_job(house: House, fault: Fault) -> None:
    """Redis killed, and back after 28 s, across the end of a job."""
    job = house.ask(seconds=3.0)
    house.running(job)
    house.redis.kill()
    fault.fire()
    time.sleep(28)
    house.redis.start()
    house.works(30)
    assert house.final(job)["status"] == "succeeded"
    fault.over(75, jobs=2)
    house.assert_clean()


def test_a_restart_with_its_append_only_file(open_house: Callable[..., House], fault: Fault) -> None:
    """kill -9 of Redis with 300 jobs queued, and a restart with its append-only file."""
    house = open_house(workers=2, options=("--appendonly", "yes", "--appendfsync", "everysec"))
    running = [house.ask(seconds=0.3, method=SWEEP) for _ in range(2)]
    jobs = house.many(300, lambda i: house.ask(seconds=0.1))
    house.redis.kill()
    fault.fire()
    house.redis.start()
    before = sum(house.record(job) in FINAL for job in jobs)
    until(lambda: sum(house.record(job) in FINAL for job in jobs) > before, 30, "work goes on")
    finals = [house.final(job, 120) for job in [*running, *jobs]]
    fault.over(60, jobs=302, lost=sum(final["status"] != "succeeded" for final in finals))
    house.assert_clean()


def test_a_restart_with_an_empty_disk(open_house: Callable[..., House], fault: Fault) -> None:
    """Redis restarted with an empty disk."""
    house = open_house()
    done, waiting = house.ask(), house.ask(seconds=0.5, method=SWEEP)
    house.final(done)
    house.redis.kill()
    shutil.rmtree(house.redis.folder)
    house.redis.folder.mkdir()
    fault.fire()
    house.redis.start()
    for job in (done, waiting):
        answer = house.client.get(f"explanations/{job}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    until(house.ready, 30)
    house.works(30)
    fault.over(40, jobs=1)
    house.assert_clean(20)


def test_a_message_delivered_many_times(open_house: Callable[..., House], fault: Fault) -> None:
    """The same message delivered six times to three workers."""
    house = open_house(workers=3)
    with house.hearing() as heard, Redis.from_url(house.redis.url) as bell:
        job = house.ask(seconds=0.3, method=SWEEP)
        for _ in range(6):
            ring(bell, keys.INTERACTIVE)
        fault.fire()
        final = house.final(job)
        assert (final["status"], final["attempts"]) == ("succeeded", 1)
        fault.over(30)
        house.assert_clean()
        events = heard()
    assert (events.count(f"{job} started"), events.count(f"{job} succeeded")) == (1, 1)
