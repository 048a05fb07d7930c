"""Connections to Redis that fail soon, and the one error that their failures are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, RedisError

from workers.contract import ExplainError, async_client, refuses_writes

WAIT_S = 0.3  # for a connection of the pool
ANSWER_S = 0.6  # a burst on a busy machine opens many connections at once

log = structlog.get_logger()


class QueueUnavailable(ExplainError):
    """Redis did not answer in time: nothing can be queued or read now."""

    code = "queue_unavailable"


def client(url: str) -> Redis:
    """Fails within `ANSWER_S`; tries again at once only where a kept connection is dead or leads to a replica."""
    return async_client(
        url,
        most=64,
        timeout=WAIT_S,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 1, supported_errors=(NoConnection, ReadOnlyError)),
    )


def said_of(error: Exception) -> str:
    """What a client is told of an error of Redis."""
    if refuses_writes(error):
        return "the queue takes nothing new now: its store is full or takes no writes; try again in a few seconds"
    return "the queue does not answer now; try again in a few seconds"


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until they have ended: one cancellation may be lost while redis-py connects or reads."""
    every = list(tasks)
    running = set(every)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.2)
    await asyncio.gather(*every, return_exceptions=True)


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Raises QueueUnavailable for whatever Redis fails with."""
    try:
        yield
    except (RedisError, OSError) as error:
        log.warning("redis does not answer", error=type(error).__name__, detail=str(error))
        raise QueueUnavailable(said_of(error)) from None
