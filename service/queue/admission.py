"""Admission control: what a job is expected to cost, its priority, when the queue is full, and quotas of callers."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from service.http.errors import QueueFull, QuotaExceeded
from service.queue.cluster_state import Depth
from workers.contract import BATCH, INTERACTIVE, PASS_S, Job, Method, Priority, async_script, pace_field, passes

NEAR = 0.9
JITTER = 0.2  # of a wait: so that those who were refused together do not come back together


@dataclass(frozen=True, slots=True)
class Caps:
    """What may wait of either priority: jobs of one group, of one caller, of all; seconds until the last starts.

    An order that is expected to take more than `bulk` seconds goes with the batch, whatever it asks for. Of new work a
    caller may ask for `rate` seconds in a second, and for `burst` more at once; None as `rate` is no quota.
    """

    group: int = 5000
    caller: int = 5000
    jobs: int = 10_000
    wait: float = 300.0
    batch_wait: float = 86400.0
    bulk: float = 30.0
    rate: float | None = None
    burst: float = 600.0

    def at(self, workers: int, *, shut: bool = False) -> dict[str, Any]:
        """As the submit script takes them; `shut` refuses all that is new."""
        waits = {INTERACTIVE: self.wait, BATCH: self.batch_wait}
        seconds = {one: wait * max(1, workers) for one, wait in waits.items()}
        return {"group": self.group, "caller": self.caller, "jobs": self.jobs, "seconds": seconds, "shut": shut}

    def near(self, depths: Mapping[Priority, Depth], workers: int) -> bool:
        """Whether one more may well be too many."""
        most, seconds = min(self.group, self.caller, self.jobs), self.at(workers)["seconds"]
        return any(depth.jobs >= NEAR * most or depth.seconds >= NEAR * seconds[one] for one, depth in depths.items())


def estimate(job: Job, count: int, paces: Mapping[str, float]) -> float:
    """Seconds that a worker will need for `count` passes (0: not known), by what such passes took of late."""
    return passes(job.method, count) * paces.get(pace_field(job.model, job.method.name), PASS_S)


def priority(method: Method, asked: Priority, cost: float, caps: Caps) -> Priority:
    """Batch for what asks for it, for what is long, and for what looks at a dataset instead of an input."""
    return BATCH if cost > caps.bulk or not method.takes_input else asked


def refusal(full: Mapping[str, Any], caller: str, workers: int) -> QueueFull:
    """The error for what the submit script found full: this caller's share, or the queue."""
    seconds = math.ceil(retry_after(full, workers) * random.uniform(1, 1 + JITTER))
    if full["cap"] == "memory":
        return QueueFull(f"the queue's memory is nearly full; try again in {seconds} s", seconds)
    measured = "s of work" if full["cap"] == "seconds" else "jobs"
    of = {"caller": " of one caller", "group": " of one kind"}.get(full["cap"], "")
    detail = f"{full['depth']:.0f} {measured}{of} would wait, and at most {full['most']:.0f} may"
    error = QuotaExceeded if full["cap"] == "caller" and caller else QueueFull
    return error(f"{detail}; try again in {seconds} s", seconds)


def retry_after(full: Mapping[str, Any], workers: int) -> float:
    """Seconds until what is too much will have been worked off: the share of the whole wait beyond the cap."""
    wait: float = full["seconds"] / max(1, workers)
    beyond: float = 1 - full["most"] / full["depth"]
    return max(1.0, wait * beyond)


@dataclass
class Bill:
    """What a caller has to pay of the seconds that were taken; the rest is given back."""

    seconds: float = 0.0


class Quota:
    """`rate` seconds of work are earned in a second, at most `burst` of them are saved; None as rate is no quota."""

    def __init__(self, jobs: Redis, rate: float | None, burst: float) -> None:
        self._charge = async_script(jobs, "charge")
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
