"""The stored inputs, as a worker reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import structlog
from redis import Redis

from workers.explanation.errors import InternalError
from workers.jobs import keys
from workers.jobs.blobs import Objects, ObjectsAway

Fields: TypeAlias = Mapping[bytes, bytes]

log = structlog.get_logger()


def inputs_of(came: Sequence[bytes]) -> dict[str, Fields]:
    """By digest, from the digest, kind and data of one after the other."""
    parts = zip(came[::3], came[1::3], came[2::3], strict=True)
    return {digest.decode(): {b"kind": kind, b"data": data} for digest, kind, data in parts}


def read_inputs(jobs: Redis, objects: Objects, digests: Iterable[str]) -> dict[str, Fields | InternalError]:
    """The fields `kind` and `data` of those inputs that are there; the error of one that cannot be reached now."""
    with jobs.pipeline(transaction=False) as pipe:
        for digest in (wanted := list(digests)):
            pipe.hgetall(keys.stored_input(digest))
        found = pipe.execute()
    return {digest: _whole(objects, fields) for digest, fields in zip(wanted, found, strict=True)}


def _whole(objects: Objects, fields: Fields) -> Fields | InternalError:
    if b"object" not in fields:
        return fields
    try:
        data = objects.get(fields[b"object"].decode())
    except ObjectsAway as away:
        log.error("an input could not be read", error=str(away))
        return InternalError("the input could not be read: the store of large things is away; try again")
    return {} if data is None else {**fields, b"data": data}
