"""Withdrawn work, and that whatever happens every job ends once."""

from __future__ import annotations

import itertools
import random
from typing import Any, cast

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import claimed, order
from workers.explanation.errors import InternalError
from workers.jobs import keys
from workers.jobs.records import Store


@pytest.mark.parametrize("rounds", [1, 5])
async def test_what_is_withdrawn_does_not_pile_up_where_no_worker_comes(queue: Queue, jobs: Redis, rounds: int) -> None:
    bundle = [order(0, caller="a", priority="batch"), order(1, caller="a", priority="batch")]
    for _ in range(rounds):
        await queue.submit(bundle)
        await queue.submit([order(0, caller="b", priority="batch")])
        await queue.submit([order(1, caller="c")])
        for each, caller in itertools.product(bundle, "abc"):
            assert jobs.keys("whence:waiting:*")
            await queue.withdraw(each.job.id, caller)
    left = {name.split(":")[1] for name in names_in(jobs.keys("whence:*"))}
    assert not left & {"waiting", "turns", "past", "depth", "open", "interest", "withdrawn"}


async def test_what_was_withdrawn_and_asked_for_again_is_handed_back_once(
    queue: Queue, store: Store, jobs: Redis
) -> None:
    """Before its worker saw that nobody wanted it any more, that worker had to end."""
    asked = order()
    await queue.submit([asked])
    claimed(store)
    await queue.withdraw(asked.job.id, "")
    await queue.submit([asked])
    store.hand_back("w", [asked.job.id])
    assert jobs.hget(keys.depth("interactive"), "jobs") == b"1"
    assert jobs.hget(keys.job(asked.job.id), "attempts") == b"0"
    assert await state_of(queue, asked) == "queued"
    assert claimed(store, "w2") == [asked.job.id]
    assert claimed(store, "w2") == []


async def test_what_is_withdrawn_after_it_was_handed_back_leaves_its_group_to_who_serves_it(
    queue: Queue, store: Store, jobs: Redis
) -> None:
    """Who had joined it had no line left by then; what comes later is not for a worker that never comes."""
    asked = order(0, caller="a")
    await queue.submit([asked])
    await queue.submit([order(0, caller="b")])
    assert claimed(store) == [asked.job.id]
    store.hand_back("w", [asked.job.id])
    for caller in "ab":
        await queue.withdraw(asked.job.id, caller)
    assert not jobs.exists(keys.NEEDED, "whence:class_of", "whence:lines")
    later = order(1, caller="a")
    await queue.submit([later])
    assert claimed(store) == [later.job.id]


OF_WORKERS = {"bells", "batch", "interactive", "lease", "profile", "profiles", "turn"}
LASTING = {*OF_WORKERS, "index", "input", "input_bytes", "inputs", "job", "probe"}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_every_job_ends_once_and_nothing_is_left(
    queue: Queue, store: Store, jobs: Redis, seed: int
) -> None:
    """Requests, joins, claims, deaths, withdrawals and ends in any order; the counts are right at every step."""
    chance = random.Random(seed)
    held: list[str] = []
    asked: set[str] = set()

    async def post() -> None:
        fields: Any = {"caller": chance.choice("abc"), "priority": chance.choice(keys.PRIORITIES)}
        orders = [
            order(chance.randrange(12), chance.choice(["gradient", "lrp"]), **fields)
            for _ in range(chance.randint(1, 3))
        ]
        asked.update(each.job.id for each in orders)
        await queue.submit(orders)

    async def claim() -> None:
        held.extend(claimed(store))

    async def end() -> None:
        if held:
            error = chance.choice([None, InternalError("no")])
            store.finish(held.pop(chance.randrange(len(held))), "w", error)

    async def die() -> None:
        for job_id in held:
            jobs.delete(keys.lease(job_id))
        held.clear()
        store.reconcile(5)

    async def stop() -> None:
        store.hand_back("w", held)
        held.clear()

    async def withdraw() -> None:
        if asked:
            await queue.withdraw(chance.choice(sorted(asked)), chance.choice("abc"))

    steps = [post, post, post, claim, claim, end, end, end, die, stop, withdraw]
    for _ in range(120):
        await chance.choice(steps)()
        waiting = [job_id for job_id in asked if jobs.hexists(keys.job(job_id), "entry")]
        depths = [cast("dict[bytes, bytes]", jobs.hgetall(keys.depth(priority))) for priority in keys.PRIORITIES]
        assert sum(int(depth.get(b"jobs", 0)) for depth in depths) == len(waiting)
        for depth, kind in itertools.product(depths, (b"caller:", b"group:")):
            assert sum(int(depth[name]) for name in depth if name.startswith(kind)) == int(depth.get(b"jobs", 0))
        running = [job_id for job_id in asked if jobs.exists(keys.lease(job_id)) and not finished(jobs, job_id)]
        assert names_in(jobs.zrange(keys.OPEN, 0, -1)) == {*waiting, *running}
    while True:
        held.extend(claimed(store))
        if not held:
            break
        store.finish(held.pop(), "w")
    assert all(finished(jobs, job_id) for job_id in asked)
    left = {name.split(":")[1] for name in names_in(jobs.keys("whence:*"))}
    assert {name for name in left if not name.startswith("_kombu")} <= LASTING


def names_in(answer: object) -> set[str]:
    return {name.decode() for name in cast("list[bytes]", answer)}


def finished(jobs: Redis, job_id: str) -> bool:
    return bool(jobs.hexists(keys.job(job_id), "finished_at"))


async def state_of(queue: Queue, asked: Order) -> str | None:
    status = await queue.status(asked.job.id)
    return None if status is None else status.status
