"""Results in the cache Redis: written whole in one command, so that nobody ever sees half a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from redis import Redis

from workers import keys


@dataclass(frozen=True, slots=True)
class Finished:
    """A result as it is stored: the JSON that clients read, and .npy bytes by array name."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, bytes]


class Results:
    """Finished explanations by id."""

    def __init__(self, cache: Redis, ttl: int) -> None:
        self.cache = cache
        self.ttl = ttl

    def save(self, job_id: str, result: Finished) -> None:
        """Store a result in one transaction, in place of an older one."""
        fields: dict[Any, Any] = {f"a:{name}": data for name, data in result.arrays.items()}
        fields["meta"] = orjson.dumps(result.meta, option=orjson.OPT_SERIALIZE_NUMPY)
        with self.cache.pipeline(transaction=True) as pipe:
            pipe.delete(keys.result(job_id))
            pipe.hset(keys.result(job_id), mapping=fields)
            pipe.expire(keys.result(job_id), self.ttl)
            pipe.delete(keys.partial(job_id))
            pipe.execute()

    def arrays(self, job_id: str) -> dict[str, bytes] | None:
        """The .npy bytes of a stored result by array name; None where there is none."""
        stored = cast("dict[bytes, bytes]", self.cache.hgetall(keys.result(job_id)))
        found = {name.decode().removeprefix("a:"): data for name, data in stored.items() if name != b"meta"}
        return found if stored else None

    def meta(self, job_id: str) -> dict[str, Any] | None:
        """The JSON of a stored result; None where there is none."""
        stored = self.cache.hget(keys.result(job_id), "meta")
        found: dict[str, Any] | None = None if stored is None else orjson.loads(stored)
        return found
