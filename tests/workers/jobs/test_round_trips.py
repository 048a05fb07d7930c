"""How often a request goes to Redis: what is new is queued, and rung for, in one step; its end is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.storage import StorageLimits
from tests.orders import claimed, order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.workers.jobs.queue_runs import subscribed
from workers.contract import Objects
from workers.explanation.errors import InvalidTensor
from workers.jobs import keys
from workers.jobs.doorbell import RING, consumer
from workers.jobs.records import Store


def popped(jobs: Redis) -> Any:
    """What lies in the list of the interactive bell."""
    message = jobs.lpop(keys.PREFIX + "interactive")
    assert isinstance(message, bytes)
    return orjson.loads(message)


@asynccontextmanager
async def counted(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The looks at states in the block, which are two round trips each."""
    looks: list[str] = []
    statuses = queue.statuses

    async def looked(ids: list[str]) -> object:
        looks.extend(ids)
        return await statuses(ids)

    monkeypatch.setattr(queue, "statuses", looked)
    yield looks


async def test_who_listened_before_it_asked_is_told_the_end_and_looks_for_nothing(
    queue: Queue, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.queue.POLL_S", PATIENCE_S)
    orders = [order(0), order(1)]
    ids = [each.job.id for each in orders]
    async with counted(queue, monkeypatch) as looks:
        await subscribed(jobs)
        with queue.news(ids, ends=True) as news:
            await queue.submit(orders)
            for job_id in claimed(store, "w"):
                store.finish(job_id, "w")
            found = await queue.wait(ids, PATIENCE_S, news)
    assert [status and status.status for status in found] == ["succeeded"] * 2
    assert looks == []


async def test_news_that_is_lost_is_found_by_looking(
    queue: Queue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.queue.POLL_S", 0.02)
    asked = order(0)
    with queue.news([asked.job.id], ends=True) as news:
        monkeypatch.setattr(queue._events, "tell", lambda *_: None)
        await queue.submit([asked])
        claimed(store, "w")
        waiting = asyncio.create_task(queue.wait([asked.job.id], PATIENCE_S, news))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        store.finish(asked.job.id, "w")
        (status,) = await waiting
    assert status is not None
    assert status.final


async def test_what_ended_while_nobody_listened_is_looked_up_as_soon_as_somebody_does(
    queue: Queue, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.queue.POLL_S", 4 * PATIENCE_S)
    asked = order(0)
    await subscribed(jobs)
    with queue.news([asked.job.id], ends=True) as news:
        await queue.submit([asked])
        claimed(store, "w")
        waiting = asyncio.create_task(queue.wait([asked.job.id], 2 * PATIENCE_S, news))
        await asyncio.sleep(0)
        jobs.client_kill_filter(_type="pubsub")
        store.finish(asked.job.id, "w")
        async with asyncio.timeout(PATIENCE_S):
            (status,) = await waiting
    assert status is not None
    assert status.final


async def test_who_waits_for_long_looks_less_and_less_often(
    queue: Queue, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.queue.POLL_S", 0.1)
    monkeypatch.setattr("service.queue.queue.LONGEST_POLL_S", 0.4)
    asked = order(0)
    await subscribed(jobs)
    async with counted(queue, monkeypatch) as looks:
        with queue.news([asked.job.id], ends=True) as news:
            await queue.submit([asked])
            await queue.wait([asked.job.id], 1.2, news)
    assert 2 <= len(looks) <= 5  # after .1, .3, .7, 1.1 and at the end: eleven at a fixed pace


async def test_one_that_fails_is_looked_up_with_its_error(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order(0)
    await subscribed(jobs)
    with queue.news([asked.job.id], ends=True) as news:
        await queue.submit([asked])
        claimed(store, "w")
        store.finish(asked.job.id, "w", InvalidTensor("wrong"))
        (status,) = await queue.wait([asked.job.id], PATIENCE_S, news)
    assert status is not None
    assert (status.status, status.error and status.error.code) == ("failed", "invalid_tensor")


async def test_the_message_of_a_bell_is_celery_s_own(
    queue: Queue, store: Store, jobs: Redis, redis_server: RedisServer
) -> None:
    """Whatever Celery and kombu are: beside one that Celery sends itself, only ids and the sender's names differ."""
    await queue.submit([order(0)])
    ours = popped(jobs)
    app = consumer(redis_server.url)
    app.send_task(RING, args=["interactive"], queue="interactive")
    theirs = popped(jobs)
    own = ours["headers"].pop("id"), ours["properties"].pop("delivery_tag")
    other = theirs["headers"].pop("id"), theirs["properties"].pop("delivery_tag")
    assert own != other
    for message in (ours, theirs):
        for name in ("origin", "root_id"):
            message["headers"].pop(name)
        for name in ("correlation_id", "reply_to"):
            message["properties"].pop(name)
    assert ours == theirs


async def test_two_bells_are_two_messages(queue: Queue, store: Store, jobs: Redis) -> None:
    for index in range(2):
        await queue.submit([order(index)])
        claimed(store)
    told = [orjson.loads(one)["properties"]["delivery_tag"] for one in jobs.lrange(keys.PREFIX + "interactive", 0, -1)]
    assert len(set(told)) == 2


async def test_an_input_whose_bytes_lie_elsewhere_is_looked_after_before_its_job_is_queued(
    queue: Queue, jobs: Redis, tmp_path: object
) -> None:
    """It was stored as an object, which is gone since: the bytes that came are kept, and the job has them."""
    asked = order(0)
    assert asked.input is not None
    jobs.hset(keys.stored_input(asked.input.digest), mapping={"kind": "tensor", "ttl": 60, "object": "inputs/gone"})
    queue._inputs._objects = Objects(str(tmp_path))
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]
    assert jobs.hget(keys.stored_input(asked.input.digest), "data") == asked.input.data


async def test_scripts_that_redis_forgot_are_told_it_anew(queue: Queue, jobs: Redis) -> None:
    for index in range(2):
        jobs.script_flush()
        assert [ticket.outcome for ticket in await queue.submit([order(index)])] == ["created"]


async def test_where_there_is_no_room_for_an_input_nothing_is_queued(redis_server: RedisServer, jobs: Redis) -> None:
    async with Queue(redis_server.url, limits=StorageLimits(input_space=8)) as queue:
        with pytest.raises(Exception, match="room"):
            await queue.submit([order(0)])
    assert jobs.zcard(keys.OPEN) == 0
    assert jobs.llen(keys.PREFIX + "interactive") == 0
