"""Intake: how orders get into the queue, or are answered from what is stored or on its way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import orjson
from redis.asyncio import Redis

from service.queue.admission import Caps, Quota, estimate, priority, refusal
from service.queue.cluster_state import ClusterState
from service.queue.pipelined import Command, Pipelined
from service.queue.storage import Input, Inputs, Results
from workers.contract import (
    INTERACTIVE,
    PRIORITIES,
    Job,
    Priority,
    async_script,
    bell_message,
    needs,
    own_inputs,
    rows_per_batch,
    traceparent,
)

Outcome: TypeAlias = Literal["hit", "created", "joined", "refused"]


@dataclass(frozen=True, slots=True)
class Order:
    """One explanation that a client asks for.

    `model` is the name the client used (the job holds the digest); `deadline` is in unix seconds; `recompute` computes
    again although a result is stored. `caller` is the id of an API key, "" for everyone without one. `passes` is how
    many it takes of the model, 0 where that is not known; `cost` is in seconds of a worker, None lets the queue
    estimate it from the passes. `given` are inputs that its method has in its parameters.
    """

    job: Job
    model: str
    input: Input | None = None
    deadline: float | None = None
    request_id: str | None = None
    recompute: bool = False
    caller: str = ""
    priority: Priority = INTERACTIVE
    passes: int = 0
    cost: float | None = None
    given: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticket:
    """What became of an order.

    `hit`: the result is there (`meta` holds its JSON, `arrays` the .npy bytes of those that were asked for along with
    it, None where they have to be read); `created`: it was queued; `joined`: an equal order is in
    flight; `refused`: it failed less than a minute ago for a reason that stays (its status holds the problem).
    """

    id: str
    outcome: Outcome
    meta: dict[str, Any] | None = None
    arrays: tuple[bytes | None, ...] | None = None

    @property
    def open(self) -> bool:
        """Whether its end was still to come when it was submitted."""
        return self.outcome in ("created", "joined")


class Submission:
    """Looks up results, keeps inputs, writes jobs, rings bells."""

    def __init__(
        self, jobs: Redis, quick: Pipelined, cluster: ClusterState, inputs: Inputs, results: Results, caps: Caps
    ) -> None:
        self._quick = quick
        self._submit = async_script(jobs, "submit")
        self._cluster = cluster
        self._inputs = inputs
        self._results = results
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
            found = await self._results.read(ids[0], *arrays)
            return {} if found is None else {ids[0]: Ticket(ids[0], "hit", found[0], tuple(found[1]))}
        return {job_id: Ticket(job_id, "hit", meta) for job_id, meta in (await self._results.metas(ids)).items()}

    async def _enter(self, orders: Mapping[str, Order], wait: float, *, again: bool = False) -> dict[str, str]:
        """Charge for what is new, keep inputs, write records, ring: what became of each id. Raises QueueFull."""
        records = [self._record(job_id, order, again) for job_id, order in orders.items()]
        caller, cost = records[0]["caller"], sum(record["cost"] for record in records)
        async with self._quota.charged(caller, cost) as bill:
            words = await self._written(orjson.dumps(records), orders, wait)
            bill.seconds = sum(record["cost"] for record in records if words[record["id"]] == "created")
        return words

    async def _written(self, asked: bytes, orders: Mapping[str, Order], wait: float) -> dict[str, str]:
        found = [one for order in orders.values() for one in (order.input, *order.given) if one]
        inputs = list({one.digest: one for one in sorted(found, key=lambda one: one.data is not None)}.values())
        answer = None
        if self._tight():
            await self._ask(asked, orders, wait, probe=True)  # before an input is kept for nothing
        else:
            answer = await self._at_once(inputs, asked, orders, wait)
        if answer is None:
            await self._inputs.keep(inputs)
            answer = await self._ask(asked, orders, wait)
        return dict(zip(orders, answer["words"], strict=True))

    async def _at_once(
        self, inputs: Sequence[Input], asked: bytes, orders: Mapping[str, Order], wait: float
    ) -> dict[str, Any] | None:
        """Inputs and records by one round trip; None, and nothing is queued, where an input takes more than that."""
        commands: list[Command] = []
        for given in inputs:
            if (keeping := self._inputs.small(given)) is None:
                return None
            commands.append(("EVALSHA", self._inputs.script.sha, 0, *keeping))
        commands.append(("EVALSHA", self._submit.sha, 0, *self._arguments(asked, wait, inputs_here=True)))
        answers = await self._quick.ask(*commands)
        if any(isinstance(answer, Exception) for answer in answers):
            return None  # asked one by one, a Redis that has forgotten the scripts is told them, and a master is found
        answer = self._read(answers[-1], orders)
        return None if "absent" in answer else answer

    def _tight(self) -> bool:
        cluster, caps = self._cluster, self._caps
        return cluster.crowded or caps.near(cluster.depths, len(cluster.workers))

    async def _ask(
        self, asked: bytes, orders: Mapping[str, Order], wait: float, *, probe: bool = False
    ) -> dict[str, Any]:
        return self._read(await self._submit(args=self._arguments(asked, wait, probe=probe)), orders)

    def _arguments(self, asked: bytes, wait: float, *, probe: bool = False, inputs_here: bool = False) -> list[Any]:
        caps = orjson.dumps(self._caps.at(len(self._cluster.workers), shut=self._cluster.crowded))
        bells = orjson.dumps({one: bell_message(one) for one in PRIORITIES})
        return [asked, caps, wait, int(probe), bells, int(inputs_here)]

    def _read(self, said: bytes, orders: Mapping[str, Order]) -> dict[str, Any]:
        """What the script answers; raises what it refuses."""
        answer: dict[str, Any] = orjson.loads(said)
        if "full" in answer:
            raise refusal(answer["full"], next(iter(orders.values())).caller, len(self._cluster.workers))
        return answer

    def _record(self, job_id: str, order: Order, again: bool) -> dict[str, Any]:
        cost = estimate(order.job, order.passes, self._cluster.paces) if order.cost is None else order.cost
        record = {
            "id": job_id,
            "spec": order.job.text.decode(),
            "model": order.model,
            "group": order.job.group,
            "needs": " ".join(needs(order.job)),
            "share": rows_per_batch(order.job.method, order.passes),
            "passes": order.passes or None,
            "priority": priority(order.job.method, order.priority, cost, self._caps),
            "caller": order.caller,
            "cost": cost,
            "input": order.job.input,
            "given": " ".join(sorted(own_inputs(order.job.method))) or None,
            "again": again or order.recompute,
            "recompute": order.recompute,
            "deadline": None if order.deadline is None else order.deadline - time.time(),
            "request_id": order.request_id,
            "trace": traceparent(),
        }
        return {name: value for name, value in record.items() if value is not None}
