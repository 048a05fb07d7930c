"""The API under faults: killed, flooded, with results that have gone, with many clients at once."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import pytest

from tests.faults.conftest import Fault
from tests.faults.house import SWEEP, House, until
from tests.faults.trouble import Do
from workers.jobs import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


def test_the_api_killed_while_it_is_asked(house: House, fault: Fault) -> None:
    """kill -9 of the API while clients post."""

    def post(i: int) -> str | None:
        if i == 20:
            house.api.kill()
            fault.fire()
        with contextlib.suppress(httpx.HTTPError):
            answer = house.post(nonce=50_000 + i)
            return str(answer.json()["id"]) if answer.is_success else None
        return None

    told = house.many(60, post, at_once=8)
    until(house.ready, 30)
    again = [house.post(nonce=50_000 + i) for i in range(60)]
    assert all(answer.status_code in (200, 202) for answer in again)
    ids = [answer.json()["id"] for answer in again]
    assert all(first in (None, second) for first, second in zip(told, ids, strict=True))
    assert None in told
    finals = [house.final(job) for job in ids]
    fault.over(60, jobs=60, lost=sum(final["status"] != "succeeded" for final in finals))
    house.assert_clean()


def test_a_result_that_has_gone(house: House, fault: Fault) -> None:
    """A finished result evicted from the cache."""
    job = house.ask(nonce=60_000)
    house.final(job)
    house.jobs.delete(keys.result(job))
    fault.fire()
    for path in (f"explanations/{job}", f"explanations/{job}/scores.npy"):
        answer = house.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
    assert house.ask(nonce=60_000) == job
    until(lambda: house.client.get(f"explanations/{job}").json().get("scores"), 10)
    fault.over(10)
    house.assert_clean()


def test_an_array_that_claims_a_terabyte(house: House, fault: Fault) -> None:
    """An .npy of 144 bytes whose header claims 10^12 values."""
    bomb = io.BytesIO()
    np.lib.format.write_array_header_1_0(bomb, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    fault.fire()
    answer = house.client.post(
        "explanations?model=trouble", content=bomb.getvalue(), headers={"Content-Type": "application/x-npy"}
    )
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    fault.over(2, jobs=0)


def test_work_that_comes_too_late_is_not_done(house: House, fault: Fault) -> None:
    """A deadline that passes in the queue."""
    busy = house.ask(seconds=0.5, method=SWEEP)
    house.running(busy)
    late = house.ask(Do.DIE, Whence_Deadline="1")
    fault.fire()
    final = house.final(late)
    assert (final["status"], final["attempts"], final["code"]) == ("failed", 0, "deadline_exceeded")
    assert house.final(busy)["attempts"] == 1
    fault.over(15, jobs=2)
    house.assert_clean()


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_room(
    open_house: Callable[..., House], fault: Fault
) -> None:
    """A queue that is full."""
    house = open_house(env={"WHENCE_QUEUE_JOBS": "20"})
    answers = house.many(60, lambda i: house.post(seconds=1.0, method=SWEEP if i == 0 else "predict"), at_once=8)
    fault.fire()
    refused = [answer for answer in answers if not answer.is_success]
    assert len(refused) >= 20
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert median(answer.elapsed.total_seconds() for answer in refused) < 0.2
    assert house.jobs.zcard(keys.OPEN) <= 20 + 32
    accepted = [answer.json()["id"] for answer in answers if answer.is_success]
    lost = sum(house.final(job)["status"] != "succeeded" for job in accepted)
    house.works()
    fault.over(60, jobs=len(accepted), lost=lost)
    house.assert_clean()


def test_a_result_whose_file_is_corrupt(open_house: Callable[..., House], fault: Fault, tmp_path: Path) -> None:
    """A result's file with a flipped byte."""
    large = tmp_path / "objects"
    house = open_house(env={"WHENCE_OBJECTS": str(large), "WHENCE_OBJECTS_FROM": "64"})
    job = house.ask(method="gradient", nonce=70_000)
    house.final(job)
    path = f"explanations/{job}/attribution.npy"
    whole = house.client.get(path).content
    (file,) = (file for file in large.rglob("*") if file.is_file() and file.read_bytes() == whole)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    fault.fire()
    answer = house.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
    assert house.ask(method="gradient", nonce=70_000) == job
    until(lambda: house.client.get(path).content == whole, 15)
    fault.over(15)
    house.assert_clean()


