"""Inputs and results too large for Redis, from the API's side and the workers', on a real Redis and a real folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.storage import StorageLimits
from service.queue.submission import Order
from tests.orders import a_row, claimed, order
from tests.redis_server import RedisServer
from workers.contract import UnknownInput
from workers.explanation.errors import InternalError
from workers.explanation.tensors import encode_npy
from workers.jobs import keys
from workers.jobs.blobs import Objects, ObjectsAway
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results
from workers.runtime.supervise import blob_cleanup

SMALL = len(encode_npy(a_row().arrays["attribution"]))  # of an array in these tests, as of every input


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
    return Store(jobs, objects)


@pytest.fixture
def results(jobs: Redis, objects: Objects) -> Results:
    return Results(jobs, 60, objects)


def result(value: float = 1.0) -> Finished:
    arrays = {"attribution": a_row(value).arrays["attribution"]}
    return Finished({"kind": "attribution", "value": value}, {k: encode_npy(v) for k, v in arrays.items()})


def data_of(asked: Order) -> bytes:
    assert asked.input is not None
    assert asked.input.data is not None
    return asked.input.data


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


async def test_inputs_have_a_budget_in_redis_and_the_least_recently_used_leaves_first(
    redis_server: RedisServer, store: Store, jobs: Redis
) -> None:
    async with Queue(redis_server.url, None, StorageLimits(input_space=3 * SMALL)) as queue:
        orders = [order(value=value) for value in (0.1, 0.2, 0.3, 0.4)]
        for asked in orders[:3]:
            await queue.submit([asked])
        members = {asked.job.input: f"{SMALL} {asked.job.input}" for asked in orders}
        age(jobs, *members.values())
        with pytest.raises(QueueUnavailable, match="room"):
            await queue.submit([orders[3]])
        for asked in orders[1:3]:
            await queue.withdraw(asked.job.id, "")
        age(jobs, members[orders[1].job.input])
        await queue.submit([orders[3]])
        assert await stored(queue, orders) == [True, False, True, True]
        assert int(jobs.get(keys.INPUT_BYTES) or 0) == 3 * SMALL


async def test_inputs_that_have_expired_are_counted_no_more(redis_server: RedisServer, jobs: Redis) -> None:
    async with Queue(redis_server.url) as queue:
        orders = [order(value=index / 100) for index in range(9)]
        for asked in orders[:6]:
            await queue.submit([asked])
        for asked in orders[1:6]:
            await queue.withdraw(asked.job.id, "")
        age(jobs, *(f"{SMALL} {asked.job.input}" for asked in orders[:6]))
        jobs.delete(*(keys.stored_input(asked.job.input or "") for asked in orders[1:6]))
        for asked in orders[6:]:
            await queue.submit([asked])
        assert await stored(queue, orders) == [True, *[False] * 5, *[True] * 3]
    assert int(jobs.get(keys.INPUT_BYTES) or 0) == 4 * SMALL
    assert jobs.zcard(keys.INPUTS) == 4


async def test_an_input_without_room_in_redis_goes_to_the_folder(
    redis_server: RedisServer, jobs: Redis, tmp_path: Path
) -> None:
    objects = Objects(str(tmp_path / "objects"))
    async with Queue(redis_server.url, None, StorageLimits(objects, input_space=SMALL)) as queue:
        orders = [order(value=0.1), order(value=0.2)]
        for asked in orders:
            await queue.submit([asked])
        assert await stored(queue, orders) == [True, True]
    assert len(objects.fs.find(f"{objects.root}/inputs")) == 1
    store = Store(jobs, objects)
    taken = store.with_inputs(store.claim(orders[0].job.group, "w").works, "w")
    assert [work.data for work in taken] == [data_of(asked) for asked in orders]


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[RedisServer]:
    """A cache that holds four of these tests' results, or none of them."""
    server = RedisServer(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    yield server
    server.stop()


def big(size: int, value: int) -> Finished:
    return Finished({"kind": "attribution"}, {"attribution": bytes([value]) * size})


def fill(results: Results) -> None:
    for i in range(20):
        results.save(f"{i:064x}", big(300_000, i))


async def test_a_cache_that_evicts_breaks_no_job_and_what_it_forgot_is_made_again(
    redis_server: RedisServer, evicting: RedisServer, store: Store
) -> None:
    results = Results(evicting.client, 60)
    async with Queue(redis_server.url, evicting.url) as queue:
        orders = [order(value=i / 100) for i in range(20)]
        for i, asked in enumerate(orders):
            await queue.submit([asked])
            assert claimed(store, asked.job.group) == [asked.job.id]
            results.save(asked.job.id, big(300_000, i))
            assert store.finish(asked.job.id, "w")
            assert await queue.read(asked.job.id, "attribution") is not None
        states = [status.status for status in await queue.statuses([one.job.id for one in orders]) if status]
        assert set(states) == {"succeeded", "expired"}
        forgotten = orders[states.index("expired")]
        assert [ticket.outcome for ticket in await queue.submit([forgotten])] == ["created"]
    assert evicting.client.info("stats")["evicted_keys"] > 0


async def test_a_result_that_a_full_cache_refuses_goes_to_the_folder(
    redis_server: RedisServer, evicting: RedisServer, store: Store, tmp_path: Path
) -> None:
    objects = Objects(str(tmp_path / "objects"), smallest=10**9)
    evicting.client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(OutOfMemoryError):
        fill(Results(evicting.client, 60))
    Results(evicting.client, 60, objects).save("f" * 64, big(300_000, 7))
    async with Queue(redis_server.url, evicting.url, StorageLimits(objects)) as queue:
        assert await queue.read("f" * 64, "attribution") == ({"kind": "attribution"}, [bytes([7]) * 300_000])


def age(jobs: Redis, *members: str) -> None:
    """Let them have been used an hour ago, the first one first."""
    seconds, _ = jobs.time()
    jobs.zadd(keys.INPUTS, {member: seconds - 3600 + i for i, member in enumerate(members)}, xx=True)


async def stored(queue: Queue, orders: list[Order]) -> list[bool]:
    return [await queue.find_input(asked.job.input or "") is not None for asked in orders]
