"""The outcomes of a batch are stored together and closed together, and each is as good as alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

from service.queue.queue import Queue
from tests.orders import claimed, order
from tests.toys import model_of, net
from tests.workers.runtime.worker_runs import Bells, settled
from workers.engine.model.model import Model
from workers.jobs import keys
from workers.jobs.blobs import Objects
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results
from workers.runtime.worker import PORTION, Worker, portions

IDS = ["a" * 64, "b" * 64, "c" * 64]
FOUND = {job_id: Finished({"id": job_id, "receipt": {}}, {"scores": job_id.encode()}) for job_id in IDS}


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def worker(store: Store, results: Results, model: Model) -> Worker:
    return Worker("w1", store, results, lambda _: model, Bells(), time_limit=60)


def trips(jobs: Redis) -> int:
    reads: int = jobs.info("stats")["total_reads_processed"]
    return reads


async def test_a_batch_goes_to_redis_less_often_than_it_has_rows(queue: Queue, worker: Worker, jobs: Redis) -> None:
    """A dozen times or so, the API's own readings with it; two for each row were 64."""
    asked = [order(index % 3, value=0.01 * index) for index in range(32)]
    await queue.submit(asked)
    before = trips(jobs)
    worker.answer("interactive")
    assert trips(jobs) - before < 48
    assert [status.status for status in await settled(queue, asked)] == ["succeeded"] * 32
    assert not any(jobs.exists(keys.lease(each.job.id)) for each in asked)


def test_what_is_saved_together_is_what_is_saved_alone(jobs: Redis, results: Results) -> None:
    assert results.save_together(FOUND) == set(IDS)
    together = [jobs.hgetall(keys.result(job_id)) for job_id in IDS]
    for job_id, one in FOUND.items():
        assert 0 < jobs.ttl(keys.result(job_id)) <= results.ttl
        results.save(job_id, one)
    assert together == [jobs.hgetall(keys.result(job_id)) for job_id in IDS]


def test_one_that_cannot_be_stored_spoils_no_other(jobs: Redis, results: Results) -> None:
    """Redis refuses a field of the second within its transaction."""
    broken = Finished({"id": IDS[1], "receipt": {}}, {})
    fields = results._fields

    def refused(result: Finished, places: dict[str, str]) -> dict[object, object]:
        return {} if result is broken else fields(result, places)

    results._fields = refused  # type: ignore[method-assign, assignment]
    queued = results._queue

    def queue(pipe: object, job_id: str, given: dict[object, object]) -> None:
        if given:
            queued(pipe, job_id, given)  # type: ignore[arg-type]
        else:
            pipe.execute_command("HSET", keys.result(job_id), "odd")  # type: ignore[attr-defined]

    results._queue = queue  # type: ignore[method-assign, assignment]
    assert results.save_together({**FOUND, IDS[1]: broken}) == {IDS[0], IDS[2]}


def test_large_arrays_are_left_to_be_saved_alone(jobs: Redis, tmp_path: Path) -> None:
    results = Results(jobs, 60, Objects(str(tmp_path), smallest=100))
    large = Finished({"id": IDS[1], "receipt": {}}, {"scores": b"x" * 100})
    assert results.save_together({**FOUND, IDS[1]: large}) == {IDS[0], IDS[2]}
    assert not jobs.exists(keys.result(IDS[1]))


async def test_a_redis_that_forgot_the_scripts_is_told_them(queue: Queue, store: Store, jobs: Redis) -> None:
    orders = [order(index) for index in range(3)]
    await queue.submit(orders)
    ids = claimed(store, "w")
    jobs.script_flush()
    assert store.finish_together(ids, "w") == dict.fromkeys(ids, True)
    assert store.finish_together(ids, "w") == dict.fromkeys(ids, False)


async def test_results_that_redis_did_not_take_together_are_stored_one_by_one(
    queue: Queue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise NoConnection

    orders = [order(index) for index in range(3)]
    await queue.submit(orders)
    monkeypatch.setattr("redis.client.Pipeline._execute_pipeline", away)
    replace(worker, store=_reading(worker.store)).answer("interactive")
    monkeypatch.undo()
    assert [status.status for status in await settled(queue, orders)] == ["succeeded"] * 3


def _reading(store: Store) -> Store:
    """A store whose inputs come by another way than a pipeline."""

    class Reading(Store):
        def with_inputs(self, works: object, owner: str) -> list[object]:  # type: ignore[override]
            found = []
            for work in works:  # type: ignore[attr-defined]
                data = self.jobs.hget(keys.stored_input(work.job.input), "data")
                found.append(replace(work, kind="tensor", data=data))
            return found

    reading = Reading(store.jobs)
    reading.profile = store.profile
    return reading


async def test_a_result_computed_again_is_compared_though_it_has_company(queue: Queue, worker: Worker) -> None:
    first = [order(index) for index in range(2)]
    await queue.submit(first)
    worker.answer("interactive")
    again = [order(0, recompute=True), order(2)]
    await queue.submit(again)
    worker.answer("interactive")
    metas = [await queue.meta(each.job.id) for each in again]
    assert [meta and meta.get("recomputed") for meta in metas] == [{"equal": True}, None]


def test_portions_keep_order_and_are_of_about_so_many_bytes() -> None:
    sizes = [PORTION // 2, PORTION // 2, 10, PORTION, 5]
    known: Any = [(index, Finished({}, {"a": bytes(size)})) for index, size in enumerate(sizes)]
    found: list[list[Any]] = [[index for index, _ in some] for some in portions(known)]
    assert found == [[0, 1], [2, 3], [4]]