def test_a_flood_does_not_keep_others_waiting(house: House, fault: Fault) -> None:
    """One asks for 400 explanations, another for one."""
    flood = house.many(400, lambda i: house.ask(seconds=0.5))
    fault.fire()
    began = time.monotonic()
    one = house.ask(method="gradient")
    house.final(one)
    waited = time.monotonic() - began
    left = sum(house.record(job) == "open" for job in flood)
    assert left > 100, "there was no flood left"
    assert waited < 5
    lost = sum(house.final(job, 60)["status"] != "succeeded" for job in flood)
    fault.over(60, jobs=401, lost=lost)
    house.assert_clean()


def test_a_withdrawal_stops_the_work(house: House, fault: Fault) -> None:
    """DELETE in the midst of a job."""
    job = house.ask(seconds=0.5, method=SWEEP)
    house.running(job)
    assert house.client.delete(f"explanations/{job}").status_code == 202
    fault.fire()
    assert house.final(job, 5)["status"] == "cancelled"
    assert house.works() < 4, "the worker went on"
    fault.over(8, jobs=2)
    assert house.client.delete(f"explanations/{job}").status_code == 409
    again = house.ask(seconds=0.0, method=SWEEP)
    assert house.final(again)["status"] == "succeeded"
    house.assert_clean()


def test_a_withdrawal_takes_nothing_from_others(house: House, fault: Fault) -> None:
    """DELETE of a job that another connection waits for."""
    job = house.ask(seconds=0.3, method=SWEEP)
    house.running(job)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(house.client.get, f"explanations/{job}?wait=20")
        time.sleep(0.3)
        assert house.client.delete(f"explanations/{job}").status_code == 202
        fault.fire()
        answer = waiting.result()
    assert answer.json()["attribution"]
    assert house.client.get(f"explanations/{job}").json()["attribution"]
    fault.over(10)
    house.assert_clean()


def test_everyone_comes_back_at_once(open_house: Callable[..., House], fault: Fault) -> None:
    """Redis restarted under 100 pollers and two workers."""
    house = open_house(workers=2, options=("--appendonly", "yes"))
    jobs = house.many(100, lambda i: house.ask(seconds=0.2))
    codes: set[int] = set()

    def poll(i: int) -> None:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            codes.add(house.client.get(f"explanations/{jobs[i]}?wait=1").status_code)
            if i == 50 and not fault.fired:
                house.redis.kill()
                house.redis.start()
                fault.fire()

    house.many(100, poll, at_once=100)
    assert codes <= {200, 503}
    info = house.jobs.info("clients")
    assert isinstance(info, dict)
    assert info["connected_clients"] < 64 + 2 * 12
    lost = sum(house.final(job)["status"] != "succeeded" for job in jobs)
    fault.over(30, jobs=100, lost=lost)
    house.assert_clean()


def test_two_reconcilers_put_a_job_back_once(open_house: Callable[..., House], fault: Fault) -> None:
    """A worker killed with two others alive to put its job back."""
    house = open_house(workers=3)
    with house.hearing() as heard:
        job = house.ask(seconds=0.5, method=SWEEP)
        house.running(job)
        holder = house.jobs.get(keys.lease(job))
        assert isinstance(holder, bytes)
        next(kept for kept in house.crew if f"-{kept.pid}:" in holder.decode()).kill_all()
        fault.fire()
        final = house.final(job)
        assert (final["status"], final["attempts"]) == ("succeeded", 2)
        fault.over(30)
        events = heard()
    assert events.count(f"{job} started") == 2
    assert events.count(f"{job} queued") <= 1
    house.assert_clean()
