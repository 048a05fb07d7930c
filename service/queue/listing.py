"""The list of explanations, newest first, in pages."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis.asyncio import Redis

from service.queue.status import State, Status
from workers.contract import INDEX_KEY, InvalidParameter

LOOK = 200  # jobs that are read at once
FURTHEST = 5000  # jobs that one page looks through for those asked for

Place: TypeAlias = tuple[float, str]  # in the index: creation time and id
Statuses: TypeAlias = Callable[[Sequence[str]], Awaitable[list[Status | None]]]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list, newest first; `cursor` is where the next page begins, None after the last."""

    statuses: Sequence[Status]
    cursor: str | None = None


async def page(
    jobs: Redis, statuses: Statuses, status: State | None, model: str | None, limit: int, cursor: str | None
) -> Page:
    """At most `limit` of those in the state and of the model, after the cursor; raises InvalidParameter for a bad one.

    A page that had to look too far for its like ends early, and its cursor goes on from there.
    """
    after = None if cursor is None else _place(cursor)
    look = LOOK if status or model else min(LOOK, limit + 1)
    found: list[tuple[Place, Status]] = []
    for _ in range(FURTHEST // LOOK):
        places = await _next(jobs, after, look)
        states = await statuses([job_id for _, job_id in places])
        found += [
            (place, one)
            for place, one in zip(places, states, strict=True)
            if one is not None and status in (None, one.status) and model in (None, one.model)
        ]
        if len(found) > limit:
            return Page([one for _, one in found[:limit]], _cursor(found[limit - 1][0]))
        if len(places) < look:
            return Page([one for _, one in found])
        after = places[-1]
    assert after is not None
    return Page([one for _, one in found], _cursor(after))


async def _next(jobs: Redis, after: Place | None, look: int) -> list[Place]:
    """So many places after one; those of one request may have the same time, and go by their ids."""
    if after is None:
        return _decoded(await jobs.zrange(INDEX_KEY, 0, look - 1, desc=True, withscores=True))
    time, job_id = after
    async with jobs.pipeline(transaction=False) as pipe:
        pipe.zrange(INDEX_KEY, time, time, byscore=True, withscores=True)
        pipe.zrange(INDEX_KEY, f"({time!r}", "-inf", desc=True, byscore=True, offset=0, num=look, withscores=True)
        same, older = await pipe.execute()
    ties = [place for place in reversed(_decoded(same)) if place[1] < job_id]
    return (ties + _decoded(older))[:look]


def _decoded(pairs: Any) -> list[Place]:
    return [(float(time), job_id.decode()) for job_id, time in pairs]


def _cursor(place: Place) -> str:
    return urlsafe_b64encode(f"{place[0]!r} {place[1]}".encode()).decode()


def _place(cursor: str) -> Place:
    try:
        time, job_id = urlsafe_b64decode(cursor).decode().split(" ")
        if not math.isfinite(place := float(time)):
            raise ValueError
        return place, job_id
    except ValueError:
        raise InvalidParameter(
            "no page begins there; take the cursor from the page before", pointer="/cursor"
        ) from None
