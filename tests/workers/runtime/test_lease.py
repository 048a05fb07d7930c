"""Leases: held through absences of Redis, let go on errors, ended with a step that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from redis import Redis

from service.queue.queue import Queue
from tests.orders import order, work
from tests.patience import PATIENCE_S
from workers.jobs import keys
from workers.jobs.records import LEASE_MS, Store
from workers.runtime import lease
from workers.runtime.lease import Lease
from workers.runtime.supervise import activity


class Ended(Exception):
    """The process would have ended here."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr("os._exit", end)


async def test_a_lease_that_lapsed_unnoticed_is_had_again(queue: Queue, store: Store, jobs: Redis) -> None:
    """Redis was out of reach for longer than a lease, and nobody has put the job back yet."""
    asked = order()
    await queue.submit([asked])
    store.claim(keys.INTERACTIVE, "w")
    jobs.delete(keys.lease(asked.job.id))
    assert store.renew("w", [asked.job.id]) == set()
    assert jobs.get(keys.lease(asked.job.id)) == b"w"
    assert jobs.pttl(keys.lease(asked.job.id)) > LEASE_MS - 1000


async def test_one_that_was_put_back_is_not(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])
    store.claim(keys.INTERACTIVE, "w")
    jobs.delete(keys.lease(asked.job.id))
    assert store.reconcile(5)[0] == [asked.job.id]
    assert store.renew("w", [asked.job.id]) == {asked.job.id}
    assert not jobs.exists(keys.lease(asked.job.id))


async def test_nor_one_that_another_worker_has(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])
    store.claim(keys.INTERACTIVE, "w")
    jobs.set(keys.lease(asked.job.id), "other")
    assert store.renew("w", [asked.job.id]) == {asked.job.id}
    assert jobs.get(keys.lease(asked.job.id)) == b"other"


async def test_an_error_lets_go_and_the_attempt_counts(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])
    works = store.claim(keys.INTERACTIVE, "w").works
    with pytest.raises(ZeroDivisionError), Lease(store, "w", works, 60):
        raise ZeroDivisionError
    time.sleep(0.01)
    assert store.reconcile(5)[0] == [asked.job.id]
    assert store.claim(keys.INTERACTIVE, "w").works[0].attempts == 2


async def test_a_step_that_hangs_alone_fails_its_job_and_ends_the_process(
    queue: Queue, store: Store, ends: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order()
    await queue.submit([asked])
    works = store.claim(keys.INTERACTIVE, "w").works
    held = Lease(store, "w", works, time_limit=1)
    watch = held.watch(works)
    assert not watch.hangs()
    watch.started -= 2 * watch.limit + lease.HANGS_S + 1
    assert watch.hangs()
    with pytest.raises(Ended, match="70"):
        held._end(watch.ids)
    (status,) = await queue.statuses([asked.job.id])
    assert status is not None
    assert status.error is not None
    assert (status.status, status.error.code) == ("failed", "deadline_exceeded")


def test_a_model_that_hangs_as_it_loads_ends_the_process_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any batch has begun; or its lease would be renewed for ever."""
    ended: list[Sequence[str]] = []
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    monkeypatch.setattr(Lease, "_end", lambda _, ids: ended.append(ids))
    with Lease(store, "w", [work()], time_limit=-lease.HANGS_S):
        deadline = time.monotonic() + PATIENCE_S
        while not ended:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    for thread in threading.enumerate():
        if thread.name == "lease":
            thread.join()  # before it meets the real end
    assert ended[0] == [work().id]


async def test_who_hangs_in_company_is_found_alone(queue: Queue, store: Store, ends: None, jobs: Redis) -> None:
    orders = [order(index) for index in range(2)]
    await queue.submit(orders)
    works = store.claim(keys.INTERACTIVE, "w").works
    with pytest.raises(Ended):
        Lease(store, "w", works, time_limit=1)._end([each.id for each in works])
    for each in orders:
        jobs.delete(keys.lease(each.job.id))
    store.reconcile(5)
    assert [len(store.claim(keys.INTERACTIVE, "w").works) for _ in range(2)] == [1, 1]


def test_what_is_done_aside_costs_no_time_and_has_its_own_limit(store: Store) -> None:
    watch = Lease(store, "w", [work()], time_limit=10, fit_limit=100).watch([work()])
    watch.started -= 8
    with watch.aside():
        assert watch.limit == 100
        watch.started -= 50
        watch(1, 2, "inputs")
        watch.started += 50
    assert watch.limit == 10
    assert 7.9 < time.monotonic() - watch.started < 9


@pytest.mark.parametrize("tell", [lambda watch: watch(1, 2, "steps"), lambda _: activity.note()])
def test_a_step_is_progress(store: Store, tell: Callable[[lease.BatchReport], None]) -> None:
    began = time.monotonic()
    tell(Lease(store, "w", [work()], time_limit=10).watch([work()]))
    assert activity.last() >= began
