"""Who wants a job, and what becomes of it when nobody does any more, on a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from service.queue import interest
from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import claimed, order
from workers.jobs import keys
from workers.jobs.records import Store


async def state(queue: Queue, asked: Order) -> str | None:
    status = await queue.status(asked.job.id)
    return None if status is None else status.status


async def test_the_last_caller_to_withdraw_cancels_it(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order(caller="a")
    await queue.submit([asked])
    await queue.submit([order(caller="b")])
    assert await queue.withdraw(asked.job.id, "a") == "withdrawn"
    assert await state(queue, asked) == "queued"
    assert await queue.withdraw(asked.job.id, "b") == "withdrawn"
    assert await state(queue, asked) == "cancelled"
    assert claimed(store) == []
    assert await queue.withdraw(asked.job.id, "b") == "finished"
    assert not jobs.exists(keys.interest(asked.job.id), keys.WITHDRAWN)


async def test_who_never_asked_withdraws_nothing(queue: Queue) -> None:
    asked = order(caller="a")
    await queue.submit([asked])
    assert await queue.withdraw(asked.job.id, "b") == "withdrawn"
    assert await state(queue, asked) == "queued"
    assert await queue.withdraw("0" * 64, "a") == "unknown"


async def test_a_running_job_that_nobody_wants_is_lost_to_its_worker(queue: Queue, store: Store) -> None:
    asked = order()
    await queue.submit([asked])
    claimed(store)
    assert store.renew("w", [asked.job.id]) == set()
    await queue.withdraw(asked.job.id, "")
    assert store.renew("w", [asked.job.id]) == {asked.job.id}
    assert await state(queue, asked) == "cancelled"


async def test_an_open_connection_keeps_what_its_caller_withdrew_until_it_closes(queue: Queue) -> None:
    asked = order()
    await queue.submit([asked])
    async with queue.attached([asked.job.id], "", 60), queue.attached([asked.job.id], "other", 60):
        await queue.withdraw(asked.job.id, "")
        assert await state(queue, asked) == "queued"
    assert await state(queue, asked) == "cancelled"


async def test_a_connection_that_closes_ends_nothing_that_a_caller_wants(queue: Queue) -> None:
    asked = order()
    await queue.submit([asked])
    async with queue.attached([asked.job.id], "", 60):
        pass
    assert await state(queue, asked) == "queued"


async def test_who_asks_again_wants_it_again(queue: Queue) -> None:
    asked = order()
    await queue.submit([asked])
    async with queue.attached([asked.job.id], "", 60):
        await queue.withdraw(asked.job.id, "")
        assert [ticket.outcome for ticket in await queue.submit([asked])] == ["joined"]
    assert await state(queue, asked) == "queued"


async def test_a_request_that_waits_is_an_open_connection_for_as_long(queue: Queue, store: Store) -> None:
    asked = order()
    await queue.submit([asked], wait=0.2)
    await queue.withdraw(asked.job.id, "")
    store.reconcile(5)
    assert await state(queue, asked) == "queued"
    await asyncio.sleep(0.25)
    store.reconcile(5)
    assert await state(queue, asked) == "cancelled"


async def test_the_connections_of_a_process_that_died_count_no_more_once_they_lapse(
    queue: Queue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interest, "LAPSE_S", 0.2)
    asked = order()
    await queue.submit([asked])
    connection = queue.attached([asked.job.id], "", 60)
    await connection.__aenter__()
    await queue.withdraw(asked.job.id, "")
    await asyncio.sleep(0.4)
    store.reconcile(5)
    assert await state(queue, asked) == "queued"  # it was renewed
    died = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "_renew"]  # type: ignore[union-attr]
    for task in died:
        task.cancel()
    await asyncio.sleep(0.25)
    store.reconcile(5)
    assert await state(queue, asked) == "cancelled"
    await connection.__aexit__(None, None, None)


async def test_a_cancelled_waiter_is_attached_no_more(queue: Queue, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])

    async def attached() -> None:
        async with queue.attached([asked.job.id], "", 60):
            await asyncio.sleep(60)

    waiting = asyncio.create_task(attached())
    while jobs.zcard(keys.interest(asked.job.id)) < 2:
        await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert jobs.zrange(keys.interest(asked.job.id), 0, -1) == [b"caller:"]


async def test_fifty_equal_requests_at_once_are_one_computation(queue: Queue, store: Store) -> None:
    tickets = await asyncio.gather(*(queue.submit([order()]) for _ in range(50)))
    outcomes = [ticket.outcome for (ticket,) in tickets]
    assert (outcomes.count("created"), outcomes.count("joined")) == (1, 49)
    assert len(claimed(store)) == 1
