"""The queue while Redis is away or frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from tests.orders import order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.workers.jobs.queue_runs import subscribed
from workers.jobs import keys
from workers.jobs.records import Store


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may ill-treat."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


async def everything_says_away(queue: Queue) -> None:
    asked = order()
    calls = [
        queue.submit([asked]),
        queue.status(asked.job.id),
        queue.wait([asked.job.id], PATIENCE_S),
        queue.read(asked.job.id),
        queue.withdraw(asked.job.id, ""),
        queue.listing(None, None, 10, None),
        queue.ping(),
    ]
    async with asyncio.timeout(30):  # all at once; what a client's own defaults take is a minute
        assert all(isinstance(gone, QueueUnavailable) for gone in await asyncio.gather(*calls, return_exceptions=True))


async def test_without_redis_every_call_says_so_at_once_and_recovers(own_server: RedisServer) -> None:
    async with Queue(own_server.url) as queue:
        await queue.ping()
        own_server.kill()
        await everything_says_away(queue)
        own_server.start()
        assert [ticket.outcome for ticket in await queue.submit([order()])] == ["created"]


async def test_a_frozen_redis_is_as_good_as_none(own_server: RedisServer) -> None:
    async with Queue(own_server.url) as queue:
        await queue.ping()
        own_server.freeze()
        await everything_says_away(queue)
        own_server.thaw()
        assert [ticket.outcome for ticket in await queue.submit([order()])] == ["created"]


async def test_what_nobody_can_read_ends_neither_the_events_nor_the_board(
    queue: Queue, store: Store, jobs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both run for as long as the process, and nobody would start them again."""
    monkeypatch.setattr("service.queue.cluster_state.PERIOD_S", 0.05)
    jobs.set(keys.worker("w"), "[")
    jobs.sadd(keys.WORKERS, "w")
    asked = order()
    await queue.submit([asked])
    with queue.news([asked.job.id]) as news:
        await subscribed(jobs)
        for strange in (b"\xff", b""):
            jobs.publish(keys.EVENTS, strange)
            await asyncio.sleep(0.05)
        jobs.set(keys.worker("w"), '{"id": "w"}')
        async with asyncio.timeout(PATIENCE_S):
            while not news.is_set():
                store.report([asked.job.id], 1, 2, "steps")
                await asyncio.sleep(0.05)
            while queue.workers() != [{"id": "w"}]:
                await asyncio.sleep(0.01)
