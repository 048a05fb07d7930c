"""What work costs Redis: a claim by what waits, a job from its request to its end, and how many it can take at most."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from typing import Any

from redis import Redis

from benchmarks.scale.curve import processor_s
from benchmarks.scale.hosts import end, spawned
from benchmarks.scale.jobs import DONE, ENGINE_S, MADE, done, model, order, patient
from service.queue.queue import Queue
from workers.jobs import keys, profile, scripts
from workers.jobs.doorbell import bell_message
from workers.jobs.records import ATTEMPTS, LEASE_MS, Store
from workers.jobs.stored_results import Results

AT_ONCE = 50  # calls of a driver by one round trip
FREE = json.dumps({"group": 1e9, "caller": 1e9, "jobs": 1e9, "seconds": {"interactive": 1e9, "batch": 1e9}})
SPEC = order(0).job.text.decode()


def claims(jobs: Redis, waiting: int, models: int, times: int) -> float:
    """Microseconds that Redis needs to claim one job, of so many that wait of so many models, all served."""
    jobs.flushall()
    store = Store(jobs)
    store.offer(profile.served(map(model, range(models))), ttl=3600)
    fill(jobs, waiting, models)
    took = []
    for _ in range(times):
        before = spent_in_scripts(jobs)
        claim = store.claim(keys.INTERACTIVE, "w")
        took.append(spent_in_scripts(jobs) - before)
        for one in claim.works:
            store.finish(one.id, "w")
    return statistics.median(took)


def spent_in_scripts(jobs: Redis) -> float:
    """Microseconds."""
    told = jobs.info("commandstats")
    return float(sum(told.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("evalsha", "eval")))


def fill(jobs: Redis, waiting: int, models: int) -> None:
    """So many jobs that wait, by the script that submits them."""
    submit = jobs.register_script(scripts.source("submit"))
    needed = {of: " ".join(profile.needs(order(0, of).job)) for of in range(models)}
    for number in range(waiting):
        submit(args=submitted(number, number % models, needed[number % models]))


def submitted(number: int, of: int, needs: str) -> list[Any]:
    """What `submit.lua` is told of a job; beyond the first 2,000 all are of one text, for nobody reads it."""
    told = {
        "id": f"{number:064x}", "spec": order(number, of).job.text.decode() if number < 2000 else SPEC, "model": "m",
        "group": f"g{of}", "share": 1, "priority": "interactive", "caller": f"c{number % 7}", "cost": ENGINE_S,
        "needs": needs,
    }  # fmt: skip
    bells = json.dumps({one: bell_message(one) for one in keys.PRIORITIES})
    return [json.dumps([told]), FREE, 0, 0, bells, 0]


def table(url: str, quick: bool) -> list[dict[str, float]]:
    """Of a claim."""
    jobs, found = Redis.from_url(url, socket_timeout=60), []
    for waiting, models in itertools.product((1, 1000) if quick else (1, 1000, 100_000), (1, 100, 1000)):
        if models > waiting > 1 or (waiting == 1 and models > 1 and quick):
            continue
        cost = claims(jobs, waiting, models, 1 if waiting == 1 else 40)
        found.append({"waiting": waiting, "models": models, "us": cost})
        print(f"{waiting:7d} waiting of {models:4d} models: {cost:.0f} us a claim", flush=True)
    return found


def cost(url: str, rows: int, count: int = 400) -> float:
    """Microseconds of Redis's processor for a job, from its request to its end; `rows` may share a claim."""

    async def through() -> None:
        jobs = Redis.from_url(url, socket_timeout=60)
        store, results = Store(jobs), Results(jobs, 60)
        store.offer(profile.served([model(0)]), ttl=3600)
        async with Queue(url) as queue:
            for number in range(count):
                await queue.submit([order(number)])
            left = count
            while left:
                for one in store.claim(keys.INTERACTIVE, "w").works:
                    results.save(one.id, MADE)
                    store.finish(one.id, "w")
                    left -= 1

    patient(rows)
    jobs = Redis.from_url(url, socket_timeout=60)
    jobs.flushall()
    before = processor_s(jobs)
    asyncio.run(through())
    return (processor_s(jobs) - before) / count * 1e6


def drive(url: str, number: int) -> None:
    """An API and many workers whose engine takes no time, as one process: each call fifty times by a round trip."""
    jobs, owner = Redis.from_url(url, socket_timeout=60), f"driver:{number}"
    store, results = Store(jobs), Results(jobs, 60)
    store.offer(profile.served([model(0)]), ttl=3600)
    submit, claim = (jobs.register_script(scripts.source(name)) for name in ("submit", "claim"))
    for script in (submit, claim):
        jobs.script_load(script.script)
    needs = " ".join(profile.needs(order(0).job))
    priorities, terms = ",".join(keys.PRIORITIES), (LEASE_MS, ATTEMPTS, keys.RECORD_TTL_S, b"", b"", store.profile)
    numbers = itertools.count(2000 + number, 100)
    while True:
        with jobs.pipeline(transaction=False) as pipe:
            for _ in range(AT_ONCE):
                submit(args=submitted(next(numbers), 0, needs), client=pipe)
            for _ in range(AT_ONCE):
                claim(args=[keys.INTERACTIVE, priorities, owner, *terms], client=pipe)
            answers = [json.loads(answer) for answer in pipe.execute()]
        ids = [one["id"] for answer in answers for one in answer.get("jobs", ())]
        results.save_together(dict.fromkeys(ids, MADE))
        store.finish_together(ids, owner)
        jobs.incrby(DONE, len(ids))


def limit(url: str, seconds: float, drivers: int = 2) -> dict[str, float]:
    """Jobs a second that Redis's thread takes from drivers that cost less than it, and the share that it was busy."""
    jobs = Redis.from_url(url, socket_timeout=60)
    jobs.flushall()
    running = [spawned(drive, url, one) for one in range(drivers)]
    time.sleep(1)
    before, cpu, began = done(jobs), processor_s(jobs), time.monotonic()
    time.sleep(seconds)
    count, spent, took = done(jobs) - before, processor_s(jobs) - cpu, time.monotonic() - began
    end(running)
    told = {"jobs_s": count / took, "redis_thread": spent / took, "redis_us": spent / max(count, 1) * 1e6}
    print(
        f"{told['jobs_s']:.0f} jobs/s, Redis's thread {told['redis_thread']:.0%} busy, {told['redis_us']:.0f} us a job"
    )
    return told
