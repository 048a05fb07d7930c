"""A worker that must stop: withdrawn works, limits, leases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from redis import Redis

from service.queue.queue import Queue
from tests.orders import claimed, order, work
from tests.patience import PATIENCE_S
from tests.toys import model_of, net
from tests.workers.runtime.worker_runs import LONG, Bells, meanwhile, settled
from workers.engine.model.model import Model
from workers.explanation.errors import DeadlineExceeded
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.jobs.work import Work
from workers.runtime import lease
from workers.runtime.lease import Lease
from workers.runtime.supervise import shutdown
from workers.runtime.worker import Worker


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def worker(store: Store, results: Results, bells: Bells, model: Model) -> Worker:
    return Worker("w1", store, results, lambda _: model, bells, time_limit=60)


async def test_computing_again_says_whether_the_numbers_are_the_same(
    queue: Queue, worker: Worker, results: Results
) -> None:
    asked, again = order(), order(recompute=True)
    for each in (asked, again):
        await queue.submit([each])
        worker.answer("interactive")
    meta = results.meta(asked.job.id)
    assert meta is not None
    assert meta["recomputed"] == {"equal": True}


async def test_a_worker_that_must_end_hands_back_what_it_has_not_finished(
    queue: Queue, worker: Worker, store: Store, bells: Bells, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [order(0), order(0, LONG), order(0, "occlusion")]
    await queue.submit(orders)
    meanwhile(monkeypatch, lambda _: monkeypatch.setattr(shutdown, "due", lambda: True))
    worker.answer("interactive")
    found = await settled(queue, orders)
    assert [status.status for status in found] == ["succeeded", "queued", "queued"]
    assert [status.attempts for status in found] == [1, 0, 0]
    assert bells.rung == ["interactive"]
    assert sorted(claimed(store) + claimed(store)) == sorted(each.job.id for each in orders[1:])


async def test_withdrawn_work_stops_at_its_next_step(
    queue: Queue, worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order(0, LONG)
    await queue.submit([asked])
    monkeypatch.setattr(lease, "RENEW_S", 60)
    watch, steps = Lease.watch, []

    def slow(self: Lease, works: Sequence[object]) -> Callable[[int, int, str], None]:
        report = watch(self, works)  # type: ignore[arg-type]

        def withdrawing(done: int, total: int, unit: str) -> None:
            store._run("leave", 60, "caller:", 1, asked.job.id)
            time.sleep(0.2)
            steps.append(done)
            report(done, total, unit)

        return withdrawing

    monkeypatch.setattr(Lease, "watch", slow)
    worker.answer("interactive")
    assert len(steps) == 1
    assert [status.status for status in await settled(queue, [asked])] == ["cancelled"]


def test_a_batch_may_not_take_longer_than_the_limit(store: Store) -> None:
    report = Lease(store, "w", [work()], time_limit=-1).watch([work()])
    with pytest.raises(DeadlineExceeded):
        report(1, 2, "steps")


async def test_a_lease_outlives_its_first_eight_seconds_only_while_it_is_held(
    queue: Queue, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    asked = order()
    await queue.submit([asked])
    works = store.claim("interactive", "w").works
    jobs.pexpire(keys.lease(asked.job.id), 1000)
    with Lease(store, "w", works, 60):
        deadline = time.monotonic() + PATIENCE_S
        while jobs.pttl(keys.lease(asked.job.id)) < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)


async def test_it_holds_its_leases_while_it_reads_inputs(
    queue: Queue, worker: Worker, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of large things may be slow."""
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    asked = order()
    read = Store.with_inputs

    def slowly(store: Store, works: Sequence[Work], owner: str) -> list[Work]:
        jobs.pexpire(keys.lease(asked.job.id), 1000)
        deadline = time.monotonic() + PATIENCE_S
        while jobs.pttl(keys.lease(asked.job.id)) < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return read(store, works, owner)

    monkeypatch.setattr(Store, "with_inputs", slowly)
    await queue.submit([asked])
    worker.answer("interactive")
    assert [status.status for status in await settled(queue, [asked])] == ["succeeded"]
