"""Who takes part: workers that have no torch and no Celery, and replicas of the API that submit."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid

from redis import Redis

from benchmarks.scale.jobs import DONE, ENGINE_S, MADE, model, order, patient, waiting
from service.queue.queue import Queue
from workers.jobs import keys, profile
from workers.jobs.doorbell import ring
from workers.jobs.records import Store
from workers.jobs.stored_results import Results

REPLICAS = 2


def work(url: str) -> None:
    """A worker, until it is ended."""
    jobs = Redis.from_url(url)
    store, results, owner = Store(jobs), Results(jobs, ttl=60), uuid.uuid4().hex
    for due in store.offer(profile.served([model(0)]), ttl=3600):
        ring(jobs, due)
    while True:
        if jobs.brpop([f"{keys.PREFIX}{keys.INTERACTIVE}"], timeout=1) is None:
            continue
        while True:
            claim = store.claim(keys.INTERACTIVE, owner)
            if claim.ring:
                ring(jobs, keys.INTERACTIVE)
            if not claim.works:
                break
            for one in claim.works:
                time.sleep(ENGINE_S)
                results.save(one.id, MADE)
                store.finish(one.id, owner)
            jobs.incrby(DONE, len(claim.works))
            if claim.ring:
                break


def ask(url: str, backlog: int, replica: int) -> None:
    """A replica of the API, which keeps so many jobs waiting."""

    async def keep() -> None:
        numbers = itertools.count(replica, REPLICAS)
        async with Queue(url) as queue:
            jobs = Redis.from_url(url)
            while True:
                if waiting(jobs) >= backlog:
                    await asyncio.sleep(0.01)
                else:
                    await asyncio.gather(*(queue.submit([order(next(numbers))]) for _ in range(16)))

    patient(1)
    asyncio.run(keep())
