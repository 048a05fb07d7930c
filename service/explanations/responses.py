"""Responses for submitted orders and for what is stored: a result in the form that Accept asks for, or a status."""

import math
import re
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson
from anyio import to_thread
from starlette.responses import Response

from service.explanations.documents import Meta, offers, path_of, result_document, status_document
from service.explanations.representations import INLINE, arrays_for, etag, matches, permanent, represent
from service.http.errors import Expired, Failed, NotFinished, NotFound
from service.http.negotiation import ALL, JSON, NPY, choose
from service.queue.events import News
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.submission import Ticket

LONGEST_RETRY = 600
_ID = re.compile("[0-9a-f]{64}")
_UNKNOWN = "there is no explanation of this id"

_CACHE_STATUS = {
    "hit": "whence; hit",
    "created": "whence; fwd=miss; stored",
    "joined": "whence; fwd=miss; collapsed",
    "refused": "whence; hit",
}


async def single_response(queue: Queue, ticket: Ticket, wait: float, accept: str, news: News) -> Response:
    """The answer to a request for one explanation; `news` are of its end from before it was submitted.

    Raises Failed, Expired, NotAcceptable.
    """
    response = None
    if ticket.meta is not None and ticket.arrays is not None:
        response = await represented(queue, ticket.meta, ticket.arrays, accept)
    elif ticket.outcome == "hit":
        response = await result_response(queue, ticket.id, accept)
    if response is None:
        status = await find_status(queue, ticket.id, wait, news if ticket.open else None)
        if not status.final:
            return status_response(status, 202)
        response = await result_response(queue, ticket.id, accept) if status.status == "succeeded" else None
        if response is None:
            raise_for_status(status)
    response.headers["content-location"] = path_of(ticket.id)
    response.headers["cache-status"] = _CACHE_STATUS[ticket.outcome]
    return response


async def list_response(queue: Queue, tickets: Sequence[Ticket], wait: float, news: News) -> Response:
    """The answer to a request for several: a result or a status document each; `news` are of their ends."""
    open_ids = [ticket.id for ticket in tickets if ticket.meta is None]
    all_open = all(ticket.open for ticket in tickets if ticket.meta is None)
    statuses = await _statuses(queue, open_ids, wait, news if all_open else None)
    documents = [await _entry(queue, ticket, statuses.get(ticket.id)) for ticket in tickets]
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


def checked_id(key: str) -> str:
    """The id; raises NotFound where it is no id at all."""
    if _ID.fullmatch(key) is None:
        raise NotFound(_UNKNOWN)
    return key


async def result_response(
    queue: Queue, key: str, accept: str, *, inline: bool = False, if_none_match: str | None = None
) -> Response | None:
    """The stored result as Accept asks for, 304 where the client has it already; None where there is no result.

    Raises NotAcceptable.
    """
    found = await queue.read(key, *arrays_at_first(accept, inline=inline))
    return found and await represented(queue, *found, accept, inline=inline, if_none_match=if_none_match)


def arrays_at_first(accept: str, *, inline: bool = False) -> tuple[str, ...]:
    """The arrays to read along with a result of which nothing is known yet; raises NotAcceptable."""
    return arrays_for(_chosen(accept, ALL, inline=inline))


async def represented(
    queue: Queue,
    meta: Meta,
    arrays: Sequence[bytes | None],
    accept: str,
    *,
    inline: bool = False,
    if_none_match: str | None = None,
) -> Response | None:
    """As `result_response`, of a result that was read with the arrays of `arrays_at_first`."""
    key, media = meta["id"], _chosen(accept, offers(meta), inline=inline)
    if matches(if_none_match, tag := etag(key, media)):
        return Response(status_code=304, headers=permanent(tag))
    if (wanted := arrays_for(media, meta)) != arrays_at_first(accept, inline=inline):
        arrays = (await queue.read(key, *wanted) or (meta, [None]))[1]
    if None in arrays:
        return None
    if media in (JSON, NPY):
        return represent(meta, arrays, media)
    return await to_thread.run_sync(represent, meta, arrays, media)


async def stored_result(queue: Queue, key: str, *arrays: str) -> tuple[Meta, list[bytes]]:
    """The JSON and arrays of a finished result.

    Raises NotFound for an unknown id and for arrays that it has not, NotFinished, Expired, Failed.
    """
    found = await queue.read(checked_id(key), *arrays)
    if found is None:
        status = await find_status(queue, key)
        found = await queue.read(key, *arrays) if status.status == "succeeded" else None
        if found is None:
            raise_for_status(status)
    meta, data = found
    present = [one for one in data if one is not None]
    if len(present) < len(arrays):
        raise NotFound(f"this result has no such array; it has: {', '.join(sorted(meta['arrays'])) or 'none'}")
    return meta, present


async def find_status(queue: Queue, key: str, wait: float = 0, news: News | None = None) -> Status:
    """The status, as soon as it is final or at the latest after `wait` seconds; raises NotFound."""
    status = (await queue.wait([key], wait, news))[0] if wait else await queue.status(key)
    if status is None:
        raise NotFound(_UNKNOWN)
    return status


def raise_for_status(status: Status) -> NoReturn:
    """Raises what this status means to who wants the result: NotFinished, Failed, Expired."""
    if not status.final:
        raise NotFinished(f"it is {status.status}; {path_of(status.id)} tells how far it is, and takes ?wait=")
    if status.error is not None:
        raise Failed(status.error.code, status.error.detail, status.error.pointer, status.error.alternatives)
    if status.status == "cancelled":
        raise Failed("cancelled", "everyone who waited for it withdrew; a new request runs it again", None)
    raise Expired("the result is no longer stored; the same request makes it again")


async def _statuses(queue: Queue, ids: Sequence[str], wait: float, news: News | None) -> dict[str, Status]:
    if not ids:
        return {}
    found = await queue.wait(ids, wait, news) if wait else await queue.statuses(ids)
    return {status.id: status for status in found if status is not None}


async def _entry(queue: Queue, ticket: Ticket, status: Status | None) -> dict[str, Any]:
    meta = ticket.meta
    if meta is None and status is not None and status.status == "succeeded":
        meta = await queue.meta(ticket.id)
    if meta is not None:
        return result_document(meta)
    return status_document(status or Status(id=ticket.id, status="expired"))


def _chosen(accept: str, offered: tuple[str, ...], *, inline: bool) -> str:
    media = choose(accept, offered)
    return INLINE if inline and media == JSON else media
