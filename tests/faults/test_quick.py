"""Faults that `make test-all` tries, too: one house, some seconds each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import Fault
from tests.faults.house import SWEEP, House, until
from tests.faults.trouble import Do
from tests.patience import PATIENCE_S, SHARED
from workers.jobs import keys

pytestmark = [pytest.mark.slow, pytest.mark.brief, pytest.mark.timeout(8 * PATIENCE_S)]


def test_a_child_that_is_killed_loses_nothing(house: House, fault: Fault) -> None:
    """kill -9 of the child in the midst of a job."""
    job = house.ask(seconds=0.3, method=SWEEP)
    house.running(job)
    (child,) = house.crew[0].children()
    parent = house.crew[0].pid
    os.kill(child, signal.SIGKILL)
    fault.fire()
    final = house.final(job)
    assert (final["status"], final["attempts"]) == ("succeeded", 2)
    fault.over(60)
    assert house.crew[0].pid == parent
    house.assert_clean()
    assert house.final(job)["finished_at"] == final["finished_at"]


SLOW = "input_times_gradient"  # nobody else asks for it here: it is not known to be too quick for a lane


def both(house: House, do: Do = Do.NOTHING) -> list[str]:
    """Two short works, in either lane of the worker one, of which the second does something."""
    house.works()  # the model is loaded
    jobs = []
    for one, seconds in ((Do.NOTHING, 6.0), (do, 2.0)):
        jobs.append(house.ask(one, seconds, SLOW))
        house.running(jobs[-1])
    assert [house.record(job) for job in jobs] == ["open", "open"]
    return jobs


def test_a_child_that_is_killed_with_both_lanes_taken_loses_neither(house: House, fault: Fault) -> None:
    """kill -9 of the child in the midst of two jobs."""
    jobs = both(house)
    os.kill(house.crew[0].children()[0], signal.SIGKILL)
    fault.fire()
    finals = [house.final(job) for job in jobs]
    assert [(final["status"], final["attempts"]) for final in finals] == [("succeeded", 2)] * 2
    fault.over(60, jobs=2)
    house.assert_clean()


def test_an_input_that_kills_workers_costs_its_neighbour_in_the_other_lane_one_attempt(
    house: House, fault: Fault
) -> None:
    """An input that kills its worker each time, beside another."""
    neighbour, poison = both(house, Do.DIE)
    fault.fire()
    assert (house.final(poison)["code"], house.final(neighbour)["status"]) == ("worker_crashed", "succeeded")
    assert house.final(neighbour)["attempts"] <= 2
    fault.over(90, jobs=2)
    house.works()
    house.assert_clean()


@pytest.mark.parametrize(
    ("do", "code"),
    [
        (Do.MEMORY_ERROR, "out_of_memory"),
        (Do.EXIT, "internal_error"),
        (Do.INTERRUPT, "internal_error"),
        (Do.RECURSE, "internal_error"),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Do) else "",
)
def test_what_a_method_raises_ends_its_own_job_alone(house: House, fault: Fault, do: Do, code: str) -> None:
    """MemoryError, SystemExit, KeyboardInterrupt and RecursionError in a method."""
    before = house.crew[0].pid, house.crew[0].children()
    fault.fire()
    job, neighbour = house.ask(do), house.ask()
    final = house.final(job)
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 1, code)
    assert house.final(neighbour)["status"] == "succeeded"
    fault.over(30, jobs=2)
    assert (house.crew[0].pid, house.crew[0].children()) == before
    house.assert_clean()


def test_a_lost_device_costs_one_child_and_one_attempt(house: House, fault: Fault) -> None:
    """A device-side assertion, as CUDA raises it (mocked)."""
    (child,) = house.crew[0].children()
    fault.fire()
    job = house.ask(Do.LOSE_DEVICE)
    final = house.final(job)
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 3, "worker_crashed")
    fault.over(60)
    assert child not in house.crew[0].children()
    house.works()
    house.assert_clean()


def test_a_batch_too_large_for_memory_is_computed_in_parts(house: House, fault: Fault) -> None:
    """Memory that only passes of eight rows fit into."""
    fault.fire()
    job = house.ask(Do.MEMORY_ERROR_OF_MANY, method=SWEEP)
    final = house.final(job)
    assert (final["status"], final["attempts"]) == ("succeeded", 1)
    fault.over(40)


def test_without_redis_every_answer_is_a_problem_and_comes_at_once(house: House, fault: Fault) -> None:
    """Redis refuses connections."""
    waiting = house.ask(seconds=0.2, method=SWEEP)
    house.redis.kill()
    fault.fire()
    answers = house.many(60, lambda i: house.post() if i % 2 else house.client.get(f"explanations/{waiting}"))
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "retry-after" in answer.headers
    alone = house.post()
    assert alone.elapsed.total_seconds() < SHARED
    house.redis.start()
    house.works(30)
    assert house.final(waiting)["status"] == "succeeded"
    fault.over(60, jobs=2)
    house.assert_clean()


def test_a_worker_that_must_end_finishes_or_hands_back(house: House, fault: Fault) -> None:
    """SIGTERM in the midst of a job."""
    job = house.ask(seconds=0.4, method=SWEEP)
    house.running(job)
    deaths = len(house.crew[0].deaths)
    house.crew[0].kill(signal.SIGTERM)
    fault.fire()
    final = house.final(job)
    assert (final["status"], final["attempts"]) == ("succeeded", 1)
    fault.over(60)
    until(lambda: len(house.crew[0].deaths) > deaths, 60, "ended")  # it may have finished its job first
    assert house.crew[0].deaths[deaths:] == [0]
    house.assert_clean()


def test_a_worker_that_must_end_as_it_is_rung_does_not_linger(open_house: Callable[..., House], fault: Fault) -> None:
    """SIGTERM before the child has said that it took up the bell."""
    house = open_house()  # in which no bell waits to ring once more
    house.works()
    unanswered, bells = keys.PREFIX + "unacked_index", keys.PREFIX + keys.INTERACTIVE
    until(lambda: not house.jobs.zcard(unanswered), 20, "answered")
    worker, deaths = house.crew[0], len(house.crew[0].deaths)
    (child,) = worker.children()
    os.kill(child, signal.SIGSTOP)
    job = house.ask()
    until(lambda: house.jobs.zcard(unanswered) and not house.jobs.exists(bells), 20, "rung")
    time.sleep(0.5)  # it is written to the child
    worker.kill(signal.SIGTERM)
    time.sleep(0.5)  # what is not taken up is forgotten
    os.kill(child, signal.SIGCONT)
    fault.fire()
    until(lambda: len(worker.deaths) > deaths, 25, "ended")
    fault.gone()
    assert worker.deaths[deaths:] == [0]
    assert house.final(job)["status"] == "succeeded"
    fault.over(60)
    house.assert_clean()
