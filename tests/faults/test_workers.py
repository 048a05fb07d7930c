"""Workers that die, hang, stall or are told to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Fault
from tests.faults.house import SWEEP, House, until
from tests.faults.trouble import Do
from workers.runtime.supervise.watchdog import EXIT_CODE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]
STALLS = """
    from pathlib import Path
    from kombu.transport.virtual import base
    able = base.QoS.can_consume
    base.QoS.can_consume = lambda self: able(self) and not Path({flag!r}).exists()
"""
SKEWED = """
    import time
    true = time.time
    time.time = lambda: true() + {seconds}
"""


def started_with(folder: Path, code: str) -> dict[str, str]:
    """The environment of a process that runs this code before its own."""
    folder.mkdir()
    lines = (line.removeprefix("    ") for line in code.splitlines())
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": str(folder)}


def test_a_worker_killed_whole(house: House, fault: Fault) -> None:
    """kill -9 of a whole worker in the midst of a job."""
    job = house.ask(seconds=0.3, method=SWEEP)
    house.running(job)
    house.crew[0].kill_all()
    fault.fire()
    final = house.final(job)
    assert (final["status"], final["attempts"]) == ("succeeded", 2)
    fault.over(60)
    house.assert_clean()


@pytest.mark.parametrize("do", [Do.DIE, Do.SEGFAULT], ids=["killed", "segfault"])
def test_an_input_that_kills_workers_is_given_up(house: House, fault: Fault, do: Do) -> None:
    """An input that kills its worker each time."""
    fault.fire()
    poison, neighbour = house.ask(do), house.ask()
    final = house.final(poison, 90)
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 3, "worker_crashed")
    assert house.final(neighbour)["status"] == "succeeded"
    fault.over(90, jobs=2)
    house.works()
    (child,) = until(house.crew[0].children)
    time.sleep(5)
    assert house.crew[0].children() == [child], "it goes on killing"
    house.assert_clean()


def test_kills_again_and_again(open_house: Callable[..., House], fault: Fault) -> None:
    """kill -9 again and again while 150 jobs are served."""
    house = open_house(workers=2)
    jobs = house.many(150, lambda i: house.ask(seconds=0.05, method=SWEEP if i % 5 == 0 else "predict"))
    until(lambda: any(house.record(job) != "open" for job in jobs))
    for number in range(6):
        kept = house.crew[number % 2]
        until(kept.children)
        kept.kill_all() if number % 3 else os.kill(kept.children()[0], signal.SIGKILL)
        fault.fire()
        time.sleep(1.5)
    finals = [house.final(job, 120) for job in jobs]
    fault.over(120, jobs=150, lost=sum(final["status"] != "succeeded" for final in finals))
    assert max(final["attempts"] for final in finals) > 1
    house.assert_clean()


def test_sigterm_under_load_costs_no_attempt(open_house: Callable[..., House], fault: Fault) -> None:
    """SIGTERM of one of two workers under load."""
    house = open_house(workers=2)
    jobs = house.many(60, lambda i: house.ask(seconds=0.1, method=SWEEP if i % 10 == 0 else "predict"))
    house.crew[0].kill(signal.SIGTERM)
    fault.fire()
    finals = [house.final(job, 90) for job in jobs]
    lost = sum(final["status"] != "succeeded" for final in finals)
    fault.over(90, jobs=60, lost=lost)
    assert {final["attempts"] for final in finals} == {1}
    until(lambda: house.crew[0].deaths)
    assert house.crew[0].deaths == [0]
    house.assert_clean()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["sigquit", "sigterm then sigkill"])
def test_an_end_without_grace_loses_nothing(house: House, fault: Fault, number: signal.Signals) -> None:
    """SIGQUIT, and SIGTERM with SIGKILL a second after."""
    job, next_job = house.ask(seconds=0.5, method=SWEEP), house.ask(seconds=0.3)
    house.running(job)
    if number is signal.SIGKILL:
        house.crew[0].kill(signal.SIGTERM)
        time.sleep(1)
        house.crew[0].kill_all()
    else:
        house.crew[0].kill(number)
    fault.fire()
    finals = house.final(job), house.final(next_job)
    assert [final["status"] for final in finals] == ["succeeded"] * 2
    fault.over(60, jobs=2)
    house.assert_clean()


def test_sigterm_of_the_child_alone(house: House, fault: Fault) -> None:
    """SIGTERM of the child in the midst of a job, as by systemd's control group."""
    job = house.ask(seconds=0.4, method=SWEEP)
    house.running(job)
    os.kill(house.crew[0].children()[0], signal.SIGTERM)
    fault.fire()
    final = house.final(job)
    assert final["status"] == "succeeded"
    fault.over(40)
    house.works()
    house.assert_clean()


def test_a_step_that_hangs_is_ended_and_a_slow_load_is_not(open_house: Callable[..., House], fault: Fault) -> None:
    """A step that hangs, and a model that takes 8 s to load."""
    house = open_house(load_s=8.0, env={"WHENCE_TIME_LIMIT": "2"})
    job = house.ask(Do.HANG)
    house.running(job)
    (child,) = house.crew[0].children()
    fault.fire()
    final = house.final(job)
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 1, "deadline_exceeded")
    assert house.works() < 30
    fault.over(60)
    assert child not in house.crew[0].children()
    assert house.crew[0].deaths == []
    house.assert_clean()


def test_work_that_takes_too_long_is_stopped_at_a_step(open_house: Callable[..., House], fault: Fault) -> None:
    """Work of many steps that takes longer than the limit."""
    house = open_house(env={"WHENCE_TIME_LIMIT": "2"})
    (child,) = house.crew[0].children()
    fault.fire()
    final = house.final(house.ask(seconds=1.0, method=SWEEP))
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 1, "deadline_exceeded")
    fault.over(10)
    house.works()
    assert house.crew[0].children() == [child]


def test_a_worker_that_no_longer_takes_work_ends_itself(
    open_house: Callable[..., House], fault: Fault, tmp_path: Path
) -> None:
    """A worker whose prefetch slot has leaked: alive, and taking nothing."""
    flag = tmp_path / "stalled"
    house = open_house(worker_env=started_with(tmp_path / "site", STALLS.format(flag=str(flag))))
    house.works()
    flag.touch()
    fault.fire()
    job = house.ask()
    until(lambda: house.crew[0].deaths, 60)
    flag.unlink()
    assert house.crew[0].deaths == [EXIT_CODE]
    assert house.final(job)["status"] == "succeeded"
    fault.over(75)
    house.assert_clean()


@pytest.mark.parametrize("seconds", [-120, 120])
@pytest.mark.parametrize("whose", ["env", "worker_env"], ids=["of all", "of the worker"])
def test_a_clock_that_is_wrong(
    open_house: Callable[..., House], fault: Fault, tmp_path: Path, seconds: int, whose: str
) -> None:
    """Clocks two minutes off those of Redis: a worker's, or all but Redis's."""
    house = open_house(**{whose: started_with(tmp_path / "site", SKEWED.format(seconds=seconds))})
    fault.fire()
    busy = house.ask(seconds=0.4, method=SWEEP)
    house.running(busy)
    late, timely = house.ask(Whence_Deadline="1"), house.ask(Whence_Deadline="60")
    assert house.final(late)["code"] == "deadline_exceeded"
    assert (house.final(busy)["status"], house.final(busy)["attempts"]) == ("succeeded", 1)
    assert house.final(timely)["status"] == "succeeded"
    fault.over(30, jobs=3)
    house.assert_clean()
