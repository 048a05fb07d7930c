"""What a worker does when its bell rings, on a real Redis and a toy model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from service.http.problems import KINDS
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.submission import Order
from tests.orders import claimed, order, work
from tests.toys import model_of, net
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import DeadlineExceeded
from workers.explanation.result import Attribution
from workers.explanation.tensors import decode_npy
from workers.jobs import keys
from workers.jobs.records import Store, Work
from workers.jobs.stored_results import Results
from workers.methods.gradient.gradient import Gradient
from workers.runtime import lease
from workers.runtime.lease import Lease
from workers.runtime.pace import Pace
from workers.runtime.supervise import shutdown
from workers.runtime.worker import Worker

LONG = {"name": "integrated_gradients", "steps": 16}


@dataclass
class Bells:
    rung: list[str] = field(default_factory=list)

    def __call__(self, priority: str) -> None:
        self.rung.append(priority)


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def worker(store: Store, results: Results, bells: Bells, model: Model) -> Worker:
    return Worker("w1", store, results, lambda _: model, bells, time_limit=60)


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[Batch], None]) -> list[int]:
    """Something happens while the gradient method runs; the sizes of the batches it ran on."""
    ran = []
    explain = Gradient.explain

    def explained(method: Gradient, model: Model, batch: Batch) -> Attribution:
        ran.append(len(batch))
        act(batch)
        result = explain(method, model, batch)
        assert isinstance(result, Attribution)
        return result

    monkeypatch.setattr(Gradient, "explain", explained)
    return ran


async def settled(queue: Queue, orders: Sequence[Order]) -> list[Status]:
    found = await queue.statuses([each.job.id for each in orders])
    return [status for status in found if status is not None]


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
        raise OperationalError

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
        deadline = time.monotonic() + 5
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
        deadline = time.monotonic() + 5
        while jobs.pttl(keys.lease(asked.job.id)) < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return read(store, works, owner)

    monkeypatch.setattr(Store, "with_inputs", slowly)
    await queue.submit([asked])
    worker.answer("interactive")
    assert [status.status for status in await settled(queue, [asked])] == ["succeeded"]
