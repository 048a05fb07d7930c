"""Links between a worker and Redis that go silent, are slow, or break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.conftest import Fault
from tests.faults.house import SWEEP, House
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


@pytest.fixture
def linked(open_house: Callable[..., House]) -> Iterator[tuple[House, Proxy]]:
    """A house whose worker reaches Redis by a proxy."""
    made: list[Proxy] = []

    def link(port: int) -> int:
        made.append(Proxy(port))
        return made[0].port

    yield open_house(links=link), made[0]
    made[0].close()


def test_a_link_that_goes_silent_while_idle(linked: tuple[House, Proxy], fault: Fault) -> None:
    """A half-open link to an idle worker, for 10 s."""
    house, proxy = linked
    house.works()
    with proxy.silent():
        fault.fire()
        job = house.ask()
        time.sleep(10)
        assert proxy.held > 0
    assert house.final(job)["status"] == "succeeded"
    house.works(30)
    fault.over(60, jobs=2)
    for _ in range(3):
        assert house.works() < 5, "it takes work no longer as it did"
    house.assert_clean()


def test_a_link_that_goes_silent_across_the_end_of_a_job(linked: tuple[House, Proxy], fault: Fault) -> None:
    """A half-open link across the end of a job, for 15 s."""
    house, proxy = linked
    job = house.ask(seconds=2.0)
    house.running(job)
    with proxy.silent():
        fault.fire()
        time.sleep(15)
        assert proxy.held > 0
    assert house.final(job)["status"] == "succeeded"
    house.works(30)
    fault.over(75, jobs=2)
    for _ in range(3):
        assert house.works() < 5, "it takes work no longer as it did"
    house.assert_clean()


def test_a_slow_link_that_breaks(linked: tuple[House, Proxy], fault: Fault) -> None:
    """A link with 100 ms of delay at every packet, and one in 50 reset."""
    house, proxy = linked
    proxy.delay, proxy.resets = 0.1, 0.02
    fault.fire()
    jobs = [house.ask(seconds=0.05, method=SWEEP if i % 5 == 0 else "predict") for i in range(30)]
    finals = [house.final(job, 120) for job in jobs]
    assert proxy.dropped > 0
    fault.over(150, jobs=30, lost=sum(final["status"] != "succeeded" for final in finals))
    proxy.heal()
    house.works(30)
    house.assert_clean()
