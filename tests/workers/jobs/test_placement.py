"""A worker takes only what it serves, in fair turns, and what nobody serves says so and ends."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import claimed, order, serving
from workers.jobs import keys, profile
from workers.jobs.records import Store

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def of(model: str, index: int = 0, method: object = "gradient", **fields: Any) -> Order:
    """An order for a class of that model."""
    found = order(index, method, **fields)
    return replace(found, job=found.job.model_copy(update={"model": model}))


def worker(jobs: Redis, *models: str) -> Store:
    return serving(Store(jobs), *models)


async def asked(queue: Queue, *orders: Order) -> list[str]:
    for one in orders:
        await queue.submit([one])
    return [one.job.id for one in orders]


async def test_a_worker_takes_what_it_serves_and_leaves_the_rest(queue: Queue, jobs: Redis) -> None:
    one, other = worker(jobs, A), worker(jobs, B)
    ids = await asked(queue, of(A, 0), of(B, 1), of(B, 2), of(A, 3))
    assert claimed(other) == [ids[1], ids[2]]
    claim = other.claim("interactive", "w")
    assert (list(claim.works), claim.ring) == ([], True)  # the other is to be woken
    assert claimed(one) == [ids[0], ids[3]]
    assert not one.claim("interactive", "w").ring


async def test_who_has_told_nothing_takes_nothing(queue: Queue, jobs: Redis) -> None:
    await asked(queue, of(A))
    assert claimed(Store(jobs)) == []


async def test_what_nobody_serves_is_found_by_who_comes(queue: Queue, jobs: Redis) -> None:
    """In its line and its turn, whatever waits beside it; with the bell for it."""
    early = worker(jobs, A)
    ids = await asked(queue, *(of(B, n, caller="x") for n in range(3)), of(A, 9), of(B, 5, caller="y"))
    assert claimed(early) == [ids[3]]
    jobs.delete(keys.BELLS)
    late = Store(jobs)
    assert late.offer(profile.served([B, C]), ttl=3600) == ["interactive"]
    assert sorted(claimed(late)) == sorted([*ids[:3], ids[4]])


async def test_work_that_two_serve_goes_to_either(queue: Queue, jobs: Redis) -> None:
    both, one = worker(jobs, A, B), worker(jobs, B)
    ids = await asked(queue, of(B, 0, "lrp"), of(B, 1), of(A, 2))
    taken = claimed(one)
    assert taken[0] in ids[:2]
    assert sorted([*taken, *claimed(both), *claimed(both)]) == sorted(ids)


async def test_a_job_needs_the_models_that_its_method_names(queue: Queue, jobs: Redis) -> None:
    method = {"name": "implementation_invariance", "other": B}
    (needed,) = await asked(queue, of(A, 0, method))
    assert claimed(worker(jobs, A)) == []
    assert claimed(worker(jobs, A, B)) == [needed]


@pytest.mark.parametrize("seed", range(3))
async def test_turns_stay_fair_whatever_each_worker_serves(
    queue: Queue, jobs: Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Callers of one and of many models get alike of a worker that serves all, beside one that serves a part."""
    monkeypatch.setattr("service.queue.submission.rows_per_batch", lambda *_: 1)
    whole, part = worker(jobs, A, B, C), worker(jobs, B)
    many = [of(model, n, caller="many") for n in range(30) for model in (A, B, C)]
    few = [of(B, n + 500, caller="few") for n in range(60)]
    orders = [*many, *few]
    random.Random(seed).shuffle(orders)
    whose = dict(zip(await asked(queue, *orders), (one.caller for one in orders), strict=True))
    taken = Counter(whose[claimed(who)[0]] for _ in range(20) for who in (whole, part))
    assert abs(taken["many"] - taken["few"]) <= 1


async def test_a_profile_that_lapsed_and_came_again_is_served(queue: Queue, jobs: Redis) -> None:
    one = worker(jobs, A)
    jobs.delete(keys.profile(one.profile))
    (job_id,) = await asked(queue, of(A))
    assert claimed(one) == []
    serving(one, A)
    assert claimed(one) == [job_id]


async def test_a_queue_that_nobody_serves_says_so(queue: Queue, jobs: Redis) -> None:
    ids = await asked(queue, of(A), of(B))
    store = worker(jobs, A)
    first, second = await queue.statuses(ids)
    assert first is not None
    assert second is not None
    assert (first.status, first.reason, first.position) == ("queued", None, 0)
    assert (second.status, second.position, second.starts_in) == ("queued", 0, None)
    assert second.reason == "no worker lives that serves this version of the model with this revision of the method"
    assert store.reconcile(5.0, unserved_s=60.0) == ([], [])


async def test_what_nobody_serves_fails_after_the_limit_and_leaves_nothing(queue: Queue, jobs: Redis) -> None:
    store = worker(jobs, A)
    mine, *gone = await asked(queue, of(A), of(B, 1), of(B, 2, "lrp"), of(B, 3, caller="x"))
    store.reconcile(5.0)
    store.reconcile(5.0, unserved_s=0.0)
    for status in await queue.statuses(gone):
        assert status is not None
        assert status.error is not None
        assert (status.status, status.error.code) == ("failed", "model_not_served")
        assert f"toy@{'b' * 12}" in status.error.detail
    assert claimed(store) == [mine]
    assert jobs.keys("whence:ready:*") == jobs.keys("whence:waiting:*") == []
    assert not jobs.exists(keys.NEEDED, keys.PREFIX + "class_of", keys.PREFIX + "lines", keys.classes("interactive"))


async def test_a_deadline_ends_what_nobody_serves(queue: Queue, jobs: Redis) -> None:
    (job_id,) = await asked(queue, of(B, deadline=1.0))
    worker(jobs, A).reconcile(5.0)
    status = await queue.status(job_id)
    assert status is not None
    assert status.error is not None
    assert status.error.code == "deadline_exceeded"


async def test_idle_workers_of_other_models_are_not_taken_for_broken(queue: Queue, jobs: Redis) -> None:
    one, other = worker(jobs, A), worker(jobs, B)
    await asked(queue, of(A))
    assert one.waiting(["interactive"], one.profile)
    assert not other.waiting(["interactive"], other.profile)
    assert not one.waiting(["batch"], one.profile)
