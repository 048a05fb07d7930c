"""What all protocols share: instances become orders, submitted together, and their answers are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from anyio import to_thread
from numpy.typing import NDArray
from starlette.requests import Request

from service.deps import Parts, parts_of
from service.explanations.documents import Meta, path_of
from service.explanations.orders import (
    Asked,
    Terms,
    card_named,
    deadline,
    names_datasets,
    orders,
    priority,
    understand,
    with_digests,
)
from service.explanations.results import refuse
from service.explanations.waiting import while_connected
from service.http.bodies import Body
from service.http.callers import caller_of
from service.http.errors import Expired, Invalid, NoWorker, StillRunning
from service.http.threads import LARGE, apart
from service.queue.orders import Input, Order, Status, Ticket
from service.queue.queue import Queue
from workers.contract import InputError, ModelCard, decode_npy


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of a call, with a target of its own, in the words of the native API."""

    input: Input
    target: Any = "argmax"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished explanation; `array` is its kind's own, None where it has only a document."""

    meta: Meta
    array: NDArray[Any] | None


def card_of(request: Request, name: str) -> ModelCard:
    """The model's card; raises UnknownModel, and NoWorker while none has been told of."""
    queue = parts_of(request).queue
    return card_named(name, queue.cards(), queue.failed())


async def serving(request: Request) -> None:
    """Raises QueueAway where Redis does not answer, NoWorker where no worker is alive."""
    queue = parts_of(request).queue
    await queue.ping()
    if not queue.workers():
        raise NoWorker("no worker is alive")


async def answers(
    request: Request, card: ModelCard, methods: Sequence[Any], instances: Sequence[Instance], until: float | None = None
) -> list[list[Answer]]:
    """For each instance its answer to each method (equal methods once), all submitted together.

    `until`: unix seconds by which the work must have started. Raises StillRunning where it takes longer than a
    compatibility call waits, InputError, Failed, Expired, ClientDisconnect.
    """
    parts = parts_of(request)
    body = Body({"model": card.name, "method": list(methods)})
    asked = await apart(LARGE, lambda: understand(body, parts.queue.cards(), parts.settings))
    if names_datasets(asked.methods):
        asked = await to_thread.run_sync(with_digests, asked, parts.datasets)
    terms, most = _terms(request, until), parts.settings.most_explanations
    found = await apart(LARGE, lambda: _orders(asked, instances, terms, most))
    tickets = await parts.queue.submit(found, wait=parts.settings.protocol_wait)
    for ticket in tickets:
        parts.metrics.explanations.labels(ticket.outcome).inc()
    if any(ticket.outcome != "hit" for ticket in tickets):
        await while_connected(request, _finished(parts, tickets))
    read = await asyncio.gather(*(_answer(parts.queue, order) for order in found))
    width = len(asked.methods)
    return [list(read[start : start + width]) for start in range(0, len(read), width)]


def _terms(request: Request, until: float | None) -> Terms:
    headers = request.headers
    return Terms(
        deadline=deadline(headers.get("whence-deadline")) if until is None else until,
        recompute=False,
        request_id=request.scope["request_id"],
        caller=caller_of(request),
        priority=priority(headers.get("whence-priority")),
    )


def _orders(asked: Asked, instances: Sequence[Instance], terms: Terms, most: int) -> list[Order]:
    if len(instances) * len(asked.methods) > most:
        raise Invalid([{"pointer": "", "detail": f"one call asks for at most {most} explanations; send several calls"}])
    return [
        order
        for index, instance in enumerate(instances)
        for order in _of_one(asked, instance, terms, f"instance {index}: " if len(instances) > 1 else "")
    ]


def _of_one(asked: Asked, instance: Instance, terms: Terms, which: str) -> list[Order]:
    """An order for each method; one target for all of them."""
    if isinstance(instance.target, list) or (isinstance(instance.target, dict) and "top_k" in instance.target):
        raise Invalid([{"pointer": "/target", "detail": f"{which}an instance has one target here"}])
    request = asked.request.model_copy(update={"target": instance.target})
    try:
        return orders(replace(asked, request=request), instance.input, terms, len(asked.methods))
    except Invalid:
        raise
    except InputError as error:
        raise type(error)(which + error.detail, pointer=error.pointer, alternatives=error.alternatives) from None


async def _finished(parts: Parts, tickets: Sequence[Ticket]) -> None:
    """Returns once all have succeeded; raises for the first that has not."""
    ids = list(dict.fromkeys(ticket.id for ticket in tickets if ticket.outcome != "hit"))
    statuses = await parts.queue.wait(ids, parts.settings.protocol_wait)
    known = [status or Status(id=key, status="expired") for key, status in zip(ids, statuses, strict=True)]
    for status in known:
        if status.final and status.status != "succeeded":
            refuse(status)
    late = [status for status in known if not status.final]
    if late:
        of = f"{len(late)} of the {len(ids)} explanations are" if len(ids) > 1 else "the explanation is"
        raise StillRunning(
            f"{of} still {late[0].status}; ask again with the same call, or read {path_of(late[0].id)}",
            path_of(late[0].id),
        )


async def _answer(queue: Queue, order: Order) -> Answer:
    found = await queue.read(order.job.id, order.job.method.kind)
    if found is None:
        raise Expired("the result is no longer stored; the same request makes it again")
    meta, (data,) = found
    return Answer(meta, None if data is None else decode_npy(data))
