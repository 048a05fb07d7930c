"""What a worker does when its bell rings, on a real Redis and a toy model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from service.http.problems import KINDS
from service.queue.queue import Queue
from tests.orders import claimed, order, work
from tests.toys import model_of, net
from tests.workers.runtime.worker_runs import LONG, Bells, meanwhile, settled
from workers.engine.model.model import Model
from workers.explanation.tensors import decode_npy
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.runtime.pace import Pace
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


async def test_it_answers_with_a_result_that_the_api_can_read(queue: Queue, worker: Worker, jobs: Redis) -> None:
    asked = order(2)
    await queue.submit([asked])
    worker.answer("interactive")
    (status,) = await settled(queue, [asked])
    assert (status.status, status.error, status.attempts) == ("succeeded", None, 1)
    found = await queue.read(asked.job.id, "attribution", "input")
    assert found is not None
    meta, (attribution, seen) = found
    assert meta["model"] == {"name": "toy", "digest": asked.job.model}
    assert asked.input is not None
    assert seen == asked.input.data
    assert attribution is not None
    assert decode_npy(attribution).shape == (1, 8, 8)
    assert not jobs.exists(keys.lease(asked.job.id))
    assert jobs.zcard(keys.OPEN) == 0


async def test_a_bell_without_work_is_no_work(worker: Worker, bells: Bells) -> None:
    worker.answer("interactive")
    assert bells.rung == []


async def test_what_it_leaves_is_rung_for_before_it_begins(
    queue: Queue, worker: Worker, bells: Bells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.submission.rows_per_batch", lambda *_: 2)
    rung = []
    meanwhile(monkeypatch, lambda _: rung.append(list(bells.rung)))
    orders = [order(index % 3, value=0.1 * index) for index in range(3)]
    for each in orders:
        await queue.submit([each])
    worker.answer("interactive")
    worker.answer("interactive")
    assert rung == [["interactive"], ["interactive"]]
    assert [status.status for status in await settled(queue, orders)] == ["succeeded"] * 3


async def test_a_bell_that_cannot_ring_keeps_no_claimed_work_waiting(
    queue: Queue, worker: Worker, bells: Bells, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> None:
        raise NoConnection

    monkeypatch.setattr("service.queue.submission.rows_per_batch", lambda *_: 1)
    orders = [order(0), order(1)]
    for each in orders:
        await queue.submit([each])
    replace(worker, ring=away).answer("interactive")
    assert [status.status for status in await settled(queue, orders)] == ["succeeded", "queued"]


async def test_it_tells_how_long_a_pass_took_of_what_finished(queue: Queue, worker: Worker, jobs: Redis) -> None:
    await queue.submit([order(0, LONG), order(0, {"name": "grad_cam", "layer": "nowhere"})])
    worker.answer("interactive")
    name = keys.pace(order().job.model, "integrated_gradients")
    assert jobs.hkeys(keys.PACE) == [name.encode()]
    assert 0 < float(jobs.hget(keys.PACE, name) or 0) < 1


def test_the_time_of_a_batch_is_that_of_all_its_rows_less_the_loading_of_its_model(model: Model) -> None:
    times = iter([0.0, 10.0, 46.0, 46.0, 54.0, 55.0])
    pace = Pace(lambda: next(times))
    assert pace.apart(lambda _: model)(work()) is model
    for each, finished in ((work(0, LONG), True), (work(1, LONG), True), (work(2), False), (work(3), True)):
        pace.note(each, finished=finished)
    assert pace.measured() == {
        keys.pace(work().job.model, "integrated_gradients"): 1.0,  # 36 s for two rows of 18 passes
        keys.pace(work().job.model, "gradient"): 1.0,
    }


async def test_a_failure_is_told_with_its_reason(queue: Queue, worker: Worker) -> None:
    asked = order(method={"name": "grad_cam", "layer": "nowhere"})
    await queue.submit([asked])
    worker.answer("interactive")
    (status,) = await settled(queue, [asked])
    assert status.error is not None
    assert (status.status, status.error.code) == ("failed", "invalid_parameter")
    assert "nowhere" in status.error.detail


async def test_a_result_stored_by_a_worker_that_died_is_not_computed_again(
    queue: Queue, worker: Worker, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = meanwhile(monkeypatch, lambda _: None)
    asked = order()
    await queue.submit([asked])
    with monkeypatch.context() as dying:
        dying.setattr(store, "finish", lambda *_: True)
        worker.answer("interactive")
    jobs.delete(keys.lease(asked.job.id))
    store.reconcile(5)
    worker.answer("interactive")
    assert ran == [1]
    (status,) = await settled(queue, [asked])
    assert status.status == "succeeded"
    assert status.finished_at is not None


async def test_a_result_store_that_is_away_costs_no_attempt(
    queue: Queue, worker: Worker, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> None:
        raise NoConnection

    ran = meanwhile(monkeypatch, lambda _: None)
    asked = order()
    await queue.submit([asked])
    claimed(store, "dies")
    jobs.delete(keys.lease(asked.job.id))
    store.reconcile(5)
    with monkeypatch.context() as briefly:
        briefly.setattr(worker.results, "meta", away)
        worker.answer("interactive")
    assert ran == [1]
    (status,) = await settled(queue, [asked])
    assert (status.status, status.attempts) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "result_store_full"),
        (ResponseError("Command # 1 of pipeline caused error: MISCONF Errors writing to the AOF"), "result_store_full"),
        (ReadOnlyError("You can't write against a read only replica."), "result_store_unavailable"),
        (NoConnection("Connection refused."), "result_store_unavailable"),
    ],
)
async def test_a_result_store_that_takes_no_result_fails_the_job_with_a_reason(
    queue: Queue, worker: Worker, monkeypatch: pytest.MonkeyPatch, error: RedisError, code: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker.results, "cache", Redis())  # another than that of the jobs
    monkeypatch.setattr(worker.results, "save", fails)
    asked = order()
    await queue.submit([asked])
    worker.answer("interactive")
    (status,) = await settled(queue, [asked])
    assert status.error is not None
    assert (status.status, status.error.code, KINDS[code].status) == ("failed", code, 503)
    assert "result store" in status.error.detail
    assert "try again" in status.error.detail
    (again,) = await queue.submit([asked])
    assert again.outcome == "created"


async def test_a_result_that_the_one_redis_does_not_take_is_left_to_be_made_again(
    queue: Queue, worker: Worker, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ReadOnlyError

    asked = order()
    await queue.submit([asked])
    with monkeypatch.context() as briefly:
        briefly.setattr(worker.results, "save", fails)
        worker.answer("interactive")
    (status,) = await settled(queue, [asked])
    assert status.status == "running"
    jobs.delete(keys.lease(asked.job.id))
    worker.store.reconcile(5)
    worker.answer("interactive")
    (status,) = await settled(queue, [asked])
    assert (status.status, status.attempts) == ("succeeded", 2)
