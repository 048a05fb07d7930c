"""The API's side of the queue: submit, wait, read. Every call raises QueueAway in under a second without Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from kombu.exceptions import OperationalError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from service.board import Board
from service.events import Events
from service.orders import Input, Order, Problem, Progress, QueueAway, Status, Ticket
from service.statuses import status_of
from workers.contract import ModelCard, UnknownInput, keys, publisher, ring, share, source

__all__ = ["Input", "Order", "Problem", "Progress", "Queue", "QueueAway", "Status", "Ticket"]

POLL_S = 1.0  # a waiter looks so often without being told: pub/sub may lose a message

log = structlog.get_logger()


class Queue:
    """Use as `async with Queue(redis_url, cache_url) as queue:`."""

    def __init__(self, redis_url: str, cache_url: str | None = None) -> None:
        self._jobs = _client(redis_url)
        self._cache = _client(cache_url) if cache_url else self._jobs
        self._finish = self._jobs.register_script(source("finish"))
        self._status = self._jobs.register_script(source("status"))
        self._submit = self._jobs.register_script(source("submit"))
        self._bell = publisher(redis_url)
        self._events = Events(self._jobs)
        self._board = Board(self._jobs)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Queue:
        with contextlib.suppress(RedisError):
            await self._board.read()
        self._tasks = [asyncio.create_task(self._events.listen()), asyncio.create_task(self._board.keep())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cache.aclose()
        await self._jobs.aclose()
        self._bell.close()

    async def submit(self, orders: Sequence[Order]) -> list[Ticket]:
        """Create or join the jobs of one request, which are claimed together, and ring the doorbell.

        Raises UnknownInput for a digest without data that names no stored input.
        """
        async with _answering():
            wanted = {order.job.id: order for order in orders}
            metas = await self._metas([job_id for job_id, order in wanted.items() if not order.recompute])
            missing = {job_id: order for job_id, order in wanted.items() if job_id not in metas}
            words = await self._enter(missing) if missing else {}
            # A job may have finished since we looked; where its result is gone too, it runs again.
            finished = [job_id for job_id, word in words.items() if word == "finished"]
            if finished:
                metas |= await self._metas(finished)
                gone = {job_id: wanted[job_id] for job_id in finished if job_id not in metas}
                words |= await self._enter(gone, again=True) if gone else {}
        return [_ticket(order.job.id, metas, words) for order in orders]

    async def read(self, job_id: str, *arrays: str) -> tuple[dict[str, Any], list[bytes | None]] | None:
        """The result's JSON and the .npy bytes of the named arrays, in one round trip; None where there is none."""
        async with _answering():
            fields = ["meta", *(f"a:{name}" for name in arrays)]
            meta, *found = cast("list[bytes | None]", await self._cache.hmget(keys.result(job_id), fields))
        return None if meta is None else (orjson.loads(meta), found)

    async def meta(self, job_id: str) -> dict[str, Any] | None:
        """The result's JSON."""
        found = await self.read(job_id)
        return found and found[0]

    async def array(self, job_id: str, name: str) -> bytes | None:
        """One array of a result as .npy bytes; "input" is the picture the model saw, or the tensor."""
        async with _answering():
            return cast("bytes | None", await self._cache.hget(keys.result(job_id), f"a:{name}"))

    async def status(self, job_id: str) -> Status | None:
        """The state of an explanation; None for an id nobody knows."""
        return (await self.statuses([job_id]))[0]

    async def statuses(self, ids: Sequence[str]) -> list[Status | None]:
        """The states of several explanations, by one round trip to either Redis."""
        async with _answering(), self._cache.pipeline(transaction=False) as pipe:
            # The records first: a job that finishes between the two readings is then seen with its result.
            records = orjson.loads(await self._status(args=list(ids))) if ids else []
            for job_id in ids:
                pipe.exists(keys.result(job_id))
            stored = await pipe.execute()
        return [
            status_of(job_id, record, bool(there)) for job_id, record, there in zip(ids, records, stored, strict=True)
        ]

    async def wait(self, ids: Sequence[str], seconds: float) -> list[Status | None]:
        """The states of all, as soon as all are final, at the latest after so many seconds."""
        clock = asyncio.get_running_loop()
        end = clock.time() + seconds
        with self._events.of(ids) as news:
            while True:
                news.clear()
                found = await self.statuses(ids)
                left = end - clock.time()
                if left <= 0 or all(status is None or status.final for status in found):
                    return found
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left, POLL_S))

    async def cancel(self, job_id: str) -> bool:
        """Withdraw a job: False where it had already finished, or nobody knows it."""
        async with _answering():
            return bool(await self._finish(args=[job_id, "", "cancelled", keys.RECORD_TTL_S, "cancelled", 1]))

    async def find_input(self, digest: str) -> str | None:
        """The kind ("image" or "tensor") of a stored input; None where there is none."""
        async with _answering():
            kind = cast("bytes | None", await self._jobs.hget(keys.stored_input(digest), "kind"))
        return kind.decode() if kind else None

    def cards(self) -> Mapping[str, ModelCard]:
        """Model cards by name, at most about a second old."""
        return self._board.cards

    def workers(self) -> list[dict[str, Any]]:
        """The live workers' last heartbeats: id, pid, device, models loaded."""
        return self._board.workers

    async def ping(self) -> None:
        """Raises QueueAway when either Redis does not answer."""
        async with _answering():
            await asyncio.gather(self._jobs.ping(), self._cache.ping())

    async def _metas(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        async with self._cache.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hget(keys.result(job_id), "meta")
            found = await pipe.execute()
        return {job_id: orjson.loads(meta) for job_id, meta in zip(ids, found, strict=True) if meta is not None}

    async def _enter(self, orders: Mapping[str, Order], *, again: bool = False) -> dict[str, str]:
        """Keep the inputs, write the records, ring: what became of each id."""
        await self._keep({order.input.digest: order.input for order in orders.values() if order.input})
        asked = orjson.dumps([_record(job_id, order, again) for job_id, order in orders.items()])
        answer = orjson.loads(await self._submit(args=[asked]))
        if answer["ring"]:
            await self._ring(answer["ring"])
        return dict(zip(orders, answer["words"], strict=True))

    async def _keep(self, inputs: Mapping[str, Input]) -> None:
        names = [keys.stored_input(digest) for digest in inputs]
        async with self._jobs.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.expire(name, keys.INPUT_TTL_S)
            known = await pipe.execute()
        async with self._jobs.pipeline(transaction=True) as pipe:
            for name, there, given in zip(names, known, inputs.values(), strict=True):
                if there:
                    continue
                if given.data is None:
                    raise UnknownInput("no input with that digest is stored now; send the input", pointer="/input")
                pipe.hset(name, mapping={"kind": given.kind, "data": given.data})
                pipe.expire(name, keys.INPUT_TTL_S)
            await pipe.execute()

    async def _ring(self, group: str) -> None:
        try:
            await asyncio.to_thread(ring, self._bell, group)
        except OperationalError as error:
            log.warning("a bell did not ring; the reconciler will ring it", error=type(error).__name__)


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        log.warning("redis does not answer", error=type(error).__name__, detail=str(error))
        raise QueueAway("the queue does not answer now; try again in a few seconds") from None


def _client(url: str) -> Redis:
    """Fails within 0.6 s; tries again at once only where a kept connection proves dead."""
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            url,
            max_connections=64,
            timeout=0.3,
            socket_timeout=0.6,
            socket_connect_timeout=0.3,
            health_check_interval=10,
            retry=Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
        )
    )


def _record(job_id: str, order: Order, again: bool) -> dict[str, Any]:
    record = {
        "id": job_id,
        "spec": orjson.dumps(order.job.canonical()).decode(),
        "model": order.model,
        "group": order.job.group,
        "share": share(order.job.method),
        "again": again or order.recompute,
        "recompute": order.recompute,
        "deadline": order.deadline,
        "request_id": order.request_id,
    }
    return {name: value for name, value in record.items() if value is not None}


def _ticket(job_id: str, metas: Mapping[str, dict[str, Any]], words: Mapping[str, str]) -> Ticket:
    if job_id in metas:
        return Ticket(job_id, "hit", metas[job_id])
    return Ticket(job_id, words[job_id])  # type: ignore[arg-type]
