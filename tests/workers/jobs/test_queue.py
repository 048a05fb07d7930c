"""The API's side of the queue, against a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.submission import Order
from tests.orders import a_row, claimed, order
from tests.patience import PATIENCE_S
from tests.workers.jobs.queue_runs import subscribed
from workers.contract import UnknownInput
from workers.explanation.errors import InternalError
from workers.explanation.tensors import encode_npy
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results


def result(value: float = 1.0) -> Finished:
    row = a_row(value)
    return Finished({"kind": row.kind, "value": value}, {k: encode_npy(array) for k, array in row.arrays.items()})


def state(status: Status | None) -> str | None:
    return None if status is None else status.status


async def test_an_order_is_created_then_joined_then_a_hit(queue: Queue, store: Store, results: Results) -> None:
    asked = order()
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["joined"]
    assert claimed(store) == [asked.job.id]
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["joined"]
    results.save(asked.job.id, result())
    store.finish(asked.job.id, "w")
    (ticket,) = await queue.submit([asked])
    assert (ticket.outcome, ticket.meta) == ("hit", {"kind": "attribution", "value": 1.0})
    assert claimed(store) == []


async def test_equal_orders_at_once_are_one_job(queue: Queue, store: Store) -> None:
    asked = order()
    tickets = await asyncio.gather(*(queue.submit([asked, asked]) for _ in range(20)))
    outcomes = [ticket.outcome for both in tickets for ticket in both]
    assert claimed(store) == [asked.job.id]
    assert set(outcomes) <= {"created", "joined"}
    assert sum(both[0].outcome == "created" for both in tickets) == 1


async def test_the_states_of_a_job_follow_from_what_exists(queue: Queue, store: Store, results: Results) -> None:
    first, asked = order(0), order(1)
    assert await queue.status(asked.job.id) is None
    await queue.submit([first])
    await queue.submit([asked])
    status = await queue.status(asked.job.id)
    assert status is not None
    assert (status.status, status.position, status.model) == ("queued", 1, "toy")
    claimed(store)
    store.report([asked.job.id], 3, 10, "steps")
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.progress is not None
    assert (status.status, status.position, status.attempts) == ("running", None, 1)
    assert (status.progress.done, status.progress.total, status.progress.unit) == (3, 10, "steps")
    results.save(asked.job.id, result())
    store.finish(asked.job.id, "w")
    assert state(await queue.status(asked.job.id)) == "succeeded"
    results.cache.delete(keys.result(asked.job.id))
    assert state(await queue.status(asked.job.id)) == "expired"
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]


async def test_a_result_is_read_whole_or_not_at_all(queue: Queue, results: Results) -> None:
    job_id = order().job.id
    assert await queue.read(job_id, "attribution") is None
    seen = []

    async def look() -> None:
        for _ in range(200):
            seen.append(await queue.read(job_id, "attribution"))

    looking = asyncio.create_task(look())
    for value in range(20):
        await asyncio.to_thread(results.save, job_id, result(float(value)))
    await looking
    whole = [{"kind": "attribution", "value": float(value)} for value in range(20)]
    for found in seen:
        if found is not None:
            assert found[1] == [result(float(whole.index(found[0]))).arrays["attribution"]]
    assert await queue.array(job_id, "attribution") == result(19.0).arrays["attribution"]
    assert await queue.array(job_id, "nothing") is None
    assert 0 < results.cache.ttl(keys.result(job_id)) <= results.ttl


async def test_waiting_ends_when_the_last_is_final(queue: Queue, store: Store, results: Results) -> None:
    orders = [order(0), order(1)]
    ids = [each.job.id for each in orders]
    await queue.submit(orders)
    claimed(store)
    waiting = asyncio.create_task(queue.wait(ids, PATIENCE_S))
    results.save(ids[0], result())
    store.finish(ids[0], "w")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    store.finish(ids[1], "w", InternalError("no"))
    assert [state(status) for status in await waiting] == ["succeeded", "failed"]


async def test_waiting_ends_with_the_time(queue: Queue) -> None:
    asked = order()
    await queue.submit([asked])
    assert [state(status) for status in await queue.wait([asked.job.id], 0.05)] == ["queued"]


async def test_waiting_needs_no_event(queue: Queue, store: Store, jobs: Redis) -> None:
    """Pub/sub may lose a message; a waiter looks by itself."""
    asked = order()
    await queue.submit([asked])
    waiting = asyncio.create_task(queue.wait([asked.job.id], PATIENCE_S))
    await asyncio.sleep(0.05)
    jobs.hset(keys.job(asked.job.id), mapping={"finished_at": "1", "cancelled": "1"})
    assert [state(status) for status in await waiting] == ["cancelled"]


async def test_what_is_withdrawn_does_not_run_and_may_be_asked_again(queue: Queue, store: Store) -> None:
    asked = order()
    await queue.submit([asked])
    assert await queue.withdraw(asked.job.id, "") == "withdrawn"
    assert await queue.withdraw(asked.job.id, "") == "finished"
    assert state(await queue.status(asked.job.id)) == "cancelled"
    assert claimed(store) == []
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]
    assert claimed(store) == [asked.job.id]


async def test_recomputing_is_running_although_a_result_is_there(queue: Queue, store: Store, results: Results) -> None:
    asked = order(recompute=True)
    results.save(asked.job.id, result())
    assert [ticket.outcome for ticket in await queue.submit([asked])] == ["created"]
    assert state(await queue.status(asked.job.id)) == "queued"
    (work,) = store.claim("interactive", "w").works
    assert work.recompute
    store.finish(work.id, "w")
    assert state(await queue.status(asked.job.id)) == "succeeded"


def by_digest(index: int) -> Order:
    asked = order(index)
    assert asked.input is not None
    return replace(asked, input=replace(asked.input, data=None))


async def test_an_input_may_be_named_by_digest_once_it_is_stored(queue: Queue) -> None:
    named = by_digest(1)
    assert named.input is not None
    with pytest.raises(UnknownInput):
        await queue.submit([named])
    assert await queue.status(named.job.id) is None
    await queue.submit([order(0)])
    assert [ticket.outcome for ticket in await queue.submit([named])] == ["created"]
    assert await queue.find_input(named.input.digest) == "tensor"
    assert await queue.find_input("sha256:0") is None


async def test_who_waits_for_the_end_is_not_woken_on_the_way(
    queue: Queue, store: Store, jobs: Redis, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribed(jobs)
    monkeypatch.setattr("service.queue.queue.POLL_S", 30)
    asked = order()
    await queue.submit([asked])
    looked: list[str | None] = []
    look = queue.statuses

    async def counted(ids: Sequence[str]) -> list[Status | None]:
        found = await look(ids)
        looked.extend(state(status) for status in found)
        return found

    monkeypatch.setattr(queue, "statuses", counted)
    waiting = asyncio.create_task(queue.wait([asked.job.id], PATIENCE_S))
    while not looked:
        await asyncio.sleep(0.01)
    with queue.news([asked.job.id]) as news:
        for act in (lambda: claimed(store), lambda: store.report([asked.job.id], 1, 2, "steps")):
            async with asyncio.timeout(PATIENCE_S):
                act()
                await news.wait()
                news.clear()
        results.save(asked.job.id, result())
        store.finish(asked.job.id, "w")
    assert [state(status) for status in await waiting] == ["succeeded"]
    assert looked == ["queued", "succeeded"]
