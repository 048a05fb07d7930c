"""Job records on a real Redis: claims, leases, deaths, deadlines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.storage import Input
from tests.orders import claimed, order
from workers.explanation.errors import InternalError, InvalidTensor
from workers.jobs import keys
from workers.jobs.records import ATTEMPTS, Store

DEAR = {"name": "smooth_grad", "of": {"name": "integrated_gradients", "steps": 500}}


def lose_bells(jobs: Redis) -> None:
    """What is left when those who had taken the bells from the broker are gone."""
    jobs.delete(*(keys.PREFIX + priority for priority in keys.PRIORITIES))


def die(jobs: Redis, *ids: str) -> None:
    """What is left when the worker that held these jobs is gone for longer than its lease."""
    for job_id in ids:
        jobs.delete(keys.lease(job_id))


async def test_work_is_claimed_in_the_order_it_came(queue: Queue, store: Store) -> None:
    orders = [order(index) for index in range(5)]
    for each in orders:
        await queue.submit([each])
    assert claimed(store) == [each.job.id for each in orders]
    assert claimed(store) == []


async def test_a_claim_carries_what_running_needs(queue: Queue, store: Store) -> None:
    asked = order(3, request_id="r-1")
    await queue.submit([asked])
    (work,) = store.with_inputs(store.claim("interactive", "w").works, "w")
    assert (work.id, work.job, work.model, work.request_id) == (asked.job.id, asked.job, "toy", "r-1")
    assert asked.input is not None
    assert (work.kind, work.data) == (asked.input.kind, asked.input.data)
    assert work.started_at >= work.created_at > 0
    assert not work.recompute


async def test_small_inputs_come_with_the_claim_and_the_others_are_read(queue: Queue, store: Store) -> None:
    orders = [order(index, value=0.25 * index) for index in range(3)]
    large = Input(orders[1].job.input or "", "tensor", bytes(2**18 + 1))
    orders[1] = replace(orders[1], input=large)
    for asked in orders:
        await queue.submit([asked])
    claimed = store.claim("interactive", "w").works
    sent = [asked.input.data if asked.input else None for asked in orders]
    assert [work.data for work in claimed] == [sent[0], None, sent[2]]
    assert [work.data for work in store.with_inputs(claimed, "w")] == sent


async def test_the_jobs_of_one_request_are_claimed_together_whatever_their_methods(queue: Queue, store: Store) -> None:
    bundle = [order(0, "gradient"), order(0, "lrp"), order(1, "gradient")]
    await queue.submit(bundle)
    assert claimed(store) == [each.job.id for each in bundle]


async def test_a_claim_takes_no_more_than_may_share_a_pass(queue: Queue, store: Store) -> None:
    for index in range(3):
        await queue.submit([order(index, DEAR)])
    claim = store.claim("batch", "w")
    assert len(claim.works) == 1
    assert claim.ring


async def test_a_lease_is_held_by_its_owner_alone(queue: Queue, store: Store) -> None:
    asked = order()
    await queue.submit([asked])
    claimed(store, "w")
    assert store.renew("w", [asked.job.id]) == set()
    assert store.renew("another", [asked.job.id]) == {asked.job.id}
    store.finish(asked.job.id, "w")
    assert store.renew("w", [asked.job.id]) == {asked.job.id}


async def test_what_a_dead_worker_held_is_put_back_and_rung_for(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])
    claimed(store)
    assert store.reconcile(5) == ([], [])  # the lease is alive
    die(jobs, asked.job.id)
    lose_bells(jobs)
    assert store.reconcile(5) == ([asked.job.id], ["interactive"])
    assert store.reconcile(5) == ([], [])  # once is enough
    assert claimed(store, "w2") == [asked.job.id]


async def test_work_that_was_on_a_dead_worker_runs_alone(queue: Queue, store: Store, jobs: Redis) -> None:
    orders = [order(index) for index in range(3)]
    ids = {each.job.id for each in orders}
    for each in orders:
        await queue.submit([each])
    claimed(store)
    die(jobs, *ids)
    store.reconcile(5)
    taken = [claimed(store) for _ in ids]
    assert [len(one) for one in taken] == [1, 1, 1]
    assert {one for (one,) in taken} == ids


async def test_a_job_that_kills_workers_fails_and_its_neighbours_do_not(
    queue: Queue, store: Store, jobs: Redis
) -> None:
    killer, neighbour = order(0), order(1)
    for each in (killer, neighbour):
        await queue.submit([each])
    for _ in range(10):
        taken = claimed(store)
        if killer.job.id in taken:
            die(jobs, *taken)
        else:
            for job_id in taken:
                store.finish(job_id, "w")
        store.reconcile(5)
    status, other = await queue.statuses([killer.job.id, neighbour.job.id])
    assert status is not None
    assert status.error is not None
    assert (status.status, status.error.code, status.attempts) == ("failed", "worker_crashed", ATTEMPTS)
    assert other is not None
    assert other.error is None
    assert other.finished_at is not None
    assert jobs.zcard(keys.OPEN) == 0


async def test_the_first_terminal_write_wins(queue: Queue, store: Store) -> None:
    asked = order()
    await queue.submit([asked])
    claimed(store)
    assert store.finish(asked.job.id, "w", InternalError("first"))
    assert not store.finish(asked.job.id, "w2")
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.error is not None
    assert (status.status, status.error.detail) == ("failed", "first")


async def test_work_past_its_deadline_is_dropped_unrun(queue: Queue, store: Store) -> None:
    asked = order(deadline=store.now() - 1)
    await queue.submit([asked])
    assert claimed(store) == []
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.error is not None
    assert (status.status, status.error.code, status.attempts) == ("failed", "deadline_exceeded", 0)


async def test_a_deadline_passes_while_every_worker_is_busy(queue: Queue, store: Store) -> None:
    asked = order(deadline=store.now() - 1)
    await queue.submit([asked])
    store.reconcile(5)
    status = await queue.status(asked.job.id)
    assert status is not None
    assert status.status == "failed"


async def test_of_joined_deadlines_the_latest_holds(queue: Queue, store: Store) -> None:
    now = store.now()
    late, early = order(deadline=now + 100), order(deadline=now - 1)
    await queue.submit([early])
    await queue.submit([late])
    await queue.submit([early])
    assert claimed(store) == [late.job.id]
    await queue.submit([order()])
    status = await queue.status(late.job.id)
    assert status is not None
    assert status.deadline is None


async def test_work_handed_back_comes_first_and_counts_no_attempt(queue: Queue, store: Store) -> None:
    first, second = order(0), order(1)
    await queue.submit([first])
    claimed(store)
    await queue.submit([second])
    assert store.hand_back("another", [first.job.id]) == []
    assert store.hand_back("w", [first.job.id]) == []  # for the second the bell has rung, and nobody has answered
    status = await queue.status(first.job.id)
    assert status is not None
    assert (status.status, status.position, status.attempts) == ("queued", 0, 0)
    assert claimed(store, "w2") == [first.job.id, second.job.id]


async def test_a_bell_that_nobody_answers_is_rung_again(queue: Queue, store: Store, jobs: Redis) -> None:
    asked = order()
    await queue.submit([asked])
    assert store.reconcile(0) == ([], [])  # it lies in the broker
    lose_bells(jobs)
    assert store.reconcile(60) == ([], [])
    assert store.reconcile(0) == ([], ["interactive"])
    claimed(store)
    assert store.reconcile(0) == ([], [])


@pytest.mark.parametrize("more", ["", ', "revisions": [1]'])
async def test_a_record_of_another_version_is_told_apart_from_its_neighbours(
    queue: Queue, store: Store, jobs: Redis, more: str
) -> None:
    strange, plain = order(0), order(1)
    for each in (strange, plain):
        await queue.submit([each])
    spec = f'{{"input": null, "model": "m", "method": {{"name": "of_tomorrow"}}, "target": null{more}}}'
    jobs.hset(keys.job(strange.job.id), "spec", spec)
    claim = store.claim("interactive", "w")
    assert [work.id for work in claim.works] == [plain.job.id]
    assert [(one.id, one.error.code) for one in claim.foreign] == [(strange.job.id, "revision_not_served")]


async def test_a_clients_mistake_is_remembered_for_a_minute_and_other_failures_are_not(
    queue: Queue, store: Store, jobs: Redis
) -> None:
    mistake, fault = order(0), order(1)
    await queue.submit([mistake, fault])
    claimed(store)
    store.finish(mistake.job.id, "w", InvalidTensor("wrong", pointer="/input"))
    store.finish(fault.job.id, "w", InternalError("ours"))
    assert [ticket.outcome for ticket in await queue.submit([mistake, fault])] == ["refused", "created"]
    jobs.hset(keys.job(mistake.job.id), "remembered_until", store.now() - 1)
    assert [ticket.outcome for ticket in await queue.submit([mistake])] == ["created"]


@pytest.mark.parametrize("how", ["succeeded", "failed", "withdrawn"])
async def test_the_record_of_a_closed_job_is_small(queue: Queue, store: Store, jobs: Redis, how: str) -> None:
    table = [{"layers": f"conv{i}", "rule": "flat"} for i in range(50)] + [{"rule": "epsilon"}]
    await queue.submit([asked := order(0, {"name": "lrp", "composite": table})])
    if how == "withdrawn":
        await queue.withdraw(asked.job.id, "")
    else:
        assert claimed(store) == [asked.job.id]
        store.finish(asked.job.id, "w", InternalError("no") if how == "failed" else None)
    assert jobs.hget(keys.job(asked.job.id), "finished_at")
    assert (jobs.memory_usage(keys.job(asked.job.id)) or 0) < 1500
    (found,) = await queue.statuses([asked.job.id])
    assert found is not None
    assert found.final
