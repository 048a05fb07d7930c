"""Results in the cache Redis: written whole in one command, so that nobody ever sees half a result.

Arrays too large for Redis lie in `objects`, and the field of that name tells where. Without one of them, a result
is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError, RedisError

from workers.jobs import keys
from workers.jobs.blobs import Objects, ObjectsAway
from workers.jobs.signatures import Signer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finished:
    """A result as it is stored: the JSON that clients read, and .npy bytes by array name."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, bytes]


class Results:
    """Finished explanations by id; their receipts are signed where there is a `signer`.

    What `objects` cannot give now is not there: the worker computes it again.
    """

    def __init__(self, cache: Redis, ttl: int, objects: Objects | None = None, signer: Signer | None = None) -> None:
        self.cache = cache
        self.ttl = ttl
        self.objects = objects or Objects(None)
        self.signer = signer

    def save(self, job_id: str, result: Finished) -> None:
        """Store a result in one transaction, in place of an older one; raises RedisError.

        For arrays that a full Redis does not take there is `objects`, whatever their size.
        """
        taken = {name: self.objects.take("results", data) for name, data in result.arrays.items()}
        try:
            self._write(job_id, result, {name: place for name, place in taken.items() if place is not None})
        except OutOfMemoryError as full:
            log.warning("the cache takes no more; a result's arrays go to the store of large things", job=job_id)
            try:
                places = {name: self.objects.put("results", data) for name, data in result.arrays.items()}
            except ObjectsAway:
                raise full from None
            self._write(job_id, result, places)

    def save_together(self, results: Mapping[str, Finished]) -> set[str]:
        """Store results by their ids, each whole or not at all, by one round trip: the ids of those that are stored.

        One that is not is to be saved alone, which says why not.
        """
        small = {
            job_id: one
            for job_id, one in results.items()
            if not any(self.objects.takes(data) for data in one.arrays.values())
        }
        if len(small) < 2:
            return set()
        with self.cache.pipeline(transaction=False) as pipe:
            for job_id, result in small.items():
                pipe.execute_command("MULTI")  # type: ignore[no-untyped-call]  # of redis-py
                self._queue(pipe, job_id, self._fields(result, {}))
                pipe.execute_command("EXEC")  # type: ignore[no-untyped-call]
            try:
                answers = pipe.execute(raise_on_error=False)
            except RedisError as away:
                log.warning("results could not be stored together", error=type(away).__name__)
                return set()
        size = len(answers) // len(small)
        each = (answers[at : at + size] for at in range(0, len(answers), size))
        return {job_id for job_id, of in zip(small, each, strict=True) if not any(map(_wrong, of))}

    def _write(self, job_id: str, result: Finished, places: Mapping[str, str]) -> None:
        with self.cache.pipeline(transaction=True) as pipe:
            self._queue(pipe, job_id, self._fields(result, places))
            pipe.execute()

    def _queue(self, pipe: Pipeline, job_id: str, fields: Mapping[Any, Any]) -> None:
        pipe.delete(keys.result(job_id))
        pipe.hset(keys.result(job_id), mapping=dict(fields))
        pipe.expire(keys.result(job_id), self.ttl)
        pipe.delete(keys.partial(job_id))

    def _fields(self, result: Finished, places: Mapping[str, str]) -> dict[Any, Any]:
        fields: dict[Any, Any] = {f"a:{name}": data for name, data in result.arrays.items() if name not in places}
        meta = dict(result.meta)
        if self.signer is not None:
            meta["receipt"] = self.signer.signed(meta["receipt"])
        fields["meta"] = orjson.dumps(meta, option=orjson.OPT_SERIALIZE_NUMPY)
        if places:
            fields["objects"] = orjson.dumps(places)
        return fields

    def arrays(self, job_id: str) -> dict[str, bytes] | None:
        """The .npy bytes of a stored result by array name; None where there is none."""
        return self._arrays(cast("dict[bytes, bytes]", self.cache.hgetall(keys.result(job_id))))

    def _arrays(self, stored: Mapping[bytes, bytes]) -> dict[str, bytes] | None:
        if not stored:
            return None
        fields = {name.decode(): data for name, data in stored.items()}
        found = {name.removeprefix("a:"): data for name, data in fields.items() if name.startswith("a:")}
        try:
            blobs = {name: self.objects.get(place) for name, place in blobs_of(fields.get("objects")).items()}
        except ObjectsAway as away:
            log.warning("a result's arrays could not be read", error=str(away))
            return None
        found |= {name: data for name, data in blobs.items() if data is not None}
        return found if all(data is not None for data in blobs.values()) else None

    def several(self, job_ids: Sequence[str]) -> dict[str, Finished]:
        """Those results that are there, whole; nothing of any other."""
        with self.cache.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(keys.result(job_id))
            stored = pipe.execute()
        found: dict[str, Finished] = {}
        for job_id, fields in zip(job_ids, stored, strict=True):
            arrays = self._arrays(fields)
            if fields and arrays is not None:
                found[job_id] = Finished(orjson.loads(fields[b"meta"]), arrays)
        return found

    def meta(self, job_id: str) -> dict[str, Any] | None:
        """The JSON of a stored result; None where there is none."""
        stored, objects = cast("list[bytes | None]", self.cache.hmget(keys.result(job_id), ["meta", "objects"]))
        if stored is None or not self._whole(job_id, objects):
            return None
        found: dict[str, Any] = orjson.loads(stored)
        return found

    def _whole(self, job_id: str, objects: bytes | None) -> bool:
        try:
            return all(self.objects.renew(place) for place in blobs_of(objects).values())
        except ObjectsAway as away:
            log.warning("a result's arrays could not be looked up", job=job_id, error=str(away))
            return False


def _wrong(answer: Any) -> bool:
    """Whether an answer, or one of those of a transaction, is an error."""
    return isinstance(answer, Exception) or (isinstance(answer, list) and any(map(_wrong, answer)))


def blobs_of(field: bytes | None) -> dict[str, str]:
    """Where the large arrays of a result lie, by array name, from its field `objects`."""
    found: dict[str, str] = {} if field is None else orjson.loads(field)
    return found
