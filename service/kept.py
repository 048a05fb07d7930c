"""What the API keeps and finds: inputs for the workers, results of theirs; large ones lie in `objects`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from service.orders import Input, QueueAway
from workers.contract import Objects, UnknownInput, keys, places_of, source


@dataclass(frozen=True, slots=True)
class Room:
    """Where large things lie, the seconds that an input stays unused, the bytes of inputs that Redis may hold."""

    objects: Objects = field(default_factory=lambda: Objects(None))
    input_ttl: int = 3600
    input_space: int = 2**30


class Inputs:
    """Inputs by digest in the jobs Redis."""

    def __init__(self, jobs: Redis, room: Room) -> None:
        self._jobs = jobs
        self._room = room
        self._objects = room.objects
        self._renew = jobs.register_script(source("renew_inputs"))
        self._store = jobs.register_script(source("keep_input"))

    async def find(self, digest: str) -> str | None:
        """The kind ("image" or "tensor") of a stored input; None where there is none."""
        kind, place = cast("list[bytes | None]", await self._jobs.hmget(keys.stored_input(digest), ["kind", "object"]))
        if kind is None or (place is not None and not await asyncio.to_thread(self._objects.renew, place.decode())):
            return None
        return kind.decode()

    async def keep(self, inputs: Sequence[Input]) -> None:
        """Have them stored for another while; raises UnknownInput for one without data that is not there."""
        if not inputs:
            return
        places = await self._renew(args=[self._room.input_ttl, *(given.digest for given in inputs)])
        for given, place in zip(inputs, places, strict=True):
            known = bool(place) and (place == b"data" or await asyncio.to_thread(self._objects.renew, place.decode()))
            if not known:
                await self._keep(given)

    async def _keep(self, given: Input) -> None:
        if given.data is None:
            raise UnknownInput("no input with that digest is stored now; send the input", pointer="/input")
        place = None
        if self._objects.takes(given.data):
            place = await asyncio.to_thread(self._objects.take, "inputs", given.data)
        if place is None and await self._stored(given, "data", given.data):
            return
        if place is None and self._objects.open:
            place = await asyncio.to_thread(self._objects.put, "inputs", given.data)
        if place is None:
            raise QueueAway("unfinished work holds as many inputs as there is room for; try again in a few seconds")
        await self._stored(given, "object", place.encode())

    async def _stored(self, given: Input, place: str, value: bytes) -> bool:
        args: list[str | bytes | int] = [
            given.digest,
            given.kind,
            self._room.input_ttl,
            self._room.input_space,
            place,
            value,
        ]
        return bool(await self._store(args=args))


class Finds:
    """Results by id in the cache Redis. One of which a blob is gone is gone as a whole, and is forgotten."""

    def __init__(self, cache: Redis, objects: Objects) -> None:
        self._cache = cache
        self._objects = objects

    async def read(self, job_id: str, *arrays: str) -> tuple[dict[str, Any], list[bytes | None]] | None:
        """The JSON and the .npy bytes of the named arrays, by one round trip; None where there is no result."""
        fields = ["meta", "objects", *(f"a:{name}" for name in arrays)]
        meta, objects, *found = cast("list[bytes | None]", await self._cache.hmget(keys.result(job_id), fields))
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
                pipe.hmget(keys.result(job_id), ["meta", "objects"])
            found = await pipe.execute()
        return {
            job_id: orjson.loads(meta)
            for job_id, (meta, objects) in zip(wanted, found, strict=True)
            if meta is not None and (objects is None or await self._blobs(job_id, objects) is not None)
        }

    async def _blobs(self, job_id: str, objects: bytes, wanted: Sequence[str] = ()) -> dict[str, bytes] | None:
        """The wanted arrays among the large ones; None, and the result forgotten, where any of them is gone."""
        found = await asyncio.to_thread(_read, self._objects, places_of(objects), wanted)
        if found is None:
            await self._cache.unlink(keys.result(job_id))
        return found


def _read(objects: Objects, places: Mapping[str, str], wanted: Sequence[str]) -> dict[str, bytes] | None:
    found = {name: objects.get(place) for name, place in places.items() if name in wanted}
    whole = all(objects.renew(place) for name, place in places.items() if name not in wanted)
    there = {name: data for name, data in found.items() if data is not None}
    return there if whole and len(there) == len(found) else None
