"""Waiting for as long as the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.deps import parts_of
from service.explanations.results import state
from service.http.callers import caller_of
from service.queue.orders import Status

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; ends it and raises ClientDisconnect as soon as the client has gone.

    The request's body has to have been read.
    """
    working, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        gone.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def awaited(request: Request, key: str, wait: float) -> Status:
    """The status, as soon as it is final or after `wait` seconds, which are capped; raises NotFound, ClientDisconnect.

    As long as it waits, its connection is one that wants the explanation.
    """
    parts = parts_of(request)
    status, seconds = await state(parts.queue, key), min(wait, parts.settings.longest_wait)
    if status.final or not seconds:
        return status
    async with parts.queue.attached([key], caller_of(request), seconds):
        return await while_connected(request, state(parts.queue, key, seconds))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
