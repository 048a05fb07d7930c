"""Whose work is next: fair turns of callers and groups, interactive before batch, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import claimed, order
from workers.jobs import keys
from workers.jobs.job import Job
from workers.jobs.records import SHORT, SHORT_S, Store
from workers.methods.method import parse_method


async def submit(queue: Queue, orders: Sequence[Order]) -> None:
    """A request each, one after the other."""
    for each in orders:
        await queue.submit([each])


def many(number: int, first: int = 0, **fields: Any) -> list[Order]:
    return [order(index, **fields) for index in range(first, first + number)]


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.queue.submission.rows_per_batch", lambda *_: 1)


@pytest.mark.parametrize("method", ["gradient", "lrp"])
async def test_one_job_of_a_caller_is_next_whatever_another_has_waiting(
    queue: Queue, store: Store, method: str
) -> None:
    orders = many(1000, caller="a")
    await asyncio.gather(*(submit(queue, orders[place::10]) for place in range(10)))
    await queue.submit([asked := order(5000, method, caller="b")])
    assert asked.job.id in claimed(store) + claimed(store)


async def test_one_job_of_a_group_is_next_whatever_waits_in_another(queue: Queue, store: Store) -> None:
    await submit(queue, many(200))
    await queue.submit([asked := order(0, "lrp")])
    assert asked.job.id in claimed(store) + claimed(store)


async def test_work_of_others_shares_the_pass_of_its_group(queue: Queue, store: Store) -> None:
    orders = [order(0, caller="a"), order(1, "lrp", caller="b"), order(2, caller="b"), order(3, caller="c")]
    await submit(queue, orders)
    assert claimed(store) == [orders[place].job.id for place in (0, 2, 3)]
    assert claimed(store) == [orders[1].job.id]


async def test_beside_others_a_claim_of_what_is_short_takes_no_more_than_its_share(queue: Queue, store: Store) -> None:
    brief, long = (
        [order(at, method, cost=SHORT_S / 4, passes=passes) for at in range(6)]
        for method, passes in (("gradient", SHORT), ("smooth_grad", SHORT + 1))
    )
    for orders, sizes in ((brief, [4, 2]), (long, [6])):
        await submit(queue, orders)
        assert [len(store.claim("interactive", "w", beside=True).works) for _ in sizes] == sizes
    await submit(queue, [order(at, "lrp", cost=SHORT_S / 4, passes=SHORT) for at in range(6)])
    assert len(store.claim("interactive", "w").works) == 6
    await submit(queue, [order(at, "deconvnet", cost=SHORT_S * 9, passes=1) for at in range(2)])
    assert len(store.claim("interactive", "w", beside=True).works) == 1  # what is more by itself is taken all the same


@pytest.mark.usefixtures("one_at_a_time")
async def test_turns_are_of_work_and_not_of_jobs(queue: Queue, store: Store) -> None:
    dear, cheap = many(10, caller="dear", cost=10.0), many(60, 10, caller="cheap", cost=1.0)
    await submit(queue, [*dear, *cheap])
    taken = [claimed(store)[0] for _ in range(33)]
    assert sum(each.job.id in taken for each in dear) == 3
    assert sum(each.job.id in taken for each in cheap) == 30


@pytest.mark.usefixtures("one_at_a_time")
async def test_what_costs_nothing_has_its_turn_and_no_more(queue: Queue, store: Store) -> None:
    free, other = many(10, caller="a", cost=0.0), many(10, 10, caller="b", cost=0.0)
    await submit(queue, [*free, *other])
    taken = [claimed(store)[0] for _ in range(10)]
    assert sum(each.job.id in taken for each in free) == 5


@pytest.mark.usefixtures("one_at_a_time")
async def test_idle_time_earns_no_turns(queue: Queue, store: Store) -> None:
    busy, late = many(20, caller="busy"), many(20, 20, caller="late")
    await submit(queue, busy)
    for _ in range(10):
        claimed(store)
    await submit(queue, late)
    taken = [claimed(store)[0] for _ in range(10)]
    assert sum(each.job.id in taken for each in late) == 5


@pytest.mark.usefixtures("one_at_a_time")
async def test_who_leaves_and_comes_back_still_has_had_what_it_had(queue: Queue, store: Store) -> None:
    comes_and_goes, stays = many(2, caller="a", cost=10.0), many(20, 10, caller="b", cost=1.0)
    await submit(queue, [comes_and_goes[0], *stays])
    while comes_and_goes[0].job.id not in claimed(store):
        pass
    await queue.submit([comes_and_goes[1]])
    between = 0
    while comes_and_goes[1].job.id not in claimed(store):
        between += 1
    assert 8 <= between <= 11


@pytest.mark.usefixtures("one_at_a_time")
async def test_interactive_goes_before_batch_except_every_fifth_turn(queue: Queue, store: Store) -> None:
    bulk, interactive = many(5, priority="batch"), many(20, 10)
    await submit(queue, [*bulk, *interactive])
    taken = [claimed(store)[0] for _ in range(20)]
    batch = {each.job.id for each in bulk}
    assert [place for place, job_id in enumerate(taken, 1) if job_id in batch] == [5, 10, 15, 20]


async def test_a_worker_takes_only_what_it_serves(queue: Queue, store: Store) -> None:
    await submit(queue, [bulk := order(0, priority="batch")])
    assert claimed(store, serves="interactive") == []
    await submit(queue, [interactive := order(1)])
    assert claimed(store, serves="batch") == [bulk.job.id]
    assert claimed(store, serves="interactive") == [interactive.job.id]


async def test_what_is_long_or_takes_no_input_is_batch(queue: Queue, jobs: Redis) -> None:
    await submit(queue, [order(0, cost=31.0), order(1, cost=29.0)])
    dataset = order(2)
    await queue.submit([dataset_level(dataset)])
    assert jobs.hget(keys.depth("batch"), "jobs") == b"2"
    assert jobs.hget(keys.depth("interactive"), "jobs") == b"1"


def dataset_level(asked: Order) -> Order:
    method = parse_method({"name": "pattern_fit", "dataset": "sha256:" + "a" * 64})
    return Order(Job(model=asked.job.model, input=None, target=None, method=method), asked.model)


async def test_one_bell_is_on_its_way_however_much_comes(queue: Queue, store: Store, jobs: Redis) -> None:
    await submit(queue, many(40))
    assert jobs.llen(keys.PREFIX + keys.INTERACTIVE) == 1
    claim = store.claim("interactive", "w")
    assert (len(claim.works), claim.ring) == (32, True)  # the worker rings for the rest
    await submit(queue, many(40, 40))
    assert jobs.llen(keys.PREFIX + keys.INTERACTIVE) == 1
    while claim.ring:
        claim = store.claim("interactive", "w")
    await submit(queue, many(1, 80))
    assert jobs.llen(keys.PREFIX + keys.INTERACTIVE) == 2


async def test_the_bell_of_one_priority_answered_with_work_of_another_rings_on(queue: Queue, store: Store) -> None:
    await submit(queue, [bulk := order(0, priority="batch"), interactive := order(1)])
    claim = store.claim("batch", "w")
    assert ([work.id for work in claim.works], claim.ring) == ([interactive.job.id], True)
    claim = store.claim("interactive", "w")
    assert ([work.id for work in claim.works], claim.ring) == ([bulk.job.id], False)


async def test_counts_begin_at_nothing_when_nothing_waits(queue: Queue, store: Store, jobs: Redis) -> None:
    await submit(queue, [order(index, cost=0.1 * index) for index in range(9)])
    jobs.hincrby(keys.depth("interactive"), "jobs", 7)
    while claimed(store):
        pass
    assert not jobs.exists(keys.depth("interactive"))


async def test_who_joins_brings_a_turn_of_its_own(queue: Queue, store: Store, jobs: Redis) -> None:
    orders = many(100, caller="a")
    await submit(queue, orders)
    await queue.submit([order(99, caller="b")])
    await queue.submit([order(99, caller="b")])
    taken = [claimed(store) for _ in range(4)]
    assert orders[99].job.id in taken[0] + taken[1]
    assert sorted(job_id for batch in taken for job_id in batch) == sorted(each.job.id for each in orders)
    assert not jobs.exists(keys.depth("interactive"))


async def test_batch_that_somebody_waits_for_is_interactive(queue: Queue, store: Store, jobs: Redis) -> None:
    bulk = many(3, priority="batch")
    await submit(queue, bulk)
    assert [ticket.outcome for ticket in await queue.submit([order(2)])] == ["joined"]
    assert jobs.hget(keys.depth("interactive"), "jobs") == b"1"
    assert claimed(store, serves="interactive") == [bulk[2].job.id]
    assert claimed(store, serves="batch") == [each.job.id for each in bulk[:2]]


async def test_a_job_that_crashed_shares_no_pass_with_another_callers(queue: Queue, store: Store, jobs: Redis) -> None:
    crashed, others = order(0, caller="a"), [order(1, caller="b"), order(2, caller="c")]
    await queue.submit([crashed])
    claimed(store)
    jobs.delete(keys.lease(crashed.job.id))
    store.reconcile(5)
    await submit(queue, others)
    taken = [claimed(store), claimed(store)]
    assert sorted(map(len, taken)) == [1, 2]
    assert [crashed.job.id] in taken


async def test_position_counts_what_alternates_with_it_and_what_goes_first(queue: Queue, store: Store) -> None:
    await submit(queue, [*many(3, caller="a"), *many(5, 10, caller="b"), *many(4, 20, priority="batch")])

    async def position(index: int) -> int | None:
        status = await queue.status(order(index).job.id)
        assert status is not None
        return status.position

    assert [await position(index) for index in (0, 1, 2)] == [0, 2, 4]
    assert [await position(index) for index in (10, 11, 14)] == [0, 2, 7]
    assert [await position(index) for index in (20, 23)] == [8, 11]


async def test_many_positions_at_once_are_those_of_each_alone(queue: Queue) -> None:
    await submit(queue, many(24, caller="a"))
    await queue.submit(many(3, 50, caller="b"))
    await submit(queue, [order(index, "lrp", caller="b") for index in range(3)])
    await submit(queue, [order(index, caller="b") for index in range(3)])
    ids = [each.job.id for each in (*many(24), *many(3, 50))]
    alone = [await queue.status(job_id) for job_id in ids]
    assert await queue.statuses(ids) == alone
    assert len({status.position for status in alone if status}) > 20


async def test_the_wait_is_estimated_from_the_work_before_it(queue: Queue, store: Store) -> None:
    await submit(queue, many(4, cost=2.0))
    status = await queue.status(order(3).job.id)
    assert status is not None
    assert status.starts_in == pytest.approx(6.0)
