"""A queue without Redis and workers: what it holds is what a test puts there."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from service.http.errors import QueueFull
from service.queue.cluster_state import Depth
from service.queue.connection import QueueUnavailable
from service.queue.events import Events, News
from service.queue.gauges import Memory, Readings
from service.queue.listing import Page
from service.queue.queue import Queue
from service.queue.served import Served, summed
from service.queue.status import Problem, State, Status
from service.queue.submission import Order, Ticket
from tests.service.fake_repository import DIGITS, TABLE, FakeRepository
from workers.contract import InputKind, InvalidParameter, Precision, Priority, encode_npy
from workers.explanation.card import ModelCard
from workers.explanation.model_state import ModelState
from workers.jobs.fingerprints import seal, sketches
from workers.jobs.receipt import summary

_clock = itertools.count(1.7e9)


class FakeQueue(Queue):
    """Where `runs_at_once`, every order is finished at once; else it stays queued until a test puts its state.

    Where it `waits`, a wait lasts until a test puts a state; else it ends at once.
    """

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.results: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {}
        self.known: dict[str, Status] = {}
        self.runs_at_once = True
        self.waits = False
        self.full: QueueFull | None = None
        self.inputs: dict[str, InputKind] = {}
        self.served: dict[str, ModelCard] = {"digits": DIGITS, "table": TABLE}
        self.broken: dict[str, str] = {}
        self.told: list[ModelState] = []
        self.repository = FakeRepository(self)
        self.alive = True
        self.precision: Precision = "float32"
        self.reads = 0
        self.waited: list[float] = []
        self.open: list[tuple[str, str]] = []
        self.withdrawn: list[tuple[str, str]] = []
        self.previews: dict[str, bytes] = {}
        self._events = Events(cast(Redis, None))

    async def __aenter__(self) -> FakeQueue:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.alive = False

    async def submit(self, orders: Sequence[Order], *, wait: float = 0, arrays: Sequence[str] = ()) -> list[Ticket]:
        await self.ping()
        if self.full is not None:
            raise self.full
        self.orders.extend(orders)
        return [self._ticket(order, arrays if len(orders) == 1 else None) for order in orders]

    def _ticket(self, order: Order, arrays: Sequence[str] | None) -> Ticket:
        key = order.job.id
        if key in self.results and not order.recompute:
            meta, held = self.results[key]
            return Ticket(key, "hit", meta, None if arrays is None else tuple(map(held.get, arrays)))
        if key in self.known and self.known[key].status == "failed":
            return Ticket(key, "refused")
        if key in self.known and not order.recompute:
            return Ticket(key, "joined")
        if self.runs_at_once:
            self.results[key] = stored(order)
        self.put(key, "succeeded" if self.runs_at_once else "queued")
        return Ticket(key, "created")

    def put(self, key: str, state: State, problem: Problem | None = None, **more: Any) -> None:
        self.known[key] = Status(id=key, status=state, model="digits", created_at=1.7e9, error=problem, **more)
        self._events.tell(key)

    async def read(self, job_id: str, *arrays: str) -> tuple[dict[str, Any], list[bytes | None]] | None:
        await self.ping()
        self.reads += 1
        if job_id not in self.results:
            return None
        meta, held = self.results[job_id]
        return meta, [held.get(name) for name in arrays]

    async def preview(self, job_id: str) -> bytes | None:
        return self.previews.get(job_id)

    async def has_preview(self, job_id: str) -> bool:
        return job_id in self.previews

    async def statuses(self, ids: Sequence[str]) -> list[Status | None]:
        await self.ping()
        return [self.known.get(key) for key in ids]

    async def wait(self, ids: Sequence[str], seconds: float, news: News | None = None) -> list[Status | None]:
        self.waited.append(seconds)
        with self._events.of(ids) as told:
            if self.waits:
                await asyncio.wait_for(told.wait(), seconds)
        return await self.statuses(ids)

    @property
    def ended(self) -> bool:
        return self._events.ended

    def end(self) -> None:
        self._events.end()

    @contextmanager
    def news(self, ids: Sequence[str], *, ends: bool = False) -> Iterator[News]:
        with self._events.of(ids, ends=ends) as news:
            yield news

    def waiting(self) -> int:
        """How many wait for news of a job."""
        return len(self._events)

    @asynccontextmanager
    async def attached(self, ids: Sequence[str], caller: str, seconds: float) -> AsyncIterator[None]:
        wanted = [(key, caller) for key in ids]
        self.open.extend(wanted)
        try:
            yield
        finally:
            for one in wanted:
                self.open.remove(one)

    async def withdraw(self, job_id: str, caller: str) -> Literal["unknown", "finished", "withdrawn"]:
        await self.ping()
        status = self.known.get(job_id)
        if status is None:
            return "unknown"
        if status.final:
            return "finished"
        self.withdrawn.append((job_id, caller))
        if not self.open:
            self.put(job_id, "cancelled")
        return "withdrawn"

    async def listing(self, status: State | None, model: str | None, limit: int, cursor: str | None) -> Page:
        """By the order in which they were put; the cursor is a place in it."""
        await self.ping()
        if cursor is not None and not cursor.isdecimal():
            raise InvalidParameter("this is no cursor of a page", pointer="/cursor")
        newest = [one for one in reversed(self.known.values()) if status in (None, one.status)]
        found = [one for one in newest if model in (None, one.model)]
        end = int(cursor or 0) + limit
        return Page(found[int(cursor or 0) : end], str(end) if end < len(found) else None)

    async def find_input(self, digest: str) -> InputKind | None:
        return self.inputs.get(digest)

    def models(self) -> Served:
        told = [
            *(
                ModelState(name=name, state="ready", digest=c.digest, card=name, since=1.0)
                for name, c in self.served.items()
            ),
            *(ModelState(name=name, state="failed", reason=reason) for name, reason in self.broken.items()),
            *self.told,
        ]
        cards = {"digits": DIGITS, **self.served}
        beats = [{**one, "states": "all", "precisions": ["float32", "bfloat16"]} for one in self.workers()]
        return summed(beats, {"all": told}, cards, precision=self.precision)

    def workers(self) -> list[dict[str, Any]]:
        loaded = {DIGITS.digest: 1000}
        return [{"id": "w1", "pid": 1, "device": "cpu", "loaded": loaded}] if self.served or self.told else []

    async def readings(self) -> Readings:
        await self.ping()
        waiting: dict[Priority, Depth] = {"interactive": Depth(3, 1.5), "batch": Depth(1, 60.0)}
        memory = {"jobs": Memory(1000, 2000, 0), "cache": Memory(500, 0, 7)}
        return Readings(waiting, {"interactive": 0.5}, 2, memory)

    async def ping(self) -> None:
        if not self.alive:
            raise QueueUnavailable("Redis does not answer; try again in a moment")


def stored(order: Order) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A result such as a worker would store for the order."""
    job = order.job
    kind = job.method.kind
    values: NDArray[Any] = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    seen: NDArray[Any] = np.zeros((8, 8, 3), np.uint8)
    if order.model == "table":
        values, seen = np.array([1, -2, 3, 0], np.float32), np.zeros(4, np.float32)
    if kind == "scores":
        values = np.array([0.1, 0.7, 0.2], np.float32)
    meta = {
        "id": job.id,
        "kind": kind,
        "model": {"name": order.model, "digest": job.model},
        "input": job.input,
        "method": job.method.to_json(),
        "target": {"kind": "class", "index": 1, "label": "one"},
        "prediction": [{"index": 1, "label": "one", "score": 2.5, "probability": 0.7}],
        kind: summary(values),
        "arrays": {kind: {"shape": list(values.shape), "dtype": "float32"}},
        "checks": [{"name": "completeness", "expected": 2.5, "observed": 2.4, "gap": 0.04}],
        "info": {},
        "timing": {"queued_ms": 1.0, "computed_ms": 2.0, "batch_size": 1},
        "created_at": 1.7e9,
        "receipt": receipt_of(order, {kind: values}, computed_at=next(_clock)),
    }
    return meta, {kind: encode_npy(values), "input": encode_npy(seen)}


def receipt_of(order: Order, arrays: dict[str, NDArray[Any]], computed_at: float) -> dict[str, Any]:
    """As a worker issues it."""
    told = {
        "id": order.job.id,
        "job": order.job.canonical(),
        "versions": {"whence": "0.2.0", "torch": "2.13.0", "python": "3.11.7"},
        "device": "cpu",
        "machine": {"name": "a processor", "threads": 1, "batch_size": 1, "chunk": None},
        "computed_at": computed_at,
        "sha256": {name: hashlib.sha256(encode_npy(array)).hexdigest() for name, array in arrays.items()},
        "sketches": sketches(arrays, order.job.id),
    }
    return {**told, "seal": seal(told)}
