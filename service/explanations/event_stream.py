"""A job's states as Server-Sent Events: what is still to be told to a client that has seen so much.

An event's id names a state of one run (its times tell runs apart), so the last one seen says where to go on, in any
process and after any restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi.sse import ServerSentEvent

from service.explanations.documents import path_of, status_document, timestamp
from service.http.errors import Expired
from service.http.problems import problem
from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.status import Status

POLL_S = 1.0  # positions move, and pub/sub may lose a message

GONE = "the explanation is no longer stored; the same request makes it again"


async def stream(queue: Queue, job_id: str, seen: str | None) -> AsyncIterator[ServerSentEvent]:
    """The current state, then every change, until the final one; `seen` is the id of the last event the client has.

    While the queue does not answer there are comments, and then the state again.
    """
    with queue.news([job_id]) as news:
        while True:
            news.clear()
            try:
                status = await queue.status(job_id) or Status(id=job_id, status="expired")
                picture = await _picture(queue, status)
            except QueueUnavailable as error:
                yield ServerSentEvent(comment=error.detail)
                seen = None
            else:
                for event in told(status, seen, picture):
                    yield event
                    seen = event.id
                if status.final:
                    return
            if queue.ended:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), POLL_S)


async def _picture(queue: Queue, status: Status) -> str | None:
    """Where what is being made can be seen, while there is something to see."""
    running = status.status == "running" and status.progress is not None
    return f"{path_of(status.id)}/preview.png" if running and await queue.has_preview(status.id) else None


def told(status: Status, seen: str | None, picture: str | None = None) -> list[ServerSentEvent]:
    """The events that bring a client from the last one it has seen to this status: none where it knows all."""
    if status.final:
        events = [_final(status)]
    elif status.status == "queued":
        events = [_event(status.created_at, "queued", {"position": status.position}, status.position)]
    else:
        events = _running(status, seen or "", picture)
    return [event for event in events if event.id != seen]


def last_of(status: Status) -> str | None:
    """The id of the event that ends the stream; None while there is none."""
    return _final(status).id if status.final else None


def _running(status: Status, seen: str, picture: str | None) -> list[ServerSentEvent]:
    since, progress = status.started_at, status.progress
    started = {"started_at": timestamp(since), "attempts": status.attempts}
    events = [] if seen.startswith(f"{_run(since)}.progress.") else [_event(since, "started", started)]
    if progress is not None:
        at = f"{progress.done}.{progress.total}.{progress.unit}"
        shown = {"picture": picture} if picture else {}
        events.append(_event(since, "progress", progress.model_dump() | shown, at))
    return events


def _final(status: Status) -> ServerSentEvent:
    document = status_document(status)
    if status.status == "expired":
        document["error"] = problem(Expired.code, GONE)
    name = "failed" if status.status == "expired" else status.status
    return _event(status.finished_at, name, document)


def _event(since: float | None, name: str, data: dict[str, Any], *at: object) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=data, id=".".join(map(str, (_run(since), name, *at))))


def _run(since: float | None) -> int:
    return int((since or 0) * 1000)
