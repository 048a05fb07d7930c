"""Intake: how orders get into the queue, or are answered from what is stored or on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.asyncio import Redis

from service.queue.admission import Caps, estimate, priority, refusal
from service.queue.cluster_state import Board
from service.queue.orders import Order, Outcome, Ticket
from service.queue.quota import Quota
from service.queue.storage import Finds, Inputs
from workers.contract import ring, share, source, tracing

log = structlog.get_logger()


class Intake:
    """Looks up results, keeps inputs, writes jobs, rings bells."""

    def __init__(self, jobs: Redis, bell: Celery, board: Board, inputs: Inputs, finds: Finds, caps: Caps) -> None:
        self._submit = jobs.register_script(source("submit"))
        self._bell = bell
        self._board = board
        self._inputs = inputs
        self._finds = finds
        self._caps = caps
        self._quota = Quota(jobs, caps.rate, caps.burst)

    async def submit(self, orders: Sequence[Order], wait: float, arrays: Sequence[str]) -> list[Ticket]:
        """As Queue.submit."""
        wanted = {order.job.id: order for order in orders}
        hits = await self._hits([job_id for job_id, order in wanted.items() if not order.recompute], arrays)
        missing = {job_id: order for job_id, order in wanted.items() if job_id not in hits}
        words = await self._enter(missing, wait) if missing else {}
        # A job may have finished since we looked; where its result is gone too, it runs again.
        finished = [job_id for job_id, word in words.items() if word == "finished"]
        if finished:
            hits |= await self._hits(finished, arrays)
            gone = {job_id: wanted[job_id] for job_id in finished if job_id not in hits}
            words |= await self._enter(gone, wait, again=True) if gone else {}
        return [
            hits[order.job.id] if order.job.id in hits else Ticket(order.job.id, cast(Outcome, words[order.job.id]))
            for order in orders
        ]

    async def _hits(self, ids: Sequence[str], arrays: Sequence[str]) -> dict[str, Ticket]:
        """Tickets of the results that are there; arrays are read along where there is one."""
        if len(ids) == 1:
            found = await self._finds.read(ids[0], *arrays)
            return {} if found is None else {ids[0]: Ticket(ids[0], "hit", found[0], tuple(found[1]))}
        return {job_id: Ticket(job_id, "hit", meta) for job_id, meta in (await self._finds.metas(ids)).items()}

    async def _enter(self, orders: Mapping[str, Order], wait: float, *, again: bool = False) -> dict[str, str]:
        """Charge for what is new, keep inputs, write records, ring: what became of each id. Raises QueueFull."""
        records = [self._record(job_id, order, again) for job_id, order in orders.items()]
        caller, cost = records[0]["caller"], sum(record["cost"] for record in records)
        async with self._quota.charged(caller, cost) as bill:
            words = await self._written(orjson.dumps(records), orders, wait)
            bill.seconds = sum(record["cost"] for record in records if words[record["id"]] == "created")
        return words

    async def _written(self, asked: bytes, orders: Mapping[str, Order], wait: float) -> dict[str, str]:
        if self._tight():
            await self._ask(asked, orders, wait, probe=True)  # before an input is kept for nothing
        inputs = {order.input.digest: order.input for order in orders.values() if order.input}
        await self._inputs.keep(list(inputs.values()))
        answer = await self._ask(asked, orders, wait)
        for bell in answer.get("ring", ()):
            await self._ring(bell)
        return dict(zip(orders, answer["words"], strict=True))

    def _tight(self) -> bool:
        board, caps = self._board, self._caps
        return board.crowded or caps.near(board.depths, len(board.workers))

    async def _ask(
        self, asked: bytes, orders: Mapping[str, Order], wait: float, *, probe: bool = False
    ) -> dict[str, Any]:
        workers = len(self._board.workers)
        caps = self._caps.at(workers, shut=self._board.crowded)
        answer: dict[str, Any] = orjson.loads(await self._submit(args=[asked, orjson.dumps(caps), wait, int(probe)]))
        if "full" in answer:
            raise refusal(answer["full"], next(iter(orders.values())).caller, workers)
        return answer

    async def _ring(self, bell: str) -> None:
        try:
            await asyncio.to_thread(ring, self._bell, bell)
        except OperationalError as error:
            log.warning("a bell did not ring; the reconciler will ring it", error=type(error).__name__)

    def _record(self, job_id: str, order: Order, again: bool) -> dict[str, Any]:
        cost = estimate(order, self._board.paces) if order.cost is None else order.cost
        record = {
            "id": job_id,
            "spec": order.job.text.decode(),
            "model": order.model,
            "group": order.job.group,
            "share": share(order.job.method, order.passes),
            "passes": order.passes or None,
            "priority": priority(order, cost, self._caps),
            "caller": order.caller,
            "cost": cost,
            "input": order.job.input,
            "again": again or order.recompute,
            "recompute": order.recompute,
            "deadline": None if order.deadline is None else order.deadline - time.time(),
            "request_id": order.request_id,
            "trace": tracing.carried(),
        }
        return {name: value for name, value in record.items() if value is not None}
