"""Quotas: a token bucket of seconds of work for each caller, in Redis, charged for what is new."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis

from service.http.errors import QuotaExceeded
from workers.contract import source


@dataclass
class Bill:
    """What a caller has to pay of the seconds that were taken; the rest is given back."""

    seconds: float = 0.0


class Quota:
    """`rate` seconds of work are earned in a second, at most `burst` of them are saved; None as rate is no quota."""

    def __init__(self, jobs: Redis, rate: float | None, burst: float) -> None:
        self._charge = jobs.register_script(source("charge"))
        self._rate = rate
        self._burst = burst

    @contextlib.asynccontextmanager
    async def charged(self, caller: str, seconds: float) -> AsyncIterator[Bill]:
        """Takes the seconds, and at its end gives back what is not on the bill; raises QuotaExceeded, RedisError."""
        bill = Bill()
        if self._rate is None:
            yield bill
            return
        wait = float(await self._charge(args=[caller, seconds, self._rate, self._burst]))
        if wait > 0:
            whole = math.ceil(wait)
            raise QuotaExceeded(
                f"this would take {seconds:.3g} s of work, and the quota has not so many left; try again in {whole} s",
                whole,
            )
        try:
            yield bill
        finally:
            if bill.seconds < seconds:
                await self._charge(args=[caller, bill.seconds - seconds, self._rate, self._burst])
