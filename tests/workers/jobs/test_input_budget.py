"""What inputs and results may take of Redis's memory, and what goes to the folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.storage import StorageLimits
from tests.orders import claimed, order, serving
from tests.redis_server import RedisServer
from tests.workers.jobs.large_things import SMALL, data_of, stored
from workers.jobs import keys
from workers.jobs.blobs import Objects
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results


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
    store = serving(Store(jobs, objects))
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
