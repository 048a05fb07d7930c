"""What the API keeps and finds: inputs for the workers, results of theirs; large ones lie in `objects`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from service.queue.connection import QueueUnavailable
from service.queue.pipelined import Pipelined
from workers.contract import InputKind, Objects, UnknownInput, async_script, blobs_of, input_key, result_key


@dataclass(frozen=True, slots=True)
class Input:
    """An input by its digest; `data` are image bytes, .npy bytes or a bundle of several inputs.

    None where the client sent only the digest.
    """

    digest: str
    kind: InputKind
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """Where large things lie, the seconds that an input stays unused, the bytes of inputs that Redis may hold."""

    objects: Objects = field(default_factory=lambda: Objects(None))
    input_ttl: int = 3600
    input_space: int = 2**30


class Inputs:
    """Inputs by digest in the jobs Redis."""

    def __init__(self, jobs: Redis, limits: StorageLimits) -> None:
        self._jobs = jobs
        self._limits = limits
        self._objects = limits.objects
        self.script = async_script(jobs, "keep_input")

    async def find(self, digest: str) -> InputKind | None:
        """The kind of a stored input; None where there is none."""
        kind, place = cast("list[bytes | None]", await self._jobs.hmget(input_key(digest), ["kind", "object"]))
        if kind is None or (place is not None and not await asyncio.to_thread(self._objects.renew, place.decode())):
            return None
        return cast(InputKind, kind.decode())

    async def keep(self, inputs: Iterable[Input]) -> None:
        """Have them stored for another while.

        Raises UnknownInput for one without data that is not there, QueueUnavailable where there is no room.
        """
        for given in inputs:
            await self._keep(given)

    async def _keep(self, given: Input) -> None:
        data = given.data
        if data is None or self._objects.takes(data):
            known = await self._store_input(given)
        else:
            known = await self._store_input(given, "data", data)
        if known == "data" or (known not in ("", "full") and await asyncio.to_thread(self._objects.renew, known)):
            return
        if data is None:
            raise UnknownInput("no input with that digest is stored now; send the input", pointer="/input")
        if known not in ("", "full"):
            await self._jobs.delete(input_key(given.digest))  # for its blob is gone
        if known == "full" and not self._objects.open:
            raise QueueUnavailable(
                "unfinished work holds as many inputs as there is room for; try again in a few seconds"
            )
        put = self._objects.put if known == "full" else self._objects.take
        place = await asyncio.to_thread(put, "inputs", data)
        stored = await (
            self._store_input(given, "data", data) if place is None else self._store_input(given, "object", place)
        )
        if stored == "full":
            raise QueueUnavailable("there is no room for the input now; try again in a few seconds")

    def small(self, given: Input) -> list[str | bytes | int] | None:
        """What the script is to be asked to keep it in Redis; None for what has no bytes here, or too many."""
        data = given.data
        return None if data is None or self._objects.takes(data) else self._asked(given, "data", data)

    async def _store_input(self, given: Input, *stored: str | bytes) -> str:
        """What the script says of it: "", "full", "data", or the name of its object."""
        said: bytes = await self.script(args=self._asked(given, *stored))
        return said.decode()

    def _asked(self, given: Input, *stored: str | bytes) -> list[str | bytes | int]:
        asked: list[str | bytes | int] = [given.digest, self._limits.input_ttl, self._limits.input_space]
        return [*asked, given.kind, *stored] if stored else asked


class Results:
    """Results by id in the cache Redis. One of which a blob is gone is gone as a whole, and is forgotten."""

    def __init__(self, cache: Redis, quick: Pipelined, objects: Objects) -> None:
        self._cache = cache
        self._quick = quick
        self._objects = objects

    async def read(self, job_id: str, *arrays: str) -> tuple[dict[str, Any], list[bytes | None]] | None:
        """The JSON and the .npy bytes of the named arrays, by one round trip; None where there is no result."""
        fields = ["meta", "objects", *(f"a:{name}" for name in arrays)]
        meta, objects, *found = cast("list[bytes | None]", await self._quick.one("HMGET", result_key(job_id), *fields))
        if meta is None:
            return None
        if objects is not None:
            blobs = await self._blobs(job_id, objects, arrays)
            if blobs is None:
                return None
            found = [blobs.get(name, data) for name, data in zip(arrays, found, strict=True)]
        return orjson.loads(meta), found

    async def metas(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The JSON of those results that are there, whole."""
        async with self._cache.pipeline(transaction=False) as pipe:
            for job_id in (wanted := list(ids)):
                pipe.hmget(result_key(job_id), ["meta", "objects"])
            found = await pipe.execute()
        return {
            job_id: orjson.loads(meta)
            for job_id, (meta, objects) in zip(wanted, found, strict=True)
            if meta is not None and (objects is None or await self._blobs(job_id, objects) is not None)
        }

    async def several(self, ids: Sequence[str], *arrays: str) -> list[list[bytes | None]]:
        """The named arrays of several results, None for what is not there, by one round trip and their blobs."""
        async with self._cache.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(result_key(job_id), ["objects", *(f"a:{name}" for name in arrays)])
            found = await pipe.execute()
        return [
            parts if objects is None else await self._whole(job_id, objects, arrays, parts)
            for job_id, (objects, *parts) in zip(ids, found, strict=True)
        ]

    async def stored(self, ids: Sequence[str]) -> int:
        """How many of them are there."""
        async with self._cache.pipeline(transaction=False) as pipe:
            for at in range(0, len(ids), 500):
                pipe.exists(*map(result_key, ids[at : at + 500]))
            return sum(await pipe.execute())

    async def forget(self, job_id: str) -> None:
        await self._cache.unlink(result_key(job_id))

    async def _whole(
        self, job_id: str, objects: bytes, arrays: Sequence[str], parts: Sequence[bytes | None]
    ) -> list[bytes | None]:
        blobs = await self._blobs(job_id, objects, arrays) or {}
        return [blobs.get(name, data) for name, data in zip(arrays, parts, strict=True)]

    async def _blobs(self, job_id: str, objects: bytes, wanted: Sequence[str] = ()) -> dict[str, bytes] | None:
        """The wanted arrays among the large ones; None, and the result forgotten, where any of them is gone."""
        found = await asyncio.to_thread(_read, self._objects, blobs_of(objects), wanted)
        if found is None:
            await self._cache.unlink(result_key(job_id))
        return found


def _read(objects: Objects, places: Mapping[str, str], wanted: Sequence[str]) -> dict[str, bytes] | None:
    found = {name: objects.get(place) for name, place in places.items() if name in wanted}
    whole = all(objects.renew(place) for name, place in places.items() if name not in wanted)
    there = {name: data for name, data in found.items() if data is not None}
    return there if whole and len(there) == len(found) else None
