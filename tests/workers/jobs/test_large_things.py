"""Inputs and results too large for Redis, from the API's side and the workers', on a real Redis and a real folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.storage import StorageLimits
from service.queue.submission import Order
from tests.orders import a_row, claimed, order, serving
from tests.redis_server import RedisServer
from tests.workers.jobs.large_things import SMALL, data_of, stored
from workers.contract import UnknownInput
from workers.explanation.errors import InternalError
from workers.explanation.tensors import encode_npy
from workers.jobs import keys
from workers.jobs.blobs import Objects, ObjectsAway
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results
from workers.methods.method import parse_method
from workers.runtime.supervise import blob_cleanup


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """All that these tests store is large for it."""
    return Objects(str(tmp_path / "objects"), smallest=SMALL)


@pytest.fixture
async def queue(redis_server: RedisServer, objects: Objects) -> AsyncIterator[Queue]:
    async with Queue(redis_server.url, None, StorageLimits(objects)) as queue:
        yield queue


@pytest.fixture
def store(jobs: Redis, objects: Objects) -> Store:
    return serving(Store(jobs, objects))


@pytest.fixture
def results(jobs: Redis, objects: Objects) -> Results:
    return Results(jobs, 60, objects)


def result(value: float = 1.0) -> Finished:
    arrays = {"attribution": a_row(value).arrays["attribution"]}
    return Finished({"kind": "attribution", "value": value}, {k: encode_npy(v) for k, v in arrays.items()})


async def done(queue: Queue, store: Store, results: Results, asked: Order) -> None:
    await queue.submit([asked])
    assert claimed(store, asked.job.group) == [asked.job.id]
    results.save(asked.job.id, result())
    assert store.finish(asked.job.id, "w")


async def test_what_is_large_is_not_in_redis_and_reads_as_what_is(
    queue: Queue, store: Store, results: Results, jobs: Redis
) -> None:
    asked = order()
    await queue.submit([asked])
    (work,) = store.with_inputs(store.claim(asked.job.group, "w").works, "w")
    assert (work.kind, work.data) == ("tensor", data_of(asked))
    results.save(asked.job.id, result())
    store.finish(asked.job.id, "w")
    assert await queue.read(asked.job.id, "attribution", "none") == (
        result().meta,
        [result().arrays["attribution"], None],
    )
    assert results.arrays(asked.job.id) == result().arrays
    assert results.meta(asked.job.id) == result().meta
    (ticket,) = await queue.submit([asked])
    assert (ticket.outcome, ticket.meta) == ("hit", result().meta)
    assert asked.input is not None
    for key, field in ((keys.stored_input(asked.input.digest), "data"), (keys.result(asked.job.id), "a:attribution")):
        assert not jobs.hexists(key, field)


@pytest.mark.parametrize("broken", [None, b"", b"half a file"])
async def test_a_result_whose_blob_is_gone_or_broken_is_gone_and_is_made_again(
    queue: Queue, store: Store, results: Results, objects: Objects, broken: bytes | None
) -> None:
    asked = order()
    await done(queue, store, results, asked)
    (place,) = objects.fs.find(f"{objects.root}/results")
    objects.fs.rm_file(place) if broken is None else objects.fs.pipe_file(place, broken)
    assert results.arrays(asked.job.id) is None
    assert await queue.read(asked.job.id, "attribution") is None
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.status == "expired"
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]


async def test_a_request_for_a_result_that_lost_its_blob_is_no_hit(
    queue: Queue, store: Store, results: Results, objects: Objects
) -> None:
    asked = order()
    await done(queue, store, results, asked)
    objects.sweep({"results": 0, "inputs": 1000}, 0)
    assert results.meta(asked.job.id) is None
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]


async def test_a_store_that_is_away_is_not_a_result_that_is_gone(
    queue: Queue, store: Store, results: Results, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> bytes:
        raise ObjectsAway("no route to host")

    asked = order()
    await done(queue, store, results, asked)
    monkeypatch.setattr(objects, "get", away)
    with pytest.raises(QueueUnavailable):
        await queue.read(asked.job.id, "attribution")
    assert results.arrays(asked.job.id) is None, "a worker computes what it cannot read"
    monkeypatch.undo()
    assert await queue.read(asked.job.id, "attribution") is not None


async def test_a_job_whose_input_cannot_be_reached_now_fails_and_a_new_request_runs_it_again(
    queue: Queue, store: Store, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> bytes:
        raise ObjectsAway("no route to host")

    asked = order()
    await queue.submit([asked])
    monkeypatch.setattr(objects, "get", away)
    assert store.with_inputs(store.claim(asked.job.group, "w").works, "w") == []
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.error is not None
    assert (status.error.code, "away" in status.error.detail) == (InternalError.code, True)
    monkeypatch.undo()
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]
    assert claimed(store, asked.job.group) == [asked.job.id]


async def test_an_input_that_is_gone_cannot_be_named_by_its_digest(queue: Queue, objects: Objects) -> None:
    asked = order()
    assert asked.input is not None
    await queue.submit([asked])
    assert await queue.find_input(asked.input.digest) == "tensor"
    (place,) = objects.fs.find(f"{objects.root}/inputs")
    objects.fs.rm_file(place)
    assert await queue.find_input(asked.input.digest) is None
    named = replace(order(1), input=replace(asked.input, data=None))
    with pytest.raises(UnknownInput):
        await queue.submit([named])
    await queue.submit([order(1)])
    assert objects.fs.find(f"{objects.root}/inputs") == [place], "sent again, it is stored again"


async def test_a_full_folder_breaks_nothing(
    queue: Queue, store: Store, results: Results, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.fs, "pipe_file", full)
    asked = order()
    await done(queue, store, results, asked)
    assert await queue.read(asked.job.id, "attribution") == (result().meta, [result().arrays["attribution"]])


async def test_an_input_stays_while_an_unfinished_job_needs_it(
    redis_server: RedisServer, store: Store, jobs: Redis
) -> None:
    async with Queue(redis_server.url, None, StorageLimits(input_ttl=1)) as queue:
        first, second = order(0), order(1)
        assert first.input is not None
        key = keys.stored_input(first.input.digest)
        for asked in (first, second, first):
            await queue.submit([asked])
        assert jobs.ttl(key) == -1
        for asked in (first, second):
            claimed(store, asked.job.group)
            assert jobs.ttl(key) == -1
            store.finish(asked.job.id, "w")
        assert jobs.ttl(key) == 1
        assert jobs.hlen(keys.NEEDS) == 0
        await queue.withdraw((await queue.submit([order(2)]))[0].id, "")
        assert jobs.ttl(key) == 1


async def test_an_input_in_a_parameter_stays_as_the_jobs_own_does(
    redis_server: RedisServer, store: Store, jobs: Redis
) -> None:
    async with Queue(redis_server.url, None, StorageLimits(input_ttl=1)) as queue:
        plain, other = order(0), order(1)
        assert other.input is not None
        method = parse_method({"name": "deep_lift", "baseline": {"digest": other.input.digest}})
        asked = replace(plain, job=plain.job.model_copy(update={"method": method}), given=(other.input,))
        key = keys.stored_input(other.input.digest)
        await queue.submit([asked])
        assert jobs.ttl(key) == -1
        assert store.input(other.input.digest)[b"data"] == other.input.data  # type: ignore[index]  # it can be read
        claimed(store, asked.job.group)
        store.finish(asked.job.id, "w")
        assert jobs.ttl(key) == 1
        assert jobs.hlen(keys.NEEDS) == 0


async def test_an_input_kept_in_a_folder_stays_while_an_unfinished_job_needs_it(
    queue: Queue, store: Store, jobs: Redis, objects: Objects
) -> None:
    finished, waiting = order(value=0.1), order(value=0.2)
    await done(queue, store, Results(jobs, 60), finished)
    await queue.submit([waiting])
    for place in objects.fs.find(f"{objects.root}/inputs"):
        os.utime(place, (0, 0))
    blob_cleanup.tend(jobs, objects, {"results": 60.0, "inputs": 60.0}, 10**9)
    assert await stored(queue, [finished, waiting]) == [False, True]
    (work,) = store.with_inputs(store.claim(waiting.job.group, "w").works, "w")
    assert work.data == data_of(waiting)
