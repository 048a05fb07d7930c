"""Kept connections are asked whether they live, and one lives that refuses to write.

While its disk fails, Redis answers PING as it answers a write. redis-py sends one before what comes over a connection
that was not used for a while, and takes that answer for the command's own: reads failed that Redis would have answered.
"""

from __future__ import annotations

from typing import Any

from redis import ConnectionPool
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.exceptions import ResponseError

from workers.jobs.refusals import refuses_writes


class _Bearing:
    def check_health(self) -> None:
        try:
            super().check_health()  # type: ignore[misc]
        except ResponseError as error:
            if not refuses_writes(error):
                raise


class _AsyncBearing:
    async def check_health(self) -> None:
        try:
            await super().check_health()  # type: ignore[misc]
        except ResponseError as error:
            if not refuses_writes(error):
                raise


def bear_refusals(pool: ConnectionPool | AsyncConnectionPool) -> None:
    """Of all connections that the pool will make, whatever their kind."""
    kind: Any = pool.connection_class
    bearing = _AsyncBearing if isinstance(pool, AsyncConnectionPool) else _Bearing
    pool.connection_class = type(kind.__name__, (bearing, kind), {})
