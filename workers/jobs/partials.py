"""What a long job has gathered so far, kept in the cache Redis so that another worker can go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import structlog
from numpy.typing import NDArray
from redis import Redis
from redis.exceptions import RedisError
from safetensors.numpy import load

from workers.explanation.tensors import encode_safetensors
from workers.jobs import keys

TTL_S = 3600
LIMIT = 64 * 2**20  # bytes of one phase: larger ones are computed again rather than written every few seconds

log = structlog.get_logger()


class Partials:
    """Unfinished phases of jobs, by job id and name of the phase; without Redis they are simply not there."""

    def __init__(self, cache: Redis) -> None:
        self.cache = cache

    def saved(self, job_id: str, phase: str) -> Mapping[str, NDArray[Any]] | None:
        try:
            found = cast("bytes | None", self.cache.hget(keys.partial(job_id), phase))
        except RedisError as away:
            log.warning("what was kept of a job could not be read", job=job_id, error=type(away).__name__)
            return None
        if found is None:
            return None
        log.info("a job goes on where its last worker stopped", job=job_id, phase=phase)
        return load(found)

    def save(self, job_id: str, phase: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        data = encode_safetensors(arrays)
        if len(data) > LIMIT:
            return
        try:
            with self.cache.pipeline(transaction=True) as pipe:
                pipe.hset(keys.partial(job_id), phase, data)
                pipe.expire(keys.partial(job_id), TTL_S)
                pipe.execute()
        except RedisError as away:
            log.warning("progress could not be kept", job=job_id, error=type(away).__name__)
