"""What workers agree on about versions of models: since when a name stands for one, and whether work of one waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from workers.jobs import keys

BEGAN = 10_000  # versions of which it is remembered when they began


def began(jobs: Redis) -> Callable[[str, str, bool], float]:
    """Since when a version of a model is the one that its name stands for, in unix seconds: all workers agree on it.

    A worker that starts with a version that is known changes nothing; one whose folder has changed does.
    """

    def when(name: str, digest: str, switched: bool) -> float:
        member = f"{name} {digest}"
        try:
            seconds, micro = jobs.time()
            with jobs.pipeline(transaction=True) as pipe:
                pipe.zadd(keys.BEGAN, {member: seconds + micro / 1e6}, nx=not switched)
                pipe.zscore(keys.BEGAN, member)
                pipe.zremrangebyrank(keys.BEGAN, 0, -BEGAN - 1)
                return float(pipe.execute()[1])
        except RedisError:
            return time.time()

    return when


def waits(jobs: Redis) -> Callable[[str], bool]:
    """Whether work of a model's version waits; true where nobody can tell."""

    def some(digest: str) -> bool:
        try:
            needed = cast("list[bytes]", jobs.hvals(keys.NEEDED))
        except RedisError:
            return True
        return any(digest.encode() in one for one in needed)

    return some
