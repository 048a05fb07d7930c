"""Looks after the store of large things: what unfinished jobs need stays, what is old or too much goes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from workers.jobs import keys
from workers.jobs.blobs import Kind, Objects, ObjectsAway

PERIOD_S = 60.0
LATE_S = 300  # a blob outlives what names it,
REPLACED_S = 86400  # and a model that was sent outlives the time at which another took its place

log = structlog.get_logger()


def tend(jobs: Redis, objects: Objects, ttl: Mapping[Kind, float], space: int) -> int:
    """One round: the number of blobs removed. `ttl` is in seconds, `space` in bytes. Raises RedisError, ObjectsAway."""
    needed = [digest.decode() for digest in cast("list[bytes]", jobs.hkeys(keys.NEEDS))]
    with jobs.pipeline(transaction=False) as pipe:
        for digest in needed:
            pipe.hget(keys.stored_input(digest), "object")
        places = pipe.execute()
    for place in places:
        if place is not None:
            objects.renew(place.decode())
    removed = objects.sweep({kind: seconds + LATE_S for kind, seconds in ttl.items()}, space)
    return removed + _remove_replaced(jobs, objects)


def _remove_replaced(jobs: Redis, objects: Objects) -> int:
    """Of models that were sent: those that were replaced long ago, and that nobody has sent again."""
    old = cast("list[bytes]", jobs.zrangebyscore(keys.REPLACED, "-inf", jobs.time()[0] - REPLACED_S))
    sent = set(cast("list[bytes]", jobs.hvals(keys.UPLOADS)))
    for place in old:
        if place not in sent:
            objects.remove(place.decode(), unused=REPLACED_S)
        jobs.zrem(keys.REPLACED, place)
    return len(set(old) - sent)


def start(jobs: Redis, name: str, objects: Objects, ttl: Mapping[Kind, float], space: int) -> None:
    """Tend in the background whenever this worker is the one that reconciles; only where there is a store."""

    def rounds() -> None:
        pause = threading.Event()
        while not pause.wait(PERIOD_S):
            try:
                if jobs.get(keys.RECONCILER) == name.encode() and (removed := tend(jobs, objects, ttl, space)):
                    log.info("large things removed", blobs=removed)
            except (RedisError, ObjectsAway) as error:
                log.warning("the store of large things was not looked after", error=f"{type(error).__name__}: {error}")

    if objects.open:
        threading.Thread(target=rounds, name="upkeep", daemon=True).start()
