"""The API's side of the queue: submit, wait, read. Without Redis every call raises QueueUnavailable within a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, cast

import orjson

from service.queue import listing
from service.queue.admission import Caps
from service.queue.cluster_state import PROBE_S, ClusterState
from service.queue.connection import ANSWER_S, answering, client, ended
from service.queue.events import Events, News
from service.queue.gauges import Gauges, Readings
from service.queue.interest import Interest, Withdrawal
from service.queue.listing import Page
from service.queue.pipelined import Pipelined
from service.queue.repository import Repository
from service.queue.served import Served
from service.queue.status import State, Status, status_of
from service.queue.storage import Inputs, Results, StorageLimits
from service.queue.submission import Order, Submission, Ticket
from workers.contract import (
    FULL,
    PREVIEW,
    PROBE_KEY,
    InputKind,
    ModelCard,
    Precision,
    async_script,
    partial_key,
    result_key,
)

POLL_S = 1.0  # a waiter looks after so long without being told, for pub/sub may lose a message,
LONGEST_POLL_S = 4.0  # and each time after twice as long, up to this


class Queue:
    """Use as `async with Queue(redis_url, cache_url) as queue:`."""

    def __init__(
        self,
        redis_url: str,
        cache_url: str | None = None,
        limits: StorageLimits | None = None,
        caps: Caps | None = None,
        precision: Precision = FULL,
    ) -> None:
        self._jobs = client(redis_url)
        self._cache = client(cache_url) if cache_url else self._jobs
        quick = Pipelined(self._jobs, ANSWER_S)
        cached = Pipelined(self._cache, ANSWER_S) if cache_url else quick
        self._closing = (quick, cached, self._cache, self._jobs)
        limits = limits or StorageLimits()
        self._inputs = Inputs(self._jobs, limits)
        self._results = Results(self._cache, cached, limits.objects)
        self._events = Events(self._jobs)
        self._cluster = ClusterState(self._jobs, precision)
        self._submission = Submission(self._jobs, quick, self._cluster, self._inputs, self._results, caps or Caps())
        self._interest = Interest(self._jobs)
        self._status = async_script(self._jobs, "status")
        self._gauges = Gauges(self._jobs, self._cache)
        self.repository = Repository(self._jobs, limits.objects, self.models)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Queue:
        await self._cluster.look()
        self._tasks = [asyncio.create_task(self._events.listen()), asyncio.create_task(self._cluster.keep())]
        return self

    async def __aexit__(self, *error: object) -> None:
        await ended(self._tasks)
        for one in self._closing:
            await one.aclose()

    async def submit(self, orders: Sequence[Order], *, wait: float = 0, arrays: Sequence[str] = ()) -> list[Ticket]:
        """Create or join the jobs of one request, which are claimed together, and ring the doorbell.

        For `wait` seconds an open connection counts as one that wants them. `arrays` are read along where the result
        of a single order is there. Raises UnknownInput for a digest without data that names no stored input, and
        QueueFull for all of the request where there is no room for what is new in it.
        """
        async with answering():
            return await self._submission.submit(orders, wait, arrays)

    async def read(self, job_id: str, *arrays: str) -> tuple[dict[str, Any], list[bytes | None]] | None:
        """The result's JSON and the .npy bytes of the named arrays, in one round trip; None where there is none."""
        async with answering():
            return await self._results.read(job_id, *arrays)

    async def several(self, ids: Sequence[str], *arrays: str) -> list[list[bytes | None]]:
        """The named arrays of several results; None for each that is not there."""
        async with answering():
            return await self._results.several(ids, *arrays)

    async def metas(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The JSON of those results that are there, by id."""
        async with answering():
            return await self._results.metas(ids)

    async def stored(self, ids: Sequence[str]) -> int:
        """How many of these results are there; an id that comes twice counts twice."""
        async with answering():
            return await self._results.stored(ids)

    async def forget(self, job_id: str) -> None:
        """A result that is not whole any more: the same request makes it again."""
        async with answering():
            await self._results.forget(job_id)

    async def meta(self, job_id: str) -> dict[str, Any] | None:
        """The result's JSON."""
        found = await self.read(job_id)
        return found and found[0]

    async def array(self, job_id: str, name: str) -> bytes | None:
        """One array of a result as .npy bytes; "input" is the picture the model saw, or the tensor."""
        found = await self.read(job_id, name)
        return None if found is None else found[1][0]

    async def status(self, job_id: str) -> Status | None:
        """The state of an explanation; None for an id nobody knows."""
        return (await self.statuses([job_id]))[0]

    async def statuses(self, ids: Sequence[str]) -> list[Status | None]:
        """The states of several explanations, by one round trip to either Redis."""
        if not ids:
            return []
        async with answering(), self._cache.pipeline(transaction=False) as pipe:
            # The records first: a job that finishes between the two readings is then seen with its result.
            records = orjson.loads(await self._status(args=list(ids)))
            for job_id in ids:
                pipe.exists(result_key(job_id))
            stored = await pipe.execute()
        workers = len(self._cluster.workers)
        return [
            status_of(job_id, record, bool(there), workers)
            for job_id, record, there in zip(ids, records, stored, strict=True)
        ]

    async def preview(self, job_id: str) -> bytes | None:
        """What an unfinished job has made so far, as safetensors; None where it shows nothing."""
        async with answering():
            return cast("bytes | None", await self._cache.hget(partial_key(job_id), PREVIEW))

    async def has_preview(self, job_id: str) -> bool:
        """Whether an unfinished job has something to look at."""
        async with answering():
            return bool(await self._cache.hexists(partial_key(job_id), PREVIEW))

    async def wait(self, ids: Sequence[str], seconds: float, news: News | None = None) -> list[Status | None]:
        """The states of all, as soon as all are final, at the latest after so many seconds.

        With `news` of their ends from before they were submitted nothing is looked up until something has ended, and
        of those that are told to have succeeded nothing but that.
        """
        with self._events.of(ids, ends=True) if news is None else contextlib.nullcontext(news) as told:
            return await self._awaited(ids, seconds, told, fresh=news is not None)

    async def _awaited(self, ids: Sequence[str], seconds: float, told: News, *, fresh: bool) -> list[Status | None]:
        """A look is two round trips: it is made when all have ended, and from time to time, for news may be lost."""
        clock = asyncio.get_running_loop()
        end, poll = clock.time() + seconds, POLL_S
        looks = clock.time() + poll if fresh else clock.time()
        while True:
            told.clear()
            if fresh and all(told.ends.get(job_id) == "succeeded" for job_id in ids):
                return [Status(id=job_id, status="succeeded") for job_id in ids]
            now = clock.time()
            if now >= min(looks, end) or self._events.ended or told.missed or told.ends.keys() >= set(ids):
                if now >= looks:
                    poll = min(2 * poll, LONGEST_POLL_S)
                looks, told.missed = now + poll, False
                found = await self.statuses(ids)
                if now >= end or self._events.ended or all(status is None or status.final for status in found):
                    return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), max(0.0, min(looks, end) - clock.time()))

    def news(self, ids: Sequence[str], *, ends: bool = False) -> AbstractContextManager[News]:
        """Set when something happened to one of the ids, with `ends` when one ended; some may be lost: look again."""
        return self._events.of(ids, ends=ends)

    @property
    def ended(self) -> bool:
        """Whether nobody is to wait any longer."""
        return self._events.ended

    def end(self) -> None:
        """Let go of all who wait: the process ends."""
        self._events.end()

    async def withdraw(self, job_id: str, caller: str) -> Withdrawal:
        """End a caller's interest in a job; it is cancelled where no caller and no open connection is left."""
        async with answering():
            return await self._interest.withdraw(job_id, caller)

    def attached(self, ids: Sequence[str], caller: str, seconds: float) -> AbstractAsyncContextManager[None]:
        """While it is open, at most so many seconds, a connection wants the jobs; an absence of Redis is borne."""
        return self._interest.attached(ids, caller, seconds)

    async def listing(self, status: State | None, model: str | None, limit: int, cursor: str | None) -> Page:
        """A page of the explanations in this state and of this model, newest first; raises InvalidParameter."""
        async with answering():
            return await listing.page(self._jobs, self.statuses, status, model, limit, cursor)

    async def find_input(self, digest: str) -> InputKind | None:
        """The kind of a stored input; None where there is none."""
        async with answering():
            return await self._inputs.find(digest)

    def models(self) -> Served:
        """What the workers serve, at most about a second old."""
        return self._cluster.served

    def cards(self) -> Mapping[str, ModelCard]:
        """The cards of the models that can be asked for now, by name."""
        return self.models().cards

    def workers(self) -> list[dict[str, Any]]:
        """The live workers' last heartbeats: id, pid, device, bytes of the models loaded by digest."""
        return self._cluster.workers

    async def readings(self) -> Readings:
        """How full the queue and the stores are, now."""
        async with answering():
            return await self._gauges.read()

    async def ping(self) -> None:
        """Raises QueueUnavailable when either Redis does not answer, or takes no writes."""
        async with answering():
            await asyncio.gather(*(one.set(PROBE_KEY, 1, ex=PROBE_S) for one in {self._jobs, self._cache}))
