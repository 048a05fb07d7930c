"""Interest: who still wants a job. Callers want it from their request until they withdraw, connections while open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal, TypeAlias
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.queue.connection import ended
from workers.contract import RECORD_TTL_S, async_script

Withdrawal: TypeAlias = Literal["unknown", "finished", "withdrawn"]

LAPSE_S = 15.0  # a connection counts for so long after the process that had it died

log = structlog.get_logger()


class Interest:
    """Of the jobs in one Redis."""

    def __init__(self, jobs: Redis) -> None:
        self._attach = async_script(jobs, "attach")
        self._leave = async_script(jobs, "leave")

    async def withdraw(self, job_id: str, caller: str) -> Withdrawal:
        """End a caller's interest; a job that nobody wants any more is cancelled. Raises RedisError."""
        (word,) = await self._leave(args=[RECORD_TTL_S, f"caller:{caller}", 1, job_id])
        return word.decode()  # type: ignore[no-any-return]

    @contextlib.asynccontextmanager
    async def attached(self, ids: Sequence[str], caller: str, seconds: float) -> AsyncIterator[None]:
        """For its duration, at most so many seconds, a connection wants the jobs; absences of Redis are borne."""
        member = f"open:{caller}:{uuid4().hex}"
        end = asyncio.get_running_loop().time() + seconds
        await self._hold(member, ids, seconds)
        renewing = asyncio.create_task(self._renew(member, ids, end))
        try:
            yield
        finally:
            await ended((renewing,))
            with contextlib.suppress(RedisError, OSError):  # it lapses
                await self._leave(args=[RECORD_TTL_S, member, 0, *ids])

    async def _renew(self, member: str, ids: Sequence[str], end: float) -> None:
        clock = asyncio.get_running_loop()
        while (left := end - clock.time()) > 0:
            await asyncio.sleep(min(left, LAPSE_S / 3))
            await self._hold(member, ids, end - clock.time())

    async def _hold(self, member: str, ids: Sequence[str], seconds: float) -> None:
        try:
            await self._attach(args=[member, min(seconds, LAPSE_S), *ids])
        except (RedisError, OSError) as error:
            log.warning("an open connection could not be noted", error=type(error).__name__)
