"""Quotas against a real Redis: what is new is charged, what is refused, joined or there already is not."""

from __future__ import annotations

import asyncio

import pytest

from service.http.errors import QueueFull, QuotaExceeded
from service.queue.admission import Caps
from service.queue.queue import Queue
from tests.orders import order
from tests.redis_server import RedisServer
from workers.jobs import keys
from workers.jobs.records import Store

CAPS = Caps(rate=1.0, burst=10.0)


def saved(store: Store, caller: str = "") -> float:
    return float(store.jobs.hget(f"{keys.PREFIX}quota:{caller}", "saved") or 0)


async def test_a_bucket_is_emptied_by_what_is_new_and_fills_with_time(redis_server: RedisServer, store: Store) -> None:
    async with Queue(redis_server.url, caps=CAPS) as queue:
        await queue.submit([order(1, cost=6.0, caller="a")])
        with pytest.raises(QuotaExceeded, match=r"6 s of work") as refused:
            await queue.submit([order(2, cost=6.0, caller="a")])
        assert refused.value.retry_after == 2
        await queue.submit([order(2, cost=6.0, caller="b")])
        store.jobs.hset(f"{keys.PREFIX}quota:a", "at", store.now() - 2)
        await queue.submit([order(3, cost=6.0, caller="a")])
        assert 0 <= saved(store, "a") < 0.5


async def test_what_is_joined_is_not_charged_nor_what_the_queue_refuses(
    redis_server: RedisServer, store: Store
) -> None:
    async with Queue(redis_server.url, caps=Caps(rate=0.001, burst=10.0, jobs=2)) as queue:
        await queue.submit([order(1, cost=2.0)])
        await queue.submit([order(1, cost=2.0)])
        assert saved(store) == pytest.approx(8, abs=0.1)
        await queue.submit([order(1, cost=2.0), order(2, cost=3.0)])
        assert saved(store) == pytest.approx(5, abs=0.1)
        with pytest.raises(QueueFull):
            await queue.submit([order(3, cost=1.0)])
        assert saved(store) == pytest.approx(5, abs=0.1)


async def test_what_is_dearer_than_a_full_bucket_takes_it_all_and_leaves_a_debt(
    redis_server: RedisServer, store: Store
) -> None:
    async with Queue(redis_server.url, caps=CAPS) as queue:
        await queue.submit([order(1, cost=25.0)])
        assert saved(store) == pytest.approx(-15, abs=0.1)
        with pytest.raises(QuotaExceeded) as refused:
            await queue.submit([order(2, cost=1.0)])
        assert refused.value.retry_after == 16


async def test_of_many_at_once_so_many_are_taken_as_are_paid_for(redis_server: RedisServer, store: Store) -> None:
    async with Queue(redis_server.url, caps=Caps(rate=0.001, burst=10.0)) as queue:
        asked = [queue.submit([order(number, cost=1.0)]) for number in range(30)]
        done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, list) for one in done) == 10
    assert sum(isinstance(one, QuotaExceeded) for one in done) == 20


async def test_without_a_rate_nothing_is_counted(redis_server: RedisServer, store: Store) -> None:
    async with Queue(redis_server.url) as queue:
        await queue.submit([order(1, cost=1e6)])
    assert list(store.jobs.scan_iter(f"{keys.PREFIX}quota:*")) == []
