"""What became of the orders of a request, as its answer: 200 with results, or 202 while any is open."""

import math
import time
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from service.explanations.documents import path_of, result_document, status_document
from service.explanations.results import presented, refuse, result, state
from service.http.negotiation import JSON
from service.queue.orders import Status, Ticket
from service.queue.queue import Queue

LONGEST_RETRY = 600

_CACHE_STATUS = {
    "hit": "whence; hit",
    "created": "whence; fwd=miss; stored",
    "joined": "whence; fwd=miss; collapsed",
    "refused": "whence; hit",
}


async def one(queue: Queue, ticket: Ticket, wait: float, accept: str) -> Response:
    """The answer to a request for one explanation; raises Failed, Expired, NotAcceptable."""
    response = None
    if ticket.meta is not None and ticket.arrays is not None:
        response = await presented(queue, ticket.meta, ticket.arrays, accept)
    elif ticket.outcome == "hit":
        response = await result(queue, ticket.id, accept)
    if response is None:
        status = await state(queue, ticket.id, wait)
        if not status.final:
            return status_response(status, 202)
        response = await result(queue, ticket.id, accept) if status.status == "succeeded" else None
        if response is None:
            refuse(status)
    response.headers["content-location"] = path_of(ticket.id)
    response.headers["cache-status"] = _CACHE_STATUS[ticket.outcome]
    return response


async def many(queue: Queue, tickets: Sequence[Ticket], wait: float) -> Response:
    """The answer to a request for several: a result or a status document each."""
    open_ids = [ticket.id for ticket in tickets if ticket.meta is None]
    statuses = await _statuses(queue, open_ids, wait)
    documents = [await _document(queue, ticket, statuses.get(ticket.id)) for ticket in tickets]
    unfinished = [status for status in statuses.values() if not status.final]
    headers = {"cache-control": "no-store"}
    if unfinished:
        headers["retry-after"] = str(max(map(retry_after, unfinished)))
    if not open_ids:
        headers["cache-status"] = _CACHE_STATUS["hit"]
    content = orjson.dumps({"explanations": documents})
    return Response(content, 202 if unfinished else 200, headers, JSON)


def status_response(status: Status, code: int) -> Response:
    """The status document; with 202 also where the result will be."""
    headers = {"cache-control": "no-store"}
    if not status.final:
        headers["retry-after"] = str(retry_after(status))
    if code == 202:
        headers["location"] = path_of(status.id)
    return Response(orjson.dumps(status_document(status)), code, headers, JSON)


def retry_after(status: Status) -> int:
    """Whole seconds, at least 1, until it is expected to start, or to end where it goes on at its pace so far."""
    seconds, progress = status.starts_in or 0.0, status.progress
    if status.started_at is not None and progress is not None and progress.done:
        seconds = (time.time() - status.started_at) * (progress.total / progress.done - 1)
    return min(max(1, math.ceil(seconds)), LONGEST_RETRY)


async def _statuses(queue: Queue, ids: Sequence[str], wait: float) -> dict[str, Status]:
    if not ids:
        return {}
    found = await queue.wait(ids, wait) if wait else await queue.statuses(ids)
    return {status.id: status for status in found if status is not None}


async def _document(queue: Queue, ticket: Ticket, status: Status | None) -> dict[str, Any]:
    meta = ticket.meta
    if meta is None and status is not None and status.status == "succeeded":
        meta = await queue.meta(ticket.id)
    if meta is not None:
        return result_document(meta)
    return status_document(status or Status(id=ticket.id, status="expired"))
