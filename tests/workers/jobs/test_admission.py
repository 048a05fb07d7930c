"""What the queue takes in and what it refuses, on a real Redis; how long it says to wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis import Redis

from service.http.errors import QueueFull, QuotaExceeded
from service.queue.admission import JITTER, Caps, retry_after
from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import claimed, order, serving
from tests.redis_server import RedisServer
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results
from workers.methods.cost import PASS_S

MANY = Caps(group=1000, caller=1000, jobs=1000, wait=1000.0)


@pytest.fixture
async def with_caps(redis_server: RedisServer) -> AsyncIterator[Callable[..., Queue]]:
    """A queue of these caps."""
    opened: list[Queue] = []

    def make(**caps: float) -> Queue:
        opened.append(Queue(redis_server.url, caps=Caps(**caps)))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for queue in opened:
        await queue.__aexit__()


async def refused(queue: Queue, *orders: Order) -> QueueFull:
    with pytest.raises(QueueFull) as caught:
        await queue.submit(orders)
    return caught.value


@pytest.mark.parametrize("cap", ["jobs", "group", "caller"])
async def test_what_is_new_is_refused_when_full_and_nothing_of_it_is_stored(
    with_caps: Callable[..., Queue], jobs: Redis, cap: str
) -> None:
    queue = with_caps(**{cap: 2})
    for index in range(2):
        await queue.submit([order(index, cost=3.0)])
    await queue._cluster.read()
    before = sorted(jobs.keys())
    error = await refused(queue, order(2, value=0.7, cost=3.0), order(0))
    assert error.code == "queue_full"
    assert 3 <= error.retry_after <= 4  # one of three jobs of three seconds is too much, and up to a fifth of chance
    assert sorted(jobs.keys()) == before  # not its input either


async def test_hits_and_joins_are_served_when_full(
    with_caps: Callable[..., Queue], store: Store, results: Results
) -> None:
    queue = with_caps(jobs=1)
    done, waiting = order(0), order(1)
    results.save(done.job.id, Finished({"kind": "attribution"}, {}))
    await queue.submit([waiting])
    assert [ticket.outcome for ticket in await queue.submit([done, waiting])] == ["hit", "joined"]
    await refused(queue, order(2))
    claimed(store)
    assert [ticket.outcome for ticket in await queue.submit([order(2)])] == ["created"]


async def test_a_callers_own_cap_refuses_that_caller_alone(with_caps: Callable[..., Queue]) -> None:
    queue = with_caps(caller=1)
    await queue.submit([order(0, caller="key-1")])
    error = await refused(queue, order(1, caller="key-1"))
    assert isinstance(error, QuotaExceeded)
    assert error.code == "quota_exceeded"
    await queue.submit([order(1, caller="key-2")])


async def test_a_groups_cap_leaves_other_groups_alone(with_caps: Callable[..., Queue]) -> None:
    queue = with_caps(group=1)
    await queue.submit([order(0)])
    await refused(queue, order(1))
    await queue.submit([order(0, "lrp")])


async def test_batch_never_fills_the_room_of_interactive_work(with_caps: Callable[..., Queue]) -> None:
    queue = with_caps(jobs=1, wait=5.0)
    await queue.submit([order(0, priority="batch", cost=1000.0)])
    await refused(queue, order(1, priority="batch"))
    await queue.submit([order(1)])


async def test_work_that_would_start_too_late_is_refused_but_not_where_it_waits_alone(
    with_caps: Callable[..., Queue], jobs: Redis
) -> None:
    queue = with_caps(wait=10.0, bulk=1000.0)
    await queue.submit([order(0, cost=25.0)])
    error = await refused(queue, order(1, cost=5.0))
    assert 20 <= error.retry_after <= 24  # 30 s of work by one worker, of which 10 s may wait
    queue._cluster.workers = [{}, {}, {}]
    assert [ticket.outcome for ticket in await queue.submit([order(1, cost=5.0)])] == ["created"]
    assert float(jobs.hget(keys.depth("interactive"), "seconds") or 0) == 30.0


async def test_nothing_new_comes_into_a_crowded_redis(with_caps: Callable[..., Queue]) -> None:
    queue = with_caps()
    await queue.submit([order(0)])
    queue._cluster.crowded = True
    assert "memory" in (await refused(queue, order(1))).detail
    assert [ticket.outcome for ticket in await queue.submit([order(0)])] == ["joined"]


@pytest.mark.parametrize(
    ("full", "workers", "seconds"),
    [
        ({"seconds": 30.0, "depth": 30.0, "most": 10.0}, 1, 20.0),  # of work: what is beyond the target
        ({"seconds": 30.0, "depth": 30.0, "most": 20.0}, 2, 5.0),
        ({"seconds": 100.0, "depth": 10, "most": 9}, 1, 10.0),  # of jobs: as long as one of ten takes
        ({"seconds": 100.0, "depth": 10, "most": 9}, 5, 2.0),
        ({"seconds": 0.1, "depth": 10, "most": 9}, 1, 1.0),
        ({"seconds": 7.0, "depth": 1, "most": 0}, 0, 7.0),  # memory: until all that waits is done
    ],
)
def test_retry_after_is_the_part_of_the_wait_beyond_the_cap(
    full: dict[str, float], workers: int, seconds: float
) -> None:
    assert retry_after(full, workers) == pytest.approx(seconds)
    assert JITTER < 1


async def test_a_cost_is_estimated_from_what_such_work_took(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order(0, {"name": "integrated_gradients", "steps": 98})
    await queue.submit([asked])
    before_any_is_known = float(jobs.hget(keys.job(asked.job.id), "cost") or 0)
    assert before_any_is_known == pytest.approx(100 * PASS_S)
    pace = keys.pace(asked.job.model, "integrated_gradients")
    store.paced({pace: 0.002})
    store.paced({pace: 0.004})
    assert float(jobs.hget(keys.PACE, pace) or 0) == pytest.approx(0.002 * 2**0.2)
    await queue._cluster.read()
    other = order(1, {"name": "integrated_gradients", "steps": 98})
    await queue.submit([other])
    assert float(jobs.hget(keys.job(other.job.id), "cost") or 0) == pytest.approx(0.2 * 2**0.2, abs=1e-6)


async def test_work_ends_and_is_handed_out_in_a_redis_that_is_full(tmp_path: Path) -> None:
    """What waits and runs gets out of the way; what is new is refused with a reason."""
    server = RedisServer(tmp_path, "--maxmemory", "200mb", "--maxmemory-policy", "noeviction")
    try:
        async with Queue(server.url) as queue:
            store = serving(Store(Redis.from_url(server.url)))
            orders = [order(0), order(1), order(2)]
            for each in orders:
                await queue.submit([each])
            held = claimed(store)
            store.hand_back("w", held[1:])
            server.client.config_set("maxmemory", 1)
            await queue._cluster.read()
            assert "memory" in (await refused(queue, order(3))).detail
            assert store.renew("w", held[:1]) == set()
            assert store.finish(held[0], "w")
            assert await queue.withdraw(held[1], "") == "withdrawn"
            assert claimed(store, "w2") == [held[2]]
            store.jobs.delete(keys.lease(held[2]))
            assert store.reconcile(5)[0] == [held[2]]
            store.jobs.close()
    finally:
        server.stop()
